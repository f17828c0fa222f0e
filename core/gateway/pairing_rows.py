"""Senders and invitations as they are stored: read at the start, changed in one commit with their events."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from core.api.base import SYSTEM, Actor, DeliveryId, Event, PlatformName
from core.api.errors import HermesError, StoreError
from core.api.pairings import InviteId, PairingId, PairingState, SendersForgotten
from core.clock import Clock, rebased, rebased_ahead
from core.gateway.access import Roll
from core.gateway.look_alike import skeleton
from core.gateway.pairing import InviteRow, PairingRow, pairing_id
from core.gateway.platform import Outbound
from core.journal import Journal
from core.letters import MailTransaction
from core.store.base import Put, Row, Store
from core.waits import breathe

_ROWS = "pairing/"
_INVITES = "invite/"
_PAGE = 1_000
_BREATH_EVERY = 500
_FORGOTTEN = "pairings"
"""Subject of what tells that rows were let go."""

_rows = msgspec.json.Decoder(PairingRow)
_invites = msgspec.json.Decoder(InviteRow)
_encoder = msgspec.json.Encoder()


class Outboxes(Protocol):
    """Where messages to senders are put, so that each is sent once however often the core dies."""

    def new_id(self) -> DeliveryId:
        """An id for a message."""
        ...

    async def open_outbox(self, platform: PlatformName) -> str:
        """Make ready for messages to a connection. Raises StoreError."""
        ...

    def post(self, transaction: MailTransaction, outbound: Outbound) -> None:
        """Have it sent once the transaction is committed."""
        ...

    def posted(self, outbound: Outbound) -> None:
        """The commit took place."""
        ...

    def is_kept(self, delivery_id: DeliveryId) -> bool:
        """Whether a message is still on its way, or dead."""
        ...


class PairingRows:
    """All rows in memory. Whoever changes one holds `lock`; reading needs no lock.

    roll: who is let in or blocked, for decisions. problem: why nothing can be changed, "" when it can: then
    the bytes of every row stay as they are, and senders whose row cannot be read are let in by nobody.
    """

    def __init__(
        self,
        *,
        store: Store,
        journal: Journal,
        clock: Clock,
        outboxes: Outboxes,
        transaction: Callable[[], MailTransaction],
    ) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock
        self._outboxes = outboxes
        self._transaction = transaction
        self.lock = asyncio.Lock()
        self.rows: dict[PairingId, PairingRow] = {}
        self.invites: dict[InviteId, InviteRow] = {}
        self.roll = Roll()
        self.problem = ""
        self._damaged: set[str] = set()
        self._by_look: dict[str, set[PairingId]] = {}
        self._asked: dict[PlatformName, dict[PairingId, None]] = {}
        self.notices: dict[DeliveryId, PairingId] = {}

    async def load(self) -> None:
        """Take up what is stored. Never raises: what cannot be read is the problem."""
        try:
            for place, row in enumerate(await self._scan(_ROWS)):
                self._load_row(row)
                if place % _BREATH_EVERY == 0:
                    await breathe()
            for row in await self._scan(_INVITES):
                self._load_invite(row)
        except StoreError as error:
            self.problem = f"pairings cannot be read: {error.message}"
            self.roll.is_blind = True
            return
        if self._damaged:
            self.roll.is_unreadable = self._is_damaged

    async def _scan(self, prefix: str) -> list[Row]:
        found: list[Row] = []
        while page := await self._store.scan(prefix, after=found[-1].key if found else "", limit=_PAGE):
            found += page
        return found

    def _load_row(self, stored: Row) -> None:
        try:
            row = _rows.decode(stored.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._set_problem(stored.key)
            return
        # Bytes of one sender under the key of another would let the wrong one in.
        if stored.key != _ROWS + pairing_id(row.view.platform, row.view.sender_id):
            self._set_problem(stored.key)
            return
        view, clock = row.view, self._clock
        view = msgspec.structs.replace(
            view,
            asked=rebased(view.asked, clock),
            expires=view.expires and rebased_ahead(view.expires, clock),
            decided=view.decided and rebased(view.decided, clock),
            locked_until=view.locked_until and rebased_ahead(view.locked_until, clock),
        )
        told, codes_before = (
            row.told and rebased(row.told, clock),
            row.codes_before and rebased(row.codes_before, clock),
        )
        self.take(msgspec.structs.replace(row, view=view, told=told, codes_before=codes_before))

    def _load_invite(self, stored: Row) -> None:
        try:
            row = _invites.decode(stored.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._set_problem(stored.key)
            return
        view, clock = row.view, self._clock
        view = msgspec.structs.replace(
            view, created=rebased(view.created, clock), expires=rebased_ahead(view.expires, clock)
        )
        self.invites[view.id] = msgspec.structs.replace(row, view=view)

    def _set_problem(self, key: str) -> None:
        self._damaged.add(key.removeprefix(_ROWS))
        count = len(self._damaged)
        rows = "1 stored row" if count == 1 else f"{count} stored rows"
        first = min(self._damaged)
        self.problem = f"{rows} cannot be read, so nothing is changed here; first: {first}; restore a backup"

    def _is_damaged(self, platform: PlatformName, sender_id: str) -> bool:
        return pairing_id(platform, sender_id) in self._damaged

    # -- reading -----------------------------------------------------------------

    def find(self, platform: PlatformName, sender_id: str) -> PairingRow | None:
        """The row of an identity. sender_id: as access.same_id() gives it."""
        return self.rows.get(pairing_id(platform, sender_id))

    def asked(self, platform: PlatformName) -> list[PairingRow]:
        """Open requests of a connection, the oldest first."""
        found = [self.rows[key] for key in self._asked.get(platform, ())]
        return sorted(found, key=lambda row: (row.view.asked.at, row.view.id))

    def all_asked(self) -> list[PairingRow]:
        """Open requests of all connections."""
        return [self.rows[key] for keys in self._asked.values() for key in keys]

    def looking_like(self, name: str) -> list[PairingRow]:
        """Known senders whose name has the same look, in no order."""
        look = skeleton(name)
        return [self.rows[key] for key in self._by_look.get(look, ())] if look else []

    def check(self) -> None:
        """Whether anything can be changed. Raises StoreError with the reason."""
        if self.problem:
            raise StoreError(self.problem, cause="corrupt", fix="restore a backup")

    # -- writing -----------------------------------------------------------------

    def take(self, row: PairingRow) -> None:
        """How a sender stands, in memory alone."""
        view = row.view
        before = self.rows.get(view.id)
        self.rows[view.id] = row
        if before is None or before.view.sender_name != view.sender_name:
            if before is not None:
                self._unlook(before)
            if look := skeleton(view.sender_name):
                self._by_look.setdefault(look, set()).add(view.id)
        asked = self._asked.setdefault(view.platform, {})
        if view.state is PairingState.ASKED:
            asked.setdefault(view.id)
        else:
            asked.pop(view.id, None)
        if row.notice_id is not None:
            self.notices[row.notice_id] = view.id
        if before is not None and before.notice_id is not None and before.notice_id != row.notice_id:
            self.notices.pop(before.notice_id, None)
        self.roll.put(
            view.platform,
            view.sender_id,
            is_approved=view.state is PairingState.APPROVED,
            is_blocked=view.state is PairingState.BLOCKED,
        )

    async def commit(
        self,
        rows: Sequence[PairingRow],
        events: Sequence[tuple[str, Event]],
        *,
        invites: Sequence[InviteRow] = (),
        actor: Actor = SYSTEM,
        notice: Outbound | None = None,
    ) -> None:
        """Store rows with their events, and a message to a sender with them; then they hold. Raises StoreError."""
        puts = [Put(_ROWS + row.view.id, _encoder.encode(row)) for row in rows]
        puts += [Put(_INVITES + row.view.id, _encoder.encode(row)) for row in invites]
        if notice is None:
            await self._journal.commit(puts, events, actor=actor)
        else:
            await self._commit_with(notice, puts, events, actor)
        for row in rows:
            self.take(row)
        for invite in invites:
            self.invites[invite.view.id] = invite

    async def _commit_with(
        self, notice: Outbound, puts: Sequence[Put], events: Sequence[tuple[str, Event]], actor: Actor
    ) -> None:
        transaction = self._transaction()
        try:
            self._outboxes.post(transaction, notice)
        except BaseException:
            transaction.cancel()
            raise
        await transaction.commit(puts, events, actor=actor)
        self._outboxes.posted(notice)

    async def can_tell(self, platform: PlatformName) -> str:
        """Make ready for a message to a sender; why that cannot be, or ""."""
        try:
            await self._outboxes.open_outbox(platform)
        except HermesError as error:
            return error.message
        return ""

    def new_notice_id(self) -> DeliveryId:
        """An id for a message to a sender."""
        return self._outboxes.new_id()

    async def store_only(self, rows: Iterable[PairingRow]) -> None:
        """Store counts that were told already. Raises StoreError."""
        await self._journal.commit([Put(_ROWS + row.view.id, _encoder.encode(row)) for row in rows], [])

    async def forget(self, rows: Iterable[PairingRow], invites: Iterable[InviteId] = ()) -> None:
        """Let rows go for good, and say so. Raises StoreError."""
        gone, ids = list(rows), list(invites)
        if not gone and not ids:
            return
        puts = [Put(_ROWS + row.view.id, None) for row in gone]
        event = SendersForgotten(pairing_ids=tuple(row.view.id for row in gone), invite_ids=tuple(ids))
        await self._journal.commit([*puts, *(Put(_INVITES + item, None) for item in ids)], [(_FORGOTTEN, event)])
        for row in gone:
            self._drop(row)
        for item in ids:
            self.invites.pop(item, None)

    def _drop(self, row: PairingRow) -> None:
        view = row.view
        del self.rows[view.id]
        self._unlook(row)
        self._asked.get(view.platform, {}).pop(view.id, None)
        if row.notice_id is not None:
            self.notices.pop(row.notice_id, None)
        self.roll.put(view.platform, view.sender_id, is_approved=False, is_blocked=False)

    def _unlook(self, row: PairingRow) -> None:
        look = skeleton(row.view.sender_name)
        alike = self._by_look.get(look, set())
        alike.discard(row.view.id)
        if not alike:
            self._by_look.pop(look, None)
