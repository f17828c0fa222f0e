"""What the console begins with: the answer once given to the question of quitting, and the theme."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from console.theme import choose_theme

FILE_NAME = "console.json"


class Remembered(msgspec.Struct, frozen=True):
    """on_quit: stop or keep; "" when nobody said so."""

    on_quit: str = ""


_remembered = msgspec.json.Decoder(Remembered)


def load_remembered(home: Path) -> Remembered:
    """What is remembered; nothing when the file is missing or cannot be read."""
    try:
        return _remembered.decode((home / FILE_NAME).read_bytes())
    except (OSError, msgspec.DecodeError):
        return Remembered()


def save_remembered(home: Path, remembered: Remembered) -> None:
    """Write it; a home that cannot be written to forgets."""
    with contextlib.suppress(OSError):
        part = home / f"{FILE_NAME}.part"
        part.write_bytes(msgspec.json.encode(remembered))
        part.chmod(0o600)
        os.replace(part, home / FILE_NAME)  # noqa: PTH105 - replaces in one step


def first_theme(wanted: str, environ: Mapping[str, str]) -> str:
    """The theme to start with; `auto` looks at what the terminal says about its background."""
    if wanted == "auto":
        ground = environ.get("COLORFGBG", "").rpartition(";")[2]
        wanted = "light" if ground in {"7", "15"} else "dark"
    return choose_theme(wanted, environ)
