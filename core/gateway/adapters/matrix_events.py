"""Events of Matrix rooms as what people said, changed and signed (pure). What is no such event is None."""

import re
from typing import Any

import msgspec

from core.gateway.adapters import loose
from core.gateway.adapters.loose import Json
from core.gateway.platform import FileKind, InboundFile

MESSAGE = "m.room.message"
REACTION = "m.reaction"
STICKER = "m.sticker"
ENCRYPTED = "m.room.encrypted"
ENCRYPTION = "m.room.encryption"
MEMBER = "m.room.member"
NAME = "m.room.name"
ALIAS = "m.room.canonical_alias"

_ID_LIMIT = 512
_NAME_LIMIT = 200
_MENTIONS_LIMIT = 200
_FILES = {
    "m.image": FileKind.PHOTO,
    "m.video": FileKind.VIDEO,
    "m.audio": FileKind.AUDIO,
    "m.file": FileKind.DOCUMENT,
}
_VOICE = "org.matrix.msc3245.voice"
_QUOTED_SENDER = re.compile(r"^(?:\* )?<[@!][^>]{1,255}> ?")
_MXC = re.compile(r"mxc://([A-Za-z0-9.:\[\]-]{1,255})/([A-Za-z0-9_-]{1,255})")


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A message. reply_to: "" for none; quoted: of that, where the message itself brings it. thread: root, or None.

    mentions: ids that it names as addressed, None where it does not tell. html: "" for none.
    """

    event_id: str
    sender: str
    text: str
    files: tuple[InboundFile, ...] = ()
    reply_to: str = ""
    quoted: str = ""
    thread: str | None = None
    is_notice: bool = False
    mentions: tuple[str, ...] | None = None
    html: str = ""


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """A message of before has another text now. target: the id of that."""

    event_id: str
    sender: str
    target: str
    text: str


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody put a sign under a message."""

    event_id: str
    sender: str
    target: str
    sign: str


def read(event: Json) -> Said | Changed | Signed | None:
    """What an event of a timeline says; None when nobody said anything, or what was said is gone."""
    event_id, sender = loose.text(event, "event_id"), loose.text(event, "sender")
    kind, content = loose.text(event, "type"), loose.below(event, "content")
    if not _is_id(event_id) or not _is_id(sender) or "state_key" in event or not content:
        return None
    if kind == REACTION:
        return _signed(event_id, sender, content)
    if kind not in {MESSAGE, STICKER}:
        return None
    if loose.text(loose.below(content, "m.relates_to"), "rel_type") == "m.replace":
        return _changed(event_id, sender, content)
    return _said(event_id, sender, kind, content)


def _signed(event_id: str, sender: str, content: Json) -> Signed | None:
    relation = loose.below(content, "m.relates_to")
    target, sign = loose.text(relation, "event_id"), loose.text(relation, "key", _ID_LIMIT)
    if loose.text(relation, "rel_type") != "m.annotation" or not _is_id(target) or not sign:
        return None
    return Signed(event_id=event_id, sender=sender, target=target, sign=sign)


def _changed(event_id: str, sender: str, content: Json) -> Changed | None:
    target, fresh = loose.text(loose.below(content, "m.relates_to"), "event_id"), loose.below(content, "m.new_content")
    if not _is_id(target) or not fresh:
        return None
    return Changed(event_id=event_id, sender=sender, target=target, text=loose.text(fresh, "body"))


def _said(event_id: str, sender: str, kind: str, content: Json) -> Said:
    relation = loose.below(content, "m.relates_to")
    reply_to = loose.text(loose.below(relation, "m.in_reply_to"), "event_id")
    is_thread = loose.text(relation, "rel_type") == "m.thread" and _is_id(loose.text(relation, "event_id"))
    if not _is_id(reply_to) or (is_thread and loose.flag(relation, "is_falling_back")):
        # In a thread it is there for clients that know no threads, and answers nothing.
        reply_to = ""
    text, files = _text_and_files(kind, content)
    quoted = ""
    if reply_to:
        quoted, text = without_quote(text)
    return Said(
        event_id=event_id,
        sender=sender,
        text=text,
        files=files,
        reply_to=reply_to,
        quoted=quoted,
        thread=loose.text(relation, "event_id") if is_thread else None,
        is_notice=loose.text(content, "msgtype") == "m.notice",
        mentions=_mentions(content),
        html=loose.text(content, "formatted_body"),
    )


def without_quote(body: str) -> tuple[str, str]:
    """What a body quotes for clients that know no answers, and the body without that."""
    if not body.startswith("> "):
        return "", body
    lines = body.split("\n")
    end = next((at for at, line in enumerate(lines) if line != ">" and not line.startswith("> ")), len(lines))
    quoted = "\n".join(line[2:] for line in lines[:end])
    if end < len(lines) and not lines[end].strip():
        end += 1
    return _QUOTED_SENDER.sub("", quoted).strip(), "\n".join(lines[end:])


def media_of(ref: str) -> tuple[str, str] | None:
    """Server and id of a file's address mxc://...; None for anything else."""
    found = _MXC.fullmatch(ref)
    return (found[1], found[2]) if found else None


def is_membership(event: Json, user_id: str, membership: str) -> bool:
    """Whether a user became a member of that kind by this event, and was none before."""
    if loose.text(event, "type") != MEMBER or loose.text(event, "state_key") != user_id:
        return False
    before = loose.below(event, "unsigned", "prev_content") or loose.below(event, "prev_content")
    is_such = loose.text(loose.below(event, "content"), "membership") == membership
    return is_such and loose.text(before, "membership") != membership


def _text_and_files(kind: str, content: Json) -> tuple[str, tuple[InboundFile, ...]]:
    body, msgtype = loose.text(content, "body"), loose.text(content, "msgtype")
    what = FileKind.STICKER if kind == STICKER else _FILES.get(msgtype)
    if what is None:
        return body, ()
    ref = loose.text(content, "url")
    if media_of(ref) is None:
        return body, ()
    if what is FileKind.AUDIO and _VOICE in content:
        what = FileKind.VOICE
    name = loose.text(content, "filename")
    details = loose.below(content, "info")
    file = InboundFile(
        kind=what,
        ref=ref,
        name=(name or body)[:_NAME_LIMIT],
        mime=loose.text(details, "mimetype", _NAME_LIMIT),
        size_bytes=loose.count(details, "size"),
    )
    # The body is the caption only where the name has a place of its own.
    return body if name and name != body else "", (file,)


def _mentions(content: Json) -> tuple[str, ...] | None:
    if "m.mentions" not in content:
        return None
    found: list[Any] = list(loose.items(content["m.mentions"], "user_ids")[:_MENTIONS_LIMIT])
    return tuple(loose.valid(user) for user in found if isinstance(user, str))


def _is_id(text: str) -> bool:
    return 0 < len(text) <= _ID_LIMIT
