"""Who did what: which records are a deed, and what it changed (pure)."""

from typing import Any

import msgspec

from console.text import clean, clipped, redact
from core.api.base import ActorKind, Mark, Record

DEEDS = (ActorKind.OPERATOR, ActorKind.SENDER)
"""Whose deeds are listed: people, here and in chats."""

OPERATORS = (ActorKind.OPERATOR,)
"""Whose deeds are listed where senders write more than anybody can read."""

# These move with everything that happens, and say nothing about what was done.
_UNTOLD = frozenset({"version", "boot", "type", "now", "seq"})
_VALUE_LIMIT = 120
_DEPTH = 3


def view_names(record: Record) -> dict[str, Any]:
    """The whole views that a record carries, by the name of their field, as plain values."""
    told: dict[str, Any] = {}
    for info in msgspec.structs.fields(type(record.event)):
        value = getattr(record.event, info.name)
        if isinstance(value, msgspec.Struct) and not isinstance(value, Mark):
            told[info.name] = msgspec.to_builtins(value)
    return told


def before_of(record: Record, earlier: tuple[Record, ...]) -> Record | None:
    """The newest of earlier records about the same thing that shows it whole; None when there is none."""
    wanted = view_names(record).keys()
    for other in reversed(earlier):
        if other.seq < record.seq and other.subject == record.subject and wanted & view_names(other).keys():
            return other
    return None


def differences(record: Record, before: Record | None) -> list[tuple[str, str, str]]:
    """What the record changed: field, value before and value after. Without a record before, values that are new."""
    old = view_names(before) if before is not None else {}
    found: list[tuple[str, str, str]] = []
    for name, view in view_names(record).items():
        _compare(old.get(name, {}), view, "", found, _DEPTH)
    return found


def _compare(old: Any, new: Any, path: str, found: list[tuple[str, str, str]], depth: int) -> None:
    if isinstance(new, dict) and depth and isinstance(old, dict):
        names: list[str] = [*new, *(name for name in old if name not in new)]  # pyright: ignore[reportUnknownVariableType]
        for name in names:
            if name not in _UNTOLD:
                below = f"{path}.{name}" if path else name
                _compare(old.get(name), new.get(name), below, found, depth - 1)  # pyright: ignore[reportUnknownMemberType]
    elif old != new and not (old is None and new in ("", 0, False, [], ())):
        found.append((path, _shown(old), _shown(new)))


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return clipped(clean(redact(text)), _VALUE_LIMIT) or '""'
