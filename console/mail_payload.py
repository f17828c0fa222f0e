"""Payloads as operators type them, JSON or text, and as they read them, what is said first (pure)."""

import re
from typing import Any

import msgspec

_SAYING = ("text", "message", "content")
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_string = msgspec.json.Decoder(str)
_ESCAPE_CHARS = 7


def read_payload(words: str) -> tuple[Any, str]:
    """JSON where the words are JSON, otherwise the text itself; and what it is, for people."""
    try:
        payload: Any = msgspec.json.decode(words.encode("utf-8", "replace"))
    except msgspec.DecodeError:
        return words, "as text"
    kind = next((name for kind, name in _JSON_NAMES.items() if isinstance(payload, kind)), "null")
    return payload, f"as JSON: {kind}"


_JSON_NAMES: dict[type[Any], str] = {
    bool: "true or false",
    dict: "an object",
    list: "a list",
    str: "a string",
    int: "a number",
    float: "a number",
}


def text_first(payload: str) -> tuple[str, str]:
    """What a mapping says to people, and the rest of it as JSON; of anything else all of it, and "".

    The text is looked for under text, message and content, and once more one level down.
    Of a payload that was cut off there is no rest.
    """
    if not payload.startswith("{"):
        return payload, ""
    fields = _mapping(payload.encode("utf-8", "replace"))
    if not fields:
        return _cut_off(payload) or payload, ""
    if name := _saying(fields):
        return _words(fields[name]), _without(fields, name)
    for name in sorted(fields, key=lambda name: name not in _SAYING):
        inner = _mapping(fields[name])
        if within := _saying(inner):
            left = _without(inner, within)
            rest = {**fields, name: msgspec.Raw(left.encode())} if left else fields
            return _words(inner[within]), _written(rest) if left else _without(fields, name)
    return payload, ""


def _mapping(body: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    try:
        return _fields.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return {}


def _words(body: bytes | msgspec.Raw) -> str:
    try:
        return _string.decode(body).strip()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _saying(fields: dict[str, msgspec.Raw]) -> str:
    return next((name for name in _SAYING if name in fields and _words(fields[name])), "")


def _without(fields: dict[str, msgspec.Raw], name: str) -> str:
    return _written({key: body for key, body in fields.items() if key != name})


def _written(fields: dict[str, msgspec.Raw]) -> str:
    # Field by field: a number that is too large to be read is still shown as it stands.
    pairs = (f"{msgspec.json.encode(key).decode()}:{bytes(body).decode()}" for key, body in fields.items())
    words = ",".join(pairs)
    return f"{{{words}}}" if words else ""


def _cut_off(payload: str) -> str:
    """What a payload says whose end is missing."""
    for name in _SAYING:
        found = re.search(rf'"{name}":\s*"((?:[^"\\]|\\.)*)', payload)
        if found is None:
            continue
        said = found.group(1)
        # The cut may have gone through an escape.
        for missing in range(min(_ESCAPE_CHARS, len(said)) + 1):
            if words := _words(f'"{said[: len(said) - missing]}"'.encode("utf-8", "replace")):
                return f"{words}…" if missing else words
    return ""
