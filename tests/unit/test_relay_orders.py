"""What operators want done with messages: send, cancel, another address, send again."""

import asyncio

import msgspec
import pytest

from core.api.base import SessionId
from core.api.errors import ConflictError, InvalidInput, NotFound, Overloaded, Refused, StoreError
from core.api.relay_tasks import (
    AttemptResult,
    RelayDirection,
    RelayReason,
    RelayState,
    RelayTaskId,
    Trigger,
)
from core.relay.mail_names import mailbox_of
from tests.support.journals import until_idle
from tests.support.outbox import FullStore
from tests.support.relay_out import (
    DOWN,
    HOLD,
    LOST,
    REFUSED,
    SILENT,
    completed,
    relay_out,
)

ORIGIN = "http://10.0.0.7:8080"
SESSION = SessionId("local:dm:8841")
OVER = (RelayState.COMPLETED, RelayState.FAILED, RelayState.CANCELED, RelayState.DEAD)


async def test_a_dead_message_is_replayed_under_its_own_id() -> None:
    """It has a plan of its own again, keeps its attempts, and the receiver can tell that it is the same."""
    async with relay_out() as relay:
        relay.adapter.replies["bot"].append(REFUSED)
        task_id = await relay.send_one()
        await relay.until(task_id, RelayState.DEAD)
        dry = await relay.replay(task_id, is_dry_run=True)
        assert [view.state for view in dry.tasks] == [RelayState.DEAD]
        receipt = await relay.replay(task_id)
        assert [view.id for view in receipt.tasks] == [task_id]
        task = await relay.until(task_id, RelayState.WORKING)
        assert [attempt.trigger for attempt in task.attempts] == [Trigger.FIRST, Trigger.REPLAY]
        assert [call.id for call in relay.adapter.sent] == [task_id, task_id]
        with pytest.raises(ConflictError, match="not dead"):
            await relay.replay(task_id)
        with pytest.raises(NotFound):
            await relay.replay(RelayTaskId("nothing"))


async def test_all_dead_messages_of_a_bot_are_replayed_oldest_first() -> None:
    """Those of other bots, and those from before the time, stay dead."""
    async with relay_out() as relay:
        await relay.bind("bot", "other")
        relay.adapter.replies["bot"].extend([REFUSED] * 3)
        relay.adapter.replies["other"].append(REFUSED)
        ids: list[RelayTaskId] = []
        for name in ("bot", "bot", "other", "bot"):
            await relay.clock.advance(10.0)
            ids.append(await relay.send_one(name))
            await relay.until(ids[-1], RelayState.DEAD)
        since = (await relay.task(ids[1])).created.at
        receipt = await relay.replay(bot="bot", since=since)
        assert [view.id for view in receipt.tasks] == [ids[1], ids[3]]
        await relay.until(ids[3], RelayState.WORKING)
        assert [(await relay.task(each)).state for each in (ids[0], ids[2])] == [RelayState.DEAD, RelayState.DEAD]


async def test_the_same_order_given_twice_sends_once() -> None:
    """An id that the caller chose makes the second order a duplicate, also while the first is being stored."""
    async with relay_out() as relay:
        first, second = await asyncio.gather(relay.send("bot", id="order-7"), relay.send("bot", id="order-7"))
        assert sorted([first.is_duplicate, second.is_duplicate]) == [False, True]
        await relay.until("order-7", RelayState.WORKING)
        relay.adapter.answers["bot"].append(completed("done"))
        await relay.clock.advance(1.0)
        await relay.until("order-7", RelayState.COMPLETED)
        assert (await relay.send("bot", id="order-7")).is_duplicate
        assert len(relay.adapter.sent) == 1
        with pytest.raises(ConflictError, match="another message"):
            await relay.send("bot", id="order-7", text="something else")


async def test_a_fan_out_has_a_result_for_each_target() -> None:
    """One bot that refuses costs the others nothing, and each message knows its group."""
    async with relay_out() as relay:
        await relay.bind("a", "b", "c")
        relay.adapter.replies["b"].append(REFUSED)
        receipt = await relay.send("a", "b", "c")
        assert [view.bot for view in receipt.tasks] == ["a", "b", "c"]
        assert {view.group for view in receipt.tasks} == {receipt.tasks[0].id}
        states = [(await relay.until(view.id, RelayState.WORKING, RelayState.DEAD)).state for view in receipt.tasks]
        assert states == [RelayState.WORKING, RelayState.DEAD, RelayState.WORKING]


async def test_nothing_is_stored_when_one_of_several_bots_is_unknown() -> None:
    """A wrong name refuses the whole order."""
    async with relay_out() as relay:
        with pytest.raises(NotFound):
            await relay.send("bot", "nobody")
        assert list(relay.ledger.live()) == []


@pytest.mark.parametrize(
    ("to", "fields", "field"),
    [
        ((), {}, "to"),
        (("bot", "bot"), {}, "to"),
        (("bot",), {"text": "  "}, "text"),
        (("bot",), {"text": "x" * 100_001}, "text"),
        (("bot", "other"), {"id": "one"}, "id"),
        (("bot", "other"), {"url": "http://10.0.0.7"}, "url"),
        (("bot",), {"id": "a.b"}, "id"),
        (("bot",), {"id": "a/b"}, "id"),
        (("bot",), {"context": "a\nb"}, "context"),
        (("bot",), {"session_id": "nowhere"}, "session_id"),
    ],
)
async def test_an_order_that_cannot_be_names_field_value_and_fix(
    to: tuple[str, ...], fields: dict[str, str], field: str
) -> None:
    """Nothing is half done."""
    async with relay_out() as relay:
        with pytest.raises(InvalidInput) as caught:
            await relay.send(*to, **fields)
        assert caught.value.facts["field"] == field
        assert caught.value.facts["fix"]
        assert list(relay.ledger.live()) == []


async def test_more_than_may_wait_is_refused_as_overload() -> None:
    """Nobody fills the memory of the core with messages to one far side."""
    async with relay_out(queue_limit=2) as relay:
        relay.adapter.replies["bot"].extend([HOLD, HOLD])
        results = await asyncio.gather(*(relay.send("bot") for _ in range(4)), return_exceptions=True)
        refused = [each for each in results if isinstance(each, Overloaded)]
        assert len(refused) == 2
        assert refused[0].facts["limit"] == 2
        relay.adapter.gate.set()


async def test_a_message_that_has_come_around_is_kept_as_dead_with_its_path() -> None:
    """The order is refused, and what was refused can be looked at."""
    async with relay_out(turn_limit=2) as relay:
        for _ in range(2):
            await relay.send_one(session_id=SESSION)
        with pytest.raises(Refused) as caught:
            await relay.send_one(session_id=SESSION)
        assert caught.value.facts["rule"] == "relay_loop"
        task = await relay.task(str(caught.value.facts["id"]))
        assert (task.state, task.reason) == (RelayState.DEAD, RelayReason.LOOP)
        assert task.trail.path
        assert not task.is_untold
        assert len(relay.adapter.sent) <= 2


async def test_five_cancellations_leave_the_breaker_closed() -> None:
    """What we cut off ourselves says nothing about the far side, which is told of it."""
    async with relay_out() as relay:
        for _ in range(5):
            relay.adapter.replies["bot"].append(HOLD)
            relay.adapter.begun.clear()
            task_id = await relay.send_one()
            async with asyncio.timeout(10):
                await relay.adapter.begun.wait()
            receipt = await relay.cancel(task_id, "not needed")
            assert receipt.tasks[0].state is RelayState.CANCELED
            task = await relay.task(task_id)
            assert task.attempts[0].result is AttemptResult.CUT_OFF
            assert task.error == "not needed"
        breaker = relay.targets.view(ORIGIN).breaker
        assert breaker.state == "closed"
        relay.adapter.replies["bot"].append(SILENT)
        await relay.until(await relay.send_one(), RelayState.COMPLETED)
        assert len(relay.adapter.cancels) == 5


async def test_a_message_that_waits_is_withdrawn_and_never_sent() -> None:
    """Its letter goes in the commit that cancels it."""
    async with relay_out(retries_s=(60.0,)) as relay:
        relay.adapter.replies["bot"].append(DOWN)
        task_id = await relay.send_one()
        await relay.when(task_id, lambda task: task.due is not None)
        await relay.cancel(task_id)
        await relay.clock.advance(120.0)
        assert (await relay.task(task_id)).state is RelayState.CANCELED
        assert len(relay.adapter.sent) == 1
        assert relay.mail.outline(mailbox_of(ORIGIN)).depth == 0
        assert relay.adapter.cancels == []
        with pytest.raises(ConflictError, match="canceled already"):
            await relay.cancel(task_id)


async def test_the_far_side_is_told_that_nobody_wants_the_answer() -> None:
    """A delivered message is cancelled over there too; an answer that is ready counts more."""
    async with relay_out() as relay:
        first, second = await relay.send_one(), await relay.send_one()
        for each in (first, second):
            await relay.until(each, RelayState.WORKING)
        await relay.cancel(first)
        assert [call.id for call in relay.adapter.cancels] == [first]
        relay.adapter.to_cancel.append(completed("too late"))
        with pytest.raises(ConflictError, match="completed already"):
            await relay.cancel(second)
        assert (await relay.task(second)).answer == "too late"


async def test_a_message_can_be_given_another_address() -> None:
    """One that waits goes there at once; a dead one stays dead until it is replayed; one under way cannot be moved."""
    async with relay_out(retries_s=(60.0,)) as relay:
        await relay.bind("spare", port=9090)
        relay.adapter.replies["bot"].append(DOWN)
        waiting = await relay.send_one()
        await relay.when(waiting, lambda task: task.due is not None)
        await relay.retarget(waiting, "spare")
        task = await relay.until(waiting, RelayState.WORKING)
        assert [call.bot.name for call in relay.adapter.sent] == ["bot", "spare"]
        assert task.origin == "http://10.0.0.7:9090"
        with pytest.raises(ConflictError, match="working"):
            await relay.retarget(waiting, "bot")
        relay.adapter.replies["bot"].append(REFUSED)
        dead = await relay.send_one()
        await relay.until(dead, RelayState.DEAD)
        await relay.retarget(dead, "spare")
        assert (await relay.task(dead)).state is RelayState.DEAD
        assert relay.ledger.tally("http://10.0.0.7:9090").dead == 1
        await relay.replay(dead)
        await relay.until(dead, RelayState.WORKING)
        assert relay.adapter.sent[-1].bot.name == "spare"


async def test_a_message_that_came_in_is_cancelled_by_the_other_half() -> None:
    """It has no letter and no far side to tell, and it is never sent or moved."""
    async with relay_out() as relay:
        await relay.send_one(id="like-this")
        like = await relay.until("like-this", RelayState.WORKING)
        incoming = msgspec.structs.replace(
            like, id=RelayTaskId("far/1"), wire_id="1", direction=RelayDirection.IN, version=0, bot=None, place=""
        )
        await relay.ledger.keep(incoming, None)
        with pytest.raises(ConflictError):
            await relay.retarget(RelayTaskId("far/1"), "bot")
        receipt = await relay.cancel(RelayTaskId("far/1"))
        assert receipt.tasks[0].state is RelayState.CANCELED
        with pytest.raises(ConflictError):
            await relay.replay(RelayTaskId("far/1"))
        assert relay.adapter.cancels == []


async def test_a_message_that_may_have_arrived_is_taken_back_over_there_too() -> None:
    """Its attempt got no answer; whether the far side has it or not, it is told."""
    async with relay_out(retries_s=(60.0,)) as relay:
        relay.adapter.replies["bot"].append(LOST)
        task_id = await relay.send_one()
        await relay.when(task_id, lambda task: task.due is not None)
        await relay.cancel(task_id)
        await until_idle()
        assert [call.id for call in relay.adapter.cancels] == [task_id]


async def test_an_order_that_cannot_be_stored_is_no_turn_of_its_conversation() -> None:
    """Whoever asks again once there is room is in no loop."""
    store = FullStore()
    async with relay_out(store=store, turn_limit=2) as relay:
        await relay.until(await relay.send_one(), RelayState.WORKING)
        store.is_full = True
        for _ in range(5):
            with pytest.raises(StoreError):
                await relay.send_one(session_id=SESSION)
        store.is_full = False
        task_id = await relay.send_one(session_id=SESSION)
        await relay.until(task_id, RelayState.WORKING)
