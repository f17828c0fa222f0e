"""The composition root: builds the store, the journal and the shells, joins them, and is the local Hermes."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from core.agents.approvals import Approvals
from core.agents.tasks import Tasks
from core.api import approvals, deliveries, platforms, profiles, sessions, system, transcripts
from core.api.base import SYSTEM, Actor, Command, PlatformName, Query, R, Record, Seq, SessionId, V
from core.api.deliveries import DeliveryState, DeliveryView
from core.api.errors import ConfigError, HermesError, Unavailable
from core.api.platforms import PlatformState
from core.api.system import AlarmRaised, CoreStarted, ServiceView, Shutdown, ShutdownReceipt, ShutdownStarted
from core.boots import Boot, boot_put, next_boot
from core.clock import Clock, SystemClock, mark
from core.config import Config
from core.gateway.deliveries import Deliveries
from core.gateway.forgetting import Forgetting
from core.gateway.inbox import GatewayInbox
from core.gateway.inspection import Inspection
from core.gateway.lanes import Lanes
from core.gateway.operations import Operations
from core.gateway.platform import PlatformContext
from core.gateway.platforms import Platforms
from core.gateway.reports import Reports
from core.gateway.restart import Recovered, Restart
from core.gateway.revivals import Revivals
from core.gateway.sessions import Sessions
from core.gateway.steering import Steering
from core.gateway.turns import Turns
from core.handlers import Handlers
from core.health import Gauges, Health
from core.http.server import HttpServer
from core.ids import IdSource
from core.journal import Journal
from core.lag import LagMeter
from core.mailroom import Mailroom
from core.settings import Settings
from core.store import open_store
from core.store.base import Store
from core.supervisor import Supervisor
from core.upkeep import Upkeep
from core.vault import Vault

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
        self._build_agents(home, settings, vault)
        self._build_gateway(home, settings, vault)
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
            await kernel._start()
        except BaseException:
            await store.close()
            raise
        return kernel

    def _build_agents(self, home: Path, settings: Settings, vault: Vault) -> None:
        self._approvals = Approvals(
            journal=self.journal,
            store=self._store,
            clock=self._clock,
            ids=self._ids,
            supervisor=self.supervisor,
            limit_s=settings.core.approval_limit_s,
        )
        self._tasks = Tasks(
            settings=settings,
            approvals=self._approvals,
            clock=self._clock,
            ids=self._ids,
            supervisor=self.supervisor,
            home=home,
            secret=vault.get,
            random=self._random.random,
        )

    def _build_gateway(self, home: Path, settings: Settings, vault: Vault) -> None:
        clock, ids, supervisor, journal = self._clock, self._ids, self.supervisor, self.journal
        self.http = HttpServer(settings.http, vault.find(settings.http.key), self._log)
        context = PlatformContext(
            clock=clock,
            ids=ids,
            http=self.http,
            secret=vault.get,
            api_key=vault.find(settings.http.key),
            agents=lambda: list(settings.agents),
            home=home,
        )
        self.platforms = Platforms(
            journal=journal,
            clock=clock,
            supervisor=supervisor,
            settings=settings,
            context=context,
            inbox_for=self._inbox_for,
        )
        self._deliveries = Deliveries(
            mail=self.mail,
            store=self._store,
            journal=journal,
            clock=clock,
            ids=ids,
            supervisor=supervisor,
            settings=settings.deliveries,
            platforms=self.platforms,
            random=self._random.random,
            on_settled=self._on_delivery,
        )
        self.lanes = Lanes(
            store=self._store,
            journal=journal,
            mail=self.mail,
            clock=clock,
            boot=self._boot.number,
            history_limit=settings.sessions.history_limit,
            unsent=self._deliveries.unsent,
        )
        reports = Reports(lanes=self.lanes, journal=journal, clock=clock, ids=ids)
        self._turns = Turns(
            lanes=self.lanes,
            agents=self._tasks,
            reports=reports,
            deliveries=self._deliveries,
            limits=self.platforms.limits,
            clock=clock,
            ids=ids,
            supervisor=supervisor,
            on_fault=self._on_job_error,
        )
        steering = Steering(lanes=self.lanes, agents=self._tasks, clock=clock, ids=ids, supervisor=supervisor)
        self._operations = Operations(lanes=self.lanes, turns=self._turns, steering=steering, agents=self._tasks)
        self._sessions = Sessions(
            lanes=self.lanes,
            turns=self._turns,
            steering=steering,
            agents=self._tasks,
            store=self._store,
            journal=journal,
            clock=clock,
            ids=ids,
            supervisor=supervisor,
            settings=settings.sessions,
            limits=self.platforms.limits,
            agent_of=lambda name: section.agent if (section := settings.platforms.get(name)) else None,
        )
        self._inspection = Inspection(lanes=self.lanes, store=self._store, journal=journal, clock=clock)
        revivals = Revivals(lanes=self.lanes, turns=self._turns, mail=self.mail, clock=clock, supervisor=supervisor)
        self._restart = Restart(
            lanes=self.lanes,
            turns=self._turns,
            agents=self._tasks,
            revivals=revivals,
            mail=self.mail,
            store=self._store,
            clock=clock,
            ids=ids,
            max_attempts=settings.sessions.max_attempts,
        )

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
                session_count=lambda: self.lanes.session_count,
                states=self._inspection.counts,
                open_approval_count=lambda: self._approvals.open_count,
                deliveries=lambda: (self._deliveries.waiting_count, self._deliveries.dead_count),
                services=lambda: self.supervisor.services,
                problems=self._problems,
                http_url=lambda: self.http.url,
                is_draining=lambda: self._is_closing,
            ),
        )

    def _build_handlers(self) -> Handlers:
        handlers = Handlers()
        handlers.add(
            commands={
                sessions.SendMessage: self._sessions.send_message,
                sessions.OpenSession: self._sessions.open_session,
                sessions.InterruptSession: self._operations.interrupt_session,
                sessions.ResetSession: self._operations.reset_session,
                sessions.DropMessage: self._operations.drop_message,
                approvals.AnswerApproval: self._approvals.answer_approval,
                deliveries.RetryDelivery: self._deliveries.retry_delivery,
                deliveries.DropDelivery: self._deliveries.drop_delivery,
                system.Shutdown: self._shutdown,
            },
            queries={
                sessions.ListSessions: self._inspection.list_sessions,
                sessions.GetSession: self._inspection.get_session,
                transcripts.ReadTranscript: self._inspection.read_transcript,
                approvals.ListApprovals: self._approvals.list_approvals,
                approvals.GetApproval: self._approvals.get_approval,
                deliveries.ListDeliveries: self._deliveries.list_deliveries,
                platforms.ListPlatforms: self.platforms.list_platforms,
                profiles.ListProfiles: self._tasks.list_profiles,
                system.GetHealth: self.health.get_health,
                system.GetConfig: self.health.get_config,
                system.ListEvents: self.health.list_events,
            },
        )
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
        self._sessions.is_draining = True
        try:
            await self.journal.commit([], [("core", ShutdownStarted(reason=reason))], actor=SYSTEM)
        except HermesError as error:
            self._log(f"the stop could not be journaled: {error.message}")
        await self.platforms.stop_intake()
        cut_off = await self._restart.drain(drain_s)
        await self.mail.stop(_SEND_LIMIT_S)
        await self._tasks.close()
        await self._approvals.close()
        await self.http.stop()
        await self.supervisor.stop(deadline_s=_STOP_LIMIT_S)
        await self.mail.close()
        self.journal.close()
        await self._store.close()
        for closer in self._closers:
            closer()
        self.stopped.set()
        return cut_off

    async def _start(self) -> None:
        await self.mail.open()
        await self.lanes.count()
        await self._approvals.recover()
        await self._deliveries.recover()
        self._recovered = await self._restart.recover()
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
        self.supervisor.start("nudge", self._restart.nudge)
        await self._open_http()
        await self.platforms.start()
        await self._restart.resume()

    async def _open_http(self) -> None:
        if not self.settings.http.enabled:
            return
        try:
            await self.http.bind()
        except (Unavailable, ConfigError) as error:
            self._http_problem = f"no HTTP endpoint: {error.message}"
            await self.journal.commit([], [("core", AlarmRaised(what="http", error=error.message))])
            return
        from core.http.probes import HEALTH_PATH, METRICS_PATH, probes_app

        app = probes_app(
            health=lambda: self.health.get_health(system.GetHealth()),
            platforms=lambda: self.platforms.views,
            oldest_head_age_s=self._inspection.oldest_head_age_s,
            metrics_key=self.http.probe_key,
        )
        self.http.mount(HEALTH_PATH, app)
        self.http.mount(METRICS_PATH, app)
        self.supervisor.start("http", self.http.run)

    async def _shutdown(self, command: Shutdown, _actor: Actor) -> ShutdownReceipt:
        _, queued, running = self._inspection.counts()
        # Not a job: a job would be cancelled by the very stop that it carries out.
        self._stopping = asyncio.get_running_loop().create_task(
            self.stop(command.drain_s, command.reason or "shutdown")
        )
        return ShutdownReceipt(running=running, queued=queued, drain_s=command.drain_s)

    def _inbox_for(self, platform: PlatformName) -> GatewayInbox:
        return GatewayInbox(platform, self._sessions, self._operations)

    def _on_delivery(self, session_id: SessionId, view: DeliveryView) -> None:
        lane = self.lanes.find(session_id)
        if lane is None:
            return
        lane.unsent = self._deliveries.unsent(session_id)
        if view.state is DeliveryState.SENT:
            lane.outbound_ack = mark(self._clock)
        self.lanes.publish(lane)

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
            for view in self.platforms.views
            if view.state is PlatformState.DOWN
        ]
        return [problem for problem in (self._http_problem, self._turns.problem, *down) if problem]
