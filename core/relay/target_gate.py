"""What the mailbox of an origin asks before each message: whether it may be called, and whether all is paused."""

import math
from collections.abc import Callable

from core.clock import Clock
from core.relay.target import Target


class TargetGate:
    """Whether the messages to one origin may be given out; see core.letters.Gate.

    target: that of the origin, which may be another later. has_waiting: whether any message wants out.
    """

    def __init__(
        self,
        target: Callable[[], Target],
        clock: Clock,
        *,
        is_paused: Callable[[], bool],
        has_waiting: Callable[[], bool],
    ) -> None:
        self._target = target
        self._monotonic = clock.monotonic
        self._is_paused = is_paused
        self._has_waiting = has_waiting

    def wait_s(self) -> float:
        """Seconds for which none may be."""
        if self._is_paused():
            return math.inf
        target = self._target()
        if target.is_clear:
            return 0.0
        now = self._monotonic()
        wait = target.wait_s(now)
        if wait and self._has_waiting():
            target.refuse(now)
        return wait

    def admit(self) -> bool:
        """One is."""
        return not self._is_paused() and self._target().admit(self._monotonic())
