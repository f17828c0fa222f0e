"""The local Hermes: opens the store, starts all parts of a core in order, stops them in order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from core.api import system
from core.api.base import SYSTEM, Actor, Command, Query, R, Record, Seq, V
from core.api.errors import ConfigError, HermesError, Unavailable
from core.api.pairings import ImportPairing
from core.api.platforms import TROUBLED
from core.api.processes import GetDrain
from core.api.system import AlarmRaised, CoreStarted, Shutdown, ShutdownReceipt, ShutdownStarted
from core.boots import Boot, boot_put, next_boot
from core.clock import Clock, SystemClock
from core.config import Config
from core.gateway.forgetting import Forgetting
from core.gateway.restart import Recovered
from core.handlers import Handlers
from core.health import Gauges, Health
from core.kernel_parts import KernelParts
from core.lag import LagMeter
from core.store import open_store
from core.store.base import Store
from core.upkeep import Upkeep
from core.vault import Vault

T = TypeVar("T")

_STOP_LIMIT_S = 5.0
_SEND_LIMIT_S = 2.0
SAFE_MODE = "safe mode"
_SAFE_COMMANDS = (Shutdown, ImportPairing)


async def _no_step(_part: str) -> None:
    """Nobody asks what is being started."""


class Kernel(KernelParts):
    """The local Hermes. Made by `open`; lives on one loop."""

    def __init__(
        self,
        *,
        home: Path,
        config: Config,
        clock: Clock,
        store: Store,
        boot: Boot,
        vault: Vault,
        floor_at: float,
        safe_mode: str = "",
    ) -> None:
        super().__init__(
            home=home,
            config=config,
            clock=clock,
            store=store,
            boot=boot,
            vault=vault,
            floor_at=floor_at,
            facade=self,
        )
        self._lag = LagMeter(clock)
        self.stopped = asyncio.Event()
        self.is_closing = False
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self.safe_mode = safe_mode
        self._http_problem = ""
        self._recovered = Recovered()
        self._build_health(home, config)
        self._handlers = self._build_handlers()

    @classmethod
    async def open(
        cls,
        home: Path,
        config: Config,
        *,
        clock: Clock | None = None,
        safe_mode: str = "",
        on_step: Callable[[str], Awaitable[None]] = _no_step,
    ) -> "Kernel":
        """Open the store, take up what was left, and start everything.

        safe_mode: why no platform, agent or endpoint is started and nothing is taken up; "" starts all. on_step: told
        each part before it is started.

        Raises StoreError when the store cannot be used, ConfigError when a secret is missing
        that everything needs. A platform or endpoint that fails is shown as a problem instead.
        """
        clock = clock or SystemClock()
        await on_step("store")
        store = await open_store(config.settings.store.url, home=home, clock=clock)
        try:
            vault = await asyncio.to_thread(Vault.of, config.settings, home)
            boot, floor_at = await next_boot(store, clock)
            kernel = cls(
                home=home,
                config=config,
                clock=clock,
                store=store,
                boot=boot,
                vault=vault,
                floor_at=floor_at,
                safe_mode=safe_mode,
            )
            try:
                await (kernel._start_safely() if safe_mode else kernel._start(on_step))
            except BaseException:
                await kernel._give_up()
                raise
        except BaseException:
            await store.close()
            raise
        return kernel

    def _build_health(self, home: Path, config: Config) -> None:
        key = config.settings.http.key
        self.health = Health(
            home=home,
            boot=self._boot.number,
            key_file=str(home / key.removeprefix("file:")) if key.startswith("file:") else "",
            config=config.view(),
            clock=self._clock,
            journal=self.journal,
            store=self._store,
            lag=self._lag,
            gauges=Gauges(
                session_count=lambda: self.gateway.lanes.session_count,
                states=self.gateway.inspection.counts,
                open_approval_count=lambda: self.agents.approvals.open_count,
                deliveries=lambda: (self.gateway.deliveries.waiting_count, self.gateway.deliveries.dead_count),
                services=lambda: self.supervisor.services,
                problems=self._problems,
                http_url=lambda: self.gateway.http.url,
                is_draining=lambda: self.is_closing,
            ),
        )

    def _build_handlers(self) -> Handlers:
        handlers = Handlers()
        handlers.add(
            commands={system.Shutdown: self._shutdown},
            queries={
                system.GetHealth: self.health.get_health,
                system.GetConfig: self.health.get_config,
                system.ListEvents: self.health.list_events,
                GetDrain: self.gateway.drains.get_drain,
            },
        )
        handlers.add(commands=self.gateway.commands, queries=self.gateway.queries)
        handlers.add(commands=self.agents.commands, queries=self.agents.queries)
        handlers.add(commands=self.automation.commands, queries=self.automation.queries)
        handlers.add(commands=self.relay.commands, queries=self.relay.queries)
        handlers.add(commands=self.mail.operations.commands, queries=self.mail.operations.queries)
        return handlers

    @property
    def words(self) -> frozenset[type]:
        """Every command and query that is handled."""
        return self._handlers.words

    async def execute(self, command: Command[R], *, actor: Actor) -> R:
        """Carry out an order. It is finished even when the caller goes away."""
        if self.safe_mode and type(command) not in _SAFE_COMMANDS:
            raise Unavailable(f"{SAFE_MODE}, nothing is changed: {self.safe_mode}")
        job = self.supervisor.spawn(f"command:{type(command).__name__}", self._handlers.execute(command, actor))
        receipt: R = await asyncio.shield(job)
        return receipt

    async def query(self, query: Query[V]) -> V:
        """Answer a question."""
        return await self._handlers.query(query)

    def subscribe(self, *, after: Seq) -> AsyncIterator[Record]:
        """Records beyond `after`, then live ones."""
        return self.journal.subscribe(after=after)

    async def close(self) -> None:
        """Drain and stop. May be called twice."""
        await self.stop(self.settings.core.drain_s, "closed")

    def at_close(self, closer: Callable[[], Awaitable[None]]) -> None:
        """Await this once everything has stopped, in the order of the calls."""
        self._closers.append(closer)

    async def stop(self, drain_s: float, reason: str) -> int:
        """Take nothing in, give runs drain_s seconds, stop everything. Returns how many runs were cut off.

        A second call only brings the deadline nearer, and waits with the first.
        """
        if self.is_closing:
            self.gateway.drains.hurry(drain_s)
            await self.stopped.wait()
            return 0
        self.is_closing = True
        self.gateway.drains.begin(drain_s, reason)
        self.gateway.sessions.is_draining = True
        try:
            await self.journal.commit([], [("core", ShutdownStarted(reason=reason))], actor=SYSTEM)
        except HermesError as error:
            self._alarms.line(f"the stop could not be journaled: {error.message}")
        await self._step("intake", self.gateway.platforms.stop_intake())
        cut_off = await self._step("runs", self.gateway.restart.drain(drain_s, self.gateway.drains.is_over))
        self.gateway.drains.ended(cut_off or 0)
        await self._step("relay", self.relay.stop())
        await self._step("deliveries", self.mail.stop(_SEND_LIMIT_S))
        await self._step("agents", self.agents.close())
        await self._step("http", self.gateway.http.stop())
        await self._step("connections", self.relay.close())
        await self.supervisor.stop(deadline_s=_STOP_LIMIT_S)
        await self._step("mail", self.mail.close())
        self.journal.close()
        await self._step("store", self._store.close())
        for closer in self._closers:
            await self._step("end", closer())
        self.stopped.set()
        return cut_off or 0

    async def _step(self, what: str, step: Awaitable[T]) -> T | None:
        """Carry out a step of the stop. One that fails keeps nobody from the next; None then."""
        try:
            return await step
        except Exception as error:  # noqa: BLE001 - whatever fails, the core stops
            self._alarms.job(f"stop: {what}", error)
            return None

    async def _start_safely(self) -> None:
        """Start what shows what is stored, and nothing that changes it or talks to anybody."""
        self.gateway.sessions.is_draining = self.gateway.lanes.is_draining = True
        await self.gateway.platforms.stop_intake()
        await self.mail.open()
        await self.gateway.open()
        await self.relay.show()
        await self.automation.jobs.show()
        await self._say_started()
        self.supervisor.start("loop lag", self._lag.run)

    async def _say_started(self) -> None:
        event = CoreStarted(
            boot=self._boot.number,
            version=self.health.version,
            recovered_runs=self._recovered.cut_off,
            queued=self._recovered.queued,
        )
        await self.journal.commit([boot_put(self._boot)], [("core", event)], actor=SYSTEM)

    async def _start(self, on_step: Callable[[str], Awaitable[None]]) -> None:
        await on_step("mailboxes")
        await self.mail.open()
        await self.gateway.open()
        await self.relay.open()
        await on_step("agents")
        await self.agents.open()
        await self.gateway.deliveries.recover()
        self._recovered = await self.gateway.restart.recover()
        await self.agents.recover()
        await self._say_started()
        self.supervisor.start("loop lag", self._lag.run)
        keep = self.settings.core.journal_keep
        Upkeep(store=self._store, journal=self.journal, clock=self._clock, journal_keep=keep).start(self.supervisor)
        forgetting = Forgetting(store=self._store, journal=self.journal, clock=self._clock)
        self.supervisor.start("message ids", forgetting.run)
        self.supervisor.start("nudge", self.gateway.restart.nudge)
        if self.gateway.resets.is_used:
            self.supervisor.start("resets", self.gateway.resets.run)
        self.supervisor.start("leases", self.gateway.orders.leases.run)
        await on_step("http")
        await self._open_http()
        await on_step("platforms")
        await self.automation.listen(self.health.version)
        await self.gateway.platforms.start()
        await self.gateway.resume()
        self.agents.tasking.start()
        self.supervisor.start("memories", self.agents.endings.run)
        await self.automation.start()
        await on_step("relay")
        await self.relay.start()

    async def _give_up(self) -> None:
        """End what a start that failed has begun by then."""
        await self.agents.close()
        await self.gateway.http.stop()
        await self.supervisor.stop(deadline_s=_STOP_LIMIT_S)
        self.journal.close()

    async def _open_http(self) -> None:
        if not self.settings.http.enabled:
            return
        try:
            await self.gateway.http.bind()
        except (Unavailable, ConfigError) as error:
            self._http_problem = f"no HTTP endpoint: {error.message}"
            await self.journal.commit([], [("core", AlarmRaised(what="http", error=error.message))])
            return
        from core.endpoints import mount

        mount(
            self.gateway.http,
            self,
            platforms=lambda: self.gateway.platforms.views,
            oldest_head_age_s=self.gateway.inspection.oldest_head_age_s,
            clock=self._clock,
        )
        self.supervisor.start("http", self.gateway.http.run)

    async def _shutdown(self, command: Shutdown, _actor: Actor) -> ShutdownReceipt:
        _, queued, running = self.gateway.inspection.counts()
        # Not a job: a job would be cancelled by the very stop that it carries out.
        self._stopping = asyncio.get_running_loop().create_task(
            self.stop(command.drain_s, command.reason or "shutdown")
        )
        return ShutdownReceipt(running=running, queued=queued, drain_s=command.drain_s)

    def _problems(self) -> list[str]:
        if self.safe_mode:
            return [f"{SAFE_MODE}: {self.safe_mode}"]
        down = [
            f"{view.name} is {view.state.value}: {view.last_error}"
            for view in self.gateway.platforms.views
            if view.state in TROUBLED
        ]
        return [problem for problem in (self._http_problem, *self.gateway.problems, *down) if problem]
