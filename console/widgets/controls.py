"""The small parts of dialogs: lines of text, a choice, buttons, a tick box, a line to type in."""

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from console.text import cell_width, clean, wrap
from console.widgets.surface import ScrolledSurface, Span, Surface

ToneLine = tuple[str, str]
"""Text and its tone."""


def _wrapped(lines: Sequence[ToneLine], width: int) -> list[ToneLine]:
    room = max(2, width)
    return [(part, tone) for text, tone in lines for part in wrap(clean(text, keep_newlines=True), room)]


def _is_refused(control: Widget, event: events.Event) -> bool:
    """Whether the dialog around a control does not want the event: it may have a method `refuses(event)`."""
    refuses = getattr(control.screen, "refuses", None)
    return callable(refuses) and bool(refuses(event))


class _Control(Surface):
    """A control that asks its dialog before any key reaches it."""

    IS_RAISED: ClassVar[bool] = True

    def _forward_event(self, event: events.Event) -> None:
        if not _is_refused(self, event):
            super()._forward_event(event)


class Lines(Surface):
    """Text of a dialog, wrapped; as high as it needs to be."""

    DEFAULT_CSS = "Lines { height: auto; width: 1fr; }"
    IS_RAISED: ClassVar[bool] = True

    def __init__(self, lines: Sequence[ToneLine] = (), *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self._text_lines = tuple(lines)
        self._laid: tuple[int, list[ToneLine]] = (-1, [])

    def set_lines(self, lines: Sequence[ToneLine]) -> None:
        """Show other text."""
        if tuple(lines) != self._text_lines:
            self._text_lines = tuple(lines)
            self._laid = (-1, [])
            self.refresh(layout=True)

    def _lay_out(self, width: int) -> list[ToneLine]:
        if self._laid[0] != width:
            self._laid = (width, _wrapped(self._text_lines, width))
        return self._laid[1]

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002 - asked so by Textual
        """As many lines as the text takes."""
        return len(self._lay_out(width)) if self._text_lines else 0

    def render_line(self, y: int) -> Strip:
        """One line."""
        width = self.size.width
        laid = self._lay_out(width)
        text, tone = laid[y] if y < len(laid) else ("", "plain")
        return self.draw([(text, self.palette.style(tone))], width)


class ScrolledLines(ScrolledSurface):
    """Text that may be longer than its place: all of it can be read by scrolling."""

    DEFAULT_CSS = "ScrolledLines { height: auto; max-height: 10; width: 1fr; }"
    IS_RAISED: ClassVar[bool] = True

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "scroll_by(1)", "down", show=False, id="nav.down"),
        Binding("k,up", "scroll_by(-1)", "up", show=False, id="nav.up"),
    ]

    def __init__(self, lines: Sequence[ToneLine] = (), *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self._text_lines = tuple(lines)
        self._laid: list[ToneLine] = []
        self._laid_width = -1
        self._seen_to = 0

    @property
    def is_seen_whole(self) -> bool:
        """Whether every line was on the screen since the text is what it is."""
        return 0 < len(self._laid) <= self._seen_to

    def _forward_event(self, event: events.Event) -> None:
        if not _is_refused(self, event):
            super()._forward_event(event)

    def set_lines(self, lines: Sequence[ToneLine]) -> None:
        """Show other text from its beginning."""
        if tuple(lines) != self._text_lines:
            self._text_lines = tuple(lines)
            self._laid_width, self._seen_to = -1, 0
            self.jump_to(0)
            self.refresh(layout=True)

    def _lay_out(self, width: int) -> list[ToneLine]:
        if self._laid_width != width:
            self._laid_width, self._laid = width, _wrapped(self._text_lines, width)
        return self._laid

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002 - asked so by Textual
        """As many lines as the text takes, up to the limit of the style."""
        return max(1, len(self._lay_out(width)))

    def on_resize(self) -> None:
        """Another size, another layout."""
        self.width_changed()

    def width_changed(self) -> None:
        """Wrap to the new width. What was not seen whole before has to be seen again: its lines are others now."""
        if not self.is_seen_whole:
            self._seen_to = 0
            # Only what is drawn from now on counts, so it must be drawn.
            self.refresh()
        self.virtual_size = Size(1, len(self._lay_out(self.size.width)))

    def action_scroll_by(self, delta: int) -> None:
        """Move the view by lines. A key that repeats faster than the screen is drawn passes over none unseen."""
        self.jump_to(min(self.scroll_offset.y + delta, max(self._seen_to, self.scroll_offset.y)))

    def render_line(self, y: int) -> Strip:
        """One line."""
        width, index = self.drawn_width(), y + self.scroll_offset.y
        laid = self._lay_out(width)
        # A jump over the middle has not shown it: only line after line counts.
        if index == self._seen_to < len(laid):
            self._seen_to += 1
        text, tone = laid[index] if index < len(laid) else ("", "plain")
        return self.draw([(text, self.palette.style(tone))], width)


class Choice(_Control, can_focus=True):
    """One of several, side by side or one under the other. Moving chooses; nothing is carried out by it."""

    DEFAULT_CSS = "Choice { height: auto; width: 1fr; }"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,down,l,j", "choose(1)", "next", show=False),
        Binding("left,up,h,k", "choose(-1)", "previous", show=False),
    ]

    class Changed(Message):
        """Another one is chosen."""

        def __init__(self, choice: "Choice", index: int) -> None:
            super().__init__()
            self.choice = choice
            self.index = index

        @property
        def control(self) -> "Choice":
            """The widget it comes from."""
            return self.choice

    def __init__(
        self,
        options: Sequence[str],
        *,
        label: str = "",
        chosen: int = 0,
        is_vertical: bool = False,
        id: str | None = None,  # noqa: A002 - Textual's word
    ) -> None:
        super().__init__(id=id)
        self._options = [clean(option) for option in options]
        self._label = label
        self._chosen = chosen
        self._is_vertical = is_vertical

    @property
    def index(self) -> int:
        """Which one is chosen."""
        return self._chosen

    def choose(self, index: int) -> None:
        """Choose one."""
        index = max(0, min(index, len(self._options) - 1))
        if index != self._chosen:
            self._chosen = index
            self.refresh()
            self.post_message(self.Changed(self, index))

    def set_options(self, options: Sequence[str], chosen: int = 0) -> None:
        """Others to choose from."""
        self._options, self._chosen = [clean(option) for option in options], chosen
        self.refresh(layout=True)

    def action_choose(self, delta: int) -> None:
        """The next or the one before."""
        self.choose(self._chosen + delta)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002 - asked so by Textual
        """One line, or one for each."""
        return len(self._options) if self._is_vertical else 1

    def on_click(self, event: events.Click) -> None:
        """Click chooses."""
        at = event.get_content_offset_capture(self)
        if self._is_vertical:
            self.choose(at.y)
            return
        left = cell_width(self._label)
        for index, option in enumerate(self._options):
            left += cell_width(option) + 7
            if at.x < left:
                self.choose(index)
                return

    def render_line(self, y: int) -> Strip:
        """One line of options."""
        palette, glyphs = self.palette, self.glyphs
        spans: list[Span] = [(self._label if not y else " " * cell_width(self._label), palette.style("quiet"))]
        for index, option in enumerate(self._options):
            if self._is_vertical and index != y:
                continue
            is_chosen = index == self._chosen
            sign = glyphs.chosen if is_chosen else glyphs.unchosen
            style = palette.style("strong" if is_chosen else "plain")
            if is_chosen and self.has_focus:
                style += palette.cursor
            spans += [(f"({sign}) {option}", style), ("   ", palette.style("plain"))]
        return self.draw(spans, self.size.width)

    def on_focus(self) -> None:
        """Show where keys go."""
        self.refresh()

    def on_blur(self) -> None:
        """Show that keys go elsewhere."""
        self.refresh()


class Buttons(_Control, can_focus=True):
    """Buttons in a row: arrows move, enter presses. One that is off is dim and cannot be pressed."""

    DEFAULT_CSS = "Buttons { height: 1; width: 1fr; }"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l", "move(1)", "next", show=False),
        Binding("left,h", "move(-1)", "previous", show=False),
        Binding("enter", "press", "press", show=False),
    ]

    class Pressed(Message):
        """A button was pressed."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, labels: Sequence[str], *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self._labels = [clean(label) for label in labels]
        self._at = 0
        self._off: set[int] = set()

    def set_off(self, index: int, *, is_off: bool) -> None:
        """Switch a button off or on."""
        if (index in self._off) != is_off:
            self._off ^= {index}
            self.refresh()

    def action_move(self, delta: int) -> None:
        """To the next button."""
        self._at = max(0, min(self._at + delta, len(self._labels) - 1))
        self.refresh()

    def action_press(self) -> None:
        """Press the button that is marked."""
        if self._at not in self._off:
            self.post_message(self.Pressed(self._at))

    def on_click(self, event: events.Click) -> None:
        """Click presses."""
        x, left = event.get_content_offset_capture(self).x, 0
        for index, label in enumerate(self._labels):
            right = left + cell_width(label) + 4
            if left <= x < right:
                self._at = index
                self.refresh()
                self.action_press()
                return
            left = right + 2

    def render_line(self, y: int) -> Strip:  # noqa: ARG002 - there is one line
        """The row."""
        palette = self.palette
        spans: list[Span] = []
        for index, label in enumerate(self._labels):
            tone = "stale" if index in self._off else "strong" if index == self._at else "plain"
            style = palette.style(tone)
            if index == self._at and self.has_focus:
                style += palette.cursor
            spans += [(f"[ {label} ]", style), ("  ", palette.style("plain"))]
        return self.draw(spans, self.size.width)

    def on_focus(self) -> None:
        """Show where keys go."""
        self.refresh()

    def on_blur(self) -> None:
        """Show that keys go elsewhere."""
        self.refresh()


class TickBox(_Control, can_focus=True):
    """Something that is on or off; space changes it."""

    DEFAULT_CSS = "TickBox { height: 1; width: 1fr; }"

    BINDINGS: ClassVar[list[BindingType]] = [Binding("space,x", "tick", "change", show=False)]

    def __init__(self, label: str, *, is_on: bool = False, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self._label = clean(label)
        self.is_on = is_on

    def action_tick(self) -> None:
        """On or off."""
        self.is_on = not self.is_on
        self.refresh()

    def on_click(self) -> None:
        """Click changes it."""
        self.action_tick()

    def render_line(self, y: int) -> Strip:  # noqa: ARG002 - there is one line
        """The box and what it is for."""
        style = self.palette.style("plain")
        if self.has_focus:
            style += self.palette.cursor
        return self.draw([(f"[{'x' if self.is_on else ' '}] {self._label}", style)], self.size.width)

    def on_focus(self) -> None:
        """Show where keys go."""
        self.refresh()

    def on_blur(self) -> None:
        """Show that keys go elsewhere."""
        self.refresh()


class LineInput(Input):
    """One line to type in; what is pasted is cleaned first."""

    DEFAULT_CSS = """
    LineInput { border: none; height: 1; padding: 0; width: 1fr; background: $background; }
    LineInput:focus { border: none; }
    """

    def _forward_event(self, event: events.Event) -> None:
        if not _is_refused(self, event):
            super()._forward_event(event)

    def on_paste(self, event: events.Paste) -> None:
        """Clean it; the handler of the base class, which Textual calls next, puts it in."""
        event.text = clean(event.text)
