"""The newest lines of a stream on the screen: bounded, filtered as you type, followed until somebody scrolls up."""

from collections.abc import Iterable
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip

from console.text import clean, clock_time, fit, short_id
from console.widgets.line_ring import LineRing, LogLine
from console.widgets.surface import FOLLOW_MOVES, ScrolledSurface

__all__ = ["EventLog", "LogLine"]

_WIDE = 110
_TIME_CELLS = 9
_CLEANED = 2000
"""More characters than any screen is wide; the rest of a line is never looked at."""


class EventLog(ScrolledSurface):
    """One screen line for each line of the stream: time, subject, text; a cursor that holds on to its line."""

    DEFAULT_CSS = "EventLog { height: 1fr; }"

    BINDINGS: ClassVar[list[BindingType]] = FOLLOW_MOVES

    class Opened(Message):
        """The operator wants to go to what a line is about."""

        def __init__(self, seq: int, subject: str) -> None:
            super().__init__()
            self.seq = seq
            self.subject = subject

    class FollowChanged(Message):
        """The view began or ceased to stay at the end."""

        def __init__(self, is_following: bool) -> None:
            super().__init__()
            self.is_following = is_following

    def __init__(self, *, capacity: int = 100_000, empty_text: str = "", id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self._ring = LineRing(capacity)
        self._empty_text = empty_text
        self._cursor_seq: int | None = None
        self._follows = True

    @property
    def is_following(self) -> bool:
        """Whether the view stays at the end when lines come."""
        return self._follows

    @property
    def total_count(self) -> int:
        """Lines kept."""
        return self._ring.total

    @property
    def shown_count(self) -> int:
        """Lines that pass the filter."""
        return len(self._ring.shown)

    @property
    def cursor_seq(self) -> int | None:
        """The line under the cursor; None when there is none."""
        line = self._line_at(self._cursor_index())
        return None if line is None else line.seq

    @property
    def empty_text(self) -> str:
        """What is said when no line is shown."""
        return self._empty_text

    @empty_text.setter
    def empty_text(self, text: str) -> None:
        if text != self._empty_text:
            self._empty_text = text
            if not self._ring.shown:
                self.refresh()

    def extend(self, lines: Iterable[LogLine]) -> None:
        """More lines at the end. Costs little however many there are: only visible ones are drawn."""
        before = len(self._ring.shown)
        gone = self._ring.extend(lines)
        if gone or len(self._ring.shown) != before:
            self._extent_changed(gone)

    def clear_lines(self) -> None:
        """Let all lines go."""
        self._ring.clear()
        self._cursor_seq = None
        self._extent_changed(0)
        self.refresh()

    def set_filter(self, text: str) -> None:
        """Show only lines that contain the text, in any case."""
        top = self._line_at(self.scroll_offset.y)
        self._ring.set_filter(text)
        self._extent_changed(0)
        if not self._follows and top is not None:
            self.jump_to(self._ring.find(top.seq))
        self.refresh()

    def set_follow(self, is_following: bool) -> None:
        """Stay at the end, or stay where it is."""
        if is_following == self._follows:
            return
        if not is_following:
            self._cursor_seq = self.cursor_seq
        self._follows = is_following
        if is_following:
            self.jump_to(self.max_scroll_y)
        self.post_message(self.FollowChanged(is_following))
        self.refresh()

    def _extent_changed(self, gone: int) -> None:
        count, height = len(self._ring.shown), self.size.height
        top = self.scroll_offset.y
        had = self.virtual_size.height
        self.virtual_size = Size(1, count)
        if self._follows:
            self.jump_to(self.max_scroll_y)
            self.refresh()
        elif gone:
            self.jump_to(top - gone)
            self.refresh()
        elif had < top + height or count < had:
            self.refresh()

    def _line_at(self, index: int) -> LogLine | None:
        shown = self._ring.shown
        return shown[index] if 0 <= index < len(shown) else None

    def _cursor_index(self) -> int:
        last = len(self._ring.shown) - 1
        if self._follows or self._cursor_seq is None:
            return last
        return min(self._ring.find(self._cursor_seq), last)

    def _move(self, index: int) -> None:
        index = max(0, index)
        line = self._line_at(index)
        if line is None:
            self.set_follow(True)
            return
        old = self._cursor_index()
        self.set_follow(False)
        self._cursor_seq = line.seq
        top, height = self.scroll_offset.y, self.size.height
        if index < top:
            self.jump_to(index)
        elif index >= top + height:
            self.jump_to(index - height + 1)
        for place in (old, index):
            self.refresh(Region(0, place - self.scroll_offset.y, self.size.width, 1))

    def action_step(self, delta: int) -> None:
        """One line down or up; down from the last begins to follow."""
        self._move(self._cursor_index() + delta)

    def action_page(self, delta: int) -> None:
        """One window down or up."""
        last = len(self._ring.shown) - 1
        index = self._cursor_index()
        wanted = index + delta * max(1, self.size.height - 1)
        self._move(wanted if index == last else min(wanted, last))

    def action_top(self) -> None:
        """To the oldest line that is kept."""
        self._move(0)

    def action_follow(self) -> None:
        """To the end, and stay there."""
        self.set_follow(True)

    def action_open(self) -> None:
        """To what the line under the cursor is about."""
        line = self._line_at(self._cursor_index())
        if line is not None:
            self.post_message(self.Opened(line.seq, line.subject))

    def wheel_moved(self) -> None:
        """The wheel stops following, and at the end begins it again."""
        self.set_follow(self.scroll_offset.y >= self.max_scroll_y)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Whoever moves away from the end, by the scroll bar too, stops following."""
        super().watch_scroll_y(old_value, new_value)
        if self._follows and round(new_value) < min(round(old_value), self.max_scroll_y):
            self.set_follow(False)

    def on_click(self, event: events.Click) -> None:
        """Click puts the cursor on a line, a double click opens it."""
        index = self.scroll_offset.y + event.get_content_offset_capture(self).y
        if self._line_at(index) is not None:
            self._move(index)
            if event.chain > 1:
                self.action_open()

    def on_focus(self) -> None:
        """The cursor is drawn while keys come here."""
        self.refresh()

    def on_blur(self) -> None:
        """The same, the other way."""
        self.refresh()

    def on_resize(self) -> None:
        """The end stays visible while following."""
        if self._follows:
            self.jump_to(self.max_scroll_y)

    def render_line(self, y: int) -> Strip:
        """One line: cursor, time, subject, text."""
        width, index = self.size.width, y + self.scroll_offset.y
        line = self._line_at(index)
        if line is None:
            return self.draw((), width) if self._ring.shown else self.draw_emptiness(self._empty_text, y)
        palette, glyphs = self.palette, self.glyphs
        is_cursor = index == self._cursor_index() and (self.has_focus or not self._follows)
        subject_cells = 24 if width >= _WIDE else 14
        subject = fit(short_id(line.subject, subject_cells), subject_cells, ellipsis=glyphs.ellipsis)
        spans = [
            (glyphs.cursor if is_cursor else " ", palette.style("accent")),
            (fit(clock_time(line.at), _TIME_CELLS), palette.style("quiet")),
            (subject + " ", palette.style("quiet")),
            (clean(line.text[:_CLEANED]), palette.style(line.tone)),
        ]
        return self.draw(spans, width, self.cursor_style(is_cursor=is_cursor))
