"""What all mailboxes of a core share: its clocks, its ids, its log, and the list of those with something to do."""

import asyncio
import math
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Protocol

from core.api.base import MailId
from core.clock import Clock


class Attended(Protocol):
    """A mailbox, as far as the office looks after it. alarm_at: its first alarm, infinity for none."""

    is_active: bool
    alarm_at: float

    def attend(self, now: float, wall: float) -> None:
        """Do what is due: leases that are over, messages put off, messages out of time."""
        ...


class Office:
    """random: a number in [0, 1) for backoff. boot: number of this start of the core.

    on_alarm: called when something is due earlier than anything before. touched: mailboxes
    that were made active and are still to be reported. indexed: all stored mail is in. skew: UTC
    minus monotonic seconds, a second old at most for a mailbox that was made active.
    """

    def __init__(self, clock: Clock, random: Callable[[], float], boot: int) -> None:
        self.now = clock.monotonic
        self.wall = clock.now
        self.random = random
        self.skew = self.wall() - self.now()
        self.boot = boot
        # A MailId. Not declared as one: it is counted up for every message, and a call for its type costs.
        self.next_id: Any = 1
        self.indexed = asyncio.Event()
        self.active: list[Attended] = []
        self.touched: dict[Attended, None] = {}
        self.on_alarm: Callable[[], None] = lambda: None
        self._alarms: list[tuple[float, int, Attended]] = []
        self._alarm_count = 0

    def new_id(self) -> MailId:
        """An id greater than all before it."""
        mail_id = self.next_id
        self.next_id = mail_id + 1
        return MailId(mail_id)

    def activate(self, box: Attended) -> None:
        """Look after this mailbox at the next round. It sets is_active itself."""
        self.skew = self.wall() - self.now()
        self.active.append(box)
        self.touched[box] = None
        if len(self.active) == 1:
            self.on_alarm()

    def alarm(self, at: float, box: Attended) -> None:
        """Look after a mailbox at that monotonic second, or before: it says then what is next."""
        if at >= box.alarm_at:
            return
        box.alarm_at = at
        self._alarm_count += 1
        heappush(self._alarms, (at, self._alarm_count, box))
        if self._alarms[0][1] == self._alarm_count:
            self.on_alarm()

    def next_at(self) -> float | None:
        """When the first alarm is due."""
        return self._alarms[0][0] if self._alarms else None

    def due(self, now: float) -> list[Attended]:
        """Mailboxes whose alarms are due; each once."""
        found: dict[int, Attended] = {}
        while self._alarms and self._alarms[0][0] <= now:
            at, _, box = heappop(self._alarms)
            # Any other was overtaken by an earlier one.
            if at == box.alarm_at:
                box.alarm_at = math.inf
                found[id(box)] = box
        return list(found.values())
