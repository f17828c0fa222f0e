"""The folder of files that came with messages or go with them: HOME/files, for the core's owner alone. Blocks.

    HOME/files/in/YEAR-MONTH-DAY/TOKEN_NAME     what came
    HOME/files/out/YEAR-MONTH-DAY/TOKEN_NAME    copies of what is sent

A token cannot be guessed: whoever is told of one file learns nothing of the others.
"""

import mimetypes
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import msgspec

from core.gateway.platform import FileKind, OutboundFile

IN, OUT = "in", "out"
_NAME_BYTES = 120
_TOKEN_BYTES = 12
_PIECE_BYTES = 1 << 20
_KINDS = {"image": FileKind.PHOTO, "video": FileKind.VIDEO, "audio": FileKind.AUDIO}
_NO_PHOTOS = frozenset({"image/svg+xml", "image/tiff", "image/x-icon"})


class NotSendable(Exception):
    """A file that may not be sent, or cannot be; the text says why, for people."""


class Opened(msgspec.Struct, frozen=True):
    """A new file on the shelf."""

    path: Path
    file: BinaryIO


def plain_name(name: str) -> str:
    """The last part of a name, harmless in a folder, in a text and on a screen; never empty."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    plain = "".join(sign if sign.isprintable() and sign not in '[]<>"`|' else "_" for sign in last).strip(". ")
    return plain.encode(errors="replace")[:_NAME_BYTES].decode(errors="ignore") or "file"


def kind_of(mime: str) -> FileKind:
    """What a file of that type is to people in a chat."""
    return FileKind.DOCUMENT if mime in _NO_PHOTOS else _KINDS.get(mime.partition("/")[0], FileKind.DOCUMENT)


def mime_of(name: str) -> str:
    """The type of a file by its name."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def noted(about: str, size: int, path: Path) -> str:
    """A line of a message about a file that came with it."""
    return f"[{about}, {size:,} bytes: {path}]"


def in_notes(root: Path) -> re.Pattern[str]:
    """What finds the paths in such lines."""
    begin = re.escape(f"{root / IN}{os.sep}")
    # A name goes on to what plain_name lets nobody write.
    name = rf"\d{{4}}-\d\d-\d\d/[0-9a-f]{{{2 * _TOKEN_BYTES}}}_[^/\[\]\n]+"
    return re.compile(rf"(?<= bytes: ){begin}{name}(?=\])")


def created(root: Path, folder: str, name: str, at: float) -> Opened:
    """A new file. at: UTC seconds. Raises OSError."""
    day = root / folder / datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
    for each in (root, root / folder, day):
        each.mkdir(mode=0o700, exist_ok=True)
    path = day / f"{secrets.token_hex(_TOKEN_BYTES)}_{plain_name(name)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return Opened(path, os.fdopen(os.open(path, flags, 0o600), "wb"))


def discard(opened: Opened) -> None:
    """Let a file go that did not become whole."""
    with suppress(OSError):
        opened.file.close()
    with suppress(OSError):
        opened.path.unlink()


def copied(shelf: Path, path: str, roots: Iterable[Path], *, at: float, limit_bytes: int) -> OutboundFile:
    """A copy of a file that is about to be sent, so that nobody can change it until it is.

    path: absolute, or relative to the first root; it must lie in one of them, links followed. Raises NotSendable.
    """
    folders = [Path(os.path.realpath(root)) for root in roots]
    wanted = Path(os.path.realpath((folders[0] if folders else Path("/")) / path))
    if not any(wanted.is_relative_to(folder) and wanted != folder for folder in folders):
        raise NotSendable("it lies outside the folders that files may be sent from")
    try:
        # O_NONBLOCK: nobody waits for the other end of a pipe.
        handle = os.open(wanted, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise NotSendable((error.strerror or "it cannot be read").lower()) from error
    try:
        _check(handle, wanted, limit_bytes)
    except BaseException:
        os.close(handle)
        raise
    with os.fdopen(handle, "rb") as source:
        return _copy(shelf, source, wanted.name, at, limit_bytes)


def _check(handle: int, wanted: Path, limit_bytes: int) -> None:
    about = os.fstat(handle)
    if not stat.S_ISREG(about.st_mode):
        raise NotSendable("it is no plain file")
    if _real_path(handle, wanted) != wanted:
        raise NotSendable("it leads elsewhere by now")
    if about.st_size > limit_bytes:
        raise NotSendable(f"it has {about.st_size:,} bytes, and {limit_bytes:,} can be sent")


def _copy(shelf: Path, source: BinaryIO, name: str, at: float, limit_bytes: int) -> OutboundFile:
    opened: Opened | None = None
    try:
        opened = created(shelf, OUT, name, at)
        size = 0
        while size <= limit_bytes and (piece := source.read(_PIECE_BYTES)):
            size += len(piece)
            opened.file.write(piece)
        opened.file.close()
    except OSError as error:
        if opened is not None:
            discard(opened)
        raise NotSendable(f"it cannot be copied: {(error.strerror or 'an error of the disk').lower()}") from error
    if size > limit_bytes:
        discard(opened)
        raise NotSendable("it grows while it is read")
    shown, mime = plain_name(name), mime_of(name)
    return OutboundFile(kind=kind_of(mime), name=shown, mime=mime, path=str(opened.path), size_bytes=size)


def _real_path(handle: int, wanted: Path) -> Path:
    """Where an open file really is: a folder on the way may have become a link since it was looked up."""
    by_handle = Path(f"/proc/self/fd/{handle}")
    return Path(os.path.realpath(by_handle if by_handle.exists() else wanted))


def sweep(root: Path, oldest_at: float) -> int:
    """Remove files that nobody changed since oldest_at (UTC seconds), and empty folders. Returns how many."""
    count = 0
    for folder in (root / IN, root / OUT):
        for day in sorted(folder.iterdir()) if folder.is_dir() else ():
            if day.is_symlink() or not day.is_dir():
                continue
            count += sum(_swept(path, oldest_at) for path in day.iterdir())
            with suppress(OSError):
                day.rmdir()
    return count


def _swept(path: Path, oldest_at: float) -> bool:
    try:
        if path.lstat().st_mtime >= oldest_at:
            return False
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError:
        return False
    return True
