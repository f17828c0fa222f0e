"""What runs ask the operator, and what becomes of it when either side goes away."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.agent_settings import ScriptedSettings
from core.agents.runner import TurnRequest
from core.api.approvals import AnswerApproval, ApprovalState, EndReason, GetApproval
from core.api.errors import AlreadyDecided
from core.api.runs import (
    ActionRequested,
    ActionSettled,
    RunLogged,
    RunReport,
    Stop,
    TurnEnded,
)
from tests.support.agent_parts import MAIN, SESSION, Reading, end_of, runtime, text_of
from tests.support.approval_desk import full_now
from tests.support.puppets import Puppet, Puppeteer
from tests.support.runs import ANA, R1, asked_action, phases, read, settle, the_approval


@pytest.fixture
def puppets(monkeypatch: pytest.MonkeyPatch) -> Puppeteer:
    """Runners in the hands of the test."""
    return Puppeteer(monkeypatch)


async def test_phases_follow_what_the_agent_does(tmp_path: Path) -> None:
    """Tool by its name, approval while somebody must decide."""
    async with runtime(tmp_path) as here:
        reading = Reading(here.run("!sh uptime"))
        await reading.until(ActionRequested)
        view = await the_approval(here)
        assert (view.run_id, view.session_id, view.agent, view.title) == (R1, SESSION, MAIN, "sh: uptime")
        decided = await here.approvals.answer_approval(AnswerApproval(approval_id=view.id, allow=True), ANA)
        assert decided.delivery == "sent"
        reports = await reading.whole()
        assert phases(reports) == ["admitting", "model", "approval", "model", "tool:sh: uptime", "model"]
        settled = [report for report in reports if isinstance(report, ActionSettled)]
        assert settled == [ActionSettled(action_id="act-1", outcome="approved", by="ana")]
        assert text_of(reports) == "Ran it."


async def test_interrupt_withdraws_what_was_asked(tmp_path: Path) -> None:
    """It is not a no: the operator decided nothing. A late answer is told so."""
    async with runtime(tmp_path) as here:
        reading = Reading(here.run("!write a.txt b"))
        await reading.until(ActionRequested)
        await here.runs.interrupt(R1, "enough")
        reports = await reading.whole()
        assert ActionSettled(action_id="act-2", outcome="withdrawn") in reports
        assert end_of(reports).stop is Stop.CANCELLED
        view = await the_approval(here)
        assert (view.state, view.ended) == (ApprovalState.WITHDRAWN, EndReason.STOPPED)
        assert here.approvals.open_count == 0
        with pytest.raises(AlreadyDecided, match="withdrawn"):
            await here.approvals.answer_approval(AnswerApproval(approval_id=view.id, allow=True), ANA)
        assert not await asyncio.to_thread(lambda: list(tmp_path.rglob("a.txt")))


async def test_people_may_think_for_longer_than_an_agent(tmp_path: Path) -> None:
    """No stall while a decision is open; shortly before the total limit it expires and the run ends well."""
    async with runtime(tmp_path) as here:
        reading = Reading(here.run("!sh uptime"))
        await reading.until(ActionRequested)
        await here.clock.advance(590)
        assert here.approvals.open_count == 1
        await here.clock.advance(6)
        reports = await reading.whole()
        assert ActionSettled(action_id="act-1", outcome="expired") in reports
        assert text_of(reports) == "Not run, as you decided."
        view = await the_approval(here)
        assert (view.state, view.ended) == (ApprovalState.EXPIRED, EndReason.TIMEOUT)


async def test_an_agent_that_stops_listening_gets_no_late_yes(tmp_path: Path) -> None:
    """The answer is on record as refused; the run ends the approval of another that nobody heard."""
    async with runtime(tmp_path, agents={"main": ScriptedSettings()}) as here:
        reading = Reading(here.run("!late"))
        await reading.until(ActionRequested)
        for _ in range(70):
            await here.clock.advance(0.1)
        view = await the_approval(here)
        decided = await here.approvals.answer_approval(AnswerApproval(approval_id=view.id, allow=True), ANA)
        assert decided.delivery == "refused_late"
        await reading.until(ActionSettled)
        await here.runs.interrupt(R1, "done")
        assert ActionSettled(action_id=view.action_id, outcome="expired") in await reading.whole()


@pytest.mark.parametrize("is_full", [True, False])
async def test_what_cannot_be_asked_is_denied(
    tmp_path: Path, puppets: Puppeteer, monkeypatch: pytest.MonkeyPatch, is_full: bool
) -> None:
    """A store that takes nothing, or a question too large to be shown whole: the agent hears a no."""

    async def turn(puppet: Puppet, request: TurnRequest) -> AsyncIterator[RunReport]:
        del request
        yield asked_action("d" if is_full else "x" * 300_000)
        await puppet.decided.wait()
        yield TurnEnded(stop=Stop.END_TURN)

    puppets.turn = turn
    async with runtime(tmp_path) as here:
        if is_full:
            monkeypatch.setattr(here.journal, "submit", full_now)
        reports = await read(here, "x")
        assert [(item, decision.allow) for item, decision in puppets.made[0].decisions] == [("a-1", False)]
        assert not any(isinstance(report, ActionRequested) for report in reports)
        assert any(isinstance(report, RunLogged) and "denied" in report.text for report in reports)


async def test_an_agent_that_takes_its_question_back_closes_the_approval(tmp_path: Path, puppets: Puppeteer) -> None:
    """Withdrawn or expired, as it says; stored like every other end."""

    async def turn(puppet: Puppet, request: TurnRequest) -> AsyncIterator[RunReport]:
        del puppet, request
        yield asked_action()
        yield ActionSettled(action_id="a-1", outcome="withdrawn")
        yield ActionSettled(action_id="a-1", outcome="withdrawn")
        yield TurnEnded(stop=Stop.END_TURN)

    puppets.turn = turn
    async with runtime(tmp_path) as here:
        reports = await read(here, "x")
        assert sum(isinstance(report, ActionSettled) for report in reports) == 1
        view = await the_approval(here)
        assert (view.state, view.ended) == (ApprovalState.WITHDRAWN, EndReason.AGENT)


async def test_a_late_yes_does_not_reach_a_run_that_was_told_to_stop(tmp_path: Path, puppets: Puppeteer) -> None:
    """Between the interrupt and the end an operator answers: stored, but the agent does not hear it."""

    async def turn(puppet: Puppet, request: TurnRequest) -> AsyncIterator[RunReport]:
        del puppet, request
        yield asked_action()
        await asyncio.Event().wait()

    puppets.turn, puppets.is_deaf = turn, True
    async with runtime(tmp_path) as here:
        reading = Reading(here.run("x"))
        await reading.until(ActionRequested)
        await here.runs.interrupt(R1, "stop")
        view = await the_approval(here)
        decided = await here.approvals.answer_approval(AnswerApproval(approval_id=view.id, allow=True), ANA)
        assert decided.delivery == "refused_late"
        assert puppets.made[0].decisions == []
        await here.clock.advance(6)
        assert end_of(await reading.whole()).stop is Stop.CANCELLED
        assert (await here.approvals.get_approval(GetApproval(approval_id=view.id))).state is ApprovalState.APPROVED


async def test_a_reader_that_leaves_cancels_the_run(tmp_path: Path) -> None:
    """Slot and runner are free again, and nothing is left to be decided."""
    async with runtime(tmp_path) as here:
        reading = Reading(here.run("!sh uptime"))
        await reading.until(ActionRequested)
        await reading.leave()
        await settle(here)
        assert (here.runs.running_count, here.pool.busy_count(), here.approvals.open_count) == (0, 0, 0)
        assert (await the_approval(here)).state is ApprovalState.WITHDRAWN
