"""What a bot says of its failure is no message to an agent here, and what it does after a failure is an answer."""

import asyncio

import msgspec

from core.api.base import SessionId
from core.api.relay_tasks import RelayState
from tests.support.relay_out import RelayOut, completed, relay_out

SESSION = SessionId("local:dm:8841")
PEER = "far"
FAILED = msgspec.structs.replace(completed("Traceback: try again"), state=RelayState.FAILED, error="no model")


async def _told(relay: RelayOut, count: int) -> None:
    async with asyncio.timeout(10):
        while len(relay.askers.told) < count:
            await relay.clock.advance(0)


async def test_words_of_a_failure_are_noted_and_begin_no_turn() -> None:
    """Else the errors of two bots would be their conversation."""
    async with relay_out() as relay:
        relay.adapter.replies["bot"].append(FAILED)
        task_id = await relay.send_one(session_id=SESSION)
        task = await relay.until(task_id, RelayState.FAILED)
        assert task.answer == "Traceback: try again"
        await _told(relay, 1)
        [(_, text, _, is_answer, _)] = relay.askers.told
        assert not is_answer
        assert ("no model" in text, "Traceback: try again" in text) == (True, True)


async def test_a_failure_that_comes_late_is_no_answer() -> None:
    """Nobody waits for it."""
    async with relay_out(answer_limit_s=10.0, peers=(PEER,), is_bound=False) as relay:
        await relay.bind("bot", peer=PEER)
        task_id = await relay.send_one(session_id=SESSION)
        await relay.until(task_id, RelayState.WORKING)
        for _ in range(12):
            await relay.clock.advance(1.0)
        await _told(relay, 1)
        await relay.answers.came(PEER, task_id, FAILED)
        assert not (await relay.task(task_id)).is_late
        await relay.answers.came(PEER, task_id, completed("at last"))
        await _told(relay, 2)
        assert relay.askers.told[1][1:4] == ("at last", "bot", True)


async def test_what_failed_there_and_was_done_after_all_is_a_late_answer() -> None:
    """Somebody over there had it tried again: it stays failed here, and the answer reaches who asked."""
    async with relay_out(peers=(PEER,), is_bound=False) as relay:
        await relay.bind("bot", peer=PEER)
        task_id = await relay.send_one(session_id=SESSION)
        await relay.until(task_id, RelayState.WORKING)
        await relay.answers.came(PEER, task_id, msgspec.structs.replace(FAILED, answer=""))
        await _told(relay, 1)
        await relay.answers.came(PEER, task_id, completed("42"))
        await _told(relay, 2)
        assert [told[3] for told in relay.askers.told] == [False, True]
        task = await relay.task(task_id)
        assert (task.state, task.answer, task.is_late) == (RelayState.FAILED, "42", True)
