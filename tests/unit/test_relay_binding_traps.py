"""What the store of bindings of HotPlex does wrong is done right here: two platforms, damage, order, two clients."""

import asyncio

import pytest

from core.api.bindings import (
    AddBinding,
    ImportBindings,
    ListBindings,
    RemoveBinding,
    UndoBinding,
)
from core.api.errors import ConflictError, NotFound, StoreError
from core.store.base import Batch, Put
from core.store.memory import MemoryStore
from tests.support.binding_rig import BEN, a_bot, binding_history, binding_rig
from tests.support.outbox import FullStore

A, B, C = "https://a.example", "https://b.example", "https://c.example"


async def test_one_chat_id_on_two_platforms_is_two_bindings() -> None:
    """Removing the one leaves the other."""
    rig = await binding_rig()
    await rig.add("SAME", a_bot("alpha", A))
    await rig.add("SAME", a_bot("alpha", B), platform="telegram")
    assert rig.places() == [f"slack:SAME alpha={A}", f"telegram:SAME alpha={B}"]
    await rig.remove("SAME")
    assert rig.places() == [f"telegram:SAME alpha={B}"]
    with pytest.raises(NotFound):
        await rig.remove("SAME")


async def test_adding_a_bot_keeps_the_others_of_the_chat() -> None:
    """Unless they are to be replaced, and then their names mean nothing there any more."""
    rig = await binding_rig()
    await rig.add("C1", a_bot("alpha", A))
    await rig.add("C1", a_bot("beta", B))
    assert rig.places() == [f"slack:C1 alpha={A} beta={B}"]
    await rig.add("C1", a_bot("gamma", C), is_replacing=True)
    assert rig.places() == [f"slack:C1 gamma={C}"]
    assert rig.url_of("alpha") is None


async def test_a_name_still_resolves_when_one_of_its_bindings_goes() -> None:
    """Also when that was the one made last; and it resolves again when it is bound again."""
    rig = await binding_rig()
    await rig.add("C1", a_bot("alpha", A))
    await rig.add("C2", a_bot("alpha", B))
    await rig.remove("C2")
    assert rig.url_of("alpha") == A
    await rig.remove("C1")
    assert rig.url_of("alpha") is None
    await rig.add("C1", a_bot("alpha", C))
    assert rig.url_of("alpha") == C


async def test_a_name_means_the_same_after_a_restart() -> None:
    """And all else, too: order, versions, authors, history."""
    store = MemoryStore()
    rig = await binding_rig(store)
    for number in range(5):
        await rig.add(f"C{number}", a_bot("alpha", f"https://h{number}.example", priority=number), actor=BEN)
    again = await binding_rig(store)
    assert again.places() == rig.places()
    assert again.url_of("alpha") == rig.url_of("alpha") == "https://h0.example"
    assert again.bindings.all() == rig.bindings.all()
    assert await binding_history(again) == await binding_history(rig)
    receipt = await again.add("C9", a_bot())
    assert receipt.change.number == 6


async def test_what_cannot_be_written_is_not_there() -> None:
    """Nothing changes in memory before it is stored, and nobody is told."""
    store = FullStore()
    rig = await binding_rig(store)
    await rig.add("C1", a_bot("alpha", A))
    store.is_full = True
    told, calls = len(rig.told), rig.calls
    for command in (
        AddBinding(platform="slack", chat="C1", bots=(a_bot("alpha", B),)),
        RemoveBinding(platform="slack", chat="C1"),
        UndoBinding(platform="slack", chat="C1"),
        ImportBindings(
            document='{"version":1,"bindings":[{"platform":"slack","chat_id":"C2","bots":{"x":"http://h"}}]}'
        ),
    ):
        with pytest.raises(StoreError):
            await rig.do(command)
    assert rig.places() == [f"slack:C1 alpha={A}"]
    assert rig.url_of("alpha") == A
    assert (len(rig.told), rig.calls) == (told, calls)
    store.is_full = False
    assert (await rig.add("C1", a_bot("alpha", B))).change.number == 2


async def test_what_was_given_or_handed_out_is_not_what_is_kept() -> None:
    """Views are frozen; nobody changes a binding without an order."""
    rig = await binding_rig()
    bots = [a_bot("beta", B), a_bot("alpha", A)]
    await rig.add("C1", *bots)
    bots.clear()
    listed = await rig.ask(ListBindings())
    assert [bot.name for bot in listed.bindings[0].bots] == ["alpha", "beta"]
    with pytest.raises(AttributeError):
        listed.bindings[0].bots[0].url = C


async def test_a_stored_binding_that_cannot_be_read_stays_as_it_is() -> None:
    """It is told, its chat means nothing, the others work; its bytes are not written over."""
    store = MemoryStore()
    rig = await binding_rig(store)
    await rig.add("C1", a_bot("alpha", A))
    await rig.add("C2", a_bot("alpha", A))
    (row,) = await store.scan("relay/binding/slack/C2")
    await store.commit(Batch([Put("relay/binding/slack/C1", b"{broken"), Put("relay/binding/slack/C3", row.body)]))
    again = await binding_rig(store)
    assert again.places() == [f"slack:C2 alpha={A}"]
    listed = await again.ask(ListBindings())
    assert listed.problem.startswith("2 stored bindings cannot be read")
    await again.add("*", a_bot("alpha", B))
    assert again.url_of("alpha", "slack", "C1") is None
    assert "cannot be read" in again.bindings.resolve("alpha", "slack", "C1").why
    file = '{"version":1,"bindings":[{"platform":"slack","chat_id":"C1","bots":{"x":"http://h"}}]}'
    for command in (
        AddBinding(platform="slack", chat="C1", bots=(a_bot(),)),
        RemoveBinding(platform="slack", chat="C3"),
        UndoBinding(platform="slack", chat="C1"),
        ImportBindings(document=file),
    ):
        with pytest.raises(StoreError):
            await again.do(command)
    kept = await store.get("relay/binding/slack/C1")
    assert kept is not None
    assert kept.body == b"{broken"


async def test_two_clients_do_not_write_over_each_other() -> None:
    """Each says at which version it saw the binding; the second is told."""
    rig = await binding_rig()
    first = await rig.add("C1", a_bot("alpha", A), expected=0)
    assert first.binding is not None
    seen = first.binding.version
    await rig.add("C1", a_bot("beta", B), expected=seen, actor=BEN)
    for command in (
        AddBinding(platform="slack", chat="C1", bots=(a_bot("alpha", C),), expected=seen),
        AddBinding(platform="slack", chat="C1", bots=(a_bot("alpha", C),), expected=0),
        RemoveBinding(platform="slack", chat="C1", expected=seen),
        UndoBinding(platform="slack", chat="C1", expected=first.change.number),
    ):
        with pytest.raises(ConflictError) as caught:
            await rig.do(command)
        assert "ben" in caught.value.message
        assert caught.value.facts["found"] == 2
    assert rig.places() == [f"slack:C1 alpha={A} beta={B}"]


async def test_orders_of_the_same_moment_happen_one_after_the_other() -> None:
    """Those that add keep each other's bots; of those that expect a version one wins."""
    rig = await binding_rig()
    await asyncio.gather(*(rig.add("C1", a_bot(f"b{number}", A)) for number in range(20)))
    (binding,) = rig.bindings.all()
    assert len(binding.bots) == 20
    again = [rig.add("C1", a_bot(f"b{number}", B), expected=binding.version) for number in range(5)]
    done = await asyncio.gather(*again, return_exceptions=True)
    assert sum(isinstance(one, ConflictError) for one in done) == 4
    assert [number for _, _, number in await binding_history(rig)] == list(range(21, 0, -1))
