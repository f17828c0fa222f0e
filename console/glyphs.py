"""Every state as a glyph of one cell, a word and a tone, in Unicode or in ASCII."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from console.work_glyphs import WORK_STATES, WorkState
from core.api.approvals import ApprovalState
from core.api.deliveries import DeliveryState
from core.api.mail import MailState
from core.api.mailboxes import MailboxState
from core.api.platforms import PlatformState
from core.api.sessions import SessionState

Tone = str
"""One of the names in `TONES`; an unknown one is drawn plain."""

TONES = ("plain", "strong", "quiet", "accent", "needs", "failing", "well", "busy", "stale")


@dataclass(frozen=True, slots=True)
class Badge:
    """What an operator sees of a state. glyph: one cell; word: never left out where there is room."""

    glyph: str
    word: str
    tone: Tone

    @property
    def text(self) -> str:
        """Glyph and word."""
        return f"{self.glyph} {self.word}"


@dataclass(frozen=True, slots=True)
class GlyphSet:
    """The signs that widgets draw by themselves."""

    cursor: str
    mark: str
    up: str
    down: str
    ellipsis: str
    rule: str
    opened: str
    folded: str
    chosen: str
    unchosen: str
    levels: str


UNICODE = GlyphSet(
    cursor=">",
    mark="*",
    up="▲",
    down="▼",
    ellipsis="…",
    rule="─",
    opened="▾",
    folded="▸",
    chosen="●",
    unchosen=" ",
    levels=" ▁▂▃▄▅▆▇█",
)
ASCII = GlyphSet(
    cursor=">",
    mark="*",
    up="^",
    down="v",
    ellipsis="~",
    rule="-",
    opened="-",
    folded="+",
    chosen="o",
    unchosen=" ",
    levels=" .:-=+*#@",
)

# tone: (unicode, ascii, word)
_GENERIC: dict[str, tuple[str, str, str]] = {
    "needs": ("◆", "?", "needs you"),
    "failing": ("✗", "x", "failing"),
    "well": ("✓", "+", "well"),
    "busy": ("►", ">", "busy"),
    "quiet": ("·", "-", "quiet"),
}

# By type first: members of different string enums compare equal when their words do.
_STATES: dict[type[StrEnum], dict[str, tuple[str, str, str, Tone]]] = {
    SessionState: {
        SessionState.IDLE: ("·", "-", "idle", "quiet"),
        SessionState.QUEUED: ("∙", ".", "queued", "busy"),
        SessionState.RUNNING: ("►", ">", "run", "busy"),
        SessionState.WAITING: ("◆", "?", "wait", "needs"),
        SessionState.INTERRUPTING: ("■", "#", "stopping", "needs"),
        SessionState.FAILED: ("✗", "x", "failed", "failing"),
    },
    ApprovalState: {
        ApprovalState.OPEN: ("◆", "?", "open", "needs"),
        ApprovalState.APPROVED: ("✓", "+", "approved", "well"),
        ApprovalState.DENIED: ("✗", "x", "denied", "quiet"),
        ApprovalState.EXPIRED: ("◌", "o", "expired", "failing"),
        ApprovalState.WITHDRAWN: ("·", "-", "withdrawn", "quiet"),
        ApprovalState.ORPHANED: ("▲", "!", "orphaned", "needs"),
    },
    PlatformState: {
        PlatformState.CONNECTING: ("◌", "o", "connecting", "busy"),
        PlatformState.CONNECTED: ("✓", "+", "connected", "well"),
        PlatformState.DEAF: ("▲", "!", "deaf", "failing"),
        PlatformState.CONFLICT: ("◆", "?", "conflict", "failing"),
        PlatformState.DOWN: ("✗", "x", "down", "failing"),
        PlatformState.PAUSED: ("■", "=", "paused", "needs"),
        PlatformState.OFF: ("·", "-", "off", "quiet"),
    },
    DeliveryState: {
        DeliveryState.QUEUED: ("∙", ".", "queued", "busy"),
        DeliveryState.SENDING: ("►", ">", "sending", "busy"),
        DeliveryState.RETRYING: ("◌", "o", "retrying", "needs"),
        DeliveryState.SENT: ("✓", "+", "sent", "well"),
        DeliveryState.DEAD: ("✗", "x", "dead", "failing"),
    },
    MailboxState: {
        MailboxState.OPEN: ("✓", "+", "open", "well"),
        MailboxState.PAUSED: ("■", "=", "paused", "needs"),
        MailboxState.DRAINING: ("◌", "o", "drain", "busy"),
        MailboxState.CLOSED: ("·", "-", "closed", "quiet"),
    },
    MailState: {
        MailState.QUEUED: ("∙", ".", "queued", "busy"),
        MailState.DELAYED: ("◌", "o", "delayed", "plain"),
        MailState.IN_FLIGHT: ("►", ">", "flight", "busy"),
        MailState.DEAD: ("✗", "x", "dead", "failing"),
        MailState.DONE: ("✓", "+", "done", "well"),
        MailState.EXPIRED: ("■", "#", "expired", "failing"),
        MailState.DROPPED: ("·", "-", "dropped", "quiet"),
    },
    **WORK_STATES,
}


Shown = SessionState | ApprovalState | PlatformState | DeliveryState | MailboxState | MailState | WorkState


def badge(state: Shown, *, use_ascii: bool = False) -> Badge:
    """The badge of a state."""
    glyph, plain, word, tone = _STATES[type(state)][state]
    return Badge(plain if use_ascii else glyph, word, tone)


def tone_badge(tone: Tone, word: str = "", *, use_ascii: bool = False) -> Badge:
    """The badge of one of needs, failing, well, busy, quiet, under the given word or its own."""
    glyph, plain, own_word = _GENERIC.get(tone, _GENERIC["quiet"])
    return Badge(plain if use_ascii else glyph, word or own_word, tone)


def glyph_set(use_ascii: bool) -> GlyphSet:
    """The signs for a terminal."""
    return ASCII if use_ascii else UNICODE


def is_ascii_only(environ: Mapping[str, str]) -> bool:
    """Whether the terminal should get ASCII only: the locale is not UTF-8, or TERM is dumb or a bare console."""
    if environ.get("TERM", "") in {"", "dumb", "linux", "vt100", "vt220"}:
        return True
    locale = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or ""
    return "utf8" not in locale.lower().replace("-", "")
