"""What one mailbox holds: messages by where they are, the order among them, and its counters (sans-I/O)."""

from collections.abc import Iterator
from heapq import heapify, heappush
from itertools import pairwise

from core.api.base import MailId
from core.api.errors import StaleLease
from core.api.mail import DeadReason, MailState
from core.api.mailboxes import MailboxPolicy, MailboxTally
from core.mailbox.lines import Lines
from core.mailbox.message import NORMAL, Mail
from core.mailbox.order import Lanes
from core.mailbox.samples import Samples

_STALE_KEPT = 256
# Bound once: reading a member of an enum takes as long as all else that a message costs here.
_QUEUED, _DELAYED, _IN_FLIGHT = MailState.QUEUED, MailState.DELAYED, MailState.IN_FLIGHT


class Stock:
    """The messages of one mailbox, and what all ways of moving them have in common.

    waiting: queued and delayed ones, leases: those in flight, dead: dead letters, by id.
    is_awaited: somebody wants to hear of each message that becomes ready, through `_on_ready`.
    """

    __slots__ = (
        "_changes",
        "_due",
        "_expiring",
        "_lanes",
        "_lines",
        "_returned",
        "_sample_mask",
        "accepted",
        "dead",
        "died",
        "done",
        "dropped",
        "duplicates",
        "expired",
        "is_awaited",
        "leases",
        "policy",
        "redelivered",
        "rejected",
        "samples",
        "stale",
        "waiting",
    )

    def __init__(self, policy: MailboxPolicy) -> None:
        self.policy = policy
        self.waiting: dict[MailId, Mail] = {}
        self.leases: dict[MailId, Mail] = {}
        self.dead: dict[MailId, Mail] | None = None
        # An idle mailbox must stay small: what only some need is made when it is needed.
        self._lines: Lines | None = None
        self._lanes: Lanes | None = None
        self._due: list[tuple[float, MailId]] | None = None
        self._expiring: list[tuple[float, MailId]] | None = None
        # Ids of waiting messages that came back: they stand behind younger ones in `waiting`.
        self._returned: set[MailId] | None = None
        self.samples: Samples | None = None
        self._sample_mask = 0
        self.is_awaited = False
        self._changes = 0
        self.accepted: int = 0
        self.done: int = 0
        self.dropped: int = 0
        self.expired = self.died = 0
        self.redelivered = self.duplicates = self.rejected = self.stale = 0

    # -- seen

    @property
    def change(self) -> int:
        """Grows with everything that happens here."""
        # A lease adds 1, and its end as done another one, so that neither has to count here.
        return self._changes + self.accepted + 2 * self.done + len(self.leases)

    @change.setter
    def change(self, change: int) -> None:
        self._changes += change - self.change

    @property
    def depth(self) -> int:
        """Messages that are not over: queued, delayed and in flight."""
        return len(self.waiting) + len(self.leases)

    def live(self) -> Iterator[Mail]:
        """Messages that are not over, in the order of their ids."""
        waiting = list(self.waiting.values())
        if any(later.id < earlier.id for earlier, later in pairwise(waiting)):
            waiting.sort(key=_id)
        if not self.leases:
            return iter(waiting)
        return iter(sorted([*self.leases.values(), *waiting], key=_id))

    def tally(self) -> MailboxTally:
        """Where everything went; its difference is 0 unless something is wrong."""
        delayed = sum(mail.state is _DELAYED for mail in self.waiting.values()) if self._due or self._expiring else 0
        dead = len(self.dead) if self.dead is not None else 0
        parts = self.done + len(self.waiting) + len(self.leases) + dead + self.expired + self.dropped
        return MailboxTally(
            accepted=self.accepted,
            done=self.done,
            queued=len(self.waiting) - delayed,
            delayed=delayed,
            in_flight=len(self.leases),
            dead=dead,
            expired=self.expired,
            dropped=self.dropped,
            difference=self.accepted - parts,
            duplicates=self.duplicates,
            rejected=self.rejected,
            redelivered=self.redelivered,
            stale=self.stale,
        )

    def shrink(self) -> None:
        """Let go of what an idle mailbox does not need."""
        if not self.waiting and not self.leases:
            self._lines = self._lanes = self._due = self._expiring = self._returned = None

    def sample(self, mail: Mail, now: float) -> None:
        """Note how long a settled message waited and was worked on."""
        if self.samples is None:
            self.samples = Samples()
        self._sample_mask = self.samples.add(mail.taken - mail.posted, now - mail.taken, now)

    # -- inside

    def _on_ready(self) -> None:
        """A message may go out. Called while is_awaited."""

    def _on_sample(self, mail: Mail) -> None:
        """A message is settled whose times are to be noted, by sample(): the queue itself has no clock."""

    def _line_up(self) -> Lines | None:
        if self._lines is None and self.policy.ordered:
            self._lines = Lines()
        return self._lines

    def _ready(self, mail: Mail) -> None:
        lanes = self._lanes
        if lanes is None:
            lanes = self._lanes = Lanes()
        if mail.rank == NORMAL and not lanes.others:
            lanes.normal.append(mail)
        else:
            lanes.push(mail)
        if self.is_awaited:
            self._on_ready()

    def _is_put_off(self, mail: Mail) -> bool:
        """Note a message's times; True when it is not due yet."""
        if mail.expires:
            self._watch_expiry(mail)
        if mail.due:
            self._put_off(mail)
        return mail.due > 0

    def _watch_expiry(self, mail: Mail) -> None:
        if self._expiring is None:
            self._expiring = []
        heappush(self._expiring, (mail.expires, mail.id))
        if len(self._expiring) > 2 * self.depth + _STALE_KEPT:
            # Most of them were dealt with long before their time.
            kept = [entry for entry in self._expiring if entry[1] in self.waiting or entry[1] in self.leases]
            heapify(kept)
            self._expiring = kept

    def _put_off(self, mail: Mail) -> None:
        mail.state = _DELAYED
        if self._due is None:
            self._due = []
        heappush(self._due, (mail.due, mail.id))
        if len(self._due) > 2 * len(self.waiting) + _STALE_KEPT:
            kept = [entry for entry in self._due if entry[1] in self.waiting]
            heapify(kept)
            self._due = kept

    def _lease(self, mail: Mail, now: float) -> None:
        del self.waiting[mail.id]
        self.leases[mail.id] = mail
        mail.state = _IN_FLIGHT
        mail.taken = now
        mail.attempt = attempt = mail.attempt + 1
        self.change += 1
        if attempt > 1:
            self.redelivered += 1
            if self._returned:
                self._returned.discard(mail.id)

    def _end_lease(self, mail: Mail) -> None:
        if self.leases.get(mail.id) is not mail:
            raise self._stale(mail)
        del self.leases[mail.id]
        self.change += 2

    def _stop_waiting(self, mail: Mail) -> None:
        del self.waiting[mail.id]
        if self._returned:
            self._returned.discard(mail.id)
        self._clear()

    def _clear(self) -> None:
        """Where nothing is taken from the front, nobody else clears what was ready."""
        if self._lanes is not None:
            self._lanes.trim(len(self.waiting))

    def _withdraw(self, mail: Mail, state: MailState) -> None:
        if self.waiting.get(mail.id) is not mail:
            raise self._stale(mail)
        self._stop_waiting(mail)
        mail.state = state
        self.change += 1
        if self._lines is not None:
            self._advance(self._lines, mail)

    def _bury(self, mail: Mail, reason: DeadReason, error: str, at: float) -> None:
        mail.state = MailState.DEAD
        mail.reason, mail.died_at = reason, at
        if error:
            mail.error = error
        if self.dead is None:
            self.dead = {}
        self.dead[mail.id] = mail
        self.died += 1
        self.change += 1

    def _advance(self, lines: Lines, mail: Mail) -> None:
        """A message is over: who comes to the head of its line becomes ready."""
        head = lines.leave(mail)
        if head is not None and head.state is _QUEUED:
            self._ready(head)

    def _stale(self, mail: Mail) -> StaleLease:
        self.stale += 1
        self.change += 1
        return StaleLease(
            f"m-{mail.id}, delivery {mail.attempt}, is not held any more: nothing has changed",
            mail_id=mail.id,
            attempt=mail.attempt,
        )


def _id(mail: Mail) -> MailId:
    return mail.id
