"""What waits to be sent over each account, and what holds it up: states, views, queries, commands, events."""

from enum import StrEnum

from core.api.base import Command, Event, Mark, PlatformName, Query, Seq, View
from core.api.breakers import BreakerMode, BreakerState


class OutboxState(StrEnum):
    """What an account does with what waits. limited: by our own rate; held: the far side asked us to wait.

    broken: it failed too often and is left alone for a while; probing: it is being tried with a single message.
    paused: by an operator, the mailbox or the whole connection.
    """

    IDLE = "idle"
    SENDING = "sending"
    LIMITED = "limited"
    HELD = "held"
    BROKEN = "broken"
    PROBING = "probing"
    PAUSED = "paused"


class OutboxView(View, frozen=True, kw_only=True):
    """The outbox of one account, which is a connection of the configuration.

    waiting: still to be sent, in_flight of them with the platform now. oldest: of what waits. next_try: until when
    nothing is sent, None when that is not known or not so. why: what holds it up, "" when nothing does.
    rate_per_s, burst: messages that may be sent; 0 for any number; tokens: that could be sent now. sent: since the
    start of the core. error: of the last attempt that failed, "" after one that did not.
    """

    platform: PlatformName
    version: int
    state: OutboxState
    waiting: int = 0
    in_flight: int = 0
    dead: int = 0
    sent: int = 0
    oldest: Mark | None = None
    next_try: Mark | None = None
    why: str = ""
    error: str = ""
    rate_per_s: float = 0.0
    burst: int = 1
    tokens: float = 0.0
    chat_rate_per_s: float = 0.0
    breaker: BreakerState = BreakerState.CLOSED
    breaker_mode: BreakerMode = BreakerMode.AUTOMATIC
    breaker_since: Mark | None = None


class OutboxList(View, frozen=True, kw_only=True):
    """All outboxes by platform."""

    outboxes: tuple[OutboxView, ...]
    seq: Seq


class ListOutboxes(Query[OutboxList], frozen=True, kw_only=True):
    """All outboxes."""


class LiftHold(Command[OutboxView], frozen=True, kw_only=True):
    """Send again although the far side asked us to wait. Raises ConflictError when it did not."""

    platform: PlatformName


class OutboxHeld(Event, frozen=True, kw_only=True):
    """The far side asked us to wait; the view says until when."""

    outbox: OutboxView


class OutboxFreed(Event, frozen=True, kw_only=True):
    """An operator lifted the hold."""

    outbox: OutboxView


class OutboxActive(Event, frozen=True, kw_only=True):
    """New counts and ages of an outbox. Live only, at most once a second for each."""

    outbox: OutboxView
