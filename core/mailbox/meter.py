"""How busy a mailbox has been over the last minute, from one look a second at its counters (pure)."""

import math
from array import array
from collections.abc import Collection

SPAN_S = 60.0
"""How far back rates look."""

DEPTHS = 60
"""Depths that are kept, one a second."""

_P99 = 0.99


class Meter:
    """Rates and depths of one mailbox. Made when it has something to do, let go when is_idle.

    now: monotonic seconds. accepted, settled: counters that only grow, as they were before it had
    something to do. A few hundred bytes at first, two thousand at most.
    """

    __slots__ = ("_accepted", "_at", "_depths", "_settled")

    def __init__(self, now: float, accepted: int = 0, settled: int = 0) -> None:
        self._at = array("d", (now,))
        self._accepted = array("q", (accepted,))
        self._settled = array("q", (settled,))
        self._depths = array("q")

    def sample(self, now: float, accepted: int, settled: int, depth: int) -> None:
        """Note the counters as they are now."""
        self._at.append(now)
        self._accepted.append(accepted)
        self._settled.append(settled)
        self._depths.append(depth)
        # One look stays from before the span: rates are counted from it.
        past = 0
        while past + 2 < len(self._at) and self._at[past + 1] <= now - SPAN_S:
            past += 1
        # Looks that come too often must not make it grow.
        past = max(past, len(self._at) - DEPTHS - 1)
        if past:
            del self._at[:past], self._accepted[:past], self._settled[:past]
        if len(self._depths) > DEPTHS:
            del self._depths[:-DEPTHS]

    def rates(self) -> tuple[float, float]:
        """Messages in and out a second over the last minute, or since it was made when that is shorter."""
        span_s = self._at[-1] - self._at[0]
        if span_s <= 0:
            return 0.0, 0.0
        return (
            max(0, self._accepted[-1] - self._accepted[0]) / span_s,
            max(0, self._settled[-1] - self._settled[0]) / span_s,
        )

    @property
    def depths(self) -> tuple[int, ...]:
        """Depths of the last minute, the newest last."""
        return tuple(self._depths)

    @property
    def is_idle(self) -> bool:
        """A whole minute of looks in which nothing moved: it says nothing that a new one would not."""
        return (
            len(self._depths) == DEPTHS
            and self._accepted[0] == self._accepted[-1]
            and self._settled[0] == self._settled[-1]
            and self._depths.count(self._depths[-1]) == DEPTHS
        )


def average_and_p99(samples: Collection[float] | None) -> tuple[float, float]:
    """The mean of a few seconds, and the value that 99 of 100 do not pass; zeros when there are none."""
    if not samples:
        return 0.0, 0.0
    ordered = sorted(samples)
    place = math.ceil(_P99 * len(ordered)) - 1
    return math.fsum(ordered) / len(ordered), ordered[place]
