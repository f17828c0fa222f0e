"""Parts of one message: albums and lines typed in a burst share a turn, and can be taken apart while they wait."""

import msgspec
import pytest

from core.api.base import Mark, MessageId
from core.api.errors import Refused
from core.api.session_orders import SplitMessage
from core.api.sessions import MessageView, Mode, Voice
from core.gateway.lane import Waiting, together
from core.gateway.merging import part_of, split
from core.gateway.platform import InboundEdit
from core.gateway.session import Place, turn_size, whole_at
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.gateway import SESSION, Gateway, gateway, inbound
from tests.support.views import message

BURST_S = 0.35


def waits(name: str, at: float, *, sender: str = "7", group: str = "", part: str | None = None) -> Waiting:
    """A message that came at that second."""
    view = message(
        name,
        id=MessageId(name),
        voice=Voice.USER,
        received=Mark(at, at),
        part_of=None if part is None else MessageId(part),
        mode=Mode.QUEUE,
        effective_mode=Mode.QUEUE,
    )
    return Waiting(view, sender, group_id=group)


def joins(
    queue: list[Waiting], at: float, *, sender: str = "7", group: str = "", mode: Mode = Mode.QUEUE
) -> str | None:
    """What a message that comes at that second is a part of."""
    return part_of(tuple(queue), sender, group, mode, now=Mark(at, at), burst_s=BURST_S)


def test_a_line_typed_at_once_after_another_is_a_part_of_it() -> None:
    """And the next one too, of the first."""
    assert joins([waits("a", 10.0)], 10.3) == "a"
    assert joins([waits("a", 10.0), waits("b", 10.3, part="a")], 10.6) == "a"


@pytest.mark.parametrize(
    ("queue", "at", "sender", "mode"),
    [
        ([], 10.3, "7", Mode.QUEUE),
        ([waits("a", 10.0)], 10.4, "7", Mode.QUEUE),
        ([waits("a", 10.0)], 10.3, "8", Mode.QUEUE),
        ([waits("a", 10.0)], 10.3, "", Mode.QUEUE),
        ([waits("a", 10.0)], 10.3, "7", Mode.FOLLOWUP),
        ([waits("a", 10.0)], 10.3, "7", Mode.INTERRUPT),
        ([waits("a", 10.0, group="g")], 10.3, "7", Mode.QUEUE),
        ([waits("a", 10.0), waits("b", 10.3, part="a"), waits("c", 10.9, part="a")], 11.1, "7", Mode.QUEUE),
    ],
    ids=[
        "nothing waits",
        "too late",
        "another sender",
        "nobody",
        "shares turns anyway",
        "another mode",
        "an album",
        "too long",
    ],
)
def test_a_line_that_stands_for_itself(queue: list[Waiting], at: float, sender: str, mode: Mode) -> None:
    """Whatever is not one burst of one person in one mode."""
    assert joins(queue, at, sender=sender, mode=mode) is None


def test_parts_of_an_album_belong_together_however_long_they_take() -> None:
    """The platform says so itself."""
    assert joins([waits("a", 10.0, group="g")], 60.0, group="g") == "a"
    assert joins([waits("a", 10.0, group="g")], 60.0, group="h") is None


@pytest.mark.parametrize(
    ("chosen", "after"),
    [
        ("a", {"a": None, "b": None, "c": "b", "d": "b"}),
        ("b", {"a": None, "b": None, "c": None, "d": "c"}),
        ("d", {"a": None, "b": "a", "c": "a", "d": None}),
    ],
)
def test_a_part_that_is_taken_out_leaves_the_others_together(chosen: str, after: dict[str, str | None]) -> None:
    """Those before it stay as they are; those after it begin anew."""
    queue = (waits("a", 1), waits("b", 2, part="a"), waits("c", 3, part="a"), waits("d", 4, part="a"))
    changes = split(queue, MessageId(chosen))
    assert {item.message.id: changes.get(item.message.id, item.message.part_of) for item in queue} == after


def test_what_is_shown_is_what_is_answered_together() -> None:
    """A part whose first is gone, or stands elsewhere, is shown with the first of its neighbours."""
    queue: list[MessageView] = [waits(name, 1, part="gone").message for name in "abc"]
    assert [item.part_of for item in together(tuple(queue))] == [None, "a", "a"]
    other = waits("x", 2).message
    assert [item.part_of for item in together((queue[0], other, queue[1]))] == [None, None, None]


async def album(built: Gateway, *names: str) -> dict[str, MessageId]:
    """A session whose run goes on, and these parts of one album behind it."""
    await built.sessions.receive(inbound("first"))
    await built.agents.begun(1)
    return {
        name: (
            await built.sessions.receive(msgspec.structs.replace(inbound(name), group_id="g", native_id=f"n-{name}"))
        ).message_id
        for name in names
    }


async def test_an_album_has_one_turn() -> None:
    """Its parts are handed to the agent together, in their order."""
    async with gateway() as built:
        await album(built, "a", "b", "c")
        (await built.agents.begun(1)).answer("ok")
        run = await built.agents.begun(2)
        assert [message.text for message in run.messages] == ["a", "b", "c"]
        run.answer("ok")
        await built.settled()


async def test_a_part_that_was_taken_out_has_a_turn_of_its_own() -> None:
    """Also after a restart."""
    store = MemoryStore()
    async with gateway(store) as built:
        ids = await album(built, "a", "b", "c")
        receipt = await built.order(SplitMessage(session_id=SESSION, message_id=ids["b"]))
        assert [item.part_of for item in receipt.messages] == [None, None, None]
    async with gateway(store, boot=2) as built:
        await built.restart.recover()
        await built.restart.resume()
        for number in range(1, 5):
            run = await built.agents.begun(number)
            assert len(run.messages) == 1
            run.answer("ok")
        await built.settled()


async def test_a_message_that_is_being_answered_is_no_part_any_more() -> None:
    """It is refused in words."""
    async with gateway() as built:
        taken = await built.sessions.receive(inbound("first"))
        await built.agents.begun(1)
        with pytest.raises(Refused, match="being answered"):
            await built.order(SplitMessage(session_id=SESSION, message_id=taken.message_id))
        (await built.agents.begun(1)).answer("ok")
        await built.settled()


def changed(name: str, words: str, sender: str) -> InboundEdit:
    """A change that somebody made."""
    return InboundEdit(
        platform=inbound("x").platform, source=inbound("x").source, sender_id=sender, native_id=f"n-{name}", text=words
    )


async def test_a_waiting_message_says_what_its_sender_changed_it_to() -> None:
    """At its place; what is being answered or was another's stays as it was said."""
    async with gateway() as built:
        await album(built, "a", "b")
        sender = inbound("x").sender_id
        await built.intake.edited(changed("b", "better", sender))
        await built.intake.edited(changed("a", "forged", "somebody else"))
        await built.intake.edited(changed("unknown", "nothing", sender))
        (await built.agents.begun(1)).answer("ok")
        run = await built.agents.begun(2)
        assert [message.text for message in run.messages] == ["a", "better"]
        await built.intake.edited(changed("b", "too late", sender))
        run.answer("ok")
        await built.settled()


@pytest.mark.parametrize("mode", list(Mode))
async def test_an_album_has_one_turn_in_every_mode_also_where_nothing_runs(mode: Mode) -> None:
    """Its first part does not go ahead of the others."""
    clock = FakeClock()
    async with gateway(clock=clock, mode=mode, collect_s=0.5) as built:
        for name in ("a", "b", "c"):
            part = msgspec.structs.replace(inbound(name), group_id="g", native_id=f"n-{name}")
            await built.sessions.receive(part)
        assert built.agents.runs == []
        await clock.advance(1.0)
        run = await built.agents.begun(1)
        assert [message.text for message in run.messages] == ["a", "b", "c"]
        run.answer("ok")
        await built.settled()


def test_what_collects_behind_an_album_does_not_hold_it_up() -> None:
    """A turn waits for its own messages."""
    head = [Place(Mode.QUEUE, due=1.0, group="a"), Place(Mode.QUEUE, due=2.0, group="a")]
    assert whole_at([*head, Place(Mode.COLLECT, due=600.0, group="x")]) == 2.0
    assert turn_size([*head, Place(Mode.COLLECT, due=600.0, group="x")], 2.0) == 2
