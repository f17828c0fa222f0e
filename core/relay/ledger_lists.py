"""Messages from bot to bot as they are asked for: filtered, page by page, one by one."""

import base64
import binascii
import heapq
from collections.abc import AsyncGenerator, Collection, Sequence
from typing import Protocol

from core.api.errors import ConflictError, InvalidInput, NotFound
from core.api.relay_tasks import (
    GetRelayTask,
    ListRelayTasks,
    RelayState,
    RelayTaskDetail,
    RelayTaskFilter,
    RelayTaskPage,
    RelayTaskView,
)
from core.clock import Clock
from core.handlers import QueryHandlers
from core.ids import uuid_floor
from core.journal import Journal
from core.relay.ledger_counts import LedgerCounts
from core.relay.ledger_rows import ENDED, NAMED, fits, prefix_of, task_of, view_of
from core.relay.task import RelayTask
from core.store.base import Row, Store
from core.waits import breathe

LIST_LIMIT = 500
GROUP_LIMIT = 100
"""Messages of one fan-out."""

_PAGE = 200
_MARK = "relay:"
_SHORTEST = 4
"""Letters of an id that are looked for."""


class Kept(Protocol):
    """The ledger, as lists look at it."""

    counts: LedgerCounts

    def live(self) -> Collection[RelayTask]:
        """Those in memory."""
        ...

    async def find(self, task_id: str) -> RelayTask | None:
        """One."""
        ...


class LedgerLists:
    """Every question about messages."""

    def __init__(self, kept: Kept, *, store: Store, journal: Journal, clock: Clock) -> None:
        self._kept = kept
        self._store = store
        self._journal = journal
        self._clock = clock

    @property
    def queries(self) -> QueryHandlers:
        """Who answers which question."""
        return {ListRelayTasks: self.list_tasks, GetRelayTask: self.get_task}

    async def list_tasks(self, query: ListRelayTasks) -> RelayTaskPage:
        """Messages, the latest first. Raises InvalidInput, StoreError."""
        if not 1 <= query.limit <= LIST_LIMIT:
            raise InvalidInput(
                f"limit is {query.limit}", field="limit", value=query.limit, fix=f"use 1 to {LIST_LIMIT}"
            )
        before = _place(query.cursor)
        seq = await self._journal.head()
        counts = {state: count for state, count in self._kept.counts.states.items() if count}
        found = await self.matching(query.only, before=before, limit=query.limit + 1)
        page = found[: query.limit]
        cursor = _cursor(page[-1].key) if len(found) > query.limit else ""
        return RelayTaskPage(tasks=tuple(view_of(task) for task in page), cursor=cursor, counts=counts, seq=seq)

    async def matching(self, only: RelayTaskFilter, *, before: str = "", limit: int) -> list[RelayTask]:
        """Those that fit, the latest first; before: a key beyond which they lie. Raises StoreError."""
        live = {task.key: task for task in self._kept.live() if fits(task, only)}
        floor = uuid_floor(only.since) if only.since else ""
        streams = [self._ended(state, only, before, floor) for state in only.states or ENDED if state.is_over]
        heads: list[tuple[_Latest, int, RelayTask]] = []
        found: list[RelayTask] = []
        try:
            for number, stream in enumerate(streams):
                await _push(heads, number, stream)
            waiting = sorted((key for key in live if not before or key < before), reverse=True)
            place = 0
            while len(found) < limit and (heads or place < len(waiting)):
                if heads and (place == len(waiting) or heads[0][0].key > waiting[place]):
                    _, number, task = heapq.heappop(heads)
                    await _push(heads, number, streams[number])
                    # One that was read as over may be under way again by now, or was read in the state before.
                    if task.key not in live and (not found or found[-1].key != task.key):
                        found.append(task)
                else:
                    found.append(live[waiting[place]])
                    place += 1
        finally:
            for stream in streams:
                await stream.aclose()
        return found

    async def get_task(self, query: GetRelayTask) -> RelayTaskDetail:
        """One message whole. Raises InvalidInput, NotFound, ConflictError for letters that fit several, StoreError."""
        seq = await self._journal.head()
        task = await self.get(query.id)
        return RelayTaskDetail(
            task=view_of(task),
            text=task.text,
            answer=task.answer,
            attempts=task.attempts,
            group=tuple(await self._group(task)),
            seq=seq,
            context=task.context,
        )

    async def get(self, letters: str) -> RelayTask:
        """One message by its id, or by the first letters that fit no other. Raises as get_task."""
        if not letters:
            raise InvalidInput("no id is given", field="id", value="", fix="see `relay tasks`")
        task = await self._kept.find(letters)
        if task is not None:
            return task
        ids = await self._beginning(letters) if len(letters) >= _SHORTEST else []
        if len(ids) > 1:
            raise ConflictError(
                f"several messages begin with {letters}", key=letters, found=", ".join(ids[:3]), fix="type more of it"
            )
        task = await self._kept.find(ids[0]) if ids else None
        if task is None:
            raise NotFound(f"no message {letters}", noun="relay task", id=letters, fix="see `relay tasks`")
        return task

    async def _beginning(self, letters: str) -> list[str]:
        ids: set[str] = {task.id for task in self._kept.live() if task.id.startswith(letters)}
        for state in ENDED:
            rows = await self._store.scan(prefix_of(state) + letters, limit=2)
            ids.update(task.id for row in rows if (task := task_of(row, self._clock)).id.startswith(letters))
        named = await self._store.scan(NAMED + letters, limit=2)
        ids.update(row.key.removeprefix(NAMED) for row in named)
        return sorted(ids)

    async def _group(self, task: RelayTask) -> list[RelayTaskView]:
        """The others of its fan-out: they were made one right after the other."""
        if not task.group:
            return []
        found = {other.key: other for other in self._kept.live() if other.group == task.group}
        for state in ENDED:
            prefix = prefix_of(state)
            first = await self._store.get(prefix + task.group)
            rows = [] if first is None else [first]
            rows += await self._store.scan(prefix, after=prefix + task.group, limit=GROUP_LIMIT)
            for row in rows:
                other = task_of(row, self._clock)
                if other.group == task.group:
                    found.setdefault(other.key, other)
        return [view_of(found[key]) for key in sorted(found) if found[key].id != task.id]

    async def _ended(
        self, state: RelayState, only: RelayTaskFilter, before: str, floor: str
    ) -> AsyncGenerator[RelayTask, None]:
        prefix = prefix_of(state)
        after = prefix + before if before else ""
        while True:
            rows: Sequence[Row] = await self._store.scan(prefix, after=after, limit=_PAGE, newest_first=True)
            for row in rows:
                if row.key[len(prefix) :] < floor:
                    return
                task = task_of(row, self._clock)
                if fits(task, only):
                    yield task
            if len(rows) < _PAGE:
                return
            after = rows[-1].key
            await breathe()


class _Latest:
    """A key, so that a heap gives the greatest first."""

    __slots__ = ("key",)

    def __init__(self, key: str) -> None:
        self.key = key

    def __lt__(self, other: "_Latest") -> bool:
        return self.key > other.key


async def _push(
    heads: list[tuple[_Latest, int, RelayTask]], number: int, stream: AsyncGenerator[RelayTask, None]
) -> None:
    task = await anext(stream, None)
    if task is not None:
        heapq.heappush(heads, (_Latest(task.key), number, task))


def _cursor(key: str) -> str:
    return base64.urlsafe_b64encode((_MARK + key).encode()).decode().rstrip("=")


def _place(cursor: str) -> str:
    """The key after which a page goes on. Raises InvalidInput."""
    if not cursor:
        return ""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        text = ""
    if not text.startswith(_MARK):
        raise InvalidInput("this is no cursor of such a list", field="cursor", value=cursor, fix="pass on the last one")
    return text.removeprefix(_MARK)
