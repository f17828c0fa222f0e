"""The pump: a snapshot, then the stream, into the mirror; again with patience when the line is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from enum import StrEnum
from typing import Any

import msgspec

from console.mirror import Mirror
from console.orders import error_words, fault_words
from core.api.approvals import ListApprovals, ListGrants
from core.api.base import SYSTEM, Event, Query, Record, Seq, V
from core.api.bindings import ListBindings
from core.api.deliveries import ListDeliveries
from core.api.errors import DeadlineExceeded, HermesError, Lagged, StoreError, Unavailable
from core.api.hooks import HooksLoaded, ListHooks
from core.api.jobs import JobChanged, JobRemoved, ListJobs
from core.api.mailboxes import ListMailboxes
from core.api.outboxes import ListOutboxes, OutboxActive
from core.api.pairings import ListPairings
from core.api.platforms import ListPlatforms
from core.api.port import Hermes
from core.api.profiles import ListProfiles
from core.api.relay_targets import ListTargets
from core.api.relay_tasks import ListRelayTasks, RelayState, RelayTaskFilter, RelayTaskPage
from core.api.sessions import GetSession, ListSessions
from core.api.system import GetHealth, ListEvents
from core.api.tasks import ListTasks, TaskFilter
from core.api.transcripts import ReadTranscript

PAGE_ROWS = 2_000
_DELIVERY_ROWS = 1_000
HEALTH_PERIOD_S = 2.0
QUERY_LIMIT_S = 15.0
_SLICE_S = 0.004
_SLICE_RECORDS = 64
_UNSETTLED = RelayTaskFilter(states=(RelayState.DEAD, RelayState.QUEUED, RelayState.SENDING, RelayState.WORKING))
_BACKOFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)


class Fault(Exception):
    """The core raised what nobody foresaw. The text is one line: what was asked, the error's type and text."""


class LineState(StrEnum):
    """How the console stands with the core."""

    OPENING = "opening"
    LOADING = "loading"
    LIVE = "live"
    RECONNECTING = "reconnecting"
    CLOSED = "closed"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """The connection in words. as_of: local monotonic time of the last thing heard; loaded: rows so far.

    retry_at: local monotonic time of the next try. reason: one line, while reconnecting.
    is_fault: the core did not just go away: it raised what nobody foresaw.
    """

    state: LineState = LineState.OPENING
    as_of: float | None = None
    loaded: int = 0
    total: int = 0
    retry_at: float | None = None
    reason: str = ""
    is_fault: bool = False


class Feed:
    """Keeps a mirror true. `run` goes on until cancelled; `on_line` is called at each change of the line."""

    def __init__(
        self,
        hermes: Hermes,
        mirror: Mirror,
        *,
        mono: Callable[[], float],
        on_line: Callable[[], None],
        health_period_s: float = HEALTH_PERIOD_S,
    ) -> None:
        self._hermes = hermes
        self._mirror = mirror
        self._mono = mono
        self._on_line = on_line
        self._health_period_s = health_period_s
        self._wake = asyncio.Event()
        self._ask = asyncio.Event()
        self._asks_profiles = 0
        self.line = Line()
        self.health_asked: float | None = None

    async def run(self) -> None:
        """Snapshot, follow, and begin again when the line is lost or the reader fell behind."""
        failures = 0
        while True:
            try:
                await self._follow_once()
            except Lagged as error:
                failures = 0
                await self._wait_to_retry(_BACKOFF_S[0], error.message)
            except (HermesError, Fault) as error:
                failures = 1 if self.line.state is LineState.LIVE else failures + 1
                reason = error.message if isinstance(error, HermesError) else str(error)
                await self._wait_to_retry(
                    _BACKOFF_S[min(failures, len(_BACKOFF_S)) - 1], reason, is_fault=isinstance(error, Fault)
                )

    def retry_now(self) -> None:
        """Try again at once instead of waiting."""
        self._wake.set()

    def ask_watched(self) -> None:
        """Bring the watched session from the core."""
        self._ask.set()

    def heard_s(self) -> float | None:
        """Seconds since the core was last heard; None before the first word."""
        return None if self.line.as_of is None else max(0.0, self._mono() - self.line.as_of)

    def late_s(self) -> float:
        """For how long a question about the core's health has not been answered."""
        return 0.0 if self.health_asked is None else max(0.0, self._mono() - self.health_asked)

    # -- one connection ------------------------------------------------------

    async def _follow_once(self) -> None:
        after = await self._load_first()
        task = asyncio.current_task()
        assert task is not None
        cancelling = task.cancelling()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow(after))
                group.create_task(self._load_sessions())
                group.create_task(self._watch_health())
                group.create_task(self._watch_session())
        except BaseExceptionGroup as group_error:
            # Before Python 3.11.4 the group leaves its own request behind, and the next timeout would end the feed.
            while task.cancelling() > cancelling:
                task.uncancel()
            # One lost line ends all four; which of them noticed first does not matter.
            errors = [error for error in group_error.exceptions if isinstance(error, HermesError | Fault)]
            if not errors or len(errors) < len(group_error.exceptions):
                raise
            raise next((error for error in errors if isinstance(error, Lagged)), errors[0]) from None

    async def _load_first(self) -> Seq:
        await self._health()
        health = self._mirror.health
        after = health.seq if health else Seq(0)
        self._mirror.load_platforms(await self._query(ListPlatforms()))
        self._mirror.load_profiles(await self._query(ListProfiles()))
        self._mirror.load_approvals(await self._query(ListApprovals(limit=500)))
        self._mirror.load_grants(await self._query(ListGrants()))
        self._mirror.load_tasks(await self._query(ListTasks(only=TaskFilter(archived=None), limit=200)))
        held = await self._query(ListDeliveries(limit=_DELIVERY_ROWS))
        self._mirror.load_deliveries(held, is_whole=len(held.deliveries) < _DELIVERY_ROWS)
        self._mirror.load_pairings(await self._query(ListPairings(limit=1_000)))
        for outbox in (await self._query(ListOutboxes())).outboxes:
            self._shown(OutboxActive(outbox=outbox))
        await self._load_automation()
        await self._load_relay()
        await self._load_mailboxes()
        self._mirror.load_events(await self._query(ListEvents(before=Seq(after + 1), limit=500)))
        self._set(Line(state=LineState.LOADING, as_of=self._mono(), total=self._mirror.session_total))
        return after

    async def _load_automation(self) -> None:
        hooks = await self._query(ListHooks())
        jobs = await self._query(ListJobs())
        # One that was removed and made again meanwhile counts its versions anew.
        removed = [JobRemoved(name=name) for name in self._mirror.work.automation.jobs]
        made = [JobChanged(job=job) for job in jobs.jobs]
        events: tuple[Event, ...] = (HooksLoaded(hooks=hooks.hooks), *removed, *made)
        for event in events:
            self._shown(event)

    def _shown(self, event: Event) -> None:
        """Take a fact in as if it had just been told."""
        self._mirror.apply(Record(seq=Seq(0), at=0.0, actor=SYSTEM, subject="", event=event, durable=False))

    async def _load_mailboxes(self) -> None:
        try:
            self._mirror.load_mailboxes(await self._query(ListMailboxes()))
        except HermesError as error:
            if isinstance(error, Unavailable) and not isinstance(error, StoreError):
                raise
            # Damaged mail must not take the sessions off the screen.
            self._mirror.mail.fail(error_words(error))

    async def _load_relay(self) -> None:
        relay = self._mirror.work.relay
        try:
            found = await self._query(ListBindings())
            targets = await self._query(ListTargets())
            page = await self._query(ListRelayTasks(limit=500))
            urgent: RelayTaskPage | None = None
            if page.cursor:
                # What needs somebody is at hand however much came after it.
                urgent = await self._query(ListRelayTasks(only=_UNSETTLED, limit=500))
        except HermesError as error:
            if isinstance(error, Unavailable) and not isinstance(error, StoreError):
                raise
            # A relay that cannot be read must not take the sessions off the screen.
            relay.fail(error_words(error))
            return
        self._mirror.load_with(lambda changes: relay.load_bindings(found, changes))
        self._mirror.load_with(lambda changes: relay.load_targets(targets, changes))
        self._mirror.load_with(lambda changes: relay.load_tasks(page, changes))
        if urgent is not None:
            more = urgent
            self._mirror.load_with(lambda changes: relay.add_tasks(more, changes))

    async def _refresh_relay(self) -> None:
        """Ask for what no event tells: what still runs in a pause, and which names are ambiguous now."""
        relay = self._mirror.work.relay
        if relay.error:
            await self._load_relay()
        elif relay.is_paused:
            targets = await self._query(ListTargets())
            self._mirror.load_with(lambda changes: relay.load_targets(targets, changes))
        if relay.has_new_counts:
            page = await self._query(ListRelayTasks(limit=1))
            if page.seq >= self._mirror.seq:
                relay.load_counts(page)
        if relay.has_new_names:
            found = await self._query(ListBindings())
            # What was told meanwhile is newer; then it is asked for again.
            if found.seq >= self._mirror.seq:
                self._mirror.load_with(lambda changes: relay.load_bindings(found, changes))

    async def _follow(self, after: Seq) -> None:
        apply, began, count = self._mirror.apply, self._mono(), 0
        stream: AsyncIterator[Record] | None = None
        try:
            stream = self._hermes.subscribe(after=after)
            async for record in stream:
                apply(record)
                count += 1
                # A burst that never waits must not keep the keys waiting either.
                if count % _SLICE_RECORDS == 0 and self._mono() - began > _SLICE_S:
                    self._heard()
                    await _breath()
                    began = self._mono()
        except HermesError:
            raise
        except Exception as error:
            raise Fault(fault_words("subscribe", error)) from error
        finally:
            aclose: Any = getattr(stream, "aclose", None)
            if aclose is not None:
                await aclose()
        raise DeadlineExceeded("the core ended the stream", what="subscribe")

    async def _load_sessions(self) -> None:
        cursor, loaded = "", 0
        while True:
            page = await self._query(ListSessions(after=cursor, limit=PAGE_ROWS))
            self._mirror.load_sessions(page)
            loaded += len(page.sessions)
            cursor = page.cursor
            is_done = not cursor
            self._set(
                Line(
                    state=LineState.LIVE if is_done else LineState.LOADING,
                    as_of=self._mono(),
                    loaded=loaded,
                    total=page.total,
                )
            )
            if is_done:
                return
            await _breath()

    async def _watch_health(self) -> None:
        while True:
            await self._pause(self._health_period_s)
            await self._health()
            self._asks_profiles += 1
            if self._asks_profiles % 2 == 0:
                self._mirror.load_profiles(await self._query(ListProfiles()))
            if self._mirror.mail.error:
                await self._load_mailboxes()
            await self._refresh_relay()
            self._heard()

    async def _watch_session(self) -> None:
        self._ask.set()
        while True:
            await self._ask.wait()
            self._ask.clear()
            await self._load_watched()

    async def _load_watched(self) -> None:
        watched = self._mirror.watched
        if watched is None:
            return
        watched.begin_load()
        try:
            detail = await self._query(GetSession(session_id=watched.session_id))
            page = None
            if not watched.is_loaded or not watched.entries or watched.is_stale:
                page = await self._query(ReadTranscript(session_id=watched.session_id, limit=200))
        except HermesError as error:
            if error.exit_code == DeadlineExceeded.exit_code:
                raise
            watched.error = error.message
            watched.version += 1
            return
        watched.error = ""
        watched.load(detail, page)
        self._mirror.note_watched(detail.session)

    async def _health(self) -> None:
        self.health_asked = asked = self._mono()
        try:
            view = await self._query(GetHealth())
        finally:
            self.health_asked = None
        self._mirror.load_health(view, asked_mono=asked, answered_mono=self._mono())

    async def _query(self, query: Query[V]) -> V:
        try:
            async with asyncio.timeout(QUERY_LIMIT_S):
                return await self._answer(query)
        except TimeoutError:
            name = type(query).__name__
            raise DeadlineExceeded(
                f"the core did not answer {name} in {QUERY_LIMIT_S:.0f} s", what=name, limit_s=QUERY_LIMIT_S
            ) from None

    async def _answer(self, query: Query[V]) -> V:
        try:
            return await self._hermes.query(query)
        except (HermesError, TimeoutError):
            raise
        except Exception as error:
            raise Fault(fault_words(type(query).__name__, error)) from error

    # -- waiting -------------------------------------------------------------

    async def _wait_to_retry(self, delay_s: float, reason: str, *, is_fault: bool = False) -> None:
        self._set(
            msgspec.structs.replace(
                self.line,
                state=LineState.RECONNECTING,
                retry_at=self._mono() + delay_s,
                reason=reason,
                is_fault=is_fault,
            )
        )
        await self._pause(delay_s)

    async def _pause(self, delay_s: float) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(delay_s):
                await self._wake.wait()
        except TimeoutError:
            return

    def _heard(self) -> None:
        if self.line.state in {LineState.LIVE, LineState.LOADING}:
            self.line = msgspec.structs.replace(self.line, as_of=self._mono())

    def _set(self, line: Line) -> None:
        self.line = line
        self._on_line()


async def _breath() -> None:
    """Let everything else that is ready on the loop run once."""
    loop = asyncio.get_running_loop()
    turn: asyncio.Future[None] = loop.create_future()
    loop.call_soon(_settle, turn)
    await turn


def _settle(turn: "asyncio.Future[None]") -> None:
    if not turn.done():
        turn.set_result(None)
