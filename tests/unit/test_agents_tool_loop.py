"""The tool loop of a chat endpoint: every call is asked for, carried out or not, and told back to the model."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.agent_settings import CompactionSettings
from core.agents.ports import ToolResult
from core.agents.runner import Decision
from core.api.errors import DeadlineExceeded, Refused, Unavailable
from core.api.policies import ExecutionPolicy, WorkspaceAccess
from core.api.runs import (
    ActionRequested,
    ActionSettled,
    OptionKind,
    RunLogged,
    Stop,
    TextDelta,
    ToolKind,
    ToolStatus,
    Usage,
    UsageReported,
)
from tests.support.agent_parts import Reading, end_of, text_of, turn_request
from tests.support.fake_openai import FakeOpenai, Talk, wants, whole_call
from tests.support.fake_tools import FakeTools
from tests.support.tool_rig import ALL, NO, UPTIME, calls_of, results, rig


async def test_a_call_is_announced_asked_run_and_told_back(tmp_path: Path) -> None:
    """In this order; the model goes on with the result and answers."""
    host = FakeTools(result=ToolResult(exit_code=0, output="up 41 days\n"))
    async with rig(tmp_path, wants(UPTIME, text="Let me look."), "ok", host=host) as here:
        reports = await here.turn()
    names = [type(report).__name__ for report in reports if not isinstance(report, TextDelta | UsageReported)]
    assert names == ["ToolReported", "ActionRequested", "ActionSettled", "ToolReported", "ToolReported", "TurnEnded"]
    statuses = [call.status for call in calls_of(reports)]
    assert statuses == [ToolStatus.PENDING, ToolStatus.IN_PROGRESS, ToolStatus.COMPLETED]
    assert calls_of(reports)[-1].output == "up 41 days\n"
    assert host.ran == [["/bin/sh", "-c", "uptime"]]
    assert (end_of(reports).stop, text_of(reports)) == (Stop.END_TURN, "Let me look.\n\nHello there ana")
    assert [tool["function"]["name"] for tool in here.server.requests[0].body["tools"]] == list(ALL)
    assert here.told(1)[-2]["content"] == "Let me look."
    assert here.told(1)[-2]["tool_calls"] == [UPTIME]
    assert results(here.told(1)) == [("call_a", "up 41 days\n")]


async def test_a_question_says_all_that_a_policy_needs(tmp_path: Path) -> None:
    """Tool, target, place, exact arguments, the difference to a file, and a yes and a no that count once."""
    write = whole_call("write", {"path": "./a.txt", "text": "one\n"}, call_id="call_b")
    async with rig(tmp_path, wants(UPTIME, write), "ok") as here:
        reports = await here.turn()
    run, edit = [report for report in reports if isinstance(report, ActionRequested)]
    place = str(tmp_path / "workspace")
    assert (run.tool, run.target, run.cwd, run.kind, run.diff) == ("exec", "uptime", place, ToolKind.EXECUTE, "")
    assert (edit.tool, edit.target, edit.cwd, edit.kind) == ("write", "a.txt", place, ToolKind.EDIT)
    assert edit.diff.endswith("+one\n")
    assert run.detail == '{"command": "uptime"}'
    assert (run.tool_call_id, edit.tool_call_id) == ("call_a", "call_b")
    assert run.action_id != edit.action_id
    assert [option.kind for option in run.options] == [OptionKind.ALLOW_ONCE, OptionKind.REJECT_ONCE]
    assert (tmp_path / "workspace" / "a.txt").read_text() == "one\n"


async def test_ids_of_questions_are_never_used_twice(tmp_path: Path) -> None:
    """Nor by a later turn: a late answer finds nothing."""
    async with rig(tmp_path, "exec", "ok", "exec", "ok") as here:
        turns = [await here.turn() for _ in range(2)]
    asked = [report.action_id for reports in turns for report in reports if isinstance(report, ActionRequested)]
    assert len(set(asked)) == len(asked) == 2


@pytest.mark.parametrize(
    ("decision", "told"),
    [
        (NO, "denied: not today"),
        (Decision(allow=True, option_id="deny"), "denied"),
        (Decision(allow=True, option_id="forged"), "denied"),
        (Decision(allow=False, option_id="allow"), "denied"),
    ],
)
async def test_anything_but_a_clear_yes_is_told_as_a_no(tmp_path: Path, decision: Decision, told: str) -> None:
    """With its reason; nothing is run, and the loop goes on."""
    host = FakeTools()
    async with rig(tmp_path, "exec", "ok", host=host) as here:
        reports = await here.turn(decision)
    assert host.ran == []
    assert [(call.status, call.output) for call in calls_of(reports)][-1] == (ToolStatus.FAILED, told)
    assert [report.outcome for report in reports if isinstance(report, ActionSettled)] == ["denied"]
    assert results(here.told(1)) == [("call_a", told)]
    assert end_of(reports).stop is Stop.END_TURN


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (whole_call("exec", '{"command": '), "not a JSON object"),
        (whole_call("exec", {"cmd": "ls"}), "cmd"),
        (whole_call("browse", {}), "no tool 'browse'"),
        (whole_call("read", {"path": "/etc/passwd"}), "inside the workspace"),
    ],
)
async def test_a_call_that_makes_no_sense_is_told_what_is_wrong(
    tmp_path: Path, call: dict[str, Any], word: str
) -> None:
    """Nobody is asked; the loop goes on."""
    async with rig(tmp_path, wants(call), "ok") as here:
        reports = await here.turn()
    assert not any(isinstance(report, ActionRequested) for report in reports)
    assert word in results(here.told(1))[0][1]
    assert calls_of(reports)[-1].status is ToolStatus.FAILED
    assert end_of(reports).stop is Stop.END_TURN


async def test_what_a_policy_forbids_is_told_and_not_asked(tmp_path: Path) -> None:
    """A read-only workspace takes no write, a sandbox that is not there no command."""
    request = msgspec.structs.replace(turn_request("go"), policy=ExecutionPolicy(workspace_access=WorkspaceAccess.RO))
    calls = (whole_call("write", {"path": "a", "text": "x"}), UPTIME | {"id": "call_b"})
    async with rig(tmp_path, wants(*calls), "ok", host=FakeTools(why="no bubblewrap here")) as here:
        reports = await here.turn(request=request)
    assert not any(isinstance(report, ActionRequested) for report in reports)
    assert [text for _, text in results(here.told(1))] == ["workspace_access is ro", "no bubblewrap here"]


@pytest.mark.parametrize("count", [1, 2])
async def test_calls_of_a_server_that_does_not_stream(tmp_path: Path, count: int) -> None:
    """They come whole, at once and without an index."""
    calls = [whole_call("exec", {"command": f"echo {number}"}, call_id=f"c{number}") for number in range(count)]

    async def at_once(server: FakeOpenai, talk: Talk) -> None:
        message = {"role": "assistant", "content": None, "tool_calls": calls}
        await talk.whole(200, {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]})

    host = FakeTools()
    async with rig(tmp_path, at_once, "plain", host=host) as here:
        reports = await here.turn()
    assert [argv[-1] for argv in host.ran] == [f"echo {number}" for number in range(count)]
    assert text_of(reports) == "all at once"


async def test_ids_that_a_server_uses_again_are_told_apart(tmp_path: Path) -> None:
    """In one turn, here and in what the model is told."""
    async with rig(tmp_path, wants(UPTIME), wants(UPTIME), "ok") as here:
        reports = await here.turn()
    assert list(dict.fromkeys(call.id for call in calls_of(reports))) == ["call_a", "call_a-2"]
    assert [id_ for id_, _ in results(here.told(2))] == ["call_a", "call_a-2"]


async def test_a_turn_has_so_many_rounds_of_tool_calls(tmp_path: Path) -> None:
    """What is wanted after the last is not run; the text so far stays an answer."""
    host = FakeTools()
    async with rig(tmp_path, wants(UPTIME, text="so far"), host=host, max_rounds=2) as here:
        reports = await here.turn()
    assert len(host.ran) == 2
    assert len(here.server.requests) == 3
    assert end_of(reports).stop is Stop.MAX_TURNS
    assert "not run" in calls_of(reports)[-1].output
    assert all(call.status.is_final for call in {call.id: call for call in calls_of(reports)}.values())


async def test_the_same_result_ten_times_in_a_row_ends_the_turn(tmp_path: Path) -> None:
    """With a warning and a code of its own; arguments that change do not hide it."""
    modes = [wants(whole_call("read", {"path": f"part-{number}.txt"})) for number in range(15)]
    async with rig(tmp_path, *modes) as here:
        reports = await here.turn()
    assert len(here.server.requests) == 10
    assert (end_of(reports).stop, end_of(reports).code) == (Stop.ERROR, "tool_loop")
    assert [report.level for report in reports if isinstance(report, RunLogged)] == ["warning"]


async def test_tokens_are_counted_over_all_rounds(tmp_path: Path) -> None:
    """Those in use are the last round's."""
    async with rig(tmp_path, wants(UPTIME, usage=(100, 10)), wants(UPTIME, usage=(200, 20)), "ok") as here:
        reports = await here.turn()
    total = Usage(input_tokens=311, output_tokens=33, context_tokens=14)
    assert end_of(reports).usage == total
    assert [report.usage.input_tokens for report in reports if isinstance(report, UsageReported)] == [100, 300, 311]


async def test_a_wish_that_breaks_off_is_never_carried_out(tmp_path: Path) -> None:
    """Even when what came so far could be: nobody knows what was missing."""
    host = FakeTools()
    async with rig(tmp_path, wants(UPTIME, finish=None), host=host) as here:
        reports = await here.turn()
    assert (host.ran, end_of(reports).code) == ([], "protocol")
    assert not any(isinstance(report, ActionRequested) for report in reports)


async def test_a_model_that_refuses_has_no_tools_run(tmp_path: Path) -> None:
    """What it wanted besides is shown as failed."""
    host = FakeTools()
    async with rig(tmp_path, wants(UPTIME, text="no", finish="content_filter"), host=host) as here:
        reports = await here.turn()
    assert (host.ran, end_of(reports).stop) == ([], Stop.REFUSAL)
    assert calls_of(reports)[-1].status is ToolStatus.FAILED


async def test_a_reason_of_another_name_runs_them_too(tmp_path: Path) -> None:
    """Some servers say that they just stopped."""
    host = FakeTools()
    async with rig(tmp_path, wants(UPTIME, finish="stop"), "ok", host=host) as here:
        await here.turn()
    assert len(host.ran) == 1


async def test_a_later_round_is_tried_again_as_the_first_is(tmp_path: Path) -> None:
    """A busy server does not lose what was done; no tool runs twice."""
    host = FakeTools()
    async with rig(tmp_path, "exec", "500", "ok", host=host) as here:
        reports = await here.turn()
    assert len(host.ran) == 1
    assert end_of(reports).stop is Stop.END_TURN
    assert results(here.told(2)) == results(here.told(1))


async def test_a_turn_can_have_another_model_and_more_instructions(tmp_path: Path) -> None:
    """For this turn only."""
    request = msgspec.structs.replace(turn_request("go"), model="large", extra_system_prompt="be brief")
    async with rig(tmp_path, "ok", system_prompt="be kind") as here:
        await here.turn(request=request)
        await here.turn()
    bodies = [talk.body for talk in here.server.requests]
    assert [body["model"] for body in bodies] == ["large", "small"]
    assert [body["messages"][0]["content"] for body in bodies] == ["be kind\n\nbe brief", "be kind"]


async def test_a_summary_is_asked_for_apart_from_any_turn(tmp_path: Path) -> None:
    """Of the fast model, or of the one that is named; streamed or not."""
    async with rig(tmp_path, "plain", fast_model="fast") as here:
        assert await here.runner.summarize("we talked", model="") == "all at once"
        assert await here.runner.summarize("we talked", model="named") == "all at once"
    bodies = [talk.body for talk in here.server.requests]
    assert [body["model"] for body in bodies] == ["fast", "named"]
    assert all("tools" not in body and body["messages"][1]["content"] == "we talked" for body in bodies)


async def test_a_summary_that_cannot_be_had_is_an_error(tmp_path: Path) -> None:
    """The server's, the deadline's, that of a turn that goes on, that of a runner that is closed."""
    async with rig(tmp_path, "401", "mute", "silent", compaction=CompactionSettings(timeout_s=0.05)) as here:
        with pytest.raises(Unavailable) as caught:
            await here.runner.summarize("x", model="")
        assert caught.value.facts["reason"] == "auth"
        with pytest.raises(DeadlineExceeded):
            await here.runner.summarize("x", model="")
        reading = Reading(here.runner.turn(turn_request("go")))
        await reading.until(TextDelta)
        with pytest.raises(Refused):
            await here.runner.summarize("x", model="")
        assert here.runner.is_alive
        await here.runner.close()
        assert end_of(await reading.whole()).stop is Stop.CANCELLED
        assert not here.runner.is_alive
        with pytest.raises(Unavailable):
            await here.runner.summarize("x", model="")
