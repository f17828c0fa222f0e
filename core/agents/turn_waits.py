"""What a turn waits for, one thing after another, and how cancelling ends all of it."""

from collections.abc import Awaitable, Coroutine
from typing import TypeVar

from core.api.base import Mark
from core.api.runs import Phase, PhaseChanged, RunRetry
from core.clock import Clock
from core.waits import CutShort, Waits

T = TypeVar("T")


def retrying(clock: Clock, wait_s: float, *, count: int, reason: str) -> PhaseChanged:
    """The phase of a turn that will try something again. wait_s: from now; count: failures so far."""
    next_at = Mark(clock.now() + wait_s, clock.monotonic() + wait_s)
    return PhaseChanged(phase=Phase.RETRY_BACKOFF, retry=RunRetry(next_at=next_at, count=count, reason=reason))


class TurnWaits:
    """The waits of one turn. is_cut: whether the turn was told to stop."""

    def __init__(self) -> None:
        self._waits = Waits()
        self.is_cut = False

    def mend(self) -> None:
        """Begin a new turn."""
        self.is_cut = False

    def cut(self) -> None:
        """End the present wait and all that follow, until mend()."""
        self.is_cut = True
        self._waits.cut()

    def check(self) -> None:
        """Raises CutShort once it was cut: where nothing is waited for, nobody else would notice."""
        if self.is_cut:
            raise CutShort

    async def wait(self, what: Awaitable[T]) -> T:
        """The result of `what`. Raises CutShort when the turn is told to stop first; `what` is cancelled then, and does
        not even begin when that was before.
        """
        if self.is_cut:
            if isinstance(what, Coroutine):
                what.close()
            raise CutShort
        found = await self._waits.wait(what)
        self.check()
        return found
