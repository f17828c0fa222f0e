"""The gate between a run and what its agent wants to do: allowed, refused, or asked; and the answer's way back."""

import asyncio
from functools import partial

from core.agents.approvals.approval import Ending, choose_option, ending_by_agent, ending_of_run, is_too_large
from core.agents.approvals.approvals import Approvals
from core.agents.flights import Flight
from core.agents.runner import Decision
from core.api.approvals import ApprovalState, ApprovalView, EndReason
from core.api.errors import HermesError, InvalidInput, Refused
from core.api.policies import PolicyVerdict, VerdictKind
from core.api.runs import ActionRequested, ActionSettled, RunLogged, TurnEnded
from core.clock import Clock

_DECIDE_LIMIT_S = 10.0
_TITLE_LIMIT = 200


def outcome_of(end: TurnEnded) -> ApprovalState:
    """What the readers of a run that ended so are told of its open approvals."""
    state = ApprovalState.WITHDRAWN
    if ending_of_run(end).ended is EndReason.TIMEOUT:
        state = ApprovalState.EXPIRED
    return state


class Questions:
    """Between runs and approvals: policy and grants are looked at first, and the operator is asked for the rest."""

    def __init__(self, approvals: Approvals, clock: Clock) -> None:
        self._approvals = approvals
        self._clock = clock

    async def ask(self, flight: Flight, action: ActionRequested, *, limit_s: float, workspace: str = "") -> None:
        """Decide by the policy or ask the operator; what can be neither recorded nor asked is denied.

        limit_s: what is left of the run. workspace: its folder, "" when it is not known; only the warnings need it.
        """
        if flight.verdict is not None:
            return
        try:
            _check_showable(action)
            ruling, option_id = self._judge(flight, action)
            if ruling.kind is VerdictKind.ASK:
                await self._put(flight, action, ruling, limit_s=limit_s, workspace=workspace)
            else:
                await self._settle(flight, action, ruling, option_id)
        except HermesError as error:
            flight.push(RunLogged(level="error", text=f"denied without asking: {error.message}"))
            await self._deny(flight, action, f"it could not be asked: {error.message}")

    async def settled_by_agent(self, flight: Flight, report: ActionSettled) -> None:
        """The agent no longer asks; what is still open is closed, as stopped when the run was told to stop."""
        flight.push(report)
        approval_id = flight.approvals.get(report.action_id)
        if approval_id is None:
            return
        ending = ending_by_agent(report) if flight.verdict is None else ending_of_run(flight.verdict)
        try:
            await self._approvals.end(approval_id, ending)
        except HermesError as error:
            flight.push(RunLogged(level="error", text=f"an approval stays open: {error.message}"))

    async def close(self, flight: Flight, end: TurnEnded) -> None:
        """Close what the run has left open, now that it is over."""
        if not flight.has_asked:
            return
        ending: Ending = ending_of_run(end)
        try:
            await self._approvals.end_run(flight.request.run_id, ending)
        except HermesError as error:
            flight.push(RunLogged(level="error", text=f"approvals stay open: {error.message}"))

    def _judge(self, flight: Flight, action: ActionRequested) -> tuple[PolicyVerdict, str]:
        """The verdict, and the option that carries it out."""
        request = flight.request
        ruling = self._approvals.rulings.judge(
            request.policy, action, agent=request.agent, session_id=request.session_id, task_id=request.task_id
        )
        if ruling.kind is VerdictKind.ASK:
            return ruling, ""
        allow = ruling.kind is VerdictKind.ALLOW
        try:
            return ruling, choose_option(action.options, allow=allow)
        except InvalidInput:
            # A policy never hands out the agent's own standing permission.
            reason = "the policy allows it, but the agent offers no permission for this once"
            return PolicyVerdict(kind=VerdictKind.ASK, rule="ask.option", reason=reason), ""

    async def _put(
        self, flight: Flight, action: ActionRequested, ruling: PolicyVerdict, *, limit_s: float, workspace: str
    ) -> None:
        request = flight.request
        view = await self._approvals.ask(
            action,
            session_id=request.session_id,
            agent=request.agent,
            run_id=request.run_id,
            limit_s=limit_s,
            action_limit_s=flight.terms.settings.action_limit_s,
            deliver=partial(self._deliver, flight, action.action_id, flight.generation),
            correlation=_correlation(flight),
            task_id=request.task_id,
            generation=flight.generation,
            requester=request.messages[-1].sender if request.messages else "",
            why_asked=ruling.reason,
            workspace=workspace,
        )
        flight.approvals[action.action_id] = view.id
        flight.push(action)
        if not self._approvals.is_open(view.id):
            # Answered before the readers of the run had heard of it.
            flight.push(ActionSettled(action_id=action.action_id, outcome=self._approvals.state_of(view.id).value))

    async def _settle(self, flight: Flight, action: ActionRequested, ruling: PolicyVerdict, option_id: str) -> None:
        """Record what nobody is asked about, then tell the agent."""
        request = flight.request
        await self._approvals.rulings.record(
            ruling,
            action,
            agent=request.agent,
            session_id=request.session_id,
            run_id=request.run_id,
            correlation=_correlation(flight),
        )
        if flight.verdict is not None:
            # Told to stop meanwhile: it must not act on a late yes.
            return
        allow = ruling.kind is VerdictKind.ALLOW
        word, level = ("allowed", "info") if allow else ("refused", "warning")
        text = f"{word} without asking ({ruling.rule}): {action.title[:_TITLE_LIMIT]}"
        flight.push(RunLogged(level=level, text=text))
        reason = "" if allow else f"the policy refuses it: {ruling.reason}"
        await self._decide(flight, action, Decision(allow=allow, option_id=option_id, reason=reason))

    async def _deny(self, flight: Flight, action: ActionRequested, reason: str) -> None:
        option_id = choose_option(action.options, allow=False)
        await self._decide(flight, action, Decision(allow=False, option_id=option_id, reason=reason))

    async def _decide(self, flight: Flight, action: ActionRequested, decision: Decision) -> None:
        """Answer at once. A runner that does not take it is ended by the deadlines of the run."""
        if flight.runner is None:
            return
        try:
            async with asyncio.timeout(_DECIDE_LIMIT_S):
                is_taken = await flight.runner.decide(action.action_id, decision)
        except Exception as error:  # noqa: BLE001 - whatever a runner raises here, the decision stands
            flight.push(RunLogged(level="error", text=f"a decision did not arrive: {type(error).__name__}"))
            return
        if not is_taken:
            flight.push(RunLogged(level="warning", text="the agent no longer waits for this decision"))

    async def _deliver(
        self, flight: Flight, action_id: str, generation: int, decision: Decision, view: ApprovalView
    ) -> bool:
        # A run that was told to stop must not act on a late yes, nor a runner on what another one asked.
        is_there = flight.verdict is None and flight.is_turning and flight.generation == generation
        if not is_there or flight.runner is None:
            return False
        is_taken = await flight.runner.decide(action_id, decision)
        flight.watched.active_at = self._clock.monotonic()
        outcome = view.state if is_taken else ApprovalState.EXPIRED
        by = view.decided_by if view.ended is EndReason.OPERATOR and is_taken else ""
        flight.push(ActionSettled(action_id=action_id, outcome=outcome.value, by=by))
        return is_taken


def _check_showable(action: ActionRequested) -> None:
    try:
        is_large = is_too_large(action)
    except UnicodeEncodeError:
        raise Refused("it holds halves of characters, which cannot be shown", rule="approval_text") from None
    if is_large:
        raise Refused("it is too large to be shown whole", rule="approval_size")


def _correlation(flight: Flight) -> str:
    messages = flight.request.messages
    return messages[0].id if messages else ""
