"""The taking side of a mailbox: how much it holds, what it does beyond that, and which keys it knows."""

import asyncio
from collections import deque

from core.api.base import MailboxName
from core.api.errors import MailboxFull
from core.api.mail import DeadReason, PostReceipt
from core.api.mailboxes import MailboxPolicy, MailboxState, Overflow
from core.mailbox.admission import Known, Remembered
from core.mailbox.giving import Giving
from core.mailbox.maillog import MailLog
from core.mailbox.message import Mail
from core.mailbox.office import Office
from core.mailbox.records import Buried

_OPEN, _PAUSED = MailboxState.OPEN, MailboxState.PAUSED


class Taking(Giving):
    """A queue with a bound. known: idempotency keys of messages that were taken in."""

    __slots__ = ("_held_back", "_pending", "_room", "known")

    def __init__(self, name: MailboxName, policy: MailboxPolicy, office: Office, log: MailLog | None) -> None:
        super().__init__(name, policy, office, log)
        self._pending: int = 0
        self._held_back: list[Mail] | None = None
        self._room: deque[asyncio.Future[bool]] | None = None
        self.known: Remembered | None = None

    def check_taking(self) -> None:
        """Raises MailboxClosed when nothing is taken in."""
        if self._state not in {_OPEN, _PAUSED}:
            raise self._closed()

    def find_known(self, key: str) -> Known | None:
        """The message that was taken in with that key within the window."""
        known = None if self.known is None else self.known.find(key, self._office.now())
        if known is not None:
            self.duplicates += 1
            self.change += 1
        return known

    def remember(self, mail: Mail, stored: "asyncio.Future[None] | None") -> None:
        """Refuse the key of a message from now on, for as long as the policy says. stored: ends when it is durable."""
        if mail.key and self.policy.dedupe_s > 0:
            if self.known is None:
                self.known = Remembered()
            self.known.add(mail.key, Known(mail.id, self._office.now() + self.policy.dedupe_s, stored))

    async def _duplicate(self, known: Known) -> PostReceipt:
        if known.stored is not None and not known.stored.done():
            await asyncio.shield(known.stored)
        return PostReceipt(mail_id=known.mail_id, mailbox=self.name, is_duplicate=True)

    # -- in

    def stored(self, mail: Mail) -> None:
        """A message of this mailbox is durable: let it in, behind what was stored before it."""
        if self._is_indexing:
            if self._held_back is None:
                self._held_back = []
            self._held_back.append(mail)
            return
        self._pending -= 1
        if mail.key:
            self.remember(mail, None)
        capacity = self.policy.capacity
        if capacity and len(self.waiting) + len(self.leases) >= capacity:
            self._displace(mail)
        self._let_in(mail)

    def stored_taken(self, mail: Mail, now: float) -> None:
        """A message is durable, and who posted it holds it from the first."""
        self._pending -= 1
        if mail.key:
            self.remember(mail, None)
        self.accept_taken(mail, now)

    def not_stored(self, mail: Mail) -> None:
        """It is not: give its room back."""
        self._pending -= 1
        if mail.key and self.known is not None:
            self.known.forget(mail.key, mail.id)
        self._give_room()

    def _let_in(self, mail: Mail) -> None:
        if mail.past is not None and mail.reason is not None:
            self.accept_dead(mail, mail.reason, mail.error, mail.died_at)
            return
        self.accept(mail)
        if mail.due or mail.expires:
            self._office.alarm(min(mail.due or mail.expires, mail.expires or mail.due), self)
        if self._selective:
            self._serve_selective()

    # -- room

    @property
    def room(self) -> int | None:
        """How many more messages it may hold, None without a bound."""
        return self.policy.capacity - self._live_count() if self.policy.capacity else None

    @property
    def pending(self) -> int:
        """Messages that are being stored."""
        return self._pending

    def _live_count(self) -> int:
        return len(self.waiting) + len(self.leases) + self._pending

    @property
    def _is_full(self) -> bool:
        return 0 < self.policy.capacity <= self._live_count()

    @property
    def _will_drop_oldest(self) -> bool:
        return self.policy.overflow is Overflow.DROP_OLDEST and bool(self.waiting or self._pending)

    def _overflow(self, mail: Mail) -> bool:
        """Do what the policy says about one too many; True when the new one is to be taken in."""
        overflow = self.policy.overflow
        if overflow is Overflow.DROP_OLDEST:
            oldest = self.oldest()
            if oldest is not None:
                self.drop(oldest)
                self._forget_stored(oldest)
                return True
        elif overflow is Overflow.DROP_NEWEST:
            self.accepted += 1
            self.dropped += 1
            self.change += 1
            return False
        elif overflow is Overflow.DEAD_LETTER:
            mail.reason, mail.died_at = DeadReason.OVERFLOW, mail.created_at
            mail.error = f"the mailbox held {self.policy.capacity} messages"
            return True
        self.rejected += 1
        self.change += 1
        raise self._full()

    def _displace(self, mail: Mail) -> None:
        """Make room for a stored message; one that finds only messages in flight is set aside itself."""
        oldest = self.oldest()
        if self.policy.overflow is not Overflow.DROP_OLDEST or mail.reason is not None:
            return
        if oldest is not None:
            self.drop(oldest)
            self._forget_stored(oldest)
            return
        mail.reason, mail.died_at = DeadReason.OVERFLOW, self._office.wall()
        mail.error = f"the mailbox held {self.policy.capacity} messages, all in flight"
        if mail.place and self._log is not None:
            self._log.note(Buried(mail.id, mail.reason, mail.error, mail.died_at))

    async def _wait_for_room(self) -> None:
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        room = self._room = self._room or deque()
        room.append(waiter)
        is_let_in = False
        try:
            async with asyncio.timeout(self.policy.block_s):
                await waiter
            self.check_taking()
            is_let_in = True
        except TimeoutError as error:
            self.rejected += 1
            self.change += 1
            raise self._full() from error
        finally:
            if waiter in room:
                room.remove(waiter)
            if waiter.done() and not waiter.cancelled() and waiter.result():
                self._pending -= 1
                if not is_let_in:
                    self._give_room()

    def _give_room(self) -> None:
        """Keep what room there is for those who have waited longest, and tell them."""
        capacity = self.policy.capacity
        while self._room and (not capacity or self._live_count() < capacity):
            waiter = self._room.popleft()
            if not waiter.done():
                self._pending += 1
                waiter.set_result(True)

    def _send_senders_away(self) -> None:
        for waiter in self._room or ():
            if not waiter.done():
                waiter.set_result(False)
        self._room = None

    def _full(self) -> MailboxFull:
        capacity = self.policy.capacity
        return MailboxFull(
            f"mailbox {self.name} is full: it holds {capacity} messages",
            mailbox=str(self.name),
            bound="capacity",
            limit=capacity,
            fix="send it later, or raise its capacity",
        )

    def _forget_stored(self, mail: Mail) -> None:
        if mail.place and self._log is not None:
            self._log.settled(mail)
