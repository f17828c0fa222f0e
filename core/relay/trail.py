"""How the trail of a message travels: in the metadata of HotPlex and of Agent2Agent alike (pure).

What a peer writes there is believed only in one direction: it can shorten the way of a message, never make it longer.
"""

from collections.abc import Mapping
from typing import cast

import msgspec

from core.relay import go_json
from core.relay.wire import Trail

CONVERSATION_LIMIT = 200
"""Characters of the name of a conversation."""

PATH_LIMIT = 100
"""Bots of a path that are kept, the last ones."""

_NAME_LIMIT = 128
_HOP_LIMIT = 1_000_000
_decoder = msgspec.json.Decoder(dict[str, object])


def trail_object(trail: Trail) -> dict[str, object]:
    """The trail as an object of JSON."""
    return {"conversation": trail.conversation, "hops": trail.hops, "path": list(trail.path)}


def trail_text(trail: Trail) -> str:
    """The trail as the text that HotPlex has for metadata."""
    return msgspec.json.encode(trail_object(trail)).decode()


def read_trail(value: object, conversation: str) -> Trail:
    """The trail in metadata, given as an object or as its text.

    conversation: of one that says none, or none that can be. Never raises: what makes no sense counts as not said.
    """
    found = _object(value)
    said = found.get("conversation")
    path = _path(found.get("path"))
    return Trail(
        conversation=said if isinstance(said, str) and _is_name(said, CONVERSATION_LIMIT) else conversation,
        hops=min(max(_count(found.get("hops")), len(path), 0), _HOP_LIMIT),
        path=path,
    )


def _object(value: object) -> Mapping[str, object]:
    if isinstance(value, str | bytes):
        try:
            return _decoder.decode(value)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return {}
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}


def _count(value: object) -> int:
    """A whole number, also as those write it that know none: what went through Protobuf comes back as 2.0."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else 0
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _path(value: object) -> tuple[str, ...]:
    names = [item for item in go_json.items(value) or () if isinstance(item, str) and _is_name(item, _NAME_LIMIT)]
    return tuple(names[-PATH_LIMIT:])


def _is_name(text: str, limit: int) -> bool:
    return 0 < len(text) <= limit and text.isprintable()
