"""Messages in mailboxes, live and dead: states, views, queries, commands, events."""

from enum import StrEnum
from typing import Any

import msgspec

from core.api.base import Command, Event, MailboxName, MailId, Mark, Query, Seq, View


class MailKind(StrEnum):
    """What a message is for: `call` expects a reply, `cast` does not, `info` comes from the system."""

    CALL = "call"
    CAST = "cast"
    INFO = "info"
    REPLY = "reply"
    ACK = "ack"


class Priority(StrEnum):
    """Which lane a message waits in. It orders different senders; one sender's messages keep their order."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    CRITICAL = "critical"


class MailState(StrEnum):
    """Where a message is. queued, delayed and in_flight are live; dead waits for an operator; the rest is over."""

    QUEUED = "queued"
    DELAYED = "delayed"
    IN_FLIGHT = "in_flight"
    DEAD = "dead"
    DONE = "done"
    EXPIRED = "expired"
    DROPPED = "dropped"


class DeadReason(StrEnum):
    """Why a message will not be delivered unless somebody asks."""

    MAX_DELIVERIES = "max_deliveries"
    REJECTED = "rejected"
    EXPIRED = "expired"
    OVERFLOW = "overflow"
    POISON = "poison"
    CORRUPT = "corrupt"
    UNDELIVERABLE = "undeliverable"
    LATE_REPLY = "late_reply"
    CLOSED = "closed"


class MailAttempt(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One delivery that failed. at: UTC seconds of its end."""

    number: int
    at: float
    error: str


class MailView(View, frozen=True, kw_only=True):
    """One message. payload: its content as JSON, cut off after a few thousand characters.

    due: when a delayed one may go out. expires: when it is given up. attempt: deliveries
    begun. reason, error: of a dead letter. replays: how often it was redriven.
    redriven_from: id of the dead letter that it replaces, 0 for none.
    """

    id: MailId
    mailbox: MailboxName
    state: MailState
    kind: MailKind
    sender: str
    message_type: str
    payload: str
    size_bytes: int
    priority: Priority
    created: Mark
    key: str = ""
    order_key: str = ""
    correlation: str = ""
    causation: str = ""
    headers: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    due: Mark | None = None
    expires: Mark | None = None
    attempt: int = 0
    attempts: tuple[MailAttempt, ...] = ()
    reason: DeadReason | None = None
    error: str = ""
    died: Mark | None = None
    replays: int = 0
    redriven_from: int = 0


class MailPage(View, frozen=True, kw_only=True):
    """Messages in the order of their ids. next_after: for the next page, None at the end."""

    mails: tuple[MailView, ...]
    next_after: MailId | None = None


class DeadGroup(View, frozen=True, kw_only=True):
    """Dead letters of one mailbox that died of the same cause.

    cause: the reason and the error with its numbers and ids taken out. example: the newest.
    """

    mailbox: MailboxName
    reason: DeadReason
    cause: str
    count: int
    first: Mark
    last: Mark
    example: MailView
    advice: str = ""


class DeadGroups(View, frozen=True, kw_only=True):
    """Dead letters by cause, the largest group first."""

    groups: tuple[DeadGroup, ...]
    total: int
    seq: Seq


class MailFilter(View, frozen=True, kw_only=True):
    """Which messages are meant: those for which everything holds that is given.

    ids: these and no others, when not empty. text: stands in the payload, message type or error.
    older_than_s: accepted (for a dead letter: died) longer ago. Nothing given: all of them.
    """

    ids: tuple[MailId, ...] = ()
    states: tuple[MailState, ...] = ()
    sender: str = ""
    message_type: str = ""
    correlation: str = ""
    reason: DeadReason | None = None
    cause: str = ""
    text: str = ""
    older_than_s: float = 0.0


class BrowseMail(Query[MailPage], frozen=True, kw_only=True):
    """A page of a mailbox, or of its dead letters, without touching them. limit: 1 to 500.

    after: ids beyond that one. where: only these.
    """

    mailbox: MailboxName
    dead: bool = False
    after: MailId = MailId(0)
    limit: int = 100
    where: MailFilter = MailFilter()


class GetMail(Query[MailView], frozen=True, kw_only=True):
    """One message that is live or dead."""

    mail_id: MailId


class TraceMail(Query[MailPage], frozen=True, kw_only=True):
    """Messages of all mailboxes that share a correlation id, live and dead, at most 500."""

    correlation: str


class ListDead(Query[DeadGroups], frozen=True, kw_only=True):
    """Dead letters by cause. mailbox: "" for all."""

    mailbox: str = ""


class PostReceipt(View, frozen=True, kw_only=True):
    """What became of a message: the id under which it is stored, and whether it was known already."""

    mail_id: MailId
    mailbox: MailboxName
    is_duplicate: bool = False


class BulkReceipt(View, frozen=True, kw_only=True):
    """What a purge or a redrive did, or would do. matched: that fit; changed: 0 for a dry run.

    by_mailbox: matched ones by mailbox. mail_ids: of the new messages of a redrive, at most 100.
    """

    matched: int
    changed: int
    is_dry_run: bool
    by_mailbox: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    mail_ids: tuple[MailId, ...] = ()


class PostMail(Command[PostReceipt], frozen=True, kw_only=True):
    """Put a message into a mailbox. payload: anything that JSON can hold. delay_s, ttl_s: 0 for none."""

    mailbox: MailboxName
    payload: Any
    message_type: str = "operator"
    priority: Priority = Priority.NORMAL
    key: str = ""
    correlation: str = ""
    delay_s: float = 0.0
    ttl_s: float = 0.0
    headers: dict[str, str] = msgspec.field(default_factory=dict[str, str])


class PurgeMailbox(Command[BulkReceipt], frozen=True, kw_only=True):
    """Drop what the filter names, for good; messages in flight stay. dead: among the dead letters.

    mailbox: "" for the dead letters of all mailboxes.
    """

    mailbox: str
    dead: bool = False
    where: MailFilter = MailFilter()
    dry_run: bool = False
    reason: str = ""


class RedriveMail(Command[BulkReceipt], frozen=True, kw_only=True):
    """Send dead letters once more, as new messages with fresh attempts; the dead ones are done with.

    mailbox: "" for all. target: another mailbox than the one in which they died.
    limit: at most that many, oldest first; 0 for all.
    """

    mailbox: str = ""
    where: MailFilter = MailFilter()
    target: str = ""
    limit: int = 0
    dry_run: bool = False
    reason: str = ""


class MailboxPurged(Event, frozen=True, kw_only=True):
    """Messages were dropped by an operator."""

    mailbox: MailboxName
    count: int
    dead: bool
    reason: str = ""


class MailRedriven(Event, frozen=True, kw_only=True):
    """Dead letters were sent again. target: where to; the count is of one mailbox of origin."""

    mailbox: MailboxName
    target: MailboxName
    count: int
    reason: str = ""


class MailDied(Event, frozen=True, kw_only=True):
    """Messages became dead letters within the last second. count: how many; mail: the last of them."""

    mailbox: MailboxName
    count: int
    mail: MailView
