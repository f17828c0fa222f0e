"""The relay of a core put together: bindings, targets, messages out and in, and what operators do to them."""

from collections.abc import Callable

from core.api import relay_targets
from core.api.bindings import RelayProtocol
from core.api.errors import ConflictError
from core.api.relay_targets import GetRelayGraph, ListTargets, RelayGraph, TargetList
from core.api.relay_tasks import RelayTaskFilter
from core.breaker_book import BreakerBook
from core.clock import Clock
from core.handlers import CommandHandlers, QueryHandlers
from core.http.server import HttpServer
from core.ids import IdSource
from core.journal import Journal
from core.mailroom import Mailroom
from core.relay.adapters import load_adapter
from core.relay.answers import Answers
from core.relay.bindings import Bindings
from core.relay.calling import Calling
from core.relay.checks import Checks
from core.relay.inbound import Inbound, RefusedMessage
from core.relay.instances import own_name
from core.relay.ledger import Ledger
from core.relay.ledger_keeping import LedgerKeeping
from core.relay.outbound import Outbound
from core.relay.pausing import Pausing
from core.relay.peers import Peers
from core.relay.ports import Askers, Workers
from core.relay.targets import Targets
from core.relay.task import RelayTask
from core.relay.trails import WINDOW_S, Trails
from core.relay.web import Web
from core.relay.wire import Adapter
from core.secrets import Secret
from core.settings import Settings
from core.store.base import Store
from core.supervisor import Supervisor

_LATELY = 1_000
"""Messages of the last day that a start looks at, for the limits of loops and the graph."""


class RelaySide:
    """All of it. secret: what stands behind a reference. workers, askers: agents and conversations here."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        journal: Journal,
        mail: Mailroom,
        clock: Clock,
        ids: IdSource,
        supervisor: Supervisor,
        http: HttpServer,
        secret: Callable[[str], Secret],
        workers: Workers,
        askers: Askers,
        breakers: BreakerBook,
        random: Callable[[], float],
        on_fault: Callable[[str, Exception], None],
    ) -> None:
        rules = settings.relay
        self._rules = rules
        self._journal = journal
        self._store = store
        self._ids = ids
        self._clock = clock
        self._http = http
        self._supervisor = supervisor
        self._adapters: dict[RelayProtocol, Adapter] = {}
        self.web = Web(rules, clock)
        self.peers = Peers(rules, secret)
        self.bindings = Bindings(
            store=store, journal=journal, clock=clock, peers=self.peers.names, networks=rules.networks
        )
        self.ledger = Ledger(store=store, journal=journal, clock=clock, ids=ids)
        self.trails = Trails(rules, clock)
        self.pausing = Pausing(store=store, journal=journal, clock=clock, counts=self._counts, woken=self._woken)
        self.targets = Targets(
            mail=mail,
            store=store,
            journal=journal,
            clock=clock,
            supervisor=supervisor,
            settings=rules,
            bindings=self.bindings,
            peers=self.peers,
            tally=self.ledger.tally,
            is_paused=lambda: self.pausing.is_paused,
            random=random,
        )
        breakers.add(relay_targets.RELAY, self.targets.breakers)
        calling = Calling(settings=rules, peers=self.peers, adapters=self.adapter)
        self.answers = Answers(
            clock=clock,
            supervisor=supervisor,
            settings=rules,
            ledger=self.ledger,
            targets=self.targets,
            calling=calling,
            askers=askers,
            random=random,
            on_fault=on_fault,
        )
        self.outbound = Outbound(
            mail=mail,
            clock=clock,
            ids=ids,
            supervisor=supervisor,
            settings=rules,
            bindings=self.bindings,
            ledger=self.ledger,
            targets=self.targets,
            trails=self.trails,
            calling=calling,
            askers=askers,
            is_paused=lambda: self.pausing.is_paused,
            random=random,
            cancel_in=self._cancel_in,
        )
        self._keeping = LedgerKeeping(
            self.ledger, store=store, clock=clock, settings=rules, on_counts=self.targets.counts_changed
        )
        self.inbound = Inbound(
            journal=journal,
            clock=clock,
            supervisor=supervisor,
            settings=rules,
            peers=self.peers,
            ledger=self.ledger,
            trails=self.trails,
            workers=workers,
            web=self.web,
            is_paused=lambda: self.pausing.is_paused,
            random=random,
            on_fault=on_fault,
        )
        self.checks = Checks(
            settings=rules,
            journal=journal,
            clock=clock,
            bindings=self.bindings,
            peers=self.peers,
            adapters=self.adapter,
        )

    def adapter(self, protocol: RelayProtocol) -> Adapter:
        """The adapter of a protocol, made when it is first used."""
        found = self._adapters.get(protocol)
        if found is None:
            found = self._adapters[protocol] = load_adapter(protocol, self.web, self._rules, self._clock)
        return found

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {
            **self.bindings.commands,
            **self.outbound.commands,
            **self.pausing.commands,
            **self.checks.commands,
        }

    @property
    def queries(self) -> QueryHandlers:
        """Who answers which question."""
        return {
            **self.bindings.queries,
            **self.ledger.queries,
            ListTargets: self.list_targets,
            GetRelayGraph: self.get_graph,
        }

    async def open(self) -> None:
        """Read what is stored, and mend what an earlier start left. Raises StoreError."""
        self.trails.name = await own_name(self._rules, store=self._store, journal=self._journal, ids=self._ids)
        await self.targets.open(await self._read())

    async def show(self) -> None:
        """Read what is stored, to be looked at: nothing is written, and nothing is to be started. Raises StoreError."""
        await self.targets.open(await self._read(), is_shown=True)

    async def _read(self) -> list[RelayTask]:
        """All that is stored; the messages of the last day."""
        await self.pausing.open()
        await self.bindings.open()
        await self.ledger.open()
        last_day = RelayTaskFilter(since=self._clock.now() - WINDOW_S)
        lately = await self.ledger.matching(last_day, limit=_LATELY)
        self.trails.open(lately)
        return lately

    async def start(self) -> None:
        """Go on with what an earlier start left, send, and answer peers."""
        await self.answers.start()
        await self.outbound.start()
        self._supervisor.start("relay books", self._keeping.run)
        self._supervisor.start("relay connections", self.web.run)
        await self.inbound.start()
        if self._rules.enabled and self._http.url:
            from core.relay.entrance import mount

            mount(
                self._http,
                inbound=self.inbound,
                answers=self.answers,
                peers=self.peers,
                settings=self._rules,
                clock=self._clock,
            )

    async def stop(self) -> None:
        """Ask for nothing more. What is being sent goes on until the mailboxes are stopped."""
        await self.answers.stop()

    async def close(self) -> None:
        """Close connections."""
        await self.web.close()

    async def list_targets(self, query: ListTargets) -> TargetList:  # noqa: ARG002 - every query has one
        """All targets and peers."""
        seq = await self._journal.head()
        return TargetList(
            targets=tuple(self.targets.view(name) for name in self.targets.names()),
            peers=tuple(self.inbound.peer_views()),
            pause=self.pausing.view(),
            listening=self._http.url if self._rules.enabled else "",
            seq=seq,
        )

    async def get_graph(self, query: GetRelayGraph) -> RelayGraph:  # noqa: ARG002 - every query has one
        """Who relays to whom."""
        return self.trails.graph(await self._journal.head(), self.targets.broken_bots())

    def _counts(self) -> tuple[int, int, int, int]:
        return self.ledger.counts_under_way()

    def _woken(self) -> None:
        self.targets.wake()

    async def _cancel_in(self, task: RelayTask, reason: str) -> RelayTask:
        try:
            return await self.inbound.cancel(task.peer, task.wire_id, reason)
        except RefusedMessage as error:
            raise ConflictError(
                f"message {task.id} cannot be canceled: {error}", key=task.id, fix="look again"
            ) from error
