"""The keys under which the gateway keeps its rows, and how a row becomes a value again."""

import hashlib

import msgspec

from core.api.base import EntryId, MessageId, PlatformName, SessionId
from core.api.sessions import SessionView, Source
from core.api.transcripts import EntryView
from core.gateway.lane import Waiting

SESSIONS = "session/"
OLD_INBOUND = "inbound/"
FAILED = "failed/"
DEDUPE = "dedupe/"

_views = msgspec.json.Decoder(SessionView)
_waiting = msgspec.json.Decoder(Waiting)
_entries = msgspec.json.Decoder(EntryView)
_encoder = msgspec.json.Encoder()


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """What became of a message id that came from outside: our id, its session, when (UTC seconds).

    fingerprint: of what was sent with it; "" where any content counts as the same.
    """

    message_id: MessageId
    session_id: SessionId
    at: float
    fingerprint: str = ""


_seen = msgspec.json.Decoder(Seen)


def session_key(session_id: SessionId) -> str:
    """Of the session's own row."""
    return SESSIONS + session_id


def entries_prefix(session_id: SessionId) -> str:
    """Of all entries of a transcript; their ids sort in the order of writing."""
    return f"entry/{session_id}/"


def entry_key(session_id: SessionId, entry_id: EntryId) -> str:
    """Of one entry of a transcript."""
    return entries_prefix(session_id) + entry_id


def failed_key(session_id: SessionId) -> str:
    """Of the mark that the session's last run failed, so that such sessions can be counted."""
    return FAILED + session_id


def dedupe_key(platform: PlatformName, native_id: str) -> str:
    """Of the memory of a message id that a platform gave."""
    return f"{DEDUPE}{platform}/{hashlib.sha256(native_id.encode()).hexdigest()[:32]}"


def message_key(source: Source, native_id: str) -> str:
    """Of the memory of a message. By its chat as well: some platforms let senders choose the id, and nobody may use up
    that of somebody else.
    """
    return dedupe_key(source.platform, f"{source.chat}\0{native_id}")


def body_of(value: object) -> bytes:
    """A value as it is stored."""
    return _encoder.encode(value)


def session_of(body: bytes) -> SessionView:
    """A session as it was stored."""
    return _views.decode(body)


def waiting_of(body: bytes) -> Waiting:
    """An unanswered message as versions before 0.2 stored it."""
    return _waiting.decode(body)


def entry_of(body: bytes) -> EntryView:
    """An entry of a transcript."""
    return _entries.decode(body)


def seen_of(body: bytes) -> Seen:
    """What became of a message id."""
    return _seen.decode(body)
