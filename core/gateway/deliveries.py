"""The outbox: answers wait in a mailbox for each platform and are sent in the order of their session; none is lost.

A long answer is several messages, posted in one commit and each with an id of its own, so that what was sent of it is
never sent again.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from core.api.base import SYSTEM, AgentName, DeliveryId, Event, Mark, PlatformName, SessionId
from core.api.deliveries import (
    DeliveryDied,
    DeliveryQueued,
    DeliveryRetrying,
    DeliverySent,
    DeliveryState,
    DeliveryView,
)
from core.api.errors import Unavailable
from core.api.mail import MailState
from core.api.system import AlarmRaised
from core.backoff import ceiling_s
from core.clock import Clock, mark
from core.gateway.account import Way
from core.gateway.accounts import Accounts
from core.gateway.delivery import (
    OUTBOX,
    End,
    Failure,
    after_failure,
    asked_s,
    attempt_limit_s,
    delivery_view,
    outbox_policy,
    stepped,
)
from core.gateway.delivery_letters import DeliveryLetters, find_outbound
from core.gateway.delivery_orders import DeliveryOrders
from core.gateway.outbound_rows import OLD_ROWS, old_outbound
from core.gateway.outgoing import Outgoing
from core.gateway.parts import parts_of
from core.gateway.platform import Limits, Outbound, PlatformErrorKind
from core.gateway.platforms import Platforms
from core.gateway.sent_ids import Listener, SentIds
from core.ids import IdSource
from core.journal import Journal
from core.letters import GiveUp, Letter, Mailroom, MailTransaction, Owner, TooEarly, TryAgain
from core.settings import DeliverySettings
from core.store.base import Put, Store
from core.supervisor import Supervisor

_PLATFORM_LIMIT = 16
_PAGE_ROWS = 500
_STORE_RETRY_S = 1.0
_STORE_RETRY_CAP_S = 30.0
_FOR_EVER = 0.0
_LONG_TEXT = 50_000


class Deliveries:
    """Answers on their way.

    One is in flight for each session, in the order of sending; one that waits for its next try
    holds up later ones of its own session only. At most 16 are in flight for one platform,
    so that one that hangs leaves room for the others; accounts say when nothing may be sent at all.

    on_settled(session_id, view): called after the commit when a delivery was sent, died, was let
    go or was asked for again; `unsent` then tells the session's new count. outgoing: finds the files that answers name.
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
        accounts: Accounts,
        random: Callable[[], float],
        on_settled: Callable[[SessionId, DeliveryView], None],
        outgoing: Outgoing | None = None,
    ) -> None:
        self._mail = mail
        self._store = store
        self._journal = journal
        self._clock = clock
        self._ids = ids
        self._supervisor = supervisor
        self._settings = settings
        self._platforms = platforms
        self._accounts = accounts
        self._outgoing = outgoing
        self._sent = SentIds(store=store, journal=journal, clock=clock, keep_s=settings.keep_ids_s)
        self._random = random
        self._on_settled = on_settled
        self._open: set[str] = set()
        self._letters = DeliveryLetters(mail)
        self._owner = Owner(
            name="deliveries",
            put_in="let an agent answer",
            take_out="use `deliveries drop`",
            rules="set deliveries in the configuration; pause and resume work here",
            redriven=self._letters.redriven,
        )
        self.orders = DeliveryOrders(
            mail=mail,
            letters=self._letters,
            accounts=accounts,
            sent=self._sent,
            journal=journal,
            clock=clock,
            on_settled=on_settled,
        )

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
        return self._letters.unsent(session_id)

    def is_kept(self, delivery_id: DeliveryId) -> bool:
        """Whether a delivery is still on its way, or dead."""
        return self._letters.find(delivery_id) is not None

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
                    ready=partial(self._ready, platform),
                    gate=self._accounts.gate(platform),
                )
        return mailbox

    async def prepared(self, outbounds: Sequence[Outbound], *, agent: AgentName, user: str) -> list[Outbound]:
        """Answers of an agent as the messages that will be posted: the files that they name attached, long ones cut.

        user: whose session it is; the agent may send what is in its folder for them.
        """
        found: list[Outbound] = []
        for outbound in outbounds:
            whole = outbound
            if self._outgoing is not None:
                whole = await self._outgoing.attached(outbound, self._limits(outbound), agent=agent, user=user)
            found += await self.cut(whole)
        return found

    async def cut(self, outbound: Outbound) -> tuple[Outbound, ...]:
        """The same as parts(); a text that takes long to cut holds nobody else up."""
        is_long = len(outbound.text) > _LONG_TEXT
        return await asyncio.to_thread(self.parts, outbound) if is_long else self.parts(outbound)

    def parts(self, outbound: Outbound) -> tuple[Outbound, ...]:
        """A message as the messages that its platform carries, in their order; to be posted together."""
        return parts_of(outbound, self._limits(outbound))

    def post(self, transaction: MailTransaction, outbound: Outbound) -> None:
        """Have it sent, in parts if it must be, once the transaction is committed; then call posted().

        Its outbox must be open.
        """
        mailbox = OUTBOX + outbound.source.platform
        for part in self.parts(outbound):
            mail_id = transaction.post(
                mailbox,
                part,
                sender=str(part.session_id),
                order_key=str(part.session_id),
                key=part.delivery_id,
                correlation=str(part.message_id or ""),
            )
            self._letters.know(part, mailbox, mail_id)

    def posted(self, outbound: Outbound) -> None:
        """The commit took place: tell of what could not be sent at once."""
        self._accounts.show_soon(outbound.source.platform)
        for part in self.parts(outbound):
            letter = self._letters.find(part.delivery_id)
            if letter is not None and letter.state is MailState.QUEUED:
                view = delivery_view(letter, part)
                self._supervisor.spawn(f"delivery:{view.id}", self._tell(part, DeliveryQueued(delivery=view)))

    async def recover(self) -> int:
        """Take up what an earlier start of the core left unsent, under the same ids. Returns how many.

        Dead ones stay dead. Raises StoreError.
        """
        await self._accounts.recover()
        self._supervisor.start("sent ids", self._sent.run)
        for mailbox in self._mail.names(OUTBOX):
            await self.open_outbox(PlatformName(mailbox.removeprefix(OUTBOX)))
            for letter in self._mail.letters(mailbox):
                outbound = find_outbound(letter)
                if outbound is not None:
                    self._letters.know(outbound, mailbox, letter.id)
        await self._migrate()
        return self.waiting_count

    def views_of(self, outbound: Outbound) -> list[DeliveryView]:
        """What was posted of a message, as far as it is still on its way or dead."""
        pairs = [(self._letters.find(part.delivery_id), part) for part in self.parts(outbound)]
        return [delivery_view(letter, part) for letter, part in pairs if letter is not None]

    async def sent_id(self, delivery_id: DeliveryId) -> str:
        """What the platform calls a message that it took, for as long as deliveries.keep_ids_s; "" when unknown.

        Kept over restarts for messages with buttons, and where messages can be edited. Raises StoreError.
        """
        return await self._sent.get(delivery_id)

    def when_sent(self, delivery_id: DeliveryId, listener: Listener) -> None:
        """Call this with the platform's id once it took the message; at once when it has. Not over restarts."""
        self._sent.when_sent(delivery_id, listener)

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

    async def _ready(self, platform: PlatformName) -> None:
        await self._platforms.wait_built()
        self._accounts.built(platform)

    def _limits(self, outbound: Outbound) -> Limits:
        return self._platforms.limits(outbound.source.platform) or Limits()

    async def _deliver(self, letter: Letter) -> None:
        """Send one, and say what came of it: settled when it returns."""
        outbound = find_outbound(letter)
        if outbound is None:
            stray = PlatformName(letter.mailbox.removeprefix(OUTBOX))
            self._accounts.get(stray).not_used(self._clock.monotonic())
            self._accounts.changed(stray)
            raise GiveUp("this is no answer of a session: an outbox sends nothing else")
        self._letters.know(outbound, letter.mailbox, letter.id)
        platform = outbound.source.platform
        account = self._accounts.get(platform)
        account.spared.discard(letter.id)
        way = account.begun(outbound.source.chat, self._clock.monotonic())
        if not isinstance(way, Way):
            # Its place is free again, and may be the only one that a broken account gives.
            self._accounts.changed(platform)
            raise TooEarly(way)
        try:
            result = await self._platforms.attempt(outbound, timeout_s=attempt_limit_s(outbound, self._settings))
        except BaseException:
            account.let_go(way, self._clock.monotonic())
            self._accounts.changed(platform)
            raise
        if isinstance(result, Failure):
            await self._failed(letter, outbound, way, result)
            return
        account.arrived(way, self._clock.monotonic())
        self._accounts.changed(platform)
        view = stepped(delivery_view(letter, outbound), DeliveryState.SENT)
        is_kept = result and (outbound.buttons or self._limits(outbound).can_edit)
        puts = [self._sent.row(outbound.delivery_id, result)] if is_kept else []
        await self._settle(letter, outbound, DeliverySent(delivery=view), None, puts)
        self._letters.forget(outbound)
        self._sent.arrived(outbound.delivery_id, result)
        self._on_settled(view.session_id, view)

    async def _failed(self, letter: Letter, outbound: Outbound, way: Way, failure: Failure) -> None:
        """Say what follows; raises what tells the mailbox, unless it is settled."""
        platform, now = outbound.source.platform, mark(self._clock)
        account = self._accounts.get(platform)
        hold = account.hold
        is_spared = account.failed(way, failure, now) or self._is_last_but_early(letter, failure)
        if account.hold is not hold:
            self._accounts.held(platform)
        else:
            self._accounts.changed(platform)
        was_shut = account.is_shut(now.mono)
        verdict = after_failure(letter.attempt, failure, self._settings, self._random)
        view = delivery_view(letter, outbound)
        if isinstance(verdict, End) and not is_spared:
            view = stepped(view, DeliveryState.DEAD, error=verdict.error)
            await self._settle(letter, outbound, DeliveryDied(delivery=view), verdict)
            self._on_settled(view.session_id, view)
            return
        delay_s = account.put_off_s(way.chat, now.mono) if is_spared or isinstance(verdict, End) else verdict.delay_s
        due = Mark(now.at + delay_s, now.mono + delay_s)
        view = stepped(view, DeliveryState.RETRYING, error=verdict.error, next_try=due)
        if is_spared:
            view = msgspec.structs.replace(view, attempt=view.attempt - 1)
        await self._tell(outbound, DeliveryRetrying(delivery=view))
        left_s = max(0.0, due.mono - self._clock.monotonic())
        if not is_spared:
            raise TryAgain(verdict.error, left_s)
        if was_shut:
            # It may have been freed while that was told.
            if account.is_shut(self._clock.monotonic()):
                account.spared.add(letter.id)
            else:
                left_s = 0.0
        raise TooEarly(left_s, verdict.error)

    def _is_last_but_early(self, letter: Letter, failure: Failure) -> bool:
        """Whether it would die of nothing but a chat that asks to wait again and again."""
        is_early = failure.kind is PlatformErrorKind.RETRY_AFTER and asked_s(failure) is not None
        return is_early and letter.attempt >= self._settings.max_attempts

    async def _settle(
        self, letter: Letter, outbound: Outbound, event: Event, end: End | None, puts: Sequence[Put] = ()
    ) -> None:
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
                    puts, self._about(outbound, event), actor=SYSTEM, correlation=str(outbound.message_id or "")
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
