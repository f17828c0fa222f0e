"""How the core is, by the ages of what it did; and the questions about the core itself."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from core import __version__
from core.actor_pages import by_actors
from core.api.base import Mark, Seq
from core.api.errors import InvalidInput
from core.api.system import ConfigView, EventPage, GetConfig, GetHealth, HealthView, ListEvents, ServiceView
from core.clock import Clock, mark
from core.journal import Journal
from core.lag import LagMeter
from core.store.base import Store

_LATE_S = 1.0
_EVENTS_LIMIT = 5_000


class Gauges(msgspec.Struct, frozen=True):
    """What the parts of the core are asked for, each by a call that never waits."""

    session_count: Callable[[], int]
    states: Callable[[], tuple[dict[str, int], int, int]]
    open_approval_count: Callable[[], int]
    deliveries: Callable[[], tuple[int, int]]
    services: Callable[[], Sequence[ServiceView]]
    problems: Callable[[], Sequence[str]]
    http_url: Callable[[], str]
    is_draining: Callable[[], bool]


class Health:
    """Answers GetHealth, GetConfig and ListEvents."""

    def __init__(
        self,
        *,
        home: Path,
        boot: int,
        key_file: str,
        config: ConfigView,
        clock: Clock,
        journal: Journal,
        store: Store,
        lag: LagMeter,
        gauges: Gauges,
    ) -> None:
        self._home = home
        self._boot = boot
        self._key_file = key_file
        self._config = config
        self._clock = clock
        self._journal = journal
        self._store = store
        self._lag = lag
        self._gauges = gauges
        self._started: Mark = mark(clock)
        self.version = __version__

    async def get_health(self, _query: GetHealth) -> HealthView:
        """The core's state at this moment."""
        return self.view(await self._journal.head())

    def view(self, seq: Seq) -> HealthView:
        """The same, for callers that know the head of the journal."""
        gauges, stats = self._gauges, self._store.stats()
        states, queued, running = gauges.states()
        waiting, dead = gauges.deliveries()
        return HealthView(
            version=self.version,
            pid=os.getpid(),
            boot=self._boot,
            home=str(self._home),
            now=mark(self._clock),
            started=self._started,
            seq=seq,
            session_count=gauges.session_count(),
            state_counts=states,
            queued_count=queued,
            running_count=running,
            open_approval_count=gauges.open_approval_count(),
            delivery_count=waiting,
            dead_count=dead,
            loop_lag_p99_s=self._lag.p99_s(),
            loop_lag_max_s=self._lag.max_s(),
            last_commit=self._journal.last_commit,
            commit_p99_s=stats.commit_p99_s,
            commit_count=stats.commit_count,
            store_url=self._store.url,
            store_bytes=stats.size_bytes,
            http_url=gauges.http_url(),
            key_file=self._key_file,
            is_draining=gauges.is_draining(),
            services=tuple(gauges.services()),
            problems=tuple(self._problems()),
        )

    async def get_config(self, _query: GetConfig) -> ConfigView:
        """The configuration that was read at the start."""
        return self._config

    async def list_events(self, query: ListEvents) -> EventPage:
        """A page of the journal."""
        if not 1 <= query.limit <= _EVENTS_LIMIT:
            raise InvalidInput(
                f"limit must be 1 to {_EVENTS_LIMIT}, not {query.limit}", field="limit", value=query.limit
            )
        if query.before is not None and query.after is not None:
            raise InvalidInput("before and after exclude each other", field="before", fix="send one of them")
        head = await self._journal.head()
        if query.actors:
            records, reached = await by_actors(self._journal.read, query)
            return EventPage(records=tuple(records), head=head, reached=reached)
        records = await self._journal.read(
            after=query.after, before=query.before, subject=query.subject, limit=query.limit
        )
        return EventPage(records=tuple(records), head=head)

    def _problems(self) -> list[str]:
        problems = [*self._gauges.problems(), *self._config.problems]
        if (late_s := self._lag.max_s()) > _LATE_S:
            problems.append(f"the core's loop was {late_s:.1f} s late within the last minute")
        stats = self._store.stats()
        if stats.is_full:
            problems.append("the disk is full: only what ends work is written; make room, it goes on by itself")
        problems += [
            f"the store lost {loss.what} {loss.first} to {loss.last}, which it had confirmed" for loss in stats.losses
        ]
        problems += [
            f"{service.name} {service.state}: {service.last_error}"
            for service in self._gauges.services()
            if service.state in {"restarting", "failed"}
        ]
        return problems
