"""Pure formatting of what a screen shows: hostile text made harmless, widths in cells, ages, sizes, secrets."""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

UNKNOWN = "?"

_C0_LINE = "NUL SOH STX ETX EOT ENQ ACK BEL BS HT LF VT FF CR SO SI"
_C0_LINE_2 = "DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US"
_C0_NAMES = (*_C0_LINE.split(), *_C0_LINE_2.split())

# Everything that moves the cursor, turns the direction of text or takes no room on the screen.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164"
    "\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
# A presentation selector after a symbol changes only its colour, and terminals disagree about its width.
_PRESENTATION = re.compile("(?<=[#*0-9\u00a9\u00ae\u203c-\u3299\U0001f000-\U0001faff])[\ufe0e\ufe0f]")
_COMBINING_RUN = re.compile(
    "([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{3})"
    "([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+)"
)
_TAB = "    "


def _mark_for(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < len(_C0_NAMES):
        return f"<{_C0_NAMES[code]}>"
    return "<DEL>" if match.group() == "\x7f" else f"<U+{code:04X}>"


def clean(text: str, *, keep_newlines: bool = False) -> str:
    """Text from outside as harmless text: what cannot be seen becomes a mark such as `<ESC>` or `<U+202E>`.

    Tabs become spaces. keep_newlines: line breaks stay; otherwise each becomes one space.
    Cleaning twice changes nothing more.
    """
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n").replace("\t", _TAB)
    if not keep_newlines:
        text = text.replace("\n", " ")
    if not text.isascii():
        text = _PRESENTATION.sub("", text)
        text = _SPACES.sub(" ", text)
        text = _COMBINING_RUN.sub(lambda run: f"{run.group(1)}<+{len(run.group(2))} marks>", text)
    return _HIDDEN.sub(_mark_for, text)


def reveal(text: str) -> str:
    """Text about which somebody decides: as `clean` with line breaks, and odd spaces and line ends marked too."""
    text = re.sub("\t", "<TAB>", text.replace("\r\n", "<CR>\n"))
    text = _SPACES.sub(lambda match: f"<U+{ord(match.group()):04X}>", text)
    text = re.sub("[\ufe0e\ufe0f]", _mark_for, text)
    text = re.sub(" +$", lambda match: "<SPACE>" * len(match.group()), text, flags=re.MULTILINE)
    return clean(text, keep_newlines=True)


@lru_cache(1)
def _measure() -> Callable[[str], int]:
    # The compositor measures with the same function, so lines always come out as wide as it expects.
    from rich.cells import cell_len

    return cell_len


def cell_width(text: str) -> int:
    """How many terminal cells the text takes."""
    return len(text) if text.isascii() else _measure()(text)


def _prefix_length(text: str, width: int) -> int:
    """How many characters from the start fit in width cells."""
    if text.isascii():
        return min(len(text), width)
    measure, used = _measure(), 0
    for place, char in enumerate(text):
        used += 1 if char.isascii() else measure(char)
        if used > width:
            return place
    return len(text)


def cut(text: str, width: int, *, ellipsis: str = "…") -> str:
    """The text in at most width cells; what is cut off is replaced by the ellipsis."""
    if width <= 0:
        return ""
    if len(text) > width * 8:
        # Zero-width characters aside nothing beyond this can be visible; measuring it would be waste.
        text = text[: width * 8]
    if cell_width(text) <= width:
        return text
    room = width - cell_width(ellipsis)
    if room < 0:
        return text[: _prefix_length(text, width)]
    return text[: _prefix_length(text, room)] + ellipsis


def fit(text: str, width: int, *, ellipsis: str = "…") -> str:
    """The text in exactly width cells: cut with an ellipsis or padded with spaces on the right."""
    if width <= 0:
        return ""
    if len(text) <= width and text.isascii():
        return text.ljust(width)
    short = cut(text, width, ellipsis=ellipsis)
    return short + " " * (width - cell_width(short))


def fit_right(text: str, width: int, *, ellipsis: str = "…") -> str:
    """As `fit`, padded on the left: for numbers and ages."""
    if width <= 0:
        return ""
    if len(text) <= width and text.isascii():
        return text.rjust(width)
    short = cut(text, width, ellipsis=ellipsis)
    return " " * (width - cell_width(short)) + short


def _wrap_paragraph(text: str, width: int, lines: list[str]) -> None:
    while cell_width(text[: width + 1]) > width or len(text) > width + 1:
        end = max(1, _prefix_length(text[: width * 4 + 1], width))
        if end >= len(text):
            break
        if text[end] == " ":
            lines.append(text[:end].rstrip(" "))
        elif (space := text.rfind(" ", 0, end)) > 0 and text[:space].strip(" "):
            lines.append(text[:space].rstrip(" "))
            end = space
        else:
            lines.append(text[:end])
            text = text[end:]
            continue
        text = text[end:].lstrip(" ")
    lines.append(text)


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most width cells, broken at spaces where there are any; at least one line.

    The text should have been cleaned; its line breaks are kept. width below 2 counts as 2,
    because a wide character takes two cells.
    """
    lines: list[str] = []
    for paragraph in text.split("\n"):
        _wrap_paragraph(paragraph, max(2, width), lines)
    return lines


_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400
_LONG_DAYS = 100
_CLOCK_ERROR_S = 2.0


def age(seconds: float | None) -> str:
    """An age in at most six cells: `0.4s 12s 4m10s 3h07m 2d04h 120d`; `?` when unknown or in the future."""
    if seconds is None or not math.isfinite(seconds) or seconds < -_CLOCK_ERROR_S:
        return UNKNOWN
    if seconds < 1:
        return f"{math.floor(max(0.0, seconds) * 10) / 10:.1f}s"
    whole = int(seconds)
    if whole < _MINUTE_S:
        return f"{whole}s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S}m{whole % _MINUTE_S:02d}s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S}h{whole % _HOUR_S // _MINUTE_S:02d}m"
    days = whole // _DAY_S
    return f"{days}d{whole % _DAY_S // _HOUR_S:02d}h" if days < _LONG_DAYS else f"{count(days)}d"


_KIB = 1024
_TWO_DIGITS = 10


def size(size_bytes: float | None) -> str:
    """A number of bytes: `812 B`, `3.1 KiB`, `41 MiB`; `?` when unknown."""
    if size_bytes is None or not math.isfinite(size_bytes) or size_bytes < 0:
        return UNKNOWN
    amount = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < _KIB:
            digits = 0 if unit == "B" or amount >= _TWO_DIGITS else 1
            return f"{amount:.{digits}f} {unit}"
        amount /= _KIB
    return f"{amount:.1f} TiB"


def count(n: int | None) -> str:
    """A number with separators: `1,204`; `?` when unknown."""
    return UNKNOWN if n is None else f"{n:,}"


def counted(n: int, one: str, many: str = "") -> str:
    """A number and its noun: `1 try`, `1,204 tries`. many: where an s is not enough."""
    return f"{count(n)} {one if n == 1 else many or one + 's'}"


_THOUSAND = 1000


def short_count(n: float | None) -> str:
    """A number in at most five cells: `812`, `1.2k`, `41k`, `1.2M`; `?` when unknown."""
    if n is None or not math.isfinite(n):
        return UNKNOWN
    amount = float(n)
    for unit in ("", "k", "M", "G"):
        if abs(amount) < _THOUSAND:
            digits = 0 if not unit or abs(amount) >= _TWO_DIGITS else 1
            return f"{amount:.{digits}f}{unit}"
        amount /= _THOUSAND
    return f"{amount:.0f}T"


def _moment(at: float | None, offset_s: int | None) -> datetime | None:
    if at is None or not math.isfinite(at):
        return None
    zone = None if offset_s is None else timezone(timedelta(seconds=offset_s))
    try:
        return datetime.fromtimestamp(at, UTC).astimezone(zone)
    except (OverflowError, OSError, ValueError):
        return None


def clock_time(at: float | None, *, offset_s: int | None = None, show_offset: bool = False) -> str:
    """The time of day of an instant, `14:02:11`, with show_offset `14:02:11+01:00`; `?` when unknown.

    at: UTC seconds since 1970. offset_s: seconds east of UTC; None is the zone of this machine.
    """
    moment = _moment(at, offset_s)
    if moment is None:
        return UNKNOWN
    return moment.isoformat(timespec="seconds").partition("T")[2] if show_offset else f"{moment:%H:%M:%S}"


def stamp(at: float | None, *, offset_s: int | None = None) -> str:
    """Date, time and offset: `2026-11-21 14:02:11+01:00`; `?` when unknown."""
    moment = _moment(at, offset_s)
    return UNKNOWN if moment is None else moment.isoformat(sep=" ", timespec="seconds")


def short_id(session_id: str, width: int) -> str:
    """An id in at most width cells: whole when it fits, else its beginning and, longer, its end."""
    name = clean(session_id)
    if cell_width(name) <= width:
        return name
    if width <= 0:
        return ""
    head_width = max(1, (width - 1) * 2 // 5)
    head = name[: _prefix_length(name, head_width)]
    tail = name[-(width - 1) :] if width > 1 else ""
    while tail and cell_width(head) + 1 + cell_width(tail) > width:
        tail = tail[1:]
    while cell_width(f"{head}…{tail}") > width:
        head = head[:-1]
    return f"{head}…{tail}"


_SECRETS = (
    re.compile(r"\b(sk-|ghp_|gho_|ghu_|ghs_|ghr_|github_pat_|glpat-|hf_|xox[a-z]-|xapp-)[A-Za-z0-9_\-]{8,}"),
    re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{12,}"),
    re.compile(r"(?i)\b(bearer\s+|basic\s+)[A-Za-z0-9._~+/\-]{8,}=*"),
    re.compile(r"(?i)((?:api[_-]?key|key|token|secret|passw(?:or)?d)[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,;*]{6,}"),
    re.compile(r"(://[^/\s:@]+:)[^@\s/]+(?=@)"),
    re.compile(r"()\beyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]*"),
    re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)[\s\S]*?(?=-----END|\Z)"),
)


def redact(text: str) -> str:
    """The text with everything that looks like a key replaced by `***`; a net below the core's own masking."""
    for pattern in _SECRETS:
        text = pattern.sub(r"\1***", text)
    return text


def clipped(words: str, limit: int = 160) -> str:
    """At most so many letters, with a sign where some are left out."""
    return words if len(words) <= limit else words[: limit - 1] + "…"
