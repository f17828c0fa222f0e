"""The gateway put together: platforms, sessions, turns, deliveries, and what operators do to them."""

from collections.abc import Callable, Mapping
from datetime import tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from core.api import platforms, session_queue, sessions, transcripts
from core.api.base import PlatformName, SessionId
from core.api.deliveries import DeliveryState, DeliveryView
from core.api.runs import RunnerView
from core.api.sessions import Mode
from core.breaker_book import BreakerBook
from core.clock import Clock, mark
from core.gateway.access_parts import AccessParts
from core.gateway.access_rules import Environment, access_of
from core.gateway.account_view import BREAKER_OWNER
from core.gateway.chat import Chat
from core.gateway.chat_models import ChatModels
from core.gateway.command_ports import Facade
from core.gateway.cursors import Cursors
from core.gateway.delivering import Delivering
from core.gateway.drains import Drains
from core.gateway.edits import Edits
from core.gateway.file_copies import FileCopies
from core.gateway.inbox import GatewayInbox
from core.gateway.inspection import Inspection
from core.gateway.intake import Intake
from core.gateway.lanes import Lanes
from core.gateway.operations import Operations
from core.gateway.orders import SessionOrders
from core.gateway.platform import Accepted, Inbound, PlatformContext
from core.gateway.platforms import Platforms
from core.gateway.ports import Agents, RunBook
from core.gateway.reports import Reports
from core.gateway.resets import Resets
from core.gateway.restart import Restart
from core.gateway.revivals import Revivals
from core.gateway.sender_runs import SenderRuns
from core.gateway.sessions import Sessions
from core.gateway.steering import Steering
from core.gateway.turns import Turns
from core.handlers import CommandHandlers, Handlers, QueryHandlers
from core.http.server import HttpServer
from core.ids import IdSource
from core.journal import Journal
from core.mailroom import Mailroom
from core.settings import SessionSettings, Settings
from core.store.base import Store
from core.supervisor import Supervisor
from core.vault import Vault


class GatewaySide:
    """The gateway of a core. runner_of: of a session, for its view. log: a line of the HTTP server for operators.

    facade: the core as operators have it, for orders from chats; None is this part alone.
    origins: where each value of the configuration stands. environment: names of hermes-agent that say who may talk.
    """

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
        origins: Mapping[str, str] | None = None,
        environment: Environment | None = None,
        facade: Facade | None = None,
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
            store=store,
            journal=journal,
            clock=clock,
            supervisor=supervisor,
            settings=settings,
            context=context,
            inbox_for=self._inbox_for,
        )
        self.delivering = Delivering(
            home=home,
            settings=settings,
            store=store,
            journal=journal,
            mail=mail,
            clock=clock,
            ids=ids,
            supervisor=supervisor,
            platforms=self.platforms,
            agents=agents,
            random=random,
            on_settled=self._on_delivery,
        )
        self.deliveries = self.delivering.deliveries
        self.breakers = BreakerBook(journal)
        self.breakers.add(BREAKER_OWNER, self.delivering.accounts)
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
        self.delivering.join(self.lanes, self._count_unsent)
        reports = Reports(lanes=self.lanes, journal=journal, clock=clock, ids=ids)
        copies = FileCopies(home, agents)
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
            copies=copies,
        )
        steering = Steering(lanes=self.lanes, agents=agents, clock=clock, ids=ids, supervisor=supervisor, copies=copies)
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
        self.resets = Resets(
            lanes=self.lanes,
            agents=agents,
            deliveries=self.deliveries,
            store=store,
            clock=clock,
            default=settings.sessions.reset,
            rules={PlatformName(name): rules for name, rules in settings.sessions.reset_at.items()},
            zones=_zones(settings.sessions),
            limits=self.platforms.limits,
        )
        models = ChatModels(store, journal)
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
            resets=self.resets,
            model_of=models.of,
        )
        self.access = AccessParts(
            access=access_of(settings, origins or {}, environment or {}),
            store=store,
            journal=journal,
            clock=clock,
            ids=ids,
            supervisor=supervisor,
            deliveries=self.deliveries,
            transaction=mail.transaction,
            limits=self.platforms.limits,
            runs=SenderRuns(self.lanes, self.operations),
            replay=self._receive,
        )
        self.chat = Chat(
            facade=facade or self._own_words(),
            settings=settings,
            store=store,
            journal=journal,
            clock=clock,
            ids=ids,
            supervisor=supervisor,
            agents=agents,
            lanes=self.lanes,
            turns=self.turns,
            put_in=self._put_in,
            operations=self.operations,
            deliveries=self.deliveries,
            platforms=self.platforms,
            models=models,
            masked=vault.masked,
            on_fault=on_fault,
        )
        self.delivering.sending.home_of = self.chat.homes.find
        self.intake = Intake(
            sessions=self.sessions,
            gate=self.access.gate,
            commands=self.chat.commands,
            files=self.delivering.files,
            edits=Edits(store, self.orders.editor, supervisor, text_limit=settings.sessions.text_limit),
            hears_all=self._hears_all,
        )
        self._cursors = Cursors(store, journal)
        self.inspection = Inspection(lanes=self.lanes, store=store, journal=journal, clock=clock)
        revivals = Revivals(lanes=self.lanes, turns=self.turns, mail=mail, clock=clock, supervisor=supervisor)
        self.drains = Drains(lanes=self.lanes, clock=clock)
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
            session_queue.DropMessage: self.operations.drop_message,
            **self.platforms.orders.commands,
            **self.delivering.commands,
            **self.breakers.commands,
            **self.orders.commands,
            **self.access.commands,
        }

    @property
    def queries(self) -> QueryHandlers:
        """Who answers which question."""
        return {
            sessions.ListSessions: self.inspection.list_sessions,
            sessions.GetSession: self.inspection.get_session,
            transcripts.ReadTranscript: self.inspection.read_transcript,
            platforms.ListPlatforms: self.platforms.list_platforms,
            **self.delivering.queries,
            **self.breakers.queries,
            **self.access.queries,
        }

    @property
    def problems(self) -> tuple[str, ...]:
        """What an operator has to see to; an empty text is none."""
        return (self.turns.problem, self.access.pairings.problem)

    async def open(self) -> None:
        """Read what decides about messages, before anything comes in. Raises StoreError."""
        await self.lanes.count()
        await self.delivering.open()
        await self.access.load()
        await self.chat.open()

    async def resume(self) -> None:
        """Go on with what an earlier start left, now that connections are there."""
        self.delivering.start()
        await self.restart.resume()
        await self.access.start()
        await self.chat.start()

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

    def _own_words(self) -> Handlers:
        """What this part alone can do, for a gateway without a kernel around it."""
        words = Handlers()
        words.add(commands=self.commands)
        return words

    def _mode_of(self, name: PlatformName) -> Mode | None:
        section = self._settings.platforms.get(name)
        return None if section is None else section.mode

    def _hears_all(self, name: PlatformName) -> bool:
        section = self._settings.platforms.get(name)
        return getattr(section, "shared_chats", "all") == "all"

    async def _put_in(self, inbound: Inbound) -> Accepted:
        return await self.intake.take_in(inbound)

    async def _receive(self, inbound: Inbound) -> Accepted:
        return await self.intake.receive(inbound)

    def _inbox_for(self, platform: PlatformName) -> GatewayInbox:
        return GatewayInbox(platform, self.intake, self.operations, self._cursors, self.delivering.directory.saw)

    def _on_delivery(self, session_id: SessionId, view: DeliveryView) -> None:
        lane = self.lanes.find(session_id)
        if lane is not None and view.state is DeliveryState.SENT:
            lane.outbound_ack = mark(self._clock)
        self._count_unsent(session_id)

    def _count_unsent(self, session_id: SessionId) -> None:
        lane = self.lanes.find(session_id)
        if lane is None:
            return
        lane.unsent = self.deliveries.unsent(session_id)
        self.lanes.publish(lane)


def _zones(settings: SessionSettings) -> dict[str, tzinfo]:
    """Time zones of the rules; loading the configuration has read them already."""
    names = {rules.timezone for rules in (settings.reset, *settings.reset_at.values())}
    return {name: ZoneInfo(name) for name in names if name}
