"""Lines for people: aligned tables and facts, with text from outside made harmless (pure)."""

from collections.abc import Callable, Iterable, Sequence

from console.text import age, cell_width, clean, cut, stamp
from core.api.base import Mark

GAP = "  "
_LEAST_WIDTH = 8


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None = None) -> list[str]:
    """Rows below their heading, in columns. width: cells of the terminal; None cuts nothing."""
    cells = [[clean(cell) for cell in row] for row in (head, *rows)]
    widths = [max(cell_width(row[place]) for row in cells) for place in range(len(head))]
    if width is not None:
        _shrink(widths, width - len(GAP) * (len(widths) - 1))
    lines = [GAP.join(_padded(cell, size) for cell, size in zip(row, widths, strict=True)).rstrip() for row in cells]
    return lines if width is None else [cut(line, width) for line in lines]


def _shrink(widths: list[int], room: int) -> None:
    """Take from the widest column until all fit, or none can give."""
    while sum(widths) > room and (widest := max(widths)) > _LEAST_WIDTH:
        widths[widths.index(widest)] = widest - 1


def _padded(text: str, width: int) -> str:
    short = cut(text, width)
    return short + " " * (width - cell_width(short))


def facts(pairs: Iterable[tuple[str, object]]) -> list[str]:
    """Names and values, one to a line."""
    shown = [(name, clean(str(value))) for name, value in pairs]
    widest = max((len(name) for name, _ in shown), default=0)
    return [f"{name.ljust(widest)}{GAP}{value}".rstrip() for name, value in shown]


def fact_lines(shown: Iterable[tuple[str, str, str]]) -> list[str]:
    """What a screen shows as label, value and tone, as names and values."""
    return facts((label.removeprefix("-- "), value) for label, value, _ in shown if label or value)


def ages(marks: Iterable[tuple[str, Mark | None]], now: Mark) -> list[str]:
    """A table of facts with their ages and wall times; what never happened says so."""
    rows = [
        (name, "never", "") if mark is None else (name, age(now.mono - mark.mono), stamp(mark.at))
        for name, mark in marks
    ]
    return table(("fact", "age", "at"), rows)


def since(mark: Mark | None, now: Mark) -> str:
    """An age for a column; "" when it never happened."""
    return "" if mark is None else age(now.mono - mark.mono)


def ages_from(now: Mark) -> Callable[[Mark], float]:
    """What tells how many seconds ago a mark was; below zero for one to come."""
    return lambda mark: now.mono - mark.mono


def block(text: str, *, indent: str = "  ") -> list[str]:
    """Longer text from outside, line by line, set in."""
    return [f"{indent}{line}".rstrip() for line in clean(text, keep_newlines=True).split("\n")]
