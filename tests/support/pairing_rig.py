"""Access and pairing over a store in memory, with outboxes in the hands of a test."""

from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from core.api.access import Rule, Verdict
from core.api.base import SYSTEM, Actor, ActorKind, DeliveryId, Event, PlatformName
from core.api.deliveries import DeliveryDied, DeliverySent, DeliveryState, DeliveryView
from core.api.errors import HermesError
from core.api.pairings import (
    ApprovePairing,
    CreateInvite,
    InviteReceipt,
    ListPairings,
    PairingId,
    PairingReceipt,
    PairingView,
)
from core.api.sessions import ChatKind, Source
from core.clock import mark
from core.gateway.access import Access, AccountRules
from core.gateway.access_parts import AccessParts
from core.gateway.pairing import pairing_id
from core.gateway.platform import Inbound, Limits, Outbound
from core.ids import IdSource
from core.journal import Journal
from core.store.base import Committed, Put, Store
from core.store.memory import MemoryStore
from core.supervisor import Supervisor
from tests.support.clocks import FakeClock

LOCAL = PlatformName("local")
OTHER = PlatformName("other")
OPERATOR = Actor(ActorKind.OPERATOR, "ana")
ADMITTED = object()


class Outboxes:
    """Sends what is posted once it is committed. errors: of the next messages, one each, "" for none; closed: why no
    outbox can be opened. is_held: messages stay on their way.
    """

    def __init__(self, journal: Journal, supervisor: Supervisor, clock: FakeClock) -> None:
        self._journal = journal
        self._supervisor = supervisor
        self._clock = clock
        self._ids = IdSource(clock)
        self.sent: list[Outbound] = []
        self.errors: deque[str] = deque()
        self.closed: HermesError | None = None
        self.is_held = False
        self.kept: set[DeliveryId] = set()

    def new_id(self) -> DeliveryId:
        """An id."""
        return DeliveryId(self._ids.new_id())

    async def open_outbox(self, platform: PlatformName) -> str:
        """Ready, or not."""
        if self.closed is not None:
            raise self.closed
        return str(platform)

    def post(self, transaction: Any, outbound: Outbound) -> None:
        """Note it."""
        transaction.posted.append(outbound)
        self.kept.add(outbound.delivery_id)

    def posted(self, outbound: Outbound) -> None:
        """Send it."""
        if not self.is_held:
            self._supervisor.spawn("delivery", self.deliver(outbound))

    async def deliver(self, outbound: Outbound) -> None:
        """Send it, or fail as told."""
        error = self.errors.popleft() if self.errors else ""
        view = DeliveryView(
            id=outbound.delivery_id,
            version=2,
            session_id=outbound.session_id,
            platform=outbound.source.platform,
            state=DeliveryState.DEAD if error else DeliveryState.SENT,
            created=mark(self._clock),
            text=outbound.text,
            error=error,
        )
        if not error:
            self.sent.append(outbound)
            self.kept.discard(outbound.delivery_id)
        event = DeliveryDied(delivery=view) if error else DeliverySent(delivery=view)
        await self._journal.commit([], [(str(outbound.session_id), event)])

    def is_kept(self, delivery_id: DeliveryId) -> bool:
        """Whether it is not sent."""
        return delivery_id in self.kept


class Transaction:
    """Rows, events and messages in one commit."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.posted: list[Outbound] = []

    async def commit(
        self, puts: Sequence[Put], events: Sequence[tuple[str, Event]], *, actor: Actor = SYSTEM, correlation: str = ""
    ) -> Committed:
        """All of it."""
        return await self._journal.commit(puts, events, actor=actor, correlation=correlation)

    def cancel(self) -> None:
        """None of it."""


class NoRuns:
    """Notes whose runs were to be stopped."""

    def __init__(self) -> None:
        self.asked: list[tuple[PlatformName, Callable[[str], bool]]] = []

    async def stop(self, platform: PlatformName, is_them: Callable[[str], bool], reason: str, actor: Actor) -> int:
        """As many as were asked about."""
        self.asked.append((platform, is_them))
        return len(self.asked)


class Desk:
    """What a connection and an operator do. received: what went on to the sessions."""

    def __init__(self, store: Store, clock: FakeClock, access: Access) -> None:
        self.store = store
        self.clock = clock
        self.errors: list[tuple[str, Exception]] = []
        self.live: list[Event] = []
        self.journal = Journal(store, clock)
        self.journal.on_record(lambda record: None if record.durable else self.live.append(record.event))
        self.supervisor = Supervisor(clock, lambda *_: None, lambda name, error: self.errors.append((name, error)))
        self.outboxes = Outboxes(self.journal, self.supervisor, clock)
        self.limits: dict[PlatformName, Limits] = {LOCAL: Limits(), OTHER: Limits()}
        self.runs = NoRuns()
        self.received: list[Inbound] = []
        self.replay_error: HermesError | None = None
        self.parts = AccessParts(
            access=access,
            store=store,
            journal=self.journal,
            clock=clock,
            ids=IdSource(clock, floor_at=clock.now()),
            supervisor=self.supervisor,
            deliveries=self.outboxes,
            transaction=lambda: Transaction(self.journal),  # type: ignore[arg-type, return-value]
            limits=self.limits.get,
            runs=self.runs,
            replay=self.receive,
        )
        self.rows = self.parts.rows

    async def receive(self, inbound: Inbound) -> object:
        """A message as the intake takes it in."""
        verdict = self.parts.gate.verdict(inbound)
        if not verdict.is_admitted:
            raise await self.parts.gate.turned_away(inbound, verdict)
        if self.replay_error is not None:
            raise self.replay_error
        self.received.append(inbound)
        return ADMITTED

    async def write(self, sender_id: str, text: str = "hello", **more: Any) -> Verdict:
        """A message of somebody; the verdict about it."""
        inbound = message(sender_id, text, **more)
        verdict = self.parts.gate.verdict(inbound)
        if verdict.is_admitted:
            self.received.append(inbound)
        else:
            error = await self.parts.gate.turned_away(inbound, verdict)
            assert error.code == "refused"
            assert error.facts["rule"] == verdict.rule.value
            assert not error.retryable
        await self.settled()
        return verdict

    async def settled(self) -> None:
        """Let jobs and deliveries that wait for nothing end."""
        await self.clock.advance(0)
        await self.clock.advance(0)

    async def order(self, command: Any, actor: Actor = OPERATOR) -> Any:
        """Carry out an operator's order."""
        receipt = await self.parts.commands[type(command)](command, actor)
        await self.settled()
        return receipt

    async def approve(self, sender_id: str, **more: Any) -> PairingReceipt:
        """Let somebody in."""
        receipt: PairingReceipt = await self.order(ApprovePairing(pairing_id=key_of(sender_id), **more))
        return receipt

    async def invite(self, **more: Any) -> InviteReceipt:
        """Make a code."""
        receipt: InviteReceipt = await self.order(CreateInvite(**more))
        return receipt

    def view(self, sender_id: str, platform: PlatformName = LOCAL) -> PairingView:
        """How somebody stands."""
        return self.rows.rows[key_of(sender_id, platform)].view

    async def views(self) -> list[PairingView]:
        """Everybody, as listed."""
        return list((await self.parts.pairings.list_pairings(ListPairings())).pairings)

    def told(self, chat: str, platform: PlatformName = LOCAL) -> list[str]:
        """What was sent to somebody, in order."""
        sent = self.outboxes.sent
        return [item.text for item in sent if item.source.chat == chat and item.source.platform == platform]

    async def events(self, *kinds: type[Event]) -> list[Any]:
        """Stored events, of these kinds or of all."""
        found = [record.event for record in await self.journal.read(limit=5000)]
        return [event for event in found if not kinds or isinstance(event, kinds)]

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and what is due happen."""
        await self.clock.advance(seconds)
        await self.settled()


def key_of(sender_id: str, platform: PlatformName = LOCAL) -> PairingId:
    """The id of an identity."""
    return pairing_id(platform, sender_id)


def message(
    sender_id: str, text: str = "hello", *, platform: PlatformName = LOCAL, name: str = "", **more: Any
) -> Inbound:
    """A direct message, the chat named as its sender."""
    kind, chat = more.pop("kind", ChatKind.DM), more.pop("chat", sender_id or "nobody")
    return Inbound(
        platform=platform,
        source=Source(platform=platform, kind=kind, chat=chat),
        sender_id=sender_id,
        sender_name=name or f"name of {sender_id}",
        text=text,
        **more,
    )


def rules(platform: PlatformName = LOCAL, kind: str = "telegram", **more: Any) -> AccountRules:
    """A connection whose strangers may ask, and nobody else."""
    return AccountRules(platform=platform, kind=kind, **{"asks": True, **more})


@asynccontextmanager
async def desk(
    *,
    store: Store | None = None,
    access: Access | None = None,
    clock: FakeClock | None = None,
    is_started: bool = True,
) -> AsyncIterator[Desk]:
    """Two connections whose strangers may ask; on leaving everything has ended and no job had failed."""
    accounts: Mapping[PlatformName, AccountRules] = {LOCAL: rules(), OTHER: rules(OTHER)}
    made = Desk(store or MemoryStore(), clock or FakeClock(), access or Access(accounts))
    await made.parts.load()
    if is_started:
        await made.parts.start()
    await made.settled()
    try:
        yield made
    finally:
        left = await made.supervisor.stop(deadline_s=5)
    assert left == []
    assert made.errors == []


__all__ = ["ADMITTED", "LOCAL", "OPERATOR", "OTHER", "Desk", "Rule", "desk", "key_of", "message", "rules"]
