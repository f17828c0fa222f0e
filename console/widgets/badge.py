"""States as coloured text: glyph and word, so that colour is never the only carrier."""

from enum import StrEnum

from rich.segment import Segment

from console.glyphs import Badge
from console.text import cut
from console.theme import Palette
from console.widgets.table import Cell


def badge_cell(badge: Badge, width: int = 0) -> Cell:
    """A badge as a cell of a table; narrower than its word it is the glyph alone. width: 0 for all of it."""
    text = badge.text
    if width and len(text) > width:
        text = cut(text, width, ellipsis="")
    return text.rstrip(), badge.tone


def badge_segment(badge: Badge, palette: Palette) -> Segment:
    """A badge as a segment of a line."""
    return Segment(badge.text, palette.style(badge.tone))


def unknown_badge(state: StrEnum | str) -> Badge:
    """The badge of a state that this version does not know: shown as it came, never as well."""
    return Badge("?", str(state) or "unknown", "stale")
