"""The books of the relay over time: the dead of earlier starts are counted, and what is old is let go."""

from collections.abc import Callable

from core.api.relay_tasks import RelayState
from core.clock import Clock
from core.ids import uuid_floor
from core.relay.ledger import Ledger
from core.relay.ledger_rows import ENDED, origin_of, prefix_of, task_of
from core.relay.task import RelayTask
from core.relay_settings import RelaySettings
from core.store.base import Store
from core.waits import breathe

PRUNE_EVERY_S = 600.0
_PAGE = 500


class LedgerKeeping:
    """A service beside the ledger. on_counts: told of each origin whose dead are known only now, or fewer."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        store: Store,
        clock: Clock,
        settings: RelaySettings,
        on_counts: Callable[[str], None],
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._clock = clock
        # A request that was taken once must be known for as long as its signature counts, early or late.
        self._keep_s = max(settings.keep_s, 2 * settings.tolerance_s)
        self._on_counts = on_counts

    async def run(self) -> None:
        """Count, then prune now and then, until cancelled. Raises StoreError."""
        await self.count_dead()
        while True:
            await self.prune()
            await self._clock.sleep(PRUNE_EVERY_S)

    async def count_dead(self) -> None:
        """Find out to which origins the dead ones of earlier starts went. Others die meanwhile. Raises StoreError."""
        counts = self._ledger.counts
        if not counts.is_counting_dead:
            return
        prefix = after = prefix_of(RelayState.DEAD)
        found: dict[str, str] = {}
        names: dict[str, str] = {}
        while rows := await self._store.scan(prefix, after=after, limit=_PAGE):
            after = rows[-1].key
            for row in rows:
                origin = origin_of(row)
                found[row.key.removeprefix(prefix)] = names.setdefault(origin, origin)
            await breathe()
        for origin in counts.end_dead(found):
            self._on_counts(origin)

    async def prune(self) -> int:
        """Let go of what has been over for longer than relay.keep_s. How many went. Raises StoreError."""
        gone = 0
        young = uuid_floor(self._clock.now() - self._keep_s)
        for state in ENDED:
            after = prefix_of(state)
            while rows := await self._store.scan(prefix_of(state), after=after, limit=_PAGE):
                tasks = [task_of(row, self._clock) for row in rows]
                old = [task for task in tasks if self._is_old(task)]
                gone += await self._ledger.forget(old)
                if state is RelayState.DEAD:
                    for origin in {task.origin for task in old if task.origin}:
                        self._on_counts(origin)
                after = rows[-1].key
                # They stand in the order of their making, and nothing is over before it is made.
                if after.removeprefix(prefix_of(state)) >= young:
                    break
                await breathe()
        return gone

    def _is_old(self, task: RelayTask) -> bool:
        last = task.changed or task.ended or task.created
        return last.at < self._clock.now() - self._keep_s
