"""Tasks over a crash: handed over once, runs that the core took with it, and runs in the book."""

from typing import Any

import pytest

from core.api.base import RunId, SessionId
from core.api.errors import StoreError
from core.api.policies import ExecutionPolicy, RetryPolicy
from core.api.runs import Phase, Stop
from core.api.tasks import AttemptState, DropReason, GetRun, GetTask, RunState, TaskQueued, TaskState
from tests.support.task_rig import HOME, task_rig

TWICE = ExecutionPolicy(retry=RetryPolicy(max_attempts=2, delay_ms=1000))
NO_RETRY = ExecutionPolicy(retry=RetryPolicy(max_attempts=1))


async def test_a_crash_between_hand_over_and_settlement_hands_over_once() -> None:
    """The task's row is there already, so the letter is only settled."""
    async with task_rig() as rig:
        settle, rig.post.settle = rig.post.settle, _fails  # type: ignore[method-assign] # the core dies before it
        task = await rig.started()
        rig.post.settle = settle  # type: ignore[method-assign]
        assert len(rig.post.waiting()) == 1
        await rig.restart()
        await rig.settled()
        assert rig.post.waiting() == []
        assert len(rig.conversations.said) == 1
        assert (await rig.task(task.id)).state is TaskState.QUEUED


async def test_a_letter_that_stays_is_settled_later() -> None:
    """When the store fails after the hand-over, only the settlement is tried again."""
    async with task_rig() as rig:
        settle, rig.post.settle = rig.post.settle, _fails  # type: ignore[method-assign]
        task = await rig.started()
        rig.post.settle = settle  # type: ignore[method-assign]
        await rig.pass_s(2.0)
        assert rig.post.waiting() == []
        assert len(rig.conversations.said) == 1
        assert (await rig.task(task.id)).state is TaskState.RUNNING


async def _fails(*_args: object, **_fields: object) -> Any:
    raise StoreError("no answer", cause="locked")


@pytest.mark.parametrize("settles", [True, False])
async def test_a_run_that_the_core_took_with_it_is_reconciled(settles: bool) -> None:
    """Whether its session tells of it or not: the run is an error of an orphan, the task waits with its message."""
    async with task_rig() as rig:
        task = await rig.started()
        assert task.target_run_id is not None
        await rig.restart(settles=settles)
        detail = await rig.ask(GetRun(run_id=task.target_run_id))
        assert (detail.run.state, detail.attempts[0].state) == (RunState.ERROR, AttemptState.ERROR)
        assert [line.marker for line in detail.snapshots] == ["started", "orphan_recovered"]
        assert (await rig.task(task.id)).state is TaskState.QUEUED
        await rig.conversations.begin(task.session_id)
        again = await rig.task(task.id)
        assert (again.state, again.attempt_count) == (TaskState.RUNNING, 2)
        await rig.conversations.end(task.session_id)
        assert (await rig.task(task.id)).state is TaskState.DONE
        assert len(rig.conversations.said) == 1


async def test_a_task_whose_message_is_gone_too_is_an_error() -> None:
    """A run of an earlier start whose message waits nowhere is not tried again by itself."""
    async with task_rig() as rig:
        task = await rig.started(policy=NO_RETRY)
        rig.conversations.running.clear()
        await rig.restart()
        ended = await rig.task(task.id)
        assert (ended.state, ended.error) == (TaskState.ERROR, "the core stopped while it went on")


async def test_a_task_that_waited_in_a_session_which_lost_it_is_dropped() -> None:
    """It is shown, not left waiting for ever."""
    async with task_rig() as rig:
        rig.conversations.begins = False
        task = await rig.started()
        rig.conversations.queues.clear()
        await rig.restart()
        ended = await rig.task(task.id)
        assert (ended.state, ended.dropped_reason) == (TaskState.DROPPED, DropReason.RUN_INPUT_MISSING_MESSAGE)


async def test_an_end_that_could_not_be_written_is_written_again() -> None:
    """The same end asked for twice gives the same rows and one effect."""
    async with task_rig() as rig:
        task = await rig.started()
        await rig.conversations.end(task.session_id, answer="42", fails=StoreError("once", cause="io"))
        ended = await rig.task(task.id)
        assert (ended.state, ended.answer, ended.usage.input_tokens) == (TaskState.DONE, "42", 3)


async def test_a_result_of_a_run_that_is_not_the_tasks_any_more_is_ignored() -> None:
    """The newer run's result counts; the older one's log says that it was superseded."""
    async with task_rig() as rig:
        task = await rig.started()
        old = rig.conversations.running.pop(task.session_id)
        rig.conversations.queues[task.session_id] = list(old.messages)
        await rig.conversations.begin(task.session_id)
        rig.conversations.running[SessionId("aside")] = old
        await rig.conversations.end(SessionId("aside"), answer="late")
        assert (await rig.task(task.id)).state is TaskState.RUNNING
        markers = [line.marker for line in (await rig.ask(GetRun(run_id=old.run_id))).snapshots]
        assert markers == ["started", "finished", "attempt_superseded"]
        await rig.conversations.end(task.session_id, answer="right")
        assert (await rig.task(task.id)).answer == "right"


async def test_messages_of_several_tasks_in_one_run_share_its_end() -> None:
    """Followups that share a turn are tasks that end together."""
    async with task_rig() as rig:
        rig.conversations.begins = False
        tasks = [await rig.started(str(number), session_id=HOME) for number in range(3)]
        run_id = await rig.conversations.begin(HOME, 3)
        assert await rig.states() == [TaskState.RUNNING] * 3
        await rig.conversations.end(HOME)
        assert await rig.states() == [TaskState.DONE] * 3
        assert (await rig.ask(GetTask(task_id=tasks[2].id))).runs[0].id == run_id


async def test_a_message_that_is_let_go_ends_its_task() -> None:
    """Dropping it from the queue cancels what only it carried."""
    async with task_rig() as rig:
        rig.conversations.begins = False
        task = await rig.started(session_id=HOME)
        await rig.conversations.let_go(HOME, list(rig.conversations.queues[HOME]), "the session was reset")
        ended = await rig.task(task.id)
        assert (ended.state, ended.error) == (TaskState.CANCELLED, "the session was reset")


async def test_chats_have_runs_without_a_task() -> None:
    """One row while it goes on, one when it is over, and nothing else."""
    async with task_rig() as rig:
        await rig.chat()
        assert len(await rig.store.scan("running/")) == 1
        run_id = await rig.conversations.end(HOME)
        assert (await rig.store.scan("running/"), len(await rig.store.scan("run/"))) == ([], 1)
        detail = await rig.ask(GetRun(run_id=RunId(run_id)))
        assert (detail.run.task_id, detail.run.state, detail.run.runner) == (None, RunState.OK, "scripted")
        assert [(item.number, item.state) for item in detail.attempts] == [(1, AttemptState.OK)]
        assert [line.marker for line in detail.snapshots] == ["started", "finished"]
        assert rig.told(TaskQueued) == []


async def test_a_chat_that_asks_and_is_orphaned_says_so() -> None:
    """The try of a chat's run is as the run is, and its log tells of the crash."""
    async with task_rig() as rig:
        await rig.chat()
        run_id = rig.conversations.live_run(HOME)
        assert run_id is not None
        rig.tasking.ledger.note_phase(run_id, Phase.APPROVAL)
        assert (await rig.ask(GetRun(run_id=run_id))).attempts[0].state is AttemptState.BLOCKED
        await rig.restart(settles=False)
        detail = await rig.ask(GetRun(run_id=run_id))
        assert (detail.run.state, detail.attempts[0].state) == (RunState.ERROR, AttemptState.ERROR)
        assert [line.marker for line in detail.snapshots] == ["started", "orphan_recovered"]


async def test_a_run_that_nobody_booked_is_booked_at_its_end() -> None:
    """The end of a run of an older version leaves a row all the same."""
    async with task_rig() as rig:
        await rig.chat()
        rig.tasking.register.active.clear()
        run_id = await rig.conversations.end(HOME)
        assert (await rig.ask(GetRun(run_id=run_id))).run.state is RunState.OK


async def test_a_task_that_its_session_lost_while_the_core_runs_is_dropped_once_that_is_sure() -> None:
    """It is looked at twice; one whose message waits there stays."""
    async with task_rig() as rig:
        rig.conversations.begins = False
        lost, kept = await rig.started(), await rig.started()
        del rig.conversations.queues[lost.session_id]
        await rig.pass_s(10.0)
        assert (await rig.task(lost.id)).state is TaskState.QUEUED
        await rig.pass_s(10.0)
        ended = await rig.task(lost.id)
        assert (ended.state, ended.dropped_reason) == (TaskState.DROPPED, DropReason.RUN_INPUT_MISSING_MESSAGE)
        assert (await rig.task(kept.id)).state is TaskState.QUEUED


async def test_an_orderly_stop_is_no_try_of_a_task() -> None:
    """What fails after it is tried again as if there had been no stop; what a crash cut off counts."""
    async with task_rig() as rig:
        task = await rig.started(policy=TWICE)
        await rig.conversations.stopped()
        assert (await rig.task(task.id)).attempt_count == 0
        await rig.restart()
        await rig.conversations.begin(task.session_id)
        assert (await rig.task(task.id)).attempt_count == 1
        await rig.conversations.end(task.session_id, Stop.ERROR, error="no answer", code="io")
        again = await rig.task(task.id)
        assert (again.state, again.attempt_count) == (TaskState.QUEUED, 1)
        assert again.retry is not None
