"""How many requests a minute: a bucket that fills at a steady rate (pure: `now` is an argument)."""

_MINUTE_S = 60.0


class Bucket:
    """Holds a minute's worth of requests and is full at first."""

    def __init__(self, rate_per_minute: int, now: float) -> None:
        self._capacity = float(rate_per_minute)
        self._per_s = rate_per_minute / _MINUTE_S
        self._level = self._capacity
        self._at = now

    def wait_s(self, now: float) -> float:
        """Take one request out. Returns 0, or the seconds until there is one to take."""
        self._level = min(self._capacity, self._level + max(0.0, now - self._at) * self._per_s)
        self._at = now
        if self._level < 1.0:
            return (1.0 - self._level) / self._per_s
        self._level -= 1.0
        return 0.0
