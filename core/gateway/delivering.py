"""All that has to do with messages on their way out put together, and with the files that come in."""

from collections.abc import Callable
from pathlib import Path

from core.api import outboxes
from core.api.base import PlatformName, SessionId
from core.api.deliveries import DeliveryView
from core.api.platforms import PlatformConnected
from core.api.sessions import RunEnded, RunStarted
from core.clock import Clock
from core.gateway.accounts import Accounts
from core.gateway.deliveries import Deliveries
from core.gateway.delivery import OUTBOX
from core.gateway.directory import Directory
from core.gateway.files import InboundFiles
from core.gateway.lanes import Lanes
from core.gateway.mirroring import Mirroring
from core.gateway.outgoing import Outgoing
from core.gateway.platforms import Platforms
from core.gateway.ports import Agents
from core.gateway.sending import Sending
from core.gateway.typing_signs import TypingSigns
from core.handlers import CommandHandlers, QueryHandlers
from core.ids import IdSource
from core.journal import Journal
from core.letters import Mailroom
from core.settings import Settings
from core.store.base import Store
from core.supervisor import Supervisor


class Delivering:
    """Built before the sessions, which need the outbox; joined to them afterwards."""

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
        platforms: Platforms,
        agents: Agents,
        random: Callable[[], float],
        on_settled: Callable[[SessionId, DeliveryView], None],
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._mail = mail
        self._clock = clock
        self._ids = ids
        self._supervisor = supervisor
        self._platforms = platforms
        self.accounts = Accounts(
            mail=mail,
            store=store,
            journal=journal,
            clock=clock,
            supervisor=supervisor,
            settings=settings.deliveries,
            sections=settings.platforms.get,
            limits_of=platforms.limits,
            random=random,
            paused_why=platforms.paused_why,
        )
        platforms.on_pause.append(self.accounts.pause_changed)
        platforms.connections.backlog_of = lambda name: mail.outline(OUTBOX + name).depth
        self.outgoing = Outgoing(home=home, settings=settings.files, clock=clock, workspace_of=agents.workspace)
        self.deliveries = Deliveries(
            mail=mail,
            store=store,
            journal=journal,
            clock=clock,
            ids=ids,
            supervisor=supervisor,
            settings=settings.deliveries,
            platforms=platforms,
            accounts=self.accounts,
            random=random,
            on_settled=on_settled,
            outgoing=self.outgoing,
        )
        self.files = InboundFiles(home=home, settings=settings.files, clock=clock, platform_of=platforms.get)
        self.directory = Directory(
            store=store,
            journal=journal,
            clock=clock,
            supervisor=supervisor,
            platforms=lambda: [PlatformName(name) for name in settings.platforms],
            platform_of=platforms.unpaused,
            refresh_s=settings.deliveries.refresh_chats_s,
        )

    def join(self, lanes: Lanes, on_posted: Callable[[SessionId], None]) -> None:
        """Give it the sessions. on_posted: one of them has more to send than before. Comes before open()."""
        self._lanes = lanes
        self.sending = Sending(
            deliveries=self.deliveries,
            directory=self.directory,
            mirroring=Mirroring(lanes=lanes, clock=self._clock, ids=self._ids),
            outgoing=self.outgoing,
            platforms=self._platforms,
            sections=self._settings.platforms,
            mail=self._mail,
            clock=self._clock,
            supervisor=self._supervisor,
            on_posted=on_posted,
        )
        self._typing = TypingSigns(
            clock=self._clock,
            supervisor=self._supervisor,
            platform_of=self._platforms.unpaused,
            view_of=lambda session_id: lane.view if (lane := lanes.find(session_id)) else None,
        )

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {
            outboxes.LiftHold: self.accounts.lift_hold,
            **self.deliveries.orders.commands,
            **self.directory.commands,
            **self.sending.commands,
        }

    @property
    def queries(self) -> QueryHandlers:
        """Who answers which question."""
        return {
            outboxes.ListOutboxes: self.accounts.list_outboxes,
            **self.deliveries.orders.queries,
            **self.directory.queries,
        }

    async def open(self) -> None:
        """Read what is stored. Raises StoreError."""
        await self.directory.recover()

    def start(self) -> None:
        """Begin what goes on beside the messages: the directory, typing signs, the end of old files."""
        self._journal.on_record(self.directory.observe, PlatformConnected)
        self._journal.on_record(self.accounts.observe, PlatformConnected)
        self._journal.on_record(self._typing.observe, RunStarted, RunEnded)
        self._supervisor.start("chat directory", self.directory.run)
        self._supervisor.start("old files", self.files.run)
