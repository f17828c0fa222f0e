"""Jobs as they are stored, each with the revision that it was read at and the schedule that it means."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from core.api.base import SYSTEM, Actor, Event, SessionId
from core.api.errors import ConflictError, InvalidInput, NotFound
from core.api.jobs import JobView
from core.api.platforms import CRON_PLATFORM
from core.api.sessions import ChatKind, Source
from core.clock import Clock, mark, rebased
from core.gateway.job import JobRow, view_of
from core.gateway.job import rebased as rebased_row
from core.gateway.source import session_id
from core.journal import Journal
from core.schedule import Schedule, parsed
from core.store.base import MUST_NOT_EXIST, Put, Row, Store

_PREFIX = "cron/job/"
_decoder = msgspec.json.Decoder(JobRow)


class Held(msgspec.Struct, frozen=True):
    """A row in memory. schedule: None when it cannot be used, and problem says why."""

    row: JobRow
    revision: int
    schedule: Schedule | None
    problem: str = ""


class JobRows:
    """All jobs by name. lock: held by whoever changes one. owner: the other core that keeps the time, "" when this one
    does. claimed: keys of runs whose time was decided since the start, so that their session can be begun anew.
    """

    def __init__(self, store: Store, journal: Journal, clock: Clock) -> None:
        self._clock = clock
        self._is_read = False
        self._store = store
        self._journal = journal
        self._held: dict[str, Held] = {}
        self.lock = asyncio.Lock()
        self.owner = ""
        self.claimed: set[str] = set()

    async def keep(
        self, name: str, row: JobRow, events: Callable[[JobView], list[Event]], actor: Actor = SYSTEM
    ) -> JobView:
        """Write a row, and what tells of its view. The lock is held.

        Raises ConflictError where another core was first; then what that one wrote is read.
        """
        held = self._held.get(name)
        row = msgspec.structs.replace(row, version=held.row.version + 1 if held else 1)
        after = self._holding(row, held)
        view = self.view(after)
        try:
            await self._put(after, events(view), actor)
        except ConflictError:
            await self.load()
            raise
        return view

    def view(self, held: Held) -> JobView:
        """A job as operators see it."""
        return view_of(
            held.row,
            held.schedule,
            mark(self._clock),
            session_id=session_of(held.row.name),
            owner=self.owner,
            problem=held.problem,
        )

    def all(self) -> list[Held]:
        """All, by name."""
        return [self._held[name] for name in sorted(self._held)]

    def find(self, name: str) -> Held | None:
        """The job of that name."""
        return self._held.get(name)

    def get(self, name: str) -> Held:
        """The same. Raises NotFound."""
        held = self._held.get(name)
        if held is None:
            raise NotFound(f"no job {name[:80]}", noun="job", id=name[:80], fix="see `cron list`")
        return held

    async def load(self) -> None:
        """Read all rows again."""
        rows = await self._store.scan(_PREFIX)
        found = await asyncio.to_thread(_read, rows)
        if not self._is_read:
            # Marks of an earlier start.
            for name, held in found.items():
                row = rebased_row(held.row, lambda instant: rebased(instant, self._clock))
                found[name] = msgspec.structs.replace(held, row=row)
        self._is_read = True
        self._held = found

    def _holding(self, row: JobRow, before: Held | None) -> Held:
        """The row as it is held once it is written over another. Its schedule was understood before."""
        if before is not None and _times(before.row) == _times(row):
            return msgspec.structs.replace(before, row=row)
        schedule, problem = _understood(row)
        return Held(row, before.revision if before else MUST_NOT_EXIST, schedule, problem)

    async def _put(self, held: Held, events: Sequence[Event], actor: Actor = SYSTEM) -> None:
        """Write a row with what tells of it."""
        name = held.row.name
        put = Put(_PREFIX + name, msgspec.json.encode(held.row), expect=held.revision)
        committed = await self._journal.commit([put], [(name, event) for event in events], actor=actor)
        self._held[name] = msgspec.structs.replace(held, revision=committed.revisions[0])

    async def remove(self, name: str, events: Sequence[Event], actor: Actor = SYSTEM) -> None:
        """Delete a row."""
        put = Put(_PREFIX + name, None, expect=self.get(name).revision)
        await self._journal.commit([put], [(name, event) for event in events], actor=actor)
        self._held.pop(name, None)


def session_of(name: str) -> SessionId:
    """The conversation of a job."""
    return session_id(Source(platform=CRON_PLATFORM, kind=ChatKind.DM, chat=name))


def _read(rows: Sequence[Row]) -> dict[str, Held]:
    found: dict[str, Held] = {}
    for stored in rows:
        row = _decoder.decode(stored.body)
        schedule, problem = _understood(row)
        found[row.name] = Held(row, stored.revision, schedule, problem)
    return found


def _times(row: JobRow) -> tuple[str, str]:
    return row.spec.schedule, row.spec.timezone


def _understood(row: JobRow) -> tuple[Schedule | None, str]:
    try:
        return parsed(row.spec.schedule, row.spec.timezone), ""
    except InvalidInput as error:
        return None, f"{error.message} ({error.facts.get('fix', '')})"
