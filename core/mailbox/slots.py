"""The bound on deliveries at a time over all consumers, shared so that slow destinations hold up no others.

A consumer's first delivery comes before anybody's second: at most the part of the bound that is not
kept for first deliveries goes to further ones. A place is kept for each consumer and one for who comes next,
but no more than half of all.
"""

import asyncio
from collections import Counter, OrderedDict

_Waiters = OrderedDict[str, "asyncio.Future[None]"]


class Slots:
    """Places for deliveries. Each consumer waits for one place at a time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self._by_name: Counter[str] = Counter()
        self._names: set[str] = set()
        self._first: _Waiters = OrderedDict()
        self._further: _Waiters = OrderedDict()

    def join(self, name: str) -> None:
        """A consumer that may want places."""
        self._names.add(name)

    def leave(self, name: str) -> None:
        """It wants none any more; what it has taken it still gives back."""
        self._names.discard(name)
        self._grant()

    def try_take(self, name: str) -> bool:
        """Take a place if one is to be had at once, and nobody waits who has more right to it."""
        ahead = self._first if not self._by_name[name] else self._first or self._further
        if ahead or not self._is_free(name):
            return False
        self._give_to(name)
        return True

    async def take(self, name: str) -> None:
        """Take a place, after a wait if it must be. Cancelled, it has taken none."""
        if self.try_take(name):
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._further if self._by_name[name] else self._first)[name] = place
        try:
            await place
        except asyncio.CancelledError:
            self._first.pop(name, None)
            self._further.pop(name, None)
            if place.done() and not place.cancelled():
                self.give(name)
            raise

    def give(self, name: str) -> None:
        """Give a place back."""
        self.taken -= 1
        self._by_name[name] -= 1
        if not self._by_name[name]:
            del self._by_name[name]
            place = self._further.pop(name, None)
            if place is not None:
                self._first[name] = place
        if self._first or self._further:
            self._grant()

    def _grant(self) -> None:
        for waiters in (self._first, self._further):
            while waiters:
                name = next(iter(waiters))
                if not self._is_free(name):
                    break
                place = waiters.pop(name)
                if not place.done():
                    self._give_to(name)
                    place.set_result(None)

    def _is_free(self, name: str) -> bool:
        if self.taken >= self.limit:
            return False
        if not self._by_name[name]:
            return True
        further = self.taken - len(self._by_name)
        kept = min(len(self._names) + 1, (self.limit + 1) // 2)
        return further < self.limit - kept

    def _give_to(self, name: str) -> None:
        self.taken += 1
        self._by_name[name] += 1
