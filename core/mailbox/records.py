"""What the mail log says: one record for each thing that happens to a message, as bytes (pure).

The first byte names the kind. A log is read from its oldest pack; a record about a message that
was let go before is passed over.
"""

from typing import Any

import msgspec

from core.api.base import MailId
from core.api.mail import DeadReason, MailState
from core.api.mailboxes import Guarantee
from core.mailbox.message import Mail


class Head(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Stands at the front of what is written together. next_id: no message has that id or a greater one yet."""

    next_id: MailId
    at: float


class Taken(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message was given out; attempt counts this delivery."""

    mail_id: MailId
    attempt: int


class Returned(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """It waits again, until due_at (UTC seconds, 0 for at once). crashes: as it is now."""

    mail_id: MailId
    attempt: int
    at: float
    due_at: float
    error: str
    crashes: int


class Settled(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """It is over: done, expired or dropped."""

    mail_id: MailId


class Refused(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """It was never accepted: its sender was told so, though its record may have reached the disk."""

    mail_id: MailId


class Buried(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """It is a dead letter."""

    mail_id: MailId
    reason: DeadReason
    error: str
    at: float


class Seen(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An idempotency key that is remembered although its message is gone. at: UTC seconds of the message."""

    mailbox: str
    key: str
    mail_id: MailId
    at: float


Record = Mail | Head | Taken | Returned | Settled | Refused | Buried | Seen

_AT_LEAST_ONCE, _QUEUED = Guarantee.AT_LEAST_ONCE, MailState.QUEUED
_encode = msgspec.msgpack.Encoder().encode
_decode_mail = msgspec.msgpack.Decoder(Mail).decode
_MAIL = ord("P")
_KINDS: dict[type, bytes] = {
    Head: b"H",
    Taken: b"T",
    Returned: b"R",
    Settled: b"S",
    Refused: b"X",
    Buried: b"B",
    Seen: b"K",
}
_DECODERS: dict[int, msgspec.msgpack.Decoder[Any]] = {
    tag[0]: msgspec.msgpack.Decoder(kind) for kind, tag in _KINDS.items()
}


def posted(mail: Mail) -> bytes:
    """The record of a message as it is now. An order_key that is the sender is written as ""."""
    order_key = "" if mail.order_key == mail.sender else mail.order_key
    values = (
        mail.id,
        mail.mailbox,
        mail.sender,
        mail.body,
        mail.kind,
        mail.message_type,
        mail.rank,
        mail.created_at,
        mail.key,
        order_key,
        mail.correlation,
        mail.causation,
    )
    if (
        mail.guarantee is _AT_LEAST_ONCE
        and not mail.headers
        and not mail.attempt
        and not mail.past
        and not mail.due_at
        and not mail.expires_at
        and mail.noted is _QUEUED
    ):
        # As nearly every one: what is left out is read as it is by default, and takes no room anywhere.
        return b"P" + _encode(values)
    return b"P" + _encode(
        (
            *values,
            mail.guarantee,
            mail.headers,
            0,
            mail.attempt,
            mail.past,
            mail.due_at,
            mail.expires_at,
            mail.noted,
        )
    )


def encoded(record: Head | Taken | Returned | Settled | Refused | Buried | Seen) -> bytes:
    """Any other record."""
    return _KINDS[type(record)] + _encode(record)


def find_record(record: bytes) -> Record | None:
    """What a record says, None when it says nothing that can be understood."""
    try:
        kind = record[0]
        if kind != _MAIL:
            found: Record = _DECODERS[kind].decode(record[1:])
            return found
        mail = _decode_mail(record[1:])
    except (msgspec.DecodeError, KeyError, IndexError, UnicodeDecodeError):
        return None
    return mail if type(mail.packed) is bytes else None
