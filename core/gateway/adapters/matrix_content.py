"""Answers as the contents of Matrix events (pure). A whole event must fit into 65,536 bytes, so HTML goes first."""

from collections.abc import Mapping
from typing import Any

import msgspec

from core.gateway.adapters.matrix_html import html_of, is_plain
from core.gateway.platform import FileKind, Outbound, OutboundFile

TEXT_LIMIT_BYTES = 16_000
"""An edit carries its text twice as body and twice as HTML, and escapes make it longer."""

EVENT_LIMIT_BYTES = 60_000
_FILES = {
    FileKind.PHOTO: "m.image",
    FileKind.STICKER: "m.image",
    FileKind.VIDEO: "m.video",
    FileKind.AUDIO: "m.audio",
    FileKind.VOICE: "m.audio",
    FileKind.DOCUMENT: "m.file",
}
_CONTROLS = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127))
_HTML = "org.matrix.custom.html"

Content = Mapping[str, Any]


def text_content(message: Outbound) -> Content:
    """Of an answer's text: a new message, or the edit of one."""
    text = _clean(message.text)
    whole = _texts(text, with_html=True)
    plain = _texts(text, with_html=False)
    if not message.edits:
        relation = related(message)
        return _fitting({**whole, **relation}, {**plain, **relation})
    relation = {"m.relates_to": {"rel_type": "m.replace", "event_id": message.edits}}
    return _fitting(
        {**_starred(whole), "m.new_content": whole, **relation},
        {**_starred(plain), "m.new_content": whole, **relation},
        {**_starred(plain), "m.new_content": plain, **relation},
        {"msgtype": "m.text", "body": "* (changed)", "m.mentions": {}, "m.new_content": plain, **relation},
    )


def file_content(message: Outbound, file: OutboundFile, address: str) -> Content:
    """Of a file that was uploaded to an address mxc://..."""
    name = _clean(file.name)
    content: dict[str, Any] = {
        "msgtype": _FILES[file.kind],
        "body": name,
        "filename": name,
        "url": address,
        "info": {"mimetype": file.mime or "application/octet-stream", "size": file.size_bytes},
        "m.mentions": {},
        **related(message),
    }
    if file.kind is FileKind.VOICE:
        content["org.matrix.msc3245.voice"] = {}
    return content


def notice_content(text: str, answers: str = "") -> Content:
    """Of a word by the program itself, which rings with nobody."""
    content: dict[str, Any] = {"msgtype": "m.notice", "body": _clean(text), "m.mentions": {}}
    if answers:
        content["m.relates_to"] = {"m.in_reply_to": {"event_id": answers}}
    return content


def sign_content(target: str, sign: str) -> Content:
    """Of a sign under a message."""
    return {"m.relates_to": {"rel_type": "m.annotation", "event_id": target, "key": sign}}


def related(message: Outbound) -> Content:
    """What a new message belongs to: its thread, and what it answers."""
    thread = message.source.thread
    if thread is not None:
        return {
            "m.relates_to": {
                "rel_type": "m.thread",
                "event_id": thread,
                # Clients that know no threads show it as an answer to this.
                "is_falling_back": not message.reply_to,
                "m.in_reply_to": {"event_id": message.reply_to or thread},
            }
        }
    return {"m.relates_to": {"m.in_reply_to": {"event_id": message.reply_to}}} if message.reply_to else {}


def _texts(text: str, *, with_html: bool) -> dict[str, Any]:
    # Without mentions said to be none, servers ring with everybody whose name the text happens to hold.
    content: dict[str, Any] = {"msgtype": "m.text", "body": text, "m.mentions": {}}
    if with_html and not is_plain(text):
        content |= {"format": _HTML, "formatted_body": html_of(text)}
    return content


def _starred(content: Content) -> dict[str, Any]:
    """The form of an edit for clients that know none."""
    return {**content, **{key: f"* {content[key]}" for key in ("body", "formatted_body") if key in content}}


def _fitting(*forms: Content) -> Content:
    """The first that fits, else the last."""
    return next((form for form in forms if len(msgspec.json.encode(form)) <= EVENT_LIMIT_BYTES), forms[-1])


def _clean(text: str) -> str:
    """Without controls, which servers may refuse and each of which takes six bytes, and without half characters."""
    return text.translate(_CONTROLS).encode(errors="replace").decode()
