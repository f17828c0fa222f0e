"""The far sides of the relay: which may be called now, how each is doing, and what operators do to its breaker.

Breakers and holds are kept over restarts, so that a core which is started again does not knock at a shut door.
Nothing runs for a target that nothing happens to: one job shows all that changed, at most once a second for each.
"""

import contextlib
import math
from collections.abc import Callable, Iterable, Sequence

import msgspec

from core.api.base import Event, Mark
from core.api.breakers import BreakerChanged
from core.api.errors import StoreError
from core.api.relay_targets import TargetActive, TargetGone, TargetHeld, TargetView
from core.breaker import BreakerState, Ticket
from core.breaker_settings import BreakerSettings
from core.clock import Clock, mark
from core.journal import Journal
from core.letters import Gate, Mailroom
from core.relay.bindings import Bindings
from core.relay.mail_names import RELAY_MAIL
from core.relay.peers import Peers
from core.relay.target_breakers import TargetBreakers
from core.relay.target_gate import TargetGate
from core.relay.target_rows import TargetRows
from core.relay.task import RelayTask
from core.relay.wire import Reply
from core.relay_settings import RelaySettings
from core.store.base import Put, Store
from core.supervisor import Supervisor
from core.waits import breathe

MAILBOXES = RELAY_MAIL
"""Prefix of the mailboxes in which messages wait, one for each origin."""

_SHOW_EVERY_S = 1.0
_SHOW_PAUSE_S = 0.05
_KEEP_EVERY_S = 600.0
_BREATH_EVERY = 50
_PROBE_SPARE_S = 30.0
_SPARE_S = 0.01


class Tally(msgspec.Struct, frozen=True):
    """Messages to one origin, as the ledger counts them."""

    waiting: int = 0
    in_flight: int = 0
    working: int = 0
    dead: int = 0
    oldest: Mark | None = None


class Way(msgspec.Struct, frozen=True):
    """An attempt that may be made. began: monotonic seconds. is_message: it took one of the places of messages."""

    origin: str
    ticket: Ticket
    began: float
    is_message: bool = True


class Targets:
    """All of them. tally: counts of the ledger. is_paused: nothing may go out at all.

    breakers: for the list of all breakers of the core.
    """

    def __init__(
        self,
        *,
        mail: Mailroom,
        store: Store,
        journal: Journal,
        clock: Clock,
        supervisor: Supervisor,
        settings: RelaySettings,
        bindings: Bindings,
        peers: Peers,
        tally: Callable[[str], Tally],
        is_paused: Callable[[], bool],
        random: Callable[[], float],
    ) -> None:
        self._mail = mail
        self._journal = journal
        self._clock = clock
        self._supervisor = supervisor
        self._tally = tally
        self._is_paused = is_paused
        rules = BreakerSettings(
            failures=settings.breaker_failures,
            open_s=settings.breaker_open_s,
            open_cap_s=settings.breaker_open_cap_s,
            probe_deadline_s=settings.attempt_limit_s + _PROBE_SPARE_S,
            growth=2.0,
            jitter=0.1,
        )
        self._rows = TargetRows(
            store=store,
            clock=clock,
            bindings=bindings,
            peers=peers,
            settings=rules,
            random=random,
            in_flight_limit=settings.in_flight,
        )
        self.breakers = TargetBreakers(self._rows, journal, clock, self._ordered)
        self._due: set[str] = set()
        self._is_showing = False
        self._is_following = False
        bindings.on_change(self._bindings_changed)

    async def open(self, lately: Iterable[RelayTask] = (), *, is_shown: bool = False) -> None:
        """Take up breakers, holds and the health of an earlier start. Raises StoreError.

        lately: messages of the last time. is_shown: only to be looked at.
        """
        puts = await self._rows.open(self._has_mail)
        self._rows.recall(lately)
        if is_shown:
            return
        if puts:
            await self._journal.commit(puts, [], is_relief=True)
        for origin in self._rows.all():
            self._time(origin)

    # -- calls

    def gate(self, origin: str) -> Gate:
        """What its mailbox asks before each message."""
        return TargetGate(
            lambda: self._rows.get(origin).target,
            self._clock,
            is_paused=self._is_paused,
            has_waiting=lambda: self._is_waited(origin),
        )

    def begin(self, origin: str) -> Way | float:
        """Use the place that the gate gave; the way, or seconds until one may be (0 leaves it to the gate)."""
        target, now = self._rows.get(origin).target, self._clock.monotonic()
        if self._is_paused():
            target.not_used(now)
            return 0.0
        ticket = target.begun(now)
        if not target.is_clear:
            self._changed(origin)
        return 0.0 if ticket is None else Way(origin, ticket, now)

    def ask(self, origin: str) -> Way | float:
        """The way for a call that is no message, such as the question how far one is; it takes no place of messages.

        Else the seconds until there may be one: infinity when only an operator or another answer can change that.
        """
        if self._is_paused():
            return math.inf
        target, now = self._rows.get(origin).target, self._clock.monotonic()
        answer = target.asked(now)
        if not target.is_clear:
            self._changed(origin)
        return Way(origin, answer, now, is_message=False) if isinstance(answer, Ticket) else answer

    def not_used(self, origin: str) -> None:
        """The message that the gate gave a place is nothing to be sent."""
        self._rows.get(origin).target.not_used(self._clock.monotonic())
        self.wake(origin)

    def vacated(self, origin: str) -> None:
        """A life of its consumer begins: all places are free."""
        self._rows.get(origin).target.vacated(self._clock.monotonic())

    def settle(self, way: Way, reply: Reply) -> None:
        """What came of an attempt: for the breaker, the hold that it asked for, and its health."""
        origin = way.origin
        target = self._rows.get(origin).target
        was_clear = target.is_clear
        is_held = target.settled(way.ticket, reply, mark(self._clock), began=way.began, is_message=way.is_message)
        if was_clear and target.is_clear:
            self.counts_changed(origin)
            return
        self._changed(origin, *([TargetHeld(target=self.view(origin))] if is_held else []))
        self.wake(origin)

    def wake(self, origin: str = "") -> None:
        """Have the gate asked again, of all without an origin."""
        for name in (origin,) if origin else self._rows.all():
            known = self._rows.find(name)
            if known is not None:
                self._mail.wake(known.mailbox)

    # -- seen

    def names(self) -> Sequence[str]:
        """All origins."""
        return self._rows.names()

    def view(self, origin: str) -> TargetView:
        """One as it is now."""
        known = self._rows.get(origin)
        # Time does its part first: an open breaker may be half-open by now, a hold over.
        breaker = self.breakers.view(origin)
        known.version += 1
        target, tally = known.target, self._tally(origin)
        p50_s, p95_s = target.health.latencies_s(0.5, 0.95)
        return TargetView(
            origin=origin,
            version=known.version,
            bots=tuple(sorted({bot.name for bot in known.bots})),
            protocols=tuple(sorted({bot.protocol for bot in known.bots})),
            breaker=breaker,
            waiting=tally.waiting,
            in_flight=tally.in_flight,
            working=tally.working,
            dead=tally.dead,
            oldest=tally.oldest,
            sample_count=target.health.count,
            success_rate=target.health.success_rate,
            p50_s=p50_s,
            p95_s=p95_s,
            last_ok=target.last_ok,
            last_error=target.last_error,
            last_status=target.last_status,
            held=None if target.hold is None else target.hold.until,
            held_why="" if target.hold is None else target.hold.why,
            peer=known.peer,
            fingerprint=known.fingerprint,
            fingerprint_since=known.fingerprint_since,
            is_bound=bool(known.bots),
        )

    def broken_bots(self) -> dict[str, str]:
        """The state of the breaker of each bot whose breaker is not closed, by its name."""
        found: dict[str, str] = {}
        for origin in self._rows.all():
            known = self._rows.get(origin)
            if known.target.breaker.state is not BreakerState.CLOSED:
                found.update(dict.fromkeys((bot.name for bot in known.bots), known.target.breaker.state.value))
        return found

    def counts_changed(self, origin: str) -> None:
        """Show new counts, at most once a second. Dead messages alone make no target of an origin."""
        if origin in self._due or (self._rows.find(origin) is None and not self._has_mail(origin)):
            return
        self._rows.get(origin)
        self._due.add(origin)
        if not self._is_showing:
            self._is_showing = True
            self._supervisor.spawn("relay targets", self._show_due())

    # -- what changes

    def _ordered(self, origin: str) -> None:
        self._changed(origin)
        self.wake(origin)

    def _changed(self, origin: str, *events: Event) -> None:
        """Something happened to a target: store what must last, and tell who looks at it."""
        known = self._rows.get(origin)
        before, after = known.told, known.target.breaker
        known.told = after
        noted = list(events)
        if (before.state, before.mode) != (after.state, after.mode):
            noted.append(BreakerChanged(breaker=self.breakers.view(origin)))
        # An open one that opens anew is the same to a screen, but is left alone for longer.
        if noted or (after.state is BreakerState.OPEN and after.generation != before.generation):
            self._supervisor.spawn(f"relay target {origin}", self._keep(origin, noted))
        self.counts_changed(origin)
        self._time(origin)

    async def _keep(self, origin: str, events: Sequence[Event]) -> None:
        await self._commit([self._rows.put(origin)], [(origin, event) for event in events])

    async def _commit(self, puts: Sequence[Put], events: Sequence[tuple[str, Event]]) -> None:
        # A full disk holds no message up: what is lost is only known by this start.
        with contextlib.suppress(StoreError):
            await self._journal.commit(puts, events, is_relief=True)

    def _is_waited(self, origin: str) -> bool:
        tally = self._tally(origin)
        return tally.waiting > tally.in_flight

    def _has_mail(self, origin: str) -> bool:
        tally = self._tally(origin)
        return tally.waiting + tally.in_flight + tally.working > 0

    def _bindings_changed(self) -> None:
        # An import changes a thousand: they are looked at together, when it is through.
        if not self._is_following:
            self._is_following = True
            self._supervisor.spawn("relay bindings", self._follow())

    async def _follow(self) -> None:
        await breathe()
        self._is_following = False
        changed, unbound = self._rows.follow()
        for origin in (*changed, *unbound):
            self.counts_changed(origin)
        if changed:
            await self._commit([self._rows.put(origin) for origin in changed], [])

    # -- what is shown

    async def _show_due(self) -> None:
        try:
            while self._due:
                now = self._clock.monotonic()
                wait_s = _SHOW_EVERY_S
                for number, origin in enumerate(tuple(self._due)):
                    wait_s = min(wait_s, self._show(origin, now))
                    if number % _BREATH_EVERY == _BREATH_EVERY - 1:
                        await breathe()
                if self._due:
                    await self._clock.sleep(max(wait_s, _SHOW_PAUSE_S))
        finally:
            self._is_showing = False

    def _show(self, origin: str, now: float) -> float:
        """Show it, unless it is too early: then the seconds until it may be."""
        known = self._rows.find(origin)
        left_s = 0.0 if known is None else known.shown_mono + _SHOW_EVERY_S - now
        if left_s > 0:
            return left_s
        self._due.discard(origin)
        if known is None:
            return _SHOW_EVERY_S
        if self._rows.is_idle(origin) and not self._has_mail(origin):
            put = self._rows.forget(origin)
            self._supervisor.spawn(f"relay target {origin}", self._commit([put], []))
            self._journal.publish(origin, TargetGone(origin=origin))
            return _SHOW_EVERY_S
        known.shown_mono = now
        self._journal.publish(origin, TargetActive(target=self.view(origin)))
        if now - known.kept_mono >= _KEEP_EVERY_S:
            # A start must not say of a busy one that it was last well when its breaker last moved.
            self._supervisor.spawn(f"relay target {origin}", self._keep(origin, []))
        return _SHOW_EVERY_S

    def _time(self, origin: str) -> None:
        """Show the end of a wait by itself: nobody else would tell while nothing wants out."""
        known, now = self._rows.get(origin), self._clock.monotonic()
        if known.target.is_clear:
            return
        ends = [left_s for left_s in (known.target.held_s(now), known.target.broken_s(now)) if 0 < left_s < math.inf]
        if ends and (end := now + min(ends)) < known.timed_mono:
            known.timed_mono = end
            self._supervisor.spawn(f"relay target {origin}: end", self._end(origin, end, min(ends)))

    async def _end(self, origin: str, end: float, left_s: float) -> None:
        await self._clock.sleep(left_s + _SPARE_S)
        known = self._rows.find(origin)
        if known is not None:
            if known.timed_mono == end:
                known.timed_mono = math.inf
            known.target.refresh(self._clock.monotonic())
            self._changed(origin)
