"""HTML as Telegram reads it: a few tags, well nested; everything else is refused."""

import html
import re
from typing import Any

Entities = list[dict[str, Any]]

_TAGS = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "code": "code",
    "pre": "pre",
    "a": "text_link",
    "blockquote": "blockquote",
    "tg-spoiler": "spoiler",
}
_TAG = re.compile(r"<(/?)([A-Za-z-]+)((?:\s+[a-z-]+(?:=\"[^\"<>]*\")?)*)\s*>")
_ATTRIBUTE = re.compile(r"([a-z-]+)=\"([^\"]*)\"")
_REFERENCE = re.compile(r"&(?:lt|gt|amp|quot|#\d+|#x[0-9a-fA-F]+);")


class BadMarkup(Exception):
    """The text cannot be read as HTML."""


def units(text: str) -> int:
    """The length of a text as Telegram counts it."""
    return len(text.encode("utf-16-le")) // 2


def parse_html(source: str) -> tuple[str, Entities]:
    """What is shown, and its marks. Raises BadMarkup."""
    shown: list[str] = []
    entities: Entities = []
    open_tags: list[tuple[str, int, str]] = []
    at = 0
    while at < len(source):
        if source[at] != "<":
            end = source.find("<", at)
            end = len(source) if end < 0 else end
            shown.append(_plain(source[at:end]))
            at = end
            continue
        tag = _TAG.match(source, at)
        if tag is None or tag.group(2).lower() not in _TAGS:
            raise BadMarkup(f"Unsupported start tag at byte offset {len(source[:at].encode())}")
        name, place = tag.group(2).lower(), units("".join(shown))
        if tag.group(1):
            _close(name, open_tags, entities, place)
        else:
            _open(name, tag.group(3), open_tags, place)
        at = tag.end()
    if open_tags:
        raise BadMarkup(f'Can\'t find end tag corresponding to start tag "{open_tags[-1][0]}"')
    return "".join(shown), [entity for entity in entities if entity["length"]]


def _plain(text: str) -> str:
    bare = _REFERENCE.sub("", text)
    if ">" in bare:
        raise BadMarkup("an unescaped >")
    if "&" in bare:
        raise BadMarkup("an unescaped &")
    return html.unescape(text)


def _open(name: str, attributes: str, open_tags: list[tuple[str, int, str]], place: int) -> None:
    values = {key: html.unescape(value) for key, value in _ATTRIBUTE.findall(attributes)}
    if name == "a" and not values.get("href"):
        raise BadMarkup("a link without an address")
    if name == "blockquote" and any(tag == name for tag, _, _ in open_tags):
        raise BadMarkup("a quote inside a quote")
    if open_tags and open_tags[-1][0] in {"code", "pre"} and not (open_tags[-1][0] == "pre" and name == "code"):
        raise BadMarkup("code holds nothing but text")
    extra = values.get("href", "") or values.get("class", "").removeprefix("language-")
    open_tags.append((name, place, extra))


def _close(name: str, open_tags: list[tuple[str, int, str]], entities: Entities, place: int) -> None:
    if not open_tags or open_tags[-1][0] != name:
        raise BadMarkup(f'Unmatched end tag, found "{name}"')
    _, begin, extra = open_tags.pop()
    entity: dict[str, Any] = {"type": _TAGS[name], "offset": begin, "length": place - begin}
    if name == "a":
        entity["url"] = extra
    if name == "code" and extra and open_tags and open_tags[-1][0] == "pre":
        inner = open_tags.pop()
        open_tags.append((inner[0], inner[1], extra))
        return
    if name == "pre" and extra:
        entity["language"] = extra
    entities.append(entity)


def found_entities(text: str) -> Entities:
    """The marks that Telegram itself puts on commands and names in what people write."""
    entities: Entities = []
    for kind, pattern in (
        ("bot_command", r"(?<![\w/])/[A-Za-z0-9_]{1,32}(?:@[A-Za-z0-9_]{3,32})?"),
        ("mention", r"(?<![\w/@])@[A-Za-z0-9_]{3,32}"),
    ):
        entities += [
            {"type": kind, "offset": units(text[: match.start()]), "length": units(match.group())}
            for match in re.finditer(pattern, text)
        ]
    return sorted(entities, key=lambda entity: entity["offset"])
