"""The first frame, drawn before anything heavy is imported: the counts of last time, marked with their age.

Nothing of Textual or rich is imported here, nor json, re or pathlib: each of these takes as
long as all of the drawing. The frame has the layout of the Overview, so
that nothing jumps when the live one takes its place.
"""

import os
import sys
import time
from collections.abc import Mapping

Home = str | os.PathLike[str]

FRAME_FILE = "last_frame.json"

COUNT_KEYS = ("sessions", "running", "waiting", "queued", "failed", "approvals", "dead")
"""What `save_frame` keeps and `paint` shows; other keys are left out."""

_LEAST_COLUMNS, _LEAST_ROWS = 60, 16
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J\x1b[H"
_LEAVE = "\x1b[0m\x1b[?25h\x1b[?1049l"
_COLOUR_KEYS = ("ground", "plain", "quiet")
_HEX_LETTERS = 7
_FILE_LIMIT_BYTES = 4096

_painted_on: list[int] = []


def _terminal() -> int | None:
    """The descriptor that the driver will draw on; None where there is no terminal to draw on."""
    if os.environ.get("TERM", "") in {"", "dumb"} or sys.__stderr__ is None or sys.__stdin__ is None:
        return None
    try:
        descriptor = sys.__stderr__.fileno()
        on_terminal = os.isatty(descriptor) and os.isatty(sys.__stdin__.fileno()) and os.isatty(1)
    except (OSError, ValueError):
        return None
    return descriptor if on_terminal else None


def _load(home: Home) -> str:
    try:
        descriptor = os.open(os.path.join(home, FRAME_FILE), os.O_RDONLY)  # noqa: PTH118 - pathlib is slow to import
    except OSError:
        return ""
    try:
        return os.read(descriptor, _FILE_LIMIT_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def _after(frame: str, key: str) -> str:
    """What follows a key in flat JSON, up to the next comma or brace; "" when the key is not there."""
    _, found, rest = frame.partition(f'"{key}":')
    end = min((place for mark in ",}" if (place := rest.find(mark)) >= 0), default=len(rest))
    return rest[:end].strip() if found else ""


def _counts(frame: str) -> dict[str, int]:
    kept = {key: _after(frame, key) for key in COUNT_KEYS}
    return {key: int(digits) for key, digits in kept.items() if digits.isascii() and digits.isdigit()}


def _as_of(frame: str) -> str:
    try:
        return time.strftime("as of %H:%M", time.localtime(float(_after(frame, "at"))))
    except (OverflowError, ValueError, OSError):
        return ""


def _sessions_line(counts: Mapping[str, int]) -> str:
    words = [f"{counts['sessions']:,}"] if "sessions" in counts else []
    names = (("running", "run"), ("waiting", "wait"), ("queued", "queued"), ("failed", "failed"))
    words += [f"{counts[key]:,} {word}" for key, word in names if counts.get(key)]
    return "   ".join(words)


def frame_lines(frame: str, width: int, rule: str = "-") -> list[str]:
    """The lines of the first frame for the file that `save_frame` wrote; "" when there is none."""
    counts = _counts(frame)
    decisions = f"{counts['approvals']:,} decisions open " if counts.get("approvals") else ""
    right = decisions + _as_of(frame)
    lines = [
        " HERMES  starting...",
        " overview" + right.rjust(max(0, width - len(" overview "))) + " ",
        " NEEDS YOU   WHERE               SINCE WHAT",
        "",
        "  The core is starting.",
        f"{rule * 2} system " + rule * max(0, width - 10),
    ]
    if counts:
        lines.append(f" {'sessions':13} {_sessions_line(counts)}")
        if counts.get("dead"):
            lines.append(f" {'deliveries':13} {counts['dead']:,} dead")
    return [line[:width] for line in lines]


def _colour(frame: str, key: str, kind: int) -> str:
    value = _after(frame, key).strip('"')
    if len(value) != _HEX_LETTERS or not value.startswith("#"):
        return ""
    try:
        red, green, blue = (int(value[place : place + 2], 16) for place in (1, 3, 5))
    except ValueError:
        return ""
    return f"\x1b[{kind};2;{red};{green};{blue}m"


def _has_colours() -> bool:
    return "NO_COLOR" not in os.environ and os.environ.get("COLORTERM", "") in {"truecolor", "24bit"}


def _is_unicode() -> bool:
    encoding = sys.__stderr__.encoding if sys.__stderr__ is not None else ""
    return "utf" in (encoding or "").lower() and os.environ.get("TERM") != "linux"


def paint(home: Home) -> bool:
    """Take the terminal over and draw the first frame; False, and nothing done, where there is no terminal."""
    descriptor = _terminal()
    if descriptor is None:
        return False
    try:
        width, height = os.get_terminal_size(descriptor)
    except OSError:
        return False
    frame = _load(home)
    ground = plain = quiet = ""
    if _has_colours():
        plain, quiet = _colour(frame, "plain", 38), _colour(frame, "quiet", 38)
        ground = _colour(frame, "ground", 48)
    lines = frame_lines(frame, width, "─" if _is_unicode() else "-")
    if width < _LEAST_COLUMNS or height < _LEAST_ROWS:
        lines = lines[:1]
    # The ground comes before the clearing, which fills the screen with it.
    out = [_ENTER.replace("\x1b[2J", f"{ground}\x1b[2J")]
    for row, line in enumerate(lines[:height], start=1):
        out.append(f"\x1b[{row};1H{quiet if row > 1 else plain}{line}")
    try:
        os.write(descriptor, "".join(out).encode(errors="replace"))
    except OSError:
        return False
    _painted_on.append(descriptor)
    return True


def undo() -> None:
    """Give the terminal back as it was; does nothing when nothing was painted."""
    while _painted_on:
        try:
            os.write(_painted_on.pop(), _LEAVE.encode())
        except OSError:
            return


def save_frame(home: Home, *, at: float, counts: Mapping[str, int], theme: str = "") -> None:
    """Keep what the next start shows first. at: UTC seconds. A home that cannot be written to keeps nothing.

    theme: name of ours, whose colours the first frame gets; "" draws it in those of the terminal.
    """
    # The app runs when a frame is saved, so these imports cost nothing; painting never comes here.
    import contextlib
    import json
    from pathlib import Path

    frame: dict[str, object] = {"at": at, "counts": {key: counts[key] for key in COUNT_KEYS if key in counts}}
    if theme:
        frame["colours"] = _theme_colours(theme)
    target = Path(home) / FRAME_FILE
    with contextlib.suppress(OSError):
        part = target.with_name(f"{FRAME_FILE}.part")
        part.write_text(json.dumps(frame), encoding="utf-8")
        part.chmod(0o600)
        part.replace(target)


def _theme_colours(theme: str) -> dict[str, str]:
    from console.theme import styles

    palette = styles(theme)
    found = (palette.ground.bgcolor, palette.style("plain").color, palette.style("quiet").color)
    return {key: colour.name for key, colour in zip(_COLOUR_KEYS, found, strict=True) if colour is not None}
