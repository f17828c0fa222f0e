"""How late the core's loop is: the one number that tells whether something blocks it."""

import math
from collections import deque

from core.clock import Clock

_EVERY_S = 0.1
_WINDOW = 600


class LagMeter:
    """Sleeps and looks how much later than asked it woke, over the last minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lags_s: deque[float] = deque(maxlen=_WINDOW)

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            before = self._clock.monotonic()
            await self._clock.sleep(_EVERY_S)
            self._lags_s.append(max(0.0, self._clock.monotonic() - before - _EVERY_S))

    def p99_s(self) -> float:
        """All but one in a hundred were at most this late; 0 before the first measurement."""
        if not self._lags_s:
            return 0.0
        ordered = sorted(self._lags_s)
        return ordered[min(len(ordered) - 1, math.ceil(len(ordered) * 0.99) - 1)]

    def max_s(self) -> float:
        """The latest of the last minute."""
        return max(self._lags_s, default=0.0)
