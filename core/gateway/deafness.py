"""When an account is connected but deaf: nothing was heard for too long, and asking it did not help (pure).

What counts is the silence of the connection itself, such as a poll that is not answered; that nobody writes is none.
"""

import math
from enum import StrEnum

QUIET_INTERVALS = 2.5
"""An account may be silent for so many times its own interval."""

LEAST_LIMIT_S = 30.0
"""A shorter silence never means anything."""

ASK_EVERY_S = 300.0
"""How often a platform that gives no signs by itself is asked."""


class Hearing(StrEnum):
    """What a silence means. ask: nobody knows before the platform was asked."""

    WELL = "well"
    ASK = "ask"
    DEAF = "deaf"


def quiet_limit_s(heard_every_s: float) -> float:
    """Silence after which an account is in doubt; 0 when it gives no signs by itself."""
    return max(LEAST_LIMIT_S, QUIET_INTERVALS * heard_every_s) if heard_every_s > 0 else 0.0


def hearing(quiet_s: float, heard_every_s: float, *, can_ask: bool, answered: bool | None = None) -> Hearing:
    """What a silence of quiet_s means.

    answered: whether the platform answered when it was asked about this silence, None before that. One that answers,
    though its stream is silent, gets one interval more.
    """
    limit_s = quiet_limit_s(heard_every_s)
    if quiet_s < (limit_s or (ASK_EVERY_S if can_ask else math.inf)):
        return Hearing.WELL
    if can_ask and answered is None:
        return Hearing.ASK
    if answered and (not limit_s or quiet_s < limit_s + heard_every_s):
        return Hearing.WELL
    return Hearing.DEAF


def look_again_s(quiet_s: float, heard_every_s: float, *, answered: bool | None = None) -> float:
    """How long to wait before the silence is looked at again."""
    limit_s = quiet_limit_s(heard_every_s) or ASK_EVERY_S
    if answered:
        limit_s += heard_every_s
    return max(0.0, limit_s - quiet_s)


def deaf_words(quiet_s: float, heard_every_s: float, error: str, *, answered: bool | None = None) -> str:
    """Why it counts as deaf. error: of asking."""
    words = f"nothing heard for {quiet_s:.0f} s"
    if heard_every_s > 0:
        words += f", expected every {heard_every_s:g} s"
    if answered is None:
        return words
    return f"{words}; asked, it answers, but its stream is silent" if answered else f"{words}; asked: {error}"
