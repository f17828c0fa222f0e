"""Answers of bots: asked for, taken, kept when late, told once."""

import asyncio
import copy

import msgspec
import pytest

from core.api.base import SessionId
from core.api.errors import NotFound, Unavailable
from core.api.relay_tasks import AttemptResult, RelayAnsweredLate, RelayEnded, RelayReason, RelayState
from core.relay.wire import Reply
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.journals import until_idle
from tests.support.relay_out import DOWN, HOLD, LOST, REFUSED, SILENT, FakeAdapter, RelayOut, completed, relay_out

SESSION = SessionId("local:dm:8841")
PEER = "far"


async def _told(relay: RelayOut, count: int) -> None:
    async with asyncio.timeout(10):
        while len(relay.askers.told) < count:
            await relay.clock.advance(0)


async def test_an_answer_is_asked_for_with_growing_waits() -> None:
    """One second at first, doubling; the answer ends the message and the asking."""
    async with relay_out() as relay:
        task_id = await relay.send_one()
        await relay.until(task_id, RelayState.WORKING)
        waits: list[float] = []
        for _ in range(4):
            before, count = relay.clock.monotonic(), len(relay.adapter.asks)
            while len(relay.adapter.asks) == count:
                await relay.clock.advance(0.1)
            waits.append(relay.clock.monotonic() - before)
        assert waits == sorted(waits)
        assert waits[3] > 4 * waits[0]
        relay.adapter.answers["bot"].append(completed("42"))
        await relay.clock.advance(60.0)
        task = await relay.until(task_id, RelayState.COMPLETED)
        assert (task.answer, task.reason) == ("42", RelayReason.NONE)
        count = len(relay.adapter.asks)
        await relay.clock.advance(600.0)
        assert len(relay.adapter.asks) == count


async def test_no_answer_in_time_is_said_and_a_late_one_is_kept() -> None:
    """The message failed as unanswered; the answer that comes after all is there, and marked as late."""
    async with relay_out(answer_limit_s=100.0, peers=(PEER,), is_bound=False) as relay:
        await relay.bind("bot", peer=PEER)
        task_id = await relay.send_one()
        await relay.until(task_id, RelayState.WORKING)
        for _ in range(20):
            await relay.clock.advance(10.0)
        task = await relay.until(task_id, RelayState.FAILED)
        assert task.reason is RelayReason.UNANSWERED
        await relay.answers.came(PEER, task.wire_id, completed("sorry for the delay"))
        task = await relay.task(task_id)
        assert (task.state, task.answer, task.is_late) == (RelayState.FAILED, "sorry for the delay", True)
        late = [event for event in await relay.events() if isinstance(event, RelayAnsweredLate)]
        assert [event.task.answer for event in late] == ["sorry for the delay"]
        await relay.answers.came(PEER, task.wire_id, completed("sorry for the delay"))
        assert (await relay.task(task_id)).version == task.version


async def test_only_the_peer_that_was_asked_can_answer() -> None:
    """An answer of another peer, or to a message that nobody sent, is not found."""
    async with relay_out(peers=(PEER, "other"), is_bound=False) as relay:
        await relay.bind("bot", peer=PEER)
        task_id = await relay.send_one()
        await relay.until(task_id, RelayState.WORKING)
        for peer, wire_id in (("other", task_id), ("", task_id), (PEER, "no-such")):
            with pytest.raises(NotFound):
                await relay.answers.came(peer, wire_id, completed("mine"))
        await relay.answers.came(PEER, task_id, Reply(result=AttemptResult.DELIVERED, state=RelayState.WORKING))
        assert (await relay.task(task_id)).state is RelayState.WORKING
        await relay.answers.came(PEER, task_id, completed("mine"))
        assert (await relay.task(task_id)).state is RelayState.COMPLETED


async def test_an_answer_to_an_attempt_that_seemed_lost_ends_the_message() -> None:
    """It is not sent again, and its letter goes."""
    async with relay_out(peers=(PEER,), is_bound=False, retries_s=(60.0,)) as relay:
        await relay.bind("bot", peer=PEER)
        relay.adapter.replies["bot"].append(LOST)
        task_id = await relay.send_one()
        await relay.when(task_id, lambda task: task.due is not None)
        await relay.answers.came(PEER, task_id, completed("had it all along"))
        await relay.clock.advance(120.0)
        assert (await relay.task(task_id)).state is RelayState.COMPLETED
        assert len(relay.adapter.sent) == 1
        assert relay.mail.counts("relay.") == (0, 0)


async def test_an_answer_that_overtakes_its_receipt_counts() -> None:
    """The peer answers before it has said that it took the message."""
    async with relay_out(peers=(PEER,), is_bound=False) as relay:
        await relay.bind("bot", peer=PEER)
        relay.adapter.replies["bot"].append(HOLD)
        task_id = await relay.send_one()
        await relay.until(task_id, RelayState.SENDING)
        await relay.answers.came(PEER, task_id, completed("quick"))
        relay.adapter.gate.set()
        task = await relay.when(task_id, lambda task: bool(task.attempts))
        assert (task.state, task.answer) == (RelayState.COMPLETED, "quick")
        await relay.clock.advance(1.0)
        assert relay.mail.counts("relay.") == (0, 0)


async def test_the_conversation_that_asked_is_told_once() -> None:
    """The bot's words are the bot's; that is noted, and a start later nobody is told again."""
    store, clock, adapter = MemoryStore(), FakeClock(), FakeAdapter()
    adapter.replies["bot"].append(completed("yes"))
    async with relay_out(store=store, clock=clock, adapter=adapter) as relay:
        task_id = await relay.send_one(session_id=SESSION)
        await _told(relay, 1)
        assert relay.askers.told[0][:4] == (SESSION, "yes", "bot", True)
        await relay.when(task_id, lambda task: not task.is_untold)
        assert relay.ledger.find_live(task_id) is None
    async with relay_out(store=store, clock=clock, adapter=adapter, is_bound=False) as relay:
        await relay.clock.advance(60.0)
        assert relay.askers.told == []


async def test_who_asked_is_told_after_a_crash_that_came_before() -> None:
    """Over and untold is kept as such, and the second telling has the key of the first."""
    store, clock, adapter = MemoryStore(), FakeClock(), FakeAdapter()
    adapter.replies["bot"].append(completed("yes"))
    async with relay_out(store=store, clock=clock, adapter=adapter) as relay:
        relay.askers.faults.append(Unavailable("not now"))
        task_id = await relay.send_one(session_id=SESSION)
        await relay.until(task_id, RelayState.COMPLETED)
        left = copy.deepcopy(store)
        await until_idle()
        assert not relay.askers.faults
        await relay.clock.advance(2.0)
        await _told(relay, 1)
        first = relay.askers.told[0]
    async with relay_out(store=left, clock=clock, adapter=adapter, is_bound=False) as relay:
        await _told(relay, 1)
        assert relay.askers.told == [first]


@pytest.mark.parametrize(
    ("reply", "word"), [(REFUSED, "does not take"), (SILENT, "no answer came"), (DOWN, "could not be delivered")]
)
async def test_what_did_not_work_is_a_note_and_no_words_of_the_bot(reply: Reply, word: str) -> None:
    """An agent is never given an error as if somebody had said it."""
    async with relay_out(retries_s=(), schedule_s=()) as relay:
        relay.adapter.replies["bot"].append(reply)
        await relay.send_one(session_id=SESSION)
        await _told(relay, 1)
        _, text, bot, is_answer, _ = relay.askers.told[0]
        assert word in text
        assert (bot, is_answer) == ("bot", False)


async def test_a_far_side_that_lost_the_message_has_not_done_it() -> None:
    """It had it, and says that it knows nothing of it any more: failed, unanswered, in its words."""
    lost = msgspec.structs.replace(SILENT, state=RelayState.FAILED, error="it knows nothing of the task any more")
    async with relay_out() as relay:
        relay.adapter.answers["bot"].append(lost)
        task_id = await relay.send_one(session_id=SESSION)
        await relay.until(task_id, RelayState.WORKING)
        await relay.clock.advance(5.0)
        task = await relay.until(task_id, RelayState.FAILED)
        assert (task.reason, task.error) == (RelayReason.UNANSWERED, lost.error)
        await _told(relay, 1)
        assert relay.askers.told[0][3] is False


async def test_what_there_was_when_it_failed_does_not_pass_for_the_answer() -> None:
    """The conversation is told that it failed, and why; the text is in the message."""
    broken = msgspec.structs.replace(completed("half of it"), state=RelayState.FAILED, error="out of luck")
    async with relay_out() as relay:
        relay.adapter.replies["bot"].append(broken)
        task_id = await relay.send_one(session_id=SESSION)
        await _told(relay, 1)
        _, text, _, is_answer, _ = relay.askers.told[0]
        assert is_answer is False
        assert "out of luck" in text
        assert (await relay.until(task_id, RelayState.FAILED)).answer == "half of it"


async def test_a_late_answer_is_told_too() -> None:
    """First that no answer came, then the answer."""
    async with relay_out(answer_limit_s=10.0, peers=(PEER,), is_bound=False) as relay:
        await relay.bind("bot", peer=PEER)
        task_id = await relay.send_one(session_id=SESSION)
        await relay.until(task_id, RelayState.WORKING)
        for _ in range(12):
            await relay.clock.advance(1.0)
        await _told(relay, 1)
        await relay.answers.came(PEER, task_id, completed("at last"))
        await _told(relay, 2)
        assert [told[3] for told in relay.askers.told] == [False, True]
        assert relay.askers.told[0][4] != relay.askers.told[1][4]
        assert [type(event) for event in await relay.events()].count(RelayEnded) == 1


async def test_a_conversation_that_is_gone_ends_the_telling() -> None:
    """What cannot be told is said once to the operators, and the message is over."""
    async with relay_out() as relay:
        relay.adapter.replies["bot"].append(completed("yes"))
        relay.askers.faults.append(NotFound("no such session", noun="session", id=SESSION))
        task_id = await relay.send_one(session_id=SESSION)
        await relay.when(task_id, lambda task: task.state is RelayState.COMPLETED and not task.is_untold)
        assert [what for what, _ in relay.faults] == [f"relay answer for {SESSION}"]


async def test_asking_goes_on_after_a_restart() -> None:
    """What was delivered before is asked for by the next start."""
    store, clock, adapter = MemoryStore(), FakeClock(), FakeAdapter()
    async with relay_out(store=store, clock=clock, adapter=adapter) as relay:
        task_id = await relay.send_one()
        await relay.until(task_id, RelayState.WORKING)
    adapter.answers["bot"].append(completed("still here"))
    async with relay_out(store=store, clock=clock, adapter=adapter, is_bound=False) as relay:
        await relay.clock.advance(2.0)
        assert (await relay.until(task_id, RelayState.COMPLETED)).answer == "still here"
        assert len(adapter.sent) == 1


async def test_many_open_questions_cost_one_task_and_few_calls_at_a_time() -> None:
    """Hundreds of unanswered messages: no job for each, at most four questions to one far side at once."""
    async with relay_out() as relay:
        ids = [await relay.send_one() for _ in range(300)]
        for each in ids:
            await relay.until(each, RelayState.WORKING)
        assert relay.supervisor.job_count <= 2
        await relay.clock.advance(1.0)
        for _ in range(400):
            await asyncio.sleep(0)
        assert len(relay.adapter.asks) == 300


async def test_what_only_says_that_a_cancelled_message_was_cancelled_is_no_late_answer() -> None:
    """Words that come after all are kept; an echo of our own order is not."""
    async with relay_out(peers=(PEER,), is_bound=False) as relay:
        await relay.bind("bot", peer=PEER)
        task_id = await relay.send_one()
        await relay.until(task_id, RelayState.WORKING)
        await relay.cancel(task_id)
        echo = Reply(result=AttemptResult.DELIVERED, state=RelayState.CANCELED)
        await relay.answers.came(PEER, task_id, echo)
        assert not (await relay.task(task_id)).is_late
        await relay.answers.came(PEER, task_id, completed("it was done by then"))
        task = await relay.task(task_id)
        assert (task.state, task.is_late, task.answer) == (RelayState.CANCELED, True, "it was done by then")


async def test_a_late_answer_to_a_dead_message_is_kept() -> None:
    """Nobody could tell whether it had arrived, and now somebody can."""
    async with relay_out(peers=(PEER,), is_bound=False, retries_s=(), schedule_s=()) as relay:
        await relay.bind("bot", peer=PEER)
        relay.adapter.replies["bot"].append(LOST)
        task_id = await relay.send_one()
        assert (await relay.until(task_id, RelayState.DEAD)).reason is RelayReason.UNKNOWN
        await relay.answers.came(PEER, task_id, completed("had it"))
        task = await relay.task(task_id)
        assert (task.state, task.is_late, task.answer) == (RelayState.DEAD, True, "had it")
        assert relay.ledger.tally(task.origin).dead == 1
