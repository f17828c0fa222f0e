"""What a store last knew to be on disk, kept beside its file: a file that ends below it has lost something."""

import contextlib
import os
from pathlib import Path
from zlib import crc32

import msgspec

_FORM = "hermes-mark 1"
_MOST_BYTES = 200


class Watermark(msgspec.Struct, frozen=True):
    """epoch: of the file that it speaks of. seq: last journal entry; first, last: places of the mail log.

    It never claims what was not durable when it was written.
    """

    epoch: int
    seq: int = 0
    first: int = 1
    last: int = 0


def encode_mark(mark: Watermark) -> bytes:
    """One line of text that ends with its checksum."""
    line = f"{_FORM} {mark.epoch} {mark.seq} {mark.first} {mark.last}"
    return f"{line} {crc32(line.encode()):08x}\n".encode()


def decode_mark(line: bytes) -> Watermark | None:
    """The mark, or None for anything that is not a whole one."""
    numbers = line.removeprefix(_FORM.encode()).split()[:-1]
    if not all(number.isdigit() for number in numbers):
        return None
    values = [int(number) for number in numbers]
    if len(values) != len(Watermark.__struct_fields__):
        return None
    mark = Watermark(*values)
    return mark if encode_mark(mark) == line else None


class WatermarkFile:
    """The file of the mark; written under another name first, so that it is always whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Watermark | None:
        """What it says; None when it is missing or cannot be understood."""
        try:
            with self._path.open("rb") as file:
                return decode_mark(file.read(_MOST_BYTES))
        except OSError:
            return None

    def write(self, mark: Watermark) -> bool:
        """Put it in place, and say whether that worked."""
        fresh = self._path.with_name(self._path.name + ".new")
        try:
            _write_whole(fresh, encode_mark(mark))
            fresh.rename(self._path)
        except OSError:
            with contextlib.suppress(OSError):
                fresh.unlink()
            return False
        return True


def _write_whole(path: Path, body: bytes) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, body)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
