"""What an agent asks for before it acts, and waits for: each decided once, and none left open."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from core.agents.runner import Decision
from core.api.runs import ActionRequested, ActionSettled, RunReport

OPEN_LIMIT = 64
ID_LIMIT = 200
USE = "#"
"""Stands between an id and its number, where it is used again."""


class OpenRequest(msgspec.Struct, frozen=True):
    """A request that waits. key: its id there; action: as the operator sees it."""

    key: str
    action: ActionRequested


R = TypeVar("R", bound=OpenRequest)


class OpenRequests(ABC, Generic[R]):
    """The requests of one agent, each under the id of its action. report: to the run."""

    def __init__(self, report: Callable[[RunReport], None]) -> None:
        self._report = report
        self._open: dict[str, R] = {}
        self._uses: dict[str, int] = {}

    @abstractmethod
    def decide(self, action_id: str, decision: Decision) -> bool:
        """Pass a decision on. False when the agent does not wait for it, or no longer listens."""

    def withdraw(self, key: str) -> bool:
        """The agent has taken a request back, or used its id again. False when there is none of that id."""
        request = next((each for each in self._open.values() if each.key == key), None)
        if request is not None:
            self._settle(request, "withdrawn")
        return request is not None

    def expire(self, call_id: str) -> None:
        """A call that has ended needs no permission any more."""
        for request in list(self._open.values()):
            if call_id and request.action.tool_call_id == call_id:
                self._settle(request, "expired")

    def drop(self, outcome: str) -> None:
        """Refuse all that is open, since the turn is over or to be."""
        for request in list(self._open.values()):
            self._settle(request, outcome)

    def forget(self) -> None:
        """Nobody waits any more, as the agent is dead; the end of its run says so of all that it asked."""
        self._open.clear()

    def _action_id(self, key: str) -> str:
        uses = self._uses[key] = self._uses.get(key, 0) + 1
        # A decision that comes late must never meet a later request of the same id.
        return key if uses == 1 else f"{key}{USE}{uses}"

    def _ask(self, request: R) -> None:
        self._open[request.action.action_id] = request
        self._report(request.action)

    def _settle(self, request: R, outcome: str) -> None:
        del self._open[request.action.action_id]
        self._tell_closed(request)
        self._report(ActionSettled(action_id=request.action.action_id, outcome=outcome))

    def _tell_closed(self, request: R) -> None:
        """What an agent of that kind is sent when a request of it is closed without a decision. Here nothing."""
