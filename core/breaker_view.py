"""How a breaker looks from outside (pure)."""

from core.api.base import Mark
from core.api.breakers import BreakerCounts, BreakerMode, BreakerState, BreakerTransition, BreakerView
from core.breaker import Breaker, Transition, is_flapping, next_probe_s
from core.breaker_settings import BreakerSettings

_SHOWN = 5


def breaker_view(owner: str, name: str, breaker: Breaker, now: Mark, settings: BreakerSettings) -> BreakerView:
    """The breaker of one far side of one part of the core."""
    probe_s = next_probe_s(breaker, now.mono)
    counts = breaker.counts
    began = min((probe.began for probe in breaker.probing), default=None)
    return BreakerView(
        owner=owner,
        name=name,
        version=breaker.generation,
        state=BreakerState(breaker.state.value),
        since=_at(breaker.since, now),
        mode=BreakerMode(breaker.mode.value),
        next_probe=None if probe_s is None else _at(now.mono + probe_s, now),
        failures=counts.run_of_failures,
        refused=breaker.refused,
        reason=breaker.reason,
        last_error=breaker.last_error,
        is_flapping=is_flapping(breaker, now.mono, settings),
        counts=BreakerCounts(
            requests=counts.requests,
            successes=counts.successes,
            failures=counts.failures,
            run_of_successes=counts.run_of_successes,
            run_of_failures=counts.run_of_failures,
        ),
        trip_count=breaker.trip_count,
        probe_began=None if began is None else _at(began, now),
        probe_limit_s=0.0 if began is None else settings.probe_deadline_s,
        transitions=tuple(_transition(item, now) for item in breaker.transitions[-_SHOWN:]),
    )


def _transition(item: Transition, now: Mark) -> BreakerTransition:
    return BreakerTransition(
        at=_at(item.at, now),
        before=BreakerState(item.before.value),
        after=BreakerState(item.after.value),
        cause=item.cause,
        step=item.step.value,
    )


def _at(mono: float, now: Mark) -> Mark:
    return Mark(now.at + mono - now.mono, mono)
