"""The books of the relay in numbers: how many messages there are by state, and what goes to each origin."""

import heapq
from collections import Counter, defaultdict

from core.api.base import Mark
from core.api.relay_tasks import RelayDirection, RelayState
from core.relay.targets import Tally
from core.relay.task import RelayTask

_NONE = Tally()
_SPARE = 100


class _Origin:
    """Messages to one origin. waiting: since when each is to be sent."""

    __slots__ = ("_order", "dead", "in_flight", "waiting", "working")

    def __init__(self) -> None:
        self.waiting: dict[str, Mark] = {}
        self._order: list[tuple[float, str]] = []
        self.in_flight = 0
        self.working = 0
        self.dead = 0

    def wait(self, task_id: str, since: Mark) -> None:
        """One waits, for the first time or again."""
        self.waiting[task_id] = since
        heapq.heappush(self._order, (since.mono, task_id))
        if len(self._order) > 2 * len(self.waiting) + _SPARE:
            self._order = [(since.mono, task_id) for task_id, since in self.waiting.items()]
            heapq.heapify(self._order)

    @property
    def oldest(self) -> Mark | None:
        """Since when the one waits that has waited for longest, however often it was tried."""
        order = self._order
        while order:
            mono, task_id = order[0]
            since = self.waiting.get(task_id)
            if since is not None and since.mono == mono:
                return since
            heapq.heappop(order)
        return None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to say of it."""
        return not (self.waiting or self.in_flight or self.working or self.dead)


class LedgerCounts:
    """Kept up with each change, so that nobody has to look at all messages."""

    def __init__(self) -> None:
        self.states: Counter[str] = Counter()
        self.text_length = 0
        """Characters of all messages that go out and are not over, which are in memory."""
        self._under_way: Counter[tuple[RelayDirection, RelayState]] = Counter()
        self._origins: defaultdict[str, _Origin] = defaultdict(_Origin)
        self._uncounted: dict[str, str | None] | None = None

    def moved(self, before: RelayTask | None, after: RelayTask | None) -> None:
        """A message has another value. None: it is new, or gone."""
        if before is not None:
            self._count(before, -1)
        if after is not None:
            self._count(after, 1)

    def tally(self, origin: str) -> Tally:
        """What goes to an origin."""
        found = self._origins.get(origin)
        if found is None:
            return _NONE
        waiting = len(found.waiting) + found.in_flight
        return Tally(waiting, found.in_flight, found.working, found.dead, found.oldest)

    def waiting_count(self, origin: str) -> int:
        """Messages to an origin that are not delivered."""
        found = self._origins.get(origin)
        return 0 if found is None else len(found.waiting) + found.in_flight

    def under_way(self) -> tuple[int, int, int, int]:
        """Attempts that go on, delivered and unanswered, worked on by agents here, waiting to be sent."""
        out, count = RelayDirection.OUT, self._under_way
        return (
            count[out, RelayState.SENDING],
            count[out, RelayState.WORKING],
            count[RelayDirection.IN, RelayState.WORKING],
            count[out, RelayState.QUEUED],
        )

    # -- the dead of earlier starts, which are counted while others already die and come back

    @property
    def is_counting_dead(self) -> bool:
        """Whether end_dead() is still to come."""
        return self._uncounted is not None

    def begin_dead(self) -> None:
        """From now on those that die or come back are noted one by one."""
        self._uncounted = {}

    def end_dead(self, found: dict[str, str]) -> list[str]:
        """All dead ones of the store, by their keys with their origins, as they were read meanwhile.

        The origins of those that count only now.
        """
        noted, self._uncounted = self._uncounted or {}, None
        grown: Counter[str] = Counter(origin for key, origin in found.items() if key not in noted and origin)
        grown.update(origin for origin in noted.values() if origin)
        for origin, count in grown.items():
            self._origins[origin].dead += count
        return list(grown)

    def _count(self, task: RelayTask, step: int) -> None:
        state = task.state
        self.states[state.value] += step
        if not state.is_over:
            self._under_way[task.direction, state] += step
        if task.direction is not RelayDirection.OUT:
            return
        if not state.is_over:
            self.text_length += step * len(task.text)
        found = self._origins[task.origin]
        if state is RelayState.QUEUED:
            if step > 0:
                found.wait(task.id, task.queued)
            else:
                found.waiting.pop(task.id, None)
        elif state is RelayState.SENDING:
            found.in_flight += step
        elif state is RelayState.WORKING:
            found.working += step
        elif state is RelayState.DEAD:
            if self._uncounted is None:
                found.dead += step
            else:
                self._uncounted[task.key] = task.origin if step > 0 else None
        if step < 0 and found.is_empty:
            del self._origins[task.origin]
