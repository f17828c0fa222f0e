"""What operators do to tasks: cancel, retry, archive, write to a run; in every state."""

from typing import Any

import pytest

from core.api.base import RunId, TaskId
from core.api.errors import InvalidInput, NotFound, Refused, StoreError
from core.api.policies import ExecutionPolicy, RetryPolicy
from core.api.runs import Stop
from core.api.sessions import Mode, Outcome
from core.api.tasks import (
    ArchiveTask,
    CancelRun,
    CancelTask,
    GetRun,
    ListTasks,
    RetryTask,
    SendInput,
    TaskArchived,
    TaskEnded,
    TaskFilter,
    TaskState,
    TaskView,
    UnarchiveTask,
)
from tests.support.task_rig import HOME, TaskRig, task_rig

ONCE = ExecutionPolicy(retry=RetryPolicy(max_attempts=1))
OPEN = ExecutionPolicy(interactive=True, retry=RetryPolicy(max_attempts=1))


async def ended_task(rig: TaskRig, stop: Stop, policy: ExecutionPolicy = ONCE) -> TaskView:
    """A task whose run ended so."""
    task = await rig.started(policy=policy)
    await rig.conversations.end(task.session_id, stop, code="agent_failed", error="it broke")
    return await rig.task(task.id)


async def test_a_task_in_its_mailbox_is_cancelled_there() -> None:
    """It is settled with its row, and never handed over."""
    async with task_rig(starts=False) as rig:
        receipt = await rig.start()
        cancelled = await rig.do(CancelTask(task_id=receipt.task.id, reason="not needed"))
        assert (cancelled.task.state, cancelled.task.error) == (TaskState.CANCELLED, "not needed")
        assert rig.post.waiting() == []
        await rig.restart()
        await rig.settled()
        assert (await rig.task(receipt.task.id)).state is TaskState.CANCELLED
        assert rig.conversations.said == []


async def test_a_task_that_waits_in_its_session_is_cancelled_there() -> None:
    """Its message is let go."""
    async with task_rig() as rig:
        rig.conversations.begins = False
        task = await rig.started(session_id=HOME)
        assert (await rig.do(CancelTask(task_id=task.id))).task.state is TaskState.CANCELLED
        assert rig.conversations.queues[HOME] == []
        assert len(rig.told(TaskEnded)) == 1


async def test_a_running_task_is_cancelled_and_its_run_stopped() -> None:
    """The task is cancelled at once and stays so, whatever its run comes to."""
    async with task_rig() as rig:
        task = await rig.started()
        assert task.target_run_id is not None
        receipt = await rig.do(CancelTask(task_id=task.id))
        assert (receipt.task.state, receipt.task.error) == (TaskState.CANCELLED, "cancelled by user")
        assert rig.conversations.running == {}
        run = (await rig.ask(GetRun(run_id=task.target_run_id))).run
        assert (run.state.value, run.stop) == ("cancelled", Stop.CANCELLED)
        assert (await rig.task(task.id)).state is TaskState.CANCELLED


async def test_a_task_that_waits_for_its_next_try_is_cancelled() -> None:
    """There is no further try."""
    async with task_rig() as rig:
        task = await ended_task(rig, Stop.ERROR, ExecutionPolicy(retry=RetryPolicy(max_attempts=3, delay_ms=1_000)))
        assert task.state is TaskState.QUEUED
        await rig.do(CancelTask(task_id=task.id))
        await rig.pass_s(10.0)
        assert (await rig.task(task.id)).state is TaskState.CANCELLED
        assert len(rig.conversations.said) == 1


@pytest.mark.parametrize(
    ("stop", "policy"), [(Stop.END_TURN, OPEN), (Stop.ERROR, ONCE), (Stop.WAITING_FOR_INPUT, ONCE)]
)
async def test_what_is_over_but_open_can_be_cancelled(stop: Stop, policy: ExecutionPolicy) -> None:
    """An idle, failed or waiting task is closed for good."""
    async with task_rig() as rig:
        task = await ended_task(rig, stop, policy)
        assert (await rig.do(CancelTask(task_id=task.id))).task.state is TaskState.CANCELLED


async def test_what_is_done_cannot_be_cancelled_and_twice_changes_nothing() -> None:
    """A done task refuses; a cancelled one says that it is."""
    async with task_rig() as rig:
        done = await ended_task(rig, Stop.END_TURN)
        with pytest.raises(Refused):
            await rig.do(CancelTask(task_id=done.id))
        other = await rig.started()
        await rig.do(CancelTask(task_id=other.id))
        assert (await rig.do(CancelTask(task_id=other.id))).is_duplicate
        with pytest.raises(NotFound):
            await rig.do(CancelTask(task_id=TaskId("no-such")))
        with pytest.raises(InvalidInput):
            await rig.do(CancelTask(task_id=other.id, reason="x" * 2_001))


async def test_a_cancellation_that_cannot_be_stored_changes_nothing() -> None:
    """The task goes on as it was, also in memory."""
    async with task_rig() as rig:
        task = await rig.started()
        commit, rig.journal.commit = rig.journal.commit, _fails  # type: ignore[method-assign]
        with pytest.raises(StoreError):
            await rig.do(CancelTask(task_id=task.id))
        rig.journal.commit = commit  # type: ignore[method-assign]
        assert (await rig.task(task.id)).state is TaskState.RUNNING
        await rig.conversations.end(task.session_id)
        assert (await rig.task(task.id)).state is TaskState.DONE


async def _fails(*_args: object, **_fields: object) -> Any:
    raise StoreError("no answer", cause="locked")


async def test_a_run_that_begins_for_a_cancelled_task_is_stopped() -> None:
    """Its start is rejected, and says so in its log; the task stays cancelled."""
    async with task_rig() as rig:
        rig.conversations.begins = False
        task = await rig.started(session_id=HOME)
        kept = list(rig.conversations.queues[HOME])
        await rig.do(CancelTask(task_id=task.id))
        rig.conversations.queues[HOME] = kept
        run_id = await rig.conversations.begin(HOME)
        await rig.settled()
        assert rig.conversations.running == {}
        detail = await rig.ask(GetRun(run_id=run_id))
        assert [line.marker for line in detail.snapshots] == ["start_rejected_terminal_run", "finished"]
        assert detail.run.state.value == "cancelled"
        assert (await rig.task(task.id)).state is TaskState.CANCELLED


async def test_a_run_of_a_task_is_cancelled_with_its_task() -> None:
    """CancelRun names the run; one that is over or no task's is refused."""
    async with task_rig() as rig:
        task = await rig.started()
        assert task.target_run_id is not None
        assert (await rig.do(CancelRun(run_id=task.target_run_id))).task.state is TaskState.CANCELLED
        for run_id in (task.target_run_id, RunId("no-such")):
            with pytest.raises(Refused):
                await rig.do(CancelRun(run_id=run_id))
        await rig.chat()
        live = rig.conversations.live_run(HOME)
        assert live is not None
        with pytest.raises(Refused):
            await rig.do(CancelRun(run_id=live))


@pytest.mark.parametrize(("stop", "policy"), [(Stop.END_TURN, OPEN), (Stop.ERROR, ONCE)])
async def test_a_failed_or_idle_task_is_tried_again_with_the_profile_of_now(
    stop: Stop, policy: ExecutionPolicy
) -> None:
    """It runs once more in its session, under the profile as it is then, and survives a restart before that."""
    async with task_rig() as rig:
        task = await ended_task(rig, stop, policy)
        rig.set_agent(system_prompt="new")
        rig.held.add("main")
        again = (await rig.do(RetryTask(task_id=task.id))).task
        assert (again.state, again.profile_fingerprint != task.profile_fingerprint) == (TaskState.QUEUED, True)
        await rig.restart()
        rig.held.clear()
        await rig.pass_s(0.6)
        assert [text for _, text in rig.conversations.said] == ["do it", "do it"]
        terms = rig.tasking.terms.terms(task.id)
        assert terms is not None
        assert (terms.settings.system_prompt, terms.policy) == ("new", policy)
        await rig.conversations.end(task.session_id, answer="now")
        assert (await rig.task(task.id)).answer == "now"


async def test_only_what_is_over_and_open_is_tried_again() -> None:
    """A running or done task refuses."""
    async with task_rig() as rig:
        running = await rig.started()
        done = await ended_task(rig, Stop.END_TURN)
        for task in (running, done):
            with pytest.raises(Refused):
                await rig.do(RetryTask(task_id=task.id))


async def test_an_archived_task_is_hidden_until_it_is_taken_out() -> None:
    """Lists leave it out unless asked; twice changes nothing; what is not over refuses."""
    async with task_rig() as rig:
        task = await ended_task(rig, Stop.END_TURN)
        for is_again in (False, True):
            assert (await rig.do(ArchiveTask(task_id=task.id))).is_duplicate is is_again
        await rig.restart()
        shown = {
            archived: len((await rig.ask(ListTasks(only=TaskFilter(archived=archived)))).tasks)
            for archived in (None, False, True)
        }
        assert shown == {None: 1, False: 0, True: 1}
        assert (await rig.do(UnarchiveTask(task_id=task.id))).task.archived is None
        assert len((await rig.ask(ListTasks())).tasks) == 1
        assert len(rig.told(TaskArchived)) == 2
        running = await rig.started()
        with pytest.raises(Refused):
            await rig.do(ArchiveTask(task_id=running.id))


# -- inputs


async def test_an_input_to_a_run_goes_into_its_session() -> None:
    """It waits behind the run; the task goes on with it and is done only after it."""
    async with task_rig() as rig:
        task = await rig.started()
        assert task.target_run_id is not None
        receipt = await rig.do(SendInput(run_id=task.target_run_id, text=" more "))
        assert (receipt.outcome, receipt.task.id) == (Outcome.QUEUED, task.id)
        await rig.conversations.end(task.session_id, answer="one")
        assert (await rig.task(task.id)).state is TaskState.RUNNING
        await rig.conversations.end(task.session_id, answer="two")
        ended = await rig.task(task.id)
        assert (ended.state, ended.answer, ended.attempt_count) == (TaskState.DONE, "two", 2)
        assert [text for _, text in rig.conversations.said] == ["do it", "more"]


async def test_an_interrupting_input_does_not_cancel_its_task() -> None:
    """The run is stopped and the task goes on with the message."""
    async with task_rig() as rig:
        task = await rig.started()
        assert task.target_run_id is not None
        receipt = await rig.do(SendInput(run_id=task.target_run_id, text="stop that", queue_mode=Mode.INTERRUPT))
        assert receipt.outcome is Outcome.INTERRUPTED
        after = await rig.task(task.id)
        assert (after.state, after.attempt_count) == (TaskState.RUNNING, 2)
        assert after.target_run_id != task.target_run_id


@pytest.mark.parametrize(
    ("stop", "policy", "state"),
    [
        (Stop.END_TURN, OPEN, TaskState.RUNNING),
        (Stop.ERROR, ONCE, TaskState.RUNNING),
        (Stop.WAITING_FOR_INPUT, ONCE, TaskState.RUNNING),
        (Stop.END_TURN, ONCE, TaskState.DONE),
        (Stop.CANCELLED, ONCE, TaskState.CANCELLED),
    ],
)
@pytest.mark.parametrize("pages_first", [False, True])
async def test_an_input_to_a_run_that_is_over_begins_again(
    stop: Stop, policy: ExecutionPolicy, state: TaskState, pages_first: bool
) -> None:
    """In the same session; the task goes on where it can, and what is over for good stays so."""
    async with task_rig() as rig:
        task = await ended_task(rig, stop, policy)
        assert task.target_run_id is not None
        rig.conversations.pages_first = pages_first
        receipt = await rig.do(SendInput(run_id=task.target_run_id, text="go on", idempotency_key="k"))
        assert receipt.outcome is Outcome.RESTARTED
        assert rig.conversations.said[-1] == (task.session_id, "go on")
        assert (await rig.task(task.id)).state is state
        again = await rig.do(SendInput(run_id=task.target_run_id, text="go on", idempotency_key="k"))
        assert (again.is_duplicate, again.outcome) == (True, Outcome.RESTARTED)
        assert len(rig.conversations.said) == 2
        await rig.conversations.end(task.session_id, answer="fine")
        after = await rig.task(task.id)
        assert (after.answer == "fine") is (state is TaskState.RUNNING)


async def test_the_key_of_an_input_outlives_the_core() -> None:
    """After a crash the same input is still known, with its outcome."""
    async with task_rig() as rig:
        task = await rig.started()
        assert task.target_run_id is not None
        order = SendInput(run_id=task.target_run_id, text="more", idempotency_key="k")
        first = await rig.do(order)
        await rig.restart()
        again = await rig.do(order)
        assert (again.is_duplicate, again.outcome, again.task.id) == (True, first.outcome, task.id)
        assert len(rig.conversations.said) == 2


async def test_inputs_need_a_run_of_a_task_and_a_text() -> None:
    """A blank text, an unknown run and a chat's run are refused, each in its own way."""
    async with task_rig() as rig:
        with pytest.raises(NotFound):
            await rig.do(SendInput(run_id=RunId("no-such"), text="x"))
        with pytest.raises(InvalidInput):
            await rig.do(SendInput(run_id=RunId("r1"), text=" "))
        with pytest.raises(InvalidInput):
            await rig.do(SendInput(run_id=RunId(""), text="x"))
        await rig.chat()
        live = rig.conversations.live_run(HOME)
        assert live is not None
        with pytest.raises(Refused):
            await rig.do(SendInput(run_id=live, text="x"))


async def test_an_input_that_is_not_taken_changes_nothing() -> None:
    """The task stays over, its key is free, and it can be sent again."""
    async with task_rig() as rig:
        task = await ended_task(rig, Stop.ERROR)
        assert task.target_run_id is not None
        order = SendInput(run_id=task.target_run_id, text="go on", idempotency_key="k")
        rig.conversations.errors.append(StoreError("no room", cause="full"))
        with pytest.raises(StoreError):
            await rig.do(order)
        assert (await rig.task(task.id)).state is TaskState.ERROR
        assert not (await rig.do(order)).is_duplicate
        assert (await rig.task(task.id)).state is TaskState.RUNNING


async def test_cancelling_lets_go_of_inputs_that_wait_too() -> None:
    """Nothing of a cancelled task begins later."""
    async with task_rig() as rig:
        task = await rig.started()
        assert task.target_run_id is not None
        await rig.do(SendInput(run_id=task.target_run_id, text="more"))
        await rig.do(CancelTask(task_id=task.id))
        assert rig.conversations.queues[task.session_id] == []
        assert rig.conversations.running == {}
        assert (await rig.task(task.id)).state is TaskState.CANCELLED
