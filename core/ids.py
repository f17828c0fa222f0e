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
_PAIR_BITS = 10
_LAST = (1 << _PAIR_BITS) - 1
# Two letters at a time: an id is made for everything that comes in.
_PAIRS = [one + two for one in _ALPHABET for two in _ALPHABET]


def _letters(number: int, count: int) -> str:
    """An even count of letters."""
    return "".join([_PAIRS[number >> shift & _LAST] for shift in range(5 * count - _PAIR_BITS, -1, -_PAIR_BITS)])


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
        self._prefix = self._stem = ""

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
            if self._last_random & _LAST:
                return self._stem + _PAIRS[self._last_random & _LAST]
        self._stem = self._prefix + _letters(self._last_random >> _PAIR_BITS, _RANDOM_LETTERS - 2)
        return self._stem + _PAIRS[self._last_random & _LAST]
