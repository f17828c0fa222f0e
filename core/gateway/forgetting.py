"""Forgets message ids that platforms gave once nobody will send them again."""

from core.clock import Clock
from core.gateway import rows
from core.journal import Journal
from core.store.base import Put, Store

KEPT_S = 86_400.0
_EVERY_S = 3_600.0
_PAGE = 500


class Forgetting:
    """Keeps the memory that refuses copies of a message to the last day."""

    def __init__(self, *, store: Store, journal: Journal, clock: Clock) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock

    async def run(self) -> None:
        """Sweep once an hour until cancelled."""
        while True:
            await self._clock.sleep(_EVERY_S)
            await self.sweep()

    async def sweep(self) -> int:
        """Forget what is older than a day, in small steps. Returns how many."""
        oldest = self._clock.now() - KEPT_S
        forgotten = 0
        after = ""
        while page := await self._store.scan(rows.DEDUPE, after=after, limit=_PAGE):
            after = page[-1].key
            old = [Put(row.key, None, row.revision) for row in page if rows.seen_of(row.body).at < oldest]
            if old:
                await self._journal.commit(old, [])
                forgotten += len(old)
        return forgotten
