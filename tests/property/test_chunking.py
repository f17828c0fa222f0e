"""Cut texts: whole when joined, never too long, with code blocks closed and links in one piece."""

import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.api.errors import InvalidInput
from core.gateway.chunking import LEAST_LIMIT, Chunk, chunks, size
from core.gateway.platform import TextUnit

PIECES = st.sampled_from(
    [
        "```python\n",
        "```\n",
        "~~~\n",
        "````sh\n",
        "\n```",
        "x = 1\n",
        "word ",
        "\n\n",
        "\n",
        "`code here`",
        "[a link](https://example.org/a/b)",
        "https://example.org/path?q=1",
        "ä",
        "e\u0301",
        "👩\u200d👩\u200d👧",
        "👍🏽",
        "🇩🇪",
        "漢字",
        "\r\n",
        "looooooooooooooooooooooooong",
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=12), max_size=60).map("".join)
LIMITS = st.integers(LEAST_LIMIT, 120)
UNITS = st.sampled_from(TextUnit)


@given(text=TEXTS, limit=LIMITS, unit=UNITS)
@example(text="```python\n" + "x" * 100, limit=30, unit=TextUnit.CHARACTERS)
@example(text="```\n```\n```\n" * 20, limit=16, unit=TextUnit.CHARACTERS)
@example(text="a```\n" + "\n" * 50, limit=16, unit=TextUnit.BYTES)
def test_the_bodies_joined_are_the_text_and_no_part_is_too_long(text: str, limit: int, unit: TextUnit) -> None:
    """Nothing is lost, repeated or moved; each part fits, with what was added; none is empty."""
    parts = chunks(text, limit, unit)
    assert "".join(part.body for part in parts) == text
    assert all(size(part.text, unit) <= limit for part in parts)
    assert all(part.body for part in parts)
    assert (len(parts) <= 1) == (size(text, unit) <= limit)


@given(text=TEXTS, limit=LIMITS, unit=UNITS)
def test_what_is_added_only_closes_and_opens_code_blocks(text: str, limit: int, unit: TextUnit) -> None:
    """A tail is a fence, and the part behind it begins with the same one and the language; else neither is there."""
    parts = chunks(text, limit, unit)
    for part, following in pairwise(parts):
        assert re.fullmatch(r"(\n?(`{3,}|~{3,}))?", part.tail)
        assert bool(part.tail) == bool(following.head)
        if part.tail:
            assert following.head.startswith(part.tail.strip("\n"))
            assert following.head.endswith("\n")
    if parts:
        assert (parts[0].head, parts[-1].tail) == ("", "")


@given(before=st.text("ab \n", max_size=80), after=st.text("ab \n", max_size=80), limit=st.integers(50, 90), unit=UNITS)
@pytest.mark.parametrize(
    "whole",
    [
        "[a link](https://example.org/a/b)",
        "`some inline code`",
        "https://example.org/path",
        "👩\u200d👩\u200d👧",
        "🇩🇪🇫🇷",
    ],
)
def test_what_fits_into_a_part_stays_in_one_piece(
    whole: str, before: str, after: str, limit: int, unit: TextUnit
) -> None:
    """A link, inline code, an address, a picture of several signs."""
    text = f"{before}{whole}{after}"
    parts = chunks(text, limit, unit)
    assert sum(whole in part.body for part in parts) == 1


@given(lines=st.lists(st.text("xyz =", max_size=30), min_size=1, max_size=60), limit=st.integers(48, 200))
def test_every_part_of_a_code_block_is_a_code_block_of_its_language(lines: list[str], limit: int) -> None:
    """Its fences are balanced in each message, and all of them name the language."""
    text = "```python\n" + "\n".join(lines) + "\n```"
    for part in chunks(text, limit):
        fences = [line for line in part.text.split("\n") if line.startswith("```")]
        assert fences[::2] == ["```python"] * len(fences[::2])
        assert fences[1::2] == ["```"] * len(fences[1::2])
        assert len(fences) % 2 == 0


def test_a_cut_falls_between_paragraphs_rather_than_lines_and_between_lines_rather_than_words() -> None:
    """As long as a part is at least half full by it."""
    text = "one two three\nfour five\n\nsix seven eight"
    assert [part.body for part in chunks(text, 30)] == ["one two three\nfour five\n\n", "six seven eight"]
    assert chunks("one two\nthree four", 16) == (Chunk("one two\n"), Chunk("three four"))
    assert chunks("one two three four five", 16) == (Chunk("one two three "), Chunk("four five"))


def test_text_that_fits_is_left_as_it_is() -> None:
    """Counted in the unit of the platform."""
    assert chunks("👍" * 8, 16, TextUnit.UTF16) == (Chunk("👍" * 8),)
    assert len(chunks("👍" * 9, 16, TextUnit.UTF16)) == 2
    assert len(chunks("👍" * 8, 16, TextUnit.BYTES)) == 2
    assert chunks("", 16) == ()


def test_a_limit_that_leaves_no_room_is_refused() -> None:
    """The error names it."""
    with pytest.raises(InvalidInput) as caught:
        chunks("hello", 3)
    assert caught.value.facts["field"] == "limit"


def test_a_long_text_is_cut_in_time_that_grows_with_its_length() -> None:
    """Two hundred thousand signs without a single good place still come out whole."""
    text = "ä" * 200_000
    parts = chunks(text, 4000, TextUnit.BYTES)
    assert len(parts) == 100
    assert "".join(part.body for part in parts) == text
