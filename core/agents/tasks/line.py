"""Which waiting task is next (pure): the oldest first, those of a session one after the other, lanes within limits."""

import heapq
from collections import deque
from collections.abc import Callable

import msgspec

from core.api.base import AgentName, SessionId, TaskId

Lane = tuple[AgentName, str]
"""An agent's lane; "" is the one without a limit."""


class _Place(msgspec.Struct, eq=False, gc=False):
    """A task in the line. order: smaller is older. is_out: it is handed over, or put off; is_later: not yet in line.

    due: when it is looked at again, on the monotonic clock; 0 where nothing is agreed.
    """

    task_id: TaskId
    session_id: SessionId
    lane: Lane
    order: int
    is_out: bool = False
    is_later: bool = False
    due: float = 0.0


class TaskLine:
    """Tasks that wait to be handed to their sessions. Only the first of each session can be next."""

    def __init__(self) -> None:
        self._places: dict[TaskId, _Place] = {}
        # The place itself where it is the only one of its session, as most are.
        self._sessions: dict[SessionId, deque[_Place] | _Place] = {}
        self._ready: dict[Lane, list[tuple[int, TaskId]]] = {}
        self._due: list[tuple[float, int, TaskId]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, task_id: TaskId) -> bool:
        return task_id in self._places

    def add(self, task_id: TaskId, session_id: SessionId, lane: Lane, *, due: float = 0.0) -> None:
        """Put a task at the end, once. due: monotonic seconds of its next try, which goes before all of its session
        then and holds nobody up until then; 0 for a new one.
        """
        if task_id in self._places:
            return
        self._count += 1
        place = self._places[task_id] = _Place(task_id, session_id, lane, self._count)
        if due:
            place.is_later = True
            self._agree(place, due)
            return
        line = self._sessions.get(session_id)
        if line is None:
            self._sessions[session_id] = place
            self._offer(place)
        elif isinstance(line, deque):
            line.append(place)
        else:
            self._sessions[session_id] = deque((line, place))

    def next(self, room: Callable[[Lane], bool]) -> TaskId | None:
        """The oldest task whose lane has room; it is being handed over from now on. None when there is none."""
        best: list[tuple[int, TaskId]] | None = None
        for lane, heap in list(self._ready.items()):
            while heap and not self._is_ready(heap[0]):
                heapq.heappop(heap)
            if not heap:
                del self._ready[lane]
            elif (best is None or heap[0] < best[0]) and room(lane):
                best = heap
        if best is None:
            return None
        _, task_id = heapq.heappop(best)
        self._places[task_id].is_out = True
        return task_id

    def put_off(self, task_id: TaskId, due: float) -> None:
        """It could not be handed over: not before that time, and nothing of its session before it."""
        place = self._places.get(task_id)
        if place is not None:
            place.is_out = True
            self._agree(place, due)

    def remove(self, task_id: TaskId) -> None:
        """It waits no more."""
        place = self._places.pop(task_id, None)
        if place is None or place.is_later:
            return
        line = self._sessions[place.session_id]
        if not isinstance(line, deque):
            del self._sessions[place.session_id]
            return
        was_first = line[0] is place
        if was_first:
            line.popleft()
        else:
            line.remove(place)
        if not line:
            del self._sessions[place.session_id]
        elif was_first and not line[0].is_out:
            self._offer(line[0])

    def wake(self, now: float) -> None:
        """Let those be next whose time has come."""
        while self._due and self._due[0][0] <= now:
            item = heapq.heappop(self._due)
            place = self._places.get(item[2])
            if place is not None and self._is_agreed(item):
                place.due = 0.0
                self._awaken(place)

    def next_due(self) -> float | None:
        """When the next one's time comes, on the monotonic clock."""
        while self._due and not self._is_agreed(self._due[0]):
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    @property
    def has_ready(self) -> bool:
        """Whether any may wait for nothing but its lane."""
        return any(self._ready.values())

    def _agree(self, place: _Place, due: float) -> None:
        """From now on this is its time, whatever was agreed before."""
        place.due = due
        heapq.heappush(self._due, (due, place.order, place.task_id))

    def _is_agreed(self, item: tuple[float, int, TaskId]) -> bool:
        due, order, task_id = item
        place = self._places.get(task_id)
        return place is not None and place.order == order and place.due == due

    def _awaken(self, place: _Place) -> None:
        place.is_out = False
        if place.is_later:
            place.is_later = False
            found = self._sessions.get(place.session_id)
            line = found if isinstance(found, deque) else deque(() if found is None else (found,))
            # One that is being handed over at this moment stays the first.
            line.insert(1 if line and line[0].is_out else 0, place)
            self._sessions[place.session_id] = line
        if self._is_first(place):
            self._offer(place)

    def _is_first(self, place: _Place) -> bool:
        line = self._sessions[place.session_id]
        return line[0] is place if isinstance(line, deque) else line is place

    def _offer(self, place: _Place) -> None:
        heapq.heappush(self._ready.setdefault(place.lane, []), (place.order, place.task_id))

    def _is_ready(self, item: tuple[int, TaskId]) -> bool:
        place = self._places.get(item[1])
        if place is None or place.order != item[0] or place.is_out:
            return False
        return self._is_first(place)
