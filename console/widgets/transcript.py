"""What was said, newest at the bottom: wrapped only where it is looked at, followed until somebody scrolls up."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from console.text import cell_width, clean, clock_time, fit
from console.widgets.surface import FOLLOW_MOVES, ScrolledSurface, Span
from console.widgets.transcript_body import GrowingText, TranscriptItem, margins, marks_fit
from console.widgets.transcript_entries import Entries

__all__ = ["TranscriptItem", "TranscriptView"]

_TEXT_TONES = frozenset({"quiet", "stale", "needs", "failing"})


class TranscriptView(ScrolledSurface):
    """Entries with time, author and text, a cursor on one of them, and the answer that is being written."""

    DEFAULT_CSS = "TranscriptView { height: 1fr; }"

    BINDINGS: ClassVar[list[BindingType]] = FOLLOW_MOVES

    class FollowChanged(Message):
        """The view began or ceased to stay at the end."""

        def __init__(self, is_following: bool) -> None:
            super().__init__()
            self.is_following = is_following

    class TopReached(Message):
        """The operator came to the first entry that is there: time to fetch earlier ones."""

    class Opened(Message):
        """The operator wants to go deeper into an entry that does not fold."""

        def __init__(self, item_id: str) -> None:
            super().__init__()
            self.item_id = item_id

    def __init__(self, *, empty_text: str = "", id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self._empty_text = empty_text
        self._entries = Entries()
        self._live_text: str | None = None
        self._live_author = ""
        self._growing = GrowingText()
        self._live_lines: list[str] = []
        self._follows = True
        self._cursor: str | None = None
        self._laid_width = -1
        self._is_settling = False
        self._top_told = False

    @property
    def is_following(self) -> bool:
        """Whether the view stays at the end when something is added."""
        return self._follows

    @property
    def cursor_id(self) -> str | None:
        """The entry under the cursor; while following the last one; None when there are none."""
        items = self._entries.items
        if self._cursor is None or self._follows:
            return items[-1].id if items else None
        return self._cursor

    @property
    def items(self) -> Sequence[TranscriptItem]:
        """All entries in order."""
        return tuple(self._entries.items)

    def set_lines(self, items: Sequence[TranscriptItem]) -> None:
        """Other entries in place of all; the view follows again."""
        self._entries.replace(items)
        self._cursor = None
        self._top_told = False
        self.set_follow(True)
        self._settle()
        self.refresh()

    def append(self, items: Iterable[TranscriptItem]) -> None:
        """More entries at the end; one whose id is there replaces that."""
        for item in items:
            self._entries.append(item)
        self._settle()
        self.refresh()

    def prepend(self, items: Iterable[TranscriptItem]) -> None:
        """Earlier entries before the first; what is looked at stays where it is."""
        below = self._entries.heights.total - self.scroll_offset.y
        added = self._entries.prepend(items)
        self._top_told = False
        self._set_extent()
        if added and not self._follows:
            self.jump_to(self._entries.heights.total - below)
        self._settle()
        self.refresh()

    def set_live(self, text: str | None, *, author: str = "") -> None:
        """The answer that is being written, whole so far; None when there is none."""
        self._live_text, self._live_author = text, author
        self._lay_live()
        self._settle()
        self.refresh()

    def remove_item(self, item_id: str) -> None:
        """An entry is no longer part of it; the cursor goes to the next."""
        index = self._entries.find(item_id)
        if index is None:
            return
        self._entries.remove(index)
        items = self._entries.items
        if self._cursor == item_id:
            self._cursor = items[min(index, len(items) - 1)].id if items else None
        self._settle()
        self.refresh()

    def set_follow(self, is_following: bool) -> None:
        """Stay at the end, or stay where it is."""
        if is_following == self._follows:
            return
        if not is_following:
            self._cursor = self.cursor_id
        self._follows = is_following
        self.post_message(self.FollowChanged(is_following))
        self._settle()
        self.refresh()

    # Layout

    def _lay_live(self) -> None:
        if self._live_text is None:
            self._growing = GrowingText()
            self._live_lines = []
        elif self.size.width:
            self._live_lines = self._growing.update(self._live_text, margins(self.size.width).room)

    def _set_extent(self) -> None:
        self.virtual_size = Size(1, self._entries.heights.total + len(self._live_lines))

    def _settle(self) -> None:
        """Give everything near the window its true height and keep what is looked at where it is."""
        if self._is_settling or not self.size.width:
            return
        self._is_settling = True
        try:
            if self._follows:
                self._entries.settle_above(len(self._entries), self.size.height * 2)
                self._set_extent()
                self.jump_to(self.max_scroll_y)
                return
            top = self.scroll_offset.y
            shift = self._entries.settle_around(top, self.size.height)
            self._set_extent()
            if shift:
                self.jump_to(top + shift)
        finally:
            self._is_settling = False

    def on_resize(self) -> None:
        """Another size, another layout."""
        self.width_changed()

    def width_changed(self) -> None:
        """Everything wraps to the new width; the entry at the top stays there."""
        if self.size.width != self._laid_width:
            first, _ = self._entries.heights.find(self.scroll_offset.y)
            self._laid_width = self.size.width
            self._entries.set_room(margins(self.size.width).room)
            self._lay_live()
            self._set_extent()
            if not self._follows:
                self.jump_to(self._entries.heights.top(first))
            self.refresh()
        self._settle()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Whoever moves away from the end stops following; what comes into the window gets its true height."""
        super().watch_scroll_y(old_value, new_value)
        if self._is_settling or round(old_value) == round(new_value):
            return
        if self._follows and round(new_value) < self.max_scroll_y:
            self.set_follow(False)
        self._settle()

    # Movement

    def wheel_moved(self) -> None:
        """The wheel stops following, and at the end begins it again."""
        self._after_move()

    def _after_move(self) -> None:
        at_end = self.scroll_offset.y >= self.max_scroll_y
        self.set_follow(at_end)
        if self.scroll_offset.y == 0 and not at_end:
            self._tell_top()

    def _tell_top(self) -> None:
        if not self._top_told:
            self._top_told = True
            self.post_message(self.TopReached())

    def action_step(self, delta: int) -> None:
        """To the next or previous entry; within one that is longer than the window, on by half a window."""
        index = self._entries.find(self.cursor_id or "")
        if index is None:
            return
        top, height = self.scroll_offset.y, self.size.height
        begin, end = self._entries.heights.top(index), self._entries.heights.top(index + 1)
        if delta > 0 and end > top + height and begin <= top + height:
            self.jump_to(min(end - height, top + height // 2))
            return
        if delta < 0 and begin < top < end:
            self.set_follow(False)
            self.jump_to(max(begin, top - height // 2))
            return
        if index + delta >= len(self._entries.items):
            self.set_follow(True)
            return
        self.set_follow(False)
        if index + delta < 0:
            self.jump_to(0)
            self._tell_top()
            return
        self._cursor = self._entries.items[index + delta].id
        self._show(index + delta, delta)
        self.refresh()

    def _show(self, index: int, delta: int) -> None:
        begin, end = self._entries.heights.top(index), self._entries.heights.top(index + 1)
        top, height = self.scroll_offset.y, self.size.height
        if end > top + height:
            self.jump_to(begin if end - begin > height else end - height)
        elif begin < top:
            self.jump_to(end - height if delta < 0 and end - begin > height else begin)

    def action_page(self, delta: int) -> None:
        """A window up or down; the cursor comes along."""
        self.jump_to(self.scroll_offset.y + delta * max(1, self.size.height - 1))
        self._after_move()
        if not self._follows and self._entries.items:
            line = self.scroll_offset.y + (self.size.height - 1 if delta > 0 else 0)
            index = min(self._entries.heights.find(line)[0], len(self._entries.items) - 1)
            self._cursor = self._entries.items[index].id
            self.refresh()

    def action_top(self) -> None:
        """To the first entry that is there."""
        self.set_follow(False)
        self._cursor = self._entries.items[0].id if self._entries.items else None
        self.jump_to(0)
        self._tell_top()
        self.refresh()

    def action_follow(self) -> None:
        """To the end, and stay there."""
        self.set_follow(True)

    def action_open(self) -> None:
        """Fold or unfold the entry under the cursor, or go deeper into one that does not fold."""
        if (item_id := self.cursor_id) is not None:
            self._open(item_id)

    def _open(self, item_id: str) -> None:
        index = self._entries.find(item_id)
        if index is None or not self._entries.items[index].foldable:
            self.post_message(self.Opened(item_id))
            return
        self._entries.toggle_fold(index)
        self._settle()
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Click puts the cursor on an entry; on one that folds it also folds or unfolds it."""
        index, _ = self._entries.heights.find(self.scroll_offset.y + event.get_content_offset_capture(self).y)
        if index < len(self._entries.items):
            item = self._entries.items[index]
            self.set_follow(False)
            self._cursor = item.id
            self.refresh()
            if item.foldable or event.chain > 1:
                self._open(item.id)

    # Drawing

    def render_line(self, y: int) -> Strip:
        """One line of an entry, of the growing answer, or nothing."""
        width, place = self.drawn_width(), y + self.scroll_offset.y
        if not self._entries.items and not self._live_lines:
            return self.draw_emptiness(self._empty_text, y)
        index, inside = self._entries.heights.find(place)
        if index < len(self._entries.items):
            item = self._entries.items[index]
            lines = self._entries.body(index)
            return self._draw_item(item, lines, inside, width) if inside < len(lines) else self.draw((), width)
        live = place - self._entries.heights.total
        if 0 <= live < len(self._live_lines):
            item = TranscriptItem("", None, self._live_author, "busy", "", marks="is being written")
            return self._draw_item(item, self._live_lines, live, width)
        return self.draw((), width)

    def _draw_item(self, item: TranscriptItem, lines: list[str], inside: int, width: int) -> Strip:
        palette, glyphs, at = self.palette, self.glyphs, margins(width)
        is_cursor = bool(item.id) and item.id == self.cursor_id and not (self._follows and not self.has_focus)
        spans: list[Span] = [(glyphs.cursor if is_cursor and not inside else " ", palette.style("accent"))]
        if at.time:
            time = clock_time(item.at) if item.at is not None and not inside else ""
            spans.append((fit(time, at.time), palette.style("quiet")))
        author = "" if inside else clean(item.author)
        name = fit(author, at.author - 1, ellipsis=glyphs.ellipsis) + " "
        spans.append((name, palette.style(item.tone)))
        if item.foldable:
            sign = glyphs.folded if self._entries.is_folded(item) else glyphs.opened
            spans.append(((sign if not inside else " ") + " ", palette.style("quiet")))
        text_style = palette.style(item.tone if item.tone in _TEXT_TONES else "plain")
        spans.append((lines[inside], text_style))
        marks, room = clean(item.marks), at.room - 2 * item.foldable
        if marks and not inside and marks_fit(lines[0], marks, room):
            gap = room - cell_width(lines[0]) - cell_width(marks) - 1
            spans += [(" " * gap, text_style), (marks, palette.style("quiet"))]
        return self.draw(spans, width, self.cursor_style(is_cursor=is_cursor and not inside))
