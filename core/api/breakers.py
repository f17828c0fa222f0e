"""The circuit breaker of every far side: whose it is, states, views, queries, commands, events."""

from enum import StrEnum

from core.api.base import Command, Event, Mark, Query, Seq, View


class BreakerState(StrEnum):
    """closed lets calls through, open lets none, half_open lets a few probes."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerMode(StrEnum):
    """Who decides: automatic is the machine; held is open and disabled closed until an operator resets it."""

    AUTOMATIC = "automatic"
    HELD = "held"
    DISABLED = "disabled"


class BreakerTransition(View, frozen=True, kw_only=True):
    """One change of a breaker. cause: in words, with the error or the operator's reason.

    step: what happened, such as trip, probe failed, recover, hold, reset or disable.
    """

    at: Mark
    before: BreakerState
    after: BreakerState
    cause: str
    step: str = ""


class BreakerCounts(View, frozen=True, kw_only=True):
    """Calls since it is in its state. run_of_*: in a row. While half-open, requests are the probes let through."""

    requests: int = 0
    successes: int = 0
    failures: int = 0
    run_of_successes: int = 0
    run_of_failures: int = 0


class BreakerView(View, frozen=True, kw_only=True):
    """The breaker of one far side.

    owner: the part of the core that calls through it, such as outbox; name: of the far side there, such as a
    platform. since: of the state. next_probe: when an open one lets a call through again, None when no time will do
    that. failures: in a row. refused: calls not let through, ever. reason: of the operator who holds it.
    last_error: of the last failure. is_flapping: it opened often of late, with recoveries between. trip_count: how
    often it opened when it was closed, ever. probe_began, probe_limit_s: of the probe that is out, which frees its
    place after that time; None and 0 without. transitions: the last five, the latest last.
    """

    owner: str
    name: str
    version: int
    state: BreakerState
    since: Mark
    mode: BreakerMode = BreakerMode.AUTOMATIC
    next_probe: Mark | None = None
    failures: int = 0
    refused: int = 0
    reason: str = ""
    last_error: str = ""
    is_flapping: bool = False
    counts: BreakerCounts = BreakerCounts()
    trip_count: int = 0
    probe_began: Mark | None = None
    probe_limit_s: float = 0.0
    transitions: tuple[BreakerTransition, ...] = ()


class BreakerList(View, frozen=True, kw_only=True):
    """All breakers, by owner and name."""

    breakers: tuple[BreakerView, ...]
    seq: Seq


class ListBreakers(Query[BreakerList], frozen=True, kw_only=True):
    """All breakers. owner: of one part only; "" for all."""

    owner: str = ""


class ResetBreaker(Command[BreakerView], frozen=True, kw_only=True):
    """Close it and let it decide by itself again, as if nothing had failed."""

    owner: str
    name: str
    reason: str = ""


class HoldBreakerOpen(Command[BreakerView], frozen=True, kw_only=True):
    """Let nothing through until somebody releases or resets it."""

    owner: str
    name: str
    reason: str = ""


class ReleaseBreaker(Command[BreakerView], frozen=True, kw_only=True):
    """End a hold: it is closed and decides by itself again. Raises ConflictError when nobody holds it."""

    owner: str
    name: str


class DisableBreaker(Command[BreakerView], frozen=True, kw_only=True):
    """Let everything through, whatever fails, until somebody resets it; it goes on counting."""

    owner: str
    name: str
    reason: str = ""


class ProbeBreaker(Command[BreakerView], frozen=True, kw_only=True):
    """End the open time now, and a wait that the far side asked for: the next call goes through as a probe.

    Raises ConflictError when it is not open, or is held.
    """

    owner: str
    name: str


class BreakerChanged(Event, frozen=True, kw_only=True):
    """A breaker is in another state, or somebody else decides."""

    breaker: BreakerView
