"""Reads what servers send as JSON without trusting its shape: what is not as expected counts as nothing (pure)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

LINE_LIMIT = 300
COUNT_LIMIT = 2**53
"""Larger numbers are nonsense, and not everybody who reads them later can hold them."""


def decoded(data: bytes | str) -> object:
    """What JSON says, also with halves of surrogate pairs, broken UTF-8, infinities. Raises ValueError, RecursionError.

    Others write such things, and what they say must not be lost for that.
    """
    try:
        return cast("object", msgspec.json.decode(data))
    except (msgspec.DecodeError, UnicodeError):
        loose = json.loads(data.decode(errors="replace") if isinstance(data, bytes) else data)
        return json.loads(json.dumps(loose, ensure_ascii=False).encode(errors="replace"))


def object_in(data: bytes | str) -> Mapping[str, Any]:
    """The object that JSON says; an empty one when it is none, or no JSON."""
    try:
        return object_of(decoded(data))
    except (ValueError, RecursionError):
        return {}


def text_of(found: object) -> str:
    """A text, or the texts of a list of parts."""
    if isinstance(found, str):
        return found
    parts = [object_of(part).get("text") for part in list_of(found)]
    return "".join(part for part in parts if isinstance(part, str))


def object_of(found: object) -> Mapping[str, Any]:
    """An object; an empty one for anything else."""
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def list_of(found: object) -> Sequence[Any]:
    """A list; an empty one for anything else."""
    return cast("Sequence[Any]", found) if isinstance(found, list) else ()


def count_of(found: object) -> int:
    """A whole number from 0 to COUNT_LIMIT; 0 for anything else."""
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= COUNT_LIMIT else 0


def number_of(found: object) -> float:
    """A number from 0 to COUNT_LIMIT; 0 for anything else, such as infinity."""
    # Compared before it is converted: a whole number may be too large for that.
    is_number = isinstance(found, int | float) and not isinstance(found, bool) and 0 <= found <= COUNT_LIMIT
    return float(cast("float", found)) if is_number else 0.0


def one_line(text: str) -> str:
    """A text from outside as one short line that can be printed."""
    cleaned = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * LINE_LIMIT])
    return " ".join(cleaned.split())[:LINE_LIMIT]
