"""Agents behind ACP that ask: an action is bound to its request, and none is left open."""

import json
from pathlib import Path

import pytest

from core.agents.open_requests import OPEN_LIMIT
from core.agents.runner import Decision
from core.api.runs import (
    ActionRequested,
    Stop,
    TextDelta,
    ToolKind,
    ToolReported,
    ToolStatus,
)
from tests.support.acp_runners import NO, YES, AcpRunners, asking, remarks, said, settled
from tests.support.agent_parts import (
    Reading,
    end_of,
    text_of,
    turn_request,
)
from tests.support.clocks import FakeClock


async def test_what_is_approved_is_exactly_what_was_asked(acp: AcpRunners, tmp_path: Path) -> None:
    """Under the id of the request and not of the call; arguments whole, the command as the policy sees it."""
    runner = await acp.open()
    reading, asked = await asking(runner, "tools rm -r build && echo 'done'")
    command = "rm -r build && echo 'done'"
    assert json.loads(asked.detail) == {"command": command, "description": "clean up"}
    assert (asked.action_id, asked.tool_call_id, asked.kind) == ("0", "perm-1", ToolKind.EXECUTE)
    assert (asked.tool, asked.target, asked.cwd) == ("exec", command, str(tmp_path / "workspace"))
    assert asked.title == f"clean up: {command}"
    assert [option.id for option in asked.options] == ["once", "session", "always", "no"]
    assert asked.deadline_s is None
    assert await runner.decide("0", YES)
    assert not await runner.decide("0", NO)
    reports = await reading.whole()
    assert text_of(reports) == "chosen: once"
    assert settled(reports) == [("0", "approved")]


@pytest.mark.parametrize(
    ("decision", "chosen", "outcome"),
    [
        (NO, "no", "denied"),
        (Decision(allow=True, option_id="always"), "always", "approved"),
        (Decision(allow=False, option_id=""), "cancelled", "denied"),
        (Decision(allow=False, option_id="always"), "cancelled", "denied"),
        (Decision(allow=True, option_id="no"), "no", "denied"),
    ],
)
async def test_an_answer_is_one_of_the_options_or_a_no(
    acp: AcpRunners, decision: Decision, chosen: str, outcome: str
) -> None:
    """A decision that contradicts its option is not taken for a yes."""
    runner = await acp.open()
    reading, asked = await asking(runner, "tools")
    assert await runner.decide(asked.action_id, decision)
    reports = await reading.whole()
    assert text_of(reports) == f"chosen: {chosen}"
    assert settled(reports) == [("0", outcome)]


async def test_a_yes_with_an_option_that_was_not_offered_is_not_passed_on(acp: AcpRunners) -> None:
    """The agent is told that nobody decided."""
    runner = await acp.open()
    reading, asked = await asking(runner, "tools")
    assert not await runner.decide(asked.action_id, Decision(allow=True, option_id="everything"))
    assert text_of(await reading.whole()) == "chosen: cancelled"


async def test_two_requests_at_a_time_get_their_own_answers(acp: AcpRunners) -> None:
    """Though both name the same call."""
    runner = await acp.open()
    reading, _ = await asking(runner, "two")
    second = await reading.until(ActionRequested, lambda report: report.target == "second")
    assert await runner.decide(second.action_id, YES)
    assert await runner.decide("0", NO)
    assert text_of(await reading.whole()) == "no, once"


async def test_an_open_id_that_is_used_again_grants_nothing(acp: AcpRunners) -> None:
    """One answer would count for both."""
    runner = await acp.open()
    reports = await said(runner, "twice")
    assert settled(reports) == [("0", "withdrawn")]
    assert text_of(reports) == "cancelled"
    assert len(remarks(reports, "warning")) == 1
    assert not await runner.decide("0", YES)


async def test_an_answered_id_that_is_used_again_is_another_action(acp: AcpRunners) -> None:
    """A late decision on the first does not meet the second."""
    runner = await acp.open()
    reading, first = await asking(runner, "twice later")
    await runner.decide(first.action_id, NO)
    second = await reading.until(ActionRequested, lambda report: report.target == "rm")
    assert (first.action_id, second.action_id) == ("0", "0#2")
    assert not await runner.decide("0", YES)
    assert await runner.decide("0#2", NO)
    assert text_of(await reading.whole()) == "no no"


@pytest.mark.parametrize(
    ("text", "outcome"), [("impatient", "expired"), ("withdraws", "withdrawn"), ("forgets", "expired")]
)
async def test_a_request_that_the_agent_lets_go_is_closed(acp: AcpRunners, text: str, outcome: str) -> None:
    """Because its call failed, because it was taken back, or because the turn is over; a yes comes too late."""
    runner = await acp.open()
    reports = await said(runner, text)
    assert settled(reports) == [("0", outcome)]
    assert end_of(reports).stop is Stop.END_TURN
    assert not await runner.decide("0", YES)


async def test_a_call_whose_end_never_came_is_closed_at_the_end(acp: AcpRunners) -> None:
    """Also one that was never announced."""
    reports = await said(await acp.open(), "forgets")
    calls = [report.call for report in reports if isinstance(report, ToolReported)]
    assert [(call.title, call.status) for call in calls] == [
        ("write notes", ToolStatus.IN_PROGRESS),
        ("write notes", ToolStatus.ENDED),
    ]


async def test_an_agent_that_stops_listening_is_not_told_too_late(acp: AcpRunners) -> None:
    """Its deadline is shown, and what comes after it is refused here."""
    clock = FakeClock()
    runner = await acp.open(listens_s=60.0, clock=clock)
    reading, asked = await asking(runner, "tools")
    assert asked.deadline_s == 60.0
    clock.step(60.0)
    assert not await runner.decide(asked.action_id, YES)
    reports = await reading.whole()
    assert settled(reports) == [("0", "expired")]
    assert text_of(reports) == "chosen: cancelled"


async def test_cancel_answers_what_is_open(acp: AcpRunners) -> None:
    """Every request, as an agent waits for that before it ends its turn."""
    runner = await acp.open()
    reading, _ = await asking(runner, "two cancelled")
    await reading.until(ActionRequested, lambda report: report.target == "second")
    await runner.cancel("enough")
    reports = await reading.whole()
    assert settled(reports) == [("0", "withdrawn"), ("1", "withdrawn")]
    assert text_of(reports) == "cancelled, cancelled"
    assert end_of(reports).stop is Stop.CANCELLED


async def test_an_agent_that_dies_while_it_asks_leaves_nothing_open(acp: AcpRunners) -> None:
    """The turn ends as died, which is all that is said of its requests, with exit code and last words, known secrets
    hidden; the runner is to be replaced.
    """
    runner = await acp.open()
    reading, asked = await asking(runner, "asks_and_dies")
    reports = await reading.whole()
    end = end_of(reports)
    assert settled(reports) == []
    assert (end.stop, end.code) == (Stop.DIED, "agent_died")
    assert end.error == "exit code 9: killed while asking with ***"
    assert not runner.is_alive
    assert not await runner.decide(asked.action_id, YES)
    assert end_of(await said(runner, "answer")).stop is Stop.DIED


async def test_an_edit_is_shown_as_a_diff(acp: AcpRunners) -> None:
    """In the request and in the call; the path is what the policy sees."""
    runner = await acp.open()
    reading, asked = await asking(runner, "edit")
    assert asked.diff == "--- /w/notes.txt\n+++ /w/notes.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n"
    assert (asked.tool, asked.target, asked.kind, asked.title) == ("edit", "/w/notes.txt", ToolKind.EDIT, "edit")
    assert await runner.decide(asked.action_id, YES)
    calls = [report.call for report in await reading.whole() if isinstance(report, ToolReported)]
    assert (calls[-1].status, calls[-1].diff) == (ToolStatus.COMPLETED, asked.diff)


async def test_a_request_in_another_session_is_denied(acp: AcpRunners) -> None:
    """Nobody is asked, and it is said."""
    reports = await said(await acp.open(), "elsewhere")
    assert text_of(reports) == "cancelled"
    assert settled(reports) == []
    assert len(remarks(reports, "warning")) == 1


async def test_only_so_many_requests_wait_at_a_time(acp: AcpRunners) -> None:
    """One more is denied."""
    runner = await acp.open()
    reading = Reading(runner.turn(turn_request(f"many {OPEN_LIMIT + 1}")))
    await reading.until(TextDelta, lambda report: report.text == "cancelled")
    await runner.cancel("enough")
    reports = await reading.whole()
    assert len(settled(reports)) == OPEN_LIMIT
    assert {outcome for _, outcome in settled(reports)} == {"withdrawn"}
    assert any("64 requests" in remark for remark in remarks(reports, "warning"))
