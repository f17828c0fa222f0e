"""How long a far side asks to be left alone (pure)."""

from email.utils import parsedate_to_datetime

LONGEST_WAIT_S = 86_400.0
"""Whatever a far side asks for, it is not left alone for longer than a day."""


def retry_after_s(text: str, now: float) -> float | None:
    """Seconds that a header Retry-After asks for: a number or a date, at most a day; None when it is neither.

    now: UTC seconds since 1970.
    """
    text = text.strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return min(float(text[:12]), LONGEST_WAIT_S)
    try:
        at = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return min(max(0.0, at - now), LONGEST_WAIT_S)
