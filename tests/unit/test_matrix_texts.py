"""Markdown as HTML for Matrix, and answers as contents of events."""

from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.base import DeliveryId, SessionId
from core.api.sessions import ChatKind, Source
from core.gateway.adapters.matrix_content import (
    EVENT_LIMIT_BYTES,
    TEXT_LIMIT_BYTES,
    file_content,
    notice_content,
    text_content,
)
from core.gateway.adapters.matrix_html import html_of, is_plain
from core.gateway.platform import FileKind, Outbound, OutboundFile
from tests.support.platform_rig import NAME

ALLOWED = frozenset(
    {"p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "code", "ul", "ol", "li", "strong"}
    | {"em", "del", "a", "table", "thead", "tbody", "tr", "th", "td"}
)
VOID = {"br", "hr"}
MARKS = "*_~`[]()<>#->|\\! \n\t1.abé&\"'"


class Checked(HTMLParser):
    """Reads HTML and fails unless it is well formed and made of allowed tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Only known tags, and of attributes those that do no harm."""
        assert tag in ALLOWED, tag
        for name, value in attrs:
            assert (tag, name) in {("a", "href"), ("code", "class"), ("ol", "start")}
            if name == "href":
                assert (value or "").lower().startswith(("http://", "https://", "mailto:", "matrix:"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """The last that was opened."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text."""
        self.text += data


@given(st.text(alphabet=MARKS, max_size=120) | st.text(max_size=120))
def test_any_text_becomes_html_that_is_well_formed(text: str) -> None:
    """Tags are ours alone, each is closed where it has to be, and links lead nowhere else than they may."""
    Checked(html_of(text))


@given(st.text(alphabet="abc é<&\"' .,:;", max_size=80))
def test_a_text_without_marks_keeps_every_word(text: str) -> None:
    """Nothing is lost between the lines."""
    assert Checked(html_of(text)).text.split() == text.split()


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain", "<p>plain</p>"),
        ("a < b & c", "<p>a &lt; b &amp; c</p>"),
        (
            "**bold** *it* ~~no~~ `x < y`",
            "<p><strong>bold</strong> <em>it</em> <del>no</del> <code>x &lt; y</code></p>",
        ),
        ("snake_case_word 2 * 3 * 4", "<p>snake_case_word 2 * 3 * 4</p>"),
        ("[a](https://b.c/d?e=1&f)", '<p><a href="https://b.c/d?e=1&amp;f">a</a></p>'),
        ("[a](javascript:alert(1))", "<p>[a](javascript:alert(1))</p>"),
        ("\\*not\\*", "<p>*not*</p>"),
        ("# Head\ntext", "<h1>Head</h1><p>text</p>"),
        ("- a\n  - b\n- c", "<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>"),
        ("3. c\n4. d", '<ol start="3"><li>c</li><li>d</li></ol>'),
        ("```py\na *b*\n```", '<pre><code class="language-py">a *b*\n</code></pre>'),
        ("```\nopen <b>", "<pre><code>open &lt;b&gt;\n</code></pre>"),
        ("> said\n> so\nmore", "<blockquote><p>said<br>so</p></blockquote><p>more</p>"),
        (
            "| a | b |\n|---|---|\n| 1 | *2* |",
            "<table><thead><tr><th>a</th><th>b</th></tr></thead>"  # noqa: ISC004 - one text
            "<tbody><tr><td>1</td><td><em>2</em></td></tr></tbody></table>",
        ),
    ],
)
def test_markdown_becomes_what_people_expect(text: str, html: str) -> None:
    """Of what agents write, the usual things."""
    assert html_of(text) == html


@pytest.mark.parametrize(
    "unit", ["*a ", "**", "[", "`", "[a](", "> ", "- ", "_a ", "~~a", "|", "1. ", "\\", "- - ", "*_"]
)
def test_a_long_text_of_marks_stays_well_formed(unit: str) -> None:
    """Of the longest length, nested as deep as it goes."""
    Checked(html_of(unit * (TEXT_LIMIT_BYTES // len(unit))))


def out(text: str, **more: object) -> Outbound:
    """An answer."""
    source = Source(platform=NAME, kind=ChatKind.DM, chat="!r", thread=more.pop("thread", None))
    return Outbound(delivery_id=DeliveryId("d"), session_id=SessionId("s"), source=source, text=text, **more)


def test_a_plain_answer_has_no_html() -> None:
    """What shows the same without it goes without it."""
    assert is_plain("hello\nthere")
    assert text_content(out("hello")) == {"msgtype": "m.text", "body": "hello", "m.mentions": {}}
    assert text_content(out("**hello**"))["formatted_body"] == "<p><strong>hello</strong></p>"


def test_nobody_is_rung_by_a_name_in_an_answer() -> None:
    """Every content says that it mentions nobody."""
    file = OutboundFile(kind=FileKind.PHOTO, name="n", mime="", path="/p", size_bytes=1)
    for content in (text_content(out("@ana")), file_content(out("x"), file, "mxc://a/b"), notice_content("x")):
        assert content["m.mentions"] == {}


@pytest.mark.parametrize("letter", ["a", '"', "<", "\\", "é", "🙂", "\x00", "*a*", "\ud800"])
@pytest.mark.parametrize("edits", ["", "$event"])
def test_an_answer_of_any_letters_fits_into_an_event(letter: str, edits: str) -> None:
    """HTML goes first, the text never."""
    clean = letter.encode(errors="replace").decode()
    text = letter * (TEXT_LIMIT_BYTES // len(clean.encode()))
    content = text_content(out(text, edits=edits))
    assert len(msgspec.json.encode(content)) <= EVENT_LIMIT_BYTES
    shown = content["m.new_content"]["body"] if edits else content["body"]
    assert shown == (clean * len(text) if len(letter) == 1 else text).replace("\x00", "")


def test_an_answer_in_a_thread_is_one_for_old_clients_too() -> None:
    """It falls back to an answer to the root, or is a real one."""
    assert text_content(out("x", thread="$root"))["m.relates_to"] == {
        "rel_type": "m.thread",
        "event_id": "$root",
        "is_falling_back": True,
        "m.in_reply_to": {"event_id": "$root"},
    }
    relation = text_content(out("x", thread="$root", reply_to="$q"))["m.relates_to"]
    assert relation["is_falling_back"] is False
    assert relation["m.in_reply_to"] == {"event_id": "$q"}


def test_a_voice_message_says_that_it_is_one() -> None:
    """And a file without a type is any bytes."""
    file = OutboundFile(kind=FileKind.VOICE, name="v.ogg", mime="", path="/p", size_bytes=9)
    content = file_content(out("x"), file, "mxc://a/b")
    assert content["msgtype"] == "m.audio"
    assert "org.matrix.msc3245.voice" in content
    assert content["info"] == {"mimetype": "application/octet-stream", "size": 9}
