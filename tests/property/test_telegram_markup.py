"""Whatever an agent writes, Telegram can read what we make of it, and it is never longer than it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.gateway.adapters.telegram_html import html
from core.gateway.adapters.telegram_text import units
from tests.support.fake_telegram.markup import parse_html

PIECES = st.sampled_from(
    [
        "**",
        "*",
        "_",
        "__",
        "~~",
        "`",
        "```",
        "[",
        "](",
        "](https://a.b/c",
        ")",
        "![",
        "|",
        "<b>",
        "&amp;",
        '"',
        "\\",
        "word",
        "🙂",
        "é",
        "---",
        "tg://x",
        "~~~",
        "<",
        ">",
        "\n",
        "```py\n",
        "# ",
        "- ",
        "> ",
        " ",
        "\t",
        "1. ",
        "|--|--|\n",
    ]
)
MARKDOWN = st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=80)


@given(MARKDOWN)
def test_what_is_made_can_be_read(markdown: str) -> None:
    """By a reader that refuses whatever Telegram refuses."""
    parse_html(html(markdown))


@given(MARKDOWN)
def test_what_is_shown_is_not_longer(markdown: str) -> None:
    """So a text that was cut to the limit stays within it."""
    shown, _ = parse_html(html(markdown))
    assert units(shown) <= units(markdown)


@given(MARKDOWN)
def test_no_word_is_lost(markdown: str) -> None:
    """Only marks are taken away: letters stay, in their order. The addresses of links become part of the mark."""
    shown, entities = parse_html(html(markdown))
    if any("url" in entity or "language" in entity for entity in entities):
        return
    kept = iter(letter for letter in markdown if letter.isalpha())
    assert all(letter in kept for letter in shown if letter.isalpha())


@pytest.mark.parametrize("piece", ["*a", "_a ", "**a", "`", "``a", "[", "[a](", "![", "> ", "|-|\n", "~~", "<", "\\*"])
def test_a_text_of_nothing_but_opening_marks_is_read_in_one_go(piece: str) -> None:
    """It cannot hold the loop up: it is as long as one message can be."""
    text = (piece * 4096)[:4096]
    shown, _ = parse_html(html(text))
    assert units(shown) <= 4096
