"""A memory of the newest things, bounded in number and age (pure: `now` is an argument)."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Keeps at most `limit` values, each for `keep_s` seconds after it was put."""

    def __init__(self, *, limit: int, keep_s: float) -> None:
        self._limit = limit
        self._keep_s = keep_s
        self._kept: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def find(self, key: K, now: float) -> V | None:
        """The value, None when there is none or it is too old."""
        found = self._kept.get(key)
        return None if found is None or now - found[0] > self._keep_s else found[1]

    def put(self, key: K, value: V, now: float) -> None:
        """Keep a value, and let go of what is too old or too much."""
        self._kept.pop(key, None)
        self._kept[key] = (now, value)
        while self._kept:
            oldest = next(iter(self._kept))
            if len(self._kept) <= self._limit and now - self._kept[oldest][0] <= self._keep_s:
                return
            del self._kept[oldest]

    def drop(self, key: K) -> None:
        """Let go of a value, if it is there."""
        self._kept.pop(key, None)

    def __len__(self) -> int:
        return len(self._kept)
