"""Sortable ids: milliseconds, a counter within the millisecond, and random bits, in 26 letters.

Ids made by one `IdSource` sort in the order in which they were made, also when the
wall clock steps back, and do not repeat over restarts.
"""

import secrets
from collections.abc import Callable

from core.clock import Clock

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_LETTERS = 10
_RANDOM_LETTERS = 16
_RANDOM_BITS = 80


def _letters(number: int, count: int) -> str:
    out = [""] * count
    for place in range(count - 1, -1, -1):
        out[place] = _ALPHABET[number & 31]
        number >>= 5
    return "".join(out)


class IdSource:
    """Makes ids. `random_bits(n)` gives n random bits; tests inject a seeded one.

    floor_at: UTC seconds; every id is greater than those made until then, whatever the clock says now.
    """

    def __init__(
        self, clock: Clock, random_bits: Callable[[int], int] = secrets.randbits, *, floor_at: float = 0.0
    ) -> None:
        self._clock = clock
        self._random_bits = random_bits
        self._floor_ms = int(floor_at * 1000) + 1 if floor_at else 0
        self._last_ms = 0
        self._last_random = 0
        self._prefix = ""

    def new_id(self) -> str:
        """A new id, greater than all before it from this source."""
        now_ms = max(int(self._clock.now() * 1000), self._floor_ms)
        if now_ms > self._last_ms:
            self._last_ms = now_ms
            self._prefix = _letters(now_ms, _TIME_LETTERS)
            # The top bit stays free so that counting up within a millisecond cannot overflow.
            self._last_random = self._random_bits(_RANDOM_BITS - 1)
        else:
            self._last_random += 1
        return self._prefix + _letters(self._last_random, _RANDOM_LETTERS)
