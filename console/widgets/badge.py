"""States as coloured text: glyph and word, so that colour is never the only carrier."""

from console.glyphs import Badge
from console.text import cut
from console.widgets.table import Cell


def badge_cell(badge: Badge, width: int = 0) -> Cell:
    """A badge as a cell of a table; narrower than its word it is the glyph alone. width: 0 for all of it."""
    text = badge.text
    if width and len(text) > width:
        text = cut(text, width, ellipsis="")
    return text.rstrip(), badge.tone
