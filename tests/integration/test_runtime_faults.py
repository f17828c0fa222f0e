"""A core that stops with its hands full, or whose disk is full: nothing stays behind, nothing is lost or done twice."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.agents.runner import TurnRequest
from core.api.approvals import ApprovalState, GrantScope, ListApprovals, ListGrants
from core.api.base import AgentName, SessionId
from core.api.errors import HermesError, StoreError
from core.api.profiles import CreateProfile, GetProfile, ListRunners, PauseAgent, PoolState, UpdateProfile
from core.api.runs import ActionRequested, RunReport, Stop, TextDelta, ToolKind, TurnEnded
from core.api.session_orders import ArchiveSession
from core.api.session_queue import DropMessage
from core.api.sessions import ResetSession
from core.api.tasks import CancelTask, ListTasks, TaskState
from core.api.transcripts import EntryKind
from tests.support.puppets import Puppet, Puppeteer
from tests.support.runtime_core import (
    DESK,
    MAIN,
    OPERATOR,
    FullDisk,
    answered,
    approval,
    asked,
    core,
    desk,
    entries,
    opened,
    profile,
    rested,
    sent,
    session,
    some,
    started,
    task,
    was_answered,
    when,
)

TEMP = AgentName("temp")
ECHO = {"runner": "scripted", "pace": 0, "scenario": "builtin:echo"}
DARING = """
http: {enabled: false}
agents:
  main: {runner: scripted, pace: 0, policy: {security: full, host: gateway}}
core: {drain_s: 0}
"""


def children() -> set[int]:
    """Processes that this one has started and that have not ended."""
    threads = Path("/proc/self/task").iterdir()
    return {int(pid) for thread in threads for pid in (thread / "children").read_text().split()}


async def test_a_core_that_is_stopped_with_its_hands_full_leaves_nothing_behind(tmp_path: Path) -> None:
    """No program, no job, no runner; messages and tasks wait in the store."""
    home = tmp_path / "home"
    before_jobs, before = asyncio.all_tasks(), await asyncio.to_thread(children)
    async with core(home, DARING) as kernel:
        await opened(kernel, "!run sleep 1000")

        async def is_running() -> bool | None:
            return True if await asyncio.to_thread(children) - before else None

        await some(is_running)
        await opened(kernel, "!hang", chat="two")
        await opened(kernel, "!ask What?", chat="three")
        await started(kernel, "!hang")
        await asked(kernel, session_id=SessionId("local:dm:three"))
        await kernel.execute(PauseAgent(name=MAIN), actor=OPERATOR)
        await opened(kernel, "waits", chat="four")
    assert await asyncio.to_thread(children) - before == set()
    assert len(kernel.agents.runners) == 0
    assert kernel.agents.runs.running_count == 0
    left = {job.get_name() for job in asyncio.all_tasks() - before_jobs - {asyncio.current_task()}}
    assert left == set()
    async with core(home, DARING) as kernel:
        pool = (await profile(kernel)).pool
        assert pool is not None
        assert pool.state is PoolState.PAUSED
        assert (await desk(kernel)).session.lane_holder is not None


async def test_a_core_that_is_stopped_while_an_approval_is_answered_ends_it_one_way(tmp_path: Path) -> None:
    """Approved and known, or orphaned and asked again; never run twice."""
    home = tmp_path / "home"
    async with core(home) as kernel:
        await opened(kernel, "!sh ls")
        view = await asked(kernel, "ls")
        order = kernel.supervisor.spawn("answer", answered(kernel, view))
        stopping = asyncio.ensure_future(kernel.stop(0, "now"))
        await asyncio.gather(order, return_exceptions=True)
        await stopping
    async with core(home) as kernel:
        left = await approval(kernel, view, *ApprovalState)
        assert left.state in {ApprovalState.APPROVED, ApprovalState.ORPHANED}
        assert left.state is ApprovalState.ORPHANED or left.delivery

        async def ended() -> bool | None:
            for again in (await kernel.query(ListApprovals(open_only=True))).approvals:
                await answered(kernel, again)
            item = (await desk(kernel)).session
            return True if item.lane_holder is None and not item.queue_depth else None

        await some(ended)
        assert was_answered((await desk(kernel)).session)
        tools = [item for item in await entries(kernel) if item.kind is EntryKind.TOOL]
        assert len(tools) == 1 or left.state is ApprovalState.APPROVED


async def test_what_cannot_be_stored_is_not_asked_and_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent hears a no with its reason; the run ends once there is room again."""
    puppets = Puppeteer(monkeypatch)
    begun, go = asyncio.Event(), asyncio.Event()

    async def asking(puppet: Puppet, request: TurnRequest) -> AsyncIterator[RunReport]:
        del request
        begun.set()
        await go.wait()
        yield ActionRequested(
            action_id="a1", title="run", detail="ls", kind=ToolKind.EXECUTE, options=(), tool="exec", target="ls"
        )
        await puppet.decided.wait()
        yield TextDelta(text=f"allowed {puppet.decisions[0][1].allow}")
        yield TurnEnded(stop=Stop.END_TURN)

    puppets.turn = asking
    async with core(tmp_path / "home") as kernel:
        await opened(kernel, "go")
        await begun.wait()
        with FullDisk(kernel):
            go.set()
            await when(lambda: bool(puppets.made[0].decisions))
        await rested(kernel)
        assert (await entries(kernel))[-1].text == "allowed False"
        assert (await kernel.query(ListApprovals())).approvals == ()


async def test_an_answer_that_cannot_be_stored_leaves_the_question_open(tmp_path: Path) -> None:
    """Nothing runs, nothing is granted; the same answer works once there is room."""
    async with core(tmp_path / "home") as kernel:
        await opened(kernel, "!sh ls")
        view = await asked(kernel, "ls")
        with FullDisk(kernel), pytest.raises(StoreError):
            await answered(kernel, view, scope=GrantScope.SESSION)
        assert (await kernel.query(ListGrants())).grants == ()
        again = await asked(kernel, "ls")
        assert (again.id, again.state) == (view.id, ApprovalState.OPEN)
        await answered(kernel, again, scope=GrantScope.SESSION)
        await rested(kernel)
        assert len((await kernel.query(ListGrants())).grants) == 1


async def test_a_grant_whose_session_is_reset_on_a_full_disk_ends_once_there_is_room(tmp_path: Path) -> None:
    """The reset itself is stored; what went with it is not forgotten because the next write failed."""
    async with core(tmp_path / "home") as kernel:
        await opened(kernel, "!sh ls")
        await answered(kernel, await asked(kernel, "ls"), scope=GrantScope.SESSION)
        await session(kernel, lambda view: view.lane_holder is None and not view.unsent)
        with FullDisk(kernel, spares=1) as disk:
            await kernel.execute(ResetSession(session_id=DESK), actor=OPERATOR)
            await when(lambda: disk.refused_count > 0)
        await sent(kernel, "!sh ls")
        await asked(kernel, "ls")


async def test_a_profile_that_cannot_be_stored_stays_as_it_was(tmp_path: Path) -> None:
    """Made, changed or paused: nothing is half done."""
    async with core(tmp_path / "home") as kernel:
        await kernel.execute(CreateProfile(name=TEMP, settings=ECHO), actor=OPERATOR)
        before = await kernel.query(GetProfile(name=TEMP))
        with FullDisk(kernel):
            for command in (
                UpdateProfile(name=TEMP, settings={"scenario": "builtin:assistant"}),
                PauseAgent(name=TEMP),
                CreateProfile(name=AgentName("other"), settings=ECHO),
            ):
                with pytest.raises(StoreError):
                    await kernel.execute(command, actor=OPERATOR)
        after = await kernel.query(GetProfile(name=TEMP))
        assert (after.version, after.fingerprint, after.settings) == (
            before.version,
            before.fingerprint,
            before.settings,
        )
        assert after.pool is not None
        assert after.pool.state is PoolState.READY
        assert not kernel.agents.profiles.has("other")
        await kernel.execute(CreateProfile(name=AgentName("other"), settings=ECHO), actor=OPERATOR)


async def test_a_task_that_cannot_be_stored_is_not_there(tmp_path: Path) -> None:
    """Its key is free for another try; one that cannot be cancelled goes on."""
    async with core(tmp_path / "home") as kernel:
        with FullDisk(kernel), pytest.raises(StoreError):
            await started(kernel, "!sh ls", idempotency_key="k")
        assert (await kernel.query(ListTasks())).tasks == ()
        view = (await started(kernel, "!sh ls", idempotency_key="k")).task
        question = await asked(kernel, "ls", session_id=view.session_id)
        with FullDisk(kernel), pytest.raises(StoreError):
            await kernel.execute(CancelTask(task_id=view.id), actor=OPERATOR)
        assert (await task(kernel, view.id)).state is TaskState.WAITING
        await answered(kernel, question)
        await task(kernel, view.id, TaskState.DONE)


async def test_a_run_that_ends_on_a_full_disk_is_stored_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its answer, and its task done."""
    puppets = Puppeteer(monkeypatch)
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(puppet: Puppet, request: TurnRequest) -> AsyncIterator[RunReport]:
        del puppet, request
        begun.set()
        await go.wait()
        yield TextDelta(text="done")
        yield TurnEnded(stop=Stop.END_TURN)

    puppets.turn = slow
    async with core(tmp_path / "home") as kernel:
        view = (await started(kernel, "go", agent=MAIN)).task
        await begun.wait()
        with FullDisk(kernel) as disk:
            go.set()
            await when(lambda: disk.refused_count > 0)
        assert (await task(kernel, view.id, TaskState.DONE)).answer == "done"


async def test_a_session_that_cannot_be_put_away_keeps_its_runner(tmp_path: Path) -> None:
    """And is not put away."""
    async with core(tmp_path / "home") as kernel:
        await opened(kernel, "hello")
        await session(kernel, lambda view: view.lane_holder is None and not view.unsent)
        with FullDisk(kernel), pytest.raises(HermesError):
            await kernel.execute(ArchiveSession(session_id=DESK), actor=OPERATOR)
        assert not (await desk(kernel)).session.is_archived
        assert (await kernel.query(ListRunners())).runners
        await sent(kernel, "two")
        await rested(kernel)


async def test_a_task_whose_message_cannot_be_dropped_waits_on_and_can_be_dropped_later(tmp_path: Path) -> None:
    """What a full disk has refused is not half done: its lane has room again afterwards."""
    config = """
http: {enabled: false}
agents:
  main: {runner: scripted, pace: 0, lanes: {cron: 1}}
core: {drain_s: 0}
"""
    async with core(tmp_path / "home", config) as kernel:
        await opened(kernel, "!sh ls")
        question = await asked(kernel, "ls")
        first = (await started(kernel, "hello", session_id=DESK, hook_id=1, lane="cron")).task
        view = await session(kernel, lambda item: item.queue_depth == 1)
        [message] = [item for item in (await desk(kernel)).messages if item.task_id == first.id]
        drop = DropMessage(session_id=DESK, message_id=message.id)
        with FullDisk(kernel), pytest.raises(StoreError):
            await kernel.execute(drop, actor=OPERATOR)
        assert (await task(kernel, first.id)).state is TaskState.QUEUED
        assert view.queue_depth == (await desk(kernel)).session.queue_depth
        await kernel.execute(drop, actor=OPERATOR)
        assert (await task(kernel, first.id)).state is TaskState.CANCELLED
        second = (await started(kernel, "hello", lane="cron")).task
        await task(kernel, second.id, TaskState.DONE)
        await answered(kernel, question)
        await rested(kernel)


async def test_a_task_whose_message_could_not_be_dropped_is_done_all_the_same(tmp_path: Path) -> None:
    """It is not taken for cancelled by the run that begins with it."""
    async with core(tmp_path / "home") as kernel:
        await opened(kernel, "!sh ls")
        question = await asked(kernel, "ls")
        first = (await started(kernel, "hello", session_id=DESK, hook_id=1)).task
        await session(kernel, lambda item: item.queue_depth == 1)
        with FullDisk(kernel), pytest.raises(StoreError):
            await kernel.execute(ResetSession(session_id=DESK, drop_queue=True), actor=OPERATOR)
        await answered(kernel, question)
        await task(kernel, first.id, TaskState.DONE)


async def test_a_core_that_is_stopped_on_a_full_disk_stops_and_loses_nothing(tmp_path: Path) -> None:
    """What ran is taken up by the next start as after a crash, and done once; also when there is room soon."""
    home = tmp_path / "home"
    async with core(home) as kernel:
        await opened(kernel, "!sh ls")
        await asked(kernel, "ls")
        view = (await started(kernel, "!sh uptime")).task
        await asked(kernel, "uptime", session_id=view.session_id)
        with FullDisk(kernel, spares=1) as disk:
            stopping = asyncio.ensure_future(kernel.stop(0, "now"))
            await when(lambda: disk.refused_count > 1)
        async with asyncio.timeout(20):
            await stopping
    async with core(home) as kernel:
        await answered(kernel, await asked(kernel, "ls"))
        await answered(kernel, await asked(kernel, "uptime", session_id=view.session_id))
        assert was_answered(await rested(kernel))
        await task(kernel, view.id, TaskState.DONE)
