"""Tasks on their way: handed over in order and as lanes let them, run, ended, tried again, dropped."""

from typing import Any

import pytest

from core.agent_settings import PolicySettings, RetrySettings
from core.api.errors import InvalidInput, Overloaded, StoreError
from core.api.mailboxes import MailboxState
from core.api.policies import ExecutionPolicy, RetryPolicy
from core.api.runs import Phase, Stop
from core.api.tasks import (
    AttemptState,
    DropReason,
    GetRun,
    GetTask,
    RunState,
    TaskEnded,
    TaskStarted,
    TaskState,
    TaskWaiting,
)
from core.store.base import Put
from tests.support.task_rig import HOME, MAIN, TaskRig, task_rig

NO_RETRY = ExecutionPolicy(retry=RetryPolicy(max_attempts=1))
RETRIES = ExecutionPolicy(retry=RetryPolicy(max_attempts=3, delay_ms=5_000))


@pytest.mark.parametrize("pages_first", [False, True])
async def test_a_task_is_queued_runs_and_is_done(pages_first: bool) -> None:
    """Each step is told and stored, whichever is written first: the task, or the run that begins with it."""
    async with task_rig() as rig:
        rig.conversations.pages_first = pages_first
        task = await rig.started()
        assert (task.state, task.attempt_count, task.message_id) == (TaskState.RUNNING, 1, "m00001")
        assert rig.post.waiting() == []
        await rig.conversations.end(task.session_id, answer="42")
        done = await rig.task(task.id)
        assert (done.state, done.answer, done.usage.input_tokens) == (TaskState.DONE, "42", 3)
        assert [len(rig.told(kind)) for kind in (TaskStarted, TaskEnded)] == [1, 1]
        await rig.restart()
        assert await rig.task(task.id) == done


@pytest.mark.parametrize(
    ("stop", "code", "state"),
    [
        (Stop.END_TURN, "", TaskState.DONE),
        (Stop.MAX_TOKENS, "", TaskState.DONE),
        (Stop.WAITING_FOR_INPUT, "", TaskState.WAITING),
        (Stop.CANCELLED, "interrupted", TaskState.CANCELLED),
        (Stop.ERROR, "agent_failed", TaskState.ERROR),
        (Stop.TIMEOUT, "total", TaskState.ERROR),
        (Stop.DIED, "crashed", TaskState.ERROR),
    ],
)
async def test_the_end_of_a_run_is_the_end_of_its_task(stop: Stop, code: str, state: TaskState) -> None:
    """An error or a timeout is never shown as done."""
    async with task_rig() as rig:
        task = await rig.started(policy=NO_RETRY)
        await rig.conversations.end(task.session_id, stop, error="" if stop.is_answer else "it broke", code=code)
        ended = await rig.task(task.id)
        assert (ended.state, ended.error) == (state, "" if stop.is_answer else "it broke")


async def test_an_interactive_task_is_idle_after_its_answer() -> None:
    """Its conversation can go on."""
    async with task_rig() as rig:
        task = await rig.started(policy=ExecutionPolicy(interactive=True))
        await rig.conversations.end(task.session_id)
        assert (await rig.task(task.id)).state is TaskState.IDLE


async def test_a_task_waits_while_its_run_asks() -> None:
    """An open approval or question shows as waiting, in task and attempt, and ends with it."""
    async with task_rig() as rig:
        task = await rig.started()
        assert task.target_run_id is not None
        for phase, state, attempt in (
            (Phase.APPROVAL, TaskState.WAITING, AttemptState.BLOCKED),
            (Phase.CLARIFY, TaskState.WAITING, AttemptState.BLOCKED),
            (Phase.TOOL, TaskState.RUNNING, AttemptState.RUNNING),
            (Phase.MODEL, TaskState.RUNNING, AttemptState.RUNNING),
        ):
            rig.tasking.ledger.note_phase(task.target_run_id, phase)
            assert (await rig.task(task.id)).state is state
            assert (await rig.ask(GetRun(run_id=task.target_run_id))).attempts[0].state is attempt
        assert [event.task.state for event in rig.told(TaskWaiting)] == [TaskState.WAITING, TaskState.RUNNING]
        rig.tasking.ledger.note_phase(task.target_run_id, Phase.APPROVAL)
        await rig.conversations.end(task.session_id)
        assert (await rig.task(task.id)).state is TaskState.DONE


async def test_a_failed_task_is_tried_again_after_its_delay_and_not_for_ever() -> None:
    """Each further try is a run of its own in the same session; the last failure is the task's."""
    async with task_rig() as rig:
        task = await rig.started(policy=RETRIES)
        for attempt in (1, 2):
            run_id = await rig.conversations.end(task.session_id, Stop.ERROR, error="busy", code="agent_failed")
            waiting = await rig.task(task.id)
            assert (waiting.state, waiting.attempt_count) == (TaskState.QUEUED, attempt)
            assert waiting.retry is not None
            assert waiting.retry.mono == rig.clock.monotonic() + 5.0
            markers = [line.marker for line in (await rig.ask(GetRun(run_id=run_id))).snapshots]
            assert markers == ["started", "finished", "retry_scheduled"]
            await rig.pass_s(4.9)
            assert (await rig.task(task.id)).state is TaskState.QUEUED
            await rig.pass_s(0.2)
            assert (await rig.task(task.id)).state is TaskState.RUNNING
        await rig.conversations.end(task.session_id, Stop.TIMEOUT, error="too slow", code="total")
        detail = await rig.ask(GetTask(task_id=task.id))
        assert (detail.task.state, detail.task.error) == (TaskState.ERROR, "too slow")
        assert [run.state for run in detail.runs] == [RunState.TIMEOUT, RunState.ERROR, RunState.ERROR]
        assert [(item.number, item.strategy) for item in detail.attempts] == [
            (1, "primary"),
            (2, "retry"),
            (3, "retry"),
        ]
        assert detail.task.usage.output_tokens == 6


async def test_what_cannot_end_otherwise_is_not_tried_again() -> None:
    """Wrong credentials are an error at once."""
    async with task_rig() as rig:
        task = await rig.started(policy=RETRIES)
        await rig.conversations.end(task.session_id, Stop.ERROR, error="no key", code="auth")
        assert (await rig.task(task.id)).state is TaskState.ERROR


async def test_a_retry_is_armed_again_after_a_restart() -> None:
    """The wait for the next try goes on where it was."""
    async with task_rig() as rig:
        task = await rig.started(policy=RETRIES)
        await rig.conversations.end(task.session_id, Stop.ERROR, code="agent_failed")
        await rig.pass_s(3.0)
        await rig.restart()
        await rig.pass_s(1.9)
        assert (await rig.task(task.id)).state is TaskState.QUEUED
        await rig.pass_s(0.2)
        assert (await rig.task(task.id)).state is TaskState.RUNNING


async def test_a_profile_says_how_often_a_task_is_tried() -> None:
    """Without a policy of its own a task goes by the profile's."""
    retry = PolicySettings(retry=RetrySettings(max_attempts=1))
    async with task_rig(lambda rig: rig.set_agent(policy=retry)) as rig:
        task = await rig.started()
        assert task.max_attempts == 1
        await rig.conversations.end(task.session_id, Stop.ERROR, code="agent_failed")
        assert (await rig.task(task.id)).state is TaskState.ERROR


async def test_tasks_of_one_session_go_in_order() -> None:
    """A later one never overtakes, also when the first cannot be handed over yet."""
    async with task_rig(starts=False) as rig:
        for number in range(5):
            await rig.start(str(number), session_id=HOME)
        rig.conversations.errors += [Overloaded("the queue is full"), StoreError("no answer", cause="locked")]
        rig.tasking.start()
        await rig.settled()
        assert rig.conversations.said == []
        for _ in range(8):
            await rig.pass_s(1.0)
        assert [text for _, text in rig.conversations.said] == ["0", "1", "2", "3", "4"]


async def test_one_session_that_is_full_holds_up_no_other() -> None:
    """Tasks of other sessions go on."""
    async with task_rig(starts=False) as rig:
        await rig.start("stuck", session_id=HOME)
        other = await rig.start("free")
        rig.conversations.errors.append(Overloaded("the queue is full"))
        rig.tasking.start()
        await rig.settled()
        assert rig.conversations.said == [(other.task.session_id, "free")]


async def test_a_lane_lets_no_more_than_its_limit_run() -> None:
    """The next begins when one of the lane ends; tasks of other lanes do not wait for it."""
    async with task_rig(lambda rig: rig.set_agent(lanes={"cron": 2})) as rig:
        tasks = [await rig.started(lane="cron") for _ in range(4)]
        free = await rig.started(lane="main")
        assert free.state is TaskState.RUNNING
        for ended in range(4):
            states = [(await rig.task(task.id)).state for task in tasks]
            assert states.count(TaskState.RUNNING) == min(2, 4 - ended)
            await rig.conversations.end(tasks[ended].session_id)
            await rig.settled()


async def test_a_lane_counts_what_an_earlier_start_handed_over() -> None:
    """After a restart the limit still holds."""
    async with task_rig(lambda rig: rig.set_agent(lanes={"cron": 1})) as rig:
        first = await rig.started(lane="cron")
        second = await rig.started(lane="cron")
        await rig.restart()
        await rig.settled()
        assert (await rig.task(second.id)).state is TaskState.QUEUED
        await rig.conversations.begin(first.session_id)
        await rig.conversations.end(first.session_id)
        await rig.settled()
        assert (await rig.task(second.id)).state is TaskState.RUNNING


async def test_tasks_of_a_held_agent_wait_and_others_go() -> None:
    """A paused agent gets nothing until it is let go."""
    async with task_rig(lambda rig: rig.set_agent("other")) as rig:
        rig.held.add(MAIN)
        task = await rig.started()
        other = await rig.started(agent="other")
        assert (task.state, other.state) == (TaskState.QUEUED, TaskState.RUNNING)
        rig.held.clear()
        await rig.pass_s(0.6)
        assert (await rig.task(task.id)).state is TaskState.RUNNING


async def test_a_paused_mailbox_holds_all_tasks() -> None:
    """An operator can stop the whole line where it waits."""
    async with task_rig() as rig:
        box = rig.boxes.get("tasks")
        box.set_state(MailboxState.PAUSED)
        task = await rig.started()
        assert task.state is TaskState.QUEUED
        box.set_state(MailboxState.OPEN)
        await rig.pass_s(0.6)
        assert (await rig.task(task.id)).state is TaskState.RUNNING


async def _gone(rig: TaskRig) -> None:
    del rig.agents[MAIN]


async def _unkept(rig: TaskRig) -> None:
    rig.unkept = "no bwrap here any more"


async def _refuses(rig: TaskRig) -> None:
    rig.conversations.errors.append(InvalidInput("no such platform", field="session_id"))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_gone, DropReason.AGENT_GONE),
        (_unkept, DropReason.POLICY_UNAVAILABLE),
        (_refuses, DropReason.RUN_MATERIALIZATION_FAILED),
    ],
)
async def test_a_task_that_cannot_begin_is_dropped_with_the_reason(spoil: Any, reason: DropReason) -> None:
    """It is stored as dropped, told, and waits nowhere any more."""
    async with task_rig(starts=False) as rig:
        receipt = await rig.start()
        await spoil(rig)
        rig.tasking.start()
        await rig.settled()
        task = await rig.task(receipt.task.id)
        assert (task.state, task.dropped_reason) == (TaskState.DROPPED, reason)
        assert task.error
        assert [event.task.id for event in rig.told(TaskEnded)] == [task.id]
        assert rig.post.waiting() == []


async def test_a_fault_that_stays_drops_the_task_in_the_end() -> None:
    """After eight tries of an unknown fault the task is given up, and the fault is told."""
    async with task_rig(starts=False) as rig:
        receipt = await rig.start()
        rig.conversations.errors += [ZeroDivisionError("ours") for _ in range(8)]  # type: ignore[misc]
        rig.tasking.start()
        for _ in range(12):
            await rig.pass_s(31.0)
        task = await rig.task(receipt.task.id)
        assert (task.state, task.dropped_reason) == (TaskState.DROPPED, DropReason.DISPATCH_RETRY_EXHAUSTED)
        assert len(rig.faults) == 1
        rig.faults.clear()


async def test_tasks_that_a_full_disk_held_up_go_on_soon_after_there_is_room() -> None:
    """Not only when their own time comes, which grows with each failure: one tries first, then all that wait."""
    async with task_rig() as rig:
        hand_over = rig.conversations.hand_over
        rig.conversations.hand_over = _fails  # type: ignore[method-assign]
        tasks = [await rig.started(str(number)) for number in range(3)]
        for _ in range(70):
            await rig.pass_s(0.5)
        rig.conversations.hand_over = hand_over  # type: ignore[method-assign]
        await rig.pass_s(1.0)
        assert await rig.states() == [TaskState.QUEUED] * 3
        await rig.journal.commit([Put("meta/probe", b"1")], [])
        await rig.pass_s(1.0)
        assert await rig.states() == [TaskState.RUNNING] * 3
        assert len(rig.conversations.said) == len(tasks)


async def _fails(*_args: object, **_fields: object) -> Any:
    raise StoreError("the disk is full", cause="full")
