"""Files of Telegram's messages, both ways: what came, and by which method one is sent (pure)."""

import msgspec

from core.gateway.adapters import loose
from core.gateway.adapters.loose import Json
from core.gateway.adapters.telegram_text import whole
from core.gateway.platform import FileKind, InboundFile, OutboundFile

FETCH_LIMIT_BYTES = 20 * 1024 * 1024
"""Largest file that the Bot API hands out."""

SEND_LIMIT_BYTES = 50 * 1024 * 1024
"""Largest file that it takes."""

_PHOTO_LIMIT_BYTES = 10 * 1024 * 1024
_NAME_LIMIT = 255
_REF_LIMIT = 512
_VOICES = frozenset({"audio/ogg", "audio/mpeg", "audio/mp4", "audio/x-m4a"})

# A video without sound comes as a document too, so `animation` stands before it.
_FOUND: tuple[tuple[str, FileKind, str, str], ...] = (
    ("animation", FileKind.VIDEO, "animation.mp4", "video/mp4"),
    ("video", FileKind.VIDEO, "video.mp4", "video/mp4"),
    ("video_note", FileKind.VIDEO, "video.mp4", "video/mp4"),
    ("voice", FileKind.VOICE, "voice.ogg", "audio/ogg"),
    ("audio", FileKind.AUDIO, "audio.mp3", "audio/mpeg"),
    ("document", FileKind.DOCUMENT, "document", ""),
)


class Way(msgspec.Struct, frozen=True):
    """How a file is sent. field: under which name it is attached."""

    method: str
    field: str


AS_DOCUMENT = Way("sendDocument", "document")


def files_of(message: Json) -> tuple[InboundFile, ...]:
    """What came with a message: one file, or none."""
    if photo := _largest(message):
        return _made(photo, FileKind.PHOTO, "photo.jpg", "image/jpeg")
    for key, kind, name, mime in _FOUND:
        if found := loose.mapping(message.get(key)):
            return _made(found, kind, name, mime)
    if sticker := loose.mapping(message.get("sticker")):
        return _sticker(sticker)
    return ()


def way_of(file: OutboundFile) -> Way:
    """The method for a file. What Telegram would refuse as what it is goes as a document."""
    kind, mime = file.kind, file.mime
    if kind is FileKind.PHOTO and mime.startswith("image/") and file.size_bytes <= _PHOTO_LIMIT_BYTES:
        return Way("sendPhoto", "photo")
    if kind is FileKind.VIDEO and mime == "video/mp4":
        return Way("sendVideo", "video")
    if kind is FileKind.VOICE and mime in _VOICES:
        return Way("sendVoice", "voice")
    if kind in {FileKind.AUDIO, FileKind.VOICE} and mime in {"audio/mpeg", "audio/mp4", "audio/x-m4a"}:
        return Way("sendAudio", "audio")
    if kind is FileKind.STICKER and mime == "image/webp":
        return Way("sendSticker", "sticker")
    return AS_DOCUMENT


def _largest(message: Json) -> Json:
    fit = [size for size in loose.objects(message, "photo") if (whole(size, "file_size") or 0) <= FETCH_LIMIT_BYTES]
    return max(fit, key=_pixels) if fit else loose.mapping(None)


def _pixels(size: Json) -> int:
    return (whole(size, "width") or 0) * (whole(size, "height") or 0)


def _sticker(sticker: Json) -> tuple[InboundFile, ...]:
    if loose.flag(sticker, "is_animated"):
        return _made(sticker, FileKind.STICKER, "sticker.tgs", "application/x-tgsticker")
    if loose.flag(sticker, "is_video"):
        return _made(sticker, FileKind.STICKER, "sticker.webm", "video/webm")
    return _made(sticker, FileKind.STICKER, "sticker.webp", "image/webp")


def _made(found: Json, kind: FileKind, name: str, mime: str) -> tuple[InboundFile, ...]:
    ref = loose.text(found, "file_id", _REF_LIMIT)
    if not ref:
        return ()
    size = whole(found, "file_size")
    return (
        InboundFile(
            kind=kind,
            ref=ref,
            name=loose.text(found, "file_name", _NAME_LIMIT) or name,
            mime=loose.text(found, "mime_type", _NAME_LIMIT) or mime,
            size_bytes=size if size is not None and size >= 0 else None,
        ),
    )
