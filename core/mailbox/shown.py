"""How a message is shown: its payload as bounded text, its instants as marks (pure). Text stays data."""

import json
from typing import Any

import msgspec

from core.api.base import Mark
from core.api.mail import MailState, MailView
from core.mailbox.message import PRIORITIES, Mail

PAYLOAD_LIMIT = 4_000
"""Characters of a payload that are shown."""

CUT = "…"

_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder()
# What is worth a try: longer bytes than these cannot end up on a page anyway.
_BYTES_LIMIT = 4 * PAYLOAD_LIMIT


def mail_view(mail: Mail, now: Mark) -> MailView:
    """A message as operators see it. now: the present instant of the core, to which its marks are related."""
    return MailView(
        id=mail.id,
        mailbox=mail.mailbox,
        state=mail.state,
        kind=mail.kind,
        sender=mail.sender,
        message_type=mail.message_type,
        payload=cut(payload_text(mail.body)),
        size_bytes=len(mail.body),
        priority=PRIORITIES[mail.rank],
        created=past_mark(mail.created_at, now, mono=mail.posted),
        key=mail.key,
        order_key=mail.order_key,
        correlation=mail.correlation,
        causation=f"m-{mail.causation}" if mail.causation else "",
        headers=dict(mail.headers or {}),
        due=_coming(mail.due_at, now, mono=mail.due) if mail.state is MailState.DELAYED else None,
        expires=_coming(mail.expires_at, now, mono=mail.expires),
        attempt=mail.attempt,
        attempts=tuple(mail.attempts or ()),
        reason=mail.reason,
        error=mail.error,
        died=past_mark(mail.died_at, now) if mail.died_at else None,
        replays=mail.replays,
        redriven_from=mail.redriven_from,
    )


def payload_text(body: bytes) -> str:
    """An encoded payload as JSON text of any length.

    Bytes inside are shown as text with escapes, and so is a body that cannot be decoded.
    """
    try:
        return json.dumps(_decoder.decode(body), ensure_ascii=False, separators=(",", ":"), default=_readable)
    except (msgspec.DecodeError, TypeError, ValueError, RecursionError):
        return _readable(body)


def cut(text: str, limit: int = PAYLOAD_LIMIT) -> str:
    """At most `limit` characters; what was cut off is marked at the end."""
    return text if len(text) <= limit else text[: limit - 1] + CUT


def past_mark(at: float, now: Mark, *, mono: float = 0.0) -> Mark:
    """An instant that has been. mono: where it is known on the monotonic clock; 0 derives it from the wall clock.

    One that a wall clock puts into the future is as young as now.
    """
    return Mark(at, mono or now.mono - max(0.0, now.at - at))


def _coming(at: float, now: Mark, *, mono: float) -> Mark | None:
    """An instant that may lie ahead; None when there is none."""
    if not at:
        return None
    return Mark(at, mono or now.mono + at - now.at)


def _readable(value: Any) -> str:
    """Something that JSON has no word for, as text."""
    if isinstance(value, msgspec.msgpack.Ext):
        return f"ext {value.code}: {_readable(bytes(value.data))}"
    if isinstance(value, bytes):
        head = value[:_BYTES_LIMIT]
        # As Python writes bytes: letters stay, everything else is an escape.
        return repr(head)[2:-1] + (CUT if len(value) > len(head) else "")
    return str(value)
