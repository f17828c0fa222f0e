"""One mailbox: takes messages in, gives them out on lease, and takes back what came of them."""

import asyncio
from collections import deque
from operator import attrgetter

from core.api.base import MailboxName, MailId
from core.api.mail import DeadReason, MailFilter, MailState, PostReceipt
from core.api.mailboxes import Guarantee, MailboxPolicy, MailboxState, MailboxView, Overflow
from core.mailbox.admission import check_times, new_mail
from core.mailbox.filter import fits
from core.mailbox.giving import Pause
from core.mailbox.maillog import MailLog
from core.mailbox.measured import mailbox_view
from core.mailbox.message import RANKS, TEXT_HEAD_BYTES, Draft, Mail, encode_payload
from core.mailbox.office import Office
from core.mailbox.policy import Again, Dead, Verdict, after_failure
from core.mailbox.records import Buried, Returned
from core.mailbox.taking import Taking

_TRIM_DEAD_EVERY_S = 60.0
_FIRST_DELIVERIES = 64
"""So many after a start may be of a message that killed the core before its delivery was noted."""
_died_at = attrgetter("died_at")
_OPEN, _PAUSED, _CLOSED = MailboxState.OPEN, MailboxState.PAUSED, MailboxState.CLOSED
_QUEUED, _DEAD = MailState.QUEUED, MailState.DEAD
_AT_MOST_ONCE, _BLOCK = Guarantee.AT_MOST_ONCE, Overflow.BLOCK


class Mailbox(Taking):
    """The handle that senders and consumers use. Made by Mailboxes; lives on one loop.

    is_indexing: stored messages are still being read, and nothing is given out until they are in.
    """

    __slots__ = ("_dead_trimmed_at", "first_id", "revision")

    def __init__(self, name: MailboxName, policy: MailboxPolicy, office: Office, log: MailLog | None) -> None:
        super().__init__(name, policy, office, log)
        self.revision = 0
        self.first_id = 0
        self._dead_trimmed_at = 0.0

    # -- in

    async def post(self, draft: Draft) -> PostReceipt:
        """Put a message in; it is durable when this returns, if the mailbox is.

        Raises InvalidInput, MailboxClosed, MailboxFull, StoreError. After a StoreError with cause
        `io` nobody knows whether it was stored: send it again with the same key.
        """
        policy = self.policy
        if (
            not self._is_plain
            or draft.key
            or draft.delay_s
            or draft.ttl_s
            or (policy.capacity and len(self.waiting) + len(self.leases) + self._pending >= policy.capacity)
        ):
            return await self._post(draft)
        # What _post() comes to for nearly every message of a mailbox in memory, with no call that can be saved.
        packed = draft.payload
        if type(packed) is not str or not packed.isascii() or len(packed) + TEXT_HEAD_BYTES > policy.body_limit_bytes:
            packed = encode_payload(packed, policy.body_limit_bytes)
        if not self.is_active:
            self.activate()
        office = self._office
        now = office.now()
        mail_id: MailId = office.next_id
        office.next_id = mail_id + 1
        sender = draft.sender
        mail = Mail(
            mail_id,
            self.name,
            sender,
            packed,
            draft.kind,
            draft.message_type,
            RANKS[draft.priority],
            now + office.skew,
            "",
            draft.order_key or sender,
            draft.correlation,
            draft.causation,
            draft.guarantee or policy.guarantee,
            draft.headers,
            now,
        )
        lines = self._lines
        line = None if lines is None else lines.get(mail.order_key)
        if isinstance(line, deque):
            # accept() for one that stands behind others.
            self.accepted += 1
            self.waiting[mail_id] = mail
            line.append(mail)
        else:
            self.accept(mail)
        return PostReceipt(mail_id=mail_id, mailbox=self.name)

    async def _post(self, draft: Draft) -> PostReceipt:
        if self._state is not _OPEN:
            self.check_taking()
        policy = self.policy
        body = encode_payload(draft.payload, policy.body_limit_bytes)
        if draft.delay_s or draft.ttl_s:
            check_times(draft)
        if self.is_indexing and (draft.key or policy.capacity):
            # Whether it is known already, or one too many, is not known yet.
            await self._office.indexed.wait()
        if draft.key:
            known = self.find_known(draft.key)
            if known is not None:
                return await self._duplicate(known)
        if self.policy.capacity and self.policy.overflow is _BLOCK and self._is_full:
            await self._wait_for_room()
            known = self.find_known(draft.key) if draft.key else None
            if known is not None:
                self._give_room()
                return await self._duplicate(known)
        mail = new_mail(self.name, self.policy, draft, body, self._office)
        log = self.admit(mail)
        if log is not None:
            waiter = log.post(self, mail)
            self.remember(mail, waiter)
            # Others who send the key wait for it too: it must not end with this sender.
            await (asyncio.shield(waiter) if draft.key else waiter)
        return PostReceipt(mail_id=mail.id, mailbox=self.name)

    def admit(self, mail: Mail) -> MailLog | None:
        """Take a new message in, or, when it must be stored first, keep room for it and give the log.

        Raises MailboxFull under a policy that refuses.
        """
        log = self._log
        if log is not None and mail.guarantee is not _AT_MOST_ONCE:
            return log if self.reserve(mail) else None
        capacity = self.policy.capacity
        if capacity and self._live_count() >= capacity and not self._overflow(mail):
            return None
        if not self.is_active:
            self.activate()
        if mail.key:
            self.remember(mail, None)
        self._let_in(mail)
        return None

    def reserve(self, mail: Mail) -> bool:
        """Keep room for a message that comes with a commit; False when the policy drops it at once.

        Raises MailboxFull under a policy that refuses. The oldest is dropped no sooner than the new one is stored.
        """
        capacity = self.policy.capacity
        if (
            capacity
            and len(self.waiting) + len(self.leases) + self._pending >= capacity
            and not self._will_drop_oldest
            and not self._overflow(mail)
        ):
            return False
        if not self.is_active:
            self.activate()
        self._pending += 1
        return True

    @property
    def is_durable(self) -> bool:
        """Whether what it takes in survives a crash."""
        return self._log is not None

    def moved(self) -> None:
        """Messages were settled from outside: serve who waits for room or for a turn."""
        self.activate()
        self._freed()

    # -- settled

    def ack(self, mail: Mail) -> None:
        """The message is dealt with. Raises StaleLease, and then nothing has changed."""
        self.settle(mail)
        if self._is_plain:
            if self._room:
                self._give_room()
            return
        if mail.place and self._log is not None:
            self._log.settled(mail)
        if self._room or self._selective or self.policy.in_flight_limit:
            self._freed()

    def nack(self, mail: Mail, *, error: str, delay_s: float | None = None) -> None:
        """The delivery failed. delay_s: until the next one; None is the backoff of the policy.

        After the last delivery that the policy allows it is a dead letter. Raises StaleLease.
        """
        self.apply(mail, after_failure(self.policy, mail, delay_s, self._office.random), error)

    def reject(self, mail: Mail, *, error: str, reason: DeadReason = DeadReason.REJECTED) -> None:
        """No delivery can succeed: make it a dead letter at once. Raises StaleLease."""
        self.apply(mail, Dead(reason), error)

    def release(self, mail: Mail) -> None:
        """Give it back unharmed: its consumer stops. Raises StaleLease."""
        self.apply(mail, Again(0.0), "")

    def put_off(self, mail: Mail, *, delay_s: float, error: str = "") -> None:
        """Give it back for a while, or until a restart; this was no delivery and no attempt. Raises StaleLease."""
        self.check_held(mail)
        # Noted among the attempts, it would grow without end.
        mail.attempt, mail.put_offs, mail.error = mail.attempt - 1, mail.put_offs + 1, error or mail.error
        self._give_back(mail, delay_s, "", is_kept=False)
        self._freed()

    def extend(self, mail: Mail, visibility_s: float | None = None) -> None:
        """The holder is alive: count its time from now. Raises StaleLease."""
        length_s = self.policy.visibility_s if visibility_s is None else visibility_s
        self.hold(mail, self._office.now() + length_s)

    def apply(self, mail: Mail, verdict: Verdict, error: str) -> None:
        """Do with a message in flight what was decided. Raises StaleLease."""
        if isinstance(verdict, Again):
            self._give_back(mail, verdict.delay_s, error)
        elif isinstance(verdict, Dead):
            self.bury_now(mail, verdict.reason, error)
        else:
            self.let_go(mail)
            self._forget_stored(mail)
        if error:
            self.last_error = error
        self._freed()

    def bury_now(self, mail: Mail, reason: DeadReason, error: str) -> None:
        """Make a dead letter of a message that waits or is in flight. Raises StaleLease."""
        wall = self._office.wall()
        self.bury(mail, reason, error, wall)
        self.activate()
        if mail.place and self._log is not None:
            self._log.note(Buried(mail.id, reason, error, wall))

    def drop_now(self, mail: Mail) -> None:
        """Let go of a waiting message or a dead letter for good. Raises StaleLease."""
        self.drop(mail)
        self.activate()
        self._forget_stored(mail)
        self._freed()

    # -- state and time

    def hurry(self, mail_id: MailId, *, is_afresh: bool = True) -> bool:
        """Let a message that is put off go out now; False when it is not put off. is_afresh: as if never delivered."""
        if (mail := self.waiting.get(mail_id)) is None or not mail.due:
            return False
        if mail.place and self._log is not None:
            again = Returned(mail.id, 0 if is_afresh else mail.attempt, self._office.wall(), 0.0, "", mail.crashes)
            self._log.note(again)
        self.put_forward(mail, is_afresh=is_afresh)
        return True

    def set_state(self, state: MailboxState, pause: Pause | None = None) -> None:
        """Go over to a state; who waits is served or sent away."""
        self._become(state)
        self.pause = pause
        self.change += 1
        self.activate()
        if pause is not None and pause.until:
            self._office.alarm(pause.until, self)
        if state in {MailboxState.CLOSED, MailboxState.DRAINING}:
            self._send_senders_away()
        if state is _CLOSED:
            self._send_away()
        else:
            self._serve()
            self._serve_selective()

    def indexed(self) -> None:
        """All stored messages are in: begin to give out."""
        self.is_indexing = False
        held_back, self._held_back = self._held_back, None
        for mail in held_back or ():
            self.stored(mail)
        self._serve()
        self._serve_selective()

    def attend(self, now: float, wall: float) -> None:
        """Do what is due."""
        for mail in self.overdue(now):
            verdict = after_failure(self.policy, mail, None, self._office.random)
            self.apply(mail, verdict, f"not settled within {self.policy.visibility_s:g} s")
        for mail in self.outdated(now):
            self._expire(mail)
        self.wake_due(now)
        if self._selective:
            self._serve_selective()
        if self.pause is not None and self.pause.until and self.pause.until <= now:
            self.set_state(_OPEN)
        if self.known is not None and not self.known.trim(now):
            self.known = None
        if self.dead and now - self._dead_trimmed_at >= _TRIM_DEAD_EVERY_S:
            self._dead_trimmed_at = now
            self._trim_dead(wall)
        for at in (self.next_at(), self.pause.until if self.pause else None, self._next_trim_at(now, wall)):
            if at:
                self._office.alarm(at, self)
        if self.leases:
            # Leases can be extended at any time: they are looked at once a second.
            self.activate()
        elif not self.waiting:
            self.shrink()

    def find_mail(self, mail_id: MailId) -> Mail | None:
        """A live message or a dead letter."""
        return self.waiting.get(mail_id) or self.leases.get(mail_id) or (self.dead or {}).get(mail_id)

    def take_in(self, mail: Mail) -> None:
        """Take in a stored message at the start."""
        if not self.is_active:
            self.activate()
        if mail.noted is _DEAD:
            self.take_up(mail)
            return
        if mail.noted is not _QUEUED:
            mail.state = _QUEUED
        self._wary = _FIRST_DELIVERIES
        self._let_in(mail)

    def set_policy(self, policy: MailboxPolicy) -> None:
        """Go by other rules from now on."""
        self.regroup(policy)
        self._replan()
        self.moved()

    def view(self) -> MailboxView:
        """The mailbox as it is now."""
        return mailbox_view(self)

    def browse(self, *, after: int = 0, limit: int = 100, where: MailFilter | None = None) -> list[Mail]:
        """Live messages beyond an id, at most `limit`, untouched."""
        wall = self._office.wall()
        found: list[Mail] = []
        for mail in self.live():
            if mail.id > after and (where is None or fits(mail, where, wall)):
                found.append(mail)
                if len(found) >= limit:
                    break
        return found

    # -- inside

    def _freed(self) -> None:
        """A message left its place: serve who waits for room, for a turn, or for what stood behind it."""
        if self._room:
            self._give_room()
        self._serve()
        if self._selective:
            self._serve_selective()

    def _give_back(self, mail: Mail, delay_s: float, error: str, *, is_kept: bool = True) -> None:
        now, wall = self._office.now(), self._office.wall()
        self.check_held(mail)
        if mail.place and self._log is not None:
            # Before it can be given out again, which is noted too.
            due_at = wall + delay_s if delay_s > 0 and is_kept else 0.0
            self._log.note(Returned(mail.id, mail.attempt, wall, due_at, error, mail.crashes))
        again = self.give_back(mail, now, delay_s, error, wall)
        if again.expires and again.expires <= now:
            self._expire(again)
        elif again.due:
            self._office.alarm(again.due, self)

    def _expire(self, mail: Mail) -> None:
        if self.policy.keep_expired:
            self.bury_now(mail, DeadReason.EXPIRED, f"not delivered by its deadline after {mail.attempt} deliveries")
        else:
            self.expire(mail)
            self._forget_stored(mail)
        if self._room:
            self._give_room()

    def _next_trim_at(self, now: float, wall: float) -> float | None:
        """When a dead letter may have to go although nothing else happens, None when none ever does."""
        policy = self.policy
        if not self.dead or not (policy.dead_keep_s or policy.dead_keep_count):
            return None
        soonest_at = self._dead_trimmed_at + _TRIM_DEAD_EVERY_S
        if 0 < policy.dead_keep_count < len(self.dead):
            return soonest_at
        if not policy.dead_keep_s:
            return None
        # Nearly always the first of them; after a restart another one can be older, and waits for it.
        rest_s = next(iter(self.dead.values())).died_at + policy.dead_keep_s - wall
        return max(soonest_at, now + max(0.0, rest_s) + 1e-3)

    def _trim_dead(self, wall: float) -> None:
        policy, dead = self.policy, self.dead or {}
        over = len(dead) - policy.dead_keep_count if policy.dead_keep_count else 0
        oldest_at = wall - policy.dead_keep_s if policy.dead_keep_s else 0.0
        if over <= 0 and next(iter(dead.values())).died_at >= oldest_at:
            return
        for place, mail in enumerate(sorted(dead.values(), key=_died_at)):
            if place >= over and mail.died_at >= oldest_at:
                break
            self.drop_now(mail)
