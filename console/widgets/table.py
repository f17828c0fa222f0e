"""A table of any number of rows that asks for, builds and repaints only those that are visible."""

from collections.abc import Hashable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip

from console.text import clean, fit, fit_right
from console.widgets.columns import Cell, Column, Place, Row, RowSource, pieces, places
from console.widgets.surface import MOVES, ScrolledSurface, app_of

__all__ = ["Cell", "Column", "Row", "RowSource", "VirtualTable"]

_HEADER_LINES = 1
_GUTTER = 1
_STRIPS_KEPT = 4096
_NEAR = 256


class VirtualTable(ScrolledSurface):
    """Rows with a header, a cursor that holds an id, and marks."""

    DEFAULT_CSS = "VirtualTable { height: 1fr; }"

    BINDINGS: ClassVar[list[BindingType]] = [
        *MOVES,
        Binding("g,home", "edge(-1)", "first", show=False, id="nav.first"),
        Binding("G,end", "edge(1)", "last", show=False, id="nav.end"),
        Binding("space", "mark", "mark", show=False, id="view.mark"),
    ]

    class Opened(Message):
        """The operator wants to go deeper into a row."""

        def __init__(self, row_id: str) -> None:
            super().__init__()
            self.row_id = row_id

    class Moved(Message):
        """The cursor is on another row; "" when there is none left."""

        def __init__(self, row_id: str) -> None:
            super().__init__()
            self.row_id = row_id

    class Marked(Message):
        """The set of marked rows is another."""

        def __init__(self, row_ids: frozenset[str]) -> None:
            super().__init__()
            self.row_ids = row_ids

    class HeaderClicked(Message):
        """The title of a column was clicked."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self, columns: Sequence[Column] = (), *, empty_text: str = "", id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self._columns = tuple(columns)
        self._row_source: RowSource | None = None
        self._ids: Sequence[str] = ()
        self._empty_text = empty_text
        self._cursor: str | None = None
        self._cursor_at = 0
        self._marked: set[str] = set()
        self._sorted_by: tuple[str, bool] = ("", False)
        self._strips: dict[Hashable, Strip] = {}
        self._painted: dict[int, Hashable] = {}
        self._looked_at: dict[str, Row] = {}
        self._placed: tuple[tuple[int, int], list[Place]] = ((-1, -1), [])
        self._look: Hashable = None

    @property
    def cursor_id(self) -> str | None:
        """The row under the cursor; None when there are no rows."""
        return self._cursor

    @property
    def marks(self) -> frozenset[str]:
        """The marked rows, also those that a filter hides now."""
        return frozenset(self._marked)

    @property
    def empty_text(self) -> str:
        """What is said when there are no rows; lines."""
        return self._empty_text

    @empty_text.setter
    def empty_text(self, text: str) -> None:
        if text != self._empty_text:
            self._empty_text = text
            if not self._ids:
                self.refresh()

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Another set of columns; the rows of the source must fit it."""
        self._columns = tuple(columns)
        self._placed = ((-1, -1), [])
        self._strips.clear()
        self.refresh()

    def set_source(self, source: RowSource) -> None:
        """Show the rows of another source. No row is built for it."""
        self._row_source = source
        self._strips.clear()
        self._painted.clear()
        self._looked_at.clear()
        self._marked.clear()
        self._cursor = None
        self._cursor_at = 0
        self.jump_to(0)
        self.order_changed()
        self.refresh()

    def set_sort(self, key: str, *, descending: bool) -> None:
        """Mark the column by which the source is sorted; the table itself sorts nothing."""
        if (key, descending) != self._sorted_by:
            self._sorted_by = (key, descending)
            self.refresh(Region(0, 0, self.size.width, _HEADER_LINES))

    def refresh_rows(self, changed: Iterable[str] | None) -> None:
        """Repaint those of the changed rows that are visible and look different now; None looks at all visible rows."""
        if self._row_source is None or not self._ids:
            return
        self._looked_at.clear()
        wanted = changed if changed is None or isinstance(changed, AbstractSet) else set(changed)
        width = self.size.width
        for y in range(_HEADER_LINES, self.size.height):
            index = self.scroll_offset.y + y - _HEADER_LINES
            if index >= len(self._ids):
                break
            if wanted is not None and self._ids[index] not in wanted:
                continue
            row = self._row_source.row(self._ids[index])
            if self._key(row, width) != self._painted.get(y):
                # The next frame draws what was looked at here, and need not ask again.
                self._looked_at[row.id] = row
                self.refresh(Region(0, y, width, 1))

    def order_changed(self) -> None:
        """Take over the order of the source; the cursor stays on its id, and on its line if the view is scrolled."""
        if self._row_source is None:
            return
        before = len(self._ids)
        self._ids = self._row_source.ids
        old = self._cursor_at
        self._find_cursor()
        total = len(self._ids)
        if total != before:
            self.virtual_size = Size(1, total + _HEADER_LINES)
        top = self.scroll_offset.y
        if top and old >= top and self._cursor_at != old:
            self.jump_to(top + self._cursor_at - old)
        if not total or not before or total < self.size.height:
            self.refresh()
        else:
            self.refresh_rows(None)

    def move_to(self, row_id: str) -> None:
        """Put the cursor on a row and show it; an unknown id changes nothing."""
        index = self._index_of(row_id, self._cursor_at)
        if index is not None:
            self._move(index)

    def _index_of(self, row_id: str, near: int) -> int | None:
        ids = self._ids
        if near < len(ids) and ids[near] == row_id:
            return near
        first = max(0, near - _NEAR)
        for index in range(first, min(len(ids), near + _NEAR)):
            if ids[index] == row_id:
                return index
        try:
            return ids.index(row_id)
        except ValueError:
            return None

    def _find_cursor(self) -> None:
        if not self._ids:
            gone, self._cursor, self._cursor_at = self._cursor, None, 0
            if gone is not None:
                self.post_message(self.Moved(""))
            return
        index = None if self._cursor is None else self._index_of(self._cursor, self._cursor_at)
        if index is not None:
            self._cursor_at = index
            return
        self._cursor_at = min(self._cursor_at, len(self._ids) - 1)
        self._cursor = self._ids[self._cursor_at]
        self.post_message(self.Moved(self._cursor))

    def _move(self, index: int) -> None:
        if not self._ids:
            return
        index = max(0, min(index, len(self._ids) - 1))
        old, self._cursor_at = self._cursor_at, index
        moved = self._cursor != self._ids[index]
        self._cursor = self._ids[index]
        self._show_cursor()
        for place in (old, index):
            y = place - self.scroll_offset.y + _HEADER_LINES
            if _HEADER_LINES <= y < self.size.height:
                self.refresh(Region(0, y, self.size.width, 1))
        if moved:
            self.post_message(self.Moved(self._cursor))

    def _page_lines(self) -> int:
        return max(1, self.size.height - _HEADER_LINES)

    def _show_cursor(self) -> None:
        top, page = self.scroll_offset.y, self._page_lines()
        if self._cursor_at < top:
            self.jump_to(self._cursor_at)
        elif self._cursor_at >= top + page:
            self.jump_to(self._cursor_at - page + 1)

    def action_step(self, delta: int) -> None:
        """One row down or up."""
        self._move(self._cursor_at + delta)

    def action_page(self, delta: int) -> None:
        """One screenful down or up."""
        self._move(self._cursor_at + delta * self._page_lines())

    def action_edge(self, end: int) -> None:
        """To the first or the last row."""
        self._move(0 if end < 0 else len(self._ids) - 1)

    def action_mark(self) -> None:
        """Mark or unmark the row under the cursor and go on to the next."""
        if self._cursor is None:
            return
        self._marked ^= {self._cursor}
        self.refresh_rows({self._cursor})
        self.post_message(self.Marked(self.marks))
        self._move(self._cursor_at + 1)

    def action_open(self) -> None:
        """Go deeper into the row under the cursor."""
        if self._cursor is not None:
            self.post_message(self.Opened(self._cursor))

    def on_click(self, event: events.Click) -> None:
        """Click puts the cursor there, a double click opens."""
        y = event.get_content_offset_capture(self).y
        if y < _HEADER_LINES:
            self._click_header(event.get_content_offset_capture(self).x)
            return
        index = self.scroll_offset.y + y - _HEADER_LINES
        if index < len(self._ids):
            self._move(index)
            if event.chain > 1:
                self.action_open()

    def _click_header(self, x: int) -> None:
        left = _GUTTER
        for _, column, width in self._places(self.size.width):
            if left <= x < left + width + 1:
                self.post_message(self.HeaderClicked(column.key))
                return
            left += width + 1

    def on_focus(self) -> None:
        """The cursor is drawn differently while keys go elsewhere."""
        self.refresh_rows(None)

    def on_blur(self) -> None:
        """The same, the other way."""
        self.refresh_rows(None)

    def on_resize(self) -> None:
        """The cursor stays visible in a smaller window."""
        self._show_cursor()

    def _places(self, width: int) -> list[Place]:
        screen = app_of(self).size.width
        if self._placed[0] != (width, screen):
            self._placed = ((width, screen), places(self._columns, width - _GUTTER, screen))
        return self._placed[1]

    def _key(self, row: Row, width: int) -> Hashable:
        is_cursor = row.id == self._cursor
        return row.id, row.version, is_cursor, is_cursor and self.has_focus, row.id in self._marked, width

    def render_line(self, y: int) -> Strip:
        """One line of the screen: the header, a row, or what is said about there being none."""
        width = self.size.width
        look = (self.palette.name, self.glyphs)
        if look != self._look:
            self._look = look
            self._strips.clear()
        if y < _HEADER_LINES:
            return self._header(width)
        if not self._ids or self._row_source is None:
            return self.draw_emptiness(self._empty_text, y, _HEADER_LINES + 1)
        index = self.scroll_offset.y + y - _HEADER_LINES
        if index >= len(self._ids):
            self._painted.pop(y, None)
            return self.draw((), width)
        row_id = self._ids[index]
        row = self._looked_at.pop(row_id, None) or self._row_source.row(row_id)
        key = self._key(row, width)
        self._painted[y] = key
        strip = self._strips.get(key)
        if strip is None:
            if len(self._strips) >= _STRIPS_KEPT:
                self._strips.clear()
            strip = self._strips[key] = self._build(row, width)
        return strip

    def _header(self, width: int) -> Strip:
        style, glyphs = self.palette.header, self.glyphs
        parts = [" " * _GUTTER]
        for _, column, cells in self._places(width):
            title = clean(column.title)
            if column.key == self._sorted_by[0]:
                title = f"{title}{glyphs.down if self._sorted_by[1] else glyphs.up}"
            shape = fit_right if column.align == "right" else fit
            parts.append(shape(title, cells, ellipsis=glyphs.ellipsis) + " ")
        return self.draw([("".join(parts)[:-1], style)], width)

    def _build(self, row: Row, width: int) -> Strip:
        palette, ellipsis = self.palette, self.glyphs.ellipsis
        is_cursor = row.id == self._cursor
        sign = self.glyphs.mark if row.id in self._marked else self.glyphs.cursor if is_cursor else " "
        ground = self.ground
        over = self.cursor_style(is_cursor=is_cursor) or Style.null()
        plain = ground + palette.style("plain") + over
        segments = [Segment(sign, ground + palette.style("accent") + over)]
        used = _GUTTER
        for order, (nth, column, cells) in enumerate(self._places(width)):
            cell = row.cells[nth] if nth < len(row.cells) else ""
            if order:
                segments.append(Segment(" ", plain))
                used += 1
            if cells > 0:
                parts = pieces(cell, column, cells, ellipsis=ellipsis)
                segments += [Segment(words, ground + palette.style(tone) + over) for words, tone in parts]
                used += cells
        if used < width:
            segments.append(Segment(" " * (width - used), plain))
        return Strip(segments, max(used, width)).crop(0, max(0, width))
