"""Many things that are due at some time, one task for all of them."""

import asyncio
import heapq
from collections.abc import Callable

from core.clock import Clock
from core.waits import CutShort, Waits, breathe

_BREATH_EVERY = 200
_SPARE = 1_000


class Timers:
    """One instant for each key. on_due: called with each key that is due; it must be quick."""

    def __init__(self, clock: Clock, on_due: Callable[[str], None]) -> None:
        self._clock = clock
        self._on_due = on_due
        self._at: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._waits = Waits()
        self._idle: asyncio.Future[None] | None = None

    def set(self, key: str, at: float) -> None:
        """Let a key be due then (monotonic seconds), and not when it was to be before."""
        self._at[key] = at
        is_first = not self._heap or at < self._heap[0][0]
        heapq.heappush(self._heap, (at, key))
        if len(self._heap) > 2 * len(self._at) + _SPARE:
            self._heap = [(due, name) for name, due in self._at.items()]
            heapq.heapify(self._heap)
        if is_first:
            self._wake()

    def drop(self, key: str) -> None:
        """Let a key never be due."""
        self._at.pop(key, None)

    def __contains__(self, key: str) -> bool:
        return key in self._at

    def __len__(self) -> int:
        return len(self._at)

    async def run(self) -> None:
        """Call what is due, until cancelled."""
        while True:
            await self._call_due()
            try:
                if self._heap:
                    await self._waits.wait(self._clock.sleep(max(0.0, self._heap[0][0] - self._clock.monotonic())))
                else:
                    self._idle = asyncio.get_running_loop().create_future()
                    await self._idle
            except CutShort:
                continue

    async def _call_due(self) -> None:
        count = 0
        while self._heap and self._heap[0][0] <= self._clock.monotonic():
            at, key = heapq.heappop(self._heap)
            if self._at.get(key) == at:
                del self._at[key]
                self._on_due(key)
            count += 1
            if count % _BREATH_EVERY == 0:
                await breathe()

    def _wake(self) -> None:
        idle, self._idle = self._idle, None
        if idle is not None and not idle.done():
            idle.set_result(None)
        self._waits.cut()
