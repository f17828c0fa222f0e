"""How long settled messages waited and were worked on: a few hundred samples (pure)."""

from array import array

KEPT = 256
_RAREST = 63
_BUSY_S = 0.01


class Samples:
    """The newest samples, in no order. waits, works: seconds. A few hundred bytes at first."""

    __slots__ = ("_at", "_count", "_mask", "waits", "works")

    def __init__(self) -> None:
        self.waits = array("d")
        self.works = array("d")
        self._count = 0
        self._at = 0.0
        self._mask = 0

    def add(self, waited_s: float, worked_s: float, now: float) -> int:
        """Note one message. Gives a mask: only a message whose number has none of its bits need be noted.

        Of a few messages a second each one counts, of very many one in 64.
        """
        if self._count < KEPT:
            self.waits.append(waited_s)
            self.works.append(worked_s)
        else:
            place = self._count % KEPT
            self.waits[place], self.works[place] = waited_s, worked_s
        self._count += 1
        is_busy = now - self._at < _BUSY_S
        self._mask = min(2 * self._mask + 1, _RAREST) if is_busy else self._mask // 2
        self._at = now
        return self._mask
