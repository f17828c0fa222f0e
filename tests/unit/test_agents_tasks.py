"""Runs: admitted, driven, watched, and ended with exactly one end; nothing is left behind."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.agents import tasks as shell
from core.agents.runner import TurnRequest
from core.api.approvals import AnswerApproval, ApprovalState, ApprovalView, GetApproval, ListApprovals
from core.api.base import Actor, ActorKind, AgentName, Mark, RunId, SessionId
from core.api.errors import AlreadyDecided, StoreError
from core.api.profiles import ListProfiles
from core.api.runs import (
    ActionOption,
    ActionRequested,
    ActionSettled,
    OptionKind,
    Phase,
    PhaseChanged,
    RunLogged,
    RunReport,
    RunRetry,
    Stop,
    TextDelta,
    ToolCall,
    ToolKind,
    ToolReported,
    ToolStatus,
    TurnEnded,
    Usage,
    UsageReported,
)
from core.settings import OpenaiSettings, ScriptedSettings
from tests.support.agent_parts import MAIN, SESSION, Reading, Runtime, end_of, runtime, text_of
from tests.support.puppets import Puppet, Puppeteer

ANA = Actor(ActorKind.OPERATOR, "ana")
R1, R2 = RunId("r-1"), RunId("r-2")


def asked_action(detail: str = "d") -> ActionRequested:
    """A question with a yes and a no."""
    options = (
        ActionOption(id="yes", label="Yes", kind=OptionKind.ALLOW_ONCE),
        ActionOption(id="no", label="No", kind=OptionKind.REJECT_ONCE),
    )
    return ActionRequested(action_id="a-1", title="t", detail=detail, kind=ToolKind.EDIT, options=options)


async def the_approval(here: Runtime) -> ApprovalView:
    """The only approval there is."""
    found = await here.approvals.list_approvals(ListApprovals())
    [view] = found.approvals
    return view


async def read(here: Runtime, text: str, **more: str) -> list[RunReport]:
    """All reports of a run that needs no time."""
    return await Reading(here.run(text, **more)).whole()


def phases(reports: list[RunReport]) -> list[str]:
    """Phases in order, with the tool where there is one."""
    return [
        f"{report.phase.value}:{report.tool}" if report.tool else report.phase.value
        for report in reports
        if isinstance(report, PhaseChanged)
    ]


async def settle(here: Runtime) -> None:
    """Let everything that can happen without time happen."""
    for _ in range(5):
        await here.clock.advance(0.0)


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
        assert (here.tasks.runner_count, here.tasks.running_count) == (1, 0)


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
        assert settled == [ActionSettled(action_id="act-1", outcome="approved")]
        assert text_of(reports) == "Ran it."


async def test_runs_beyond_the_limit_wait_their_turn(tmp_path: Path) -> None:
    """In the order in which they came; sessions of other agents do not wait with them."""
    agents = {"main": ScriptedSettings(pace=0.0, concurrency=1), "other": ScriptedSettings(pace=0.0)}
    async with runtime(tmp_path, agents=dict(agents)) as here:
        first = Reading(here.run("!hang"))
        await first.until(TextDelta)
        second = Reading(here.run("!hang", run_id="r-2", session_id="s-2"))
        third = Reading(here.run("hello", run_id="r-3", session_id="s-3"))
        await settle(here)
        assert [phases(reading.reports) for reading in (second, third)] == [["admitting"], ["admitting"]]
        assert (here.tasks.pool.busy_count(MAIN), here.tasks.pool.waiting_count(MAIN)) == (1, 2)
        other = await read(here, "hello", run_id="r-4", session_id="s-4", agent="other")
        assert end_of(other).stop is Stop.END_TURN
        await here.tasks.interrupt(R1, "next, please")
        await second.until(TextDelta)
        assert phases(third.reports) == ["admitting"]
        await here.tasks.interrupt(R2, "next, please")
        assert end_of(await third.whole()).stop is Stop.END_TURN
        await second.whole()


async def test_a_run_that_is_interrupted_while_it_waits_never_starts(tmp_path: Path) -> None:
    """It ends cancelled, at once, and gives its place up."""
    async with runtime(tmp_path, agents={"main": ScriptedSettings(pace=0.0, concurrency=1)}) as here:
        first = Reading(here.run("!hang"))
        await first.until(TextDelta)
        second = Reading(here.run("hello", run_id="r-2", session_id="s-2"))
        await settle(here)
        assert await here.tasks.interrupt(R2, "not needed")
        reports = await second.whole()
        assert phases(reports) == ["admitting"]
        assert (end_of(reports).stop, end_of(reports).code) == (Stop.CANCELLED, "interrupted")
        assert here.tasks.pool.waiting_count() == 0
        assert here.tasks.runner_count == 1
        assert not await here.tasks.interrupt(R2, "again")


async def test_interrupt_ends_a_run_at_once(tmp_path: Path) -> None:
    """Whoever asks first gives the reason; nobody has to wait for a deadline."""
    async with runtime(tmp_path) as here:
        reading = Reading(here.run("!hang"))
        await reading.until(TextDelta)
        assert await here.tasks.interrupt(R1, "enough")
        assert await here.tasks.interrupt(R1, "really")
        end = end_of(await reading.whole())
        assert (end.stop, end.code, end.error) == (Stop.CANCELLED, "interrupted", "enough")
        assert end_of(await read(here, "hello", run_id="r-2")).stop is Stop.END_TURN


async def test_interrupt_withdraws_what_was_asked(tmp_path: Path) -> None:
    """It is not a no: the operator decided nothing. A late answer is told so."""
    async with runtime(tmp_path) as here:
        reading = Reading(here.run("!write a.txt b"))
        await reading.until(ActionRequested)
        await here.tasks.interrupt(R1, "enough")
        reports = await reading.whole()
        assert ActionSettled(action_id="act-2", outcome="withdrawn") in reports
        assert end_of(reports).stop is Stop.CANCELLED
        view = await the_approval(here)
        assert view.state is ApprovalState.WITHDRAWN
        assert here.approvals.open_count == 0
        with pytest.raises(AlreadyDecided, match="withdrawn"):
            await here.approvals.answer_approval(AnswerApproval(approval_id=view.id, allow=True), ANA)
        assert not (tmp_path / "workspaces").exists()


async def test_silence_ends_a_run(tmp_path: Path) -> None:
    """After the stall limit, with a code of its own; the session goes on afterwards."""
    async with runtime(tmp_path) as here:
        reading = Reading(here.run("!hang"))
        await reading.until(TextDelta)
        await here.clock.advance(119)
        assert here.tasks.running_count == 1
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
        assert (await the_approval(here)).state is ApprovalState.EXPIRED


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
        await here.tasks.interrupt(R1, "done")
        assert ActionSettled(action_id=view.action_id, outcome="expired") in await reading.whole()


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
        assert ActionSettled(action_id="a-1", outcome="expired") in reports
        assert (await the_approval(here)).state is ApprovalState.EXPIRED
        assert puppets.made[0].closed.is_set()
        assert here.tasks.runner_count == 0
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
        await here.tasks.interrupt(R1, "stop")
        await here.clock.advance(4)
        assert here.tasks.running_count == 1
        await here.clock.advance(2)
        end = end_of(await reading.whole())
        assert (end.stop, end.code) == (Stop.CANCELLED, "interrupted")
        assert puppets.made[0].closed.is_set()
        assert here.tasks.runner_count == 0


async def test_a_reader_that_leaves_cancels_the_run(tmp_path: Path) -> None:
    """Slot and runner are free again, and nothing is left to be decided."""
    async with runtime(tmp_path) as here:
        reading = Reading(here.run("!sh uptime"))
        await reading.until(ActionRequested)
        await reading.leave()
        await settle(here)
        assert (here.tasks.running_count, here.tasks.pool.busy_count(), here.approvals.open_count) == (0, 0, 0)
        assert (await the_approval(here)).state is ApprovalState.WITHDRAWN


async def test_closing_the_iterator_cancels_the_run(tmp_path: Path) -> None:
    """As leaving does."""
    async with runtime(tmp_path) as here:
        run = here.tasks.run(session_id=SESSION, epoch=0, agent=MAIN, run_id=R1, attempt=1, messages=[], history=())
        assert await anext(run) == PhaseChanged(phase=Phase.ADMITTING)
        await run.aclose()  # type: ignore[attr-defined]  # a generator, as the gateway closes it
        await settle(here)
        assert here.tasks.running_count == 0


async def test_a_slow_reader_does_not_slow_the_run(tmp_path: Path) -> None:
    """The run is over and its slot free long before its reader has seen half of it; no text is lost."""
    async with runtime(tmp_path) as here:
        run = here.run("!flood 20000")
        await anext(run)
        while here.tasks.running_count:
            await settle(here)
        assert here.tasks.pool.busy_count() == 0
        rest = [report async for report in run]
        assert text_of(rest) == "".join(f"{number} " for number in range(20_000))
        assert end_of(rest).stop is Stop.END_TURN


async def test_one_turn_at_a_time_in_a_session(tmp_path: Path) -> None:
    """A second run of the session waits for the first, even when there are slots."""
    async with runtime(tmp_path) as here:
        first = Reading(here.run("!hang"))
        await first.until(TextDelta)
        second = Reading(here.run("hello", run_id="r-2"))
        await settle(here)
        assert phases(second.reports) == ["admitting"]
        await here.tasks.interrupt(R1, "next")
        assert end_of(await second.whole()).stop is Stop.END_TURN
        await first.whole()


async def test_too_much_text_ends_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent in a loop does not fill the memory."""
    monkeypatch.setattr(shell, "TEXT_LIMIT", 10_000)
    async with runtime(tmp_path) as here:
        reports = await read(here, "!flood 100000")
        assert (end_of(reports).stop, end_of(reports).code) == (Stop.ERROR, "output_limit")
        assert len(text_of(reports)) < 20_000


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

    async def full(*_: object, **__: object) -> None:
        raise StoreError("disk full", cause="full")

    puppets.turn = turn
    async with runtime(tmp_path) as here:
        if is_full:
            monkeypatch.setattr(here.journal, "commit", full)
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
        assert (await the_approval(here)).state is ApprovalState.WITHDRAWN


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
        await here.tasks.interrupt(R1, "stop")
        view = await the_approval(here)
        decided = await here.approvals.answer_approval(AnswerApproval(approval_id=view.id, allow=True), ANA)
        assert decided.delivery == "refused_late"
        assert puppets.made[0].decisions == []
        await here.clock.advance(6)
        assert end_of(await reading.whole()).stop is Stop.CANCELLED
        assert (await here.approvals.get_approval(GetApproval(approval_id=view.id))).state is ApprovalState.APPROVED


async def test_steering_reaches_a_run_that_can_take_it(tmp_path: Path, puppets: Puppeteer) -> None:
    """None that is gone, none that was told to stop, none whose runner fails."""

    async def turn(puppet: Puppet, request: TurnRequest) -> AsyncIterator[RunReport]:
        del request
        yield TextDelta(text="x")
        await puppet.cancelled.wait()
        yield TurnEnded(stop=Stop.CANCELLED)

    puppets.turn = turn
    async with runtime(tmp_path) as here:
        assert not await here.tasks.steer(R1, "hello")
        reading = Reading(here.run("x"))
        await reading.until(TextDelta)
        assert not await here.tasks.steer(R1, "hello")
        await here.tasks.interrupt(R1, "stop")
        assert not await here.tasks.steer(R1, "hello")
        await reading.whole()


async def test_steered_text_arrives(tmp_path: Path) -> None:
    """In the answer of the run that goes on."""
    async with runtime(tmp_path, agents={"main": ScriptedSettings()}) as here:
        reading = Reading(here.run("!slow 5"))
        await reading.until(PhaseChanged, lambda report: report.phase is Phase.MODEL)
        await settle(here)
        assert await here.tasks.steer(R1, "be brief")
        for _ in range(70):
            await here.clock.advance(0.1)
        assert "be brief" in text_of(await reading.whole())


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
        await here.tasks.forget(SESSION)
        assert not puppets.made[0].closed.is_set()
        puppets.made[0].decided.set()
        await reading.whole()
        assert puppets.made[0].closed.is_set()

        reading = Reading(here.run("x", run_id="r-2"))
        await reading.until(TextDelta)
        puppets.made[1].decided.set()
        await reading.whole()
        await here.clock.advance(599)
        assert not puppets.made[1].closed.is_set()
        await here.clock.advance(2)
        assert puppets.made[1].closed.is_set()

        reading = Reading(here.run("x", run_id="r-3"))
        await reading.until(TextDelta)
        puppets.made[2].decided.set()
        await reading.whole()
        await here.tasks.forget(SESSION)
        await here.tasks.forget(SessionId("never seen"))
        assert puppets.made[2].closed.is_set()


async def test_what_agents_are_there(tmp_path: Path) -> None:
    """By name, with what they can do and how busy they are."""
    agents = {
        "main": ScriptedSettings(pace=0.0, concurrency=1),
        "big": OpenaiSettings(base_url="http://127.0.0.1:9/v1", model="large", stall_limit_s=7.0, total_limit_s=9.0),
    }
    async with runtime(tmp_path, agents=dict(agents)) as here:
        big = AgentName("big")
        assert (here.tasks.find_agent(None), here.tasks.find_agent("big"), here.tasks.find_agent("x")) == (
            "main", "big", None
        )  # fmt: skip
        assert [here.tasks.can_steer(AgentName(name)) for name in ("main", "big", "x")] == [True, False, False]
        assert [here.tasks.limits_s(AgentName(name)) for name in ("main", "big", "x")] == [
            (120.0, 600.0), (7.0, 9.0), (0.0, 0.0)
        ]  # fmt: skip
        first = Reading(here.run("!hang"))
        await first.until(TextDelta)
        second = Reading(here.run("hello", run_id="r-2", session_id="s-2"))
        await settle(here)
        found = await here.tasks.list_profiles(ListProfiles())
        assert [(view.name, view.runner, view.model, view.is_default) for view in found.profiles] == [
            (big, "openai", "large", False),
            (MAIN, "scripted", "builtin:assistant", True),
        ]
        assert [(view.busy, view.waiting, view.limit) for view in found.profiles] == [(0, 0, 8), (1, 1, 1)]
        assert [(view.approvals, view.steer) for view in found.profiles] == [(False, False), (True, True)]
        await here.tasks.interrupt(R1, "done")
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
        await here.tasks.interrupt(R1, "done")
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
        await here.tasks.close()
        ends = [end_of(await reading.whole()) for reading in (running, asking, waiting)]
        assert [(end.stop, end.code) for end in ends] == [(Stop.CANCELLED, "stopping")] * 3
        assert (await the_approval(here)).state is ApprovalState.WITHDRAWN
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
        assert here.tasks.pool.busy_count() == 0
