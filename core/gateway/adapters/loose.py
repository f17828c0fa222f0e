"""Reading JSON from outside, where nothing is sure: what has another type than expected counts as missing (pure)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

Json = Mapping[str, Any]

_NOTHING: Json = {}


def mapping(value: Any) -> Json:
    """The object; an empty one for anything else."""
    return cast("Json", value) if isinstance(value, dict) else _NOTHING


def below(value: Any, *path: str) -> Json:
    """The object at a path of keys; an empty one where it is missing."""
    for key in path:
        value = mapping(value).get(key)
    return mapping(value)


def items(value: Any, key: str) -> Sequence[Any]:
    """The list under a key; an empty one where there is none."""
    found = mapping(value).get(key)
    return cast("Sequence[Any]", found) if isinstance(found, list) else ()


def objects(value: Any, key: str) -> Iterator[Json]:
    """The objects of the list under a key; others are left out."""
    for item in items(value, key):
        if isinstance(item, dict):
            yield cast("Json", item)


def text(value: Any, key: str, limit: int | None = None) -> str:
    """The text under a key as valid Unicode, at most `limit` characters; "" where there is none."""
    found = mapping(value).get(key)
    return valid(found)[:limit] if isinstance(found, str) else ""


def number(value: Any, key: str) -> float | None:
    """The finite number under a key; None where there is none."""
    found = mapping(value).get(key)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        plain = float(found)
    except OverflowError:
        return None
    return plain if math.isfinite(plain) else None


def count(value: Any, key: str) -> int | None:
    """The number under a key as one that cannot be negative; None where there is none."""
    found = number(value, key)
    return None if found is None or found < 0 else int(found)


def flag(value: Any, key: str) -> bool:
    """Whether it is true, and not merely something."""
    return mapping(value).get(key) is True


def valid(words: str) -> str:
    """A text without what is no character, such as half of one."""
    return words if words.isascii() else words.encode(errors="replace").decode()
