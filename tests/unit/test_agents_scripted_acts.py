"""The embedded agent when it acts: what it asks, what it really writes and runs, what it says of itself."""

from pathlib import Path

import msgspec
import pytest

from core.agents.ports import ToolResult
from core.agents.runner import Decision
from core.api.policies import ExecutionPolicy, WorkspaceAccess
from core.api.runs import (
    ActionKind,
    ActionRequested,
    ModeReported,
    Phase,
    PhaseChanged,
    Stop,
    ToolReported,
    ToolStatus,
)
from tests.support.agent_parts import Reading, collected, end_of, text_of, turn_request
from tests.support.fake_tools import FakeTools
from tests.support.scripted_runner import NO, YES, answered, opened


async def test_a_question_is_answered_in_words(tmp_path: Path) -> None:
    """The turn waits for the answer, says it, and ends; without one it goes on."""
    runner = await opened(tmp_path)
    told = Decision(allow=True, option_id="answer", answer="the blue one")
    reports = await answered(runner, "!ask Which one?", told)
    asked = next(report for report in reports if isinstance(report, ActionRequested))
    assert (asked.title, asked.action_kind) == ("Which one?", ActionKind.QUESTION)
    assert PhaseChanged(phase=Phase.CLARIFY) in reports
    assert text_of(reports) == "You answered: the blue one"
    assert end_of(reports).stop is Stop.END_TURN
    for no in (NO, Decision(allow=False, option_id="skip", answer="ignored")):
        assert "no answer" in text_of(await answered(runner, "!ask Which one?", no))


async def test_a_question_of_a_scenario_can_end_the_turn(tmp_path: Path) -> None:
    """The answer is the next message then."""
    runner = await opened(tmp_path, scenario="rules: [{steps: [{ask: Which one?}]}]")
    reports = await collected(runner, turn_request("x"))
    assert (text_of(reports), end_of(reports).stop) == ("Which one?", Stop.WAITING_FOR_INPUT)


@pytest.mark.parametrize(
    ("text", "tool", "target", "chain"),
    [
        ("!sh df -h", "exec", "df -h", ()),
        ("!run echo hello", "exec", "echo hello", ()),
        ("!write a/../notes.txt hello", "write", "notes.txt", ()),
        ("!child scout uptime", "exec", "uptime", ("scout",)),
        ("!child scout/mole df -h", "exec", "df -h", ("scout", "mole")),
        ("!late", "exec", "systemctl restart worker.service", ()),
    ],
)
async def test_what_is_asked_says_what_a_policy_looks_at(
    tmp_path: Path, text: str, tool: str, target: str, chain: tuple[str, ...]
) -> None:
    """Tool, target and place, what changes in a file, and who asks on whose behalf."""
    runner = await opened(tmp_path)
    reading = Reading(runner.turn(turn_request(text)))
    asked = await reading.until(ActionRequested)
    assert (asked.tool, asked.target, asked.chain) == (tool, target, chain)
    assert asked.cwd == str(tmp_path / "workspace")
    assert asked.diff.endswith("+hello\n") is (tool == "write")
    await runner.cancel("enough")
    await reading.whole()


async def test_run_really_runs_exactly_once_after_a_yes(tmp_path: Path) -> None:
    """Not before, and not at all after a no; the output is said."""
    host = FakeTools(result=ToolResult(exit_code=0, output="hello\n"))
    runner = await opened(tmp_path, tools=host)
    denied = await answered(runner, "!run echo hello", NO)
    assert host.ran == []
    assert text_of(denied) == "It did not work: it was not allowed"
    reports = await answered(runner, "!run echo hello", YES)
    assert host.ran == [["/bin/sh", "-c", "echo hello"]]
    assert text_of(reports) == "Ran it:\nhello\n"
    statuses = [report.call.status for report in reports if isinstance(report, ToolReported)]
    assert statuses == [ToolStatus.PENDING, ToolStatus.IN_PROGRESS, ToolStatus.COMPLETED]


async def test_run_is_refused_with_the_reason_of_the_sandbox(tmp_path: Path) -> None:
    """Nobody is asked for what cannot be done."""
    host = FakeTools(why="no bubblewrap here")
    reports = await collected(await opened(tmp_path, tools=host), turn_request("!run ls"))
    assert text_of(reports) == "It did not work: no bubblewrap here"
    assert host.ran == []
    assert not any(isinstance(report, ActionRequested) for report in reports)


async def test_a_write_is_kept_to_the_policy(tmp_path: Path) -> None:
    """A read-only workspace takes none, and nobody is asked."""
    request = msgspec.structs.replace(
        turn_request("!write a.txt b"), policy=ExecutionPolicy(workspace_access=WorkspaceAccess.RO)
    )
    reports = await collected(await opened(tmp_path), request)
    assert "workspace_access is ro" in text_of(reports)
    assert not any(isinstance(report, ActionRequested) for report in reports)


@pytest.mark.parametrize(("mode", "asks"), [("careful", True), ("bypass", False), ("dont_ask", False)])
async def test_a_mode_of_its_own_is_reported(tmp_path: Path, mode: str, *, asks: bool) -> None:
    """With whether it still asks there."""
    reports = await collected(await opened(tmp_path), turn_request(f"!mode {mode}"))
    assert ModeReported(mode=mode, asks=asks) in reports


async def test_it_lives_until_it_is_closed_or_dies(tmp_path: Path) -> None:
    """Whoever keeps it replaces it then."""
    crashed, closed = await opened(tmp_path), await opened(tmp_path)
    assert crashed.is_alive
    await collected(crashed, turn_request("!crash"))
    assert not crashed.is_alive
    await closed.close()
    assert not closed.is_alive


async def test_a_summary_is_the_same_every_time(tmp_path: Path) -> None:
    """Short texts as they are; of a long one its first and last words."""
    runner = await opened(tmp_path)
    assert await runner.summarize("a  short\ntalk", model="any") == "a short talk"
    long = " ".join(f"w{number}" for number in range(500))
    summary = await runner.summarize(long, model="")
    assert summary == await runner.summarize(long, model="other")
    assert summary.startswith("500 words, from: w0 ")
    assert summary.endswith(" w499")
