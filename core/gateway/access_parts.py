"""Access and pairing put together: the rules, the rows, the gate, and what operators and time decide."""

from collections.abc import Awaitable, Callable

from core.api.base import PlatformName
from core.clock import Clock
from core.gateway.access import Access
from core.gateway.gate import AccessGate
from core.gateway.invites import Invites
from core.gateway.pairing_imports import PairingImports
from core.gateway.pairing_notices import PairingNotices
from core.gateway.pairing_requests import PairingRequests
from core.gateway.pairing_rows import Outboxes, PairingRows
from core.gateway.pairings import Pairings, StopsRuns
from core.gateway.platform import Inbound, Limits
from core.handlers import CommandHandlers, QueryHandlers
from core.ids import IdSource
from core.journal import Journal
from core.letters import MailTransaction
from core.store.base import Store
from core.supervisor import Supervisor
from core.waits import Waits


class AccessParts:
    """Made once. replay: takes a message in as a connection does."""

    def __init__(
        self,
        *,
        access: Access,
        store: Store,
        journal: Journal,
        clock: Clock,
        ids: IdSource,
        supervisor: Supervisor,
        deliveries: Outboxes,
        transaction: Callable[[], MailTransaction],
        limits: Callable[[PlatformName], Limits | None],
        runs: StopsRuns,
        replay: Callable[[Inbound], Awaitable[object]],
    ) -> None:
        wakes = Waits()
        self._supervisor = supervisor
        self._journal = journal
        self.access = access
        self.rows = PairingRows(store=store, journal=journal, clock=clock, outboxes=deliveries, transaction=transaction)
        self._notices = PairingNotices(
            rows=self.rows, supervisor=supervisor, limits=limits, is_waiting=deliveries.is_kept
        )
        requests = PairingRequests(
            rows=self.rows,
            notices=self._notices,
            access=access,
            journal=journal,
            clock=clock,
            supervisor=supervisor,
            wakes=wakes,
        )
        self.gate = AccessGate(access=access, rows=self.rows, requests=requests, limits=limits, journal=journal)
        invites = Invites(rows=self.rows, accounts=access.accounts, clock=clock, ids=ids, wakes=wakes)
        self._imports = PairingImports(rows=self.rows, access=access, clock=clock, wakes=wakes)
        self.pairings = Pairings(
            rows=self.rows,
            notices=self._notices,
            requests=requests,
            invites=invites,
            access=access,
            runs=runs,
            journal=journal,
            clock=clock,
            supervisor=supervisor,
            wakes=wakes,
            replay=replay,
        )

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {**self.pairings.commands, **self._imports.commands}

    @property
    def queries(self) -> QueryHandlers:
        """Who answers which question."""
        return {**self.pairings.queries, **self.gate.queries}

    async def load(self) -> None:
        """Take up what is stored, before anything comes in. Never raises."""
        await self.rows.load()
        self._journal.on_record(self._notices.observe)

    async def start(self) -> None:
        """Finish what an earlier start began, and keep time. Connections must be built."""
        await self.pairings.recover()
        self._supervisor.start("pairings", self.pairings.run)
