"""Work that begins by the clock: tasks of the configuration, started again and again while the core runs."""

from collections.abc import Awaitable, Callable, Mapping

from core.api.base import AgentName, TaskId
from core.api.errors import HermesError, NotFound
from core.api.tasks import GetTask, StartTask, TaskDetail, TaskReceipt
from core.clock import Clock
from core.settings import TimetableEntry

MAKER = "timetable"
"""Label of whoever made a task that came from here."""


class Timetable:
    """Starts tasks like anybody else does. on_fault: an entry could not be started, and is tried at its next time.

    boot: number of the core's start; with it a task has a key of its own, so that none is started twice.
    """

    def __init__(
        self,
        entries: Mapping[str, TimetableEntry],
        *,
        start: Callable[[StartTask], Awaitable[TaskReceipt]],
        find: Callable[[GetTask], Awaitable[TaskDetail]],
        clock: Clock,
        boot: int,
        on_fault: Callable[[str, Exception], None],
    ) -> None:
        self._entries = entries
        self._start = start
        self._find = find
        self._clock = clock
        self._boot = boot
        self._on_fault = on_fault
        self._last: dict[str, TaskId] = {}
        self._count = 0

    async def run(self) -> None:
        """Start what is due, until cancelled. What fell into a pause of the machine is not made up for."""
        began = self._clock.monotonic()
        due = {name: began + (entry.first_s or entry.every_s) for name, entry in self._entries.items()}
        while due:
            name = min(due, key=due.__getitem__)
            await self._clock.sleep(max(0.0, due[name] - self._clock.monotonic()))
            try:
                await self.begin(name)
            except HermesError as error:
                self._on_fault(f"timetable {name}", error)
            due[name] = max(due[name] + self._entries[name].every_s, self._clock.monotonic())

    async def begin(self, name: str) -> bool:
        """Start an entry with its parts. False when the task of the last time is not over yet; then it is left out."""
        entry = self._entries[name]
        if await self._is_under_way(name):
            return False
        whole = await self._start(self._order(name, entry, entry.text, None))
        self._last[name] = whole.task.id
        for text in entry.parts:
            await self._start(self._order(name, entry, text, whole.task.id))
        return True

    async def _is_under_way(self, name: str) -> bool:
        last = self._last.get(name)
        if last is None:
            return False
        try:
            found = await self._find(GetTask(task_id=last))
        except NotFound:
            return False
        return not all(task.state.is_over for task in (found.task, *found.children))

    def _order(self, name: str, entry: TimetableEntry, text: str, parent_id: TaskId | None) -> StartTask:
        self._count += 1
        return StartTask(
            text=text,
            agent=AgentName(entry.agent) if entry.agent else None,
            idempotency_key=f"{MAKER}-{self._boot}-{self._count}",
            lane=entry.lane,
            label=entry.label or name,
            spawned_by=MAKER,
            parent_id=parent_id,
        )
