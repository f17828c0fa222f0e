"""Tasks in a whole core: accepted once, cancelled wherever they are, delivered, taken up again after a restart."""

import asyncio
from pathlib import Path

import pytest

from core.api.approvals import ApprovalState
from core.api.base import AgentName, MailboxName, PlatformName, TaskId
from core.api.deliveries import DeliverySent
from core.api.errors import ConflictError, InvalidInput, StoreError
from core.api.mailboxes import GetMailbox, PauseMailbox, ResumeMailbox
from core.api.profiles import CreateProfile, DeleteProfile, PauseAgent
from core.api.sessions import Mode, Outcome
from core.api.streams import ReadStream
from core.api.tasks import (
    ArchiveTask,
    CancelTask,
    GetTask,
    ListRuns,
    ListTasks,
    RetryTask,
    Routing,
    RunState,
    SendInput,
    StartTask,
    TaskFilter,
    TaskState,
    TaskView,
)
from core.api.transcripts import EntryKind
from tests.support.runtime_core import (
    DESK,
    MAIN,
    OPERATOR,
    answered,
    approval,
    asked,
    core,
    desk,
    entries,
    opened,
    rested,
    session,
    some,
    started,
    task,
    until,
    was_answered,
)

ECHO = AgentName("echo")
TASKS = MailboxName("tasks")


async def settled(kernel: object, count: int = 0) -> None:
    """Once so many tasks wait in their mailbox."""
    from core.kernel import Kernel

    assert isinstance(kernel, Kernel)

    async def found() -> bool | None:
        tally = (await kernel.query(GetMailbox(mailbox=TASKS))).tally
        return True if tally.queued + tally.in_flight == count else None

    await some(found)


async def test_a_task_that_waits_in_its_mailbox_is_cancelled_there(tmp_path: Path) -> None:
    """No session hears of it."""
    async with core(tmp_path / "home") as kernel:
        await kernel.execute(PauseMailbox(mailbox=TASKS), actor=OPERATOR)
        view = (await started(kernel, "say it", agent=ECHO)).task
        receipt = await kernel.execute(CancelTask(task_id=view.id), actor=OPERATOR)
        assert receipt.task.state is TaskState.CANCELLED
        await kernel.execute(ResumeMailbox(mailbox=TASKS), actor=OPERATOR)
        await settled(kernel)
        assert (await kernel.query(ListRuns())).runs == ()


async def test_a_task_that_waits_in_its_session_is_cancelled_there(tmp_path: Path) -> None:
    """Its message goes; what goes on goes on."""
    async with core(tmp_path / "home") as kernel:
        await opened(kernel, "!sh ls")
        approval_view = await asked(kernel, "ls")
        view = (await started(kernel, "later", session_id=DESK, hook_id=1)).task
        await session(kernel, lambda item: item.queue_depth == 1)
        await kernel.execute(CancelTask(task_id=view.id), actor=OPERATOR)
        assert (await desk(kernel)).session.queue_depth == 0
        await answered(kernel, approval_view)
        ended = await rested(kernel)
        assert was_answered(ended)
        assert (await task(kernel, view.id)).state is TaskState.CANCELLED


async def test_a_task_is_cancelled_at_any_moment_of_its_beginning(tmp_path: Path) -> None:
    """However far it is, it ends cancelled or done, and nothing of it goes on."""
    async with core(tmp_path / "home") as kernel:
        ids: list[TaskId] = []
        for rounds in range(25):
            view = (await started(kernel, "!hang", agent=MAIN)).task
            for _ in range(rounds):
                await asyncio.sleep(0)
            await kernel.execute(CancelTask(task_id=view.id), actor=OPERATOR)
            ids.append(view.id)
        for task_id in ids:
            assert (await task(kernel, task_id)).state is TaskState.CANCELLED

        async def quiet() -> bool | None:
            going = (await kernel.query(ListRuns())).runs
            return True if all(run.state is not RunState.RUNNING for run in going) else None

        await some(quiet)
        await settled(kernel)


async def test_two_callers_with_the_same_key_at_once_get_one_task(tmp_path: Path) -> None:
    """The second is told that it is a duplicate; other content under it is a conflict."""
    async with core(tmp_path / "home") as kernel:
        command = StartTask(text="say it", agent=ECHO, idempotency_key="k")
        first, second = await asyncio.gather(*(kernel.execute(command, actor=OPERATOR) for _ in range(2)))
        assert first.task.id == second.task.id
        assert [first.is_duplicate, second.is_duplicate] == [False, True]
        with pytest.raises(ConflictError):
            await started(kernel, "say that", agent=ECHO, idempotency_key="k")
        await task(kernel, first.task.id, TaskState.DONE)
        assert len((await kernel.query(ListTasks())).tasks) == 1


async def test_a_task_into_a_session_of_another_agent_is_never_done_there(tmp_path: Path) -> None:
    """It is dropped with the agent that it is; nothing is said in that session."""
    async with core(tmp_path / "home") as kernel:
        await opened(kernel, "hello")
        await rested(kernel)
        before = await entries(kernel)
        view = (await started(kernel, "say it", agent=ECHO, session_id=DESK)).task
        dropped = await task(kernel, view.id, TaskState.DROPPED)
        assert "main's and not echo's" in dropped.error
        assert await entries(kernel) == before


async def test_a_task_that_is_to_be_delivered_where_nothing_is_sent_is_refused(tmp_path: Path) -> None:
    """Nobody waits for an answer that goes nowhere."""
    async with core(tmp_path / "home") as kernel:
        for routing in (Routing(channel="nowhere", to="desk"), Routing(), Routing(channel="local")):
            with pytest.raises(InvalidInput) as caught:
                await started(kernel, "say it", agent=ECHO, deliver=True, routing=routing)
            assert str(caught.value.facts["field"]).startswith("routing")
        assert (await kernel.query(ListTasks())).tasks == ()


async def test_the_answer_of_a_task_is_delivered_where_it_is_routed(tmp_path: Path) -> None:
    """To the chat of a platform, besides its own session."""
    config = """
http: {enabled: false}
agents:
  echo: {runner: scripted, scenario: builtin:echo, pace: 0}
default_agent: echo
platforms:
  people: {kind: simulated, people: 2, rate_per_s: 0}
core: {drain_s: 0}
"""
    async with core(tmp_path / "home", config) as kernel:
        view = (await started(kernel, "say it", deliver=True, routing=Routing(channel="people", to="p1"))).task
        await task(kernel, view.id, TaskState.DONE)
        queued = await until(kernel, DeliverySent)
        assert (queued.delivery.platform, queued.delivery.session_id) == (PlatformName("people"), view.session_id)


async def test_a_dropped_task_can_be_tried_again(tmp_path: Path) -> None:
    """With the profile as it is now; it was dropped because its agent had gone."""
    temp, settings = AgentName("temp"), {"runner": "scripted", "pace": 0, "scenario": "builtin:echo"}
    async with core(tmp_path / "home") as kernel:
        await kernel.execute(CreateProfile(name=temp, settings=settings), actor=OPERATOR)
        await kernel.execute(PauseAgent(name=temp), actor=OPERATOR)
        view = (await started(kernel, "say it", agent=temp)).task
        await kernel.execute(DeleteProfile(name=temp), actor=OPERATOR)
        await task(kernel, view.id, TaskState.DROPPED)
        await kernel.execute(CreateProfile(name=temp, settings=settings), actor=OPERATOR)
        again = await kernel.execute(RetryTask(task_id=view.id), actor=OPERATOR)
        assert again.task.state is TaskState.QUEUED
        assert (await task(kernel, view.id, TaskState.DONE)).answer == "say it"


async def test_a_task_that_fails_is_tried_again_by_itself_and_over_a_restart(tmp_path: Path) -> None:
    """The second try comes when it is due, though the core was stopped meanwhile."""
    home = tmp_path / "home"
    config = """
http: {enabled: false}
agents:
  main: {runner: scripted, pace: 0, policy: {retry: {max_attempts: 2, delay_ms: 1500}}}
core: {drain_s: 0}
"""
    async with core(home, config) as kernel:
        view = (await started(kernel, "!crash")).task

        async def retrying() -> TaskView | None:
            found = (await kernel.query(GetTask(task_id=view.id))).task
            return found if found.retry is not None else None

        await some(retrying)
    async with core(home, config) as kernel:
        ended = await task(kernel, view.id, TaskState.ERROR)
        assert ended.attempt_count == 2
        runs = (await kernel.query(ListRuns())).runs
        assert [run.state for run in runs] == [RunState.ERROR, RunState.ERROR]


async def test_a_task_that_asks_goes_on_after_a_restart_and_asks_again(tmp_path: Path) -> None:
    """Its run is closed, its question orphaned; the next run's question replaces it, and it is done once."""
    home = tmp_path / "home"
    async with core(home) as kernel:
        view = (await started(kernel, "!sh ls")).task
        first = await asked(kernel, "ls", session_id=view.session_id)
    async with core(home) as kernel:
        again = await asked(kernel, "ls", session_id=view.session_id)
        assert (again.replaces, again.task_id) == (first.id, view.id)
        left = await approval(kernel, first, ApprovalState.ORPHANED)
        assert left.replaced_by == again.id
        await answered(kernel, again)
        ended = await task(kernel, view.id, TaskState.DONE)
        runs = (await kernel.query(ListRuns())).runs
        assert [run.state for run in runs] == [RunState.OK, RunState.CANCELLED]
        assert ended.target_run_id == runs[0].id
        tools = [item for item in await entries(kernel, view.session_id) if item.kind is EntryKind.TOOL]
        assert len(tools) == 1


async def test_a_task_that_was_handed_over_before_a_crash_is_done_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session had it, and the mailbox still has it: the next start takes it out there."""
    home = tmp_path / "home"
    async with core(home) as kernel:
        post = kernel.agents.tasking.dispatch._post

        async def fails(*_: object, **__: object) -> None:
            raise StoreError("the disk is full", cause="full", fix="make room")

        monkeypatch.setattr(post, "settle", fails)
        view = (await started(kernel, "say it", agent=ECHO)).task
        await task(kernel, view.id, TaskState.DONE)
        assert (await kernel.query(GetMailbox(mailbox=TASKS))).tally.queued == 1
    monkeypatch.undo()
    async with core(home) as kernel:
        await settled(kernel)
        assert (await task(kernel, view.id)).state is TaskState.DONE
        assert len((await kernel.query(ListRuns())).runs) == 1


async def test_a_command_for_a_session_with_a_live_run_of_a_task_joins_it(tmp_path: Path) -> None:
    """It is no task of its own; the one that runs is done once both are answered."""
    async with core(tmp_path / "home") as kernel:
        view = (await started(kernel, "!sh ls")).task
        approval_view = await asked(kernel, "ls", session_id=view.session_id)
        receipt = await started(kernel, "and hello", session_id=view.session_id)
        assert receipt.task.id == view.id
        await answered(kernel, approval_view)
        ended = await task(kernel, view.id, TaskState.DONE)
        assert ended.attempt_count == 2
        assert len((await kernel.query(ListTasks())).tasks) == 1


async def test_a_reader_of_the_stream_that_goes_away_leaves_nothing_behind(tmp_path: Path) -> None:
    """A long poll that is cancelled is forgotten."""
    async with core(tmp_path / "home") as kernel:
        view = (await started(kernel, "!sh ls")).task
        await asked(kernel, "ls", session_id=view.session_id)
        seen = await kernel.query(ReadStream(task_id=view.id, limit=1000))
        poll = kernel.query(ReadStream(task_id=view.id, after=seen.next_after, wait_s=30))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await poll
        assert kernel.agents.tasking.streams._readers == set()


async def test_tasks_of_a_task_are_found_under_it_and_hidden_when_put_away(tmp_path: Path) -> None:
    """By its detail and by the filter."""
    async with core(tmp_path / "home") as kernel:
        parent = (await started(kernel, "one", agent=ECHO)).task
        child = (await started(kernel, "two", agent=ECHO, parent_id=parent.id, spawned_by="main")).task
        await task(kernel, child.id, TaskState.DONE)
        await task(kernel, parent.id, TaskState.DONE)
        detail = await kernel.query(GetTask(task_id=parent.id))
        assert [item.id for item in detail.children] == [child.id]
        await kernel.execute(ArchiveTask(task_id=child.id), actor=OPERATOR)
        only = TaskFilter(parent_id=parent.id)
        assert (await kernel.query(ListTasks(only=only))).tasks == ()
        only = TaskFilter(parent_id=parent.id, archived=True)
        assert [item.id for item in (await kernel.query(ListTasks(only=only))).tasks] == [child.id]


async def test_an_input_after_the_end_goes_on_in_the_session(tmp_path: Path) -> None:
    """An interactive task rests, and is taken up again by the next input."""
    config = """
http: {enabled: false}
agents:
  echo: {runner: scripted, scenario: builtin:echo, pace: 0, policy: {interactive: true}}
default_agent: echo
core: {drain_s: 0}
"""
    async with core(tmp_path / "home", config) as kernel:
        view = (await started(kernel, "one")).task
        idle = await task(kernel, view.id, TaskState.IDLE)
        assert idle.target_run_id is not None
        receipt = await kernel.execute(SendInput(run_id=idle.target_run_id, text="two"), actor=OPERATOR)
        assert receipt.outcome is Outcome.RESTARTED

        async def again() -> TaskView | None:
            found = (await kernel.query(GetTask(task_id=view.id))).task
            return found if found.state is TaskState.IDLE and found.answer == "two" else None

        assert (await some(again)).attempt_count == 2


async def test_a_task_is_never_worked_into_a_run_that_is_not_its_own(tmp_path: Path) -> None:
    """It has a turn of its own, and says why; an input for its own run is worked into that."""
    async with core(tmp_path / "home") as kernel:
        await opened(kernel, "!sh ls")
        question = await asked(kernel, "ls")
        view = (await started(kernel, "!sh uptime", session_id=DESK, hook_id=1, queue_mode=Mode.STEER)).task
        await session(kernel, lambda item: item.queue_depth == 1)

        async def explained() -> bool | None:
            [message] = [item for item in (await desk(kernel)).messages if item.task_id == view.id]
            return True if message.mode_reason == "a task has a turn of its own" else None

        await some(explained)
        await answered(kernel, question)
        again = await asked(kernel, "uptime")
        receipt = await kernel.execute(
            SendInput(run_id=again.run_id, text="hurry", queue_mode=Mode.STEER), actor=OPERATOR
        )
        assert receipt.outcome is Outcome.DIRECT
        await answered(kernel, again)
        await task(kernel, view.id, TaskState.DONE)
