"""Rows and columns of a table, and which columns have room (pure)."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from console.text import cell_width, clean, fit, fit_right

Cell = str | tuple[str, str] | tuple[str, str, str]
"""Text; text and its tone; or these and what follows, of less weight, where there is room for it."""

_FLEX_LEAST = 8
_REST_GAP, _REST_LEAST = 2, 12


class Row(NamedTuple):
    """What one row shows. version: anything hashable that is different when the cells are (with ages: the second)."""

    id: str
    cells: tuple[Cell, ...]
    version: Hashable


@dataclass(frozen=True, slots=True)
class Column:
    """One column. width: in cells; min_screen: narrower terminals do not show it; flex: takes what is left."""

    key: str
    title: str
    width: int
    min_screen: int = 0
    align: Literal["left", "right"] = "left"
    flex: bool = False


class RowSource(Protocol):
    """Rows in their order. `row` is called only for what is on the screen."""

    @property
    def ids(self) -> Sequence[str]:
        """All ids in order."""
        ...

    @property
    def generation(self) -> int:
        """Grows when the order or the set of rows changes."""
        ...

    def row(self, row_id: str) -> Row:
        """One row; one cell for each column of the table, shown or not."""
        ...


class Place(NamedTuple):
    """A column that is shown. nth: of its cell in a row; width: in cells."""

    nth: int
    column: Column
    width: int


def places(columns: Sequence[Column], width: int, screen: int) -> list[Place]:
    """The columns for a table of so many cells on a screen of so many, one cell apart.

    Where they do not fit, the one that asks for the widest screen goes first, then the last; the first never goes.
    """
    shown = [(index, column) for index, column in enumerate(columns) if column.min_screen <= screen]

    def needed() -> int:
        cells = (min(column.width, _FLEX_LEAST) if column.flex else column.width for _, column in shown)
        return sum(cell + 1 for cell in cells) - 1

    while len(shown) > 1 and needed() > width:
        shown.remove(max(shown[1:], key=lambda item: (item[1].min_screen, item[0])))
    flexible = sum(1 for _, column in shown if column.flex)
    spare = max(0, width - sum(column.width for _, column in shown if not column.flex) - max(0, len(shown) - 1))
    found: list[Place] = []
    for index, column in shown:
        cells = min(column.width, width)
        if column.flex:
            cells = spare // flexible
            spare, flexible = spare - cells, flexible - 1
        found.append(Place(index, column, max(0, cells)))
    return found


def pieces(cell: Cell, column: Column, cells: int, *, ellipsis: str) -> list[tuple[str, str]]:
    """A cell in exactly so many terminal cells: text and tone, side by side."""
    words, tone = (cell, "plain") if isinstance(cell, str) else cell[:2]
    rest = cell[2] if len(cell) == 3 and not isinstance(cell, str) else ""  # noqa: PLR2004 - text, tone, rest
    shown = clean(words)
    if column.align == "right":
        return [(fit_right(shown, cells, ellipsis=ellipsis), tone)]
    room = cells - cell_width(shown) - _REST_GAP if rest else 0
    if room < _REST_LEAST:
        return [(fit(shown, cells, ellipsis=ellipsis), tone)]
    return [(shown + " " * _REST_GAP, tone), (fit(clean(rest), room, ellipsis=ellipsis), "quiet")]
