"""Markdown as agents write it, in the few HTML tags that Telegram shows (pure).

What is shown is never longer than the Markdown was, so a text that was cut to the platform's limit stays within it.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from html import escape

_DEPTH_LIMIT = 8
# So that a text of nothing but opening marks takes no longer than any other.
_TRY_LIMIT = 32
_SPECIAL = re.compile(r"[\\`*_~!\[]")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*([A-Za-z0-9_+#.-]{0,32})[^`\n]*$")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(.*?)[ \t]*#*$")
_RULE = re.compile(r" {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$")
_ITEM = re.compile(r"([ \t]*)[-*+]([ \t]+)(?=\S)")
_QUOTE = re.compile(r" {0,3}> ?")
_TABLE_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-{2,}:?[ \t]*(?:\|[ \t]*:?-{2,}:?[ \t]*)*\|?[ \t]*$")
_ADDRESS = re.compile(r"(?:https?://|tg://|mailto:)[^\s<>\"]+", re.IGNORECASE)
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
# The longer mark stands before the shorter one. A mark of underscores counts at the edges of words only.
_MARKS = (("**", "b"), ("__", "b"), ("~~", "s"), ("*", "i"), ("_", "i"))


def html(markdown: str) -> str:
    """The text with its marks as tags; everything else is escaped."""
    return "\n".join(_blocks(markdown.split("\n")))


def _blocks(lines: Sequence[str]) -> Iterator[str]:
    at = 0
    plain: list[str] = []
    while at < len(lines):
        end, block = _block(lines, at)
        if block is None:
            plain.append(lines[at])
            at += 1
            continue
        if plain:
            yield _inline("\n".join(plain))
            plain = []
        yield block
        at = end
    if plain:
        yield _inline("\n".join(plain))


def _block(lines: Sequence[str], at: int) -> tuple[int, str | None]:
    """The block that begins at a line and the line after it; None where it is plain text."""
    line = lines[at]
    if fence := _FENCE.match(line):
        return _code(lines, at, fence)
    if _QUOTE.match(line):
        end = _while(lines, at, lambda found: _QUOTE.match(found) is not None)
        inner = "\n".join(_QUOTE.sub("", found, count=1) for found in lines[at:end])
        return end, f"<blockquote>{_inline(inner)}</blockquote>" if inner.strip() else escape(inner, quote=False)
    if "|" in line and at + 1 < len(lines) and "|" in lines[at + 1] and _TABLE_RULE.match(lines[at + 1]):
        end = _while(lines, at, lambda found: "|" in found)
        return end, f"<pre>{escape(chr(10).join(lines[at:end]), quote=False)}</pre>"
    single = _line(line)
    return at if single is None else at + 1, single


def _line(line: str) -> str | None:
    """A block of one line; None where it is plain text."""
    if heading := _HEADING.match(line):
        words = heading.group(1)
        return f"<b>{_inline(words)}</b>" if words else ""
    if _RULE.match(line):
        return "———"
    if item := _ITEM.match(line):
        return f"{item.group(1)}•{item.group(2)}{_inline(line[item.end() :])}"
    return None


def _while(lines: Sequence[str], at: int, holds: Callable[[str], bool]) -> int:
    while at < len(lines) and holds(lines[at]):
        at += 1
    return at


def _code(lines: Sequence[str], at: int, fence: re.Match[str]) -> tuple[int, str]:
    mark, language = fence.group(1), fence.group(2)
    end = at + 1
    while end < len(lines) and not _closes(lines[end], mark):
        end += 1
    body = escape("\n".join(lines[at + 1 : end]), quote=False)
    if not body.strip():
        return end + 1, body
    if language:
        return end + 1, f'<pre><code class="language-{escape(language)}">{body}</code></pre>'
    return end + 1, f"<pre>{body}</pre>"


def _closes(line: str, mark: str) -> bool:
    bare = line.strip()
    return len(bare) >= len(mark) and not bare.strip(mark[0])


def _inline(text: str, depth: int = 0) -> str:
    if depth > _DEPTH_LIMIT:
        return escape(text, quote=False)
    out: list[str] = []
    at = 0
    while found := _SPECIAL.search(text, at):
        out.append(escape(text[at : found.start()], quote=False))
        at, piece = _span(text, found.start(), depth)
        out.append(piece)
    out.append(escape(text[at:], quote=False))
    return "".join(out)


def _span(text: str, at: int, depth: int) -> tuple[int, str]:
    """What the special character at a place begins, and where the text goes on; itself when it begins nothing."""
    char = text[at]
    if char == "\\" and text[at + 1 : at + 2] in _PUNCTUATION:
        return at + 2, escape(text[at + 1], quote=False)
    found = None
    if char == "`":
        found = _inline_code(text, at)
    elif char == "[" or text.startswith("![", at):
        found = _link(text, at, depth)
    else:
        for mark, tag in _MARKS:
            if text.startswith(mark, at) and (end := _find_close(text, at, mark)) is not None:
                inner = _inline(text[at + len(mark) : end], depth + 1)
                return end + len(mark), f"<{tag}>{inner}</{tag}>"
    return found or _literal(text, at)


def _literal(text: str, at: int) -> tuple[int, str]:
    end = at + 1
    # A run of one mark is taken as a whole: looked at one by one, each would search to the end again.
    while text[at] in "`*_~" and end < len(text) and text[end] == text[at]:
        end += 1
    return end, escape(text[at:end], quote=False)


def _inline_code(text: str, at: int) -> tuple[int, str] | None:
    begin = at
    while begin < len(text) and text[begin] == "`":
        begin += 1
    mark = text[at:begin]
    end = begin
    for _ in range(_TRY_LIMIT):
        if (end := text.find(mark, end)) < 0:
            break
        if text[end - 1] != "`" and text[end + len(mark) : end + len(mark) + 1] != "`":
            body = text[begin:end]
            inner = body.strip() if body.startswith(("`", " `")) else body
            return (end + len(mark), f"<code>{escape(inner, quote=False)}</code>") if inner.strip() else None
        end += 1
    return None


def _find_close(text: str, at: int, mark: str) -> int | None:
    """Where the mark that opens at a place is closed."""
    begin = at + len(mark)
    if not text[begin : begin + 1].strip() or (mark == "*" and text.startswith("**", at)):
        return None
    is_word_mark = mark[0] == "_"
    if is_word_mark and at and text[at - 1].isalnum():
        return None
    end = begin
    for _ in range(_TRY_LIMIT):
        if (end := text.find(mark, end + 1)) < 0:
            break
        after = text[end + len(mark) : end + len(mark) + 1]
        if len(mark) == 1 and (after == mark or text[end - 1] == mark):
            continue
        if text[end - 1].strip() and not (is_word_mark and after.isalnum()) and text[end - 1] != "\\":
            return end
    return None


def _link(text: str, at: int, depth: int) -> tuple[int, str] | None:
    begin = text.index("[", at) + 1
    middle = text.find("](", begin)
    if middle < 0 or "\n\n" in text[begin:middle]:
        return None
    address = _ADDRESS.match(text, middle + 2)
    if address is None:
        return None
    found = address.group()
    end = _closing(found)
    if end is None:
        return None
    url, label = found[:end], text[begin:middle]
    shown = (
        _inline(label, _DEPTH_LIMIT + 1 if "[" in label else depth + 1) if label.strip() else escape(url, quote=False)
    )
    return middle + 2 + end + 1, f'<a href="{escape(url)}">{shown}</a>'


def _closing(address: str) -> int | None:
    """Where the bracket that closes a link stands: brackets inside an address come in pairs."""
    level = 0
    for place, char in enumerate(address):
        level += (char == "(") - (char == ")")
        if level < 0:
            return place
    return None
