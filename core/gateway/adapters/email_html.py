"""HTML mail as plain text: what a reader would see, with the targets of links (pure)."""

import re
from collections.abc import Sequence
from html.parser import HTMLParser

_BLOCKS = frozenset(
    {
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "dd",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "html",
        "main",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "table",
        "tbody",
        "tfoot",
        "thead",
        "tr",
        "ul",
    }
)
_UNSEEN = frozenset({"head", "script", "style", "template", "title", "noscript", "object", "svg"})
_EMPTY = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d]*[1-9])|opacity\s*:\s*0(?![.\d]*[1-9])"
)
_DECLARATION = re.compile(r"<[!?][^>]*>?")
_DEPTH_LIMIT = 10_000


def text_of_html(html: str) -> str:
    """What a reader would see. What a page hides from people is left out, so that it cannot speak to an agent."""
    reader = _Reader()
    reader.feed(_whole_tags(html))
    reader.close()
    return reader.text()


def _whole_tags(html: str) -> str:
    """Without comments and declarations, and no tag is open at the end: the parser looks for the end of each anew."""
    pieces: list[str] = []
    place = 0
    while (begin := html.find("<!--", place)) >= 0:
        pieces.append(html[place:begin])
        # As in a browser: one that is not closed hides all the rest, and "<!-->" is a whole one.
        end = html.find("-->", begin + 2)
        place = len(html) if end < 0 else end + 3
    pieces.append(html[place:])
    plain = _DECLARATION.sub("", "".join(pieces))
    end = plain.rfind(">") + 1
    return plain[:end] + plain[end:].replace("<", "&lt;")


class _Reader(HTMLParser):
    """Gathers text. A tag that is never closed closes with the one around it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._said: list[str] = []
        self._open: list[tuple[str, bool]] = []
        self._link: tuple[str, int] | None = None

    def handle_starttag(self, tag: str, attrs: "list[tuple[str, str | None]]") -> None:
        """A block begins on a line of its own."""
        told = dict(attrs)
        if tag == "br":
            self._say("\n")
        elif tag == "li":
            self._say("\n- ")
        elif tag in {"td", "th"}:
            self._say(" ")
        elif tag in _BLOCKS:
            self._say("\n\n" if tag in {"p", "table", "blockquote", "pre"} else "\n")
        elif tag == "img" and told.get("alt"):
            self._say(f"[{told['alt']}]")
        if tag in _EMPTY:
            return
        if tag == "a":
            # There are no links within links.
            self._link = told.get("href") or "", len(self._said)
        is_hidden = tag in _UNSEEN or "hidden" in told or _HIDDEN.search((told.get("style") or "").lower()) is not None
        if len(self._open) < _DEPTH_LIMIT:
            self._open.append((tag, is_hidden or self._is_hidden))

    def handle_endtag(self, tag: str) -> None:
        """The end of a tag, and of all that were left open inside it."""
        if tag == "a" and self._link is not None:
            self._end_link(*self._link)
            self._link = None
        for place in range(len(self._open) - 1, max(-1, len(self._open) - 50), -1):
            if self._open[place][0] == tag:
                del self._open[place:]
                break
        if tag in _BLOCKS:
            self._say("\n")

    def handle_data(self, data: str) -> None:
        """Text between tags. Its line breaks mean nothing, except in <pre>."""
        is_kept = any(tag == "pre" for tag, _ in self._open[-20:])
        self._say(data if is_kept else re.sub(r"\s+", " ", data))

    def text(self) -> str:
        """Everything, with no more than one empty line at a time."""
        lines = [line.strip() for line in "".join(self._said).replace("\xa0", " ").split("\n")]
        return re.sub(r"\n{3,}", "\n\n", "\n".join(_single(lines))).strip()

    @property
    def _is_hidden(self) -> bool:
        return bool(self._open) and self._open[-1][1]

    def _say(self, text: str) -> None:
        if not self._is_hidden:
            self._said.append(text)

    def _end_link(self, href: str, began: int) -> None:
        shown = "".join(self._said[began:]).strip()
        bare = href.removeprefix("mailto:").rstrip("/")
        if shown and href.startswith(("http://", "https://", "mailto:")) and bare not in {shown, shown.rstrip("/")}:
            self._say(f" ({href})")


def _single(lines: Sequence[str]) -> Sequence[str]:
    return [re.sub(r"[ \t]{2,}", " ", line) for line in lines]
