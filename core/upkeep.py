"""What must happen now and then whether or not anybody writes: a trimmed journal, and a store proven to take writes."""

import msgspec

from core.clock import Clock
from core.journal import Journal
from core.store.base import Put, Store
from core.supervisor import Supervisor

PROBE_EVERY_S = 20.0
_TRIM_EVERY_S = 60.0
_PROBE_KEY = "meta/probe"


class Upkeep:
    """journal_keep: events that stay."""

    def __init__(self, *, store: Store, journal: Journal, clock: Clock, journal_keep: int) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock
        self._journal_keep = journal_keep

    def start(self, supervisor: Supervisor) -> None:
        """Run both until the supervisor stops."""
        supervisor.start("journal trim", self.trim)
        supervisor.start("store probe", self.probe)

    async def trim(self) -> None:
        """Let old events go, until cancelled."""
        while True:
            await self._clock.sleep(_TRIM_EVERY_S)
            await self._store.trim(self._journal_keep)

    async def probe(self) -> None:
        """Write when nobody else does, until cancelled, so that the age of the last commit means something."""
        while True:
            await self._clock.sleep(PROBE_EVERY_S)
            last = self._journal.last_commit
            if last is None or self._clock.monotonic() - last.mono >= PROBE_EVERY_S:
                await self._journal.commit([Put(_PROBE_KEY, msgspec.json.encode(self._clock.now()))], [])
