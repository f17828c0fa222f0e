"""The gate between a run and what its agent wants: allowed, refused or asked, and the way back of the answer."""

from collections.abc import Callable
from typing import Any

import pytest

from core.agent_settings import ScriptedSettings
from core.agents.approvals.questions import Questions, outcome_of
from core.agents.flights import Flight
from core.agents.runner import Decision, TurnRequest
from core.agents.terms import own_terms
from core.agents.watch import Stage
from core.api.approvals import ApprovalOrphaned, ApprovalState, ApprovalView, EndReason, ListApprovals, PolicyApplied
from core.api.base import RunId, TaskId
from core.api.policies import Ask, ExecutionPolicy, Security
from core.api.runs import ActionOption, ActionRequested, ActionSettled, OptionKind, RunLogged, Stop, TurnEnded
from tests.support.agent_parts import message
from tests.support.approval_desk import ALWAYS, HERE, MAIN, NO, Desk, a_question, an_action, desk, full, full_now

CANCELLED = TurnEnded(stop=Stop.CANCELLED, error="enough", code="interrupted")
CORE_STOPS = TurnEnded(stop=Stop.CANCELLED, error="the core stops", code="stopping")
FREE = ExecutionPolicy(security=Security.FULL, ask=Ask.OFF)
CLOSED = ExecutionPolicy(security=Security.DENY)


class Listener:
    """A runner of which only the ear is there. on_decide: what happens when it hears something."""

    def __init__(self, on_decide: Callable[[], bool]) -> None:
        self.heard: list[tuple[str, Decision]] = []
        self._on_decide = on_decide

    async def decide(self, action_id: str, decision: Decision) -> bool:
        """Note it."""
        self.heard.append((action_id, decision))
        return self._on_decide()


class Gate:
    """A run in the middle of its turn, and the gate before it."""

    def __init__(self, here: Desk, policy: ExecutionPolicy, *, hears: Callable[[], bool] = lambda: True) -> None:
        self.here = here
        self.questions = Questions(here.approvals, here.clock)
        request = TurnRequest(
            session_id=HERE, epoch=0, agent=MAIN, run_id=RunId("r-1"), attempt=1, messages=[message("hi")],
            policy=policy, task_id=TaskId("t-1"),
        )  # fmt: skip
        self.flight = Flight(request, own_terms(ScriptedSettings(action_limit_s=50.0)), None, here.clock.monotonic())
        self.runner = Listener(hears)
        self.flight.runner = self.runner  # type: ignore[assignment]  # only decide() is called here
        self.flight.generation = 7
        self.flight.watched.enter(Stage.TURNING, here.clock.monotonic())

    async def ask(self, action: ActionRequested | None = None) -> None:
        """The agent wants something."""
        self.flight.has_asked = True
        await self.questions.ask(self.flight, action or an_action(), limit_s=500.0)

    async def approval(self) -> ApprovalView:
        """The only approval there is."""
        [view] = (await self.here.approvals.list_approvals(ListApprovals())).approvals
        return view


async def applied(here: Desk) -> list[PolicyApplied]:
    """Automatic decisions on record."""
    return [record.event for record in await here.records() if isinstance(record.event, PolicyApplied)]


async def test_what_the_policy_allows_runs_at_once_and_is_on_record() -> None:
    """No approval, one event with the rule, one yes for this once, one more on the counter."""
    async with desk() as here:
        gate = Gate(here, FREE)
        await gate.ask(an_action(options=(ALWAYS, an_action().options[0], NO)))
        assert gate.runner.heard == [("act-1", Decision(allow=True, option_id="yes"))]
        [event] = await applied(here)
        assert (event.verdict.rule, event.tool, event.target, event.run_id) == (
            "security.full", "exec", "make deploy", "r-1"
        )  # fmt: skip
        assert here.approvals.open_count == 0
        assert here.approvals.unasked_count(MAIN) == 1


async def test_what_the_policy_refuses_is_refused_at_once_with_its_reason() -> None:
    """The agent hears that a policy said it, and not a person."""
    async with desk() as here:
        gate = Gate(here, CLOSED)
        await gate.ask()
        [(action_id, decision)] = gate.runner.heard
        assert (action_id, decision.allow, decision.option_id) == ("act-1", False, "no")
        assert "policy" in decision.reason
        [event] = await applied(here)
        assert event.verdict.rule == "security.deny"
        assert here.approvals.open_count == here.approvals.unasked_count(MAIN) == 0


async def test_what_is_asked_is_bound_to_run_task_generation_and_requester() -> None:
    """One deadline: the profile's limit, since it is the earliest; the reason for asking is with it."""
    async with desk() as here:
        gate = Gate(here, ExecutionPolicy())
        await gate.ask(an_action(chain=("child", "grandchild")))
        view = await gate.approval()
        assert (view.run_id, view.task_id, view.generation, view.requester) == ("r-1", "t-1", 7, "ana")
        assert (view.session_id, view.chain) == (HERE, ("child", "grandchild"))
        assert view.deadline is not None
        assert view.deadline.mono == here.clock.monotonic() + 50.0
        assert "allowlist" in view.why_asked
        assert gate.runner.heard == []
        await here.answer(view)
        assert gate.runner.heard == [("act-1", Decision(allow=True, option_id="yes"))]
        assert await applied(here) == []


async def test_a_policy_never_hands_out_the_agents_own_standing_permission() -> None:
    """Allowed, but the agent has no yes for this once: a person is asked, and told why."""
    async with desk() as here:
        gate = Gate(here, FREE)
        await gate.ask(an_action(options=(ALWAYS, NO)))
        view = await gate.approval()
        assert "no permission for this once" in view.why_asked
        assert gate.runner.heard == []
        assert await applied(here) == []


async def test_questions_are_asked_whatever_the_policy() -> None:
    """The words reach the runner."""
    async with desk() as here:
        gate = Gate(here, CLOSED)
        await gate.ask(a_question())
        await here.answer(await gate.approval(), answer="blue")
        assert gate.runner.heard == [("act-1", Decision(allow=True, option_id="", answer="blue"))]


@pytest.mark.parametrize("policy", [FREE, ExecutionPolicy()])
async def test_what_can_be_neither_recorded_nor_asked_is_denied(
    monkeypatch: pytest.MonkeyPatch, policy: ExecutionPolicy
) -> None:
    """A store that takes nothing: a yes that is not on record is not given."""
    async with desk() as here:
        gate = Gate(here, policy)
        monkeypatch.setattr(here.journal, "commit", full)
        monkeypatch.setattr(here.journal, "submit", full_now)
        await gate.ask()
        assert [decision.allow for _, decision in gate.runner.heard] == [False]
        assert here.approvals.unasked_count(MAIN) == 0


@pytest.mark.parametrize("detail", ["x" * 300_000, "half \ud800 of one"])
async def test_what_cannot_be_shown_is_denied_even_where_everything_is_allowed(detail: str) -> None:
    """Nobody could ever look at it afterwards."""
    async with desk() as here:
        gate = Gate(here, FREE)
        await gate.ask(an_action(detail=detail))
        assert [decision.allow for _, decision in gate.runner.heard] == [False]
        assert await applied(here) == []


async def test_a_run_that_was_told_to_stop_is_neither_asked_for_nor_let_do_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before the question, and while the yes is being recorded."""
    async with desk() as here:
        gate = Gate(here, FREE)
        commit = here.journal.commit

        async def slow(*puts: Any, **more: Any) -> Any:
            gate.flight.verdict = CANCELLED
            return await commit(*puts, **more)

        monkeypatch.setattr(here.journal, "commit", slow)
        await gate.ask()
        await gate.ask()
        assert gate.runner.heard == []
        assert len(await applied(here)) == 1


async def test_a_runner_that_fails_on_an_automatic_answer_ends_nothing() -> None:
    """The deadlines of the run end what cannot go on; the failure is in its log."""

    def broken() -> bool:
        raise OSError("pipe")

    async with desk() as here:
        gate = Gate(here, FREE, hears=broken)
        await gate.ask()
        assert len(gate.runner.heard) == 1


@pytest.mark.parametrize("change", ["verdict", "generation", "stage", "runner"])
async def test_a_yes_reaches_only_the_runner_that_asked_and_only_while_it_works(change: str) -> None:
    """Told to stop, replaced, over or gone: the decision is kept as refused late."""
    async with desk() as here:
        gate = Gate(here, ExecutionPolicy())
        await gate.ask()
        match change:
            case "verdict":
                gate.flight.verdict = CANCELLED
            case "generation":
                gate.flight.generation = 8
            case "stage":
                gate.flight.watched.enter(Stage.CLOSING, 0.0)
            case _:
                gate.flight.runner = None
        assert (await here.answer(await gate.approval())).delivery == "refused_late"
        assert gate.runner.heard == []


@pytest.mark.parametrize(
    ("verdict", "outcome", "state", "ended"),
    [
        (None, "withdrawn", ApprovalState.WITHDRAWN, EndReason.AGENT),
        (None, "expired", ApprovalState.EXPIRED, EndReason.AGENT),
        (None, "denied", ApprovalState.WITHDRAWN, EndReason.AGENT),
        (CANCELLED, "withdrawn", ApprovalState.WITHDRAWN, EndReason.STOPPED),
        (CORE_STOPS, "withdrawn", ApprovalState.ORPHANED, EndReason.RESTART),
    ],
)
async def test_what_the_agent_no_longer_asks_ends_for_the_reason_that_there_is(
    verdict: TurnEnded | None, outcome: str, state: ApprovalState, ended: EndReason
) -> None:
    """A stop is a stop, though it is the agent that reports the end; an agent's own silence is nobody's denial."""
    async with desk() as here:
        gate = Gate(here, ExecutionPolicy())
        await gate.ask()
        gate.flight.verdict = verdict
        await gate.questions.settled_by_agent(gate.flight, ActionSettled(action_id="act-1", outcome=outcome))
        view = await gate.approval()
        assert (view.state, view.ended) == (state, ended)


@pytest.mark.parametrize(
    ("end", "ended", "told"),
    [
        (CANCELLED, EndReason.STOPPED, ApprovalState.WITHDRAWN),
        (TurnEnded(stop=Stop.DIED), EndReason.DIED, ApprovalState.WITHDRAWN),
        (TurnEnded(stop=Stop.TIMEOUT), EndReason.TIMEOUT, ApprovalState.EXPIRED),
        (TurnEnded(stop=Stop.END_TURN), EndReason.AGENT, ApprovalState.WITHDRAWN),
        (CORE_STOPS, EndReason.RESTART, ApprovalState.WITHDRAWN),
    ],
)
async def test_the_end_of_a_run_ends_what_it_asked(end: TurnEnded, ended: EndReason, told: ApprovalState) -> None:
    """Each with its own reason; readers of the run are told one of the outcomes that they know."""
    async with desk() as here:
        gate = Gate(here, ExecutionPolicy())
        await gate.ask()
        await gate.questions.close(gate.flight, end)
        assert (await gate.approval()).ended is ended
        assert outcome_of(end) is told
        if ended is EndReason.RESTART:
            assert isinstance((await here.records())[-1].event, ApprovalOrphaned)


async def test_an_answer_that_is_quicker_than_the_report_still_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers of the run never see it wait for something that is decided."""
    async with desk() as here:
        gate = Gate(here, ExecutionPolicy())
        ask = here.approvals.ask

        async def answered(*action: Any, **more: Any) -> ApprovalView:
            view = await ask(*action, **more)
            await here.answer(view)
            return view

        monkeypatch.setattr(here.approvals, "ask", answered)
        await gate.ask()
        assert gate.flight.progress.actions == {}
        assert len(gate.runner.heard) == 1


async def test_the_counter_and_the_log_say_what_ran_without_asking() -> None:
    """One line per automatic decision, with its rule."""
    async with desk() as here:
        for policy, word in ((FREE, "allowed"), (CLOSED, "refused")):
            gate = Gate(here, policy)
            pushed: list[Any] = []
            gate.flight.push = pushed.append  # type: ignore[method-assign]  # only looked at
            await gate.ask()
            [line] = [report for report in pushed if isinstance(report, RunLogged)]
            assert line.text.startswith(f"{word} without asking (")


async def test_a_question_with_choices_offers_them() -> None:
    """They are kept as they were offered."""
    choice = ActionOption(id="b", label="Blue", kind=OptionKind.ALLOW_ONCE)
    async with desk() as here:
        gate = Gate(here, ExecutionPolicy())
        await gate.ask(a_question(options=(choice,)))
        view = await gate.approval()
        assert view.options == (choice,)
        assert view.offers == ()
