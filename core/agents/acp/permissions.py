"""Open requests for permission of an ACP agent: put to the operator, decided once, and none left without an answer."""

from collections.abc import Callable

from core.agents.acp.links import Link
from core.agents.acp.permission import CANCELLED, outcome_of, requested
from core.agents.acp.wire import Asked
from core.agents.open_requests import ID_LIMIT, OPEN_LIMIT, OpenRequest, OpenRequests
from core.agents.runner import Decision
from core.api.runs import ActionSettled, RunReport, ToolCall
from core.clock import Clock


class _Permission(OpenRequest, frozen=True):
    """until: when the agent stops listening, monotonic seconds; None is never."""

    asked: Asked
    until: float | None


class Permissions(OpenRequests[_Permission]):
    """The requests of one agent, each under its own id. listens_s: how long the agent waits; None is for ever."""

    def __init__(
        self, link: Link, clock: Clock, *, listens_s: float | None, report: Callable[[RunReport], None]
    ) -> None:
        super().__init__(report)
        self._link = link
        self._clock = clock
        self._listens_s = listens_s

    def put(self, asked: Asked, known: ToolCall | None, *, cwd: str) -> str:
        """Ask the operator. Why it was denied instead, "" when it was not. known: the call as it was told before."""
        if self.withdraw(asked.key):
            # One answer would count for both, so neither is granted.
            return "the id of an open request was used again, so both are denied"
        if len(asked.key) > ID_LIMIT:
            self.deny(asked)
            return f"its id has more than {ID_LIMIT} letters"
        if len(self._open) >= OPEN_LIMIT:
            self.deny(asked)
            return f"more than {OPEN_LIMIT} requests at a time"
        action_id = self._action_id(asked.key)
        action = requested(asked, known, action_id=action_id, cwd=cwd, listens_s=self._listens_s)
        until = None if self._listens_s is None else self._clock.monotonic() + self._listens_s
        self._ask(_Permission(asked.key, action, asked, until))
        return ""

    def deny(self, asked: Asked) -> None:
        """Answer a request that nobody is asked about."""
        self._link.reply(asked, CANCELLED)

    def decide(self, action_id: str, decision: Decision) -> bool:
        """Pass a decision on. False when the agent does not wait for it, or no longer listens."""
        permission = self._open.get(action_id)
        if permission is None:
            return False
        if permission.until is not None and self._clock.monotonic() >= permission.until:
            self._settle(permission, "expired")
            return False
        del self._open[action_id]
        result, outcome = outcome_of(decision, permission.action.options)
        is_sent = self._link.reply(permission.asked, result)
        self._report(ActionSettled(action_id=action_id, outcome=outcome if is_sent else "expired"))
        return is_sent and outcome != "withdrawn"

    def _tell_closed(self, request: _Permission) -> None:
        self.deny(request.asked)
