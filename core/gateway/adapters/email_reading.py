"""A mail as it came to what a session is given: text, files, and what it answers (pure).

Mail is written by anybody and may be broken in any way. Everything here gives something for any bytes; what is nested
beyond reason is not looked into.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from email.message import Message
from email.parser import BytesHeaderParser, BytesParser
from email.policy import Compat32, compat32
from hashlib import sha256
from typing import cast

import msgspec

from core.gateway.adapters.email_headers import Headers, decoded, message_ids, one_line, text_of
from core.gateway.adapters.email_html import text_of_html
from core.gateway.platform import FileKind, InboundFile

FINGERPRINT = "sha256."
"""Native ids of mails without a Message-ID begin so."""

HEADER_BYTES = 262_144
"""Of the headers of a mail, no more is read."""

_DEPTH_LIMIT = 30
_PARSED_LIMIT = 3_000
_LINES_FREE = 100_000
_LINE_LEAST_BYTES = 20
_PART_HEADER_LIMIT = 10_000
_TEXT_BYTES = 2_000_000
_PART_LIMIT = 300
_FILE_LIMIT = 50
_NAME_LIMIT = 200
_KINDS = {"image": FileKind.PHOTO, "video": FileKind.VIDEO, "audio": FileKind.AUDIO}
_MIME = re.compile(r"[a-z0-9!#$&^_.+-]{1,60}/[a-z0-9!#$&^_.+-]{1,60}")
_SIGNATURE = "-- "
_FORWARDED = re.compile(
    r"-{2,}\s*(?:original message|ursprüngliche nachricht|forwarded message)\s*-{2,}", re.IGNORECASE
)
_REPLY = re.compile(r"\s*(?:re|aw|sv|antw)\s*(?:\[\d+\])?\s*:\s*", re.IGNORECASE)

Part = Message  # a part of a mail is a mail


class _TooMuch(Exception):
    """A mail that would keep its reader busy. Its text is what the session is told."""


class _BoundedPart(Message):
    """A part, by which the parser is stopped: it descends once for each level, and each line looks at all of them."""

    def __init__(self, policy: Compat32 = compat32) -> None:
        super().__init__(policy)
        self.depth = 0
        self.counted = [1]

    def attach(self, payload: object) -> None:
        """The parser tells of a part as soon as it begins."""
        assert isinstance(payload, _BoundedPart)
        payload.depth, payload.counted = self.depth + 1, self.counted
        self.counted[0] += 1
        if payload.depth > _DEPTH_LIMIT:
            raise _TooMuch
        if self.counted[0] > _PARSED_LIMIT:
            raise _TooMuch(f"[This mail was not read: it has more than {_PARSED_LIMIT:,} parts.]")
        super().attach(payload)


class _BoundedHeaders(Compat32):
    """Headers of parts, cut: the library reads their parameters again and again."""

    def header_source_parse(self, sourcelines: "list[str]") -> tuple[str, str]:
        """Name and value."""
        name, value = super().header_source_parse(sourcelines)
        return name, value[:_PART_HEADER_LIMIT]


_BOUNDED = _BoundedHeaders()


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """What a mail says.

    native_id: its Message-ID without brackets, or a fingerprint where it has none. references: ids of the mails before
    it, oldest first; reply_to: of the one that it answers, "" for none. subject: "" when there is none. text: what was
    written, without what it quotes; quoted: that.
    """

    native_id: str
    references: Sequence[str]
    subject: str
    sender_name: str
    text: str
    reply_to: str = ""
    quoted: str = ""
    files: Sequence[InboundFile] = ()

    @property
    def root_id(self) -> str:
        """Id of the mail that the thread began with."""
        return self.references[0] if self.references else self.native_id


def headers_of(raw: bytes) -> Headers:
    """The headers alone; cheap."""
    ends = [end for end in (raw.find(b"\r\n\r\n"), raw.find(b"\n\n")) if end >= 0]
    head = raw[: min(ends)] if ends else raw
    # The library ends a line at a lone return, which most servers do not.
    is_clear = len(head) <= HEADER_BYTES and b"\r" not in head.replace(b"\r\n", b"")
    return Headers(BytesHeaderParser(policy=compat32).parsebytes(head[:HEADER_BYTES]), is_clear=is_clear)


def read_mail(raw: bytes, headers: Headers, *, place: str, note: str = "") -> Mail:
    """The mail of these bytes. place: what refs of its files begin with. note: stands in for the contents, unread."""
    text, files = (note, ()) if note else _contents(raw, place)
    text, quoted = (text, "") if note else without_quotes(text)
    subject = headers.shown("subject")
    references = chain(headers)
    begins = subject and (note or not references) and not text.startswith("/")
    whole = f"Subject: {subject}\n\n{text}".strip() if begins else text or subject
    ids = message_ids(headers.first("message-id"))
    return Mail(
        native_id=ids[0] if ids else f"{FINGERPRINT}{sha256(raw).hexdigest()}",
        references=references,
        subject=subject,
        sender_name=_display_name(headers),
        text=whole,
        reply_to=next(iter(headers.ids("in-reply-to")), ""),
        quoted=quoted,
        files=files,
    )


def chain(headers: Headers) -> Sequence[str]:
    """Ids of the mails that this one follows, oldest first; the one it answers is the last."""
    known = list(headers.ids("references"))
    answered = headers.ids("in-reply-to")[:1]
    return [*(item for item in known if item not in answered), *answered]


def file_of(raw: bytes, number: int) -> bytes | None:
    """The contents of a part by its number; None when there is no such part."""
    with contextlib.suppress(_TooMuch):
        for place, (part, _) in enumerate(_parts(raw)):
            if place == number:
                return _bytes_of(part)
    return None


def without_quotes(text: str) -> tuple[str, str]:
    """What was written anew, and what is quoted below it. Quotes between the lines stay where they are."""
    lines = text.split("\n")
    if _SIGNATURE in lines:
        lines = lines[: lines.index(_SIGNATURE)]
    lines = [line.rstrip() for line in lines]
    cut = next((place for place, line in enumerate(lines) if _FORWARDED.fullmatch(line.strip())), None)
    if cut is None:
        cut = _quote_begins(lines)
    own = "\n".join(lines[:cut]).strip()
    if not own:  # Nothing but a quote: then the quote is the message.
        return "\n".join(lines).strip(), ""
    return own, "\n".join(line.removeprefix(">").removeprefix(" ") for line in lines[cut:]).strip()


def reply_subject(subject: str) -> str:
    """The subject of an answer, with one Re: however many there were."""
    bare = one_line(subject)
    while (found := _REPLY.match(bare)) is not None:
        bare = bare[found.end() :]
    return f"Re: {bare}".strip()


def _quote_begins(lines: Sequence[str]) -> int:
    end = len(lines)
    while end and not lines[end - 1]:
        end -= 1
    begin = end
    while begin and (lines[begin - 1].startswith(">") or not lines[begin - 1]):
        begin -= 1
    if not any(line.startswith(">") for line in lines[begin:end]):
        return end
    # The line that says who wrote it, which may be broken in two.
    for count in (1, 2):
        before = lines[max(0, begin - count) : begin]
        if (
            before
            and before[-1].endswith(":")
            and all(before)
            and any(mark in " ".join(before) for mark in "@,0123456789")
        ):
            above = begin - len(before) - 1
            if above < 0 or not lines[above]:
                return begin - len(before)
    return begin


def _contents(raw: bytes, place: str) -> tuple[str, Sequence[InboundFile]]:
    plain: list[str] = []
    pages: list[str] = []
    files: list[InboundFile] = []
    room, was_cut = _TEXT_BYTES, False
    try:
        parts = list(_parts(raw))
    except _TooMuch as much:
        return str(much), ()
    for number, (part, is_text) in enumerate(parts):
        if is_text:
            kind = part.get_content_subtype()
            data = _bytes_of(part)
            text = _text_of_part(part, data[:room], is_flowed=kind == "plain")
            (pages if kind == "html" else plain).append(text)
            was_cut = was_cut or len(data) > room
            room = max(0, room - len(data))
        elif len(files) < _FILE_LIMIT:
            files.append(_file(part, f"{place}/{number}"))
    text = "\n\n".join(item for item in plain if item.strip())
    if not text:
        text = "\n\n".join(text_of_html(page) for page in pages)
    if was_cut:
        text += f"\n\n[The rest of this mail was not read: its text has more than {_TEXT_BYTES:,} bytes.]"
    return text.strip("\n"), files


def _parts(raw: bytes) -> Iterator[tuple[Part, bool]]:
    """All parts that hold something themselves, in order, and whether each is text to be read. Raises _TooMuch."""
    if raw.count(b"\n") + raw.count(b"\r") > 2 * (_LINES_FREE + len(raw) // _LINE_LEAST_BYTES):
        raise _TooMuch("[This mail was not read: it has too many lines.]")
    message = BytesParser(_BoundedPart, policy=_BOUNDED).parsebytes(raw)
    stack: list[Part] = [message]
    count = 0
    while stack and count < _PART_LIMIT:
        part = stack.pop()
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            stack += reversed(_inside(part))
            continue
        count += 1
        yield part, _is_text(part)


def _inside(part: Part) -> "list[Part]":
    inner = cast("object", part.get_payload())
    return (
        [item for item in cast("list[object]", inner) if isinstance(item, Message)] if isinstance(inner, list) else []
    )


def _is_text(part: Part) -> bool:
    disposition = str(part.get("content-disposition", "")).partition(";")[0].strip().lower()
    is_named = bool(_name_of(part))
    return (
        part.get_content_type() in {"text/plain", "text/html"}
        and disposition != "attachment"
        and not (is_named and disposition != "inline")
    )


def _text_of_part(part: Part, data: bytes, *, is_flowed: bool) -> str:
    charset = part.get_param("charset")
    text = text_of(data, charset if isinstance(charset, str) else None)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = "".join(letter for letter in text if letter in "\n\t" or letter >= " ").replace("\x7f", "")
    if is_flowed and str(part.get_param("format") or "").lower() == "flowed":
        return _unflowed(text, is_joined=str(part.get_param("delsp") or "").lower() == "yes")
    return text


def _unflowed(text: str, *, is_joined: bool) -> str:
    """Paragraphs in one line each (RFC 3676): a line that ends in a space goes on in the next one."""
    done: list[str] = []
    is_open = True
    for line in text.split("\n"):
        bare = line.removeprefix(" ")
        if not is_open or (done and bare.startswith(">")):
            done.append("\n")
        is_open = bare.endswith(" ") and bare != _SIGNATURE and not bare.startswith(">")
        done.append(bare[:-1] if is_open and is_joined else bare)
    return "".join(done)


def _bytes_of(part: Part) -> bytes:
    if part.get_content_maintype() == "message" and part.is_multipart():
        try:
            return b"".join(item.as_bytes() for item in _inside(part)[:1])
        except (ValueError, LookupError, AttributeError, TypeError):
            return b""
    try:
        data = part.get_payload(decode=True)
    except (ValueError, LookupError, AssertionError):
        return b""
    return data if isinstance(data, bytes) else b""


def _file(part: Part, ref: str) -> InboundFile:
    mime = part.get_content_type().lower()
    if _MIME.fullmatch(mime) is None:
        mime = "application/octet-stream"
    return InboundFile(
        kind=_KINDS.get(mime.partition("/")[0], FileKind.DOCUMENT),
        ref=ref,
        name=_name_of(part) or ("mail.eml" if mime == "message/rfc822" else ""),
        mime=mime,
        size_bytes=len(_bytes_of(part)),
    )


def _name_of(part: Part) -> str:
    try:
        name = part.get_filename("")
        plain = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except (ValueError, LookupError, TypeError):
        return ""
    return one_line(decoded(plain)).replace("\\", "/").rpartition("/")[2].strip(". ")[:_NAME_LIMIT]


def _display_name(headers: Headers) -> str:
    value = headers.first("from")
    name = value.rpartition("<")[0].strip().strip('"').replace('\\"', '"')
    return decoded(name)[:_NAME_LIMIT]
