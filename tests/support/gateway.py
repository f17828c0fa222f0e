"""The gateway alone, over a store in memory and agents in the hands of a test."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from core.api.base import Actor, Command, Event, R, SessionId
from core.api.errors import StoreError
from core.api.runs import RunnerView
from core.api.sessions import ChatKind, MessageView, Mode, Source
from core.clock import Clock, SystemClock
from core.gateway.platform import Inbound
from core.gateway.ports import RunBegun, RunBook, RunClosed
from core.gateway_side import GatewaySide
from core.ids import IdSource
from core.journal import Journal
from core.mailroom import Mailroom
from core.pages import Pages
from core.platform_settings import LoopbackSettings
from core.settings import SessionSettings, Settings
from core.store.base import Store
from core.store.memory import MemoryStore
from core.supervisor import Supervisor
from core.vault import Vault
from tests.support.fake_agents import FakeAgents
from tests.support.outbox import LOCAL, OPERATOR

SESSION = SessionId("local:dm:8841")
_SHORT_JOBS = frozenset({"delivery", "interrupt", "message", "redriven", "steer"})
"""What the gateway spawns for one message; consumers go on for ever."""


class NullBook:
    """A RunBook that writes nothing."""

    def begun(self, run: RunBegun) -> Pages:
        """Nothing."""
        _ = run
        return Pages()

    def closed(self, run: RunClosed) -> Pages:
        """Nothing."""
        _ = run
        return Pages()

    def let_go(self, messages: Sequence[MessageView], reason: str) -> Pages:
        """Nothing."""
        _ = messages, reason
        return Pages()


class Gateway(GatewaySide):
    """Everything of the gateway, as the kernel has it. boot: number of the start."""

    def __init__(
        self,
        store: Store,
        agents: FakeAgents,
        *,
        clock: Clock,
        boot: int,
        settings: SessionSettings,
        books: RunBook,
        runner_of: Callable[[SessionId], RunnerView | None],
        platform_mode: Mode | None,
    ) -> None:
        self.store = store
        self.agents = agents
        self.clock = clock
        self.errors: list[tuple[str, Exception]] = []
        self.faults: list[tuple[str, Exception]] = []
        self.journal = Journal(store, clock)
        self.supervisor = Supervisor(clock, lambda *_: None, lambda name, error: self.errors.append((name, error)))
        self.mail = Mailroom(
            journal=self.journal,
            store=store,
            clock=clock,
            supervisor=self.supervisor,
            boot=boot,
            random=random.Random(2).random,
        )
        nowhere = Path("/no/such/home")
        super().__init__(
            home=nowhere,
            settings=Settings(platforms={"local": LoopbackSettings(mode=platform_mode)}, sessions=settings),
            store=store,
            journal=self.journal,
            mail=self.mail,
            clock=clock,
            # As the kernel does: what an earlier start made sorts before.
            ids=IdSource(clock, floor_at=clock.now() if boot > 1 else 0.0),
            supervisor=self.supervisor,
            boot=boot,
            random=random.Random(1).random,
            vault=Vault({}, nowhere),
            agents=agents,
            agent_names=lambda: ["main"],
            runner_of=runner_of,
            books=books,
            log=lambda _: None,
            on_fault=lambda name, error: self.faults.append((name, error)),
        )

    async def order(self, command: Command[R], actor: Actor = OPERATOR) -> R:
        """Carry out one of the orders about sessions."""
        receipt: R = await self.orders.commands[type(command)](command, actor)
        return receipt

    async def sent(self, session_id: SessionId = SESSION) -> None:
        """Wait until every job has ended and no answer of the session is on its way."""
        await self.settled()
        # A delivery that is sent at once has no event that is told before the count is right.
        while self.lanes.lane(session_id).unsent:  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def settled(self) -> None:
        """Wait until every job has ended: what was told is then also true in memory."""
        await self._ended(_SHORT_JOBS | {"run"})

    async def settled_but_runs(self) -> None:
        """The same while runs go on."""
        await self._ended(_SHORT_JOBS)

    async def _ended(self, jobs: frozenset[str]) -> None:
        # A job's end has no event of its own.
        while any(task.get_name().partition(":")[0] in jobs for task in asyncio.all_tasks()):  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def events(self) -> list[Event]:
        """Everything that was journaled."""
        return [record.event for record in await self.journal.read(limit=5000)]

    async def until(self, kind: type[Event], count: int = 1) -> list[Event]:
        """Wait until `count` events of a kind have been journaled."""
        found: list[Event] = []
        async for record in self.journal.subscribe(after=0):
            if isinstance(record.event, kind):
                found.append(record.event)
                if len(found) >= count:
                    return found
        return found


def inbound(text: str, *, chat: str = "8841", native_id: str = "", **more: object) -> Inbound:
    """A message from bo in a one-to-one chat."""
    source = Source(platform=LOCAL, kind=ChatKind.DM, chat=chat, chat_name="bo")
    return Inbound(
        platform=LOCAL, source=source, sender_id="bo", sender_name="Bo", text=text, native_id=native_id, **more
    )


@asynccontextmanager
async def gateway(
    store: Store | None = None,
    agents: FakeAgents | None = None,
    *,
    clock: Clock | None = None,
    boot: int = 1,
    books: RunBook | None = None,
    runner_of: Callable[[SessionId], RunnerView | None] = lambda _: None,
    platform_mode: Mode | None = None,
    **settings: object,
) -> AsyncIterator[Gateway]:
    """A running gateway; on leaving, everything it started has ended and no job had failed."""
    clock = clock or SystemClock()
    built = Gateway(
        store or MemoryStore(),
        agents or FakeAgents(),
        clock=clock,
        boot=boot,
        settings=SessionSettings(**settings),
        books=books or NullBook(),
        runner_of=runner_of,
        platform_mode=platform_mode,
    )
    await built.mail.open()
    await built.restart.open()
    await built.lanes.count()
    await built.platforms.start()
    try:
        yield built
        assert [box.name for box in built.mail.boxes.all() if box.tally().difference] == []
    finally:
        await built.mail.stop(0)
        left = await built.supervisor.stop(deadline_s=5)
        # A death and no orderly end: what is in flight stays so.
        with contextlib.suppress(StoreError):
            await built.mail.boxes.log.flushed()
    assert left == []
    assert built.errors == []
