"""What an order to send may say (pure)."""

import re

from core.api.errors import InvalidInput
from core.api.relay_tasks import SendRelay

TARGETS_LIMIT = 100
"""Bots of one fan-out."""

ID_LIMIT = 100
CONTEXT_LIMIT = 200

_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_:-]{{0,{ID_LIMIT - 1}}}")


def check(command: SendRelay, text_limit: int) -> None:
    """Raises InvalidInput that names field, value and fix."""
    targets = command.to
    if not targets or not all(targets):
        raise InvalidInput("no bot is named", field="to", value="", fix="name a bot of `relay list_bindings`")
    if len(targets) > TARGETS_LIMIT:
        raise _wrong("to", len(targets), f"{len(targets)} bots at once", f"name {TARGETS_LIMIT} at most")
    twice = next((name for place, name in enumerate(targets) if name in targets[:place]), None)
    if twice is not None:
        raise _wrong("to", twice, f"{twice} is named twice", "name each bot once")
    if not command.text.strip():
        raise _wrong("text", "", "there is no text to send", "say something")
    if len(command.text) > text_limit:
        found = len(command.text)
        raise _wrong("text", found, f"the text has {found} characters", f"send {text_limit} at most (relay.text_limit)")
    if len(targets) > 1 and command.url:
        raise _wrong("url", command.url, "one address for several bots", "name one bot, or no address")
    if len(targets) > 1 and command.id:
        raise _wrong("id", command.id, "one id for several messages", "name one bot, or no id")
    if command.id and _ID.fullmatch(command.id) is None:
        fix = f"use {ID_LIMIT} letters, digits, _ : - at most, the first of them a letter or digit"
        raise _wrong("id", command.id[:ID_LIMIT], "that cannot be the id of a message", fix)
    if len(command.context) > CONTEXT_LIMIT or not command.context.isprintable():
        raise _wrong("context", command.context[:50], "that is no name of a conversation", "use a short name")


def _wrong(field: str, value: str | int, message: str, fix: str) -> InvalidInput:
    return InvalidInput(message, field=field, value=value, fix=fix)
