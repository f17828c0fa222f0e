"""Sortable ids: milliseconds, a counter within the millisecond, and random bits, in 26 letters.

Ids made by one `IdSource` sort in the order in which they were made, also when the
wall clock steps back, and do not repeat over restarts. Where others expect a UUID there is one that sorts as well.
"""

import re
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
_UUID_BITS = 74
_UUID_LOW_BITS = 62
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


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
        self._uuid_ms = 0
        self._uuid_random = 0

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

    def new_uuid(self) -> str:
        """A new UUID of version 7, which sorts by time as text, greater than all before it from this source."""
        now_ms = max(int(self._clock.now() * 1000), self._floor_ms)
        if now_ms > self._uuid_ms:
            self._uuid_ms = now_ms
            self._uuid_random = self._random_bits(_UUID_BITS - 1)
        else:
            self._uuid_random += 1
        high, low = self._uuid_random >> _UUID_LOW_BITS, self._uuid_random & (1 << _UUID_LOW_BITS) - 1
        digits = f"{self._uuid_ms:012x}7{high:03x}{low | 1 << 63:016x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def is_timed_uuid(text: str) -> bool:
    """Whether it has the form of the UUIDs that are made here."""
    return _UUID.fullmatch(text) is not None


def uuid_at(text: str) -> float:
    """UTC seconds in which such a UUID was made."""
    return int(text[:8] + text[9:13], 16) / 1000


def uuid_floor(at: float) -> str:
    """Text that sorts before all such UUIDs made at that time (UTC seconds) or later."""
    digits = f"{max(0, int(at * 1000)):012x}"
    return f"{digits[:8]}-{digits[8:12]}"
