"""Markdown in the HTML that Telegram knows."""

import pytest

from core.gateway.adapters.telegram_html import html

CASES = [
    ("plain & <simple>", "plain &amp; &lt;simple&gt;"),
    ("**bold** and *italic* and ~~gone~~", "<b>bold</b> and <i>italic</i> and <s>gone</s>"),
    ("__bold__ _italic_", "<b>bold</b> <i>italic</i>"),
    ("snake_case_name and 2 * 3 * 4", "snake_case_name and 2 * 3 * 4"),
    ("**bold *both* bold**", "<b>bold <i>both</i> bold</b>"),
    ("`a < b` and ``x`y``", "<code>a &lt; b</code> and <code>x`y</code>"),
    ("`**not bold**`", "<code>**not bold**</code>"),
    ("**open", "**open"),
    ("\\*not italic\\*", "*not italic*"),
    ("[a *b*](https://x.org/?q=1&r=2)", '<a href="https://x.org/?q=1&amp;r=2">a <i>b</i></a>'),
    ("[wiki](https://x.org/a_(b))", '<a href="https://x.org/a_(b)">wiki</a>'),
    ("[a [*b*](https://x.org)", '<a href="https://x.org">a [*b*</a>'),
    ("[bad](javascript:alert(1))", "[bad](javascript:alert(1))"),
    ("![chart](https://x.org/c.png)", '<a href="https://x.org/c.png">chart</a>'),
    ("# Title **x**\ntext", "<b>Title <b>x</b></b>\ntext"),
    ("#hashtag", "#hashtag"),
    ("- one\n  * two", "• one\n  • two"),
    ("> said\n> so\nno", "<blockquote>said\nso</blockquote>\nno"),
    (
        "```py\nif a < b:\n    **x**\n```\nend",
        '<pre><code class="language-py">if a &lt; b:\n    **x**</code></pre>\nend',
    ),
    ("```\nnever closed", "<pre>never closed</pre>"),
    ("~~~\na\n```\nb\n~~~", "<pre>a\n```\nb</pre>"),
    ("a | b\n--|--\n1 | *2*\n\nend", "<pre>a | b\n--|--\n1 | *2*</pre>\n\nend"),
    ("above\n---\nbelow", "above\n———\nbelow"),
    ("*two\nlines*", "<i>two\nlines</i>"),
]


@pytest.mark.parametrize(("markdown", "made"), CASES)
def test_marks_become_tags(markdown: str, made: str) -> None:
    """Those that Telegram knows; everything else is shown as it was written."""
    assert html(markdown) == made


def test_a_mark_that_is_closed_too_far_away_is_shown_as_it_was_written() -> None:
    """So that no text takes long."""
    text = " ".join("`" * count + "a" for count in range(1, 40))
    assert html(text) == text
