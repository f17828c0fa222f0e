"""Agents that change, go or are held while sessions and tasks of theirs go on."""

import asyncio
from pathlib import Path

import pytest

from core.api.approvals import ApprovalState
from core.api.base import AgentName, SessionId
from core.api.errors import ConfigError, NotFound, Refused
from core.api.profiles import (
    CreateProfile,
    DeleteProfile,
    DisableProfile,
    EnableProfile,
    GetProfile,
    PauseAgent,
    PoolState,
    ResumeAgent,
    SyncProfile,
    UpdateProfile,
)
from core.api.runs import Phase
from core.api.session_orders import CompactSession
from core.api.sessions import SendMessage
from core.api.tasks import DropReason, TaskState
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
    profile,
    rested,
    sent,
    session,
    started,
    task,
    was_answered,
    when,
)

TEMP = AgentName("temp")
SCRIPTED = {"runner": "scripted", "pace": 0}
ECHO = {"runner": "scripted", "pace": 0, "scenario": "builtin:echo"}


async def test_a_paused_agent_says_on_the_session_who_paused_it_and_why(tmp_path: Path) -> None:
    """The message waits, and begins with the resume."""
    async with core(tmp_path / "home") as kernel:
        await kernel.execute(PauseAgent(name=MAIN, reason="upgrade"), actor=OPERATOR)
        await opened(kernel, "hello")
        view = await session(kernel, lambda view: view.run is not None and bool(view.run.waits_for))
        assert view.run is not None
        assert view.run.phase is Phase.ADMITTING
        assert view.run.waits_for == "agent main is paused by ana: upgrade"
        await kernel.execute(ResumeAgent(name=MAIN), actor=OPERATOR)
        ended = await rested(kernel)
        assert was_answered(ended)


async def test_an_agent_that_is_paused_while_a_run_waits_says_so_too(tmp_path: Path) -> None:
    """First for a slot, then for the operator, then for nothing."""
    config = """
http: {enabled: false}
agents:
  main: {runner: scripted, pace: 0, concurrency: 1}
core: {drain_s: 0}
"""
    async with core(tmp_path / "home", config) as kernel:
        await opened(kernel, "!hang", chat="first")
        await session(kernel, lambda view: view.phase is not None, SessionId("local:dm:first"))
        await opened(kernel, "hello")
        await session(kernel, lambda view: view.run is not None and "as many runs" in view.run.waits_for)
        await kernel.execute(PauseAgent(name=MAIN, reason="upgrade"), actor=OPERATOR)
        await session(kernel, lambda view: view.run is not None and "paused by ana" in view.run.waits_for)


async def test_a_queued_message_of_a_disabled_agent_waits_until_it_is_enabled(tmp_path: Path) -> None:
    """What was taken in is not thrown away; what comes now is refused with the reason."""
    async with core(tmp_path / "home") as kernel:
        await opened(kernel, "!sh ls")
        view = await asked(kernel, "ls")
        await sent(kernel, "two")
        await kernel.execute(DisableProfile(name=MAIN, reason="broken"), actor=OPERATOR)
        with pytest.raises(Refused, match="disabled"):
            await sent(kernel, "three")
        await answered(kernel, view)
        waiting = await session(kernel, lambda item: item.run is not None and "disabled" in item.run.waits_for)
        assert waiting.run is not None
        assert len(waiting.run.message_ids) == 1
        await kernel.execute(EnableProfile(name=MAIN), actor=OPERATOR)
        ended = await rested(kernel)
        assert was_answered(ended)
        assert [entry.text for entry in await entries(kernel) if entry.text in {"two", "three"}] == ["two"]


async def test_a_session_whose_agent_is_removed_ends_its_run_and_refuses_what_comes(tmp_path: Path) -> None:
    """Its question is withdrawn, what is queued is answered with the reason, its runner goes."""
    async with core(tmp_path / "home") as kernel:
        await kernel.execute(CreateProfile(name=TEMP, settings=SCRIPTED), actor=OPERATOR)
        await opened(kernel, "!sh ls", agent=TEMP)
        view = await asked(kernel, "ls")
        await sent(kernel, "two")
        receipt = await kernel.execute(DeleteProfile(name=TEMP), actor=OPERATOR)
        assert receipt.stopped == 1
        await approval(kernel, view, ApprovalState.WITHDRAWN)
        ended = await rested(kernel)
        assert ended.last_outcome is not None
        assert "no agent temp" in ended.last_outcome.error
        with pytest.raises((Refused, NotFound), match="temp"):
            await sent(kernel, "three")
        await when(lambda: not len(kernel.agents.runners))
        assert (await desk(kernel)).session.runner is None


async def test_a_file_that_is_broken_by_hand_leaves_the_agent_as_it_was(tmp_path: Path) -> None:
    """The order names file, line and key; the session goes on."""
    home = tmp_path / "home"
    async with core(home) as kernel:
        folder = home / "agents"
        await asyncio.to_thread(folder.mkdir, exist_ok=True)
        file = folder / "temp.yaml"
        await asyncio.to_thread(file.write_text, "runner: scripted\npace: 0\nscenario: builtin:echo\n")
        await kernel.execute(SyncProfile(name=TEMP), actor=OPERATOR)
        await opened(kernel, "one", agent=TEMP)
        await rested(kernel)
        await asyncio.to_thread(file.write_text, "runner: scripted\npace: much\n")
        with pytest.raises(ConfigError) as caught:
            await kernel.execute(SyncProfile(name=TEMP), actor=OPERATOR)
        assert "temp.yaml" in str(caught.value.facts["file"])
        await sent(kernel, "two")
        await rested(kernel)
        assert (await entries(kernel))[-1].text == "two"


async def test_another_kind_of_runner_takes_over_after_the_turn(tmp_path: Path) -> None:
    """The run that goes on ends with the old one; the next is answered by the new one."""
    async with core(tmp_path / "home") as kernel:
        await kernel.execute(CreateProfile(name=TEMP, settings=SCRIPTED), actor=OPERATOR)
        await opened(kernel, "!sh ls", agent=TEMP)
        view = await asked(kernel, "ls")
        before = (await desk(kernel)).session.runner
        settings = {"runner": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m", "pace": None}
        await kernel.execute(UpdateProfile(name=TEMP, settings=settings), actor=OPERATOR)
        assert (await desk(kernel)).session.runner is not None
        await answered(kernel, view)
        ended = await rested(kernel)
        assert was_answered(ended)
        await sent(kernel, "hello")
        ended = await session(kernel, lambda item: item.lane_holder is None and item.last_outcome != ended.last_outcome)
        assert ended.last_outcome is not None
        assert not ended.last_outcome.answered
        assert before is not None
        assert before.kind == "scripted"


async def test_a_task_keeps_its_profile_though_that_changes_and_the_core_starts_anew(tmp_path: Path) -> None:
    """What was accepted is done as it was accepted; what comes later is done by the new one."""
    home = tmp_path / "home"
    async with core(home) as kernel:
        await kernel.execute(CreateProfile(name=TEMP, settings=ECHO), actor=OPERATOR)
        await kernel.execute(PauseAgent(name=TEMP), actor=OPERATOR)
        first = (await started(kernel, "say this", agent=TEMP)).task
        await kernel.execute(UpdateProfile(name=TEMP, settings={"scenario": "builtin:assistant"}), actor=OPERATOR)
        second = (await started(kernel, "say this", agent=TEMP)).task
        assert first.profile_fingerprint != second.profile_fingerprint
    async with core(home) as kernel:
        assert (await task(kernel, first.id)).state is TaskState.QUEUED
        await kernel.execute(ResumeAgent(name=TEMP), actor=OPERATOR)
        assert (await task(kernel, first.id, TaskState.DONE)).answer == "say this"
        assert (await task(kernel, second.id, TaskState.DONE)).answer != "say this"


async def test_a_task_of_a_removed_agent_is_dropped_with_the_reason(tmp_path: Path) -> None:
    """Also when the agent went while it waited."""
    async with core(tmp_path / "home") as kernel:
        await kernel.execute(CreateProfile(name=TEMP, settings=ECHO), actor=OPERATOR)
        await kernel.execute(PauseAgent(name=TEMP), actor=OPERATOR)
        receipt = await started(kernel, "say this", agent=TEMP)
        await kernel.execute(DeleteProfile(name=TEMP), actor=OPERATOR)
        dropped = await task(kernel, receipt.task.id, TaskState.DROPPED)
        assert dropped.dropped_reason is DropReason.AGENT_GONE
        with pytest.raises(NotFound):
            await kernel.query(GetProfile(name=TEMP))


async def test_an_agent_whose_runs_fail_is_held_back_and_tried_by_one(tmp_path: Path) -> None:
    """Degraded after the limit, ready after one good run; what waits is told so and is answered."""
    config = """
http: {enabled: false}
agents:
  main: {runner: scripted, pace: 0, failure_limit: 2, recovery_s: 1}
core: {drain_s: 0}
"""
    async with core(tmp_path / "home", config) as kernel:
        for number in range(2):
            await opened(kernel, "!crash", chat=f"bad{number}")
            await rested(kernel, SessionId(f"local:dm:bad{number}"))
        assert (view := await profile(kernel)).pool is not None
        assert view.pool.state is PoolState.DEGRADED
        await opened(kernel, "hello")
        waiting = await session(kernel, lambda view: view.run is not None and bool(view.run.waits_for))
        assert waiting.run is not None
        assert "2 runs in a row failed" in waiting.run.waits_for
        ended = await rested(kernel)
        assert was_answered(ended)
        assert (view := await profile(kernel)).pool is not None
        assert view.pool.state is PoolState.READY


async def test_the_workspace_of_a_profile_is_where_its_files_go(tmp_path: Path) -> None:
    """Relative to the home, for all sessions of the agent."""
    home = tmp_path / "home"
    config = """
http: {enabled: false}
agents:
  main: {runner: scripted, pace: 0, workspace: common/files}
core: {drain_s: 0}
"""
    async with core(home, config) as kernel:
        await opened(kernel, "!write notes.txt kept")
        await answered(kernel, await asked(kernel))
        await rested(kernel)
        assert await asyncio.to_thread((home / "common/files/notes.txt").read_text) == "kept\n"


async def test_an_agent_writes_no_profile_through_a_link(tmp_path: Path) -> None:
    """A profile names programs that the core starts: its run ends with the reason, and nothing is asked."""
    home = tmp_path / "home"
    config = """
http: {enabled: false}
agents:
  main: {runner: scripted, pace: 0, workspace: link}
core: {drain_s: 0}
"""
    await asyncio.to_thread((home / "agents").mkdir, parents=True, mode=0o700)
    await asyncio.to_thread((home / "link").symlink_to, home / "agents")
    async with core(home, config) as kernel:
        await opened(kernel, "!write evil.yaml runner: acp")
        assert not was_answered(await rested(kernel))
        assert any("keeps for itself" in entry.text for entry in await entries(kernel))
    assert await asyncio.to_thread(lambda: list((home / "agents").iterdir())) == []


async def test_a_session_of_a_removed_agent_can_still_be_read(tmp_path: Path) -> None:
    """And a message to it is refused before anything is stored."""
    async with core(tmp_path / "home") as kernel:
        await kernel.execute(CreateProfile(name=TEMP, settings=ECHO), actor=OPERATOR)
        await opened(kernel, "one", agent=TEMP)
        await rested(kernel)
        await kernel.execute(DeleteProfile(name=TEMP), actor=OPERATOR)
        before = await entries(kernel)
        with pytest.raises((Refused, NotFound), match="there is no agent temp"):
            await kernel.execute(SendMessage(session_id=DESK, text="two"), actor=OPERATOR)
        assert await entries(kernel) == before


async def test_a_runner_that_made_a_summary_does_not_work_in_the_folder_of_nobody(tmp_path: Path) -> None:
    """Whoever has a summary made, the next turn works where the session's user has their files."""
    home = tmp_path / "home"
    config = """
http: {enabled: false}
agents:
  main: {runner: scripted, pace: 0, compaction: {max_tokens: -1, keep_tail: 1}}
core: {drain_s: 0}
"""
    async with core(home, config) as kernel:
        await opened(kernel, "hello " * 100)
        await rested(kernel)
    async with core(home, config) as kernel:
        await kernel.execute(CompactSession(session_id=DESK), actor=OPERATOR)
        await sent(kernel, "!write notes.txt kept")
        await answered(kernel, await asked(kernel))
        await rested(kernel)

        def places() -> list[str]:
            return [path.relative_to(home).parts[2] for path in (home / "workspaces").rglob("notes.txt")]

        assert await asyncio.to_thread(places) == ["users"]
