"""Agents over a store in memory: profiles, pool and runners put together as the core does it."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from core.agent_settings import AgentSettings, ScriptedSettings
from core.agents.pool import Pool
from core.agents.profiles.profiles import Profiles
from core.agents.runners import Runners
from core.api.base import Actor, ActorKind, Command, Query, R, Record, RunId, Seq, V
from core.handlers import Handlers
from core.ids import IdSource
from core.journal import Journal
from core.settings import Settings
from core.store.memory import MemoryStore
from core.supervisor import Supervisor
from tests.support.agent_parts import secret
from tests.support.clocks import FakeClock
from tests.support.fake_tools import FakeTools

ANA = Actor(ActorKind.OPERATOR, "ana")


class ProfileRig:
    """A core's agents. woken: runs that have got a slot; stopped: runs that were told to stop; learned: references."""

    def __init__(self, home: Path, agents: dict[str, AgentSettings], store: MemoryStore) -> None:
        self.home = home
        self.store = store
        self.clock = FakeClock()
        self.errors: list[tuple[str, Exception]] = []
        self.supervisor = Supervisor(self.clock, lambda *_: None, lambda *told: self.errors.append(told))
        self.journal = Journal(store, self.clock)
        self.records: list[Record] = []
        self.journal.on_record(self.records.append)
        self.woken: list[RunId] = []
        self.stopped: list[RunId] = []
        self.learned: set[str] = set()
        self.pool = Pool()
        self.runners = Runners(
            clock=self.clock,
            ids=IdSource(self.clock),
            supervisor=self.supervisor,
            home=home,
            secret=secret,
            random=random.Random(1).random,
            tools=FakeTools(),
            stop_run=self._stop,
        )
        self.profiles = Profiles(
            settings=Settings(agents=agents, default_agent=next(iter(agents))),
            home=home,
            journal=self.journal,
            store=store,
            clock=self.clock,
            supervisor=self.supervisor,
            pool=self.pool,
            runners=self.runners,
            wake=self._wake,
            stop_run=self._stop,
            learn=self.learned.update,
        )
        self._handlers = Handlers()
        self._handlers.add(commands=self.profiles.commands, queries=self.profiles.queries)

    def _stop(self, run_id: RunId, reason: str) -> bool:
        assert reason
        self.stopped.append(run_id)
        return True

    def _wake(self, runs: Sequence[RunId]) -> None:
        self.woken += runs

    async def order(self, command: Command[R]) -> R:
        """Have an operator's command carried out."""
        async with asyncio.timeout(20):
            return await self._handlers.execute(command, ANA)

    async def ask(self, query: Query[V]) -> V:
        """Have a question answered."""
        async with asyncio.timeout(20):
            return await self._handlers.query(query)

    async def stored(self) -> list[Record]:
        """All records of the journal."""
        return await self.journal.read(after=Seq(0))

    def write(self, name: str, text: str) -> Path:
        """A file of agents/."""
        folder = self.home / "agents"
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path


@asynccontextmanager
async def profile_rig(
    home: Path, *, agents: dict[str, AgentSettings] | None = None, store: MemoryStore | None = None, **files: str
) -> AsyncIterator[ProfileRig]:
    """Open agents, with files of agents/ by name. A store that is given stays open, so that a core can start again."""
    kept = store or MemoryStore()
    rig = ProfileRig(home, agents or {"main": ScriptedSettings(pace=0.5)}, kept)
    for name, text in files.items():
        rig.write(f"{name}.yaml", text)
    await rig.profiles.open()
    try:
        yield rig
    finally:
        await rig.runners.close()
        assert await rig.supervisor.stop(deadline_s=5.0) == []
        if store is None:
            await kept.close()
    assert rig.errors == []
