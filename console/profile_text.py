"""The settings of an agent as lines of `key: value`, and back; what was changed (pure)."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from core.api.errors import InvalidInput


def lines_of(settings: Mapping[str, Any]) -> list[str]:
    """One line for each key; values as JSON, plain words without quotes."""
    return [f"{name}: {_written(value)}" for name, value in settings.items()]


def _written(value: Any) -> str:
    if isinstance(value, str) and value and value == value.strip() and value.isprintable() and not _is_json(value):
        return value
    written = msgspec.json.encode(value).decode()
    # What steers a terminal, or cannot be seen, is spelled out.
    return written if written.isprintable() else json.dumps(value)


def _is_json(words: str) -> bool:
    try:
        msgspec.json.decode(words)
    except msgspec.DecodeError:
        return False
    return True


def read_settings(lines: str) -> dict[str, Any]:
    """The settings that lines stand for. Raises InvalidInput that names the line."""
    found: dict[str, Any] = {}
    for number, line in enumerate(lines.splitlines(), 1):
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        name, sign, value = words.partition(":")
        name = name.strip()
        if not sign or not name:
            raise InvalidInput(f"line {number} is no `key: value`", field=f"line {number}", fix="write key: value")
        if name in found:
            raise InvalidInput(f"line {number}: {name} stands twice", field=name, fix="keep one of them")
        found[name] = _read(name, value.strip())
    return found


def _read(name: str, value: str) -> Any:
    if not value:
        return None
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        if value[0] in '{["':
            raise InvalidInput(
                f"{name}: the value is no whole JSON", field=name, fix="close what is opened, or write plain words"
            ) from None
        return value


def changes_of(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be sent: keys with another value; null takes one that is gone back to its default."""
    changed = {name: value for name, value in after.items() if name not in before or before[name] != value}
    return {**changed, **{name: None for name in before if name not in after}}
