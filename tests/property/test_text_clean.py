"""Whatever comes from outside, what reaches the screen is harmless and of the right width."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from console import text

NASTY = st.sampled_from(
    [
        "\x1b[2J",
        "\x1b]52;c;x\x07",
        "\u202e",
        "\u200b",
        "[red]",
        "\ud800",
        "\U000e0020",
        "👍🏽",
        "漢",
        "e\u0301",
        "\t",
        "\r\n",
        "\x9b",
    ]
)
ANY_TEXT = st.lists(st.one_of(st.text(max_size=20), NASTY), max_size=20).map("".join)


# Format characters that are drawn like letters of their script are no danger.
DRAWN_FORMATS = range(0x600, 0x110CE)
DANGEROUS = "\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202e\u2066\u2069\ufeff\ufe0f\u3164"


def _is_harmless(char: str) -> bool:
    category = unicodedata.category(char)
    if category == "Cf":
        return ord(char) in DRAWN_FORMATS and char not in DANGEROUS
    return category not in {"Cc", "Cs", "Zl", "Zp"} and char not in DANGEROUS


@given(ANY_TEXT)
def test_no_control_or_format_character_is_left(raw: str) -> None:
    """Nothing is left that moves the cursor or turns the direction of text."""
    hidden = [char for char in text.clean(raw) if not _is_harmless(char)]
    assert hidden == []


@given(ANY_TEXT)
def test_cleaning_twice_changes_nothing_more(raw: str) -> None:
    """What is clean stays as it is."""
    once = text.clean(raw, keep_newlines=True)
    assert text.clean(once, keep_newlines=True) == once


@given(ANY_TEXT)
def test_clean_text_can_be_encoded(raw: str) -> None:
    """Lone halves of characters never reach the terminal."""
    assert text.clean(raw).encode("utf-8").decode("utf-8") == text.clean(raw)


@given(ANY_TEXT, st.integers(0, 60))
def test_fitted_text_has_exactly_the_width(raw: str, width: int) -> None:
    """The compositor and our own measure agree."""
    shown = text.clean(raw)
    assert cell_len(text.fit(shown, width)) == width
    assert cell_len(text.fit_right(shown, width)) == width
    assert text.cell_width(shown) == cell_len(shown)


@given(ANY_TEXT, st.integers(2, 40))
def test_wrapped_lines_fit_and_lose_only_spaces(raw: str, width: int) -> None:
    """All that is not a space is on some line, in order."""
    shown = text.clean(raw, keep_newlines=True)
    lines = text.wrap(shown, width)
    assert all(cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(shown.split())


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_an_age_is_never_longer_than_six_cells_for_a_lifetime(seconds: float) -> None:
    """Ages up to a hundred years fit their column."""
    assert len(text.age(seconds)) <= 7 or seconds > 100 * 366 * 86400


@given(ANY_TEXT, st.integers(0, 30))
def test_a_short_id_fits(raw: str, width: int) -> None:
    """Also ids with wide characters."""
    assert cell_len(text.short_id(raw, width)) <= width


@given(ANY_TEXT)
def test_masking_is_stable(raw: str) -> None:
    """What was masked once is not masked into something else."""
    once = text.redact(raw)
    assert text.redact(once) == once
