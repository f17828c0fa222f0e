"""The outbox: answers wait in a mailbox for each platform and are sent in the order of their session; none is lost."""

from collections import defaultdict
from collections.abc import Callable, Sequence

import msgspec

from core.api.base import SYSTEM, Actor, DeliveryId, Event, MailId, Mark, PlatformName, SessionId
from core.api.deliveries import (
    DeliveryDied,
    DeliveryDropped,
    DeliveryList,
    DeliveryQueued,
    DeliveryRetrying,
    DeliverySent,
    DeliveryState,
    DeliveryView,
    DropDelivery,
    ListDeliveries,
    RetryDelivery,
)
from core.api.errors import ConflictError, InvalidInput, NotFound, Unavailable
from core.api.mail import MailState
from core.api.system import AlarmRaised
from core.backoff import ceiling_s
from core.clock import Clock, mark
from core.gateway.delivery import OUTBOX, End, after_failure, delivery_view, outbox_policy, stepped
from core.gateway.outbound_rows import OLD_ROWS, old_outbound
from core.gateway.platform import Outbound
from core.gateway.platforms import Platforms
from core.gateway.ports import GiveUp, Letter, Mailroom, MailTransaction, Owner, TryAgain
from core.ids import IdSource
from core.journal import Journal
from core.settings import DeliverySettings
from core.store.base import Put, Store
from core.supervisor import Supervisor

_PLATFORM_LIMIT = 16
_LIST_LIMIT = 1000
_PAGE_ROWS = 500
_STORE_RETRY_S = 1.0
_STORE_RETRY_CAP_S = 30.0
_FOR_EVER = 0.0

_outbounds = msgspec.msgpack.Decoder(Outbound)


class Deliveries:
    """Answers on their way.

    One is in flight for each session, in the order of sending; one that waits for its next try
    holds up later ones of its own session only. At most 16 are in flight for one platform,
    so that one that hangs leaves room for the others.

    on_settled(session_id, view): called after the commit when a delivery was sent, died, was let
    go or was asked for again; `unsent` then tells the session's new count.
    """

    def __init__(
        self,
        *,
        mail: Mailroom,
        store: Store,
        journal: Journal,
        clock: Clock,
        ids: IdSource,
        supervisor: Supervisor,
        settings: DeliverySettings,
        platforms: Platforms,
        random: Callable[[], float],
        on_settled: Callable[[SessionId, DeliveryView], None],
    ) -> None:
        self._mail = mail
        self._store = store
        self._journal = journal
        self._clock = clock
        self._ids = ids
        self._supervisor = supervisor
        self._settings = settings
        self._platforms = platforms
        self._random = random
        self._on_settled = on_settled
        self._open: set[str] = set()
        self._owner = Owner(
            name="deliveries",
            put_in="let an agent answer",
            take_out="use `deliveries drop`",
            rules="set deliveries in the configuration; pause and resume work here",
            redriven=self._redriven,
        )
        # Where each delivery is, by its own id and by session; what is no longer there is let go when it is looked up.
        self._places: dict[DeliveryId, tuple[str, MailId]] = {}
        self._by_session: defaultdict[SessionId, set[DeliveryId]] = defaultdict(set)

    @property
    def waiting_count(self) -> int:
        """Deliveries that will still be tried."""
        return self._mail.counts(OUTBOX)[0]

    @property
    def dead_count(self) -> int:
        """Deliveries that nobody will try again unless an operator asks."""
        return self._mail.counts(OUTBOX)[1]

    def unsent(self, session_id: SessionId) -> int:
        """Deliveries of a session that will still be tried; dead ones are not counted."""
        letters = [self._letter(delivery_id) for delivery_id in self._by_session.get(session_id, ())]
        return sum(letter is not None and letter.state is not MailState.DEAD for letter in letters)

    def new_id(self) -> DeliveryId:
        """An id for an Outbound."""
        return DeliveryId(self._ids.new_id())

    async def open_outbox(self, platform: PlatformName) -> str:
        """The mailbox of a platform's answers, made and consumed when it is not yet. Raises StoreError."""
        mailbox = OUTBOX + platform
        if mailbox not in self._open:
            await self._mail.ensure(mailbox, outbox_policy(self._settings), owner=self._owner)
            if mailbox not in self._open:
                self._open.add(mailbox)
                self._mail.consume(
                    mailbox,
                    self._deliver,
                    concurrency=_PLATFORM_LIMIT,
                    work_limit_s=_FOR_EVER,
                    ready=self._platforms.wait_built,
                )
        return mailbox

    def post(self, transaction: MailTransaction, outbound: Outbound) -> None:
        """Have it sent once the transaction is committed; then call posted(). Its outbox must be open."""
        mailbox = OUTBOX + outbound.source.platform
        mail_id = transaction.post(
            mailbox,
            outbound,
            sender=str(outbound.session_id),
            order_key=str(outbound.session_id),
            key=outbound.delivery_id,
            correlation=str(outbound.message_id or ""),
        )
        self._know(outbound, mailbox, mail_id)

    def posted(self, outbound: Outbound) -> None:
        """The commit took place: tell of it when it could not be sent at once."""
        letter = self._letter(outbound.delivery_id)
        if letter is not None and letter.state is MailState.QUEUED:
            view = delivery_view(letter, outbound)
            self._supervisor.spawn(f"delivery:{view.id}", self._tell(outbound, DeliveryQueued(delivery=view)))

    async def recover(self) -> int:
        """Take up what an earlier start of the core left unsent, under the same ids. Returns how many.

        Dead ones stay dead. Raises StoreError.
        """
        for mailbox in self._mail.names(OUTBOX):
            await self.open_outbox(PlatformName(mailbox.removeprefix(OUTBOX)))
            for letter in self._mail.letters(mailbox):
                outbound = _find_outbound(letter)
                if outbound is not None:
                    self._know(outbound, mailbox, letter.id)
        await self._migrate()
        return self.waiting_count

    async def list_deliveries(self, query: ListDeliveries) -> DeliveryList:
        """What is not sent yet, oldest first."""
        if not 1 <= query.limit <= _LIST_LIMIT:
            raise InvalidInput(
                f"limit must be 1 to {_LIST_LIMIT}, not {query.limit}",
                field="limit",
                value=query.limit,
                fix="ask for fewer",
            )
        seq = await self._journal.head()
        letters = [letter for mailbox in self._mail.names(OUTBOX) for letter in self._mail.letters(mailbox)]
        oldest = sorted(letters, key=_id)[: query.limit]
        shown = [(letter, outbound) for letter in oldest if (outbound := _find_outbound(letter)) is not None]
        return DeliveryList(deliveries=tuple(delivery_view(*pair) for pair in shown), seq=seq)

    async def retry_delivery(self, command: RetryDelivery, actor: Actor) -> DeliveryView:
        """Try a dead or waiting delivery again now; one whose turn is coming anyway is left as it is."""
        letter = self._get(command.delivery_id)
        outbound = _outbound(letter)
        view = delivery_view(letter, outbound)
        if view.state is DeliveryState.RETRYING:
            after = msgspec.structs.replace(stepped(view, DeliveryState.QUEUED), attempt=0)
            await self._journal.commit([], self._about(outbound, DeliveryQueued(delivery=after)), actor=actor)
            self._mail.hurry(letter.mailbox, letter.id)
        elif view.state is DeliveryState.DEAD:
            after = await self._redrive(letter, outbound, actor)
        else:
            return view
        self._on_settled(after.session_id, after)
        return after

    async def drop_delivery(self, command: DropDelivery, actor: Actor) -> DeliveryView:
        """Let a dead or waiting delivery go. Raises ConflictError while it is with the platform."""
        letter = self._get(command.delivery_id)
        outbound = _outbound(letter)
        view = delivery_view(letter, outbound)
        if view.state is DeliveryState.SENDING:
            raise ConflictError(
                "it is being sent at this moment", key="state", found="sending", fix="look again in a moment"
            )
        view = msgspec.structs.replace(view, version=view.version + 1)
        transaction = self._mail.transaction()
        transaction.settle(letter.mailbox, letter.id)
        event = DeliveryDropped(delivery=view, reason=command.reason)
        await transaction.commit([], self._about(outbound, event), actor=actor)
        self._forget(outbound)
        self._on_settled(view.session_id, view)
        return view

    async def _migrate(self) -> None:
        """Move what a version before the mailboxes left in rows. Raises StoreError."""
        unreadable: list[str] = []
        after = ""
        while page := await self._store.scan(OLD_ROWS, after=after, limit=_PAGE_ROWS):
            after = page[-1].key
            for row in page:
                outbound = old_outbound(row.body)
                if outbound is None:
                    unreadable.append(row.key)
                    continue
                await self.open_outbox(outbound.source.platform)
                transaction = self._mail.transaction()
                self.post(transaction, outbound)
                await transaction.commit([Put(row.key, None)], [])
        if unreadable:
            error = f"{len(unreadable)} stored deliveries cannot be read and are left alone; first: {unreadable[0]}"
            self._journal.publish("deliveries", AlarmRaised(what="deliveries", error=error))

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
        self._know(outbound, letter.mailbox, again)
        try:
            await transaction.commit([], self._about(outbound, DeliveryQueued(delivery=view)), actor=actor)
        except BaseException:
            self._know(outbound, letter.mailbox, letter.id)
            raise
        return view

    def _redriven(self, mail_ids: Sequence[MailId]) -> None:
        """An operator sent dead answers again as mail: the same deliveries under other ids."""
        for mailbox in self._mail.names(OUTBOX):
            for mail_id in mail_ids:
                letter = self._mail.find_letter(mailbox, mail_id)
                outbound = None if letter is None else _find_outbound(letter)
                if outbound is not None:
                    self._know(outbound, mailbox, mail_id)

    async def _deliver(self, letter: Letter) -> None:
        """Send one, and say what came of it: settled when it returns."""
        outbound = _find_outbound(letter)
        if outbound is None:
            raise GiveUp("this is no answer of a session: an outbox sends nothing else")
        self._know(outbound, letter.mailbox, letter.id)
        failure = await self._platforms.attempt(outbound, timeout_s=self._settings.timeout_s)
        view = delivery_view(letter, outbound)
        if failure is None:
            view = stepped(view, DeliveryState.SENT)
            await self._settle(letter, outbound, DeliverySent(delivery=view), None)
            self._forget(outbound)
            self._on_settled(view.session_id, view)
            return
        verdict = after_failure(letter.attempt, failure, self._settings, self._random)
        if isinstance(verdict, End):
            view = stepped(view, DeliveryState.DEAD, error=verdict.error)
            await self._settle(letter, outbound, DeliveryDied(delivery=view), verdict)
            self._on_settled(view.session_id, view)
            return
        now = mark(self._clock)
        due = Mark(now.at + verdict.delay_s, now.mono + verdict.delay_s)
        view = stepped(view, DeliveryState.RETRYING, error=verdict.error, next_try=due)
        await self._tell(outbound, DeliveryRetrying(delivery=view))
        raise TryAgain(verdict.error, max(0.0, due.mono - self._clock.monotonic()))

    async def _settle(self, letter: Letter, outbound: Outbound, event: Event, end: End | None) -> None:
        # What the platform took must not be sent again by this core, so the line waits for the store.
        failures = 0
        while True:
            transaction = self._mail.transaction()
            if end is None:
                transaction.settle(letter.mailbox, letter.id)
            else:
                transaction.bury(letter.mailbox, letter.id, end.reason, end.error)
            try:
                await transaction.commit(
                    [], self._about(outbound, event), actor=SYSTEM, correlation=str(outbound.message_id or "")
                )
            except Unavailable:
                failures += 1
                await self._clock.sleep(ceiling_s(failures, base_s=_STORE_RETRY_S, cap_s=_STORE_RETRY_CAP_S))
            else:
                return

    async def _tell(self, outbound: Outbound, event: Event) -> None:
        try:
            await self._journal.commit(
                (), self._about(outbound, event), correlation=str(outbound.message_id or ""), is_relief=True
            )
        except Unavailable:
            return  # The message is stored; only the remark is missing.

    def _about(self, outbound: Outbound, event: Event) -> list[tuple[str, Event]]:
        return [(str(outbound.session_id), event)]

    def _get(self, delivery_id: DeliveryId) -> Letter:
        letter = self._letter(delivery_id)
        if letter is None:
            raise NotFound(
                f"no delivery {delivery_id} is waiting or dead",
                noun="delivery",
                id=delivery_id,
                fix="see `deliveries list`",
            )
        return letter

    def _letter(self, delivery_id: DeliveryId) -> Letter | None:
        place = self._places.get(delivery_id)
        return None if place is None else self._mail.find_letter(*place)

    def _know(self, outbound: Outbound, mailbox: str, mail_id: MailId) -> None:
        self._places[outbound.delivery_id] = (mailbox, mail_id)
        self._by_session[outbound.session_id].add(outbound.delivery_id)

    def _forget(self, outbound: Outbound) -> None:
        self._places.pop(outbound.delivery_id, None)
        ids = self._by_session.get(outbound.session_id)
        if ids is not None:
            ids.discard(outbound.delivery_id)
            if not ids:
                del self._by_session[outbound.session_id]


def _outbound(letter: Letter) -> Outbound:
    return _outbounds.decode(letter.body)


def _find_outbound(letter: Letter) -> Outbound | None:
    """What is to be sent; None for a message that somebody else put into the outbox."""
    try:
        return _outbound(letter)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _id(letter: Letter) -> MailId:
    return letter.id
