"""The session id: derived from where a conversation happens, and read back from it without loss.

    platform:kind:chat[:t=thread][:u=user]

Each part is percent-encoded down to unreserved ASCII, so `:` and `=` never come from
outside, two sources never share an id, and an id never holds a path separator.
"""

import re
from functools import lru_cache
from urllib.parse import quote, unquote

from core.api.base import PlatformName, SessionId
from core.api.errors import InvalidInput
from core.api.sessions import ChatKind, Source

PART_LIMIT = 512
_PART_COUNT = 3
_REMEMBERED = 4_096
_SAFE = "@!+#$&*,;~"
_ENCODED = re.compile(rf"(?:[A-Za-z0-9_.\-{re.escape(_SAFE)}]|%[0-9A-F]{{2}})*")


def session_id(source: Source) -> SessionId:
    """The id of the session of a source. Raises InvalidInput when a part cannot be one."""
    parts = [_part("platform", source.platform), source.kind.value, _part("chat", source.chat)]
    if source.thread is not None:
        parts.append("t=" + _part("thread", source.thread))
    if source.user is not None:
        parts.append("u=" + _part("user", source.user))
    return SessionId(":".join(parts))


@lru_cache(maxsize=_REMEMBERED)
def source_of(session: SessionId) -> Source:
    """The source that an id was derived from, names left out. Raises InvalidInput for anything else."""
    parts = session.split(":")
    if len(parts) < _PART_COUNT or parts[1] not in set(ChatKind):
        raise _not_an_id(session)
    thread = user = None
    rest = parts[3:]
    if rest and rest[0].startswith("t="):
        thread = _plain(session, rest.pop(0)[2:])
    if rest and rest[0].startswith("u="):
        user = _plain(session, rest.pop(0)[2:])
    if rest:
        raise _not_an_id(session)
    return Source(
        platform=PlatformName(_plain(session, parts[0])),
        kind=ChatKind(parts[1]),
        chat=_plain(session, parts[2]),
        thread=thread,
        user=user,
    )


def isolated(source: Source, sender_id: str, *, in_groups: bool, in_threads: bool) -> Source:
    """The source with each member of a shared chat apart, where that is configured.

    One-to-one chats are never split. Inside a thread only `in_threads` counts.
    """
    is_apart = in_threads if source.thread is not None or source.kind is ChatKind.THREAD else in_groups
    if source.kind is ChatKind.DM or not is_apart or not sender_id:
        return source
    return Source(
        platform=source.platform,
        kind=source.kind,
        chat=source.chat,
        thread=source.thread,
        user=sender_id,
        chat_name=source.chat_name,
    )


@lru_cache(maxsize=_REMEMBERED)
def _part(field: str, text: str) -> str:
    if not text or len(text) > PART_LIMIT:
        raise InvalidInput(
            f"{field} must have 1 to {PART_LIMIT} characters, not {len(text)}",
            field=field,
            value=text[:40],
            fix="send the platform's own id",
        )
    try:
        return quote(text, safe=_SAFE)
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{field} is not valid text", field=field, fix="send valid Unicode") from error


def _plain(session: str, part: str) -> str:
    if not part or _ENCODED.fullmatch(part) is None:
        raise _not_an_id(session)
    try:
        plain = unquote(part, errors="strict")
    except UnicodeDecodeError as error:
        raise _not_an_id(session) from error
    if quote(plain, safe=_SAFE) != part:
        raise _not_an_id(session)
    if len(plain) > PART_LIMIT:
        raise InvalidInput(
            f"a part of a session id must have 1 to {PART_LIMIT} characters, not {len(plain)}",
            field="session_id",
            value=session[:80],
            fix="use a shorter one",
        )
    return plain


def _not_an_id(session: str) -> InvalidInput:
    return InvalidInput(
        "not a session id",
        field="session_id",
        value=session[:80],
        fix="take an id from `sessions list`, such as telegram:dm:8841",
    )
