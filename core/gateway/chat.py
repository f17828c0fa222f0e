"""What people can do in chats besides talking, put together: commands, decisions, menus."""

from collections.abc import Callable

from core.api.base import AgentName, PlatformName
from core.api.jobs import AddJob
from core.api.relay_tasks import SendRelay
from core.clock import Clock
from core.gateway.asks import Asks
from core.gateway.branching import Branching
from core.gateway.chat_models import ChatModels
from core.gateway.command import Facility, Found, resolved
from core.gateway.command_facts import FactCommands
from core.gateway.command_ports import Call, Facade, PutIn
from core.gateway.command_relay import RelayCommands
from core.gateway.command_rule import Restart, RuleCommands
from core.gateway.command_talk import TalkCommands
from core.gateway.command_work import Rights, WorkCommands
from core.gateway.commands import ChatCommands
from core.gateway.decisions import Decisions
from core.gateway.deliveries import Deliveries
from core.gateway.homes import Homes
from core.gateway.lanes import Lanes
from core.gateway.menus import Menus
from core.gateway.operations import Operations
from core.gateway.platforms import Platforms
from core.gateway.ports import Agents
from core.gateway.replies import Replies
from core.gateway.turns import Turns
from core.ids import IdSource
from core.journal import Journal
from core.platform_settings import ChatSettings
from core.settings import Settings
from core.store.base import Store
from core.supervisor import Supervisor

_NO_CHAT = ChatSettings()


def chat_settings(settings: Settings, name: PlatformName) -> ChatSettings:
    """What a connection to people is told; the defaults for one that has no such settings."""
    section = settings.platforms.get(name)
    return section if isinstance(section, ChatSettings) else _NO_CHAT


class Chat:
    """commands: for the intake. asks: is told what platforms took. restart: set by whoever can start the core anew.

    facade: the core as operators have it. masked: a text without known secrets. models: set before sessions are used.
    """

    def __init__(
        self,
        *,
        facade: Facade,
        settings: Settings,
        store: Store,
        journal: Journal,
        clock: Clock,
        ids: IdSource,
        supervisor: Supervisor,
        agents: Agents,
        lanes: Lanes,
        turns: Turns,
        put_in: PutIn,
        operations: Operations,
        deliveries: Deliveries,
        platforms: Platforms,
        models: ChatModels,
        masked: Callable[[str], str],
        on_fault: Callable[[str, Exception], None],
    ) -> None:
        self._facade = facade
        self._settings = settings
        self._supervisor = supervisor
        self._models = models
        self.restart: Restart | None = None
        self.homes = Homes(store, journal, self._chat_of)
        replies = Replies(lanes=lanes, turns=turns, deliveries=deliveries, journal=journal, clock=clock)
        self.asks = Asks(
            facade=facade,
            lanes=lanes,
            replies=replies,
            store=store,
            journal=journal,
            ids=ids,
            supervisor=supervisor,
            limits=platforms.limits,
        )
        approving = resolved("approve")
        assert isinstance(approving, Found)
        platforms.on_taken.append(self.asks.sent)
        decisions = Decisions(facade=facade, asks=self.asks, approving=approving.command)
        rights = Rights(operations)
        facts = FactCommands(
            facade=facade,
            lanes=lanes,
            models=models,
            clock=clock,
            agent_of=lambda call: self._agent_of(agents, call),
            facilities=self.facilities,
        )
        work = WorkCommands(
            facade=facade, lanes=lanes, put_in=put_in, operations=operations, rights=rights, clock=clock
        )
        talk = TalkCommands(
            facade=facade,
            lanes=lanes,
            put_in=put_in,
            branching=Branching(lanes=lanes, turns=turns, agents=agents, clock=clock, ids=ids),
            rights=rights,
            clock=clock,
        )
        rule = RuleCommands(facade=facade, homes=self.homes, clock=clock, restart=lambda: self.restart)
        relay = RelayCommands(facade)
        self.commands = ChatCommands(
            handlers={
                **facts.handlers,
                **work.handlers,
                **talk.handlers,
                **rule.handlers,
                **relay.handlers,
                **decisions.handlers,
            },
            decisions=decisions,
            asks=self.asks,
            replies=replies,
            store=store,
            clock=clock,
            ids=ids,
            supervisor=supervisor,
            sessions=settings.sessions,
            chat_of=self._chat_of,
            facilities=self.facilities,
            aliases=settings.access.aliases,
            masked=masked,
            on_fault=on_fault,
        )
        self._menus = Menus(
            journal=journal,
            supervisor=supervisor,
            find=platforms.get,
            chat_of=self._chat_of,
            facilities=self.facilities,
        )

    def facilities(self) -> frozenset[Facility]:
        """What commands find here."""
        found: set[Facility] = set()
        if AddJob in self._facade.words:
            found.add(Facility.JOBS)
        if SendRelay in self._facade.words:
            found.add(Facility.RELAY)
        if self.restart is not None:
            found.add(Facility.RESTART)
        return frozenset(found)

    async def open(self) -> None:
        """Read what an earlier start left, and put menus up from now on; before connections. Raises StoreError."""
        await self._models.open()
        await self.homes.open()
        await self.asks.open()
        await self.commands.open()
        self._menus.watch()

    async def start(self) -> None:
        """Tell who was cut off, and show in chats what agents ask. Comes after connections."""
        # Neither a full disk nor a closed outbox may keep the gateway from starting.
        self._supervisor.spawn("cut off commands", self.commands.recover())
        self._supervisor.start("approvals in chats", self.asks.run)

    def _chat_of(self, name: PlatformName) -> ChatSettings:
        return chat_settings(self._settings, name)

    def _agent_of(self, agents: Agents, call: Call) -> AgentName:
        section = self._settings.platforms.get(call.source.platform)
        return agents.find_agent(None if section is None else section.agent) or AgentName("")
