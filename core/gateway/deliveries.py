"""The outbox: sends answers in the order of their session, tries again when that fails, and loses none."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Sequence

import msgspec

from core.api.base import SYSTEM, Actor, DeliveryId, Event, PlatformName, SessionId
from core.api.deliveries import (
    DeliveryDied,
    DeliveryDropped,
    DeliveryList,
    DeliveryQueued,
    DeliveryRetrying,
    DeliverySent,
    DeliveryState,
    DeliveryView,
    DropDelivery,
    ListDeliveries,
    RetryDelivery,
)
from core.api.errors import ConflictError, InvalidInput, NotFound, Unavailable
from core.api.system import AlarmRaised
from core.backoff import ceiling_s
from core.clock import Clock, mark, rebased
from core.gateway.delivery import (
    WAITING,
    Failure,
    OutboxRow,
    asked_again,
    begun,
    next_attempt,
    outbound_of,
    queued,
    recovered,
)
from core.gateway.platform import Outbound
from core.gateway.platforms import Platforms
from core.ids import IdSource
from core.journal import Journal
from core.settings import DeliverySettings
from core.store.base import Put, Store
from core.supervisor import Supervisor

OUTBOX = "outbound/"

_IN_FLIGHT_LIMIT = 64
_PLATFORM_LIMIT = 16
_LIST_LIMIT = 1000
_PAGE_ROWS = 500
_STORE_RETRY_S = 1.0
_STORE_RETRY_CAP_S = 30.0

_encoder = msgspec.json.Encoder()
_rows = msgspec.json.Decoder(OutboxRow)


class _Item:
    """A delivery in memory. lock: held by whoever changes it; nap: its wait for the next try."""

    def __init__(self, row: OutboxRow) -> None:
        self.row = row
        self.lock = asyncio.Lock()
        self.nap: asyncio.Task[None] | None = None
        self.is_gone = False
        self.is_announced = False

    @property
    def view(self) -> DeliveryView:
        return self.row.view

    @property
    def key(self) -> str:
        return OUTBOX + self.row.view.id

    def wake(self) -> None:
        if self.nap is not None:
            self.nap.cancel()


class Deliveries:
    """Answers on their way.

    One is in flight for each session, in the order of sending; one that waits for its next try
    holds up later ones of its own session only. At most 64 are in flight at a time, and at
    most 16 for one platform, so that one that hangs leaves room for the others.

    on_settled(session_id, view): called after the commit when a delivery was sent, died, was let
    go or was asked for again; `unsent` then tells the session's new count.
    """

    def __init__(
        self,
        *,
        store: Store,
        journal: Journal,
        clock: Clock,
        ids: IdSource,
        supervisor: Supervisor,
        settings: DeliverySettings,
        platforms: Platforms,
        random: Callable[[], float],
        on_settled: Callable[[SessionId, DeliveryView], None],
    ) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock
        self._ids = ids
        self._supervisor = supervisor
        self._settings = settings
        self._platforms = platforms
        self._random = random
        self._on_settled = on_settled
        self._items: dict[DeliveryId, _Item] = {}
        self._lines: dict[SessionId, deque[_Item]] = {}
        self._in_flight = asyncio.Semaphore(_IN_FLIGHT_LIMIT)
        self._in_flight_by_platform: defaultdict[PlatformName, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(_PLATFORM_LIMIT)
        )
        self._dead_count = 0

    @property
    def waiting_count(self) -> int:
        """Deliveries that will still be tried."""
        return len(self._items) - self._dead_count

    @property
    def dead_count(self) -> int:
        """Deliveries that nobody will try again unless an operator asks."""
        return self._dead_count

    def unsent(self, session_id: SessionId) -> int:
        """Deliveries of a session that will still be tried; dead ones are not counted."""
        return len(self._lines.get(session_id, ()))

    def new_id(self) -> DeliveryId:
        """An id for an Outbound."""
        return DeliveryId(self._ids.new_id())

    def new_delivery(self, outbound: Outbound) -> tuple[DeliveryView, Put]:
        """The delivery and its row, to be committed together with what it answers; then call send()."""
        row = queued(outbound, mark(self._clock))
        return row.view, Put(OUTBOX + row.view.id, _encoder.encode(row))

    def send(self, view: DeliveryView, outbound: Outbound) -> None:
        """Send what new_delivery() made, now that it is stored. Returns at once."""
        item = _Item(
            OutboxRow(view=view, source=outbound.source, message_id=outbound.message_id, reply_to=outbound.reply_to)
        )
        self._items[view.id] = item
        if not self._enqueue(item):
            self._supervisor.spawn(f"delivery:{view.id}", self._announce(item))

    async def recover(self) -> int:
        """Take up what an earlier start of the core left unsent, under the same ids. Returns how many.

        Dead ones stay dead. Raises StoreError.
        """
        unreadable: list[str] = []
        after = ""
        while page := await self._store.scan(OUTBOX, after=after, limit=_PAGE_ROWS):
            after = page[-1].key
            for row in page:
                try:
                    self._take_up(_rows.decode(row.body))
                except (msgspec.DecodeError, UnicodeDecodeError):
                    unreadable.append(row.key)
        if unreadable:
            error = f"{len(unreadable)} stored deliveries cannot be read and are left alone; first: {unreadable[0]}"
            self._journal.publish("deliveries", AlarmRaised(what="deliveries", error=error))
        return self.waiting_count

    async def list_deliveries(self, query: ListDeliveries) -> DeliveryList:
        """What is not sent yet, oldest first."""
        if not 1 <= query.limit <= _LIST_LIMIT:
            raise InvalidInput(
                f"limit must be 1 to {_LIST_LIMIT}, not {query.limit}",
                field="limit",
                value=query.limit,
                fix="ask for fewer",
            )
        seq = await self._journal.head()
        oldest = sorted(self._items)[: query.limit]
        return DeliveryList(deliveries=tuple(self._items[item].view for item in oldest), seq=seq)

    async def retry_delivery(self, command: RetryDelivery, actor: Actor) -> DeliveryView:
        """Try a dead or waiting delivery again now; one whose turn is coming anyway is left as it is."""
        item = self._get(command.delivery_id)
        if item.view.state is DeliveryState.SENDING:
            return item.view
        async with item.lock:
            self._check_there(item)
            was_dead = item.view.state is DeliveryState.DEAD
            if not was_dead and item.view.state is not DeliveryState.RETRYING:
                return item.view
            after = asked_again(item.view)
            row = msgspec.structs.replace(item.row, view=after)
            await self._commit(item, row, DeliveryQueued(delivery=after), actor)
            item.row, item.is_announced = row, True
            item.wake()
            if was_dead:
                self._dead_count -= 1
                self._enqueue(item, is_first=True)
        self._on_settled(after.session_id, after)
        return after

    async def drop_delivery(self, command: DropDelivery, actor: Actor) -> DeliveryView:
        """Let a dead or waiting delivery go. Raises ConflictError while it is with the platform."""
        item = self._get(command.delivery_id)
        if item.view.state is DeliveryState.SENDING:
            raise ConflictError(
                "it is being sent at this moment", key="state", found="sending", fix="look again in a moment"
            )
        async with item.lock:
            self._check_there(item)
            view = msgspec.structs.replace(item.view, version=item.view.version + 1)
            await self._commit(item, None, DeliveryDropped(delivery=view, reason=command.reason), actor)
            self._dead_count -= view.state is DeliveryState.DEAD
            self._forget(item)
            line = self._lines.get(view.session_id)
            if line is not None and item in line:
                line.remove(item)
            item.wake()
        self._on_settled(view.session_id, view)
        return view

    def _get(self, delivery_id: DeliveryId) -> _Item:
        item = self._items.get(delivery_id)
        if item is None:
            raise NotFound(
                f"no delivery {delivery_id} is waiting or dead",
                noun="delivery",
                id=delivery_id,
                fix="see `deliveries list`",
            )
        return item

    def _check_there(self, item: _Item) -> None:
        if item.is_gone:
            self._get(item.view.id)

    def _take_up(self, row: OutboxRow) -> None:
        view = recovered(row.view, rebased(row.view.created, self._clock), mark(self._clock))
        item = _Item(msgspec.structs.replace(row, view=view))
        item.is_announced = True
        self._items[view.id] = item
        if view.state in WAITING:
            self._enqueue(item)
        else:
            self._dead_count += 1

    def _enqueue(self, item: _Item, *, is_first: bool = False) -> bool:
        """Put an item into its session's line; True when nothing is before it."""
        session_id = item.view.session_id
        line = self._lines.get(session_id)
        if line is None:
            line = self._lines[session_id] = deque((item,))
            self._supervisor.spawn(f"deliver:{session_id}", self._work(session_id, line))
            return True
        # The head may be with the platform, so first means next.
        line.insert(1 if is_first else len(line), item)
        return False

    async def _work(self, session_id: SessionId, line: deque[_Item]) -> None:
        try:
            await self._platforms.wait_built()
            while line:
                item = line[0]
                await self._nap(item)
                if line and line[0] is item:
                    await self._deliver(item, line)
        finally:
            self._lines.pop(session_id, None)

    async def _nap(self, item: _Item) -> None:
        due = item.view.next_try
        wait_s = 0.0 if due is None else due.mono - self._clock.monotonic()
        if wait_s <= 0:
            return
        async with asyncio.TaskGroup() as group:
            item.nap = group.create_task(self._sleep(wait_s))
        item.nap = None

    async def _sleep(self, delay_s: float) -> None:
        await self._clock.sleep(delay_s)

    async def _deliver(self, item: _Item, line: deque[_Item]) -> None:
        slots = self._in_flight_by_platform[item.view.platform]
        if slots.locked() or self._in_flight.locked():
            await self._announce(item)
        async with slots, self._in_flight:
            await item.lock.acquire()
            try:
                if item.is_gone:
                    return
                item.row = msgspec.structs.replace(item.row, view=begun(item.view))
                failure = await self._platforms.attempt(outbound_of(item.row), timeout_s=self._settings.timeout_s)
            except BaseException:
                item.lock.release()
                raise
        try:
            await self._settle(item, failure, line)
        finally:
            item.lock.release()

    async def _settle(self, item: _Item, failure: Failure | None, line: deque[_Item]) -> None:
        after = next_attempt(item.view, failure, mark(self._clock), self._settings, self._random)
        row = msgspec.structs.replace(item.row, view=after)
        await self._commit_at_last(item, row, _outcome_event(after))
        item.row, item.is_announced = row, True
        if after.state is DeliveryState.RETRYING:
            return
        line.remove(item)
        if after.state is DeliveryState.SENT:
            self._forget(item)
        else:
            self._dead_count += 1
        self._on_settled(after.session_id, after)

    async def _announce(self, item: _Item) -> None:
        async with item.lock:
            if item.is_announced or item.is_gone or item.view.state is not DeliveryState.QUEUED:
                return
            try:
                await self._journal.commit((), self._about(item, DeliveryQueued(delivery=item.view)))
            except Unavailable:
                return  # The row is stored; only the remark is missing.
            item.is_announced = True

    def _forget(self, item: _Item) -> None:
        item.is_gone = True
        self._items.pop(item.view.id, None)

    async def _commit_at_last(self, item: _Item, row: OutboxRow, event: Event) -> None:
        # What the platform took must not be sent again by this core, so the line waits for the store.
        failures = 0
        while True:
            try:
                await self._commit(item, row, event, SYSTEM)
            except Unavailable:
                failures += 1
                await self._clock.sleep(ceiling_s(failures, base_s=_STORE_RETRY_S, cap_s=_STORE_RETRY_CAP_S))
            else:
                return

    async def _commit(self, item: _Item, row: OutboxRow | None, event: Event, actor: Actor) -> None:
        is_over = row is None or row.view.state is DeliveryState.SENT
        put = Put(item.key, None if is_over else _encoder.encode(row))
        correlation = str(item.row.message_id or "")
        await self._journal.commit((put,), self._about(item, event), actor=actor, correlation=correlation)

    def _about(self, item: _Item, event: Event) -> Sequence[tuple[str, Event]]:
        return ((str(item.view.session_id), event),)


def _outcome_event(view: DeliveryView) -> Event:
    if view.state is DeliveryState.SENT:
        return DeliverySent(delivery=view)
    if view.state is DeliveryState.RETRYING:
        return DeliveryRetrying(delivery=view)
    return DeliveryDied(delivery=view)
