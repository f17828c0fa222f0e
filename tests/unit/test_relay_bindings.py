"""Bindings as they are kept: each order is one commit or nothing, and can be undone."""

import asyncio

import pytest

from core.api.base import SYSTEM
from core.api.bindings import (
    AddBinding,
    BindingAdded,
    BindingChanged,
    BindingRemoved,
    ChangeKind,
    CheckBot,
    ImportBindings,
    ListBindingChanges,
    ListBindings,
    RemoveBinding,
    ResolveBot,
    UndoBinding,
)
from core.api.errors import ConflictError, HermesError, InvalidInput, NotFound, Overloaded
from core.relay import bindings as shell
from core.store.base import Batch, Committed, Put
from core.store.memory import MemoryStore
from tests.support.binding_rig import BEN, BindingRig, a_bot, binding_history, binding_rig
from tests.support.journals import until_idle

A, B, C = "https://a.example", "https://b.example", "https://c.example"


class SlowStore(MemoryStore):
    """The first commit is written when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self._written: asyncio.Future[None] | None = None

    def submit(self, batch: Batch) -> asyncio.Future[Committed]:
        """Wait with the first."""
        if self._written is not None:
            return super().submit(batch)
        self._written = asyncio.get_running_loop().create_future()
        answer: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()

        def written(_: asyncio.Future[None]) -> None:
            stored = super(SlowStore, self).submit(batch)
            stored.add_done_callback(lambda done: answer.set_result(done.result()))

        self._written.add_done_callback(written)
        self.asked.set()
        return answer

    def write(self) -> None:
        """Write it."""
        assert self._written is not None
        self._written.set_result(None)


async def undo(rig: BindingRig, chat: str = "C1", **more: int) -> None:
    """Take the last change back."""
    await rig.do(UndoBinding(platform="slack", chat=chat, **more))


async def test_an_order_tells_what_it_did_in_one_event_with_its_change() -> None:
    """Added, changed, removed; the version is the number of the change, also when a binding comes back."""
    rig = await binding_rig()
    await rig.add("C1", a_bot("alpha", A))
    await rig.add("C1", a_bot("alpha", B), actor=BEN)
    await rig.remove("C1")
    await rig.add("C1", a_bot("alpha", A))
    added, changed, removed, back = rig.told
    assert isinstance(added, BindingAdded)
    assert isinstance(changed, BindingChanged)
    assert isinstance(removed, BindingRemoved)
    assert isinstance(back, BindingAdded)
    assert [added.binding.version, changed.binding.version, back.binding.version] == [1, 2, 4]
    assert (changed.binding.changed_by, changed.change.by) == ("ben", "ben")
    assert changed.change.before == (a_bot("alpha", A),)
    assert changed.change.after == (a_bot("alpha", B),)
    assert (removed.change.kind, removed.change.after) == (ChangeKind.REMOVED, None)
    assert rig.calls == 4


async def test_an_order_that_changes_nothing_leaves_no_trace() -> None:
    """Its receipt is that of the last one that did."""
    rig = await binding_rig()
    first = await rig.add("C1", a_bot("alpha", A))
    again = await rig.add("C1", a_bot("alpha", A + "/relay/"), actor=BEN)
    assert again == first
    assert len(rig.told) == 1


async def test_a_bad_bot_among_good_ones_leaves_all_as_it_was() -> None:
    """Nothing is half done."""
    rig = await binding_rig()
    with pytest.raises(InvalidInput) as caught:
        await rig.add("C1", a_bot("alpha", A), a_bot("beta", "nowhere"))
    assert caught.value.facts["field"] == "url"
    with pytest.raises(InvalidInput):
        await rig.add("C1", a_bot("alpha", A, peer="north"))
    with pytest.raises(InvalidInput):
        await rig.add("", a_bot("alpha", A))
    assert rig.places() == []


async def test_bots_go_one_by_one_and_the_binding_with_the_last() -> None:
    """One that is not there is told with those that are."""
    rig = await binding_rig()
    await rig.add("C1", a_bot("alpha", A), a_bot("beta", B))
    with pytest.raises(NotFound) as caught:
        await rig.remove("C1", "gamma")
    assert caught.value.facts["fix"] == "one of alpha, beta"
    assert (await rig.remove("C1", "alpha")).change.kind is ChangeKind.CHANGED
    gone = await rig.remove("C1", "beta")
    assert (gone.binding, gone.change.kind) == (None, ChangeKind.REMOVED)
    assert rig.places() == []


async def test_there_is_a_limit_of_bindings(monkeypatch: pytest.MonkeyPatch) -> None:
    """For orders, undone removals and imports."""
    monkeypatch.setattr(shell, "BINDINGS_LIMIT", 1)
    rig = await binding_rig()
    await rig.add("C1", a_bot())
    with pytest.raises(Overloaded):
        await rig.add("C2", a_bot())
    file = '{"version":1,"bindings":[{"platform":"slack","chat_id":"C2","bots":{"x":"http://h"}}]}'
    with pytest.raises(Overloaded):
        await rig.do(ImportBindings(document=file))
    await rig.remove("C1")
    await rig.add("C2", a_bot())
    with pytest.raises(Overloaded):
        await undo(rig, "C1")


async def test_an_order_whose_client_goes_away_is_done_whole() -> None:
    """What was asked of the store is written; memory follows it, and the next order sees it."""
    store = SlowStore()
    rig = await binding_rig(store)
    gone = asyncio.ensure_future(rig.add("C1", a_bot("alpha", A)))
    await store.asked.wait()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert gone.cancelled()
    next_one = asyncio.ensure_future(rig.add("C1", a_bot("beta", B), expected=1))
    await until_idle()
    store.write()
    assert (await next_one).change.number == 2
    assert rig.places() == [f"slack:C1 alpha={A} beta={B}"]


# -- undo and history --------------------------------------------------------------------------------------------------


async def test_undo_takes_the_last_change_back_and_again_makes_it() -> None:
    """Also one that added or removed the binding."""
    rig = await binding_rig()
    await rig.add("C1", a_bot("alpha", A))
    await rig.add("C1", a_bot("alpha", B))
    seen: list[list[str]] = []
    for _ in range(2):
        await undo(rig)
        seen.append(rig.places())
    await rig.remove("C1")
    for _ in range(2):
        await undo(rig)
        seen.append(rig.places())
    assert seen == [[f"slack:C1 alpha={A}"], [f"slack:C1 alpha={B}"], [f"slack:C1 alpha={B}"], []]
    assert [kind for _, kind, _ in await binding_history(rig)][:2] == ["undone", "undone"]


async def test_undo_is_of_one_binding() -> None:
    """What was done to others meanwhile stays; without a change there is nothing to undo."""
    rig = await binding_rig()
    await rig.add("C1", a_bot("alpha", A))
    await rig.add("C2", a_bot("alpha", B))
    await undo(rig, "C1", expected=1)
    assert rig.places() == [f"slack:C2 alpha={B}"]
    with pytest.raises(NotFound):
        await undo(rig, "C")
    with pytest.raises(NotFound):
        await undo(rig, "C22")


async def test_history_is_read_in_pages_of_all_or_of_one() -> None:
    """The latest first."""
    rig = await binding_rig()
    for number in range(6):
        await rig.add(f"C{number % 2}", a_bot("alpha", f"https://h{number}.example"))
    await rig.add("C1", a_bot("alpha", A), platform="telegram")
    assert await binding_history(rig, limit=2) == [("C1", "added", 7), ("C1", "changed", 6)]
    assert await binding_history(rig, before=3) == [("C1", "added", 2), ("C0", "added", 1)]
    assert await binding_history(rig, platform="slack", chat="C1", limit=2) == [
        ("C1", "changed", 6),
        ("C1", "changed", 4),
    ]
    assert await binding_history(rig, platform="slack", chat="C1", before=4) == [("C1", "added", 2)]
    assert [number for _, _, number in await binding_history(rig, platform="telegram")] == [7]
    page = await rig.ask(ListBindingChanges(limit=3))
    assert page.has_more
    assert not (await rig.ask(ListBindingChanges(platform="slack", chat="C0", limit=3))).has_more
    for wrong in (ListBindingChanges(limit=0), ListBindingChanges(limit=501), ListBindingChanges(before=-1)):
        with pytest.raises(InvalidInput):
            await rig.ask(wrong)


async def test_only_the_newest_changes_are_kept() -> None:
    """The others leave no row; what cannot be undone any more is said to be so, and nothing else is undone for it."""
    store = MemoryStore()
    rig = await binding_rig(store, kept_changes=3)
    await rig.add("C1", a_bot("alpha", A))
    await rig.add("C2", a_bot("alpha", A))
    await rig.remove("C2")
    for number in range(3):
        await rig.add("C3", a_bot("alpha", f"https://h{number}.example"))
    assert [number for _, _, number in await binding_history(rig)] == [6, 5, 4]
    assert len(await store.scan("relay/binding_change")) == 6
    with pytest.raises(NotFound):
        await undo(rig, "C1")
    with pytest.raises(NotFound):
        await undo(rig, "C2")
    again = await rig.add("C1", a_bot("alpha", A))
    assert again.change.number == 1
    restarted = await binding_rig(store, kept_changes=3)
    assert (await restarted.add("C1", a_bot("beta", A))).change.number == 7


async def test_a_change_that_cannot_be_read_is_passed_over() -> None:
    """History is worth less than what goes on: orders, pages and what is let go work."""
    store = MemoryStore()
    rig = await binding_rig(store, kept_changes=3)
    for number in range(3):
        await rig.add("C1", a_bot("alpha", f"https://h{number}.example"))
    rows = await store.scan("relay/binding_change/")
    await store.commit(Batch([Put(rows[0].key, b"{"), Put(rows[2].key, b"\xff")]))
    assert [number for _, _, number in await binding_history(rig)] == [2]
    with pytest.raises(NotFound):
        await undo(rig)
    assert (await rig.add("C1", a_bot("alpha", A))).change.number == 4
    assert [number for _, _, number in await binding_history(rig, platform="slack", chat="C1")] == [4, 2]


# -- questions ---------------------------------------------------------------------------------------------------------


async def test_lists_have_what_was_asked_for_and_all_ambiguities() -> None:
    """By platform and chat."""
    rig = await binding_rig()
    await rig.add("C2", a_bot("alpha", A))
    await rig.add("C1", a_bot("alpha", B))
    await rig.add("C1", a_bot("alpha", C), platform="telegram")
    listed = await rig.ask(ListBindings(platform="slack"))
    assert [(view.platform, view.chat) for view in listed.bindings] == [("slack", "C1"), ("slack", "C2")]
    assert [(one.name, len(one.urls)) for one in listed.ambiguities] == [("alpha", 3)]
    assert len((await rig.ask(ListBindings())).bindings) == 3


async def test_a_check_says_what_a_bot_would_be_and_changes_nothing() -> None:
    """With the networks of the configuration that hold for every bot."""
    rig = await binding_rig(networks=("127.0.0.0/8",))
    check = await rig.ask(CheckBot(platform="slack", chat="C1", bot=a_bot(url="http://127.0.0.1:80/relay")))
    assert (check.problems, check.origin) == ((), "http://127.0.0.1")
    assert rig.places() == []


async def test_who_needs_one_bot_gets_it_or_the_reason() -> None:
    """Several that fit are a conflict that can be decided; none is not found."""
    rig = await binding_rig()
    await rig.add("C1", a_bot("alpha", A), a_bot("off", A, enabled=False))
    assert rig.bindings.demand("alpha").origin == A
    await rig.add("C2", a_bot("alpha", B))
    with pytest.raises(ConflictError, match=B):
        rig.bindings.demand("alpha")
    for name in ("nobody", "off"):
        with pytest.raises(NotFound):
            rig.bindings.demand(name)
    assert rig.bindings.demand("alpha", url=B).bot.url == B
    assert (await rig.ask(ResolveBot(name="alpha", platform="slack", chat="C2"))).chosen is not None
    assert [candidate.bot.name for candidate in rig.bindings.bots_of(A)] == ["alpha", "off"]


async def test_everything_that_is_raised_is_an_error_of_the_facade() -> None:
    """Whatever is in the fields."""
    rig = await binding_rig()
    for text in ("", "*", "a b", "\x00", "\ud800", "a/b", "x" * 10_000, "\n", "\u202e"):
        for command in (
            AddBinding(platform=text, chat=text, bots=(a_bot(text, text),)),
            RemoveBinding(platform=text, chat=text, bot=text),
            UndoBinding(platform=text, chat=text),
            ImportBindings(document=text),
        ):
            with pytest.raises(HermesError):
                await rig.do(command, SYSTEM)
        assert (await rig.ask(ResolveBot(name=text, platform=text, chat=text))).chosen is None
        await rig.ask(CheckBot(platform=text, chat=text, bot=a_bot(text, text, peer=text, networks=(text,))))
        if text not in {"", "*", "a/b"}:
            with pytest.raises(InvalidInput):
                await rig.ask(ListBindingChanges(platform=text, chat=text))
