"""The outbox and its connections over a store in memory, with platforms that do what a test says."""

import asyncio
import types
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from core.api.base import Actor, ActorKind, DeliveryId, Event, MessageId, PlatformName, Seq, SessionId
from core.api.deliveries import DeliveryList, DeliveryView, ListDeliveries
from core.api.errors import StoreError
from core.api.sessions import ChatKind, Source
from core.gateway.accounts import Accounts
from core.gateway.deliveries import Deliveries
from core.gateway.platform import (
    Accepted,
    Inbound,
    InboundEdit,
    Inbox,
    Limits,
    Outbound,
    PlatformContext,
    PlatformError,
    PlatformErrorKind,
    Press,
)
from core.gateway.platforms import Platforms
from core.ids import IdSource
from core.journal import Journal
from core.mailroom import Mailroom
from core.platform_settings import LoopbackSettings
from core.settings import DeliverySettings, Settings
from core.store.base import Batch, Committed, Store
from core.store.memory import MemoryStore
from core.supervisor import Supervisor
from tests.support.clocks import FakeClock
from tests.support.no_http import NoHttp, no_secret

LOCAL = PlatformName("local")
OTHER = PlatformName("other")
OPERATOR = Actor(ActorKind.OPERATOR, "ana")


class FakePlatform:
    """A connection in the hands of a test.

    faults: raised by the next sends, one each. gate: cleared, it holds sends up. runs: what run()
    does, one for each call, beginning with the first; after them it stands until cancelled.
    """

    kind = "loopback"
    limits = Limits()

    def __init__(self, name: PlatformName) -> None:
        self.name = name
        self.sent: list[Outbound] = []
        self.attempts: list[Outbound] = []
        self.faults: deque[BaseException] = deque()
        self.gate = asyncio.Event()
        self.gate.set()
        self.runs: deque[Callable[[Inbox], Any]] = deque()
        self.run_count = 0
        self.inbox: Inbox | None = None
        self.in_flight = 0
        self.most_in_flight = 0

    async def run(self, inbox: Inbox) -> None:
        """Stand, or do what the test wants."""
        self.run_count += 1
        self.inbox = inbox
        if self.runs:
            self.runs.popleft()(inbox)
            return
        inbox.connected(f"{self.name}.example.org")
        await asyncio.Event().wait()

    async def send(self, message: Outbound) -> str:
        """Take it, or fail as told."""
        self.attempts.append(message)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await self.gate.wait()
            if self.faults:
                raise self.faults.popleft()
        finally:
            self.in_flight -= 1
        self.sent.append(message)
        return str(len(self.sent))


class FakeInbox:
    """An Inbox that keeps what it is given. faults: raised by the next calls, one each."""

    def __init__(self) -> None:
        self.received: list[Inbound] = []
        self.addresses: list[str] = []
        self.faults: deque[Exception] = deque()
        self.arrived = asyncio.Event()

    async def receive(self, inbound: Inbound, *, follow: bool = False) -> Accepted:
        """Keep it."""
        self.received.append(inbound)
        self.arrived.set()
        if self.faults:
            raise self.faults.popleft()
        session = SessionId(f"{inbound.platform}:dm:{inbound.source.chat}")
        return Accepted(session_id=session, message_id=MessageId(f"m{len(self.received)}"), position=0)

    async def interrupt(self, session_id: SessionId, reason: str) -> bool:
        """Nothing runs."""
        return False

    async def edited(self, edit: InboundEdit) -> None:
        """Nobody looks."""

    async def pressed(self, press: Press) -> str:
        """There is nothing to press."""
        _ = press
        return ""

    def heard(self) -> None:
        """It is counted elsewhere."""

    async def cursor(self) -> str:
        """Nothing was read before."""
        return ""

    async def keep_cursor(self, cursor: str) -> None:
        """Nobody looks."""

    def refused(self, reason: str) -> None:
        """It is counted elsewhere."""

    def connected(self, address: str, *, problem: str = "") -> None:
        """Keep the address."""
        self.addresses.append(address)


class Outbox:
    """Deliveries and platforms, built as the kernel builds them."""

    def __init__(self, store: Store, clock: FakeClock, settings: Settings, random: Callable[[], float]) -> None:
        self.store = store
        self.clock = clock
        self.errors: list[tuple[str, Exception]] = []
        self.live: list[Event] = []
        self.settled: list[tuple[SessionId, DeliveryView, int]] = []
        self.inbox = FakeInbox()
        self.journal = Journal(store, clock)
        self.journal.on_record(lambda record: None if record.durable else self.live.append(record.event))
        self.supervisor = Supervisor(clock, lambda *_: None, lambda name, error: self.errors.append((name, error)))
        self.ids = IdSource(clock)
        self.platforms = Platforms(
            store=store,
            journal=self.journal,
            clock=clock,
            supervisor=self.supervisor,
            settings=settings,
            context=PlatformContext(clock=clock, ids=self.ids, http=NoHttp(), secret=no_secret),
            inbox_for=lambda _: self.inbox,
        )
        self.mail = Mailroom(
            journal=self.journal, store=store, clock=clock, supervisor=self.supervisor, boot=1, random=random
        )
        self.accounts = Accounts(
            mail=self.mail,
            store=store,
            journal=self.journal,
            clock=clock,
            supervisor=self.supervisor,
            settings=settings.deliveries,
            sections=settings.platforms.get,
            limits_of=self.platforms.limits,
            random=random,
            paused_why=self.platforms.paused_why,
        )
        self.platforms.on_pause.append(self.accounts.pause_changed)
        self.journal.on_record(self.accounts.observe)
        self.deliveries = Deliveries(
            mail=self.mail,
            store=store,
            journal=self.journal,
            clock=clock,
            ids=self.ids,
            supervisor=self.supervisor,
            settings=settings.deliveries,
            platforms=self.platforms,
            accounts=self.accounts,
            random=random,
            on_settled=self._on_settled,
        )

    def _on_settled(self, session_id: SessionId, view: DeliveryView) -> None:
        self.settled.append((session_id, view, self.deliveries.unsent(session_id)))

    def fake(self, name: PlatformName = LOCAL) -> FakePlatform:
        """The connection of that name."""
        platform = self.platforms.get(name)
        assert isinstance(platform, FakePlatform)
        return platform

    async def answer(self, text: str, *, chat: str = "8841", platform: PlatformName = LOCAL) -> DeliveryView:
        """Store an answer as the end of a run does, and have it sent."""
        outbound = outbound_to(chat, text, delivery_id=self.deliveries.new_id(), platform=platform)
        await self.deliveries.open_outbox(platform)
        transaction = self.mail.transaction()
        self.deliveries.post(transaction, outbound)
        await transaction.commit((), ())
        self.deliveries.posted(outbound)
        return next(view for view in self.deliveries.views_of(outbound) if view.id == outbound.delivery_id)

    async def events(self) -> list[Event]:
        """Everything that was journaled."""
        return [record.event for record in await self.journal.read(limit=5000)]

    async def until(self, kind: type[Event], count: int = 1) -> list[Any]:
        """Wait until `count` events of a kind have been journaled and what they tell has come about."""
        found: list[Event] = []
        async for record in self.journal.subscribe(after=Seq(0)):
            if isinstance(record.event, kind):
                found.append(record.event)
                if len(found) >= count:
                    break
        await self.clock.advance(0)
        return found

    async def waiting(self) -> DeliveryList:
        """What is not sent."""
        return await self.deliveries.orders.list_deliveries(ListDeliveries())


def outbound_to(
    chat: str, text: str, *, delivery_id: DeliveryId, platform: PlatformName = LOCAL, reply_to: str = ""
) -> Outbound:
    """A message to a one-to-one chat."""
    return Outbound(
        delivery_id=delivery_id,
        session_id=SessionId(f"{platform}:dm:{chat}"),
        source=Source(platform=platform, kind=ChatKind.DM, chat=chat),
        text=text,
        reply_to=reply_to,
    )


class FullStore(MemoryStore):
    """A store that can be full for a while."""

    is_full = False

    def submit(self, batch: Batch) -> asyncio.Future[Committed]:
        """Refuse while full."""
        if self.is_full:
            raise StoreError("the disk is full", cause="full")
        return super().submit(batch)


class SlowStore(MemoryStore):
    """A store that writes, and says so only when it is let go on."""

    def __init__(self) -> None:
        super().__init__()
        self._held: list[tuple[asyncio.Future[Committed], asyncio.Future[Committed]]] | None = None

    def hold_up(self) -> None:
        """Nobody is told any more."""
        self._held = []

    def go_on(self) -> None:
        """Tell everybody, in their order."""
        held, self._held = self._held or [], None
        for done, told in held:
            told.set_result(done.result())

    def give_up(self) -> None:
        """Tell everybody that it did not work."""
        held, self._held = self._held or [], None
        for _, told in held:
            told.set_exception(StoreError("the disk is full", cause="full"))

    def submit(self, batch: Batch) -> asyncio.Future[Committed]:
        """Write, and keep it back."""
        done = super().submit(batch)
        if self._held is None:
            return done
        told: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
        self._held.append((done, told))
        return told


def busy(retry_after_s: float | None = None) -> PlatformError:
    """A platform that wants to be asked later; when it says when, about this chat alone."""
    return PlatformError(
        PlatformErrorKind.RETRY_AFTER, "busy", retry_after_s=retry_after_s, is_for_chat=retry_after_s is not None
    )


def limited(retry_after_s: float) -> PlatformError:
    """A platform that wants the whole account to wait."""
    return PlatformError(PlatformErrorKind.RETRY_AFTER, "too many requests", retry_after_s=retry_after_s)


def refused() -> PlatformError:
    """A platform that does not want the message."""
    return PlatformError(PlatformErrorKind.REFUSED, "the bot was blocked")


async def texts_of(built: Outbox, name: PlatformName = LOCAL) -> list[str]:
    """What a connection took, in order."""
    return [message.text for message in built.fake(name).sent]


@asynccontextmanager
async def outbox(
    monkeypatch: pytest.MonkeyPatch,
    *,
    store: Store | None = None,
    clock: FakeClock | None = None,
    create: Callable[..., Any] | None = None,
    start: bool = True,
    random: Callable[[], float] = lambda: 1.0,
    more: tuple[PlatformName, ...] = (),
    **settings: Any,
) -> AsyncIterator[Outbox]:
    """Two connections, `local` and `other`, and `more`; on leaving everything has ended and no job had failed."""
    module = types.SimpleNamespace(create=create or (lambda name, *_: FakePlatform(name)))
    monkeypatch.setattr("core.gateway.platforms.load_adapter", lambda _: module)
    everything = Settings(
        platforms={name: LoopbackSettings() for name in (LOCAL, OTHER, *more)}, deliveries=DeliverySettings(**settings)
    )
    built = Outbox(store or MemoryStore(), clock or FakeClock(), everything, random)
    await built.mail.open()
    if start:
        await built.platforms.start()
    try:
        yield built
    finally:
        await built.mail.stop(0)
        left = await built.supervisor.stop(deadline_s=5)
        await built.mail.close()
    assert left == []
    assert built.errors == []
