"""Numbers over time as one line of text."""

from collections.abc import Sequence

from console.glyphs import glyph_set


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
