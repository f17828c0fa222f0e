"""Inputs to tasks that are over: the conversation goes on, and never under another policy than the task had."""

from pathlib import Path

from core.api.approvals import ListApprovals
from core.api.base import RunId
from core.api.policies import ExecutionPolicy, Security
from core.api.profiles import PauseAgent, ResumeAgent
from core.api.sessions import Mode, Outcome
from core.api.tasks import CancelTask, GetRun, ListRuns, RunState, SendInput, TaskRunView, TaskState
from core.kernel import Kernel
from tests.support.runtime_core import (
    DESK,
    MAIN,
    OPERATOR,
    answered,
    asked,
    core,
    desk,
    opened,
    rested,
    session,
    some,
    started,
    task,
)

DENY = ExecutionPolicy(security=Security.DENY)


async def newest(kernel: Kernel, before: RunId) -> TaskRunView:
    """The run after that one, once it is over."""

    async def found() -> TaskRunView | None:
        run = (await kernel.query(ListRuns())).runs[0]
        return run if run.id != before and run.state is not RunState.RUNNING else None

    return await some(found)


async def test_an_input_to_a_task_that_is_done_is_answered_under_its_own_policy(tmp_path: Path) -> None:
    """The agent would ask; the task may not. The task stays done."""
    async with core(tmp_path / "home") as kernel:
        first = (await started(kernel, "hello", policy=DENY)).task
        done = await task(kernel, first.id, TaskState.DONE)
        assert done.target_run_id is not None
        receipt = await kernel.execute(SendInput(run_id=done.target_run_id, text="!sh ls"), actor=OPERATOR)
        assert receipt.outcome is Outcome.RESTARTED
        run = await newest(kernel, done.target_run_id)
        assert run.policy == done.policy
        assert (await kernel.query(ListApprovals())).approvals == ()
        after = await task(kernel, first.id)
        assert (after.version, after.state, after.answer) == (done.version, TaskState.DONE, done.answer)


async def test_an_input_to_a_task_that_was_cancelled_is_answered_under_its_own_policy(tmp_path: Path) -> None:
    """Cancelling is of what was asked before; the new message is not taken for a part of it."""
    async with core(tmp_path / "home") as kernel:
        first = (await started(kernel, "!hang", policy=DENY)).task
        running = await task(kernel, first.id, TaskState.RUNNING)
        assert running.target_run_id is not None
        await kernel.execute(CancelTask(task_id=first.id), actor=OPERATOR)
        await rested(kernel, first.session_id)
        await kernel.execute(SendInput(run_id=running.target_run_id, text="!sh ls"), actor=OPERATOR)
        run = await newest(kernel, running.target_run_id)
        assert (run.state, run.policy) == (RunState.OK, running.policy)
        assert (await kernel.query(ListApprovals())).approvals == ()
        assert (await task(kernel, first.id)).state is TaskState.CANCELLED


async def test_the_policy_of_a_task_that_is_done_outlives_the_core(tmp_path: Path) -> None:
    """An input that waited over a restart is answered under it as well."""
    home = tmp_path / "home"
    async with core(home) as kernel:
        first = (await started(kernel, "hello", policy=DENY)).task
        done = await task(kernel, first.id, TaskState.DONE)
        run_id = done.target_run_id
        assert run_id is not None
        await kernel.execute(PauseAgent(name=MAIN), actor=OPERATOR)
        await kernel.execute(SendInput(run_id=run_id, text="!sh ls"), actor=OPERATOR)
        await session(kernel, lambda view: view.run is not None and bool(view.run.waits_for), first.session_id)
    async with core(home) as kernel:
        await kernel.execute(ResumeAgent(name=MAIN), actor=OPERATOR)
        newer = await newest(kernel, run_id)
        assert newer.policy == done.policy
        assert (await kernel.query(GetRun(run_id=newer.id))).run.state is RunState.OK
        assert (await kernel.query(ListApprovals())).approvals == ()


async def test_an_input_under_the_terms_of_a_task_is_not_worked_into_a_chat(tmp_path: Path) -> None:
    """The run that goes on there is under the agent's own policy; the input has a turn of its own."""
    async with core(tmp_path / "home") as kernel:
        first = (await started(kernel, "hello", policy=DENY, session_id=DESK)).task
        done = await task(kernel, first.id, TaskState.DONE)
        assert done.target_run_id is not None
        await opened(kernel, "!sh ls")
        question = await asked(kernel, "ls")
        order = SendInput(run_id=done.target_run_id, text="!sh uptime", queue_mode=Mode.STEER)
        await kernel.execute(order, actor=OPERATOR)
        assert [item.mode_reason for item in (await desk(kernel)).messages if item.terms_of == first.id] == [
            "a task has a turn of its own"
        ]
        await answered(kernel, question)
        run = await newest(kernel, question.run_id)
        assert run.policy == done.policy
        assert len((await kernel.query(ListApprovals())).approvals) == 1
