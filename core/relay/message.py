"""RelayMessage and RelayResponse of HotPlex: what goes over the wire, to the letter (pure).

Its senders write the text as `content`, its receivers read it as `message`: both are read here, and a peer is sent
both. What is empty is left out, but times and the length of a response are always there.
"""

from collections.abc import Callable

import msgspec

from core.api.errors import InvalidInput
from core.relay import go_json, moment
from core.relay.moment import UNSET, Moment

_INT64 = 1 << 63


class WireStatus:
    """What `status` says. sent and ok: taken, by one that says nothing more of it."""

    WORKING = "working"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    SENT = "sent"
    OK = "ok"
    NOT_IMPLEMENTED = "not_implemented"


class RelayMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message from bot to bot. metadata: JSON within a text. created_at: UNSET when nobody said."""

    task_id: str = ""
    sender: str = ""
    to: str = ""
    content: str = ""
    session_key: str = ""
    metadata: str = ""
    status: str = ""
    response: str = ""
    error: str = ""
    created_at: Moment = UNSET


class RelayResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one. duration_ns: how long it took, in nanoseconds."""

    task_id: str = ""
    status: str = ""
    content: str = ""
    timestamp: Moment = UNSET
    error: str = ""
    duration_ns: int = 0


_NAMES = ("task_id", "from", "to", "content", "session_key", "metadata", "status", "response", "error")
_FIELDS = {name: "sender" if name == "from" else name for name in _NAMES}
_TEXT = "message"


def write_message(message: RelayMessage) -> bytes:
    """The document as HotPlex sends it."""
    return go_json.write(_message_object(message)).encode()


def write_for_peer(message: RelayMessage) -> bytes:
    """The same with the text also where a receiver of HotPlex looks for it."""
    document = _message_object(message)
    if message.content:
        document[_TEXT] = message.content
    return go_json.write(document).encode()


def read_message(document: bytes | str) -> RelayMessage:
    """A message of a peer. Raises InvalidInput that names the field."""
    texts: dict[str, str] = {}
    created_at = UNSET
    for name, value in go_json.fields(go_json.read(document, "the message"), "the message"):
        if name in _FIELDS or name == _TEXT:
            texts[name] = _text(name, value)
        elif name == "created_at":
            created_at = moment.read(_text(name, value), name)
    texts["content"] = texts.get("content") or texts.get(_TEXT, "")
    found = {field: texts[name] for name, field in _FIELDS.items() if name in texts}
    return RelayMessage(**found, created_at=created_at)


def write_response(response: RelayResponse) -> bytes:
    """The document as HotPlex answers."""
    document: dict[str, object] = {"task_id": response.task_id, "status": response.status}
    if response.content:
        document["content"] = response.content
    document["timestamp"] = moment.write(response.timestamp)
    if response.error:
        document["error"] = response.error
    document["duration"] = response.duration_ns
    return go_json.write(document).encode()


def read_response(document: bytes | str) -> RelayResponse:
    """The answer of a peer. Raises InvalidInput that names the field."""
    found: dict[str, str] = {}
    timestamp, duration_ns = UNSET, 0
    for name, value in go_json.fields(go_json.read(document, "the response"), "the response"):
        if name in {"task_id", "status", "content", "error"}:
            found[name] = _text(name, value)
        elif name == "timestamp":
            timestamp = moment.read(_text(name, value), name)
        elif name == "duration":
            duration_ns = _whole(name, value)
    return RelayResponse(**found, timestamp=timestamp, duration_ns=duration_ns)


def _message_object(message: RelayMessage) -> dict[str, object]:
    value: Callable[[str], str] = lambda field: getattr(message, field)  # noqa: E731 - a typed getattr
    document: dict[str, object] = {name: value(field) for name, field in _FIELDS.items() if value(field)}
    document["created_at"] = moment.write(message.created_at)
    return document


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return go_json.clean(value)
    raise InvalidInput(
        f"{name} is {go_json.kind(value)}, not a text", field=name, value=go_json.shown(value), fix="send a text"
    )


def _whole(name: str, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and -_INT64 <= value < _INT64:
        return value
    raise InvalidInput(
        f"{name} is not a whole number of nanoseconds",
        field=name,
        value=go_json.shown(value),
        fix="nanoseconds as a number without a point",
    )
