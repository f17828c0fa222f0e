"""Under which ids platforms know what was sent to them, kept for a while: for edits, buttons and replies."""

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress

from core.api.base import DeliveryId
from core.api.errors import StoreError
from core.clock import Clock
from core.journal import Journal
from core.store.base import Put, Store

Listener = Callable[[str], None]

_ROWS = "sent/"
_LOOK_EVERY_S = 3600.0
_PAGE_ROWS = 500
_KEPT_IN_MEMORY = 10_000


class SentIds:
    """Native ids by delivery. keep_s: how long one is known."""

    def __init__(self, *, store: Store, journal: Journal, clock: Clock, keep_s: float) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock
        self._keep_s = keep_s
        self._recent: OrderedDict[DeliveryId, str] = OrderedDict()
        self._listeners: dict[DeliveryId, list[Listener]] = {}

    def row(self, delivery_id: DeliveryId, native_id: str) -> Put:
        """What to write with the commit that notes it as sent."""
        return Put(_ROWS + delivery_id, f"{self._clock.now():.0f} {native_id}".encode())

    def arrived(self, delivery_id: DeliveryId, native_id: str) -> None:
        """It was sent, and that is stored."""
        if native_id:
            self._recent[delivery_id] = native_id
            if len(self._recent) > _KEPT_IN_MEMORY:
                self._recent.popitem(last=False)
        for listener in self._listeners.pop(delivery_id, ()):
            listener(native_id)

    def forget(self, delivery_id: DeliveryId) -> None:
        """It was let go and will never be sent."""
        self._listeners.pop(delivery_id, None)

    def when_sent(self, delivery_id: DeliveryId, listener: Listener) -> None:
        """Call this, on the loop, with the platform's id once it is sent; at once when it was. Not over restarts."""
        if delivery_id in self._recent:
            listener(self._recent[delivery_id])
        else:
            self._listeners.setdefault(delivery_id, []).append(listener)

    async def get(self, delivery_id: DeliveryId) -> str:
        """The platform's id; "" while it is not sent, for one that has none, or after keep_s. Raises StoreError."""
        known = self._recent.get(delivery_id)
        if known is not None:
            return known
        row = await self._store.get(_ROWS + delivery_id)
        return "" if row is None else row.body.decode(errors="replace").partition(" ")[2]

    async def forget_old(self) -> int:
        """Let go of those that are older than they are kept. Returns how many. Raises StoreError."""
        oldest_at = self._clock.now() - self._keep_s
        after, count = "", 0
        while page := await self._store.scan(_ROWS, after=after, limit=_PAGE_ROWS):
            after = page[-1].key
            old = [Put(row.key, None) for row in page if _at(row.body) < oldest_at]
            if old:
                await self._journal.commit(old, [], is_relief=True)
            count += len(old)
        return count

    async def run(self) -> None:
        """Forget old ones now and then, until cancelled."""
        while True:
            with suppress(StoreError):
                await self.forget_old()
            await self._clock.sleep(_LOOK_EVERY_S)


def _at(body: bytes) -> float:
    head = body.partition(b" ")[0]
    return float(head) if head.isdigit() else 0.0
