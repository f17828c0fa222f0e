"""The breaker of one destination at work: asks the pure machine, with the clock, and tells of its changes."""

from collections.abc import Callable

from core.breaker import (
    Breaker,
    Outcome,
    Ticket,
    admitted,
    disabled,
    fresh,
    held_open,
    refreshed,
    reset,
    settled,
    wait_s,
)
from core.breaker_settings import BreakerSettings
from core.clock import Clock


class Fuse:
    """Holds a breaker. on_change: called after each change of its state or of who decides."""

    def __init__(
        self,
        settings: BreakerSettings,
        clock: Clock,
        random: Callable[[], float],
        on_change: Callable[[Breaker], None],
        breaker: Breaker | None = None,
    ) -> None:
        self.settings = settings
        self._clock = clock
        self._random = random
        self._on_change = on_change
        self._breaker = fresh(clock.monotonic(), settings) if breaker is None else breaker

    @property
    def breaker(self) -> Breaker:
        """The breaker as of now."""
        self._now_is(refreshed(self._breaker, self._clock.monotonic(), self.settings))
        return self._breaker

    def admit(self) -> Ticket | None:
        """A ticket for one call, None when it may not be made."""
        breaker, answer = admitted(self._breaker, self._clock.monotonic(), self.settings)
        self._now_is(breaker)
        return answer if isinstance(answer, Ticket) else None

    def settle(self, ticket: Ticket, outcome: Outcome, error: str = "") -> None:
        """What the call came to."""
        now = self._clock.monotonic()
        self._now_is(settled(self._breaker, ticket, outcome, now, self.settings, self._random, error=error))

    def wait_s(self) -> float:
        """Seconds until a call could be made; 0 now, infinity until something else changes."""
        return wait_s(self._breaker, self._clock.monotonic(), self.settings)

    def reset(self, reason: str) -> None:
        """Close it and let the machine decide again."""
        self._now_is(reset(self._breaker, self._clock.monotonic(), self.settings, reason))

    def hold_open(self, reason: str) -> None:
        """Open it until it is reset."""
        self._now_is(held_open(self._breaker, self._clock.monotonic(), self.settings, reason))

    def disable(self, reason: str) -> None:
        """Close it until it is reset, whatever fails."""
        self._now_is(disabled(self._breaker, self._clock.monotonic(), self.settings, reason))

    def _now_is(self, breaker: Breaker) -> None:
        before, self._breaker = self._breaker, breaker
        if breaker.transitions is not before.transitions or breaker.mode is not before.mode:
            self._on_change(breaker)
