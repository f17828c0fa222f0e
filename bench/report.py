"""Figures with what they are held against, as one table for the terminal and for the docs."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
ALL, MAIL = "bench", "bench-mailbox"
RELAY = "bench-relay"
"""Parts of the page that are written here, by the marks around them."""


@dataclass(frozen=True)
class Figure:
    """One line. value and target in the unit of the line; at_most: whether less is better; note: how it was taken.

    value: None for what could not be measured; the note says why.
    """

    what: str
    value: float | None
    unit: str = ""
    target: float | None = None
    at_most: bool = True
    note: str = ""

    @property
    def verdict(self) -> str:
        """Met, missed, or nothing to meet."""
        if self.target is None or self.value is None:
            return ""
        return "met" if (self.value <= self.target if self.at_most else self.value >= self.target) else "MISSED"

    @property
    def cells(self) -> tuple[str, ...]:
        """The line in words."""
        bound = "" if self.target is None else f"{'≤' if self.at_most else '≥'} {number(self.target)} {self.unit}"
        measured = "missing" if self.value is None else f"{number(self.value)} {self.unit}"
        return (self.what, measured, bound, self.verdict, self.note)


def number(value: float) -> str:
    """Three significant digits, thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share lies; the nearest rank."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, round(share * len(ranked) + 0.5) - 1))]


def as_markdown(figures: Sequence[Figure]) -> str:
    """The table."""
    head = ("what", "measured", "target", "", "how")
    rows = [head, *(figure.cells for figure in figures)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def record(figures: Sequence[Figure], machine: str, part: str = ALL) -> None:
    """Put the table into its part of docs/performance.md in place of the one before."""
    begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    PAGE.write_text(f"{before}{begin}\n\n{machine}\n\n{as_markdown(figures)}\n\n{end}{after}", encoding="utf-8")
