"""How long to wait before the next try: exponential, capped, with full jitter."""

from collections.abc import Callable


def ceiling_s(attempt: int, *, base_s: float, cap_s: float) -> float:
    """The longest wait after `attempt` failures (1 is the first), in seconds."""
    exponent = min(max(attempt, 1) - 1, 60)
    return min(cap_s, base_s * (2.0**exponent))


def delay_s(attempt: int, *, base_s: float, cap_s: float, random: Callable[[], float]) -> float:
    """A wait drawn evenly from zero to the ceiling. `random` gives a number in [0, 1)."""
    return ceiling_s(attempt, base_s=base_s, cap_s=cap_s) * random()
