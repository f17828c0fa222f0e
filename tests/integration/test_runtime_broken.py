"""Agents whose profile cannot be read at a start: what was taken in for them waits, says why, and goes on."""

import asyncio
from pathlib import Path

import pytest

from core.api.approvals import ApprovalState
from core.api.base import AgentName, SessionId
from core.api.errors import Refused
from core.api.profiles import EnableProfile, PauseAgent, ResumeAgent, SyncProfile
from core.api.runs import Phase
from core.api.sessions import InterruptSession, SessionState
from core.api.tasks import ListRuns, TaskState
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
    profile,
    rested,
    sent,
    session,
    started,
    task,
    was_answered,
)

TEMP = AgentName("temp")
GOOD = "runner: scripted\npace: 0\n"
BROKEN = "runner: scripted\npace: much\n"


async def written(home: Path, text: str) -> None:
    """The agent's file says this from now on."""

    def write() -> None:
        (home / "agents").mkdir(parents=True, exist_ok=True)
        (home / "agents" / "temp.yaml").write_text(text)

    await asyncio.to_thread(write)


async def held(kernel: Kernel, session_id: SessionId = DESK) -> str:
    """Why the run of a session has not begun."""
    view = await session(kernel, lambda item: item.run is not None and bool(item.run.waits_for), session_id)
    assert view.run is not None
    assert view.run.phase is Phase.ADMITTING
    assert view.state is SessionState.QUEUED
    return view.run.waits_for


async def test_what_waits_for_an_agent_that_cannot_be_read_goes_on_once_it_is_mended(tmp_path: Path) -> None:
    """A chat's messages in their order, with the question of before; new ones are refused meanwhile."""
    home = tmp_path / "home"
    await written(home, GOOD)
    async with core(home) as kernel:
        await opened(kernel, "!sh ls", agent=TEMP)
        first = await asked(kernel, "ls")
        await sent(kernel, "two")
    await written(home, BROKEN)
    async with core(home) as kernel:
        assert "temp.yaml" in await held(kernel)
        with pytest.raises(Refused, match=r"temp\.yaml"):
            await sent(kernel, "three")
        await kernel.execute(EnableProfile(name=TEMP), actor=OPERATOR)
        await kernel.execute(ResumeAgent(name=TEMP), actor=OPERATOR)
        assert "temp.yaml" in await held(kernel)
        await written(home, GOOD)
        await kernel.execute(SyncProfile(name=TEMP), actor=OPERATOR)
        again = await asked(kernel, "ls")
        assert again.replaces == first.id
        await answered(kernel, again)
        ended = await rested(kernel)
        assert was_answered(ended)
        assert [entry.text for entry in await entries(kernel) if entry.text in {"two", "three"}] == ["two"]
        runs = (await kernel.query(ListRuns())).runs
        view = await profile(kernel, "temp")
        assert {(run.runner, run.policy) for run in runs} == {("scripted", view.policy)}


async def test_tasks_of_an_agent_that_cannot_be_read_wait_as_well(tmp_path: Path) -> None:
    """In their mailbox and in their session; each is done once, under the profile that it was accepted with."""
    home = tmp_path / "home"
    await written(home, GOOD)
    async with core(home) as kernel:
        running = (await started(kernel, "!sh ls", agent=TEMP)).task
        await asked(kernel, "ls", session_id=running.session_id)
        await kernel.execute(PauseAgent(name=TEMP), actor=OPERATOR)
        waiting = (await started(kernel, "hello", agent=TEMP)).task
    await written(home, BROKEN)
    async with core(home) as kernel:
        await kernel.execute(ResumeAgent(name=TEMP), actor=OPERATOR)
        assert "temp.yaml" in await held(kernel, running.session_id)
        assert (await task(kernel, waiting.id)).state is TaskState.QUEUED
        await written(home, GOOD)
        await kernel.execute(SyncProfile(name=TEMP), actor=OPERATOR)
        await answered(kernel, await asked(kernel, "ls", session_id=running.session_id))
        assert (await task(kernel, running.id, TaskState.DONE)).attempt_count == 1
        await task(kernel, waiting.id, TaskState.DONE)


async def test_a_run_that_waits_for_an_agent_to_be_mended_can_be_stopped(tmp_path: Path) -> None:
    """By its operator; and the core stops in order while others wait so."""
    home = tmp_path / "home"
    await written(home, GOOD)
    async with core(home) as kernel:
        await opened(kernel, "!sh ls", agent=TEMP)
        first = await asked(kernel, "ls")
        await opened(kernel, "!sh ls", chat="other", agent=TEMP)
        await asked(kernel, "ls", session_id=SessionId("local:dm:other"))
    await written(home, BROKEN)
    async with core(home) as kernel:
        await held(kernel)
        await kernel.execute(InterruptSession(session_id=DESK), actor=OPERATOR)
        await rested(kernel)
        assert (await approval(kernel, first, *ApprovalState)).state is ApprovalState.ORPHANED
        await held(kernel, SessionId("local:dm:other"))
    await written(home, GOOD)
    async with core(home) as kernel:
        await asked(kernel, "ls", session_id=SessionId("local:dm:other"))
        assert (await desk(kernel)).session.lane_holder is None
