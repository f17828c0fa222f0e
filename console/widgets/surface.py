"""What every widget draws with: the palette and signs of the app, and lines of exactly the right width."""

from collections.abc import Iterable
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.app import App
from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from console.glyphs import GlyphSet, glyph_set
from console.text import cell_width, clean, cut, wrap
from console.theme import Palette, styles

Span = tuple[str, Style]


def app_of(node: DOMNode) -> App[Any]:
    """The app of a widget or screen."""
    # Textual leaves the result type of an app open.
    return node.app  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def palette_of(app: App[Any]) -> Palette:
    """The styles of the app's present theme."""
    return styles(app.theme)


def glyphs_of(app: App[Any]) -> GlyphSet:
    """The signs of the app's terminal; an app says so by an attribute `use_ascii`."""
    return glyph_set(bool(getattr(app, "use_ascii", False)))


def line(spans: Iterable[Span], width: int, base: Style, *, ellipsis: str = "…") -> Strip:
    """One screen line of exactly width cells from clean text; what does not fit is cut with an ellipsis."""
    segments: list[Segment] = []
    left = width
    for text, style in spans:
        if left <= 0:
            break
        short = cut(text, left, ellipsis=ellipsis)
        if short:
            segments.append(Segment(short, style))
            left -= cell_width(short)
    if left > 0:
        segments.append(Segment(" " * left, base))
    return Strip(segments, max(0, width))


class Surface(Widget):
    """A widget of drawn lines. Subclasses give `render_line`. IS_RAISED: it lies on a dialog."""

    IS_RAISED: ClassVar[bool] = False

    @property
    def palette(self) -> Palette:
        """Present styles."""
        return palette_of(app_of(self))

    @property
    def glyphs(self) -> GlyphSet:
        """Present signs."""
        return glyphs_of(app_of(self))

    @property
    def ground(self) -> Style:
        """What lies beneath the text; the style cache of Textual does not fill it in."""
        return self.palette.raised if self.IS_RAISED else self.palette.ground

    def draw(self, spans: Iterable[Span], width: int, over: Style | None = None) -> Strip:
        """A line of exactly width cells on this widget. over: what marks the whole line, such as the cursor's style."""
        palette = self.palette
        strip = line(spans, width, palette.style("plain"), ellipsis=self.glyphs.ellipsis)
        if over is not None:
            strip = Strip(Segment.apply_style(strip, post_style=over), width)
        return strip.apply_style(self.ground)

    def cursor_style(self, *, is_cursor: bool) -> Style | None:
        """What marks the line of the cursor; None for other lines."""
        if not is_cursor:
            return None
        return self.palette.cursor if self.has_focus else self.palette.cursor_blurred


MOVES: list[BindingType] = [
    Binding("j,down", "step(1)", "down", show=False, id="nav.down"),
    Binding("k,up", "step(-1)", "up", show=False, id="nav.up"),
    Binding("pagedown", "page(1)", "page down", show=False, id="nav.page_down"),
    Binding("pageup", "page(-1)", "page up", show=False, id="nav.page_up"),
    Binding("enter", "open", "open", show=False, id="nav.open"),
]
"""Keys that every list has; the list itself says what a step, a page and opening are."""

FOLLOW_MOVES: list[BindingType] = [
    *MOVES,
    Binding("g,home", "top", "first", show=False, id="nav.first"),
    Binding("f,G,end", "follow", "follow", show=False, id="log.follow"),
]
"""The same for lists that stay at their end while they grow."""


class ScrolledSurface(Surface, ScrollView, can_focus=True):
    """Drawn lines that scroll up and down, never sideways, at once and without animation."""

    DEFAULT_CSS = """
    ScrolledSurface {
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        scrollbar-size-horizontal: 0;
    }
    """

    WHEEL_LINES = 3
    _drawn_width = -1

    @property
    def size(self) -> Size:
        """What can be drawn on: without the scroll bar, which Textual counts in."""
        inner = self.scrollable_size
        return inner if inner.width else super().size

    def on_mount(self) -> None:
        """A terminal without Unicode cannot draw the scroll bar."""
        if getattr(app_of(self), "use_ascii", False):
            self.styles.scrollbar_size_vertical = 0

    def drawn_width(self) -> int:
        """The cells of a line. Textual sends no Resize when the scroll bar takes one: drawing notices it."""
        width = self.size.width
        if width != self._drawn_width:
            self._drawn_width = width
            self.call_later(self.width_changed)
        return width

    def width_changed(self) -> None:
        """Called when there may be more or fewer cells for text than before."""

    def draw_emptiness(self, text: str, y: int, first: int = 1) -> Strip:
        """Line y of what is said when there is nothing to show; the text begins at line `first` or lower."""
        width = self.size.width
        lines = wrap(clean(text, keep_newlines=True), max(2, width - 4)) if text else []
        nth = y - max(first, (self.size.height - len(lines)) // 3)
        return self.draw([("  " + lines[nth], self.palette.style("quiet"))] if 0 <= nth < len(lines) else (), width)

    def jump_to(self, y: float) -> None:
        """Scroll so that line y of the content is at the top."""
        if not self.is_attached:
            return
        # By force: without it nothing moves before the next layout has shown the scroll bar.
        self.scroll_to(y=max(0, min(y, self.max_scroll_y)), animate=False, force=True)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel moves by whole lines."""
        self._wheel(event, self.WHEEL_LINES)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The same, the other way."""
        self._wheel(event, -self.WHEEL_LINES)

    def _wheel(self, event: events.MouseEvent, lines: int) -> None:
        # Textual calls the handlers of all base classes too, unless told not to.
        event.prevent_default()
        event.stop()
        self.jump_to(self.scroll_offset.y + lines)
        self.wheel_moved()

    def wheel_moved(self) -> None:
        """Called after the wheel has moved the view."""
