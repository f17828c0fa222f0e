"""What goes out of a relay over a store of the test, with bots that do what a test says."""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from core.api.base import Actor, ActorKind, Event, SessionId
from core.api.bindings import ANY_CHAT, AddBinding, Bot, RelayProtocol
from core.api.errors import HermesError
from core.api.relay_targets import PauseRelay, ResumeRelay, TargetFinding
from core.api.relay_tasks import (
    AttemptResult,
    CancelRelay,
    RelayReceipt,
    RelayState,
    RelayTaskId,
    ReplayReceipt,
    ReplayRelay,
    RetargetRelay,
    SendRelay,
)
from core.clock import mark
from core.ids import IdSource
from core.journal import Journal
from core.mailroom import Mailroom
from core.relay.answers import Answers
from core.relay.bindings import Bindings
from core.relay.calling import Calling
from core.relay.ledger import Change, Ledger
from core.relay.ledger_keeping import LedgerKeeping
from core.relay.outbound import Outbound
from core.relay.pausing import Pausing
from core.relay.peers import Peers
from core.relay.targets import Targets
from core.relay.task import RelayTask, canceled
from core.relay.trails import Trails
from core.relay.wire import Call, Reply
from core.relay_settings import PeerSettings, RelaySettings
from core.secrets import Secret
from core.store.base import Store
from core.store.memory import MemoryStore
from core.supervisor import Supervisor
from tests.support.clocks import FakeClock

OPERATOR = Actor(ActorKind.OPERATOR, "ana")
DELIVERED = Reply(result=AttemptResult.DELIVERED, status=202, state=RelayState.WORKING, remote_id="r-1")
SILENT = Reply(result=AttemptResult.DELIVERED, status=200, is_silent=True)
DOWN = Reply(result=AttemptResult.UNDELIVERED, error="connection refused")
LOST = Reply(result=AttemptResult.UNKNOWN, error="no answer within 10 s")
REFUSED = Reply(result=AttemptResult.REFUSED, status=403, error="403 forbidden")
HOLD = None
"""In place of a reply: the call goes on until the test lets go of it."""


def completed(answer: str) -> Reply:
    """The bot did it, and says this."""
    return Reply(result=AttemptResult.DELIVERED, status=200, state=RelayState.COMPLETED, answer=answer)


class FakeAdapter:
    """Bots in the hands of a test.

    replies, asked: what the next calls say, by name of bot; after them it is DELIVERED. gate: cleared, calls for which
    None stands there wait for it. fault: raised by calls.
    """

    def __init__(self) -> None:
        self.sent: list[Call] = []
        self.asks: list[Call] = []
        self.cancels: list[Call] = []
        self.replies: defaultdict[str, deque[Reply | None]] = defaultdict(deque)
        self.answers: defaultdict[str, deque[Reply]] = defaultdict(deque)
        self.to_cancel: deque[Reply] = deque()
        self.fault: Exception | None = None
        self.gate = asyncio.Event()
        self.begun = asyncio.Event()

    async def send(self, call: Call) -> Reply:
        """Take it, or do as told."""
        self.sent.append(call)
        self.begun.set()
        if self.fault is not None:
            raise self.fault
        line = self.replies[call.bot.name]
        reply = line.popleft() if line else DELIVERED
        if reply is None:
            await self.gate.wait()
            return DELIVERED
        return reply

    async def ask(self, call: Call) -> Reply:
        """Still working, or as told."""
        self.asks.append(call)
        line = self.answers[call.bot.name]
        return line.popleft() if line else DELIVERED

    async def cancel(self, call: Call) -> Reply:
        """It stops, or as told."""
        self.cancels.append(call)
        return self.to_cancel.popleft() if self.to_cancel else Reply(result=AttemptResult.DELIVERED, status=200)

    async def look(self, call: Call) -> tuple[Sequence[TargetFinding], str]:
        """Nobody looks."""
        _ = call
        return (), ""


class FakeAskers:
    """Conversations that keep what they are told. faults: raised by the next calls, one each."""

    def __init__(self) -> None:
        self.told: list[tuple[SessionId, str, str, bool, str]] = []
        self.faults: deque[HermesError] = deque()

    def exists(self, session_id: SessionId) -> bool:
        """All do whose id says where they are."""
        return ":" in session_id

    async def tell(
        self, session_id: SessionId, text: str, *, bot: str, is_answer: bool, key: str = "", by: str = ""
    ) -> None:
        """Keep it."""
        if self.faults:
            raise self.faults.popleft()
        self.told.append((session_id, text, bot, is_answer, key))


class RelayOut:
    """The sending half of a relay, built as the core builds it."""

    def __init__(self, store: Store, clock: FakeClock, settings: RelaySettings, adapter: FakeAdapter) -> None:
        self.store = store
        self.clock = clock
        self.adapter = adapter
        self.askers = FakeAskers()
        self.errors: list[tuple[str, Exception]] = []
        self.faults: list[tuple[str, Exception]] = []
        self.live: list[Event] = []
        self.journal = Journal(store, clock)
        self.journal.on_record(lambda record: None if record.durable else self.live.append(record.event))
        self.supervisor = Supervisor(clock, lambda *_: None, lambda name, error: self.errors.append((name, error)))
        self.ids = IdSource(clock)
        self.mail = Mailroom(
            journal=self.journal, store=store, clock=clock, supervisor=self.supervisor, boot=1, random=_middle
        )
        self.peers = Peers(settings, lambda _: Secret("a-secret-of-the-test-0123456789"))
        self.bindings = Bindings(store=store, journal=self.journal, clock=clock, peers=self.peers.names)
        self.ledger = Ledger(store=store, journal=self.journal, clock=clock, ids=self.ids)
        self.trails = Trails(settings, clock)
        self.pausing = Pausing(
            store=store,
            journal=self.journal,
            clock=clock,
            counts=self.ledger.counts_under_way,
            woken=lambda: self.targets.wake(),  # noqa: PLW0108 - made below
        )
        self.targets = Targets(
            mail=self.mail,
            store=store,
            journal=self.journal,
            clock=clock,
            supervisor=self.supervisor,
            settings=settings,
            bindings=self.bindings,
            peers=self.peers,
            tally=self.ledger.tally,
            is_paused=lambda: self.pausing.is_paused,
            random=_middle,
        )
        calling = Calling(settings=settings, peers=self.peers, adapters=self._adapter)
        self.answers = Answers(
            clock=clock,
            supervisor=self.supervisor,
            settings=settings,
            ledger=self.ledger,
            targets=self.targets,
            calling=calling,
            askers=self.askers,
            random=_middle,
            on_fault=lambda what, error: self.faults.append((what, error)),
        )
        self.outbound = Outbound(
            mail=self.mail,
            clock=clock,
            ids=self.ids,
            supervisor=self.supervisor,
            settings=settings,
            bindings=self.bindings,
            ledger=self.ledger,
            targets=self.targets,
            trails=self.trails,
            calling=calling,
            askers=self.askers,
            is_paused=lambda: self.pausing.is_paused,
            random=_middle,
            cancel_in=self._cancel_in,
        )
        self.keeping = LedgerKeeping(
            self.ledger, store=store, clock=clock, settings=settings, on_counts=self.targets.counts_changed
        )

    def _adapter(self, protocol: RelayProtocol) -> FakeAdapter:
        _ = protocol
        return self.adapter

    async def _cancel_in(self, task: RelayTask, reason: str) -> RelayTask:
        """The other half of the relay does that."""
        return await self.ledger.change(task.id, lambda task: Change(canceled(task, mark(self.clock), reason)))

    async def start(self) -> None:
        """As the core does it."""
        await self.mail.open()
        await self.pausing.open()
        await self.bindings.open()
        await self.ledger.open()
        await self.targets.open()
        await self.answers.start()
        await self.outbound.start()

    async def stop(self) -> None:
        """As the core does it; what goes on is cut off."""
        await self.answers.stop()
        await self.mail.stop(0)
        left = await self.supervisor.stop(deadline_s=5)
        await self.mail.close()
        assert left == []

    async def bind(self, *names: str, port: int = 8080, peer: str = "") -> None:
        """Bots at one address."""
        bots = tuple(
            Bot(name=name, url=f"http://10.0.0.7:{port}", networks=("10.0.0.0/8",), peer=peer) for name in names
        )
        await self.bindings.add_binding(AddBinding(platform=ANY_CHAT, chat=ANY_CHAT, bots=bots), OPERATOR)
        async with asyncio.timeout(10):
            # Targets follow bindings in a job of their own.
            while f"http://10.0.0.7:{port}" not in self.targets.names():  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0)

    async def send(self, *to: str, text: str = "hello", **fields: Any) -> RelayReceipt:
        """Have a text sent."""
        return await self.outbound.orders.send(SendRelay(to=to, text=text, **fields), OPERATOR)

    async def send_one(self, to: str = "bot", **fields: Any) -> RelayTaskId:
        """The same; the id of the message."""
        return (await self.send(to, **fields)).tasks[0].id

    async def cancel(self, task_id: RelayTaskId, reason: str = "") -> RelayReceipt:
        """Stop a message."""
        return await self.outbound.orders.cancel(CancelRelay(id=task_id, reason=reason), OPERATOR)

    async def replay(self, *ids: RelayTaskId, **fields: Any) -> ReplayReceipt:
        """Send dead ones again."""
        handler = self.outbound.commands[ReplayRelay]
        receipt: ReplayReceipt = await handler(ReplayRelay(ids=ids, **fields), OPERATOR)
        return receipt

    async def retarget(self, task_id: RelayTaskId, to: str) -> RelayReceipt:
        """Give one another address."""
        return await self.outbound.orders.retarget(RetargetRelay(id=task_id, to=to), OPERATOR)

    async def pause(self) -> None:
        """Let nothing out."""
        await self.pausing.commands[PauseRelay](PauseRelay(reason="night"), OPERATOR)

    async def resume(self) -> None:
        """Go on."""
        await self.pausing.commands[ResumeRelay](ResumeRelay(), OPERATOR)

    async def task(self, task_id: str) -> RelayTask:
        """A message as it is."""
        found = await self.ledger.find(task_id)
        assert found is not None
        return found

    async def until(self, task_id: str, *states: RelayState) -> RelayTask:
        """A message once it is in one of these states."""
        return await self.when(task_id, lambda task: task.state in states)

    async def when(self, task_id: str, holds: Callable[[RelayTask], bool]) -> RelayTask:
        """A message once something holds of it."""
        async with asyncio.timeout(10):
            while True:
                found = await self.ledger.find(task_id)
                if found is not None and holds(found):
                    return found
                await asyncio.sleep(0)

    async def events(self) -> list[Event]:
        """Everything that was journaled."""
        return [record.event for record in await self.journal.read(limit=5000)]


def _middle() -> float:
    return 0.5


@asynccontextmanager
async def relay_out(
    *,
    store: Store | None = None,
    clock: FakeClock | None = None,
    adapter: FakeAdapter | None = None,
    peers: Sequence[str] = (),
    is_bound: bool = True,
    **settings: Any,
) -> AsyncIterator[RelayOut]:
    """A relay with a bot called `bot`; on leaving everything has ended and no job had failed."""
    known = {name: PeerSettings(token="env:T", accept_tokens=("env:T",)) for name in peers}
    rules = RelaySettings(peers=known, **settings)
    built = RelayOut(store or MemoryStore(), clock or FakeClock(), rules, adapter or FakeAdapter())
    await built.start()
    if is_bound:
        await built.bind("bot")
    try:
        yield built
    finally:
        await built.stop()
    assert built.errors == []
