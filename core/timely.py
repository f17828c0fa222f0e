"""Whether a request was made lately, as far as its timestamp tells (pure)."""

_DIGITS = 15


def is_timely(timestamp: str, now: float, tolerance_s: float) -> bool:
    """Whether the timestamp, UTC seconds as text, is at most tolerance_s away from now, before or after."""
    text = timestamp.strip()
    if not text.isascii() or not text.isdigit() or len(text) > _DIGITS:
        return False
    return abs(now - int(text)) <= tolerance_s
