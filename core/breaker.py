"""The circuit breaker: whether a far side that keeps failing may be asked at all (pure, a table and frozen values).

`now` is monotonic seconds. As BreakerSettings stand by themselves they are those of the widely known
breaker of five failures, thirty seconds and one probe; GUARDED adds what an operator expects.
Every change of state begins a generation, and an answer to a call of an earlier one changes nothing.
"""

import math
from collections.abc import Callable
from enum import StrEnum

import msgspec

from core.api.base import Mark
from core.breaker_settings import BreakerSettings
from core.machine import Machine

_TRANSITIONS = 20
_TEXT_LIMIT = 300


class BreakerState(StrEnum):
    """closed lets calls through, open lets none, half_open lets a few probes."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerStep(StrEnum):
    """What can happen to a breaker."""

    TRIP = "trip"
    TIME_OVER = "time over"
    PROBE_FAILED = "probe failed"
    PROBE_LOST = "probe lost"
    RECOVER = "recover"
    RESET = "reset"
    HOLD = "hold"
    DISABLE = "disable"


_BY_OPERATOR = {
    BreakerStep.RESET: BreakerState.CLOSED,
    BreakerStep.HOLD: BreakerState.OPEN,
    BreakerStep.DISABLE: BreakerState.CLOSED,
}

BREAKER: Machine[BreakerState, BreakerStep] = Machine(
    "breaker",
    BreakerState,
    {
        BreakerState.CLOSED: {BreakerStep.TRIP: BreakerState.OPEN, **_BY_OPERATOR},
        BreakerState.OPEN: {BreakerStep.TIME_OVER: BreakerState.HALF_OPEN, **_BY_OPERATOR},
        BreakerState.HALF_OPEN: {
            BreakerStep.PROBE_FAILED: BreakerState.OPEN,
            BreakerStep.PROBE_LOST: BreakerState.HALF_OPEN,
            BreakerStep.RECOVER: BreakerState.CLOSED,
            **_BY_OPERATOR,
        },
    },
)


class BreakerMode(StrEnum):
    """Who decides: automatic is the machine; held is open and disabled closed until an operator resets it."""

    AUTOMATIC = "automatic"
    HELD = "held"
    DISABLED = "disabled"


class Outcome(StrEnum):
    """What a call says about the far side. neutral: nothing, as after our own cancellation or its refusal."""

    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"


class Refusal(StrEnum):
    """Why a call was not let through."""

    OPEN = "circuit breaker is open"
    PROBING = "too many requests"
    HELD = "circuit breaker is held open"


class Counts(msgspec.Struct, frozen=True, gc=False):
    """Calls of one generation. run_of_*: in a row. While half-open, requests are the places taken."""

    requests: int = 0
    successes: int = 0
    failures: int = 0
    run_of_successes: int = 0
    run_of_failures: int = 0


_NONE = Counts()


class Transition(msgspec.Struct, frozen=True, gc=False):
    """One change of state. at: monotonic seconds; generation: the one that began with it."""

    at: float
    step: BreakerStep
    before: BreakerState
    after: BreakerState
    generation: int
    cause: str


class Ticket(msgspec.Struct, frozen=True, gc=False):
    """A call that was let through; needed to say how it went."""

    generation: int
    number: int


class Probe(msgspec.Struct, frozen=True, gc=False):
    """A call that is out while half-open. deadline: None is none. began: when it was let through."""

    number: int
    deadline: float | None
    began: float = 0.0


class Breaker(msgspec.Struct, frozen=True, gc=False):
    """A breaker as it is; may be stored as it is.

    since: when this state began. expires: of the open time, or of a closed generation; None is never.
    streak: openings that follow each other. number: of the last call let through.
    refused: calls not let through, over its whole life. trips: the last openings of a closed one; trip_count: all.
    """

    since: float
    state: BreakerState = BreakerState.CLOSED
    generation: int = 1
    counts: Counts = _NONE
    expires: float | None = None
    mode: BreakerMode = BreakerMode.AUTOMATIC
    reason: str = ""
    number: int = 0
    probing: tuple[Probe, ...] = ()
    refused: int = 0
    streak: int = 0
    trips: tuple[float, ...] = ()
    last_error: str = ""
    transitions: tuple[Transition, ...] = ()
    trip_count: int = 0


_replace = msgspec.structs.replace


def fresh(now: float, settings: BreakerSettings) -> Breaker:
    """A closed breaker that has seen nothing."""
    return Breaker(since=now, expires=_interval_end(now, settings))


def refreshed(breaker: Breaker, now: float, settings: BreakerSettings) -> Breaker:
    """The breaker once time has done its part: an open one may be half-open by now, a lost probe gone."""
    expires = breaker.expires
    if expires is not None and expires < now:
        if breaker.state is BreakerState.OPEN:
            return _stepped(breaker, BreakerStep.TIME_OVER, now, settings, "the open time is over")
        return _replace(breaker, generation=breaker.generation + 1, counts=_NONE, expires=_interval_end(now, settings))
    if breaker.probing and any(_is_lost(probe, now) for probe in breaker.probing):
        return _without_lost(breaker, now)
    return breaker


def admitted(breaker: Breaker, now: float, settings: BreakerSettings) -> tuple[Breaker, Ticket | Refusal]:
    """A call wants through: the breaker after it, and the call's ticket or why it may not."""
    breaker = refreshed(breaker, now, settings)
    state, counts = breaker.state, breaker.counts
    if state is BreakerState.OPEN:
        refusal = Refusal.HELD if breaker.mode is BreakerMode.HELD else Refusal.OPEN
        return _replace(breaker, refused=breaker.refused + 1), refusal
    number = breaker.number + 1
    probing = breaker.probing
    if state is BreakerState.HALF_OPEN:
        if counts.requests >= settings.probes:
            return _replace(breaker, refused=breaker.refused + 1), Refusal.PROBING
        deadline_s = settings.probe_deadline_s
        probing = (*probing, Probe(number, now + deadline_s if deadline_s else None, now))
    asked = _replace(counts, requests=counts.requests + 1)
    return _replace(breaker, counts=asked, number=number, probing=probing), Ticket(breaker.generation, number)


def settled(
    breaker: Breaker,
    ticket: Ticket,
    outcome: Outcome,
    now: float,
    settings: BreakerSettings,
    random: Callable[[], float],
    *,
    error: str = "",
) -> Breaker:
    """The breaker after a call's outcome. `random` gives a number in [0, 1); error: what a failure says.

    A ticket of an earlier generation, and that of a probe that was given up, change nothing.
    """
    breaker = refreshed(breaker, now, settings)
    if ticket.generation != breaker.generation:
        return breaker
    if breaker.state is BreakerState.HALF_OPEN:
        probing = tuple(probe for probe in breaker.probing if probe.number != ticket.number)
        if len(probing) == len(breaker.probing):
            return breaker
        breaker = _replace(breaker, probing=probing)
    if outcome is Outcome.NEUTRAL:
        counts = breaker.counts
        return _replace(breaker, counts=_replace(counts, requests=counts.requests - 1))
    if outcome is Outcome.SUCCESS:
        return _after_success(breaker, now, settings)
    return _after_failure(breaker, now, settings, random, error)


def reset(breaker: Breaker, now: float, settings: BreakerSettings, reason: str) -> Breaker:
    """Closed and automatic again, as if nothing had failed; the operator says why."""
    begun = _stepped(breaker, BreakerStep.RESET, now, settings, reason)
    return _replace(begun, mode=BreakerMode.AUTOMATIC, reason="", streak=0, trips=())


def held_open(breaker: Breaker, now: float, settings: BreakerSettings, reason: str) -> Breaker:
    """Open until it is reset; the operator says why."""
    begun = _stepped(breaker, BreakerStep.HOLD, now, settings, reason)
    return _replace(begun, mode=BreakerMode.HELD, reason=_one_line(reason))


def disabled(breaker: Breaker, now: float, settings: BreakerSettings, reason: str) -> Breaker:
    """Closed until it is reset, whatever fails; it goes on counting. The operator says why."""
    begun = _stepped(breaker, BreakerStep.DISABLE, now, settings, reason)
    return _replace(begun, mode=BreakerMode.DISABLED, reason=_one_line(reason))


def half_opened(breaker: Breaker, now: float, settings: BreakerSettings) -> Breaker | None:
    """Its open time is ended by an operator: the next call is a probe. None unless it is open and decides by itself."""
    breaker = refreshed(breaker, now, settings)
    if breaker.state is not BreakerState.OPEN or breaker.expires is None:
        return None
    return _stepped(breaker, BreakerStep.TIME_OVER, now, settings, "an operator asked for a probe")


def wait_s(breaker: Breaker, now: float, settings: BreakerSettings) -> float:
    """Seconds until a call could be let through: 0 if now, infinity if only an answer or an operator can change it.

    The end of the open time itself is still open: ask again just after it.
    """
    breaker = refreshed(breaker, now, settings)
    if breaker.state is BreakerState.OPEN:
        return math.inf if breaker.expires is None else max(breaker.expires - now, math.ulp(now))
    if breaker.state is BreakerState.HALF_OPEN and breaker.counts.requests >= settings.probes:
        ends = [probe.deadline - now for probe in breaker.probing if probe.deadline is not None]
        return max(min(ends), math.ulp(now)) if ends else math.inf
    return 0.0


def next_probe_s(breaker: Breaker, now: float) -> float | None:
    """The countdown: seconds until an open breaker lets a probe through; None when no time will do that."""
    if breaker.state is not BreakerState.OPEN or breaker.expires is None:
        return None
    return max(0.0, breaker.expires - now)


def is_flapping(breaker: Breaker, now: float, settings: BreakerSettings) -> bool:
    """Whether it opened too often of late, with a recovery between; a far side that stays down does not flap."""
    return _is_dense(breaker.trips[-settings.flap_count :], now, settings)


def restored(breaker: Breaker, saved: Mark, now: Mark) -> Breaker:
    """A breaker that was stored at `saved` by an earlier start, on the clock of this one.

    The time between counts, as far as the wall clock tells. Calls of the earlier start answer no more:
    a new generation begins, and places of probes are free.
    """
    shift_s = now.mono - saved.mono - max(0.0, now.at - saved.at)
    half_open = breaker.state is BreakerState.HALF_OPEN
    return _replace(
        breaker,
        since=breaker.since + shift_s,
        expires=None if breaker.expires is None else breaker.expires + shift_s,
        generation=breaker.generation + 1,
        counts=_NONE if half_open else breaker.counts,
        probing=(),
        trips=tuple(at + shift_s for at in breaker.trips),
        transitions=tuple(_replace(item, at=item.at + shift_s) for item in breaker.transitions),
    )


def _after_success(breaker: Breaker, now: float, settings: BreakerSettings) -> Breaker:
    counts = breaker.counts
    counts = Counts(counts.requests, counts.successes + 1, counts.failures, counts.run_of_successes + 1, 0)
    breaker = _replace(breaker, counts=counts)
    if breaker.state is BreakerState.HALF_OPEN and counts.run_of_successes >= settings.probes:
        return _stepped(breaker, BreakerStep.RECOVER, now, settings, "the probe succeeded")
    return breaker


def _after_failure(
    breaker: Breaker, now: float, settings: BreakerSettings, random: Callable[[], float], error: str
) -> Breaker:
    counts = breaker.counts
    counts = Counts(counts.requests, counts.successes, counts.failures + 1, 0, counts.run_of_failures + 1)
    breaker = _replace(breaker, counts=counts, last_error=_one_line(error) or breaker.last_error)
    if breaker.state is BreakerState.HALF_OPEN:
        return _opened(breaker, BreakerStep.PROBE_FAILED, now, settings, random, "the probe failed", error)
    if counts.run_of_failures >= settings.failures and breaker.mode is BreakerMode.AUTOMATIC:
        cause = f"{counts.run_of_failures} failures in a row"
        return _opened(breaker, BreakerStep.TRIP, now, settings, random, cause, error)
    return breaker


def _interval_end(now: float, settings: BreakerSettings) -> float | None:
    return now + settings.interval_s if settings.interval_s else None


def _is_lost(probe: Probe, now: float) -> bool:
    return probe.deadline is not None and probe.deadline < now


def _without_lost(breaker: Breaker, now: float) -> Breaker:
    left = tuple(probe for probe in breaker.probing if not _is_lost(probe, now))
    lost = len(breaker.probing) - len(left)
    counts = _replace(breaker.counts, requests=breaker.counts.requests - lost)
    state = BREAKER.step(breaker.state, BreakerStep.PROBE_LOST)
    cause = "a probe did not answer in time"
    noted = Transition(now, BreakerStep.PROBE_LOST, breaker.state, state, breaker.generation, cause)
    return _replace(breaker, counts=counts, probing=left, transitions=_kept(breaker, noted))


def _opened(
    breaker: Breaker,
    step: BreakerStep,
    now: float,
    settings: BreakerSettings,
    random: Callable[[], float],
    cause: str,
    error: str,
) -> Breaker:
    trips, trip_count = breaker.trips, breaker.trip_count
    if step is BreakerStep.TRIP:
        trips, trip_count = (*trips, now)[-settings.flap_count :], trip_count + 1
    # One that flaps is left alone longer and longer, however long it was well in between.
    is_soon = now - breaker.since <= settings.calm_s or _is_dense(trips, now, settings)
    follows = step is BreakerStep.PROBE_FAILED or (breaker.streak > 0 and is_soon)
    streak = breaker.streak + 1 if follows else 1
    grown_s = settings.open_s * settings.growth ** min(streak - 1, 30)
    longest_s = min(max(settings.open_cap_s, settings.open_s), grown_s)
    open_s = longest_s * (1.0 - settings.jitter * random()) if settings.jitter else longest_s
    begun = _stepped(breaker, step, now, settings, f"{cause}: {error}" if error else cause)
    return _replace(begun, expires=now + open_s, streak=streak, trips=trips, trip_count=trip_count)


def _is_dense(trips: tuple[float, ...], now: float, settings: BreakerSettings) -> bool:
    return len(trips) == settings.flap_count and now - trips[0] <= settings.flap_window_s


def _stepped(breaker: Breaker, step: BreakerStep, now: float, settings: BreakerSettings, cause: str) -> Breaker:
    state = BREAKER.step(breaker.state, step)
    generation = breaker.generation + 1
    noted = Transition(now, step, breaker.state, state, generation, _one_line(cause))
    return _replace(
        breaker,
        since=now,
        state=state,
        generation=generation,
        counts=_NONE,
        expires=_interval_end(now, settings) if state is BreakerState.CLOSED else None,
        probing=(),
        transitions=_kept(breaker, noted),
    )


def _kept(breaker: Breaker, noted: Transition) -> tuple[Transition, ...]:
    return (*breaker.transitions, noted)[-_TRANSITIONS:]


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_TEXT_LIMIT]
