"""The accounts of all outboxes: which may send now, what holds them up, and what operators do about it.

Holds and breakers are kept over restarts, so that a core which is started again does not knock at a shut door.
"""

import contextlib
import math
from collections.abc import Callable, Sequence

import msgspec

from core.api.base import SYSTEM, Actor, Event, Mark, PlatformName, Record
from core.api.breakers import BreakerChanged, BreakerView
from core.api.errors import ConflictError, NotFound, StoreError
from core.api.outboxes import (
    LiftHold,
    ListOutboxes,
    OutboxActive,
    OutboxFreed,
    OutboxHeld,
    OutboxList,
    OutboxState,
    OutboxView,
)
from core.api.platforms import PlatformConnected
from core.breaker import Breaker, BreakerMode, BreakerState, disabled, half_opened, held_open, reset, restored
from core.breaker_book import not_held, not_to_probe
from core.breaker_settings import BreakerSettings
from core.breaker_view import breaker_view
from core.clock import Clock, mark
from core.gateway.account import Account, Hold
from core.gateway.account_gate import AccountGate
from core.gateway.account_view import BREAKER_OWNER, limits_from, outbox_view
from core.gateway.delivery import OUTBOX
from core.gateway.platform import Limits as PlatformLimits
from core.journal import Journal
from core.letters import Mailroom
from core.platform_settings import PlatformSettings
from core.settings import DeliverySettings
from core.store.base import Put, Store
from core.supervisor import Supervisor

_ROWS = "account/"
_SHOW_EVERY_S = 1.0
_PROBE_SPARE_S = 30.0
_PAGE_ROWS = 500
_SPARE_S = 0.01
_TIMED = frozenset({OutboxState.HELD, OutboxState.BROKEN})


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    """An account as it is stored. saved: on the clock of the start that wrote it."""

    saved: Mark
    breaker: Breaker
    hold: Hold | None = None


class _Shown:
    """What a screen knows of an account. version grows with each view."""

    def __init__(self, breaker: Breaker) -> None:
        self.version = 1
        self.at_mono = -math.inf
        self.is_due = False
        self.is_timed = False
        self.breaker = breaker


class Accounts:
    """All accounts. limits_of: what a connection carries, None while it is not built. random: in [0, 1).

    paused_why: who paused a connection, "" when nobody did; nothing is sent over it meanwhile.
    """

    def __init__(
        self,
        *,
        mail: Mailroom,
        store: Store,
        journal: Journal,
        clock: Clock,
        supervisor: Supervisor,
        settings: DeliverySettings,
        sections: Callable[[PlatformName], PlatformSettings | None],
        limits_of: Callable[[PlatformName], PlatformLimits | None],
        random: Callable[[], float],
        paused_why: Callable[[PlatformName], str] = lambda _: "",
    ) -> None:
        self._mail = mail
        self._paused_why = paused_why
        self._store = store
        self._journal = journal
        self._clock = clock
        self._supervisor = supervisor
        self._sections = sections
        self._limits_of = limits_of
        self._random = random
        self._settings = BreakerSettings(
            failures=settings.breaker_failures,
            open_s=settings.breaker_open_s,
            open_cap_s=settings.breaker_open_cap_s,
            probe_deadline_s=settings.timeout_s + _PROBE_SPARE_S,
            growth=2.0,
            jitter=0.1,
        )
        self._accounts: dict[PlatformName, Account] = {}
        self._shown: dict[PlatformName, _Shown] = {}

    async def recover(self) -> None:
        """Take up holds and breakers of an earlier start. Raises StoreError."""
        after = ""
        while page := await self._store.scan(_ROWS, after=after, limit=_PAGE_ROWS):
            after = page[-1].key
            for row in page:
                name = PlatformName(row.key.removeprefix(_ROWS))
                if self._sections(name) is None:
                    # Not of this configuration: nobody could do anything about it.
                    continue
                with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                    self._restore(name, _rows.decode(row.body))

    def get(self, name: PlatformName) -> Account:
        """The account, made when it is not there yet."""
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = Account(self._clock.monotonic(), self._settings, self._random)
            self._shown[name] = _Shown(account.breaker)
        return account

    def gate(self, name: PlatformName) -> AccountGate:
        """What its outbox asks before each message."""
        return AccountGate(self.get(name), self._clock, lambda: bool(self._paused_why(name)))

    def built(self, name: PlatformName) -> None:
        """Its connection is built, or a life of its outbox begins: go by its limits, with all places free."""
        account = self.get(name)
        account.limits = limits_from(self._limits_of(name), self._sections(name))
        account.vacated(self._clock.monotonic())

    def changed(self, name: PlatformName, actor: Actor = SYSTEM, event: Event | None = None) -> None:
        """Something happened to an account: store what must last, tell who looks at it, ask its gate again."""
        account, shown = self.get(name), self._shown[name]
        before, after = shown.breaker, account.breaker
        shown.breaker = after
        events = [] if event is None else [event]
        if (before.state, before.mode) != (after.state, after.mode):
            events.append(BreakerChanged(breaker=self.breaker_view(name)))
        # An open one that opens anew is the same to a screen, but is left alone for longer.
        if events or (after.state is BreakerState.OPEN and after.generation != before.generation):
            self._supervisor.spawn(f"account:{name}", self._keep(name, events, actor))
        self.show_soon(name)
        self._give_out(name, account)

    def observe(self, record: Record) -> None:
        """Have a message tried at once over a connection that stands again."""
        event = record.event
        if isinstance(event, PlatformConnected) and (account := self._accounts.get(event.platform.name)) is not None:
            account.stands(self._clock.monotonic())
            self.changed(event.platform.name)

    def pause_changed(self, name: PlatformName) -> None:
        """Its connection was paused, or is no longer."""
        if name in self._accounts:
            self.show_soon(name)
            self._mail.wake(OUTBOX + name)

    def held(self, name: PlatformName) -> None:
        """The far side asked to wait."""
        self.changed(name, event=OutboxHeld(outbox=self.view(name)))

    # -- seen

    def names(self) -> Sequence[PlatformName]:
        """All accounts by name."""
        return sorted(self._accounts)

    def view(self, name: PlatformName) -> OutboxView:
        """One outbox as it is now."""
        account, shown = self.get(name), self._shown[name]
        shown.version += 1
        is_giving = self._mail.is_giving(OUTBOX + name)
        paused_why = self._paused_why(name) or ("" if is_giving else "an operator paused its mailbox")
        outline = self._mail.outline(OUTBOX + name)
        return outbox_view(name, account, outline, mark(self._clock), version=shown.version, paused_why=paused_why)

    async def list_outboxes(self, query: ListOutboxes) -> OutboxList:  # noqa: ARG002 - every query has one
        """All outboxes."""
        seq = await self._journal.head()
        return OutboxList(outboxes=tuple(self.view(name) for name in self.names()), seq=seq)

    def show_soon(self, name: PlatformName) -> None:
        """Show an outbox, at most once a second."""
        self.get(name)
        shown = self._shown[name]
        if shown.is_due:
            return
        wait_s = shown.at_mono + _SHOW_EVERY_S - self._clock.monotonic()
        if wait_s <= 0:
            self._show(name)
        else:
            shown.is_due = True
            self._supervisor.spawn(f"account:{name}:counts", self._show_later(name, wait_s))

    # -- breakers

    def breaker_views(self) -> Sequence[BreakerView]:
        """The breakers of all accounts."""
        return [self.breaker_view(name) for name in self.names()]

    def breaker_view(self, name: PlatformName) -> BreakerView:
        """The breaker of an account."""
        return breaker_view(BREAKER_OWNER, str(name), self.get(name).breaker, mark(self._clock), self._settings)

    async def reset_breaker(self, name: str, reason: str, actor: Actor) -> BreakerView:
        """Close it and let it decide by itself."""
        return await self._order(name, lambda breaker, now: reset(breaker, now, self._settings, reason), actor)

    async def hold_breaker(self, name: str, reason: str, actor: Actor) -> BreakerView:
        """Let nothing through until it is released."""
        return await self._order(name, lambda breaker, now: held_open(breaker, now, self._settings, reason), actor)

    async def release_breaker(self, name: str, actor: Actor) -> BreakerView:
        """End a hold."""
        account = self._existing(name)
        if account.breaker.mode is not BreakerMode.HELD:
            raise not_held(name, account.breaker)
        return await self.reset_breaker(name, "released", actor)

    async def disable_breaker(self, name: str, reason: str, actor: Actor) -> BreakerView:
        """Let everything through until it is reset."""
        return await self._order(name, lambda breaker, now: disabled(breaker, now, self._settings, reason), actor)

    async def probe_breaker(self, name: str, actor: Actor) -> BreakerView:
        """End its open time now, and what the far side asked for."""
        account = self._existing(name)
        opened = half_opened(account.breaker, self._clock.monotonic(), self._settings)
        if opened is None:
            raise not_to_probe(name, account.breaker)
        hold = account.lift()
        try:
            return await self._order(name, lambda _breaker, _now: opened, actor)
        except StoreError:
            account.hold = account.hold or hold
            raise

    async def lift_hold(self, command: LiftHold, actor: Actor) -> OutboxView:
        """Send again although the far side asked to wait."""
        account = self._existing(command.platform)
        hold = account.lift()
        if hold is None:
            raise ConflictError(
                f"nobody asked {command.platform} to wait", key="hold", fix="see `deliveries outboxes` for what does"
            )
        view = self.view(command.platform)
        try:
            await self._store_row(command.platform, [OutboxFreed(outbox=view)], actor)
        except StoreError:
            account.hold = account.hold or hold
            raise
        self.changed(command.platform)
        return view

    def hurry(self, name: PlatformName, chat: str, actor: Actor) -> None:
        """An operator wants a message out now: neither a wait nor an open breaker keeps it, unless it is held."""
        account = self.get(name)
        hold = account.lift()
        account.lift_chat(chat)
        account.probe_now(self._clock.monotonic())
        self.changed(name, actor, None if hold is None else OutboxFreed(outbox=self.view(name)))

    # -- inside

    async def _order(self, name: str, step: Callable[[Breaker, float], Breaker], actor: Actor) -> BreakerView:
        account, platform = self._existing(name), PlatformName(name)
        before = account.breaker
        account.breaker = step(before, self._clock.monotonic())
        self._shown[platform].breaker = account.breaker
        view = self.breaker_view(platform)
        try:
            await self._store_row(platform, [BreakerChanged(breaker=view)], actor)
        except StoreError:
            account.breaker = self._shown[platform].breaker = before
            raise
        self.changed(platform)
        return view

    def _existing(self, name: str) -> Account:
        account = self._accounts.get(PlatformName(name))
        if account is None:
            raise NotFound(
                f"no account {name} has sent anything", noun="account", id=name, fix="see `deliveries outboxes`"
            )
        return account

    def _restore(self, name: PlatformName, row: _Row) -> None:
        account, now = self.get(name), mark(self._clock)
        account.breaker = restored(row.breaker, row.saved, now)
        self._shown[name].breaker = account.breaker
        if row.hold is not None and row.hold.until.at > now.at:
            # A clock that was set back since makes it no longer.
            left_s = min(row.hold.until.at - now.at, row.hold.until.mono - row.saved.mono)
            account.hold = Hold(Mark(now.at + left_s, now.mono + left_s), row.hold.why)

    async def _keep(self, name: PlatformName, events: Sequence[Event], actor: Actor) -> None:
        # A full disk holds no message up: what is lost is only known by this start.
        with contextlib.suppress(StoreError):
            await self._store_row(name, events, actor)

    async def _store_row(self, name: PlatformName, events: Sequence[Event], actor: Actor) -> None:
        account = self.get(name)
        row = _Row(saved=mark(self._clock), breaker=account.breaker, hold=account.hold)
        put = Put(_ROWS + name, msgspec.json.encode(row))
        await self._journal.commit([put], [(str(name), event) for event in events], actor=actor, is_relief=True)

    def _give_out(self, name: PlatformName, account: Account) -> None:
        """Ask its gate again, and let out what was put off for its sake alone, if it may send."""
        mailbox = OUTBOX + name
        if account.spared and not account.is_shut(self._clock.monotonic()):
            spared, account.spared = account.spared, set()
            for mail_id in sorted(spared):
                self._mail.hurry(mailbox, mail_id, is_afresh=False)
        self._mail.wake(mailbox)

    async def _show_later(self, name: PlatformName, wait_s: float) -> None:
        try:
            await self._clock.sleep(wait_s)
        finally:
            self._shown[name].is_due = False
        self._show(name)

    def _show(self, name: PlatformName) -> None:
        shown, view = self._shown[name], self.view(name)
        shown.at_mono = now = self._clock.monotonic()
        self._journal.publish(str(name), OutboxActive(outbox=view))
        if view.state in _TIMED and view.next_try is not None and not shown.is_timed:
            shown.is_timed = True
            self._supervisor.spawn(f"account:{name}:end", self._show_end(name, view.next_try.mono - now))

    async def _show_end(self, name: PlatformName, left_s: float) -> None:
        """What held it up is over by itself: nobody else would tell while nothing waits."""
        try:
            await self._clock.sleep(left_s + _SPARE_S)
        finally:
            self._shown[name].is_timed = False
        self.show_soon(name)


_rows = msgspec.json.Decoder(_Row)
