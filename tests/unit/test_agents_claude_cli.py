"""The claude_cli runner against a program that speaks stream-json in all the ways Claude Code does."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.agent_settings import ClaudeCliSettings
from core.agents.adapters.claude_cli import ClaudeCliRunner
from core.agents.runner import Decision, TurnRequest
from core.api.base import EntryId
from core.api.errors import ConfigError, Unavailable
from core.api.policies import ExecutionPolicy, Runtime
from core.api.runs import (
    ActionKind,
    ActionRequested,
    ActionSettled,
    ModeReported,
    PlanReported,
    RunLogged,
    RunReport,
    Stop,
    TextDelta,
    ThoughtDelta,
    ToolCall,
    ToolKind,
    ToolReported,
    ToolStatus,
)
from core.api.transcripts import EntryKind, EntryView
from core.clock import SystemClock
from tests.support import fake_claude
from tests.support.agent_parts import (
    KEY,
    MAIN,
    Reading,
    collected,
    end_of,
    runner_context,
    text_of,
    turn_request,
)
from tests.support.fake_claude import COMMAND, WORDS

PROGRAM = (sys.executable, "-S", fake_claude.__file__)
YES = Decision(allow=True, option_id="allow")
NO = Decision(allow=False, option_id="deny", reason="too early")
POLICY = ExecutionPolicy(runtime_type=Runtime.PROCESS)


def made(home: Path, **more: Any) -> ClaudeCliRunner:
    """A runner that is not open."""
    settings = msgspec.convert({"runner": "claude_cli", "command": PROGRAM} | more, ClaudeCliSettings)
    context = msgspec.structs.replace(runner_context(SystemClock(), home), policy=POLICY)
    return ClaudeCliRunner(MAIN, settings, context)


@asynccontextmanager
async def talking(home: Path, **more: Any) -> AsyncIterator[ClaudeCliRunner]:
    """A runner whose program runs."""
    runner = made(home, **more)
    await runner.open()
    try:
        yield runner
    finally:
        await runner.close()


def asking(text: str, **more: Any) -> TurnRequest:
    """A turn under the policy that the program runs under."""
    return msgspec.structs.replace(turn_request(text), policy=POLICY, **more)


def calls(reports: list[RunReport]) -> list[ToolCall]:
    """Tool calls in order."""
    return [item.call for item in reports if isinstance(item, ToolReported)]


def settled(reports: list[RunReport]) -> list[tuple[str, str]]:
    """How each decision ended."""
    return [(item.action_id, item.outcome) for item in reports if isinstance(item, ActionSettled)]


async def heard(runner: ClaudeCliRunner, request: TurnRequest) -> dict[str, Any]:
    """What the program heard in a turn that tells."""
    found: dict[str, Any] = json.loads(text_of(await collected(runner, request)))
    return found


async def test_an_answer_is_said_once_with_its_usage(tmp_path: Path) -> None:
    """It comes in pieces, as a whole and in the result; the cost is that of the turn and not of all before."""
    async with talking(tmp_path) as runner:
        for _ in range(2):
            reports = await collected(runner, asking("answer"))
            assert text_of(reports) == "".join(WORDS)
            usage = end_of(reports).usage
            assert (usage.input_tokens, usage.output_tokens, usage.cost_usd) == (11, 3, 0.25)
            assert (usage.context_tokens, usage.context_limit) == (11, 200_000)


async def test_the_program_keeps_the_conversation(tmp_path: Path) -> None:
    """What was said before goes along once, further instructions once, a new epoch begins anew."""
    history = (EntryView(id=EntryId("e-1"), at=0.0, kind=EntryKind.USER, author="ana", text="my cat is Tom"),)
    async with talking(tmp_path, system_prompt="be kind", model="big") as runner:
        first = await heard(runner, asking("one\necho", history=history, extra_system_prompt="be short"))
        pid = runner.describe()["pid"]
        second = await heard(runner, asking("two\necho", history=history, extra_system_prompt="be short"))
        assert runner.describe()["pid"] == pid
        third = await heard(runner, asking("three\necho", history=history, epoch=1))
        assert runner.describe()["pid"] != pid
    assert "my cat is Tom" in first["heard"]
    assert "be short" in first["heard"]
    assert second["heard"] == "two\necho"
    assert (first["turn"], second["turn"], third["turn"]) == (1, 2, 1)
    assert "my cat is Tom" in third["heard"]
    argv = first["argv"]
    assert argv[argv.index("--append-system-prompt") + 1] == "be kind"
    assert argv[argv.index("--model") + 1] == "big"
    assert argv[argv.index("--permission-prompt-tool") + 1] == "stdio"


async def test_a_model_can_be_chosen_for_a_turn(tmp_path: Path) -> None:
    """And is given back; one that the program does not know is a warning."""
    async with talking(tmp_path, model="big") as runner:
        assert (await heard(runner, asking("echo", model="small")))["model"] == "small"
        assert (await heard(runner, asking("echo")))["model"] == "big"
        reports = await collected(runner, asking("answer", model="nobody"))
        assert [item.text for item in reports if isinstance(item, RunLogged)] == [
            "the model stays as it is: no such model"
        ]


async def test_an_approval_is_carried_out_as_it_was_decided(tmp_path: Path) -> None:
    """A yes gives the arguments back as they came, a no gives the reason to the model."""
    async with talking(tmp_path) as runner:
        for decision, output, outcome, status in (
            (YES, '{"command": "touch made-here", "description": "makes a file"}', "approved", ToolStatus.COMPLETED),
            (NO, "too early", "denied", ToolStatus.FAILED),
            (Decision(allow=True, option_id="deny"), "The operator does not allow this.", "denied", ToolStatus.FAILED),
        ):
            reading = Reading(runner.turn(asking("tools")))
            action = await reading.until(ActionRequested)
            assert (action.tool, action.target, action.kind) == ("exec", COMMAND, ToolKind.EXECUTE)
            assert json.loads(action.detail) == {"command": COMMAND, "description": "makes a file"}
            assert (action.deadline_s, action.tool_call_id) == (None, "t1")
            assert action.cwd == str(tmp_path / "workspace")
            assert await runner.decide(action.action_id, decision)
            assert not await runner.decide(action.action_id, decision)
            reports = await reading.whole()
            assert settled(reports) == [(action.action_id, outcome)]
            assert [call.status for call in calls(reports)] == [ToolStatus.IN_PROGRESS, status]
            assert calls(reports)[-1].output == output
            assert text_of(reports) == "I will.\n\nDone."


async def test_two_requests_are_told_apart(tmp_path: Path) -> None:
    """Each answer meets the request that it names, in whatever order."""
    async with talking(tmp_path) as runner:
        reading = Reading(runner.turn(asking("two")))
        second = await reading.until(ActionRequested, lambda item: item.target == "two")
        first = await reading.until(ActionRequested, lambda item: item.target == "one")
        assert await runner.decide(second.action_id, YES)
        assert await runner.decide(first.action_id, NO)
        assert json.loads(text_of(await reading.whole())) == {"one": "no", "two": "two"}


async def test_a_change_of_a_file_is_shown_and_a_plan_is_one(tmp_path: Path) -> None:
    """As a diff made from the arguments."""
    async with talking(tmp_path) as runner:
        reading = Reading(runner.turn(asking("edits")))
        action = await reading.until(ActionRequested)
        assert (action.tool, action.target, action.kind) == ("edit", "/w/a.txt", ToolKind.EDIT)
        assert "-old\n+new\n" in action.diff
        await runner.decide(action.action_id, YES)
        reports = await reading.whole()
        (plan,) = [item for item in reports if isinstance(item, PlanReported)]
        assert [(step.text, step.status) for step in plan.steps] == [("think", "completed"), ("write", "in_progress")]
        assert calls(reports)[-1].status is ToolStatus.ENDED


async def test_an_agent_inside_the_agent_is_named(tmp_path: Path) -> None:
    """What it asks comes with its chain, and what it says is no answer."""
    async with talking(tmp_path) as runner:
        reading = Reading(runner.turn(asking("inner")))
        action = await reading.until(ActionRequested)
        assert action.chain == ("Task",)
        await runner.decide(action.action_id, YES)
        reports = await reading.whole()
        assert text_of(reports) == "outer"
        assert [item.text for item in reports if isinstance(item, ThoughtDelta)] == ["inner words"]


async def test_a_question_is_answered_in_words(tmp_path: Path) -> None:
    """The answer goes back with the questions."""
    async with talking(tmp_path) as runner:
        reading = Reading(runner.turn(asking("questions")))
        action = await reading.until(ActionRequested)
        assert (action.action_kind, action.title) == (ActionKind.QUESTION, "Which colour?")
        await runner.decide(action.action_id, Decision(allow=True, option_id="allow", answer="green"))
        assert json.loads(text_of(await reading.whole())) == {"Which colour?": "green"}


async def test_a_request_that_is_taken_back_is_withdrawn(tmp_path: Path) -> None:
    """Nobody is left to decide."""
    async with talking(tmp_path) as runner:
        reports = await collected(runner, asking("takes_back"))
        (asked,) = [item.action_id for item in reports if isinstance(item, ActionRequested)]
        assert settled(reports) == [(asked, "withdrawn")]
        assert not await runner.decide(asked, YES)


async def test_what_is_not_known_harms_nothing(tmp_path: Path) -> None:
    """It is noted once; a request that is not offered is refused; a mode that no longer asks is told."""
    async with talking(tmp_path) as runner:
        reports = await collected(runner, asking("odd"))
        notes = [item.text for item in reports if isinstance(item, RunLogged)]
        assert notes == [
            "no JSON object: no json",
            "no JSON object: [1, 2]",
            "left out: weather",
            "the agent has made its conversation shorter",
            "the agent asked for hook_callback, which is not offered",
        ]
        assert [item for item in reports if isinstance(item, ModeReported)] == [
            ModeReported(mode="acceptEdits", asks=False)
        ]
        assert [item.text for item in reports if isinstance(item, ThoughtDelta)] == ["hm"]
        assert text_of(reports) == "hook_callback is not offered"


@pytest.mark.parametrize(("mode", "asks"), [("bypassPermissions", False), ("dontAsk", False), ("plan", True)])
async def test_a_mode_of_its_own_is_told_every_turn(mode: str, asks: bool, tmp_path: Path) -> None:
    """So that nobody takes an agent that never asks for one that has nothing to ask."""
    async with talking(tmp_path, environment={"FAKE_CLAUDE_MODE": mode}) as runner:
        for _ in range(2):
            reports = await collected(runner, asking("answer"))
            modes = [item for item in reports if isinstance(item, ModeReported)]
            assert modes == [ModeReported(mode=mode, asks=asks)]
        assert runner.describe()["mode"] == mode


async def test_failures_are_no_answers(tmp_path: Path) -> None:
    """On one line, with a code; the program's own words about it are not the agent's."""
    async with talking(tmp_path) as runner:
        reports = await collected(runner, asking("fails"))
        assert text_of(reports) == ""
        assert (end_of(reports).stop, end_of(reports).error) == (Stop.ERROR, "API Error: 401 bad key")
        assert end_of(await collected(runner, asking("slow"))).error == "one; two"
        assert end_of(await collected(runner, asking("turns"))).stop is Stop.MAX_TURNS


async def test_a_long_answer_is_whole_for_a_slow_reader(tmp_path: Path) -> None:
    """The program is held up, and nothing is lost."""
    async with talking(tmp_path) as runner:
        said = ""
        async for report in runner.turn(asking("long")):
            if isinstance(report, TextDelta):
                said += report.text
            await asyncio.sleep(0)
        assert said == "".join(f"{number} " for number in range(20_000))


async def test_cancelling_while_it_asks_ends_the_turn(tmp_path: Path) -> None:
    """The request is withdrawn, and the same process takes the next turn."""
    async with talking(tmp_path) as runner:
        reading = Reading(runner.turn(asking("tools")))
        action = await reading.until(ActionRequested)
        await runner.cancel("enough")
        reports = await reading.whole()
        assert end_of(reports).stop is Stop.CANCELLED
        assert settled(reports) == [(action.action_id, "withdrawn")]
        assert calls(reports)[-1].status.is_final
        assert not await runner.decide(action.action_id, YES)


async def test_a_program_that_dies_leaves_its_last_words(tmp_path: Path) -> None:
    """Without the secrets in them; the runner is of no use any more."""
    async with talking(tmp_path, secrets={"SECRET": "env:KEY"}) as runner:
        end = end_of(await collected(runner, asking("dies")))
        assert (end.stop, end.code, end.error) == (Stop.DIED, "agent_died", "exit code 7: out of luck with ***")
        assert not runner.is_alive
        assert end_of(await collected(runner, asking("answer"))).stop is Stop.DIED


async def test_what_a_dead_program_asked_is_closed(tmp_path: Path) -> None:
    """Nobody waits for the decision, and the end of the run is all that is said of it."""
    async with talking(tmp_path) as runner:
        reading = Reading(runner.turn(asking("dies_asking")))
        action = await reading.until(ActionRequested)
        reports = await reading.whole()
        assert end_of(reports).stop is Stop.DIED
        assert settled(reports) == []
        assert not await runner.decide(action.action_id, YES)


async def test_a_program_that_does_not_stop_is_killed_before_the_next_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it still does must not pass for the next answer."""
    monkeypatch.setattr("core.agents.child_turns._SETTLE_LIMIT_S", 0.05)
    async with talking(tmp_path) as runner:
        reading = Reading(runner.turn(asking("deaf")))
        await reading.until(TextDelta)
        await reading.leave()
        end = end_of(await collected(runner, asking("answer")))
        assert (end.stop, end.code) == (Stop.DIED, "protocol")
        assert not runner.is_alive


async def test_the_program_sees_no_more_than_its_profile_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the core's but what every program needs; it works in the workspace."""
    monkeypatch.setenv("GATEWAY_TOKEN", "secret-of-the-core")
    async with talking(tmp_path, environment={"MINE": "1"}, secrets={"API": "env:KEY"}) as runner:
        reports = await collected(runner, asking("environment"))
        found = json.loads(text_of(reports))
        assert found["MINE"] == "1"
        assert "GATEWAY_TOKEN" not in found
        assert KEY not in text_of(reports)
        assert found["cwd"] == str(tmp_path / "workspace")


async def test_a_program_that_does_not_begin_is_an_error_of_open(tmp_path: Path) -> None:
    """It says why, and leaves nothing behind."""
    for start, words in (("dies", "no node here"), ("refuses", "log in first")):
        runner = made(tmp_path, environment={"FAKE_CLAUDE_START": start})
        with pytest.raises(Unavailable, match=words):
            await runner.open()
        await runner.close()
        assert not runner.is_alive
    with pytest.raises(Unavailable, match="cannot start"):
        await made(tmp_path, command=["/no/such/program"]).open()
    with pytest.raises(ConfigError):
        await made(tmp_path, secrets={"API": "env:OTHER"}).open()


async def test_an_open_that_is_given_up_kills_the_program(tmp_path: Path) -> None:
    """The core's limit for the start is over."""
    runner = made(tmp_path, environment={"FAKE_CLAUDE_START": "silent"})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await runner.open()
    await runner.close()
    assert not runner.is_alive


async def test_a_run_with_other_bounds_is_refused(tmp_path: Path) -> None:
    """The process runs already, and would not be kept to them."""
    async with talking(tmp_path) as runner:
        other = ExecutionPolicy(runtime_type=Runtime.BWRAP)
        end = end_of(await collected(runner, msgspec.structs.replace(asking("answer"), policy=other)))
        assert (end.stop, end.code) == (Stop.ERROR, "policy_unavailable")
