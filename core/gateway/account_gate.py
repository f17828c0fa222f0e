"""What an outbox asks before each message: whether its account may send, and whether anybody paused it."""

import math
from collections.abc import Callable

from core.clock import Clock
from core.gateway.account import Account


class AccountGate:
    """Whether the messages of one outbox may be given out; see ports.Gate."""

    def __init__(self, account: Account, clock: Clock, is_paused: Callable[[], bool]) -> None:
        self._account = account
        self._clock = clock
        self._is_paused = is_paused

    def wait_s(self) -> float:
        """Seconds for which none may be."""
        return math.inf if self._is_paused() else self._account.wait_s(self._clock.monotonic())

    def admit(self) -> bool:
        """One is."""
        return not self._is_paused() and self._account.admit(self._clock.monotonic())
