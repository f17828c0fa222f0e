"""What goes wrong on a made-up platform: chats that take no answer, and outages (pure)."""

from zlib import crc32

from core.api.sessions import ChatKind, Source
from core.gateway.platform import PlatformError, PlatformErrorKind
from core.platform_settings import SimulatedSettings

_ALL = 2**32


def chat_fault(source: Source, settings: SimulatedSettings) -> PlatformError | None:
    """Why a chat never takes an answer; None when it does. The seed decides which, and they stay the same."""
    draw = crc32(f"{settings.seed} {source.chat} {source.thread}".encode()) / _ALL
    if source.kind is ChatKind.DM and draw < settings.blocked_ratio:
        return PlatformError(PlatformErrorKind.REFUSED, "blocked by the user of the made-up platform")
    if draw >= 1 - settings.gone_ratio:
        return PlatformError(PlatformErrorKind.GONE, "the chat is gone from the made-up platform")
    return None


def is_out(elapsed_s: float, settings: SimulatedSettings) -> bool:
    """Whether no answer is taken so many seconds after the start."""
    since_s = elapsed_s - settings.outage_first_s
    if since_s >= 0 and settings.outage_every_s:
        since_s %= settings.outage_every_s
    return 0 <= since_s < settings.outage_s


def outage() -> PlatformError:
    """What is told while it is out: try again, and nobody knows when."""
    return PlatformError(PlatformErrorKind.RETRY_AFTER, "no service: the made-up platform is down")
