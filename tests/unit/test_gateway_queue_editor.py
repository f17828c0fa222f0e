"""An operator puts waiting messages into another order, or has one taken in another way; a restart keeps it."""

import pytest

from core.api.base import MessageId
from core.api.errors import InvalidInput, NotFound, Refused
from core.api.session_orders import MoveMessage, QueueChanged, QueueReceipt, SetMessageMode
from core.api.sessions import MessageSteered, Mode, RunEnded
from core.gateway.unanswered import MAILBOX
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.gateway import SESSION, Gateway, gateway, inbound


async def waiting(built: Gateway, *names: str, mode: Mode = Mode.QUEUE) -> dict[str, MessageId]:
    """A session whose run goes on, and these messages behind it."""
    await built.sessions.receive(inbound("first"))
    await built.agents.begun(1)
    return {name: (await built.sessions.receive(inbound(name, mode=mode))).message_id for name in names}


def order(receipt: QueueReceipt) -> list[str]:
    """What the messages of a queue say."""
    return [message.text for message in receipt.messages]


async def answered(built: Gateway, count: int) -> list[str]:
    """Answer so many runs of this start; what each was for."""
    for number in range(count):
        (await built.agents.begun(number + 1)).answer("ok")
    await built.settled()
    return [run.messages[0].text for run in built.agents.runs]


async def test_a_moved_message_is_answered_at_its_new_place() -> None:
    """The receipt and the event tell the new order, and the ids stay."""
    async with gateway() as built:
        ids = await waiting(built, "a", "b", "c")
        receipt = await built.order(MoveMessage(session_id=SESSION, message_id=ids["c"], position=0))
        assert order(receipt) == ["c", "a", "b"]
        assert {message.text: message.id for message in receipt.messages} == ids
        (changed,) = await built.until(QueueChanged)
        assert isinstance(changed, QueueChanged)
        assert changed.messages == receipt.messages
        assert await answered(built, 4) == ["first", "c", "a", "b"]


async def test_a_restart_finds_the_order_and_the_modes_that_an_operator_left() -> None:
    """Also when what ran is put back before them, and several moves came one after another."""
    store = MemoryStore()
    async with gateway(store) as built:
        ids = await waiting(built, "a", "b", "c", "d")
        await built.order(MoveMessage(session_id=SESSION, message_id=ids["d"], position=1))
        await built.order(MoveMessage(session_id=SESSION, message_id=ids["a"], position=3))
        receipt = await built.order(SetMessageMode(session_id=SESSION, message_id=ids["b"], mode=Mode.FOLLOWUP))
        assert order(receipt) == ["d", "b", "c", "a"]
    async with gateway(store, boot=2) as built:
        await built.restart.recover()
        lane = built.lanes.lane(SESSION)
        found = [lane.waiting[item].message for item in lane.guard.queue]
        assert [message.text for message in found] == ["first", "d", "b", "c", "a"]
        assert [message.effective_mode for message in found if message.text in {"b", "c"}] == [
            Mode.FOLLOWUP,
            Mode.QUEUE,
        ]
        await built.restart.resume()
        assert await answered(built, 5) == ["first", "d", "b", "c", "a"]


async def test_a_message_that_is_moved_to_where_it_stands_changes_nothing() -> None:
    """No event, no new letters."""
    async with gateway() as built:
        ids = await waiting(built, "a", "b")
        before = [letter.id for letter in built.mail.letters(MAILBOX)]
        receipt = await built.order(MoveMessage(session_id=SESSION, message_id=ids["b"], position=1))
        assert order(receipt) == ["a", "b"]
        assert [letter.id for letter in built.mail.letters(MAILBOX)] == before
        assert not [event for event in await built.events() if isinstance(event, QueueChanged)]
        await answered(built, 3)


async def test_what_cannot_be_moved_is_said_and_left_as_it_is() -> None:
    """A place that is none, a message that runs, one that is not there."""
    async with gateway() as built:
        ids = await waiting(built, "a")
        running = built.lanes.lane(SESSION).guard.running[0]
        for message_id, position, error in (
            (ids["a"], 1, InvalidInput),
            (running, 0, Refused),
            (MessageId("none"), 0, NotFound),
        ):
            with pytest.raises(error):
                await built.order(MoveMessage(session_id=SESSION, message_id=message_id, position=position))
            if error is not InvalidInput:
                with pytest.raises(error):
                    await built.order(SetMessageMode(session_id=SESSION, message_id=message_id, mode=Mode.QUEUE))
        assert await answered(built, 2) == ["first", "a"]


async def test_messages_become_followups_and_share_a_turn() -> None:
    """What was to have its turn alone no longer does."""
    async with gateway() as built:
        ids = await waiting(built, "a", "b")
        for message_id in ids.values():
            await built.order(SetMessageMode(session_id=SESSION, message_id=message_id, mode=Mode.FOLLOWUP))
        (await built.agents.begun(1)).answer("ok")
        second = await built.agents.begun(2)
        assert [message.text for message in second.messages] == ["a", "b"]
        second.answer("ok")
        await built.until(RunEnded, 2)


async def test_a_waiting_message_can_be_steered_in_after_all() -> None:
    """It is offered to the run at once."""
    async with gateway() as built:
        ids = await waiting(built, "a")
        await built.order(SetMessageMode(session_id=SESSION, message_id=ids["a"], mode=Mode.STEER))
        await built.until(MessageSteered)
        run = await built.agents.begun(1)
        assert run.steered == ["a"]
        run.answer("ok")
        await built.until(RunEnded)


async def test_a_waiting_message_can_stop_the_run_before_it() -> None:
    """It keeps its place."""
    async with gateway() as built:
        ids = await waiting(built, "a", "b")
        await built.order(SetMessageMode(session_id=SESSION, message_id=ids["b"], mode=Mode.INTERRUPT))
        second = await built.agents.begun(2)
        assert second.messages[0].text == "a"
        second.answer("ok")
        (await built.agents.begun(3)).answer("ok")
        await built.until(RunEnded, 3)


async def test_what_collects_begins_when_it_no_longer_has_to() -> None:
    """The event says that nothing waits any more, and the run begins in the same commit."""
    async with gateway(clock=FakeClock(), collect_s=60.0) as built:
        accepted = await built.sessions.receive(inbound("a", mode=Mode.COLLECT))
        receipt = await built.order(SetMessageMode(session_id=SESSION, message_id=accepted.message_id, mode=Mode.QUEUE))
        assert receipt.messages == ()
        (changed,) = await built.until(QueueChanged)
        assert isinstance(changed, QueueChanged)
        assert changed.messages == ()
        assert await answered(built, 1) == ["a"]


async def test_a_moved_message_has_had_the_runs_that_it_had() -> None:
    """Attempts count over moves and restarts, so that one under which the core dies is given up all the same."""
    store = MemoryStore()
    async with gateway(store, max_attempts=2) as built:
        await built.sessions.receive(inbound("poison"))
        await built.agents.begun(1)
        await built.sessions.receive(inbound("other"))
    async with gateway(store, boot=2, max_attempts=2) as built:
        await built.restart.recover()
        poison, other = built.lanes.lane(SESSION).guard.queue
        await built.order(MoveMessage(session_id=SESSION, message_id=poison, position=1))
        run = await built.agents.begun(1)
        assert run.messages[0].id == other
        run.answer("ok")
        second = await built.agents.begun(2)
        assert second.messages[0].attempt == 2
    async with gateway(store, boot=3, max_attempts=2) as built:
        assert (await built.restart.recover()).given_up == 1
