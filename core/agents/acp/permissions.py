"""Open requests for permission of an ACP agent: put to the operator, decided once, and none left without an answer."""

from collections.abc import Callable

import msgspec

from core.agents.acp.links import Link
from core.agents.acp.permission import CANCELLED, outcome_of, requested
from core.agents.acp.wire import Asked, request_key
from core.agents.runner import Decision
from core.api.runs import ActionRequested, ActionSettled, RunReport, ToolCall
from core.clock import Clock

OPEN_LIMIT = 64
_ID_LIMIT = 200


class _Permission(msgspec.Struct, frozen=True):
    """A request that waits. until: when the agent stops listening, monotonic seconds; None is never."""

    asked: Asked
    action: ActionRequested
    until: float | None


class Permissions:
    """The requests of one agent, each under its own id. listens_s: how long the agent waits; None is for ever."""

    def __init__(
        self, link: Link, clock: Clock, *, listens_s: float | None, report: Callable[[RunReport], None]
    ) -> None:
        self._link = link
        self._clock = clock
        self._listens_s = listens_s
        self._report = report
        self._open: dict[str, _Permission] = {}
        self._uses: dict[str, int] = {}

    def put(self, asked: Asked, known: ToolCall | None, *, cwd: str) -> str:
        """Ask the operator. Why it was denied instead, "" when it was not. known: the call as it was told before."""
        before = self._find(asked.key)
        if before is not None:
            # One answer would count for both, so neither is granted.
            self._settle(before, "withdrawn")
            return "the id of an open request was used again, so both are denied"
        if len(asked.key) > _ID_LIMIT:
            self.deny(asked)
            return f"its id has more than {_ID_LIMIT} letters"
        if len(self._open) >= OPEN_LIMIT:
            self.deny(asked)
            return f"more than {OPEN_LIMIT} requests at a time"
        uses = self._uses[asked.key] = self._uses.get(asked.key, 0) + 1
        # A decision that comes late must never meet a later request of the same id.
        action_id = asked.key if uses == 1 else f"{asked.key}#{uses}"
        action = requested(asked, known, action_id=action_id, cwd=cwd, listens_s=self._listens_s)
        until = None if self._listens_s is None else self._clock.monotonic() + self._listens_s
        self._open[action_id] = _Permission(asked, action, until)
        self._report(action)
        return ""

    def deny(self, asked: Asked) -> None:
        """Answer a request that nobody is asked about."""
        self._link.reply(asked, CANCELLED)

    def decide(self, action_id: str, decision: Decision) -> bool:
        """Pass a decision on. False when the agent does not wait for it, or no longer listens."""
        permission = self._open.pop(action_id, None)
        if permission is None:
            return False
        if permission.until is not None and self._clock.monotonic() >= permission.until:
            self._answer(permission, "expired")
            return False
        result, outcome = outcome_of(decision, permission.action.options)
        is_sent = self._link.reply(permission.asked, result)
        self._report(ActionSettled(action_id=action_id, outcome=outcome if is_sent else "expired"))
        return is_sent and outcome != "withdrawn"

    def withdraw(self, request_id: object) -> None:
        """The agent has taken a request back."""
        permission = self._find(request_key(request_id))
        if permission is not None:
            self._settle(permission, "withdrawn")

    def expire(self, call_id: str) -> None:
        """A call that has ended needs no permission any more."""
        for permission in list(self._open.values()):
            if permission.action.tool_call_id == call_id:
                self._settle(permission, "expired")

    def drop(self, outcome: str) -> None:
        """Nobody decides any more; an agent that still waits is told so."""
        for permission in list(self._open.values()):
            self._settle(permission, outcome)

    def forget(self) -> None:
        """Nobody waits any more, as the agent is dead; the end of its run says so of all that it asked."""
        self._open.clear()

    def _find(self, key: str) -> _Permission | None:
        return next((permission for permission in self._open.values() if permission.asked.key == key), None)

    def _settle(self, permission: _Permission, outcome: str) -> None:
        del self._open[permission.action.action_id]
        self._answer(permission, outcome)

    def _answer(self, permission: _Permission, outcome: str) -> None:
        self._link.reply(permission.asked, CANCELLED)
        self._report(ActionSettled(action_id=permission.action.action_id, outcome=outcome))
