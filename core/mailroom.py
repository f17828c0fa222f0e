"""Where the mailbox core meets the rest: what the gateway needs of mailboxes, done with real ones."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from core.api.base import SYSTEM, Actor, Event, MailboxName, MailId, Mark
from core.api.errors import NotFound
from core.api.mail import DeadReason, MailState
from core.api.mailboxes import MailboxPolicy, MailboxState
from core.api.system import AlarmRaised
from core.clock import Clock
from core.journal import Journal
from core.letters import Gate, GiveUp, Letter, LetterHandler, Outline, Owner, TooEarly, TryAgain
from core.mailbox.calls import Calls
from core.mailbox.consumer import Reject, Retry, Settlement
from core.mailbox.consumer import TooEarly as PutOff
from core.mailbox.consumers import Consumers
from core.mailbox.incarnations import StoredIncarnations
from core.mailbox.mailbox import Mailbox
from core.mailbox.mailboxes import Mailboxes
from core.mailbox.message import Draft, Mail
from core.mailbox.operations import Operations
from core.mailbox.reporting import Reporting
from core.mailbox.router import Router
from core.mailbox.transaction import Transaction
from core.mailbox.watches import Watches
from core.store.base import Committed, Put, Store
from core.supervisor import Supervisor
from core.waits import task_group

_CALLS_AT_A_TIME = 1_000
UNDELIVERABLE = MailboxName("undeliverable")
"""Mailbox that keeps messages to unknown or ended agents as dead letters."""


def _nothing(_what: str, _error: Exception) -> None:
    """Nobody is told."""


class GatewayTransaction:
    """A transaction of the mailbox core in the words of the gateway."""

    def __init__(self, boxes: Mailboxes) -> None:
        self._boxes = boxes
        self._inner: Transaction = boxes.transaction()
        self._is_committing = False

    def post(
        self, mailbox: str, payload: Any, *, sender: str, order_key: str, key: str = "", correlation: str = ""
    ) -> MailId:
        """Put a message in."""
        draft = Draft(payload=payload, sender=sender, order_key=order_key, key=key, correlation=correlation)
        return self._inner.post(mailbox, draft).mail_id

    def take(self, mailbox: str, mail_id: MailId) -> None:
        """Hold a message that waits."""
        if self._inner.take(mailbox, mail_id) is None:
            raise _not_there(mailbox, mail_id)

    def settle(self, mailbox: str, mail_id: MailId) -> None:
        """Be done with a message."""
        box = self._boxes.get(mailbox)
        held = box.leases.get(mail_id)
        if held is not None:
            self._inner.ack(held)
        else:
            self._inner.drop(_found(box, mail_id))

    def put_back(self, mailbox: str, mail_id: MailId, *, is_counted: bool = True, note: str = "") -> None:
        """Let a held message wait again."""
        self._inner.put_back(_held(self._boxes.get(mailbox), mail_id), is_counted=is_counted, note=note)

    def bury(self, mailbox: str, mail_id: MailId, reason: DeadReason, error: str) -> None:
        """Make a dead letter of a held message."""
        self._inner.bury(_held(self._boxes.get(mailbox), mail_id), reason, error)

    def redrive(self, mailbox: str, mail_id: MailId) -> MailId:
        """Send a dead letter again."""
        mail = _found(self._boxes.get(mailbox), mail_id)
        return self._inner.redrive(mail, mailbox, key=mail.key)

    async def commit(
        self,
        puts: Sequence[Put],
        events: Sequence[tuple[str, Event]],
        *,
        actor: Actor = SYSTEM,
        correlation: str = "",
    ) -> Committed:
        """Do all of it, durably."""
        self._is_committing = True
        return await self._inner.commit(puts, events, actor=actor, correlation=correlation)

    def cancel(self) -> None:
        """Give back what it holds."""
        # A commit takes care of its own end, also when its caller does not wait for it.
        if not self._is_committing:
            self._inner.cancel()


class Mailroom:
    """The mailboxes of a core with all that belongs to them: consumers, reports, the orders of operators."""

    def __init__(
        self,
        *,
        journal: Journal,
        store: Store,
        clock: Clock,
        supervisor: Supervisor,
        boot: int,
        random: Callable[[], float],
        on_fault: Callable[[str, Exception], None] = _nothing,
    ) -> None:
        self._clock = clock
        self._journal = journal
        self._supervisor = supervisor
        self.boxes = Mailboxes(
            journal=journal, store=store, clock=clock, supervisor=supervisor, boot=boot, random=random
        )
        self.consumers = Consumers(clock, supervisor, random=random, on_alarm=self._on_alarm)
        # Calls to far sides mostly wait: many that hang must leave room for those that answer, and for work here.
        self.callers = Consumers(
            clock,
            supervisor,
            random=random,
            on_alarm=self._on_alarm,
            max_concurrent_deliveries=_CALLS_AT_A_TIME,
            service="mail heartbeats of calls",
        )
        self.router = Router(
            self.boxes,
            clock,
            incarnations=StoredIncarnations(store, journal),
            undeliverable=UNDELIVERABLE,
            on_fault=on_fault,
        )
        self.watches = Watches(self.router, self.boxes, clock)
        self.calls = Calls(self.router, self.boxes, clock)
        self.operations = Operations(mailboxes=self.boxes, journal=journal, clock=clock)
        self._reporting = Reporting(mailboxes=self.boxes, journal=journal, clock=clock)

    async def open(self) -> None:
        """Read what is stored. Raises StoreError."""
        await self.boxes.open()
        await self.boxes.indexed()
        await self.boxes.ensure(UNDELIVERABLE, MailboxPolicy())
        self._supervisor.start("mail notices", self.watches.run)
        self._supervisor.start("mail reports", self._reporting.run)

    async def stop(self, deadline_s: float) -> None:
        """Give nothing more to handlers, and wait for those that run."""
        async with task_group() as stops:
            stops.create_task(self.consumers.stop(deadline_s=deadline_s))
            stops.create_task(self.callers.stop(deadline_s=deadline_s))

    async def close(self) -> None:
        """Write what is noted."""
        await self.boxes.close()

    async def ensure(self, mailbox: str, policy: MailboxPolicy, *, owner: Owner | None = None) -> None:
        """Make a mailbox when it is not there, or give it these rules."""
        box = await self.boxes.ensure(mailbox, policy)
        if owner is not None:
            self.boxes.owners[mailbox] = owner
        if box.policy != policy:
            await self.boxes.set_policy(mailbox, policy, actor=SYSTEM)

    def transaction(self) -> GatewayTransaction:
        """Several changes in one commit."""
        return GatewayTransaction(self.boxes)

    def names(self, prefix: str) -> Sequence[str]:
        """All mailboxes whose name begins so."""
        return [str(box.name) for box in self.boxes.all() if box.name.startswith(prefix)]

    def letters(self, mailbox: str) -> Sequence[Letter]:
        """Everything that waits, is held or is dead, by id."""
        box = self.boxes.find(mailbox)
        if box is None:
            return ()
        mails = [*box.live(), *(box.dead or {}).values()]
        return [self._letter(box, mail) for mail in sorted(mails, key=_id)]

    def find_letter(self, mailbox: str, mail_id: MailId) -> Letter | None:
        """One message that is live or dead."""
        box = self.boxes.find(mailbox)
        mail = None if box is None else box.find_mail(mail_id)
        return None if box is None or mail is None else self._letter(box, mail)

    def is_giving(self, mailbox: str) -> bool:
        """False while an operator has it paused."""
        box = self.boxes.find(mailbox)
        return box is not None and box.state in {MailboxState.OPEN, MailboxState.DRAINING}

    def counts(self, prefix: str) -> tuple[int, int]:
        """Live messages and dead letters in all mailboxes whose name begins so."""
        boxes = [box for box in self.boxes.all() if box.name.startswith(prefix)]
        return sum(box.depth for box in boxes), sum(len(box.dead or ()) for box in boxes)

    def outline(self, mailbox: str) -> Outline:
        """What it holds."""
        box = self.boxes.find(mailbox)
        if box is None:
            return Outline()
        first = box.oldest()
        oldest = (
            None if first is None else Mark(self._clock.now() - self._clock.monotonic() + first.posted, first.posted)
        )
        return Outline(box.depth, len(box.leases), len(box.dead or ()), oldest)

    def hurry(self, mailbox: str, mail_id: MailId, *, is_afresh: bool = True) -> bool:
        """Let a message that waits for its next try go out now."""
        return self.boxes.get(mailbox).hurry(mail_id, is_afresh=is_afresh)

    def consume(
        self,
        mailbox: str,
        handler: LetterHandler,
        *,
        concurrency: int,
        work_limit_s: float,
        ready: Callable[[], Awaitable[None]],
        gate: Gate | None = None,
    ) -> None:
        """Give the messages of a mailbox to a handler once it is ready."""
        self._attach(self.consumers, mailbox, handler, concurrency, work_limit_s, ready, gate)

    def consume_calls(
        self,
        mailbox: str,
        handler: LetterHandler,
        *,
        concurrency: int,
        ready: Callable[[], Awaitable[None]],
        gate: Gate,
    ) -> None:
        """The same for a handler that calls a far side, of which there may be a thousand that hang."""
        self._attach(self.callers, mailbox, handler, concurrency, 0.0, ready, gate)

    async def remove(self, mailbox: str) -> None:
        """Give its messages to nobody any more, and remove it. Raises ConflictError while it holds anything."""
        for consumers in (self.consumers, self.callers):
            if consumers.has(mailbox):
                await consumers.detach(mailbox)
        if self.boxes.find(mailbox) is not None:
            await self.boxes.delete(mailbox, actor=SYSTEM)
        self.boxes.owners.pop(mailbox, None)

    def _attach(
        self,
        consumers: Consumers,
        mailbox: str,
        handler: LetterHandler,
        concurrency: int,
        work_limit_s: float,
        ready: Callable[[], Awaitable[None]],
        gate: Gate | None,
    ) -> None:
        box = self.boxes.get(mailbox)

        async def handle(mail: Mail) -> Settlement:
            try:
                await handler(self._letter(box, mail))
            except TryAgain as again:
                raise Retry(str(again), again.delay_s) from again
            except TooEarly as early:
                raise PutOff(early.delay_s, str(early)) from early
            except GiveUp as end:
                raise Reject(str(end)) from end
            return Settlement.SETTLED

        # The handler's own rules say when to try again, and the gate whom to try at all.
        consumers.attach(
            box,
            handle,
            name=mailbox,
            concurrency=concurrency,
            breaker=None,
            work_limit_s=work_limit_s,
            prepare=ready,
            gate=gate,
        )

    def wake(self, mailbox: str) -> None:
        """Have the gate of a mailbox asked again."""
        self.consumers.wake(mailbox)
        self.callers.wake(mailbox)

    def _letter(self, box: Mailbox, mail: Mail) -> Letter:
        now = self._clock.monotonic()
        wall = self._clock.now()
        state = MailState.IN_FLIGHT if mail.id in box.leases else mail.state
        return Letter(
            id=mail.id,
            mailbox=str(box.name),
            state=state,
            body=mail.body,
            key=mail.key,
            order_key=mail.order_key,
            attempt=mail.attempt,
            created=Mark(wall - (now - mail.posted), mail.posted),
            due=Mark(wall + mail.due - now, mail.due) if mail.due else None,
            error=mail.error,
            replays=mail.replays,
            crashes=mail.crashes,
            failures=len(mail.attempts or ()) + mail.put_offs,
        )

    def _on_alarm(self, group: str, why: str) -> None:
        self._journal.publish("mailboxes", AlarmRaised(what=f"consumers {group}", error=why[:300]))


def _id(mail: Mail) -> MailId:
    return mail.id


def _found(box: Mailbox, mail_id: MailId) -> Mail:
    mail = box.find_mail(mail_id)
    if mail is None:
        raise _not_there(str(box.name), mail_id)
    return mail


def _held(box: Mailbox, mail_id: MailId) -> Mail:
    mail = box.leases.get(mail_id)
    if mail is None:
        raise _not_there(str(box.name), mail_id)
    return mail


def _not_there(mailbox: str, mail_id: MailId) -> NotFound:
    return NotFound(f"m-{mail_id} is not in {mailbox} any more", noun="mail", id=f"m-{mail_id}", mailbox=mailbox)
