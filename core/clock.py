"""Time: the only module that reads a clock or sleeps."""

import asyncio
import time
from typing import Protocol

from core.api.base import Mark


class Clock(Protocol):
    """Wall time for what is stored, monotonic time for what is measured."""

    def now(self) -> float:
        """UTC seconds since 1970. May jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow. On Linux the same for all processes of one boot."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Wait at least delay_s seconds."""
        ...


class SystemClock:
    """The machine's clocks."""

    # The system's functions themselves: a mailbox asks a million times a second.
    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, delay_s: float) -> None:
        """Wait on the running loop."""
        await asyncio.sleep(delay_s)


def mark(clock: Clock) -> Mark:
    """The present instant on both clocks."""
    return Mark(clock.now(), clock.monotonic())


def rebased(instant: Mark, clock: Clock) -> Mark:
    """A mark of an earlier start of the core, with `mono` derived again from its wall time."""
    age_s = max(0.0, clock.now() - instant.at)
    return Mark(instant.at, clock.monotonic() - age_s)


def rebased_ahead(instant: Mark, clock: Clock) -> Mark:
    """The same for a mark that may lie in the future: one that is still to come stays so."""
    return Mark(instant.at, clock.monotonic() + (instant.at - clock.now()))
