"""The clockwork of all mailboxes: one task, which sleeps until something is due."""

import asyncio

from core.clock import Clock
from core.mailbox.maillog import MailLog
from core.mailbox.office import Office

_ROUND_S = 1.0
_IDLE_S = 3600.0


class Sweeping:
    """Attends to mailboxes that were touched, once a second, and to alarms when they are due."""

    def __init__(self, office: Office, clock: Clock, log: MailLog) -> None:
        self._office = office
        self._clock = clock
        self._log = log
        self._nap: asyncio.Task[None] | None = None
        self._round_at = 0.0
        office.on_alarm = self._wake

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            now = self._office.now()
            self._attend(now)
            await self._sleep(self._rest_s(now))

    def _attend(self, now: float) -> None:
        office = self._office
        wall = office.wall()
        due = office.due(now)
        if now >= self._round_at:
            self._round_at = now + _ROUND_S
            if self._log.is_owing:
                self._log.flush()
            active, office.active = office.active, []
            for box in active:
                box.is_active = False
            due = list({id(box): box for box in (*due, *active)}.values())
        for box in due:
            box.attend(now, wall)

    def _rest_s(self, now: float) -> float:
        firsts = [now + _IDLE_S]
        if self._office.active or self._log.is_owing:
            firsts.append(self._round_at)
        alarm_at = self._office.next_at()
        if alarm_at is not None:
            firsts.append(alarm_at)
        return max(0.0, min(firsts) - now)

    async def _sleep(self, rest_s: float) -> None:
        async with asyncio.TaskGroup() as group:
            self._nap = group.create_task(self._doze(rest_s))
        self._nap = None

    async def _doze(self, rest_s: float) -> None:
        await self._clock.sleep(rest_s)

    def _wake(self) -> None:
        if self._nap is not None:
            self._nap.cancel()
