"""Several posts and settlements, with rows and events, in one commit: all of them happen, or none."""

import asyncio
from collections.abc import Sequence
from copy import copy
from typing import Protocol

from core.api.base import SYSTEM, Actor, Event, MailId
from core.api.errors import HermesError, Unavailable
from core.api.mail import DeadReason, MailState, PostReceipt
from core.api.mailboxes import Guarantee
from core.mailbox import records
from core.mailbox.admission import check_times, new_mail
from core.mailbox.mailbox import Mailbox
from core.mailbox.maillog import MailLog
from core.mailbox.message import Draft, Mail, encode_payload
from core.mailbox.office import Office
from core.mailbox.records import Buried, Returned, Settled, Taken
from core.store.base import Committed, Put

_FOR_EVER = float("inf")


class Boxes(Protocol):
    """Where a transaction finds its mailboxes."""

    def get(self, name: str) -> Mailbox:
        """The mailbox. Raises NotFound."""
        ...


class Journaled(Protocol):
    """What writes it."""

    def submit(
        self,
        puts: Sequence[Put],
        events: Sequence[tuple[str, Event]],
        *,
        actor: Actor = SYSTEM,
        correlation: str = "",
        mail: Sequence[bytes] = (),
        is_relief: bool = False,
    ) -> asyncio.Future[Committed]:
        """Write all or nothing."""
        ...


class Transaction:
    """Collects what is to happen together; `commit` does it. Used once.

    What it acks stays leased until the commit has an end, and is given out again when it fails.
    """

    def __init__(self, boxes: Boxes, journal: Journaled, office: Office, log: MailLog) -> None:
        self._boxes = boxes
        self._journal = journal
        self._office = office
        self._log = log
        self._posted: list[tuple[Mailbox, Mail]] = []
        self._in_memory: list[tuple[Mailbox, Mail]] = []
        self._acked: list[tuple[Mailbox, Mail]] = []
        self._dropped: list[tuple[Mailbox, Mail]] = []
        self._taken: list[tuple[Mailbox, Mail]] = []
        self._fresh: list[tuple[Mailbox, Mail]] = []
        self._returned: list[tuple[Mailbox, Mail, int, str]] = []
        self._buried: list[tuple[Mailbox, Mail, DeadReason, str]] = []
        self._held: list[tuple[Mailbox, Mail, float]] = []
        self._claimed: list[tuple[Mailbox, Mail]] = []
        self._concerned: list[MailId] = []
        self._stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def post(self, mailbox: str, draft: Draft) -> PostReceipt:
        """Put a message in with the commit. Never waits for room. Raises what Mailbox.post raises."""
        box = self._boxes.get(mailbox)
        box.check_taking()
        body = encode_payload(draft.payload, box.policy.body_limit_bytes)
        check_times(draft)
        if box.is_indexing and (draft.key or box.policy.capacity):
            raise Unavailable(f"the stored mail of {box.name} is still being read", what=str(box.name), fix="wait")
        if draft.key:
            known = box.find_known(draft.key)
            if known is not None:
                return PostReceipt(mail_id=known.mail_id, mailbox=box.name, is_duplicate=True)
        mail = new_mail(box.name, box.policy, draft, body, self._office)
        if self._add(box, mail):
            box.remember(mail, self._stored)
        return PostReceipt(mail_id=mail.id, mailbox=box.name)

    def ack(self, mail: Mail) -> None:
        """Settle a message that is held. Raises StaleLease."""
        self._acked.append((self._hold(mail), mail))

    def take(self, mailbox: str, mail_id: MailId) -> Mail | None:
        """Lease one message, wherever it stands, or one that this transaction posts, which is leased with the commit.

        None when it does not wait. The commit makes it durable.
        """
        box = self._boxes.get(mailbox)
        for added in (self._posted, self._in_memory):
            for place, (other, fresh) in enumerate(added):
                if fresh.id == mail_id and other is box:
                    self._fresh.append(added.pop(place))
                    return fresh
        mail = box.take_id(mail_id, self._office.now())
        if mail is not None:
            box.activate()
            self._taken.append((box, mail))
        return mail

    def put_back(self, mail: Mail, *, is_counted: bool = True, note: str = "") -> None:
        """Let a message that is held wait again, at its place.

        is_counted: this delivery counts as an attempt. note: kept as the message's last error when not empty.
        """
        self._returned.append((self._hold(mail), mail, mail.attempt - (not is_counted), note))

    def bury(self, mail: Mail, reason: DeadReason, error: str) -> None:
        """Make a dead letter of a message that is held. Raises StaleLease."""
        self._buried.append((self._hold(mail), mail, reason, error))

    def drop(self, mail: Mail) -> None:
        """Let go of a waiting message or a dead letter for good. Raises StaleLease at the commit."""
        self._dropped.append((self._boxes.get(mail.mailbox), mail))

    def redrive(self, mail: Mail, target: str, *, key: str = "") -> MailId:
        """Send a dead letter once more as a new message; the old one is dropped. Raises what post raises."""
        box = self._boxes.get(target)
        box.check_taking()
        again = copy(mail)
        again.id, again.mailbox = self._office.new_id(), box.name
        again.created_at, again.posted = self._office.wall(), self._office.now()
        again.key, again.replays, again.redriven_from = key, mail.replays + 1, mail.id
        again.state, again.reason, again.died_at = MailState.QUEUED, None, 0.0
        again.attempt = again.crashes = again.place = 0
        again.attempts, again.error = None, ""
        again.due = again.due_at = again.taken = again.until = 0.0
        ttl_s = box.policy.ttl_s
        again.expires = again.posted + ttl_s if ttl_s else 0.0
        again.expires_at = again.created_at + ttl_s if ttl_s else 0.0
        self._add(box, again)
        self.drop(mail)
        return again.id

    async def commit(
        self,
        puts: Sequence[Put] = (),
        events: Sequence[tuple[str, Event]] = (),
        *,
        actor: Actor = SYSTEM,
        correlation: str = "",
    ) -> Committed:
        """Do all of it, durably. Raises StaleLease, ConflictError, StoreError; then nothing has happened.

        From here on nobody else can settle what it settles. Cancelling the caller takes nothing back.
        """
        try:
            self._claim()
            # What was written before must not come after it in the log.
            self._log.flush()
            is_relief = not self._posted and not self._fresh and all(put.body is None for put in puts)
            future = self._journal.submit(
                puts, events, actor=actor, correlation=correlation, mail=self._records(), is_relief=is_relief
            )
        except BaseException as error:
            self.cancel(error)
            raise
        future.add_done_callback(self._ended)
        return await asyncio.shield(future)

    def cancel(self, error: BaseException | None = None) -> None:
        """Give back what it reserved and held. error: why, for those who sent the same key meanwhile."""
        if not self._stored.done():
            self._stored.set_exception(error if isinstance(error, HermesError) else Unavailable("the sender gave up"))
            self._stored.exception()
        for box, mail in (*self._posted, *self._in_memory, *self._fresh):
            box.not_stored(mail)
        self._unclaim(is_done=False)
        for box, mail, until in self._held:
            if box.leases.get(mail.id) is mail:
                box.hold(mail, until)
        for box, mail in self._taken:
            if box.leases.get(mail.id) is mail:
                mail.attempt -= 1
                box.give_back(mail, self._office.now(), 0.0, "", self._office.wall())
        self._posted, self._in_memory, self._fresh, self._held, self._taken = [], [], [], [], []

    def _hold(self, mail: Mail) -> Mailbox:
        """Keep a lease until the commit has an end."""
        box = self._boxes.get(mail.mailbox)
        until = mail.until
        box.hold(mail, _FOR_EVER)
        self._held.append((box, mail, until))
        return box

    def _add(self, box: Mailbox, mail: Mail) -> bool:
        """Whether it is to come in: the policy may drop it at once."""
        if not box.reserve(mail):
            return False
        (self._posted if _is_logged(box, mail) else self._in_memory).append((box, mail))
        return True

    def _claim(self) -> None:
        for box, mail in (*((box, mail) for box, mail, _ in self._held), *self._dropped):
            box.claim(mail)
            self._claimed.append((box, mail))
        self._concerned = [mail.id for _, mail, _ in self._held]
        others = (*self._dropped, *self._taken, *self._posted, *self._fresh)
        self._concerned += [mail.id for _, mail in others]
        self._log.claimed.update(self._concerned)

    def _unclaim(self, *, is_done: bool) -> None:
        for box, mail in self._claimed:
            # What waits and is to be dropped stays out of reach until it is.
            if not is_done or mail.id not in box.waiting:
                box.unclaim(mail)
                box.activate()
        self._claimed = []
        self._log.claimed.difference_update(self._concerned)

    def _ended(self, future: "asyncio.Future[Committed]") -> None:
        error = Unavailable("the store has stopped") if future.cancelled() else future.exception()
        if error is not None:
            self.cancel(error)
        else:
            self._apply(future.result().place)

    def _records(self) -> list[bytes]:
        logged = [(box, mail) for box, mail in self._fresh if _is_logged(box, mail)]
        found = [records.posted(mail) for _, mail in (*self._posted, *logged)]
        found += [records.encoded(Taken(mail.id, mail.attempt + 1)) for _, mail in logged]
        found += [records.encoded(Taken(mail.id, mail.attempt)) for _, mail in self._taken if mail.place]
        wall = self._office.wall()
        found += [
            records.encoded(Returned(mail.id, attempt, wall, 0.0, note, mail.crashes))
            for _, mail, attempt, note in self._returned
            if mail.place
        ]
        found += [
            records.encoded(Buried(mail.id, reason, error, wall))
            for _, mail, reason, error in self._buried
            if mail.place
        ]
        found += [records.encoded(Settled(mail.id)) for _, mail in (*self._acked, *self._dropped) if mail.place]
        return [self._log.head(), *found] if found else []

    def _apply(self, place: int) -> None:
        self._unclaim(is_done=True)
        self._stored.set_result(None)
        for box, mail in self._posted:
            self._log.placed(mail, place)
            box.stored(mail)
        for box, mail in self._in_memory:
            box.stored(mail)
        now, wall = self._office.now(), self._office.wall()
        for box, mail in self._fresh:
            if _is_logged(box, mail):
                self._log.placed(mail, place)
            box.stored_taken(mail, now)
        for box, mail in self._acked:
            box.settle(mail)
            self._log.let_go(mail)
        for box, mail, attempt, note in self._returned:
            mail.attempt = attempt
            box.give_back(mail, now, 0.0, note, wall)
        for box, mail, reason, error in self._buried:
            box.bury(mail, reason, error, wall)
        for box, mail in self._dropped:
            try:
                box.drop(mail)
            except HermesError:
                continue
            self._log.let_go(mail)
        moved = [*(box for box, _, _ in self._held), *(box for box, _ in self._dropped)]
        for box in {id(box): box for box in moved}.values():
            box.moved()


def _is_logged(box: Mailbox, mail: Mail) -> bool:
    return box.is_durable and mail.guarantee is not Guarantee.AT_MOST_ONCE
