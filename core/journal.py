"""Commit state and events together, then fan out; replay the past, then go on live without a gap."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from core.api.base import SYSTEM, Actor, ActorKind, Event, Mark, Record, Seq
from core.api.codec import decode_record, encode
from core.api.errors import HermesError, InvalidInput, Lagged, Unavailable
from core.api.system import UnknownEvent
from core.clock import Clock, mark
from core.store.base import Batch, Committed, Entry, Put, Store, StoredEntry
from core.waits import breathe

_PAGE = 1000
_BREATH_EVERY = 500
_ROUNDS = 4
"""Rounds of the loop in which whoever waits for a commit goes on, through a transaction and what shields it."""
_NOT_STORED = Seq(0)
_NOBODY = Actor(ActorKind.SYSTEM, "")

Observer = Callable[[Record], None]


class Journal:
    """The only way to write to a store: rows and the events that tell of them, in one commit.

    Records reach subscribers in the order of the journal, also when the caller that
    committed them is gone by then.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        # The last place that subscribers have heard of, while the store may already be further.
        self._heard = store.stats().head
        self._inboxes: tuple[_Inbox, ...] = ()
        self._observers: tuple[tuple[Observer, tuple[type[Event], ...]], ...] = ()
        self._observers_of: dict[type[Event], tuple[Observer, ...]] = {}
        self._closing: HermesError | None = None
        self.last_commit: Mark | None = None

    @property
    def subscriber_count(self) -> int:
        """Subscriptions that have not ended."""
        return sum(not inbox.is_forgotten for inbox in self._inboxes)

    async def commit(
        self,
        puts: Sequence[Put],
        events: Sequence[tuple[str, Event]],
        *,
        actor: Actor = SYSTEM,
        correlation: str = "",
        mail: Sequence[bytes] = (),
        mail_floor: int = 0,
        is_relief: bool = False,
    ) -> Committed:
        """Write rows, events (each with its subject) and mail records, all or nothing; returns when that is durable.

        Cancelling the caller takes nothing back: what was asked for is written and told.
        Raises ConflictError, StoreError, InvalidInput; then nothing is written or told.
        """
        return await self.submit(
            puts,
            events,
            actor=actor,
            correlation=correlation,
            mail=mail,
            mail_floor=mail_floor,
            is_relief=is_relief,
        )

    def submit(
        self,
        puts: Sequence[Put],
        events: Sequence[tuple[str, Event]],
        *,
        actor: Actor = SYSTEM,
        correlation: str = "",
        mail: Sequence[bytes] = (),
        mail_floor: int = 0,
        is_relief: bool = False,
    ) -> asyncio.Future[Committed]:
        """Ask for what commit() does, now; the future ends when it is durable and told.

        Raises what commit() raises, at once or through the future.
        """
        at = self._clock.now()
        records = [_record(_NOT_STORED, at, actor, subject, event, correlation) for subject, event in events]
        entries = [Entry(record.subject, encode(record)) for record in records]
        future = self._store.submit(Batch(tuple(puts), entries, mail, mail_floor, is_relief))
        caller: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
        future.add_done_callback(partial(self._settle, records, caller))
        return caller

    def append(self, mail: Sequence[bytes], *, is_relief: bool = False) -> asyncio.Future[Committed]:
        """Write mail records and nothing else. The future ends when they are durable, in the order of the calls.

        Raises what commit() raises, at once or through the future.
        """
        return self._store.submit(Batch(mail=mail, is_relief=is_relief))

    def publish(self, subject: str, event: Event, *, actor: Actor = SYSTEM, correlation: str = "") -> None:
        """Tell a fact that is not stored. Never waits; a subscriber whose buffer is full misses it."""
        record = _record(self._heard, self._clock.now(), actor, subject, event, correlation, durable=False)
        self._tell(record)

    def subscribe(self, *, after: Seq, buffer: int = 65_536) -> "Subscription":
        """All stored records after `after`, then live ones, without a gap or a repeat.

        Counts from this call on, not from the first record that is asked for. buffer: live
        records kept for a slow reader; one stored record more, and it gets Lagged.
        """
        if buffer < 1:
            raise InvalidInput(f"buffer is {buffer}", field="buffer", value=buffer, fix="use 1 or more")
        inbox = _Inbox(buffer, is_behind=after != self._heard, leave=self._leave)
        if self._closing is None:
            self._inboxes = (*self._inboxes, inbox)
        else:
            inbox.end(self._closing)
        return Subscription(self._store, inbox, after)

    async def read(
        self, *, after: Seq | None = None, before: Seq | None = None, subject: str = "", limit: int = 500
    ) -> list[Record]:
        """Stored records in order: the first `limit` after `after`, or else the last `limit` before `before`.

        Raises Lagged when `after` is older than what is kept.
        """
        records: list[Record] = []
        for entry in await self._store.read(after=after, before=before, subject=subject, limit=limit):
            records.append(_recalled(entry))
            if len(records) % _BREATH_EVERY == 0:
                await breathe()
        return records

    async def head(self) -> Seq:
        """Place of the last record that subscribers heard of, once its writer has gone on; 0 when there is none.

        What parts of the core have in memory is as new as this place, so who reads that next and then subscribes
        after this place misses nothing. The store itself may be further.
        """
        heard = self._heard
        for _ in range(_ROUNDS):
            await breathe()
        return heard

    def on_record(self, callback: Observer, *kinds: type[Event]) -> None:
        """Call back with every record, stored or live, after subscribers got it. It must be quick.

        kinds: of events, for who wants to hear of no others; without any, of all.
        """
        self._observers = (*self._observers, (callback, kinds))
        self._observers_of.clear()

    def close(self) -> None:
        """End all subscriptions: each reader gets what is buffered for it, then Unavailable."""
        if self._closing is None:
            self._closing = Unavailable("the core has stopped", what="journal")
            for inbox in self._inboxes:
                inbox.end(self._closing)

    def _settle(
        self, records: list[Record], caller: asyncio.Future[Committed], future: asyncio.Future[Committed]
    ) -> None:
        if future.cancelled():
            caller.cancel()
            return
        error = future.exception()
        if error is not None:
            if not caller.done():
                caller.set_exception(error)
            return
        committed = future.result()
        self.last_commit = mark(self._clock)
        # The caller is woken before any reader: who hears of a record finds in memory what it says. It goes on only
        # after this call, so that what it publishes next comes after what it stored.
        if not caller.done():
            caller.set_result(committed)
        for seq, record in zip(committed.seqs, records, strict=True):
            self._heard = seq
            self._tell(_record(seq, record.at, record.actor, record.subject, record.event, record.correlation))

    def _tell(self, record: Record) -> None:
        for inbox in self._inboxes:
            inbox.put(record)
        kind = type(record.event)
        observers = self._observers_of.get(kind)
        if observers is None:
            found = (callback for callback, kinds in self._observers if not kinds or issubclass(kind, kinds))
            observers = self._observers_of[kind] = tuple(found)
        for observer in observers:
            try:
                observer(record)
            except Exception as error:  # noqa: BLE001 -- one bad observer must not cost the others their record
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "an observer of the journal failed", "exception": error}
                )

    def _leave(self, inbox: "_Inbox") -> None:
        self._inboxes = tuple(other for other in self._inboxes if other is not inbox)


class _Inbox:
    """Live records that wait for one reader. The journal holds it, and not the reader.

    is_behind: the reader still replays from the store. What does not fit then may be dropped,
    since the store has it; `dropped` is the last such place. is_forgotten: there is no reader any more.
    """

    def __init__(self, limit: int, *, is_behind: bool, leave: Callable[["_Inbox"], None]) -> None:
        self._limit = limit
        self._leave = leave
        self.is_behind = is_behind
        self.is_forgotten = False
        self.records: deque[Record] = deque()
        self.dropped = Seq(0)
        self.error: HermesError | None = None
        self._waiter: asyncio.Future[None] | None = None

    def put(self, record: Record) -> None:
        if self.is_forgotten:
            self._leave(self)
            return
        if len(self.records) >= self._limit:
            if not record.durable:
                return
            if not self.is_behind:
                self.records.clear()
                self.end(Lagged(f"more than {self._limit} records behind", limit=self._limit, seq=record.seq))
                return
            first = self.records.popleft()
            if first.durable:
                self.dropped = first.seq
        self.records.append(record)
        self._wake()

    def end(self, error: HermesError | None) -> None:
        """Take in nothing more. The reader gets what is there, then the error, or its end when there is none."""
        self.error = error
        self._leave(self)
        self._wake()

    async def wait(self) -> None:
        """Until there is something new."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def catch_up(self, last: Seq) -> bool:
        """Go live after the place `last`, up to which the store was read; False when the store must be read on."""
        if self.dropped > last:
            return False
        while self.records and self.records[0].seq < last:
            self.records.popleft()
        self.is_behind = False
        return True

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Subscription:
    """Records after a place: replayed, then live. For one reader; forgotten, cancelled or closed, it ends."""

    def __init__(self, store: Store, inbox: _Inbox, after: Seq) -> None:
        self._store = store
        self._inbox = inbox
        self._last = after
        self._is_checked = not inbox.is_behind
        self._page: deque[StoredEntry] = deque()
        self._is_page_full = True
        self._given = 0
        self._is_over = False

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Record:
        """The next record. Raises Lagged, StoreError, Unavailable; after that there is no more."""
        if self._is_over:
            raise StopAsyncIteration
        self._given += 1
        try:
            if self._given % _BREATH_EVERY == 0:
                await breathe()
            return await self._next()
        except BaseException:
            self._close()
            raise

    async def aclose(self) -> None:
        """Unsubscribe. May be called twice."""
        self._close()

    def __del__(self) -> None:
        # The collector may run on any thread: only a mark, which the journal sees at its next record.
        self._inbox.is_forgotten = True

    def _close(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._inbox.end(None)
            self._inbox.records.clear()
            self._page.clear()

    async def _next(self) -> Record:
        inbox = self._inbox
        while not self._is_over:
            if self._page:
                entry = self._page.popleft()
                self._last = entry.seq
                return _recalled(entry)
            if inbox.is_behind:
                if self._is_page_full or not inbox.catch_up(self._last):
                    await self._turn_page()
                continue
            while inbox.records:
                record = inbox.records.popleft()
                # A live-only record belongs behind the stored one it names; too late, it is stale.
                if record.seq > self._last or (record.seq == self._last and not record.durable):
                    self._last = record.seq
                    return record
            if inbox.error is not None:
                raise inbox.error
            await inbox.wait()
        raise StopAsyncIteration

    async def _turn_page(self) -> None:
        if not self._is_checked:
            self._is_checked = True
            head = await self._store.head()
            if self._last > head:
                raise Lagged(f"the journal ends at {head}, before {self._last}", after=self._last, head=head)
        page = await self._store.read(after=self._last, limit=_PAGE)
        if self._is_over:
            return
        # A page that is not full was the end of the journal at its time: what came since is in the inbox.
        self._is_page_full = len(page) == _PAGE
        self._page.extend(page)


def _record(
    seq: Seq, at: float, actor: Actor, subject: str, event: Event, correlation: str, *, durable: bool = True
) -> Record:
    return Record(seq=seq, at=at, actor=actor, subject=subject, event=event, durable=durable, correlation=correlation)


def _recalled(entry: StoredEntry) -> Record:
    """The record of a stored entry; the place is not in its body, since it was not known then."""
    try:
        record = decode_record(entry.body)
    except InvalidInput:
        return _unknown(entry)
    return _record(entry.seq, record.at, record.actor, record.subject, record.event, record.correlation)


class _Envelope(msgspec.Struct):
    """What every version writes around its event."""

    at: float = 0.0
    actor: Actor = _NOBODY
    correlation: str = ""
    event: msgspec.Raw = msgspec.Raw(b"{}")


class _Tagged(msgspec.Struct):
    type: str = ""


_envelopes = msgspec.json.Decoder(_Envelope)
_tags = msgspec.json.Decoder(_Tagged)


def _unknown(entry: StoredEntry) -> Record:
    envelope, tagged = _Envelope(), _Tagged()
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        envelope = _envelopes.decode(entry.body)
        tagged = _tags.decode(envelope.event)
    event = UnknownEvent(name=tagged.type, body=entry.body.decode(errors="replace"))
    return _record(entry.seq, envelope.at, envelope.actor, entry.subject, event, envelope.correlation)
