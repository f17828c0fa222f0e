"""What a run asks the operator: stored as an approval, and the answer taken back to the run that asked."""

from functools import partial

from core.agents.approval import choose_option, is_too_large
from core.agents.approvals import Approvals
from core.agents.flights import Flight
from core.agents.runner import Decision
from core.api.approvals import ApprovalState
from core.api.errors import HermesError, Refused
from core.api.runs import ActionRequested, ActionSettled, RunLogged, Stop, TurnEnded
from core.clock import Clock


def outcome_of(end: TurnEnded) -> ApprovalState:
    """What becomes of the open approvals of a run that ended so."""
    return ApprovalState.WITHDRAWN if end.stop is Stop.CANCELLED else ApprovalState.EXPIRED


class Questions:
    """Between runs and approvals."""

    def __init__(self, approvals: Approvals, clock: Clock) -> None:
        self._approvals = approvals
        self._clock = clock

    async def ask(self, flight: Flight, action: ActionRequested, *, limit_s: float) -> None:
        """Ask the operator; what cannot be asked is denied. limit_s: what is left of the run."""
        if flight.verdict is not None:
            return
        request = flight.request
        try:
            _refuse_too_large(action)
            view = await self._approvals.ask(
                action,
                session_id=request.session_id,
                agent=request.agent,
                run_id=request.run_id,
                limit_s=limit_s,
                deliver=partial(self._deliver, flight, action.action_id),
                correlation=request.messages[0].id if request.messages else "",
            )
        except HermesError as error:
            flight.push(RunLogged(level="error", text=f"denied without asking: {error.message}"))
            await _deny(flight, action)
            return
        flight.approvals[action.action_id] = view.id
        flight.push(action)

    async def settled_by_agent(self, flight: Flight, report: ActionSettled) -> None:
        """The agent no longer asks; an approval that is still open is closed."""
        flight.push(report)
        approval_id = flight.approvals.get(report.action_id)
        if approval_id is None:
            return
        is_expired = report.outcome == ApprovalState.EXPIRED.value
        state = ApprovalState.EXPIRED if is_expired else ApprovalState.WITHDRAWN
        try:
            await self._approvals.end(approval_id, state, "the agent no longer asks")
        except HermesError as error:
            flight.push(RunLogged(level="error", text=f"an approval stays open: {error.message}"))

    async def close(self, flight: Flight, end: TurnEnded) -> None:
        """Close what the run has left open, now that it is over."""
        if not flight.has_asked:
            return
        try:
            await self._approvals.end_run(flight.request.run_id, outcome_of(end), f"the run ended: {end.stop.value}")
        except HermesError as error:
            flight.push(RunLogged(level="error", text=f"approvals stay open: {error.message}"))

    async def _deliver(self, flight: Flight, action_id: str, decision: Decision, outcome: ApprovalState) -> bool:
        # A run that was told to stop must not act on a late yes.
        if flight.verdict is not None or not flight.is_turning or flight.runner is None:
            return False
        is_taken = await flight.runner.decide(action_id, decision)
        flight.watched.active_at = self._clock.monotonic()
        settled = outcome if is_taken else ApprovalState.EXPIRED
        flight.push(ActionSettled(action_id=action_id, outcome=settled.value))
        return is_taken


def _refuse_too_large(action: ActionRequested) -> None:
    if is_too_large(action):
        raise Refused("it is too large to be shown whole", rule="approval_size")


async def _deny(flight: Flight, action: ActionRequested) -> None:
    if flight.runner is not None:
        option_id = choose_option(action.options, allow=False)
        await flight.runner.decide(action.action_id, Decision(allow=False, option_id=option_id))
