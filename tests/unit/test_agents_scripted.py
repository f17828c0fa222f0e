"""The embedded agent: it plays what it is given, asks before it acts, and stops when it is told."""

import asyncio
import gc
import warnings
from pathlib import Path

import pytest

from core.agents.runner import Decision
from core.api.errors import ConfigError
from core.api.runs import (
    ActionRequested,
    ActionSettled,
    PhaseChanged,
    PlanReported,
    RunLogged,
    RunReport,
    Stop,
    TextDelta,
    ThoughtDelta,
    ToolReported,
    ToolStatus,
)
from tests.support.agent_parts import InstantClock, Reading, collected, end_of, text_of, turn_request
from tests.support.clocks import FakeClock
from tests.support.scripted_runner import NO, YES, answered, opened


def kinds(reports: list[RunReport]) -> list[str]:
    """Names of the reports, neighbours of one kind told once."""
    names = [type(report).__name__ for report in reports]
    return [name for place, name in enumerate(names) if place == 0 or names[place - 1] != name]


async def test_echo_says_at_once_what_it_was_told(tmp_path: Path) -> None:
    """One piece and the end, without a pause: the clock stands still here."""
    runner = await opened(tmp_path, scenario="builtin:echo", pace=1.0)
    reports = await collected(runner, turn_request("hello {words}"))
    assert reports[0] == TextDelta(text="hello {words}")
    assert len(reports) == 2
    assert end_of(reports).usage.output_tokens == 2


async def test_an_answer_is_streamed_word_by_word_on_the_clock(tmp_path: Path) -> None:
    """Each word waits for its time; with a pace of 0 nothing waits."""
    clock = FakeClock()
    reading = Reading((await opened(tmp_path, clock=clock, pace=1.0)).turn(turn_request("hello")))
    await clock.advance(0.0)
    assert reading.reports == []
    await clock.advance(0.05)
    assert reading.reports == [TextDelta(text="Hello")]
    for _ in range(60):
        await clock.advance(0.05)
    reports = await reading.whole()
    at_once = await collected(await opened(tmp_path), turn_request("hello"))
    assert text_of(reports) == text_of(at_once)
    assert len(reports) > 10


async def test_the_same_seed_plays_the_same_turn(tmp_path: Path) -> None:
    """Choices depend on seed, session and history, and on nothing else."""
    texts = {
        seed: [
            text_of(await answered(await opened(tmp_path, scenario="builtin:fleet", seed=seed), "status?", YES))
            for _ in range(2)
        ]
        for seed in (1, 2, 3, 4, 7, 9)
    }
    assert all(first == second for first, second in texts.values())
    assert len({first for first, _ in texts.values()}) > 1


async def test_a_file_is_written_only_after_a_yes(tmp_path: Path) -> None:
    """The question shows the diff; a no leaves the disk alone."""
    runner = await opened(tmp_path)
    file = tmp_path / "workspace" / "notes.txt"
    denied = await answered(runner, "!write notes.txt hello", NO)
    assert not file.exists()
    reports = await answered(runner, "!write notes.txt hello", YES)
    assert file.read_text() == "hello\n"
    asked = next(report for report in reports if isinstance(report, ActionRequested))
    assert asked.detail.endswith("+hello\n")
    assert kinds(denied) == kinds(reports)
    calls = [report.call for report in reports if isinstance(report, ToolReported)]
    assert [call.status for call in calls] == [ToolStatus.PENDING, ToolStatus.IN_PROGRESS, ToolStatus.COMPLETED]
    assert [call.id for call in calls] == [asked.tool_call_id] * 3
    assert [report.call.status for report in denied if isinstance(report, ToolReported)][-1] is ToolStatus.FAILED


@pytest.mark.parametrize("decision", [Decision(allow=True, option_id="deny"), Decision(allow=True, option_id="other")])
async def test_anything_but_a_clear_yes_is_a_no(tmp_path: Path, decision: Decision) -> None:
    """An answer that contradicts its option, or names none that was offered, allows nothing."""
    await answered(await opened(tmp_path), "!write notes.txt hello", decision)
    assert not (tmp_path / "workspace").exists()


async def test_a_path_out_of_the_workspace_is_not_even_asked_about(tmp_path: Path) -> None:
    """The call fails and says why."""
    reports = await collected(await opened(tmp_path), turn_request("!write ../x hello"))
    assert kinds(reports) == ["ToolReported", "TextDelta", "TurnEnded"]
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(("decision", "says"), [(YES, "Ran it."), (NO, "Not run, as you decided.")])
async def test_a_command_runs_after_a_yes(tmp_path: Path, decision: Decision, says: str) -> None:
    """Its output is canned; no shell is ever started."""
    reports = await answered(await opened(tmp_path), "!sh uptime", decision)
    assert text_of(reports) == says
    outputs = [report.call.output for report in reports if isinstance(report, ToolReported)]
    assert any("load average" in output for output in outputs) is decision.allow


async def test_a_standing_answer_is_not_asked_for_again(tmp_path: Path) -> None:
    """`always` counts for the same question of this session."""
    scenario = """
rules:
  - steps:
      - approval:
          title: Restart
          options: [{id: ever, label: always, kind: allow_always}, {id: no, label: "no", kind: reject_once}]
          allow: [{text: done}]
"""
    runner = await opened(tmp_path, scenario=scenario)
    first = await answered(runner, "go", Decision(allow=True, option_id="ever"))
    second = await collected(runner, turn_request("go"))
    assert text_of(first) == text_of(second) == "done"
    assert "ActionRequested" not in kinds(second)
    assert any(isinstance(report, RunLogged) for report in second)


async def test_a_question_expires_at_its_deadline(tmp_path: Path) -> None:
    """The agent says that it no longer waits, goes on as after a no, and takes no late answer."""
    clock = FakeClock()
    scenario = (
        "rules: [{steps: [{approval: {title: T, deadline_s: 20, allow: [{text: 'yes'}], deny: [{text: 'no'}]}}]}]"
    )
    runner = await opened(tmp_path, clock=clock, scenario=scenario)
    reading = Reading(runner.turn(turn_request("x")))
    asked = await reading.until(ActionRequested)
    assert asked.deadline_s == 20
    await clock.advance(20)
    reports = await reading.whole()
    assert ActionSettled(action_id=asked.action_id, outcome="expired") in reports
    assert text_of(reports) == "no"
    assert not await runner.decide(asked.action_id, YES)


async def test_an_answer_that_comes_while_the_expiry_is_read_is_too_late(tmp_path: Path) -> None:
    """What was reported as expired is never granted after all."""
    scenario = (
        "rules: [{steps: [{approval: {title: T, deadline_s: 20, allow: [{text: 'yes'}], deny: [{text: 'no'}]}}]}]"
    )
    runner = await opened(tmp_path, clock=InstantClock(), scenario=scenario)
    reports: list[RunReport] = []
    taken: list[bool] = []
    async for report in runner.turn(turn_request("x")):
        reports.append(report)
        if isinstance(report, ActionSettled):
            taken.append(await runner.decide(report.action_id, YES))
    assert [report.outcome for report in reports if isinstance(report, ActionSettled)] == ["expired"]
    assert taken == [False]
    assert text_of(reports) == "no"


async def test_a_turn_cancelled_right_after_an_answer_settles_it_once(tmp_path: Path) -> None:
    """As it was decided; nothing is written."""
    runner = await opened(tmp_path)
    reports: list[RunReport] = []
    async for report in runner.turn(turn_request("!write a.txt b")):
        reports.append(report)
        if isinstance(report, ActionRequested):
            assert await runner.decide(report.action_id, YES)
        if isinstance(report, ActionSettled):
            await runner.cancel("stop")
    assert [report.outcome for report in reports if isinstance(report, ActionSettled)] == ["approved"]
    assert end_of(reports).stop is Stop.CANCELLED
    assert not (tmp_path / "workspace").exists()


async def test_late_is_an_agent_that_stops_listening_without_a_word(tmp_path: Path) -> None:
    """After 5 s an answer arrives nowhere, while the turn goes on; nothing was announced."""
    clock = FakeClock()
    runner = await opened(tmp_path, clock=clock, pace=1.0)
    reading = Reading(runner.turn(turn_request("!late")))
    asked = await reading.until(ActionRequested)
    assert asked.deadline_s is None
    await clock.advance(5)
    for _ in range(20):
        await clock.advance(0.1)
    assert not await runner.decide(asked.action_id, YES)
    assert "go on without" in text_of(reading.reports)
    assert not any(isinstance(report, ActionSettled) for report in reading.reports)
    await runner.cancel("enough")
    assert end_of(await reading.whole()).stop is Stop.CANCELLED


async def test_steered_text_is_worked_into_the_turn(tmp_path: Path) -> None:
    """It is noted at the next step; before and after a turn there is nowhere to put it."""
    clock = FakeClock()
    runner = await opened(tmp_path, clock=clock, pace=1.0)
    assert not await runner.steer("too early")
    reading = Reading(runner.turn(turn_request("!slow 10")))
    await clock.advance(1)
    assert await runner.steer("be quick")
    await clock.advance(9)
    for _ in range(20):
        await clock.advance(0.1)
    assert "(noted: be quick)" in text_of(await reading.whole())
    assert not await runner.steer("too late")


@pytest.mark.parametrize("text", ["!hang", "!slow 100", "!late", "!write a.txt b", "hello"])
async def test_a_cancelled_turn_ends_within_its_step(tmp_path: Path, text: str) -> None:
    """Whatever it is busy with, no time has to pass; what is open is settled before the end."""
    clock = FakeClock()
    runner = await opened(tmp_path, clock=clock, pace=1.0)
    reading = Reading(runner.turn(turn_request(text)))
    if text in {"!late", "!write a.txt b"}:
        await reading.until(ActionRequested)
    else:
        await clock.advance(0.01)
    await runner.cancel("stop")
    await runner.cancel("stop again")
    reports = await reading.whole()
    assert end_of(reports).stop is Stop.CANCELLED
    asked = [report.action_id for report in reports if isinstance(report, ActionRequested)]
    settled = [(report.action_id, report.outcome) for report in reports if isinstance(report, ActionSettled)]
    assert settled == [(action_id, "withdrawn") for action_id in asked]


@pytest.mark.parametrize("deadline", ["", ", deadline_s: 20"], ids=["no limit", "limit"])
@pytest.mark.parametrize("leaves", [False, True], ids=["cancelled", "left"])
async def test_a_turn_that_ends_in_a_question_leaves_no_wait_behind(
    tmp_path: Path, deadline: str, *, leaves: bool
) -> None:
    """Whichever wait was made for the answer, it was awaited: nothing is complained of when it is thrown away."""
    scenario = f"rules: [{{steps: [{{approval: {{title: T{deadline}, allow: [{{text: 'yes'}}]}}}}]}}]"
    runner = await opened(tmp_path, scenario=scenario)
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        reading = Reading(runner.turn(turn_request("hello")))
        await reading.until(ActionRequested)
        # The turn goes on to wait once its report was taken.
        for _ in range(3):
            await asyncio.sleep(0)
        if leaves:
            await reading.leave()
        else:
            await runner.cancel("enough")
            assert end_of(await reading.whole()).stop is Stop.CANCELLED
        gc.collect()
    assert [str(complaint.message) for complaint in complaints] == []


async def test_a_yes_after_a_cancel_writes_nothing(tmp_path: Path) -> None:
    """Cancel wins over an answer that arrives in the same moment."""
    runner = await opened(tmp_path)
    reading = Reading(runner.turn(turn_request("!write a.txt b")))
    asked = await reading.until(ActionRequested)
    await runner.cancel("stop")
    await runner.decide(asked.action_id, YES)
    assert end_of(await reading.whole()).stop is Stop.CANCELLED
    assert not (tmp_path / "workspace").exists()


async def test_commands_show_each_kind_of_trouble(tmp_path: Path) -> None:
    """A crash, hostile text, an endless line, a flood, a plan."""
    runner = await opened(tmp_path)
    crash = end_of(await collected(runner, turn_request("!crash")))
    assert (crash.stop, crash.code) == (Stop.DIED, "crashed")
    assert "\x1b]52" in text_of(await collected(runner, turn_request("!escape")))
    assert len(text_of(await collected(runner, turn_request("!long")))) == 70_000
    assert len(await collected(runner, turn_request("!flood 500"))) == 501
    plans = [report for report in await collected(runner, turn_request("!plan")) if isinstance(report, PlanReported)]
    assert [sum(step.status == "completed" for step in plan.steps) for plan in plans] == [0, 1, 2, 3]


async def test_every_step_of_a_scenario_is_played(tmp_path: Path) -> None:
    """In the order of the file, with its values."""
    scenario = """
rules:
  - match: fail
    steps: [{tool: {title: t, fail: true, output: bad}}, {error: {code: broken, message: it broke}}]
  - match: refuse
    steps: [{text: no}, {stop: refusal}]
  - steps:
      - thought: hm {words}
      - plan: [one, {text: two, status: completed, priority: high}]
      - retry: {reason: busy, seconds: 3}
      - usage: {input_tokens: 7, output_tokens: 8}
      - text: done
"""
    runner = await opened(tmp_path, scenario=scenario)
    reports = await collected(runner, turn_request("a b"))
    assert kinds(reports) == [
        "ThoughtDelta", "PlanReported", "PhaseChanged", "UsageReported", "TextDelta", "TurnEnded"
    ]  # fmt: skip
    assert "".join(report.text for report in reports if isinstance(report, ThoughtDelta)) == "hm 2"
    retry = next(report.retry for report in reports if isinstance(report, PhaseChanged) and report.retry)
    assert (retry.reason, retry.count) == ("busy", 1)
    assert (end_of(reports).usage.input_tokens, end_of(reports).usage.output_tokens) == (7, 9)
    failed = await collected(runner, turn_request("fail"))
    assert (end_of(failed).stop, end_of(failed).code, end_of(failed).error) == (Stop.ERROR, "broken", "it broke")
    assert [report.call.status for report in failed if isinstance(report, ToolReported)][-1] is ToolStatus.FAILED
    assert end_of(await collected(runner, turn_request("refuse"))).stop is Stop.REFUSAL


async def test_commands_can_be_switched_off(tmp_path: Path) -> None:
    """A scenario that wants all text for itself gets it."""
    runner = await opened(tmp_path, scenario="{commands: false, rules: [{steps: [{text: '{text}'}]}]}")
    assert text_of(await collected(runner, turn_request("!crash"))) == "!crash"


async def test_a_scenario_that_cannot_be_read_fails_at_the_start(tmp_path: Path) -> None:
    """The error names the file, and no turn is played."""
    with pytest.raises(ConfigError) as caught:
        await opened(tmp_path, scenario="rules: 3")
    assert str(caught.value.facts["file"]).endswith("scenario.yaml")
    with pytest.raises(ConfigError, match="nope"):
        await opened(tmp_path, scenario="builtin:nope")


async def test_two_turns_at_a_time_are_refused(tmp_path: Path) -> None:
    """The second ends at once, the first goes on."""
    runner = await opened(tmp_path)
    reading = Reading(runner.turn(turn_request("!hang")))
    await reading.until(TextDelta)
    assert end_of(await collected(runner, turn_request("hello"))).code == "busy"
    await runner.close()
    assert end_of(await reading.whole()).stop is Stop.CANCELLED
    await asyncio.sleep(0)
