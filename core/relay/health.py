"""How the last attempts to one target went: a bounded window of them (no I/O)."""

from array import array

WINDOW = 200
"""Attempts that are looked back at."""

_UNHEARD = -1.0


class Health:
    """The last attempts. An answer is whatever the far side said, also that it does not want the message."""

    def __init__(self) -> None:
        self._oks = bytearray()
        self._latencies = array("f")
        self._next = 0
        self._ok_count = 0

    def add(self, *, is_ok: bool, latency_s: float | None) -> None:
        """One more. is_ok: it was delivered. latency_s: until the answer, None without one."""
        latency = _UNHEARD if latency_s is None else max(0.0, latency_s)
        self._ok_count += is_ok
        if len(self._oks) < WINDOW:
            self._oks.append(is_ok)
            self._latencies.append(latency)
            return
        place = self._next
        self._ok_count -= self._oks[place]
        self._oks[place] = is_ok
        self._latencies[place] = latency
        self._next = (place + 1) % WINDOW

    @property
    def count(self) -> int:
        """Attempts in the window."""
        return len(self._oks)

    @property
    def success_rate(self) -> float | None:
        """Part of them that was delivered, 0 to 1; None without any."""
        return round(self._ok_count / len(self._oks), 4) if self._oks else None

    def latencies_s(self, *fractions: float) -> tuple[float | None, ...]:
        """For each fraction the latency that so many of the answers stayed within; None without an answer."""
        heard = sorted(latency for latency in self._latencies if latency >= 0)
        if not heard:
            return (None,) * len(fractions)
        last = len(heard) - 1
        return tuple(round(heard[min(last, int(fraction * len(heard)))], 6) for fraction in fractions)
