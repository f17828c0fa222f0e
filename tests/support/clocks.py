"""A clock that moves only when a test moves it."""

import asyncio
import heapq
import itertools


class FakeClock:
    """Wall and monotonic time in the hands of a test; sleepers wake in order of their time."""

    def __init__(self, now: float = 1_700_000_000.0, monotonic: float = 1000.0) -> None:
        self._now = now
        self._monotonic = monotonic
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        """UTC seconds."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return self._monotonic

    async def sleep(self, delay_s: float) -> None:
        """Wait until the test has moved the clock far enough."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + delay_s, next(self._order), future))
        await future

    def jump(self, wall_s: float) -> None:
        """Move the wall clock alone, as a bad time server does."""
        self._now += wall_s

    def step(self, delta_s: float) -> None:
        """Move both clocks and wake who is due; does not let them run."""
        self._monotonic += delta_s
        self._now += delta_s
        while self._sleepers and self._sleepers[0][0] <= self._monotonic:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)

    async def advance(self, delta_s: float) -> None:
        """Move both clocks and let everything that woke run until it waits again."""
        self.step(delta_s)
        for _ in range(20):
            await asyncio.sleep(0)
