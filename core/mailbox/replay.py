"""What a log of mail says at the start of a core: which messages live, and what became of the others (pure)."""

from collections.abc import Iterator
from heapq import merge
from typing import Any

import msgspec

from core.api.base import MailId
from core.api.mail import DeadReason, MailAttempt, MailState
from core.mailbox.message import Mail
from core.mailbox.policy import rest_s
from core.mailbox.records import Buried, Head, Record, Refused, Returned, Seen, Settled, Taken, find_record
from core.store.base import Pack


class Damage(msgspec.Struct, frozen=True):
    """A record that cannot be read. raw: its bytes as they were found."""

    place: int
    index: int
    raw: bytes


class Replay:
    """Applies packs in their order. now, wall: monotonic and UTC seconds, from which the age of messages is derived.

    mails: live and dead messages by id; in_flight: those that were given out. seen: keys of
    messages that are gone. pack_at: UTC seconds of each pack; posted: messages written in it.
    next_id: greater than every id that was ever written.
    """

    def __init__(self, now: float, wall: float) -> None:
        self._now = now
        self._wall = wall
        self.mails: dict[MailId, Mail] = {}
        self.in_flight: set[MailId] = set()
        self.seen: list[Seen] = []
        self.damage: list[Damage] = []
        self.pack_at: dict[int, float] = {}
        self.posted: dict[int, int] = {}
        self.next_id = 1
        # Any stands for text of whichever kind.
        self._names: dict[str, Any] = {}
        self._last_id = 0
        # Messages that were written once more after younger ones.
        self._late: set[MailId] = set()
        self._back: dict[MailId, int] = {}

    def apply(self, pack: Pack) -> None:
        """Take in what a pack says."""
        mails, names, place, last_id = self.mails, self._names, pack.place, self._last_id
        now, wall, posted_count = self._now, self._wall, 0
        self.pack_at[place] = 0.0
        for index, raw in enumerate(pack.records):
            record = None if index in pack.damaged else find_record(raw)
            if type(record) is Mail:
                posted_count += 1
                # One object for each name: a million messages share a few of them.
                record.mailbox = names.setdefault(record.mailbox, record.mailbox)
                record.sender = sender = names.setdefault(record.sender, record.sender)
                order_key = record.order_key
                record.order_key = names.setdefault(order_key, order_key) if order_key else sender
                record.place = place
                record.posted = now - max(0.0, wall - record.created_at)
                mail_id = record.id
                mails[mail_id] = record
                if mail_id > last_id:
                    last_id = mail_id
                else:
                    self._late.add(mail_id)
            elif type(record) is Settled:
                gone = mails.pop(record.mail_id, None)
                self.in_flight.discard(record.mail_id)
                if gone is not None and gone.key:
                    self.seen.append(Seen(gone.mailbox, gone.key, gone.id, gone.created_at))
            elif record is None:
                self.damage.append(Damage(place, index, raw))
            else:
                self._happened(record, place)
        self.posted[place] = posted_count
        self._last_id = last_id
        self.next_id = max(self.next_id, last_id + 1)

    def in_order(self) -> Iterator[Mail]:
        """Messages that are not over, by their ids; found one by one, since sorting a million would take too long."""
        mails, late = self.mails, self._late
        if not late:
            return iter(mails.values())
        on_time = (mail for mail in mails.values() if mail.id not in late)
        return merge(on_time, (mails[mail_id] for mail_id in sorted(late) if mail_id in mails), key=_id)

    def _happened(self, record: Record, place: int) -> None:
        if isinstance(record, Head):
            self.pack_at[place] = record.at
            self.next_id = max(self.next_id, record.next_id)
        elif isinstance(record, Seen):
            self.seen.append(record)
        elif isinstance(record, Taken):
            mail = self.mails.get(record.mail_id)
            # A disk in doubt may have the same note twice, the second one behind the end of that delivery.
            if mail is not None and record.attempt > self._back.get(mail.id, 0):
                mail.attempt = record.attempt
                self.in_flight.add(mail.id)
        elif isinstance(record, Returned):
            self._returned(record)
        elif isinstance(record, Refused):
            self.mails.pop(record.mail_id, None)
        elif isinstance(record, Buried):
            mail = self.mails.get(record.mail_id)
            if mail is not None:
                if mail.id in self.in_flight:
                    self.in_flight.discard(mail.id)
                    note_failure(mail, record.error, record.at)
                mark_dead(mail, record.reason, record.error, record.at)

    def _returned(self, record: Returned) -> None:
        mail = self.mails.get(record.mail_id)
        if mail is None:
            return
        self.in_flight.discard(mail.id)
        mail.attempt, mail.due_at, mail.crashes = record.attempt, record.due_at, record.crashes
        self._back[mail.id] = record.attempt
        note_failure(mail, record.error, record.at)


def next_id(pack: Pack | None) -> int:
    """The id that may be given out next, from the newest pack alone; 0 when it does not tell."""
    found = 0
    for index, raw in enumerate(pack.records if pack is not None else ()):
        record = None if pack is not None and index in pack.damaged else find_record(raw)
        if isinstance(record, Head):
            found = max(found, record.next_id)
        elif isinstance(record, Mail):
            found = max(found, record.id + 1)
    return found


def note_failure(mail: Mail, error: str, at: float) -> None:
    """Note on a message that its delivery failed, if it did."""
    if error:
        mail.error = error
        mail.attempts = [*(mail.attempts or ()), MailAttempt(mail.attempt, at, error)]


def mark_dead(mail: Mail, reason: DeadReason, error: str, at: float) -> None:
    """Note on a message that it died."""
    mail.state, mail.reason, mail.died_at = MailState.DEAD, reason, at
    if error:
        mail.error = error


def retimed(mail: Mail, now: float, wall: float) -> None:
    """Derive from the wall clock when a stored message is due and expires in this start."""
    if mail.due_at:
        since = mail.created_at if not mail.attempts else mail.attempts[-1].at
        rest = rest_s(mail.due_at, since, wall)
        mail.due = now + rest if rest > 0 else 0.0
        if not mail.due:
            mail.due_at = 0.0
    if mail.expires_at:
        mail.expires = now + rest_s(mail.expires_at, mail.created_at, wall) + 1e-9


def _id(mail: Mail) -> MailId:
    return mail.id
