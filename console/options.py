"""How the screen was started and what the configuration says about it."""

from pathlib import Path
from typing import Literal

import msgspec

from core.api.system import ConfigView

OnQuit = Literal["ask", "stop", "keep"]
OnHangup = Literal["stop", "keep"]
Announce = Literal["both", "bell", "title", "none"]
Theme = Literal["auto", "dark", "light", "contrast", "ansi"]

_SECTION = "console."
_WORDS = ("on_quit", "on_hangup", "theme", "announce")
_KEYS = "console.keys."


class ConsoleOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the screen is told from outside.

    is_embedded: the core runs in this process, so quitting is a question about the core.
    on_quit: what `q` does to an embedded core; on_hangup: what a closed terminal does to it.
    announce: how the terminal tells that somebody waits for a decision. keys: keys by action id. demo: the home is
    thrown away at the end.
    """

    home: Path
    is_embedded: bool
    read_only: bool = False
    on_quit: OnQuit = "ask"
    on_hangup: OnHangup = "keep"
    theme: Theme = "auto"
    announce: Announce = "both"
    keys: dict[str, str] = {}
    demo: bool = False


def options_from(
    view: ConfigView | None, *, home: Path, is_embedded: bool, read_only: bool = False, demo: bool = False
) -> ConsoleOptions:
    """Options out of the configuration in force; None where it could not be read: the screen opens and says why.

    read_only: asked for on the command line; the configuration can only add to it.
    """
    values = {setting.key: setting.value for setting in view.settings} if view else {}
    found = {name: values[_SECTION + name] for name in _WORDS if _SECTION + name in values}
    return msgspec.convert(
        {
            **found,
            "home": str(home),
            "is_embedded": is_embedded,
            "read_only": read_only or values.get("console.read_only") == "true",
            "keys": {key.removeprefix(_KEYS): value for key, value in values.items() if key.startswith(_KEYS)},
            "demo": demo,
        },
        ConsoleOptions,
        dec_hook=_path,
    )


def _path(kind: type, value: object) -> object:
    return kind(value)
