"""Agents that are silent, slow, deaf, broken or without end: each costs its own run and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.agent_settings import ScriptedSettings
from core.agents import driving as shell
from core.agents.runner import TurnRequest
from core.api.approvals import ApprovalState
from core.api.base import Mark, SessionId
from core.api.runs import (
    ActionSettled,
    Phase,
    PhaseChanged,
    RunReport,
    RunRetry,
    Stop,
    TextDelta,
    ToolCall,
    ToolReported,
    ToolStatus,
    TurnEnded,
    Usage,
    UsageReported,
)
from tests.support.agent_parts import SESSION, Reading, end_of, runtime, text_of
from tests.support.puppets import Puppet, Puppeteer
from tests.support.runs import R1, asked_action, phases, read, settle, the_approval


@pytest.fixture
def puppets(monkeypatch: pytest.MonkeyPatch) -> Puppeteer:
    """Runners in the hands of the test."""
    return Puppeteer(monkeypatch)


async def test_silence_ends_a_run(tmp_path: Path) -> None:
    """After the stall limit, with a code of its own; the session goes on afterwards."""
    async with runtime(tmp_path) as here:
        reading = Reading(here.run("!hang"))
        await reading.until(TextDelta)
        await here.clock.advance(119)
        assert here.runs.running_count == 1
        await here.clock.advance(2)
        end = end_of(await reading.whole())
        assert (end.stop, end.code) == (Stop.TIMEOUT, "stalled")
        assert end_of(await read(here, "hello", run_id="r-2")).stop is Stop.END_TURN


async def test_a_tool_may_be_quiet_for_longer(tmp_path: Path) -> None:
    """Five times the stall limit, while the total limit still counts."""
    (tmp_path / "long.yaml").write_text(
        "rules: [{match: ten, steps: [{tool: {title: t, seconds: 3000}}]},"
        " {steps: [{tool: {title: t, seconds: 400}}, {text: ok}]}]"
    )
    settings = ScriptedSettings(scenario="long.yaml")
    async with runtime(tmp_path, agents={"main": settings}) as here:
        reading = Reading(here.run("go"))
        await reading.until(ToolReported)
        await here.clock.advance(399)
        await here.clock.advance(2)
        await here.clock.advance(1)
        assert text_of(await reading.whole()) == "ok"
        reading = Reading(here.run("ten", run_id="r-2"))
        await reading.until(ToolReported)
        await here.clock.advance(601)
        reports = await reading.whole()
        assert end_of(reports).code == "total_limit"
        assert [report.call.status for report in reports if isinstance(report, ToolReported)][-1] is ToolStatus.ENDED


async def test_an_announced_wait_is_no_silence(tmp_path: Path, puppets: Puppeteer) -> None:
    """A backoff that is longer than the stall limit is sat out."""

    async def turn(puppet: Puppet, request: TurnRequest) -> AsyncIterator[RunReport]:
        del puppet, request
        at = Mark(here.clock.now() + 300, here.clock.monotonic() + 300)
        yield PhaseChanged(phase=Phase.RETRY_BACKOFF, retry=RunRetry(next_at=at, count=1, reason="busy"))
        await here.clock.sleep(300)
        yield TextDelta(text="at last")
        yield TurnEnded(stop=Stop.END_TURN)

    puppets.turn = turn
    async with runtime(tmp_path) as here:
        reading = Reading(here.run("x"))
        await reading.until(PhaseChanged, lambda report: report.retry is not None)
        await here.clock.advance(299)
        await here.clock.advance(2)
        reports = await reading.whole()
        assert text_of(reports) == "at last"
        assert phases(reports)[-2:] == ["retry_backoff", "model"]


async def test_an_agent_that_does_not_start_in_time_is_given_up(tmp_path: Path, puppets: Puppeteer) -> None:
    """After 30 s; what was started is closed."""
    puppets.hangs_at_open = True
    puppets.turn = lambda puppet, _: puppet.turn(_)
    async with runtime(tmp_path) as here:
        reading = Reading(here.run("x"))
        while not puppets.made:
            await settle(here)
        await here.clock.advance(31)
        end = end_of(await reading.whole())
        assert (end.stop, end.code) == (Stop.TIMEOUT, "start_timeout")
        assert puppets.made[0].closed.is_set()


async def test_an_agent_that_ignores_a_cancel_is_cut_off(tmp_path: Path, puppets: Puppeteer) -> None:
    """After 5 s of grace; its runner is closed and not used again."""

    async def turn(puppet: Puppet, request: TurnRequest) -> AsyncIterator[RunReport]:
        del puppet, request
        yield TextDelta(text="la")
        await asyncio.Event().wait()

    puppets.turn, puppets.is_deaf = turn, True
    async with runtime(tmp_path) as here:
        reading = Reading(here.run("x"))
        await reading.until(TextDelta)
        await here.runs.interrupt(R1, "stop")
        await here.clock.advance(4)
        assert here.runs.running_count == 1
        await here.clock.advance(2)
        end = end_of(await reading.whole())
        assert (end.stop, end.code) == (Stop.CANCELLED, "interrupted")
        assert puppets.made[0].closed.is_set()
        assert len(here.runners) == 0


async def test_too_much_text_ends_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent in a loop does not fill the memory."""
    monkeypatch.setattr(shell, "TEXT_LIMIT", 10_000)
    async with runtime(tmp_path) as here:
        reports = await read(here, "!flood 100000")
        assert (end_of(reports).stop, end_of(reports).code) == (Stop.ERROR, "output_limit")
        assert len(text_of(reports)) < 20_000


async def test_a_dead_agent_is_replaced(tmp_path: Path, puppets: Puppeteer) -> None:
    """What it left unfinished is closed, and the next turn gets a new runner."""

    async def turn(puppet: Puppet, request: TurnRequest) -> AsyncIterator[RunReport]:
        del puppet, request
        yield ToolReported(call=ToolCall(id="c", title="t", status=ToolStatus.IN_PROGRESS))
        yield asked_action()
        yield TurnEnded(stop=Stop.DIED, error="killed", code="crashed")

    puppets.turn = turn
    async with runtime(tmp_path) as here:
        reports = await read(here, "x")
        assert (end_of(reports).stop, end_of(reports).code) == (Stop.DIED, "crashed")
        assert [report.call.status for report in reports if isinstance(report, ToolReported)][-1] is ToolStatus.ENDED
        assert ActionSettled(action_id="a-1", outcome="withdrawn") in reports
        assert (await the_approval(here)).state is ApprovalState.WITHDRAWN
        assert puppets.made[0].closed.is_set()
        assert len(here.runners) == 0
        await read(here, "x", run_id="r-2")
        assert len(puppets.made) == 2


async def test_a_runner_that_fails_is_one_failed_run(tmp_path: Path, puppets: Puppeteer) -> None:
    """Only the kind of the failure is shown, for its text may hold a secret; the tokens so far are kept."""

    async def turn(puppet: Puppet, request: TurnRequest) -> AsyncIterator[RunReport]:
        del puppet, request
        yield UsageReported(usage=Usage(input_tokens=5))
        raise ValueError("key=sk-123")

    puppets.turn = turn
    async with runtime(tmp_path) as here:
        reports = await read(here, "x")
        end = end_of(reports)
        assert (end.stop, end.code, end.usage) == (Stop.ERROR, "runner_fault", Usage(input_tokens=5))
        assert "ValueError" in end.error
        assert "sk-123" not in repr(reports)
        assert puppets.made[0].closed.is_set()


async def test_a_runner_that_just_stops_has_died(tmp_path: Path, puppets: Puppeteer) -> None:
    """There is an end even when the runner forgot it, and a time-out of its own is a fault, not ours."""

    async def silent_end(puppet: Puppet, request: TurnRequest) -> AsyncIterator[RunReport]:
        del puppet, request
        yield TextDelta(text="half a")

    async def own_timeout(puppet: Puppet, request: TurnRequest) -> AsyncIterator[RunReport]:
        yield TextDelta(text="x")
        raise TimeoutError

    async with runtime(tmp_path) as here:
        puppets.turn = silent_end
        end = end_of(await read(here, "x"))
        assert (end.stop, end.code) == (Stop.DIED, "no_end")
        puppets.turn = own_timeout
        end = end_of(await read(here, "x", run_id="r-2"))
        assert (end.stop, end.code) == (Stop.ERROR, "runner_fault")


async def test_an_agent_that_cannot_start_says_why(tmp_path: Path) -> None:
    """With the code of the error; the next turn tries again."""
    async with runtime(tmp_path, agents={"main": ScriptedSettings(scenario="missing.yaml", pace=0.0)}) as here:
        end = end_of(await read(here, "hello"))
        assert (end.stop, end.code) == (Stop.ERROR, "config")
        assert "missing.yaml" in end.error
        (tmp_path / "missing.yaml").write_text("rules: [{steps: [{text: here}]}]")
        assert text_of(await read(here, "hello", run_id="r-2")) == "here"


async def gone(puppet: Puppet) -> None:
    """Once it is let go; nobody waits for that but a test."""
    async with asyncio.timeout(5):
        await puppet.closed.wait()


async def test_forgetting_and_idleness_let_runners_go(tmp_path: Path, puppets: Puppeteer) -> None:
    """At once when idle, after the turn when busy, and by itself after ten minutes."""

    async def turn(puppet: Puppet, request: TurnRequest) -> AsyncIterator[RunReport]:
        del request
        yield TextDelta(text="x")
        await puppet.decided.wait()
        yield TurnEnded(stop=Stop.END_TURN)

    puppets.turn = turn
    async with runtime(tmp_path) as here:
        reading = Reading(here.run("x"))
        await reading.until(TextDelta)
        await here.clock.advance(60)
        await here.runs.forget(SESSION)
        assert not puppets.made[0].closed.is_set()
        puppets.made[0].decided.set()
        await reading.whole()
        await gone(puppets.made[0])

        reading = Reading(here.run("x", run_id="r-2"))
        await reading.until(TextDelta)
        puppets.made[1].decided.set()
        await reading.whole()
        await here.clock.advance(599)
        assert not puppets.made[1].closed.is_set()
        await here.clock.advance(2)
        await gone(puppets.made[1])

        reading = Reading(here.run("x", run_id="r-3"))
        await reading.until(TextDelta)
        puppets.made[2].decided.set()
        await reading.whole()
        await here.runs.forget(SESSION)
        await here.runs.forget(SessionId("never seen"))
        await gone(puppets.made[2])


async def test_a_slow_reader_does_not_slow_the_run(tmp_path: Path) -> None:
    """The run is over and its slot free long before its reader has seen half of it; no text is lost."""
    async with runtime(tmp_path) as here:
        run = here.run("!flood 20000")
        await anext(run)
        while here.runs.running_count:
            await settle(here)
        assert here.pool.busy_count() == 0
        rest = [report async for report in run]
        assert text_of(rest) == "".join(f"{number} " for number in range(20_000))
        assert end_of(rest).stop is Stop.END_TURN
