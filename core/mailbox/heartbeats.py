"""Signs of life for messages that handlers hold, and the end of handlers that hold them too long."""

import asyncio
import math

import msgspec

from core.api.base import Mark
from core.api.errors import StaleLease
from core.breaker import Ticket
from core.clock import Clock
from core.mailbox.consumer import Cut, Supply
from core.mailbox.message import Mail
from core.waits import CutShort, Waits

_BEATS_PER_LEASE = 3.0


class Held(msgspec.Struct, gc=False, eq=False):
    """A message that is held, and the delivery that it is held for.

    since: of its hand-over, later of its handler's start. beat_at, deadline: monotonic seconds.
    task: of its handler, None while that has not begun. cut_by: why the handler was cancelled.
    """

    mail: Mail
    supply: Supply
    since: Mark
    ticket: Ticket | None = None
    beat_at: float = 0.0
    deadline: float = math.inf
    task: "asyncio.Task[None] | None" = None
    cut_by: Cut | None = None

    @property
    def next_at(self) -> float:
        """When something is to be done about it."""
        return min(self.beat_at, self.deadline)

    def cut(self, cut: Cut) -> None:
        """Cancel its handler."""
        self.cut_by = cut
        if self.task is not None:
            self.task.cancel()


class Heartbeats:
    """One task extends the leases of everything that is held."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: set[Held] = set()
        self._waits = Waits()
        self._next_at = math.inf

    def add(self, held: Held) -> None:
        """Keep it from now on."""
        held.beat_at = self._clock.monotonic() + held.supply.policy.visibility_s / _BEATS_PER_LEASE
        self._held.add(held)
        self.changed(held)

    def changed(self, held: Held) -> None:
        """Its deadline is another one."""
        # The task sleeps on when it would wake early enough anyway: most messages are gone by then.
        if held.next_at < self._next_at:
            self._next_at = held.next_at
            self._waits.cut()

    def discard(self, held: Held) -> None:
        """It is settled."""
        self._held.discard(held)

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            now = self._clock.monotonic()
            for held in [held for held in self._held if held.next_at <= now]:
                self._attend(held, now)
            self._next_at = min((held.next_at for held in self._held), default=math.inf)
            try:
                await self._waits.wait(self._pause(self._next_at - now))
            except CutShort:
                continue

    def _attend(self, held: Held, now: float) -> None:
        if held.deadline <= now:
            self._held.discard(held)
            held.cut(Cut.OVERDUE)
            return
        held.beat_at = now + held.supply.policy.visibility_s / _BEATS_PER_LEASE
        try:
            held.supply.extend(held.mail)
        except StaleLease:
            self._held.discard(held)
            held.cut(Cut.LOST)

    async def _pause(self, delay_s: float) -> None:
        if math.isinf(delay_s):
            await asyncio.get_running_loop().create_future()
        else:
            await self._clock.sleep(delay_s)
