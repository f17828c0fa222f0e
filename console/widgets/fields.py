"""Facts as label and value, one under the other, with wrapping and headings."""

from collections.abc import Sequence

from textual.binding import Binding
from textual.geometry import Size
from textual.strip import Strip

from console.text import clean, fit, wrap
from console.widgets.surface import ScrolledSurface, Span

Field = tuple[str, str, str]
"""Label, value, tone of the value. A label "" carries on; a label that begins with "-- " is a heading."""

_HEADING = "-- "


class FieldPane(ScrolledSurface):
    """Rows of label and value. Repaints only the lines that changed, so ages may tick in it."""

    DEFAULT_CSS = "FieldPane { height: 1fr; }"

    BINDINGS = [  # noqa: RUF012 - Textual declares it so
        Binding("j,down", "scroll_by(1)", "down", show=False, id="nav.down"),
        Binding("k,up", "scroll_by(-1)", "up", show=False, id="nav.up"),
    ]

    def __init__(self, *, title: str = "", label_width: int = 12, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self._heading = title
        self._label_width = label_width
        self._fields: tuple[Field, ...] = ()
        self._laid: list[Field] = []
        self._laid_width = -1

    def set_fields(self, fields: Sequence[Field]) -> None:
        """Show other facts."""
        new = tuple(fields)
        if new != self._fields:
            self._fields = new
            self._lay_out()

    def action_scroll_by(self, delta: int) -> None:
        """Move the view by lines."""
        self.jump_to(self.scroll_offset.y + delta)

    def on_resize(self) -> None:
        """Another size, another layout."""
        self.virtual_size = Size(1, max(len(self._laid), self.size.height))
        self.width_changed()

    def width_changed(self) -> None:
        """Values wrap to the new width."""
        if self.size.width != self._laid_width:
            self._lay_out()

    def _lay_out(self) -> None:
        width = self.size.width
        if width <= 0:
            # Hidden: whatever its next size is, it has to be laid out again.
            self._laid_width = -1
            return
        room = max(2, width - self._label_width - 2)
        laid: list[Field] = [(f"{_HEADING}{clean(self._heading)}", "", "")] if self._heading else []
        for label, value, tone in self._fields:
            if label.startswith(_HEADING):
                laid.append((clean(label), clean(value), tone))
                continue
            lines = wrap(clean(value, keep_newlines=True), room)
            laid.append((clean(label), lines[0], tone))
            laid.extend(("", line, tone) for line in lines[1:])
        old, self._laid = self._laid, laid
        old_width, self._laid_width = self._laid_width, width
        # Another virtual size lays out the whole screen; while all fits there is nothing to scroll and no need for it.
        self.virtual_size = Size(1, max(len(laid), self.size.height))
        if len(old) != len(laid) or old_width != width:
            self.refresh()
            return
        for place, (before, after) in enumerate(zip(old, laid, strict=True)):
            if before != after:
                self.refresh_line(place)

    def render_line(self, y: int) -> Strip:
        """One line: a heading, or label and value."""
        width, index = self.drawn_width(), y + self.scroll_offset.y
        if index >= len(self._laid):
            return self.draw((), width)
        label, value, tone = self._laid[index]
        palette, glyphs = self.palette, self.glyphs
        if label.startswith(_HEADING):
            title = label.removeprefix(_HEADING)
            before = glyphs.rule * 2 + " "
            after = " " + glyphs.rule * max(0, width - len(before) - len(title) - 1)
            spans: list[Span] = [(before, palette.rule), (title, palette.header), (after, palette.rule)]
            return self.draw(spans, width)
        spans = [
            (" " + fit(label, self._label_width, ellipsis=glyphs.ellipsis) + " ", palette.style("quiet")),
            (value, palette.style(tone)),
        ]
        return self.draw(spans, width)
