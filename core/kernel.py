"""The composition root: builds the store, the journal and the shells, joins them, and is the local Hermes."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from core.agent_side import AgentSide
from core.api import system
from core.api.base import SYSTEM, Actor, Command, Query, R, Record, Seq, SessionId, V
from core.api.errors import ConfigError, HermesError, Unavailable
from core.api.platforms import PlatformState
from core.api.system import AlarmRaised, CoreStarted, ServiceView, Shutdown, ShutdownReceipt, ShutdownStarted
from core.boots import Boot, boot_put, next_boot
from core.clock import Clock, SystemClock
from core.config import Config
from core.conversations import SessionConversations
from core.gateway.forgetting import Forgetting
from core.gateway.restart import Recovered
from core.gateway_side import GatewaySide
from core.handlers import Handlers
from core.health import Gauges, Health
from core.ids import IdSource
from core.journal import Journal
from core.lag import LagMeter
from core.mailroom import Mailroom
from core.run_book import BookOfRuns
from core.store import open_store
from core.store.base import Store
from core.supervisor import Supervisor
from core.task_post import MailedTasks
from core.timetable import Timetable
from core.upkeep import Upkeep
from core.vault import Vault

T = TypeVar("T")

_STOP_LIMIT_S = 5.0
_SEND_LIMIT_S = 2.0


class Kernel:
    """The local Hermes. Made by `open`; lives on one loop."""

    def __init__(
        self, *, home: Path, config: Config, clock: Clock, store: Store, boot: Boot, vault: Vault, floor_at: float
    ) -> None:
        settings = config.settings
        self.settings = settings
        self._clock = clock
        self._store = store
        self._boot = boot
        self._ids = IdSource(clock, floor_at=floor_at)
        self._random = random.Random()  # noqa: S311 - for backoff, not for secrets
        self.journal = Journal(store, clock)
        self.supervisor = Supervisor(clock, self._on_service, self._on_job_error)
        self._lag = LagMeter(clock)
        self.stopped = asyncio.Event()
        self._is_closing = False
        self._closers: list[Callable[[], None]] = []
        self._http_problem = ""
        self._recovered = Recovered()
        self.mail = Mailroom(
            journal=self.journal,
            store=store,
            clock=clock,
            supervisor=self.supervisor,
            boot=boot.number,
            random=self._random.random,
            on_fault=self._on_job_error,
        )
        self.agents: AgentSide = AgentSide(
            home=home,
            settings=settings,
            store=store,
            journal=self.journal,
            clock=clock,
            ids=self._ids,
            supervisor=self.supervisor,
            boot=boot.number,
            random=self._random.random,
            secret=vault.get,
            learn=vault.learn,
            on_runner=self._on_runner,
        )
        self.gateway: GatewaySide = GatewaySide(
            home=home,
            settings=settings,
            store=store,
            journal=self.journal,
            mail=self.mail,
            clock=clock,
            ids=self._ids,
            supervisor=self.supervisor,
            boot=boot.number,
            random=self._random.random,
            vault=vault,
            agents=self.agents.runs,
            agent_names=lambda: [str(name) for name in self.agents.profiles.names()],
            runner_of=self.agents.runners.view,
            books=BookOfRuns(lambda: self.agents.tasking.ledger),
            log=self._log,
            on_fault=self._on_job_error,
        )
        conversations = SessionConversations(
            lanes=self.gateway.lanes,
            sessions=self.gateway.sessions,
            operations=self.gateway.operations,
            sends_to=self.gateway.turns.sends_to,
        )
        self.agents.join(conversations, MailedTasks(self.mail.boxes), self._on_job_error)
        self._build_health(home, config)
        self._handlers = self._build_handlers()

    @classmethod
    async def open(cls, home: Path, config: Config, *, clock: Clock | None = None) -> "Kernel":
        """Open the store, take up what was left, and start everything.

        Raises StoreError when the store cannot be used, ConfigError when a secret is missing
        that everything needs. A platform or endpoint that fails is shown as a problem instead.
        """
        clock = clock or SystemClock()
        store = await open_store(config.settings.store.url, home=home, clock=clock)
        try:
            vault = await asyncio.to_thread(Vault.of, config.settings, home)
            boot, floor_at = await next_boot(store, clock)
            kernel = cls(home=home, config=config, clock=clock, store=store, boot=boot, vault=vault, floor_at=floor_at)
            try:
                await kernel._start()
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
                is_draining=lambda: self._is_closing,
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
            },
        )
        handlers.add(commands=self.gateway.commands, queries=self.gateway.queries)
        handlers.add(commands=self.agents.commands, queries=self.agents.queries)
        handlers.add(commands=self.mail.operations.commands, queries=self.mail.operations.queries)
        return handlers

    @property
    def words(self) -> frozenset[type]:
        """Every command and query that is handled."""
        return self._handlers.words

    async def execute(self, command: Command[R], *, actor: Actor) -> R:
        """Carry out an order. It is finished even when the caller goes away."""
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

    def at_close(self, closer: Callable[[], None]) -> None:
        """Call this once everything has stopped."""
        self._closers.append(closer)

    async def stop(self, drain_s: float, reason: str) -> int:
        """Take nothing in, give runs drain_s seconds, stop everything. Returns how many runs were cut off."""
        if self._is_closing:
            await self.stopped.wait()
            return 0
        self._is_closing = True
        self.gateway.sessions.is_draining = True
        try:
            await self.journal.commit([], [("core", ShutdownStarted(reason=reason))], actor=SYSTEM)
        except HermesError as error:
            self._log(f"the stop could not be journaled: {error.message}")
        await self._step("intake", self.gateway.platforms.stop_intake())
        cut_off = await self._step("runs", self.gateway.restart.drain(drain_s))
        await self._step("deliveries", self.mail.stop(_SEND_LIMIT_S))
        await self._step("agents", self.agents.close())
        await self._step("http", self.gateway.http.stop())
        await self.supervisor.stop(deadline_s=_STOP_LIMIT_S)
        await self._step("mail", self.mail.close())
        self.journal.close()
        await self._step("store", self._store.close())
        for closer in self._closers:
            closer()
        self.stopped.set()
        return cut_off or 0

    async def _step(self, what: str, step: Awaitable[T]) -> T | None:
        """Carry out a step of the stop. One that fails keeps nobody from the next; None then."""
        try:
            return await step
        except Exception as error:  # noqa: BLE001 - whatever fails, the core stops
            self._on_job_error(f"stop: {what}", error)
            return None

    async def _start(self) -> None:
        await self.mail.open()
        await self.gateway.lanes.count()
        await self.agents.open()
        await self.gateway.deliveries.recover()
        self._recovered = await self.gateway.restart.recover()
        await self.agents.recover()
        event = CoreStarted(
            boot=self._boot.number,
            version=self.health.version,
            recovered_runs=self._recovered.cut_off,
            queued=self._recovered.queued,
        )
        await self.journal.commit([boot_put(self._boot)], [("core", event)], actor=SYSTEM)
        self.supervisor.start("loop lag", self._lag.run)
        keep = self.settings.core.journal_keep
        upkeep = Upkeep(store=self._store, journal=self.journal, clock=self._clock, journal_keep=keep)
        self.supervisor.start("journal trim", upkeep.trim)
        self.supervisor.start("store probe", upkeep.probe)
        forgetting = Forgetting(store=self._store, journal=self.journal, clock=self._clock)
        self.supervisor.start("message ids", forgetting.run)
        self.supervisor.start("nudge", self.gateway.restart.nudge)
        self.supervisor.start("leases", self.gateway.orders.leases.run)
        await self._open_http()
        await self.gateway.platforms.start()
        await self.gateway.restart.resume()
        self.agents.tasking.start()
        self._start_timetable()

    def _start_timetable(self) -> None:
        if not self.settings.timetable:
            return
        timetable = Timetable(
            self.settings.timetable,
            start=lambda order: self.execute(order, actor=SYSTEM),
            find=self.query,
            clock=self._clock,
            boot=self._boot.number,
            on_fault=self._on_job_error,
        )
        self.supervisor.start("timetable", timetable.run)

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
        from core.http.probes import HEALTH_PATH, METRICS_PATH, probes_app
        from core.rest.app import API_PREFIX, RUNS_PREFIX, RestApp

        app = probes_app(
            health=lambda: self.health.get_health(system.GetHealth()),
            platforms=lambda: self.gateway.platforms.views,
            oldest_head_age_s=self.gateway.inspection.oldest_head_age_s,
            metrics_key=self.gateway.http.probe_key,
        )
        self.gateway.http.mount(HEALTH_PATH, app)
        self.gateway.http.mount(METRICS_PATH, app)
        if (key := self.gateway.http.api_key) is not None:
            rest = RestApp(self, clock=self._clock, key=key)
            for prefix in (API_PREFIX, RUNS_PREFIX):
                self.gateway.http.mount(prefix, rest)
        self.supervisor.start("http", self.gateway.http.run)

    async def _shutdown(self, command: Shutdown, _actor: Actor) -> ShutdownReceipt:
        _, queued, running = self.gateway.inspection.counts()
        # Not a job: a job would be cancelled by the very stop that it carries out.
        self._stopping = asyncio.get_running_loop().create_task(
            self.stop(command.drain_s, command.reason or "shutdown")
        )
        return ShutdownReceipt(running=running, queued=queued, drain_s=command.drain_s)

    def _on_runner(self, session_id: SessionId) -> None:
        self.gateway.show_runner(session_id)

    def _on_service(self, view: ServiceView, error: str) -> None:
        if error:
            self.journal.publish("core", AlarmRaised(what=view.name, error=error, service=view))

    def _on_job_error(self, name: str, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        self.journal.publish("core", AlarmRaised(what=name, error=text))

    def _log(self, line: str) -> None:
        self.journal.publish("core", AlarmRaised(what="core", error=line[:300]))

    def _problems(self) -> list[str]:
        down = [
            f"{view.name} is down: {view.last_error}"
            for view in self.gateway.platforms.views
            if view.state is PlatformState.DOWN
        ]
        return [problem for problem in (self._http_problem, self.gateway.turns.problem, *down) if problem]
