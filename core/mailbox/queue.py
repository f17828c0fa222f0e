"""One mailbox in memory: what may go out and in which order, who holds what, what is dead (sans-I/O).

`now` is monotonic seconds. Ordered: the messages of one ordering key form a line, and only its
head can be ready, in flight or backing off, so nothing of a sender overtakes what it sent before.
A message that is delayed from the start joins its line when it is due.
"""

from collections import deque
from collections.abc import Callable
from copy import copy
from heapq import heappop

from core.api.base import MailId
from core.api.mail import DeadReason, MailAttempt, MailState
from core.api.mailboxes import MailboxPolicy
from core.mailbox.message import NORMAL, Mail
from core.mailbox.stock import Stock

Match = Callable[[Mail], bool]

# Bound once: reading a member of an enum takes as long as all else that a message costs here.
_QUEUED, _DELAYED, _IN_FLIGHT = MailState.QUEUED, MailState.DELAYED, MailState.IN_FLIGHT


class Queue(Stock):
    """The messages of one mailbox, and every way in which one moves."""

    __slots__ = ()

    # -- in

    def accept(self, mail: Mail) -> None:
        """Take a message in."""
        self.accepted += 1
        self.waiting[mail.id] = mail
        lines = self._lines
        if lines is None and self.policy.ordered:
            lines = self._line_up()
        if (mail.expires or mail.due) and self._is_put_off(mail):
            if mail.attempt and lines is not None:
                lines.join(mail)
            return
        if lines is not None:
            # Lines.join, written out like more below: a mailbox in memory is to keep up with a plain queue.
            line = lines.get(mail.order_key)
            if line is None:
                lines[mail.order_key] = mail
            elif isinstance(line, deque):
                line.append(mail)
                return
            else:
                lines[mail.order_key] = deque((line, mail))
                return
        self._ready(mail)

    def accept_taken(self, mail: Mail, now: float) -> None:
        """Take a message in, leased at once by whoever brought it."""
        self.accepted += 1
        self.waiting[mail.id] = mail
        if mail.expires:
            # For when it comes back.
            self._watch_expiry(mail)
        lines = self._line_up()
        if lines is not None:
            lines.join(mail)
        self._lease(mail, now)

    def accept_dead(self, mail: Mail, reason: DeadReason, error: str, at: float) -> None:
        """Take a message in as a dead letter at once."""
        self.accepted += 1
        self._bury(mail, reason, error, at)

    def take_up(self, mail: Mail) -> None:
        """Take in a dead letter of an earlier start."""
        self.accepted += 1
        self.change += 1
        if self.dead is None:
            self.dead = {}
        self.dead[mail.id] = mail

    # -- out

    def take(self, now: float) -> Mail | None:
        """The next message, leased; None when none is ready or no more may be out."""
        limit = self.policy.in_flight_limit
        return None if limit and len(self.leases) >= limit else self.take_next(now)

    def take_next(self, now: float) -> Mail | None:
        """The next message, leased, whatever the limit; None when none is ready."""
        lanes = self._lanes
        if lanes is None:
            return None
        while True:
            if lanes.others:
                mail = lanes.pop()
                if mail is None:
                    return None
            elif lanes.normal:
                mail = lanes.normal.popleft()
                if mail.noted is not _QUEUED:
                    continue
            else:
                return None
            if mail.expires and mail.expires <= now:
                # Left for sweep(), which tells of it.
                mail.state = _DELAYED
                continue
            if mail.attempt:
                self._lease(mail, now)
                return mail
            # What _lease() does, for a first delivery. It is in no lane any more, so nobody needs its `noted`.
            mail_id = mail.id
            del self.waiting[mail_id]
            self.leases[mail_id] = mail
            mail.taken = now
            mail.attempt = 1
            return mail

    def take_match(self, match: Match, now: float) -> Mail | None:
        """The first queued message that fits, in the order of arrival, leased.

        It may pass over earlier ones of its line that do not fit, never over one that does and waits or is out.
        """
        limit = self.policy.in_flight_limit
        if limit and len(self.leases) >= limit:
            return None
        for mail in self.waiting.values():
            if mail.state is _QUEUED and not (mail.expires and mail.expires <= now) and match(mail):
                if self._lines is not None and self._lines.has_earlier(mail, match):
                    continue
                self._lease(mail, now)
                self._clear()
                return mail
        return None

    def take_id(self, mail_id: MailId, now: float) -> Mail | None:
        """One message, leased, wherever it stands in its line; None when it does not wait."""
        mail = self.waiting.get(mail_id)
        if mail is not None and mail.state is _IN_FLIGHT:
            # It is about to be dropped.
            return None
        if mail is not None:
            lines = self._line_up()
            if mail.due and lines is not None and not self._is_in_line(mail):
                # Put off from the start, it is in no line yet.
                lines.join(mail)
            mail.state = _QUEUED
            self._lease(mail, now)
            self._clear()
        return mail

    def oldest(self) -> Mail | None:
        """The waiting message that came first."""
        first = next(iter(self.waiting), None)
        if self._returned and first is not None:
            # One whose deliveries are counted afresh leaves without a word.
            self._returned &= self.waiting.keys()
            first = min((first, *self._returned))
        return None if first is None else self.waiting[first]

    def peek(self) -> Mail | None:
        """The message that would be next; nothing is taken."""
        return None if self._lanes is None else self._lanes.peek()

    # -- settled

    def settle(self, mail: Mail) -> None:
        """The holder is done with it. Raises StaleLease and changes nothing when it holds it no more."""
        leases = self.leases
        mail_id = mail.id
        if leases.get(mail_id) is not mail:
            raise self._stale(mail)
        del leases[mail_id]
        self.done += 1
        if not self.done & self._sample_mask:
            self._on_sample(mail)
        lines = self._lines
        if lines is not None:
            line = lines.get(mail.order_key)
            if line is mail:
                del lines[mail.order_key]
            elif isinstance(line, deque) and line[0] is mail and len(line) > 1:
                line.popleft()
                head = line[0]
                if head.noted is _QUEUED and not head.taken:
                    lanes = self._lanes
                    if lanes is None or lanes.others or head.rank != NORMAL or self.is_awaited:
                        self._ready(head)
                    else:
                        lanes.normal.append(head)
            else:
                self._advance(lines, mail)

    def give_back(self, mail: Mail, now: float, delay_s: float, error: str, at: float) -> Mail:
        """Let go of a lease: the message waits again, at its place, after delay_s. Returns its new object.

        error: noted among its attempts when not empty; at: UTC seconds. Raises StaleLease.
        """
        self._end_lease(mail)
        again = copy(mail)
        if error:
            again.attempts = [*(mail.attempts or ()), MailAttempt(mail.attempt, at, error)]
            again.error = error
        again.state, again.taken, again.until = _QUEUED, 0.0, 0.0
        again.due = now + delay_s if delay_s > 0 else 0.0
        again.due_at = at + delay_s if delay_s > 0 else 0.0
        self.waiting[again.id] = again
        if self._returned is None:
            self._returned = set()
        self._returned.add(again.id)
        lines = self._line_up()
        is_head = lines is None or lines.replace(mail, again)
        if again.expires and again.expires <= now:
            self._watch_expiry(again)
        if again.due:
            self._put_off(again)
        elif is_head:
            self._ready(again)
        return again

    def bury(self, mail: Mail, reason: DeadReason, error: str, at: float) -> None:
        """Make a dead letter of a message that is held or waits. Raises StaleLease."""
        if self.leases.get(mail.id) is mail:
            del self.leases[mail.id]
            self.change += 1
            if error:
                mail.attempts = [*(mail.attempts or ()), MailAttempt(mail.attempt, at, error)]
        elif self.waiting.get(mail.id) is mail:
            self._stop_waiting(mail)
        else:
            raise self._stale(mail)
        self._bury(mail, reason, error, at)
        if self._lines is not None:
            self._advance(self._lines, mail)

    def expire(self, mail: Mail) -> None:
        """Let go of a waiting message whose time is up, without keeping it. Raises StaleLease."""
        self._withdraw(mail, MailState.EXPIRED)
        self.expired += 1

    def drop(self, mail: Mail) -> None:
        """Let go of a waiting message, or of a dead letter. Raises StaleLease."""
        if self.dead is not None and self.dead.get(mail.id) is mail:
            del self.dead[mail.id]
            mail.state = MailState.DROPPED
            self.change += 1
        else:
            self._withdraw(mail, MailState.DROPPED)
        self.dropped += 1

    def let_go(self, mail: Mail) -> None:
        """Let go of a message in flight without another try. Raises StaleLease."""
        self._end_lease(mail)
        mail.state = MailState.DROPPED
        self.dropped += 1
        if self._lines is not None:
            self._advance(self._lines, mail)

    # -- held

    def hold(self, mail: Mail, until: float) -> None:
        """Hold it until then. Raises StaleLease."""
        self.check_held(mail)
        mail.until = until

    def claim(self, mail: Mail) -> None:
        """Keep a message for a commit: to all others it is gone, or out. Raises StaleLease."""
        if self.waiting.get(mail.id) is mail and mail.state is not _IN_FLIGHT:
            mail.state = _IN_FLIGHT
            return
        kept = self.leases if self.leases.get(mail.id) is mail else self.dead
        if kept is None or kept.get(mail.id) is not mail:
            raise self._stale(mail)
        kept[mail.id] = copy(mail)

    def unclaim(self, mail: Mail) -> None:
        """It is as it was before the claim."""
        if self.waiting.get(mail.id) is mail:
            # Another object: the old one may still stand in a lane.
            again = self.waiting[mail.id] = copy(mail)
            again.state = _QUEUED
            lines = None if again.due and not self._is_in_line(again) else self._lines
            is_head = lines is None or lines.replace(mail, again)
            if again.due:
                self._put_off(again)
            elif is_head:
                self._ready(again)
            return
        for kept in (self.leases, self.dead):
            claimed = kept.get(mail.id) if kept is not None else None
            if kept is not None and claimed is not None:
                mail.place = claimed.place
                kept[mail.id] = mail

    def check_held(self, mail: Mail) -> None:
        """Raises StaleLease when it is held no more."""
        if self.leases.get(mail.id) is not mail:
            raise self._stale(mail)

    # -- time and rules

    def overdue(self, now: float) -> list[Mail]:
        """Messages in flight whose lease is over."""
        visibility_s = self.policy.visibility_s
        return [mail for mail in self.leases.values() if (mail.until or mail.taken + visibility_s) <= now]

    def outdated(self, now: float) -> list[Mail]:
        """Waiting messages whose time is up."""
        found: dict[MailId, Mail] = {}
        heap = self._expiring
        while heap and heap[0][0] <= now:
            mail = self.waiting.get(heappop(heap)[1])
            if mail is not None:
                found[mail.id] = mail
        return list(found.values())

    def wake_due(self, now: float) -> None:
        """Let out what was put off until now."""
        heap = self._due
        while heap and heap[0][0] <= now:
            due, mail_id = heappop(heap)
            mail = self.waiting.get(mail_id)
            if mail is None or mail.state is not _DELAYED or mail.due != due:
                continue
            self._let_out(mail, is_in_line=self._is_in_line(mail))

    def put_forward(self, mail: Mail, *, is_afresh: bool = True) -> None:
        """Let out a message that is put off. is_afresh: its deliveries are counted anew."""
        is_in_line = self._is_in_line(mail)
        if is_afresh:
            mail.attempt = 0
        self._let_out(mail, is_in_line=is_in_line)

    def _is_in_line(self, mail: Mail) -> bool:
        """Whether one that is put off has its place in the line: it was given out before, counted or not."""
        return mail.attempt > 0 or (self._returned is not None and mail.id in self._returned)

    def _let_out(self, mail: Mail, *, is_in_line: bool) -> None:
        mail.state, mail.due = _QUEUED, 0.0
        self.change += 1
        # After a failure it kept its place in the line; put off from the start it joins now.
        lines = self._line_up()
        if lines is None or (lines.is_head(mail) if is_in_line else lines.join(mail)):
            self._ready(mail)

    def next_at(self) -> float | None:
        """When wake_due() or outdated() has something to do, None when nothing is put off."""
        firsts = [heap[0][0] for heap in (self._due, self._expiring) if heap]
        return min(firsts) if firsts else None

    def regroup(self, policy: MailboxPolicy) -> None:
        """Go by other rules; lines are formed anew when the order becomes another."""
        is_other = policy.ordered is not self.policy.ordered
        if policy.visibility_s != self.policy.visibility_s:
            for mail in self.leases.values():
                mail.until = mail.until or mail.taken + self.policy.visibility_s
        self.policy = policy
        self.change += 1
        if not is_other:
            return
        self._lines = self._lanes = None
        lines = self._line_up()
        for mail in self.live():
            if mail.state is _DELAYED and not self._is_in_line(mail):
                continue
            is_head = lines is None or lines.join(mail)
            if is_head and mail.state is _QUEUED:
                self._ready(mail)
