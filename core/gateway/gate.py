"""Who may talk, asked for every message before anything of it has an effect; and why, asked by operators."""

from collections.abc import Callable

from core.api.access import AccessExplanation, AdmittedPage, ExplainAccess, ListAdmitted, Verdict
from core.api.base import PlatformName
from core.api.errors import HermesError, InvalidInput, NotFound
from core.api.sessions import ChatKind
from core.gateway.access import Access, Sender
from core.gateway.admitted import admitted
from core.gateway.listing import check_limit
from core.gateway.pairing_requests import PairingRequests
from core.gateway.pairing_rows import PairingRows
from core.gateway.platform import Inbound, InboundEdit, Limits, Press
from core.handlers import QueryHandlers
from core.journal import Journal

_PAGE_LIMIT = 1_000


class AccessGate:
    """The gate of intake. limits: of a connection, None when it is not set up; then nothing is proved."""

    def __init__(
        self,
        *,
        access: Access,
        rows: PairingRows,
        requests: PairingRequests,
        limits: Callable[[PlatformName], Limits | None],
        journal: Journal,
    ) -> None:
        self._access = access
        self._rows = rows
        self._requests = requests
        self._limits = limits
        self._journal = journal

    def verdict(self, message: Inbound | InboundEdit | Press) -> Verdict:
        """May this sender talk there? Nothing happens."""
        return self._access.verdict(self._sender(message), self._rows.roll)

    async def turned_away(self, inbound: Inbound, verdict: Verdict) -> HermesError:
        """Do what is due for a sender who is not let in; returns what to raise."""
        return await self._requests.turned_away(inbound, self._sender(inbound), verdict)

    def _sender(self, message: Inbound | InboundEdit | Press) -> Sender:
        limits = self._limits(message.platform)
        is_proved = limits is not None and limits.proves_senders
        return Sender(
            platform=message.platform,
            sender_id=message.sender_id,
            chat_kind=message.source.kind,
            chat=message.source.chat,
            aliases=message.aliases,
            is_bot=isinstance(message, Inbound) and message.is_bot,
            is_addressed=not isinstance(message, Inbound) or message.is_addressed,
            is_proved=is_proved,
        )

    @property
    def queries(self) -> QueryHandlers:
        """Who answers which question."""
        return {ExplainAccess: self.explain_access, ListAdmitted: self.list_admitted}

    async def explain_access(self, query: ExplainAccess) -> AccessExplanation:
        """Which rule lets this sender in, or that none does."""
        if query.platform not in self._access.accounts:
            known = ", ".join(self._access.accounts) or "none is configured"
            raise NotFound(f"no platform {query.platform}", noun="platform", id=query.platform, fix=f"one of {known}")
        limits = self._limits(query.platform)
        # Whoever names a chat asks about a shared one.
        kind = ChatKind.GROUP if query.chat and query.chat_kind is ChatKind.DM else query.chat_kind
        sender = Sender(
            platform=query.platform,
            sender_id=query.sender_id,
            chat_kind=kind,
            chat=query.chat,
            is_proved=limits is not None and limits.proves_senders,
        )
        return AccessExplanation(
            platform=query.platform,
            sender_id=query.sender_id,
            chat=query.chat,
            verdict=self._access.verdict(sender, self._rows.roll),
            steps=tuple(self._access.steps(sender, self._rows.roll)),
            aliases=self._access.ids(sender)[1:],
        )

    async def list_admitted(self, query: ListAdmitted) -> AdmittedPage:
        """Everyone who is let in, and why."""
        check_limit(query.limit, _PAGE_LIMIT)
        if query.offset < 0:
            raise InvalidInput("offset must not be below 0", field="offset", value=query.offset, fix="begin with 0")
        seq = await self._journal.head()
        proved = [name for name in self._access.accounts if (found := self._limits(name)) and found.proves_senders]
        everybody = admitted(self._access, proved, [row.view for row in self._rows.rows.values()])
        page = everybody[query.offset : query.offset + query.limit]
        return AdmittedPage(admitted=tuple(page), total=len(everybody), seq=seq)
