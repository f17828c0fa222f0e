"""The filter language of message lists: words, from: type: state: reason: older: (pure)."""

from collections.abc import Callable
from typing import Any

import msgspec

from console.mail_names import read_mail_id
from console.session_filter import span_s
from core.api.errors import InvalidInput
from core.api.mail import DeadReason, MailFilter, MailState

KEYS = ("from", "type", "state", "reason", "id", "trace", "older")


def parse_mail_filter(words: str, *, base: MailFilter | None = None) -> MailFilter:
    """The messages that a line means, within those of base. Words that are no terms are looked for together.

    Raises InvalidInput.
    """
    found: dict[str, Any] = {}
    rest: list[str] = []
    for term in words.split():
        key, sign, value = term.partition(":")
        if not sign or key.lower() not in KEYS:
            rest.append(term)
        elif value:
            found |= _READ[key.lower()](value)
    if rest:
        found["text"] = " ".join(rest)
    return msgspec.structs.replace(base or MailFilter(), **found)


def is_everything(where: MailFilter) -> bool:
    """Whether a filter leaves nothing out."""
    return where == MailFilter()


def _ids(value: str) -> dict[str, Any]:
    ids = [read_mail_id(part) for part in value.split(",") if part]
    if None in ids:
        raise InvalidInput(f"{value} names no message", field="id", value=value, fix="write m-123 or 123")
    return {"ids": tuple(ids)}


def _state(value: str) -> dict[str, Any]:
    fits = tuple(state for state in MailState if any(state.value.startswith(part) for part in value.split(",") if part))
    if not fits:
        known = " ".join(state.value for state in MailState)
        raise InvalidInput(f"no state is called {value}: {known}", field="state", value=value)
    return {"states": fits}


def _reason(value: str) -> dict[str, Any]:
    fit = next((reason for reason in DeadReason if reason.value.startswith(value.lower())), None)
    if fit is None:
        known = " ".join(reason.value for reason in DeadReason)
        raise InvalidInput(f"no reason is called {value}: {known}", field="reason", value=value)
    return {"reason": fit}


def _older(value: str) -> dict[str, Any]:
    seconds = span_s(value.lower())
    if seconds is None:
        raise InvalidInput(f"{value} is no time", field="older", value=value, fix="write 90, 5m, 2h or 1d")
    return {"older_than_s": seconds}


_READ: dict[str, Callable[[str], dict[str, Any]]] = {
    "from": lambda value: {"sender": value},
    "type": lambda value: {"message_type": value},
    "trace": lambda value: {"correlation": value},
    "state": _state,
    "reason": _reason,
    "id": _ids,
    "older": _older,
}
