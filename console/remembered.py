"""What the console remembers between starts: the answer to the question that quitting asks."""

import contextlib
import os
from pathlib import Path

import msgspec

FILE_NAME = "console.json"


class Remembered(msgspec.Struct, frozen=True):
    """on_quit: stop or keep; "" when nobody said so."""

    on_quit: str = ""


def load_remembered(home: Path) -> Remembered:
    """What is remembered; nothing when the file is missing or cannot be read."""
    try:
        return msgspec.json.decode((home / FILE_NAME).read_bytes(), type=Remembered)
    except (OSError, msgspec.DecodeError):
        return Remembered()


def save_remembered(home: Path, remembered: Remembered) -> None:
    """Write it; a home that cannot be written to forgets."""
    with contextlib.suppress(OSError):
        part = home / f"{FILE_NAME}.part"
        part.write_bytes(msgspec.json.encode(remembered))
        part.chmod(0o600)
        os.replace(part, home / FILE_NAME)  # noqa: PTH105 - replaces in one step
