"""One line of facts at the top and one line of keys at the bottom."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.style import Style
from textual.strip import Strip

from console.text import cell_width, clean, cut
from console.widgets.surface import Span, Surface

Part = tuple[str, str]
"""Text and its tone."""

_GAP = "  "
_SECOND = 2
_LEAST_CELLS = 8


def _width(parts: Sequence[Part]) -> int:
    return sum(cell_width(text) for text, _ in parts) + len(_GAP) * max(0, len(parts) - 1)


class StatusBar(Surface):
    """Facts on the left and on the right of one line. Where it is narrow the last of the left ones go first.

    The second, which says what the line is about, is cut before it goes.
    """

    DEFAULT_CSS = "StatusBar { height: 1; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self._left: tuple[Part, ...] = ()
        self._right: tuple[Part, ...] = ()

    def set_parts(self, left: Sequence[Part], right: Sequence[Part] = ()) -> None:
        """Show other parts; the first of the left ones is the last to go, then come those on the right."""
        new_left = tuple((clean(text), tone) for text, tone in left if text)
        new_right = tuple((clean(text), tone) for text, tone in right if text)
        if (new_left, new_right) != (self._left, self._right):
            self._left, self._right = new_left, new_right
            self.refresh()

    def _chosen(self, width: int) -> tuple[list[Part], list[Part]]:
        left, right = list(self._left), list(self._right)

        def needed() -> int:
            return _width(left) + _width(right) + (len(_GAP) if left and right else 0)

        while len(left) > _SECOND and needed() > width:
            left.pop()
        if len(left) == _SECOND and (over := needed() - width) > 0:
            words, tone = left.pop()
            if (room := cell_width(words) - over) >= _LEAST_CELLS:
                left.append((cut(words, room, ellipsis=self.glyphs.ellipsis), tone))
        while right and needed() > width:
            right.pop(0)
        return left, right

    def render_line(self, y: int) -> Strip:
        """The line."""
        width = self.size.width
        if y:
            return self.draw((), width)
        palette = self.palette
        plain = palette.style("plain")
        left, right = self._chosen(width)
        spans: list[Span] = []
        for nth, (text, tone) in enumerate(left):
            spans += [(_GAP, plain)] if nth else []
            spans.append((text, palette.style(tone)))
        if right:
            spans.append((" " * max(0, width - _width(left) - _width(right)), plain))
            for nth, (text, tone) in enumerate(right):
                spans += [(_GAP, plain)] if nth else []
                spans.append((text, palette.style(tone)))
        return self.draw(spans, width)


@dataclass(frozen=True, slots=True)
class Hint:
    """A key and what it does. disabled_reason: why it does nothing now; "" when it works."""

    key: str
    title: str
    disabled_reason: str = ""


class HintBar(Surface):
    """The keys of a place on one line; those that do nothing now are dim, with the reason where there is room."""

    DEFAULT_CSS = "HintBar { height: 1; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self._hints: tuple[Hint, ...] = ()

    def set_hints(self, hints: Sequence[Hint]) -> None:
        """Show other keys, the most important first."""
        new = tuple(Hint(clean(hint.key), clean(hint.title), clean(hint.disabled_reason)) for hint in hints)
        if new != self._hints:
            self._hints = new
            self.refresh()

    def _pieces(self, *, with_reasons: bool) -> list[list[Span]]:
        palette = self.palette
        key, title, off = palette.style("accent"), palette.style("quiet"), palette.style("stale")
        pieces: list[list[Span]] = []
        for hint in self._hints:
            if hint.disabled_reason:
                reason = f" (off: {hint.disabled_reason})" if with_reasons else " (off)"
                pieces.append([(f"{hint.key} {hint.title}{reason}", off)])
            else:
                pieces.append([(hint.key, key), (f" {hint.title}", title)])
        return pieces

    def render_line(self, y: int) -> Strip:
        """The line; whole hints only."""
        width = self.size.width
        if y:
            return self.draw((), width)
        pieces = self._pieces(with_reasons=True)
        if sum(cell_width(text) for piece in pieces for text, _ in piece) + len(_GAP) * len(pieces) >= width:
            pieces = self._pieces(with_reasons=False)
        gap: Span = (_GAP, Style.null())
        spans: list[Span] = [(" ", Style.null())]
        used = 1
        for nth, piece in enumerate(pieces):
            needed = sum(cell_width(text) for text, _ in piece) + (len(_GAP) if nth else 0)
            if used + needed > width:
                break
            spans += [gap, *piece] if nth else piece
            used += needed
        return self.draw(spans, width)
