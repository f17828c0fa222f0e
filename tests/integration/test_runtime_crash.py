"""A core that was killed: its files are looked at by another start as they lay there at that moment."""

import asyncio
import shutil
from pathlib import Path

import pytest

from core.api.approvals import ApprovalState, EndReason, GrantScope, ListGrants
from core.api.base import SessionId
from core.api.runs import Stop
from core.api.sessions import Mode, ResetSession, RunEnded
from core.api.tasks import GetRun, ListRuns, RunState, TaskState
from core.api.transcripts import EntryKind
from core.kernel import Kernel
from tests.support.runtime_core import (
    DESK,
    OPERATOR,
    answered,
    approval,
    asked,
    core,
    desk,
    entries,
    opened,
    rested,
    sent,
    started,
    task,
    until,
)


async def killed(kernel: Kernel, home: Path, copy: Path) -> None:
    """The files of a core as a kill at this moment would leave them."""
    await kernel.journal.head()
    await asyncio.to_thread(
        shutil.copytree, home, copy, ignore=shutil.ignore_patterns("*.sock", "*.lock", "*.pid", "run")
    )


async def test_what_was_going_on_at_a_kill_is_taken_up_and_done_once(tmp_path: Path) -> None:
    """Lease, run rows, question and task of the dead core are closed; the same question comes under a new id."""
    home, copy = tmp_path / "home", tmp_path / "copy"
    async with core(home) as kernel:
        await opened(kernel, "!sh ls")
        chat = await asked(kernel, "ls")
        await sent(kernel, "hello", mode=Mode.FOLLOWUP)
        view = (await started(kernel, "!sh uptime")).task
        work = await asked(kernel, "uptime", session_id=view.session_id)
        await task(kernel, view.id, TaskState.WAITING)
        await killed(kernel, home, copy)
    # Under the same path, which is part of what was asked.
    await asyncio.to_thread(shutil.rmtree, home)
    await asyncio.to_thread(copy.rename, home)
    async with core(home) as kernel:
        for first in (chat, work):
            left = await approval(kernel, first, ApprovalState.ORPHANED)
            assert left.ended is EndReason.RESTART
            run = (await kernel.query(GetRun(run_id=first.run_id))).run
            assert (run.state, run.stop, run.code) == (RunState.ERROR, Stop.DIED, "orphaned")
            again = await asked(kernel, first.target, session_id=first.session_id)
            assert (again.replaces, again.task_id) == (first.id, first.task_id)
            session = (await desk(kernel, first.session_id)).session
            assert session.lease is not None
            assert session.lease.boot == 2
            await answered(kernel, again)
        await task(kernel, view.id, TaskState.DONE)
        await rested(kernel)
        for session_id in (SessionId(chat.session_id), view.session_id):
            tools = [item for item in await entries(kernel, session_id) if item.kind is EntryKind.TOOL]
            assert len(tools) == 1
        runs = (await kernel.query(ListRuns())).runs
        assert sorted(run.state.value for run in runs) == ["error", "error", "ok", "ok", "ok"]
        ended = await until(kernel, RunEnded, fits=lambda event: event.outcome.code == "orphaned")
        assert ended.outcome.stop is Stop.DIED


async def test_grants_whose_end_a_kill_has_cut_off_end_with_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of a task that is done and that of a session that was reset; what was given after the reset stays."""
    home = tmp_path / "home"
    other = SessionId("local:dm:other")
    async with core(home) as kernel:
        for end in ("end_task", "end_session"):
            monkeypatch.setattr(kernel.agents.approvals.grants, end, _cut_off)
        view = (await started(kernel, "!sh ls")).task
        await answered(kernel, await asked(kernel, "ls", session_id=view.session_id), scope=GrantScope.TASK)
        await task(kernel, view.id, TaskState.DONE)
        await opened(kernel, "!sh ls")
        await answered(kernel, await asked(kernel, "ls"), scope=GrantScope.SESSION)
        await rested(kernel)
        await kernel.execute(ResetSession(session_id=DESK), actor=OPERATOR)
        await opened(kernel, "!sh ls", chat="other")
        await answered(kernel, await asked(kernel, "ls", session_id=other), scope=GrantScope.SESSION)
        await rested(kernel, other)
        assert len((await kernel.query(ListGrants())).grants) == 3
    async with core(home) as kernel:
        left = (await kernel.query(ListGrants())).grants
        assert [grant.session_id for grant in left] == [other]
        await sent(kernel, "!sh ls")
        await asked(kernel, "ls")


async def _cut_off(_which: str) -> None:
    """The core dies before this is done."""
