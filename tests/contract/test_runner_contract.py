"""What every runner must do, whatever it drives."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.agent_settings import AcpSettings, ClaudeCliSettings, HermesRunsSettings, OpenaiSettings, ScriptedSettings
from core.agents.adapters import CAPABILITIES, adapter_names, load_adapter
from core.agents.runner import Decision, Runner
from core.api.errors import InvalidInput
from core.api.runs import (
    ActionRequested,
    ActionSettled,
    RunReport,
    Stop,
    TextDelta,
    ToolReported,
    TurnEnded,
)
from core.clock import SystemClock
from tests.support import fake_acp_agent, fake_claude
from tests.support.agent_parts import KEY, MAIN, Reading, collected, end_of, runner_context, text_of, turn_request
from tests.support.fake_hermes_runs import FakeHermesRuns
from tests.support.fake_openai import FakeOpenai


class Bench:
    """A way to make one kind of runner behave. tell: choose what its next turn does; the text to send."""

    def __init__(self, runner: Runner, tell: Callable[[str], str]) -> None:
        self.runner = runner
        self.tell = tell


@asynccontextmanager
async def scripted(home: Path) -> AsyncIterator[Bench]:
    """The embedded agent; it is told by commands."""
    texts = {"answer": "hello", "endless": "!hang", "dies": "!crash", "tools": "!sh uptime"}
    settings = ScriptedSettings(pace=0.0)
    runner = load_adapter("scripted").create(MAIN, settings, runner_context(SystemClock(), home))
    yield Bench(runner, texts.__getitem__)
    await runner.close()


@asynccontextmanager
async def openai(home: Path) -> AsyncIterator[Bench]:
    """A chat endpoint; its server is told."""
    modes = {"answer": ["ok"], "endless": ["silent"], "dies": ["broken"], "tools": ["exec", "ok"]}
    async with FakeOpenai() as server:
        settings = OpenaiSettings(base_url=server.url, model="m", key="env:KEY", tools=("exec",))
        runner = load_adapter("openai").create(MAIN, settings, runner_context(SystemClock(), home))

        def tell(what: str) -> str:
            server.modes = [*modes[what]]
            return "hello"

        yield Bench(runner, tell)
        await runner.close()


@asynccontextmanager
async def acp(home: Path) -> AsyncIterator[Bench]:
    """A program that speaks ACP; a turn is told by its text."""
    settings = AcpSettings(command=(sys.executable, "-SE", fake_acp_agent.__file__), secrets={"AGENT_KEY": "env:KEY"})
    runner = load_adapter("acp").create(MAIN, settings, runner_context(SystemClock(), home))
    yield Bench(runner, str)
    await runner.close()


@asynccontextmanager
async def hermes_runs(home: Path) -> AsyncIterator[Bench]:
    """An API of runs; a run is told by its text."""
    async with FakeHermesRuns() as server:
        settings = HermesRunsSettings(base_url=server.url, key="env:KEY")
        runner = load_adapter("hermes_runs").create(MAIN, settings, runner_context(SystemClock(), home))
        yield Bench(runner, str)
        await runner.close()


@asynccontextmanager
async def claude_cli(home: Path) -> AsyncIterator[Bench]:
    """A program that speaks stream-json; a turn is told by its text."""
    settings = ClaudeCliSettings(command=(sys.executable, "-S", fake_claude.__file__))
    runner = load_adapter("claude_cli").create(MAIN, settings, runner_context(SystemClock(), home))
    yield Bench(runner, str)
    await runner.close()


BENCHES = {
    "scripted": scripted,
    "openai": openai,
    "acp": acp,
    "hermes_runs": hermes_runs,
    "claude_cli": claude_cli,
}


@pytest.fixture(params=adapter_names())
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """Each runner in turn, open."""
    async with BENCHES[request.param](tmp_path) as made:
        await made.runner.open()
        yield made


async def endless(bench: Bench) -> Reading:
    """A turn that has begun and would never end by itself."""
    reading = Reading(bench.runner.turn(turn_request(bench.tell("endless"))))
    await reading.until(TextDelta)
    return reading


def test_every_adapter_is_under_this_contract() -> None:
    """A new one is added here; one that is not there is named in the error."""
    assert set(BENCHES) == set(adapter_names()) == set(CAPABILITIES)
    with pytest.raises(InvalidInput, match="telepathy"):
        load_adapter("telepathy")


async def test_a_turn_ends_with_exactly_one_end(bench: Bench) -> None:
    """After some text, and again on the next turn of the same runner."""
    for _ in range(2):
        reports = await collected(bench.runner, turn_request(bench.tell("answer")))
        assert end_of(reports).stop is Stop.END_TURN
        assert text_of(reports)


async def test_what_an_agent_can_do_is_known_before_it_is_loaded(bench: Bench) -> None:
    """The runner says the same of itself."""
    assert bench.runner.capabilities == CAPABILITIES[bench.runner.kind]
    assert bench.runner.capabilities.isolation


async def test_a_turn_whose_agent_breaks_ends_with_exactly_one_end(bench: Bench) -> None:
    """As an error or as died, with a stable code and a line for people."""
    end = end_of(await collected(bench.runner, turn_request(bench.tell("dies"))))
    assert end.stop in {Stop.ERROR, Stop.DIED}
    assert end.code
    assert end.error


async def test_a_cancelled_turn_ends_with_exactly_one_end(bench: Bench) -> None:
    """Cancelling twice is as good as once; the runner is ready for the next turn."""
    reading = await endless(bench)
    await bench.runner.cancel("one")
    await bench.runner.cancel("two")
    assert end_of(await reading.whole()).stop is Stop.CANCELLED
    assert end_of(await collected(bench.runner, turn_request(bench.tell("answer")))).stop is Stop.END_TURN


async def test_cancel_of_nothing_does_nothing(bench: Bench) -> None:
    """Before any turn, and it does not spoil the next one."""
    await bench.runner.cancel("nothing")
    assert end_of(await collected(bench.runner, turn_request(bench.tell("answer")))).stop is Stop.END_TURN


async def test_close_ends_the_turn_and_refuses_the_next(bench: Bench) -> None:
    """At once and as often as one likes; afterwards every turn ends with an error."""
    reading = await endless(bench)
    await bench.runner.close()
    await bench.runner.close()
    assert end_of(await reading.whole()).stop is Stop.CANCELLED
    refused = end_of(await collected(bench.runner, turn_request(bench.tell("answer"))))
    assert (refused.stop, refused.code) == (Stop.ERROR, "closed")


async def test_one_turn_at_a_time(bench: Bench) -> None:
    """A second one ends at once and leaves the first alone."""
    reading = await endless(bench)
    second = await collected(bench.runner, turn_request(bench.tell("answer")))
    assert (end_of(second).stop, end_of(second).code) == (Stop.ERROR, "busy")
    assert not any(isinstance(report, TurnEnded) for report in reading.reports)
    await bench.runner.cancel("done")
    await reading.whole()


@pytest.mark.parametrize("name", adapter_names())
async def test_a_runner_that_was_not_opened_refuses_turns(name: str, tmp_path: Path) -> None:
    """And can be closed all the same."""
    async with BENCHES[name](tmp_path) as made:
        end = end_of(await collected(made.runner, turn_request("hello")))
        assert (end.stop, end.code) == (Stop.ERROR, "not_open")


async def test_decisions_and_steering_need_a_turn_that_waits_for_them(bench: Bench) -> None:
    """Nobody takes them while nothing goes on, nor one that was never asked for."""
    decision = Decision(allow=True, option_id="allow")
    assert not await bench.runner.decide("act-1", decision)
    assert not await bench.runner.steer("hello")
    reading = await endless(bench)
    assert not await bench.runner.decide("never-asked", decision)
    assert await bench.runner.steer("hello") is bench.runner.capabilities.steer
    await bench.runner.cancel("done")
    await reading.whole()
    assert not await bench.runner.steer("hello")


async def test_nothing_is_open_after_the_end(bench: Bench) -> None:
    """No decision waits, no tool call is unfinished, and a late decision arrives nowhere."""
    asked: list[str] = []
    settled: list[str] = []
    calls: dict[str, ToolReported] = {}

    async def note(report: RunReport) -> None:
        if isinstance(report, ActionRequested):
            asked.append(report.action_id)
            assert await bench.runner.decide(report.action_id, Decision(allow=True, option_id=report.options[0].id))
        elif isinstance(report, ActionSettled):
            settled.append(report.action_id)
        elif isinstance(report, ToolReported):
            calls[report.call.id] = report

    async for report in bench.runner.turn(turn_request(bench.tell("tools"))):
        await note(report)
    assert asked == settled
    assert bool(asked) is bench.runner.capabilities.approvals
    assert calls
    assert all(report.call.status.is_final for report in calls.values())
    assert [await bench.runner.decide(item, Decision(allow=True, option_id="x")) for item in asked] == [False] * len(
        asked
    )


async def test_a_decision_that_nobody_makes_is_settled_by_a_cancel(bench: Bench) -> None:
    """The agent no longer waits, the turn ends as cancelled, and a late yes arrives nowhere."""
    if not bench.runner.capabilities.approvals:
        return
    reading = Reading(bench.runner.turn(turn_request(bench.tell("tools"))))
    asked: ActionRequested = await reading.until(ActionRequested)
    await bench.runner.cancel("stop")
    reports = await reading.whole()
    assert end_of(reports).stop is Stop.CANCELLED
    settled = {report.action_id: report.outcome for report in reports if isinstance(report, ActionSettled)}
    assert set(settled) <= {asked.action_id}
    assert set(settled.values()) <= {"withdrawn", "expired"}
    assert not await bench.runner.decide(asked.action_id, Decision(allow=True, option_id=asked.options[0].id))
    assert end_of(await collected(bench.runner, turn_request(bench.tell("answer")))).stop is Stop.END_TURN


async def test_a_runner_is_alive_until_it_is_closed(bench: Bench) -> None:
    """A turn that ended well leaves it as it was."""
    assert bench.runner.is_alive
    await collected(bench.runner, turn_request(bench.tell("answer")))
    assert bench.runner.is_alive
    await bench.runner.close()
    assert not bench.runner.is_alive


async def test_only_a_runner_that_says_so_makes_summaries(bench: Bench) -> None:
    """Others give nothing, and no turn begins."""
    summary = await bench.runner.summarize(f"ana: {bench.tell('answer')}", model="")
    assert bool(summary) is bench.runner.capabilities.summarizes


async def test_a_reader_that_leaves_ends_the_turn(bench: Bench) -> None:
    """Cancelling the task that reads frees the runner; nothing is left running."""
    reading = await endless(bench)
    await reading.leave()
    assert end_of(await collected(bench.runner, turn_request(bench.tell("answer")))).stop is Stop.END_TURN


async def test_a_description_holds_no_secret(bench: Bench) -> None:
    """It is for the screen."""
    facts = bench.runner.describe()
    assert facts
    assert KEY not in repr(facts) + repr(bench.runner)


async def test_two_runners_do_not_know_each_other(tmp_path: Path) -> None:
    """Cancelling one session's turn leaves another's alone."""
    async with scripted(tmp_path) as first, scripted(tmp_path) as second:
        opens: list[Awaitable[None]] = [first.runner.open(), second.runner.open()]
        await asyncio.gather(*opens)
        one, two = await endless(first), await endless(second)
        await first.runner.cancel("stop")
        assert end_of(await one.whole()).stop is Stop.CANCELLED
        assert not any(isinstance(report, TurnEnded) for report in two.reports)
        await second.runner.close()
        await two.whole()
