"""Strict YAML: plain values and the line of each key; nothing that could mean two things."""

import math
import re
from collections.abc import Iterator
from typing import Any

from core.api.errors import ConfigError

KeyPath = tuple[str, ...]
Scalar = str | int | float | bool | None

DEPTH_LIMIT = 16

_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Scalar] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_DIGIT_LIMIT = 40


class Tree:
    """What a file says. `values` are plain; `lines` has the line of each key by its path."""

    def __init__(self, values: dict[str, Any], lines: dict[KeyPath, int]) -> None:
        self.values = values
        self.lines = lines


def plain_scalar(text: str) -> Scalar:
    """What an unquoted word means in YAML's core schema. `yes`, `on` and `.inf` are text."""
    if text in _WORDS:
        return _WORDS[text]
    return text if len(text) > _DIGIT_LIMIT else _number(text)


def _number(text: str) -> Scalar:
    if _INT.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text) or _HEX.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text


def parse(text: str, file: str) -> Tree:
    """Read one YAML document. An empty one is an empty mapping.

    Raises ConfigError for bad syntax, a duplicate key, an anchor, an alias, a tag, a second
    document, or anything but a mapping at the top.
    """
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Reader(yaml.parse(text, Loader=loader), file).tree()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # The library's own text quotes the line, which may hold a secret.
        raise _fault(
            file, mark.line + 1 if mark else 1, error.problem or "not YAML", fix="correct the syntax"
        ) from None
    except yaml.YAMLError:
        raise _fault(file, 1, "holds a character that YAML does not allow", fix="remove control characters") from None


def _fault(file: str, line: int, what: str, *, key: str = "", fix: str = "") -> ConfigError:
    return ConfigError(f"{file}:{line}: {what}", file=file, line=line, key=key, fix=fix)


class _Reader:
    """Builds values out of parser events, which unlike nodes need no recursion in the library."""

    def __init__(self, events: Iterator[Any], file: str) -> None:
        self._events = events
        self._file = file
        self._lines: dict[KeyPath, int] = {}

    def tree(self) -> Tree:
        values: Any = None
        documents = 0
        for event in self._events:
            match type(event).__name__:
                case "StreamStartEvent" | "StreamEndEvent" | "DocumentEndEvent":
                    continue
                case "DocumentStartEvent":
                    documents += 1
                    if documents > 1:
                        raise _fault(self._file, event.start_mark.line + 1, "a second document", fix="remove the ---")
                case _:
                    values = self._value(event, ())
                    if type(event).__name__ != "MappingStartEvent" and values is not None:
                        what = "the top must be a mapping of keys, such as `http:`"
                        raise _fault(self._file, event.start_mark.line + 1, what, fix="start from the template")
        return Tree(values or {}, self._lines)

    def _value(self, event: Any, path: KeyPath) -> Any:
        line = event.start_mark.line + 1
        self._refuse_tricks(event, line, path)
        if len(path) > DEPTH_LIMIT:
            raise _fault(self._file, line, "nested too deeply", fix=f"at most {DEPTH_LIMIT} levels")
        match type(event).__name__:
            case "ScalarEvent":
                return plain_scalar(event.value) if not event.style else event.value
            case "SequenceStartEvent":
                return self._sequence(path)
            case _:
                return self._mapping(path)

    def _sequence(self, path: KeyPath) -> list[Any]:
        items: list[Any] = []
        for event in self._events:
            if type(event).__name__ == "SequenceEndEvent":
                break
            items.append(self._value(event, (*path, str(len(items)))))
        return items

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for event in self._events:
            if type(event).__name__ == "MappingEndEvent":
                break
            line = event.start_mark.line + 1
            self._refuse_tricks(event, line, path)
            if type(event).__name__ != "ScalarEvent":
                raise _fault(self._file, line, "a key must be a word", key=".".join(path), fix="write `key: value`")
            key: str = event.value
            here = (*path, key)
            if key in values:
                first = self._lines[here]
                what = f"{'.'.join(here)} is there twice, first on line {first}"
                raise _fault(self._file, line, what, key=".".join(here), fix="remove one of them")
            self._lines[here] = line
            values[key] = self._value(next(self._events), here)
        return values

    def _refuse_tricks(self, event: Any, line: int, path: KeyPath) -> None:
        key = ".".join(path)
        if type(event).__name__ == "AliasEvent":
            raise _fault(self._file, line, "aliases (*name) are not taken", key=key, fix="write the value out")
        if event.anchor is not None:
            raise _fault(self._file, line, "anchors (&name) are not taken", key=key, fix="remove the anchor")
        if event.tag is not None:
            raise _fault(self._file, line, "tags (!name) are not taken", key=key, fix="remove the tag; quote text")
