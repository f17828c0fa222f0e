"""The newest lines of a stream, bounded, and those of them that pass a filter (pure)."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter

_SEQ = attrgetter("seq")


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line. seq: place in the stream, never shrinking. at: UTC seconds. subject: id of what it is about."""

    seq: int
    at: float
    tone: str
    subject: str
    text: str


class LineRing:
    """At most `capacity` lines; the oldest are let go in batches, so that adding stays cheap."""

    def __init__(self, capacity: int) -> None:
        self._capacity = max(1, capacity)
        self._slack = max(1, self._capacity // 10)
        self._lines: list[LogLine] = []
        self._passed: list[LogLine] = []
        self._needle = ""

    @property
    def shown(self) -> Sequence[LogLine]:
        """The lines that pass the filter, oldest first."""
        return self._passed if self._needle else self._lines

    @property
    def total(self) -> int:
        """Lines kept, shown or not."""
        return len(self._lines)

    def extend(self, lines: Iterable[LogLine]) -> int:
        """Add lines at the end; how many of the shown ones were let go for it."""
        new = list(lines)
        self._lines += new
        if self._needle:
            self._passed += [line for line in new if self._passes(line)]
        if len(self._lines) <= self._capacity + self._slack:
            return 0
        before = len(self.shown)
        del self._lines[: len(self._lines) - self._capacity]
        if self._needle:
            del self._passed[: bisect_left(self._passed, self._lines[0].seq, key=_SEQ)]
        return before - len(self.shown)

    def clear(self) -> None:
        """Let all go; the filter stays."""
        self._lines.clear()
        self._passed.clear()

    def set_filter(self, text: str) -> None:
        """Show only lines whose subject or text contains it, in any case; "" shows all."""
        self._needle = text.casefold()
        self._passed = [line for line in self._lines if self._passes(line)] if self._needle else []

    def find(self, seq: int) -> int:
        """The place of a shown line, or of the first after it."""
        return bisect_left(self.shown, seq, key=_SEQ)

    def _passes(self, line: LogLine) -> bool:
        return self._needle in line.text.casefold() or self._needle in line.subject.casefold()
