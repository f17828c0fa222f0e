"""The gateway put together: platforms, sessions, turns, deliveries, and what operators do to them."""

from collections.abc import Callable
from pathlib import Path

from core.api import deliveries, platforms, sessions, transcripts
from core.api.base import PlatformName, SessionId
from core.api.deliveries import DeliveryState, DeliveryView
from core.api.runs import RunnerView
from core.api.sessions import Mode
from core.clock import Clock, mark
from core.gateway.deliveries import Deliveries
from core.gateway.inbox import GatewayInbox
from core.gateway.inspection import Inspection
from core.gateway.lanes import Lanes
from core.gateway.operations import Operations
from core.gateway.orders import SessionOrders
from core.gateway.platform import PlatformContext
from core.gateway.platforms import Platforms
from core.gateway.ports import Agents, RunBook
from core.gateway.reports import Reports
from core.gateway.restart import Restart
from core.gateway.revivals import Revivals
from core.gateway.sessions import Sessions
from core.gateway.steering import Steering
from core.gateway.turns import Turns
from core.handlers import CommandHandlers, QueryHandlers
from core.http.server import HttpServer
from core.ids import IdSource
from core.journal import Journal
from core.mailroom import Mailroom
from core.settings import Settings
from core.store.base import Store
from core.supervisor import Supervisor
from core.vault import Vault


class GatewaySide:
    """The gateway of a core. runner_of: of a session, for its view. log: a line of the HTTP server for operators."""

    def __init__(
        self,
        *,
        home: Path,
        settings: Settings,
        store: Store,
        journal: Journal,
        mail: Mailroom,
        clock: Clock,
        ids: IdSource,
        supervisor: Supervisor,
        boot: int,
        random: Callable[[], float],
        vault: Vault,
        agents: Agents,
        agent_names: Callable[[], list[str]],
        runner_of: Callable[[SessionId], RunnerView | None],
        books: RunBook,
        log: Callable[[str], None],
        on_fault: Callable[[str, Exception], None],
    ) -> None:
        self._clock = clock
        self._runner_of = runner_of
        self._settings = settings
        key = vault.find(settings.http.key)
        self.http = HttpServer(settings.http, key, log)
        context = PlatformContext(
            clock=clock, ids=ids, http=self.http, secret=vault.get, api_key=key, agents=agent_names, home=home
        )
        self.platforms = Platforms(
            journal=journal,
            clock=clock,
            supervisor=supervisor,
            settings=settings,
            context=context,
            inbox_for=self._inbox_for,
        )
        self.deliveries = Deliveries(
            mail=mail,
            store=store,
            journal=journal,
            clock=clock,
            ids=ids,
            supervisor=supervisor,
            settings=settings.deliveries,
            platforms=self.platforms,
            random=random,
            on_settled=self._on_delivery,
        )
        self.lanes = Lanes(
            store=store,
            journal=journal,
            mail=mail,
            clock=clock,
            boot=boot,
            history_limit=settings.sessions.history_limit,
            unsent=self.deliveries.unsent,
            runner_of=runner_of,
        )
        reports = Reports(lanes=self.lanes, journal=journal, clock=clock, ids=ids)
        self.turns = Turns(
            lanes=self.lanes,
            agents=agents,
            reports=reports,
            deliveries=self.deliveries,
            limits=self.platforms.limits,
            clock=clock,
            ids=ids,
            supervisor=supervisor,
            on_fault=on_fault,
            books=books,
        )
        steering = Steering(lanes=self.lanes, agents=agents, clock=clock, ids=ids, supervisor=supervisor)
        self.operations = Operations(lanes=self.lanes, turns=self.turns, steering=steering, agents=agents, books=books)
        self.orders = SessionOrders(
            lanes=self.lanes,
            turns=self.turns,
            steering=steering,
            agents=agents,
            clock=clock,
            ids=ids,
            supervisor=supervisor,
            collect_s=settings.sessions.collect_s,
        )
        self.sessions = Sessions(
            lanes=self.lanes,
            turns=self.turns,
            steering=steering,
            agents=agents,
            store=store,
            journal=journal,
            clock=clock,
            ids=ids,
            supervisor=supervisor,
            settings=settings.sessions,
            limits=self.platforms.limits,
            agent_of=lambda name: section.agent if (section := settings.platforms.get(name)) else None,
            mode_of=self._mode_of,
        )
        self.inspection = Inspection(lanes=self.lanes, store=store, journal=journal, clock=clock)
        revivals = Revivals(lanes=self.lanes, turns=self.turns, mail=mail, clock=clock, supervisor=supervisor)
        self.restart = Restart(
            lanes=self.lanes,
            turns=self.turns,
            agents=agents,
            revivals=revivals,
            mail=mail,
            store=store,
            clock=clock,
            ids=ids,
            max_attempts=settings.sessions.max_attempts,
            books=books,
        )

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {
            sessions.SendMessage: self.sessions.send_message,
            sessions.OpenSession: self.sessions.open_session,
            sessions.InterruptSession: self.operations.interrupt_session,
            sessions.ResetSession: self.operations.reset_session,
            sessions.DropMessage: self.operations.drop_message,
            deliveries.RetryDelivery: self.deliveries.retry_delivery,
            deliveries.DropDelivery: self.deliveries.drop_delivery,
            **self.orders.commands,
        }

    @property
    def queries(self) -> QueryHandlers:
        """Who answers which question."""
        return {
            sessions.ListSessions: self.inspection.list_sessions,
            sessions.GetSession: self.inspection.get_session,
            transcripts.ReadTranscript: self.inspection.read_transcript,
            deliveries.ListDeliveries: self.deliveries.list_deliveries,
            platforms.ListPlatforms: self.platforms.list_platforms,
        }

    def show_runner(self, session_id: SessionId) -> None:
        """Show a session whose runner came, went, or is another one."""
        lane = self.lanes.find(session_id)
        if lane is None:
            return
        runner = self._runner_of(session_id)
        is_ending = lane.live is not None and lane.live.is_handed_over and runner is not None and runner.run_id is None
        # A run that has given its runner back shows its session itself, with its end.
        if not is_ending:
            self.lanes.publish(lane)

    def _mode_of(self, name: PlatformName) -> Mode | None:
        section = self._settings.platforms.get(name)
        return None if section is None else section.mode

    def _inbox_for(self, platform: PlatformName) -> GatewayInbox:
        return GatewayInbox(platform, self.sessions, self.operations)

    def _on_delivery(self, session_id: SessionId, view: DeliveryView) -> None:
        lane = self.lanes.find(session_id)
        if lane is None:
            return
        lane.unsent = self.deliveries.unsent(session_id)
        if view.state is DeliveryState.SENT:
            lane.outbound_ack = mark(self._clock)
        self.lanes.publish(lane)
