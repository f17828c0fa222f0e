"""JSON as encoding/json of Go writes and reads it, which is what HotPlex does (pure).

Keys are found whatever their case, those nobody knows are passed over, null leaves a field as it is, and the last of
two keys wins. Texts that are no Unicode hold U+FFFD in place of what is broken.
"""

import json
import re
from collections.abc import Iterator
from typing import cast

from core.api.errors import InvalidInput

_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPES = str.maketrans({mark: f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"})
_SHOWN = 120


class Pairs(tuple[tuple[str, object], ...]):
    """An object as it was written: its pairs in their order, doubled ones too."""

    __slots__ = ()


def write(value: object, *, indent: int | None = None) -> str:
    """The document. Keys keep their order; <, >, & and separators of lines are escaped. indent: spaces, None for one
    line.
    """
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(value, ensure_ascii=False, separators=separators, indent=indent)
    return _SURROGATE.sub("\ufffd", text).translate(_ESCAPES)


def read(document: bytes | str, what: str) -> object:
    """The value of a document, objects as Pairs. what: of whom an error speaks. Raises InvalidInput."""
    text = document if isinstance(document, str) else document.decode(errors="replace")
    try:
        value: object = json.loads(text, object_pairs_hook=Pairs, parse_constant=_refused)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _invalid(what, f"{error.msg} at {where}", where) from None
    except (ValueError, RecursionError) as error:
        why = "it is nested too deep" if isinstance(error, RecursionError) else "a number is not one"
        raise _invalid(what, why, what) from None
    return value


def fields(value: object, what: str) -> Iterator[tuple[str, object]]:
    """The pairs of an object with names in lower case, without null. Raises InvalidInput for anything else."""
    if value is None:
        return
    if not isinstance(value, Pairs):
        raise InvalidInput(
            f"{what} is {kind(value)}, not an object", field=what, value=shown(value), fix="send a JSON object"
        )
    for name, item in value:
        if item is not None:
            yield folded(name), item


def folded(name: str) -> str:
    """A key as Go compares it: letter by letter, without regard to case."""
    return name.lower() if name.isascii() else "".join(_folded_letter(letter) for letter in name)


def kind(value: object) -> str:
    """What a value is, for people."""
    if isinstance(value, bool):
        return "true or false"
    kinds: dict[type, str] = {
        str: "a text",
        int: "a number",
        float: "a number",
        list: "a list",
        Pairs: "an object",
        type(None): "null",
    }
    return kinds.get(type(value), "something else")


def shown(value: object) -> str:
    """A value cut short, for an error. Of what holds others only the kind: how deep they go, nobody knows."""
    text = kind(value) if isinstance(value, Pairs) or items(value) is not None else write(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def items(value: object) -> list[object] | None:
    """The values of a list; None for anything else."""
    return cast("list[object]", value) if isinstance(value, list) else None


def clean(text: str) -> str:
    """A text without halves of letters, which could not be sent on."""
    return _SURROGATE.sub("\ufffd", text)


def _folded_letter(letter: str) -> str:
    low = letter.casefold()
    return low if len(low) == 1 else letter


def _refused(constant: str) -> object:
    raise ValueError(constant)


def _invalid(what: str, why: str, value: str) -> InvalidInput:
    return InvalidInput(f"{what} is not JSON: {why}", field=what, value=value, fix="send a JSON document")
