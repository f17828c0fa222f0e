"""Telling of something that may happen often: at once for the first, then what gathered, at most once in a while."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from core.clock import Clock
from core.supervisor import Supervisor

K = TypeVar("K", bound=Hashable)

EVERY_S = 1.0
"""The shortest time between two times that the same is told of."""


class Paced(Generic[K]):
    """Counts for each key, which must be few. tell: is given the key and how often it was noted since the last time."""

    def __init__(self, clock: Clock, supervisor: Supervisor, tell: Callable[[K, int], None]) -> None:
        self._clock = clock
        self._supervisor = supervisor
        self._tell = tell
        self._gathered: dict[K, int] = {}

    def note(self, key: K) -> None:
        """It happened once more."""
        if key in self._gathered:
            self._gathered[key] += 1
            return
        self._gathered[key] = 0
        self._tell(key, 1)
        self._supervisor.spawn(f"paced:{key}", self._later(key))

    async def _later(self, key: K) -> None:
        try:
            while True:
                await self._clock.sleep(EVERY_S)
                count = self._gathered[key]
                if not count:
                    return
                self._gathered[key] = 0
                self._tell(key, count)
        finally:
            del self._gathered[key]
