"""Markdown as the HTML that Matrix clients show (pure).

Nothing of the text becomes a tag by itself: every tag is written here, everything else is escaped. The time that it
takes grows with the length of the text and not faster.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from html import escape

_DEPTH = 6
_TRIES = 20
_SPECIAL = re.compile(r"[\\`\[*_~]")
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,}) *([\w+#.-]{0,32})[^`]*$")
_HEADING = re.compile(r" {0,3}(#{1,6})(?: +|$)(.*)$")
_RULE = re.compile(r" {0,3}([-*_])(?: *\1){2,} *$")
_ITEM = re.compile(r"( *)(?:([-*+])|(\d{1,9})[.)])(?: +|$)(.*)$")
_TABLE_RULE = re.compile(r" *\|?(?: *:?-+:? *\|)+(?: *:?-+:? *)?$")
_LINK_END = re.compile(r"\]\(<?([^\s<>()]*(?:\([^\s<>()]*\)[^\s<>()]*)*)>?(?: +\"[^\"\n]*\")?\)")
_SCHEMES = ("https://", "http://", "mailto:", "matrix:")
_MARKS = {"**": "strong", "__": "strong", "~~": "del", "*": "em", "_": "em"}


def html_of(text: str) -> str:
    """The text as HTML of the kind org.matrix.custom.html; only tags that the specification allows."""
    return _blocks(text.replace("\r\n", "\n").split("\n"), _DEPTH)


def is_plain(text: str) -> bool:
    """Whether HTML would show nothing that the text itself does not."""
    return html_of(text) == f"<p>{'<br>'.join(escape(line.strip()) for line in text.split(chr(10)))}</p>"


def _blocks(lines: Sequence[str], depth: int) -> str:
    return "".join(_each_block(lines, depth)) if depth else _paragraph(lines)


def _each_block(lines: Sequence[str], depth: int) -> Iterator[str]:
    at = 0
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
        elif found := _FENCE.match(line):
            end = _fence_end(lines, at + 1, found[1])
            yield _code(lines[at + 1 : end], found[2])
            at = end + 1
        elif found := _HEADING.match(line):
            level = len(found[1])
            yield f"<h{level}>{_inline(found[2].rstrip('# '), _DEPTH)}</h{level}>"
            at += 1
        elif _RULE.match(line):
            yield "<hr>"
            at += 1
        else:
            end, block = _long_block(lines, at, depth)
            yield block
            at = end


def _long_block(lines: Sequence[str], at: int, depth: int) -> tuple[int, str]:
    line = lines[at]
    if line.lstrip().startswith(">"):
        end = _while(lines, at, lambda other: other.lstrip().startswith(">"))
        inner = [other.lstrip()[1:].removeprefix(" ") for other in lines[at:end]]
        return end, f"<blockquote>{_blocks(inner, depth - 1)}</blockquote>"
    if _ITEM.match(line):
        return _list(lines, at, depth)
    if "|" in line and at + 1 < len(lines) and _TABLE_RULE.match(lines[at + 1]):
        end = _while(lines, at, lambda other: "|" in other)
        return end, _table(lines[at], lines[at + 2 : end])
    end = at + 1
    while end < len(lines) and lines[end].strip() and not _begins_block(lines[end]):
        end += 1
    return end, f"<p>{_paragraph(lines[at:end])}</p>"


def _begins_block(line: str) -> bool:
    return (
        bool(_FENCE.match(line) or _HEADING.match(line) or _ITEM.match(line) or _RULE.match(line))
        or line.lstrip()[:1] == ">"
    )


def _while(lines: Sequence[str], at: int, holds: Callable[[str], bool]) -> int:
    while at < len(lines) and holds(lines[at]):
        at += 1
    return at


def _fence_end(lines: Sequence[str], at: int, fence: str) -> int:
    while at < len(lines):
        line = lines[at].strip()
        if len(line) >= len(fence) and not line.strip(fence[0]):
            break
        at += 1
    return at


def _code(lines: Sequence[str], language: str) -> str:
    kind = f' class="language-{escape(language)}"' if language else ""
    return f"<pre><code{kind}>{escape(chr(10).join(lines))}\n</code></pre>"


def _list(lines: Sequence[str], at: int, depth: int) -> tuple[int, str]:
    """One list: its items, each with what is set in below it."""
    first = _ITEM.match(lines[at])
    assert first is not None
    indent, is_ordered = len(first[1]), first[2] is None
    items: list[str] = []
    while at < len(lines):
        found = _ITEM.match(lines[at])
        if found is None or len(found[1]) != indent or (found[2] is None) is not is_ordered or _RULE.match(lines[at]):
            break
        end = at + 1
        while end < len(lines) and _belongs(lines, end, indent):
            end += 1
        below = [line[min(len(line) - len(line.lstrip()), indent + 2) :] for line in lines[at + 1 : end]]
        items.append(f"<li>{_item(found[4], below, depth)}</li>")
        at = end
    start = f' start="{int(first[3])}"' if is_ordered and int(first[3]) != 1 else ""
    return at, f"<ol{start}>{''.join(items)}</ol>" if is_ordered else f"<ul>{''.join(items)}</ul>"


def _belongs(lines: Sequence[str], at: int, indent: int) -> bool:
    """Whether a line is part of the item above it: set in further, or blank with such a line after it."""
    if not lines[at].strip():
        return at + 1 < len(lines) and lines[at + 1].startswith(" " * (indent + 1)) and bool(lines[at + 1].strip())
    return lines[at].startswith(" " * (indent + 1))


def _item(text: str, below: Sequence[str], depth: int) -> str:
    lead = _inline(text, _DEPTH)
    return lead + _blocks(below, depth - 1) if below else lead


def _table(head: str, rows: Sequence[str]) -> str:
    def row(line: str, tag: str) -> str:
        cells = line.strip().removeprefix("|").removesuffix("|").split("|")
        return "<tr>" + "".join(f"<{tag}>{_inline(cell.strip(), _DEPTH)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(row(line, "td") for line in rows)
    return f"<table><thead>{row(head, 'th')}</thead><tbody>{body}</tbody></table>"


def _paragraph(lines: Sequence[str]) -> str:
    return "<br>".join(_inline(line.strip(), _DEPTH) for line in lines)


def _inline(text: str, depth: int) -> str:
    if not depth:
        return escape(text)
    out: list[str] = []
    at = 0
    # What has no end behind here has none further on: looked for once.
    dead: set[str] = set()
    while at < len(text):
        found = _SPECIAL.search(text, at)
        if found is None:
            out.append(escape(text[at:]))
            break
        out.append(escape(text[at : found.start()]))
        at = found.start()
        end, piece = _special(text, at, depth, dead)
        out.append(piece)
        at = end
    return "".join(out)


def _special(text: str, at: int, depth: int, dead: set[str]) -> tuple[int, str]:
    """What begins with a special character, and where it ends; the character itself when it begins nothing."""
    char = text[at]
    if char == "\\":
        follows = text[at + 1 : at + 2]
        return (at + 2, escape(follows)) if follows and follows in _PUNCTUATION else (at + 1, "\\")
    if char == "`":
        return _code_span(text, at, dead)
    if char == "[":
        return _link(text, at, depth, dead)
    mark = text[at : at + 2] if text[at : at + 2] in _MARKS else char
    end = _mark_end(text, at, mark, dead) if mark in _MARKS else -1
    if end < 0:
        run = at + 1
        while run < len(text) and text[run] == char:
            run += 1
        return run, escape(text[at:run])
    tag = _MARKS[mark]
    return end + len(mark), f"<{tag}>{_inline(text[at + len(mark) : end], depth - 1)}</{tag}>"


def _code_span(text: str, at: int, dead: set[str]) -> tuple[int, str]:
    run = at
    while run < len(text) and text[run] == "`":
        run += 1
    mark = text[at:run]
    end = -1 if mark in dead else text.find(mark, run)
    if end < 0:
        dead.add(mark)
        return run, mark
    inner = text[run:end]
    return end + len(mark), f"<code>{escape(inner.strip() or inner)}</code>"


def _link(text: str, at: int, depth: int, dead: set[str]) -> tuple[int, str]:
    end = -1 if "](" in dead else text.find("](", at)
    if end < 0:
        dead.add("](")
        return at + 1, "["
    found = _LINK_END.match(text, end)
    address = found[1] if found else ""
    if found is None or not address.lower().startswith(_SCHEMES):
        return at + 1, "["
    return found.end(), f'<a href="{escape(address)}">{_inline(text[at + 1 : end], depth - 1) or escape(address)}</a>'


def _mark_end(text: str, at: int, mark: str, dead: set[str]) -> int:
    """Where a mark that opens at a place closes; -1 when it does not, or does not open there."""
    start = at + len(mark)
    is_word = mark[0] == "_"
    if mark in dead or not text[start : start + 1].strip() or (is_word and at and text[at - 1].isalnum()):
        return -1
    end = start
    for _ in range(_TRIES):
        end = text.find(mark, end + 1)
        if end < 0:
            dead.add(mark)
            return -1
        after = text[end + len(mark) : end + len(mark) + 1]
        if len(mark) == 1 and after == mark:
            # A longer mark begins here: it is none of ours.
            end += 1
            continue
        if not text[end - 1].isspace() and not (is_word and after.isalnum()):
            return end
    return -1
