"""What operators see of deliveries and do to them: list, look at one, try again now, let go."""

from collections.abc import Callable

import msgspec

from core.api.base import Actor, Event, MailId, SessionId
from core.api.deliveries import (
    DeliveryDropped,
    DeliveryList,
    DeliveryQueued,
    DeliveryState,
    DeliveryView,
    DropDelivery,
    GetDelivery,
    ListDeliveries,
    RetryDelivery,
)
from core.api.errors import ConflictError
from core.clock import Clock, mark
from core.gateway.accounts import Accounts
from core.gateway.delivery import OUTBOX, delivery_view, stepped
from core.gateway.delivery_letters import DeliveryLetters, find_outbound, outbound_of
from core.gateway.listing import check_limit
from core.gateway.platform import Outbound
from core.gateway.sent_ids import SentIds
from core.handlers import CommandHandlers, QueryHandlers
from core.journal import Journal
from core.letters import Letter, Mailroom

_LIST_LIMIT = 1000


class DeliveryOrders:
    """Each order is stored with its event before it returns; on_settled: see Deliveries."""

    def __init__(
        self,
        *,
        mail: Mailroom,
        letters: DeliveryLetters,
        accounts: Accounts,
        sent: SentIds,
        journal: Journal,
        clock: Clock,
        on_settled: Callable[[SessionId, DeliveryView], None],
    ) -> None:
        self._mail = mail
        self._letters = letters
        self._accounts = accounts
        self._sent = sent
        self._journal = journal
        self._clock = clock
        self._on_settled = on_settled

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {RetryDelivery: self.retry_delivery, DropDelivery: self.drop_delivery}

    @property
    def queries(self) -> QueryHandlers:
        """Who answers which question."""
        return {ListDeliveries: self.list_deliveries, GetDelivery: self.get_delivery}

    async def list_deliveries(self, query: ListDeliveries) -> DeliveryList:
        """What is not sent yet, oldest first."""
        check_limit(query.limit, _LIST_LIMIT)
        seq = await self._journal.head()
        letters = [letter for mailbox in self._mail.names(OUTBOX) for letter in self._mail.letters(mailbox)]
        oldest = sorted(letters, key=_id)[: query.limit]
        shown = [(letter, outbound) for letter in oldest if (outbound := find_outbound(letter)) is not None]
        return DeliveryList(deliveries=tuple(delivery_view(*pair) for pair in shown), seq=seq)

    async def get_delivery(self, query: GetDelivery) -> DeliveryView:
        """One that is not sent yet, with its whole text."""
        letter = self._letters.get(query.delivery_id)
        return delivery_view(letter, outbound_of(letter))

    async def retry_delivery(self, command: RetryDelivery, actor: Actor) -> DeliveryView:
        """Try a dead or waiting delivery again now; one whose turn is coming anyway is left as it is."""
        letter = self._letters.get(command.delivery_id)
        outbound = outbound_of(letter)
        view = delivery_view(letter, outbound)
        if view.state is DeliveryState.RETRYING:
            after = msgspec.structs.replace(stepped(view, DeliveryState.QUEUED), attempt=0)
            await self._journal.commit([], _about(outbound, DeliveryQueued(delivery=after)), actor=actor)
            self._mail.hurry(letter.mailbox, letter.id)
            self._accounts.hurry(view.platform, outbound.source.chat, actor)
        elif view.state is DeliveryState.DEAD:
            after = await self._redrive(letter, outbound, actor)
        else:
            if view.state is DeliveryState.QUEUED:
                # Never tried, it may be put off all the same: for its chat.
                self._mail.hurry(letter.mailbox, letter.id)
                self._accounts.hurry(view.platform, outbound.source.chat, actor)
            return view
        self._on_settled(after.session_id, after)
        return after

    async def drop_delivery(self, command: DropDelivery, actor: Actor) -> DeliveryView:
        """Let a dead or waiting delivery go. Raises ConflictError while it is with the platform."""
        letter = self._letters.get(command.delivery_id)
        outbound = outbound_of(letter)
        view = delivery_view(letter, outbound)
        if view.state is DeliveryState.SENDING:
            raise ConflictError(
                "it is being sent at this moment", key="state", found="sending", fix="look again in a moment"
            )
        view = msgspec.structs.replace(view, version=view.version + 1)
        transaction = self._mail.transaction()
        transaction.settle(letter.mailbox, letter.id)
        event = DeliveryDropped(delivery=view, reason=command.reason)
        await transaction.commit([], _about(outbound, event), actor=actor)
        self._letters.forget(outbound)
        self._sent.forget(outbound.delivery_id)
        # What the platform asked for may have been due to this one: the next one finds out.
        account = self._accounts.get(view.platform)
        account.spared.discard(letter.id)
        account.lift_chat(outbound.source.chat)
        self._accounts.changed(view.platform)
        self._on_settled(view.session_id, view)
        return view

    async def _redrive(self, letter: Letter, outbound: Outbound, actor: Actor) -> DeliveryView:
        transaction = self._mail.transaction()
        try:
            again = transaction.redrive(letter.mailbox, letter.id)
        except BaseException:
            transaction.cancel()
            raise
        fresh = msgspec.structs.replace(
            letter, id=again, replays=letter.replays + 1, attempt=0, error="", created=mark(self._clock), due=None
        )
        view = stepped(delivery_view(fresh, outbound), DeliveryState.QUEUED)
        self._letters.know(outbound, letter.mailbox, again)
        try:
            await transaction.commit([], _about(outbound, DeliveryQueued(delivery=view)), actor=actor)
        except BaseException:
            self._letters.know(outbound, letter.mailbox, letter.id)
            raise
        return view


def _about(outbound: Outbound, event: Event) -> list[tuple[str, Event]]:
    return [(str(outbound.session_id), event)]


def _id(letter: Letter) -> MailId:
    return letter.id
