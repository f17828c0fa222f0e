"""Admission: which run of an agent may start now, and who waits behind whom (pure)."""

from collections.abc import Mapping

from core.api.base import AgentName, RunId


class Pool:
    """Slots of all agents. Waiting runs start in the order in which they came."""

    def __init__(self, limits: Mapping[AgentName, int]) -> None:
        self._limits = dict(limits)
        self._busy: dict[AgentName, set[RunId]] = {agent: set() for agent in limits}
        # A dict is an ordered set: leaving from the middle costs no walk.
        self._waiting: dict[AgentName, dict[RunId, None]] = {agent: {} for agent in limits}

    def join(self, agent: AgentName, run_id: RunId) -> bool:
        """Take a slot or a place in the queue. True when it has a slot. Asking again changes nothing."""
        busy, waiting = self._busy[agent], self._waiting[agent]
        if run_id in busy:
            return True
        if run_id in waiting:
            return False
        if len(busy) < self._limits[agent] and not waiting:
            busy.add(run_id)
            return True
        waiting[run_id] = None
        return False

    def leave(self, agent: AgentName, run_id: RunId) -> tuple[RunId, ...]:
        """Give the slot or the place back. Returns the runs that have got a slot by it."""
        busy, waiting = self._busy[agent], self._waiting[agent]
        busy.discard(run_id)
        waiting.pop(run_id, None)
        admitted: list[RunId] = []
        while waiting and len(busy) < self._limits[agent]:
            first = next(iter(waiting))
            del waiting[first]
            busy.add(first)
            admitted.append(first)
        return tuple(admitted)

    def find_position(self, agent: AgentName, run_id: RunId) -> int | None:
        """How many wait before it; None when it does not wait."""
        for place, waiting in enumerate(self._waiting[agent]):
            if waiting == run_id:
                return place
        return None

    def limit(self, agent: AgentName) -> int:
        """Runs of the agent at a time."""
        return self._limits[agent]

    def busy_count(self, agent: AgentName | None = None) -> int:
        """Runs that have a slot, of one agent or of all."""
        return len(self._busy[agent]) if agent is not None else sum(map(len, self._busy.values()))

    def waiting_count(self, agent: AgentName | None = None) -> int:
        """Runs that wait for a slot, of one agent or of all."""
        return len(self._waiting[agent]) if agent is not None else sum(map(len, self._waiting.values()))
