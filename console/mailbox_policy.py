"""The rules of a mailbox as lines of `name: value`, written and read back (pure)."""

from difflib import get_close_matches
from enum import StrEnum
from typing import Any

import msgspec

from console.session_filter import span_s
from core.api.errors import InvalidInput
from core.api.mailboxes import MailboxPolicy

_FIELDS = {field.name: field for field in msgspec.structs.fields(MailboxPolicy)}
_WORDS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


def policy_lines(policy: MailboxPolicy) -> list[str]:
    """Every rule, one to a line."""
    return [f"{name}: {_shown(getattr(policy, name))}" for name in _FIELDS]


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)


def read_policy(lines: str, before: MailboxPolicy) -> MailboxPolicy:
    """The rules that the lines give, over those of before. Raises InvalidInput."""
    changes: dict[str, Any] = {}
    for line in lines.splitlines():
        stripped = line.partition("#")[0].strip()
        if stripped:
            name, value = _read_line(stripped)
            changes[name] = value
    return msgspec.structs.replace(before, **changes)


def _read_line(line: str) -> tuple[str, Any]:
    place = min((found for sign in ":=" if (found := line.find(sign)) >= 0), default=-1)
    name, value = (line[:place].strip(), line[place + 1 :].strip()) if place >= 0 else (line, "")
    field = _FIELDS.get(name)
    if field is None:
        near = get_close_matches(name, _FIELDS, 1)
        fix = f"did you mean {near[0]}?" if near else f"one of {', '.join(_FIELDS)}"
        raise InvalidInput(f"no rule is called {name}", field=name, value=value, fix=fix)
    default: object = field.default
    return name, _converted(name, value, type(default))


def _converted(name: str, value: str, kind: type[Any]) -> Any:
    if issubclass(kind, bool):
        if value.lower() in _WORDS:
            return _WORDS[value.lower()]
        raise InvalidInput(f"{name} is yes or no, not {value}", field=name, value=value, fix="write yes or no")
    if issubclass(kind, StrEnum):
        known = [str(member) for member in kind]
        if value not in known:
            raise InvalidInput(f"{name} cannot be {value}", field=name, value=value, fix=f"one of {', '.join(known)}")
        return kind(value)
    return _number(name, value, kind)


def _number(name: str, value: str, kind: type[Any]) -> int | float:
    if kind is int:
        digits = value.replace(",", "").replace("_", "")
        if digits.isascii() and digits.isdigit():
            return int(digits)
        raise InvalidInput(f"{name} is a whole number, not {value}", field=name, value=value, fix="write digits")
    found = span_s(value.lower())
    if found is None:
        raise InvalidInput(f"{name} is a time, not {value}", field=name, value=value, fix="write 90, 5m, 2h or 1d")
    return found
