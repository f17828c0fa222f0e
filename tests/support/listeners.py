"""Accounts that give a sign of life again and again, in the hands of a test: black-holed, probed, contested."""

import asyncio
from collections import deque

from core.api.base import PlatformName
from core.api.platforms import PlatformState, PlatformView
from core.clock import Clock
from core.gateway.platform import Inbox, PlatformError, PlatformErrorKind
from tests.support.outbox import FakePlatform, Outbox


class Listener(FakePlatform):
    """Polls every ten seconds of its clock. is_black_holed: the polls hang, and so does what it is asked.

    is_half_open: the polls hang and it answers when it is asked. probe_faults: raised by the next probes.
    """

    heard_every_s = 10.0

    def __init__(self, name: PlatformName, clock: Clock) -> None:
        super().__init__(name)
        self._clock = clock
        self.is_black_holed = False
        self.is_half_open = False
        self.probe_count = 0
        self.probe_faults: deque[Exception] = deque()

    async def run(self, inbox: Inbox) -> None:
        """Poll until cancelled."""
        self.run_count += 1
        self.inbox = inbox
        if self.runs:
            self.runs.popleft()(inbox)
            return
        await self._pass()
        inbox.connected(f"@{self.name} at example.org")
        while True:
            inbox.heard()
            await self._clock.sleep(self.heard_every_s)
            await self._pass()

    async def probe(self) -> None:
        """Answer, or not."""
        self.probe_count += 1
        if self.probe_faults:
            raise self.probe_faults.popleft()
        if self.is_black_holed:
            raise PlatformError(PlatformErrorKind.RETRY_AFTER, "no route to host")

    async def _pass(self) -> None:
        if self.is_black_holed or self.is_half_open:
            await asyncio.Event().wait()


class Mute(FakePlatform):
    """An account that gives no sign by itself and can be asked. error: what it answers, "" for well."""

    error = ""

    async def probe(self) -> None:
        """Answer as told."""
        if self.error:
            raise PlatformError(PlatformErrorKind.RETRY_AFTER, self.error)


def contested(holder: str = "") -> PlatformError:
    """Somebody else has the account."""
    return PlatformError(
        PlatformErrorKind.RETRY_AFTER, "another program reads", retry_after_s=30.0, is_conflict=True, holder=holder
    )


def view_of(built: Outbox, name: PlatformName) -> PlatformView:
    """One connection as it is now."""
    return next(view for view in built.platforms.views if view.name == name)


def states_of(built: Outbox) -> dict[str, PlatformState]:
    """All of them by name."""
    return {str(view.name): view.state for view in built.platforms.views}


async def pass_time(built: Outbox, seconds: int) -> None:
    """Let time go by a second at a time."""
    for _ in range(seconds):
        await built.clock.advance(1.0)
