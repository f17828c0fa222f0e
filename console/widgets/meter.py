"""Numbers over time as one line of text."""

from collections.abc import Sequence

from console.glyphs import glyph_set


def squeezed(values: Sequence[float], width: int) -> list[float]:
    """The values in at most `width` spans of one length, each shown by its largest, so that no peak is lost."""
    if width <= 0 or len(values) <= width:
        return list(values)
    each = -(-len(values) // width)
    ends = range(len(values), 0, -each)
    return [max(values[max(0, end - each) : end]) for end in ends][::-1]


def spark(values: Sequence[float], width: int, use_ascii: bool = False) -> str:
    """The last `width` values as a row of bars, scaled to their maximum; exactly width cells, padded on the left.

    Nothing above zero is drawn as nothing; the smallest level above zero is always visible.
    """
    levels = glyph_set(use_ascii).levels
    shown = [max(0.0, value) for value in values[-width:]] if width > 0 else []
    top = max(shown, default=0.0)
    steps = len(levels) - 1
    bars = "".join(levels[0 if value <= 0 else max(1, min(steps, round(value / top * steps)))] for value in shown)
    return bars.rjust(max(0, width))


def bar(value: float, limit: float, width: int, use_ascii: bool = False) -> str:
    """A share of a limit as `width` cells, full ones first. What is above zero fills one, only the whole fills all."""
    full, empty = ("#", ".") if use_ascii else ("█", "░")
    if width <= 0 or limit <= 0:
        return ""
    cells = int(max(0.0, value) / limit * width)
    if value > 0:
        cells = max(1, cells)
    cells = min(cells, width)
    return full * cells + empty * (width - cells)
