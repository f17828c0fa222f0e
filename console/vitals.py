"""What the console costs, measured by itself: keys, frames, bytes; and rates of what the core does (pure)."""

from collections import deque

_SAMPLES = 512
RATE_SECONDS = 900


class Samples:
    """The last durations of one kind, in seconds."""

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=_SAMPLES)
        self.count = 0

    def note(self, value_s: float) -> None:
        """Add one."""
        self._values.append(value_s)
        self.count += 1

    def quantile(self, share: float) -> float | None:
        """The value below which that share of them lies; None when there are none."""
        if not self._values:
            return None
        ordered = sorted(self._values)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Vitals:
    """Frames and keys of this console, and the bytes that it wrote each second."""

    def __init__(self) -> None:
        self.frames = Samples()
        self.keys = Samples()
        self.bytes_per_s = 0.0
        self.dropped_frames = 0
        self._written = 0
        self._read_at: float | None = None

    def read_terminal(self, written: int, dropped: int, now: float) -> None:
        """Take over the counts of the driver."""
        if self._read_at is not None and now > self._read_at:
            self.bytes_per_s = max(0.0, (written - self._written) / (now - self._read_at))
        self._written, self._read_at, self.dropped_frames = written, now, dropped


class Rates:
    """How much of something happened in each of the last seconds, from a count that only grows."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}
        self._rows: dict[str, deque[float]] = {}

    def note(self, counts: dict[str, int]) -> None:
        """One second went by and the counts stand so now."""
        for name, value in counts.items():
            before = self._seen.get(name, value)
            self._rows.setdefault(name, deque(maxlen=RATE_SECONDS)).append(float(max(0, value - before)))
            self._seen[name] = value

    def per_s(self, name: str, span_s: int = 10) -> float:
        """Mean over the last seconds."""
        rows = self._rows.get(name)
        if not rows:
            return 0.0
        last = list(rows)[-span_s:]
        return sum(last) / len(last)

    def bars(self, name: str, width: int, seconds_each: int = 10) -> list[float]:
        """Sums over equal spans, the latest last, at most `width` of them."""
        rows = list(self._rows.get(name, ()))
        spans = [sum(rows[max(0, end - seconds_each) : end]) for end in range(len(rows), 0, -seconds_each)]
        return spans[:width][::-1]
