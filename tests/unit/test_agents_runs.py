"""Runs: admitted, interrupted, steered and closed; each with exactly one end, and nothing left behind."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.agent_settings import OpenaiSettings, ScriptedSettings
from core.agents.runner import TurnRequest
from core.api.approvals import ApprovalState
from core.api.base import AgentName
from core.api.profiles import ListProfiles
from core.api.runs import (
    ActionRequested,
    Phase,
    PhaseChanged,
    RunReport,
    Stop,
    TextDelta,
    TurnEnded,
)
from tests.support.agent_parts import MAIN, SESSION, Reading, end_of, runtime, text_of
from tests.support.puppets import Puppet, Puppeteer
from tests.support.runs import R1, R2, phases, read, settle, the_approval


@pytest.fixture
def puppets(monkeypatch: pytest.MonkeyPatch) -> Puppeteer:
    """Runners in the hands of the test."""
    return Puppeteer(monkeypatch)


async def test_a_run_is_admitted_answers_and_ends(tmp_path: Path) -> None:
    """From `admitting` to one end; a second turn uses the same runner."""
    async with runtime(tmp_path) as here:
        reports = await read(here, "hello")
        assert phases(reports) == ["admitting", "model"]
        assert reports[0] == PhaseChanged(phase=Phase.ADMITTING)
        assert text_of(reports).startswith("Hello ana.")
        assert end_of(reports).stop is Stop.END_TURN
        assert end_of(await read(here, "hello", run_id="r-2")).stop is Stop.END_TURN
        assert (here.runners.__len__(), here.runs.running_count) == (1, 0)


async def test_runs_beyond_the_limit_wait_their_turn(tmp_path: Path) -> None:
    """In the order in which they came; sessions of other agents do not wait with them."""
    agents = {"main": ScriptedSettings(pace=0.0, concurrency=1), "other": ScriptedSettings(pace=0.0)}
    async with runtime(tmp_path, agents=dict(agents)) as here:
        first = Reading(here.run("!hang"))
        await first.until(TextDelta)
        second = Reading(here.run("!hang", run_id="r-2", session_id="s-2"))
        third = Reading(here.run("hello", run_id="r-3", session_id="s-3"))
        await settle(here)
        assert [phases(reading.reports) for reading in (second, third)] == [["admitting"] * 2] * 2
        assert {shown.waits_for for shown in third.reports if isinstance(shown, PhaseChanged)} == {
            "",
            "agent main has as many runs as it may have",
        }
        assert (here.pool.load(MAIN).busy, here.pool.load(MAIN).waiting) == (1, 2)
        other = await read(here, "hello", run_id="r-4", session_id="s-4", agent="other")
        assert end_of(other).stop is Stop.END_TURN
        await here.runs.interrupt(R1, "next, please")
        await second.until(TextDelta)
        assert phases(third.reports) == ["admitting"] * 2
        await here.runs.interrupt(R2, "next, please")
        assert end_of(await third.whole()).stop is Stop.END_TURN
        await second.whole()


async def test_a_run_that_is_interrupted_while_it_waits_never_starts(tmp_path: Path) -> None:
    """It ends cancelled, at once, and gives its place up."""
    async with runtime(tmp_path, agents={"main": ScriptedSettings(pace=0.0, concurrency=1)}) as here:
        first = Reading(here.run("!hang"))
        await first.until(TextDelta)
        second = Reading(here.run("hello", run_id="r-2", session_id="s-2"))
        await settle(here)
        assert await here.runs.interrupt(R2, "not needed")
        reports = await second.whole()
        assert phases(reports) == ["admitting"] * 2
        assert (end_of(reports).stop, end_of(reports).code) == (Stop.CANCELLED, "interrupted")
        assert here.pool.waiting_count() == 0
        assert here.runners.__len__() == 1
        assert not await here.runs.interrupt(R2, "again")


async def test_interrupt_ends_a_run_at_once(tmp_path: Path) -> None:
    """Whoever asks first gives the reason; nobody has to wait for a deadline."""
    async with runtime(tmp_path) as here:
        reading = Reading(here.run("!hang"))
        await reading.until(TextDelta)
        assert await here.runs.interrupt(R1, "enough")
        assert await here.runs.interrupt(R1, "really")
        end = end_of(await reading.whole())
        assert (end.stop, end.code, end.error) == (Stop.CANCELLED, "interrupted", "enough")
        assert end_of(await read(here, "hello", run_id="r-2")).stop is Stop.END_TURN


async def test_closing_the_iterator_cancels_the_run(tmp_path: Path) -> None:
    """As leaving does."""
    async with runtime(tmp_path) as here:
        run = here.runs.run(session_id=SESSION, epoch=0, agent=MAIN, run_id=R1, attempt=1, messages=[], history=())
        assert await anext(run) == PhaseChanged(phase=Phase.ADMITTING)
        await run.aclose()  # type: ignore[attr-defined]  # a generator, as the gateway closes it
        await settle(here)
        assert here.runs.running_count == 0


async def test_one_turn_at_a_time_in_a_session(tmp_path: Path) -> None:
    """A second run of the session waits for the first, even when there are slots."""
    async with runtime(tmp_path) as here:
        first = Reading(here.run("!hang"))
        await first.until(TextDelta)
        second = Reading(here.run("hello", run_id="r-2"))
        await settle(here)
        assert phases(second.reports) == ["admitting"]
        await here.runs.interrupt(R1, "next")
        assert end_of(await second.whole()).stop is Stop.END_TURN
        await first.whole()


async def test_steering_reaches_a_run_that_can_take_it(tmp_path: Path, puppets: Puppeteer) -> None:
    """None that is gone, none that was told to stop, none whose runner fails."""

    async def turn(puppet: Puppet, request: TurnRequest) -> AsyncIterator[RunReport]:
        del request
        yield TextDelta(text="x")
        await puppet.cancelled.wait()
        yield TurnEnded(stop=Stop.CANCELLED)

    puppets.turn = turn
    async with runtime(tmp_path) as here:
        assert not await here.runs.steer(R1, "hello")
        reading = Reading(here.run("x"))
        await reading.until(TextDelta)
        assert not await here.runs.steer(R1, "hello")
        await here.runs.interrupt(R1, "stop")
        assert not await here.runs.steer(R1, "hello")
        await reading.whole()


async def test_steered_text_arrives(tmp_path: Path) -> None:
    """In the answer of the run that goes on."""
    async with runtime(tmp_path, agents={"main": ScriptedSettings()}) as here:
        reading = Reading(here.run("!slow 5"))
        await reading.until(PhaseChanged, lambda report: report.phase is Phase.MODEL)
        await settle(here)
        assert await here.runs.steer(R1, "be brief")
        for _ in range(70):
            await here.clock.advance(0.1)
        assert "be brief" in text_of(await reading.whole())


async def test_what_agents_are_there(tmp_path: Path) -> None:
    """By name, with what they can do and how busy they are."""
    agents = {
        "main": ScriptedSettings(pace=0.0, concurrency=1),
        "big": OpenaiSettings(base_url="http://127.0.0.1:9/v1", model="large", stall_limit_s=7.0, total_limit_s=9.0),
    }
    async with runtime(tmp_path, agents=dict(agents)) as here:
        big = AgentName("big")
        assert (here.runs.find_agent(None), here.runs.find_agent("big"), here.runs.find_agent("x")) == (
            "main", "big", None
        )  # fmt: skip
        assert [here.runs.can_steer(AgentName(name)) for name in ("main", "big", "x")] == [True, False, False]
        assert [here.runs.limits_s(AgentName(name)) for name in ("main", "big", "x")] == [
            (120.0, 600.0), (7.0, 9.0), (0.0, 0.0)
        ]  # fmt: skip
        first = Reading(here.run("!hang"))
        await first.until(TextDelta)
        second = Reading(here.run("hello", run_id="r-2", session_id="s-2"))
        await settle(here)
        found = await here.profiles.list_profiles(ListProfiles())
        assert [(view.name, view.runner, view.model, view.is_default) for view in found.profiles] == [
            (big, "openai", "large", False),
            (MAIN, "scripted", "builtin:assistant", True),
        ]
        assert [(view.busy, view.waiting, view.limit) for view in found.profiles] == [(0, 0, 8), (1, 1, 1)]
        assert [(view.approvals, view.steer) for view in found.profiles] == [(True, False), (True, True)]
        await here.runs.interrupt(R1, "done")
        await first.whole()
        await second.whole()


async def test_what_cannot_run_ends_with_an_error(tmp_path: Path) -> None:
    """An agent that is gone, and a run that goes on already; both begin and end like every other."""
    async with runtime(tmp_path) as here:
        gone = await read(here, "x", agent="nobody")
        assert (phases(gone), end_of(gone).code) == (["admitting"], "not_found")
        reading = Reading(here.run("!hang"))
        await reading.until(TextDelta)
        assert end_of(await read(here, "x")).code == "conflict"
        await here.runs.interrupt(R1, "done")
        assert end_of(await reading.whole()).stop is Stop.CANCELLED


async def test_closing_ends_all_runs_and_takes_no_more(tmp_path: Path) -> None:
    """Running, waiting and asking ones; readers get their end."""
    async with runtime(tmp_path, agents={"main": ScriptedSettings(pace=0.0, concurrency=2)}) as here:
        running = Reading(here.run("!hang"))
        asking = Reading(here.run("!sh ls", run_id="r-2", session_id="s-2"))
        await running.until(TextDelta)
        await asking.until(ActionRequested)
        waiting = Reading(here.run("hello", run_id="r-3", session_id="s-3"))
        await settle(here)
        await here.runs.close()
        ends = [end_of(await reading.whole()) for reading in (running, asking, waiting)]
        assert [(end.stop, end.code) for end in ends] == [(Stop.CANCELLED, "stopping")] * 3
        assert (await the_approval(here)).state is ApprovalState.ORPHANED
        refused = end_of(await read(here, "hello", run_id="r-4"))
        assert refused.code == "stopping"


async def test_a_core_that_stops_hard_still_ends_its_runs(tmp_path: Path) -> None:
    """The jobs are cancelled under them: readers get their end, slots are free."""
    async with runtime(tmp_path) as here:
        reading = Reading(here.run("!hang"))
        await reading.until(TextDelta)
        assert await here.supervisor.stop(deadline_s=5.0) == []
        end = end_of(await reading.whole())
        assert (end.stop, end.code) == (Stop.CANCELLED, "stopping")
        assert here.pool.busy_count() == 0
