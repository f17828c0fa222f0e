"""Mailboxes: states, rules, figures, queries, commands, events. What lies in them is in `mail`."""

from enum import StrEnum

from core.api.base import Command, Event, MailboxName, Mark, Query, Seq, View
from core.api.mail import BulkReceipt


class MailboxState(StrEnum):
    """open takes and gives; paused takes and gives nothing out; draining gives and takes nothing in; closed neither."""

    OPEN = "open"
    PAUSED = "paused"
    DRAINING = "draining"
    CLOSED = "closed"


class Guarantee(StrEnum):
    """How often a message reaches a consumer when something fails."""

    AT_MOST_ONCE = "at_most_once"
    AT_LEAST_ONCE = "at_least_once"
    EXACTLY_ONCE = "exactly_once"


class Overflow(StrEnum):
    """What a full mailbox does with one more message."""

    REJECT = "reject"
    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"
    DEAD_LETTER = "dead_letter"
    BLOCK = "block"


class MailboxPolicy(View, frozen=True, kw_only=True):
    """The rules of one mailbox.

    durable: what is accepted survives a crash. capacity: live messages; 0 is unbounded.
    overflow: what happens beyond that; block_s: longest wait of a sender under `block`.
    ordered: messages of one sender (or ordering key) go out one at a time, in order.
    visibility_s: a taken message that is not settled within it is given out again.
    in_flight_limit: messages out at a time; 0 is unbounded. max_deliveries: then it is dead.
    max_crashes: starts of the core that found it in flight; then it is poison.
    retry_base_s, retry_cap_s: of the backoff with full jitter. ttl_s: 0 is for ever.
    keep_expired: an expired message is kept as a dead letter. dedupe_s: how long an
    idempotency key is remembered. body_limit_bytes: of one encoded payload.
    dead_keep_count, dead_keep_s: dead letters kept; 0 is without limit.
    """

    durable: bool = True
    capacity: int = 0
    overflow: Overflow = Overflow.REJECT
    block_s: float = 5.0
    ordered: bool = True
    guarantee: Guarantee = Guarantee.AT_LEAST_ONCE
    visibility_s: float = 30.0
    in_flight_limit: int = 0
    max_deliveries: int = 5
    max_crashes: int = 2
    retry_base_s: float = 1.0
    retry_cap_s: float = 300.0
    ttl_s: float = 0.0
    keep_expired: bool = True
    dedupe_s: float = 120.0
    body_limit_bytes: int = 1_048_576
    dead_keep_count: int = 10_000
    dead_keep_s: float = 1_209_600.0


class MailboxTally(View, frozen=True, kw_only=True):
    """Where everything went that this mailbox took in, since this start of the core.

    accepted: taken in, what an earlier start left included. The parts add up to it:
    done + queued + delayed + in_flight + dead + expired + dropped. difference: what they do not
    explain; anything but 0 is a fault. dropped: overflow, purges, redrives and withdrawals.
    duplicates: refused as known already; rejected: refused for want of room; neither was accepted.
    redelivered: given out once more. stale: late settlements that changed nothing.
    """

    accepted: int = 0
    done: int = 0
    queued: int = 0
    delayed: int = 0
    in_flight: int = 0
    dead: int = 0
    expired: int = 0
    dropped: int = 0
    difference: int = 0
    duplicates: int = 0
    rejected: int = 0
    redelivered: int = 0
    stale: int = 0


class MailboxView(View, frozen=True, kw_only=True):
    """A mailbox as it is now.

    version: grows with each new view of this start. oldest: the oldest message that is not
    done, None when there is none. in_rate_s, out_rate_s: messages a second, over the last
    minute. wait: from acceptance to hand-over; work: from hand-over to settlement; averages
    and p99 over the last few hundred, in seconds. depths: one sample of queued + delayed +
    in_flight a second, the newest last. consumers: receivers that hold or await a message.
    """

    name: MailboxName
    version: int
    state: MailboxState
    policy: MailboxPolicy
    tally: MailboxTally
    created: Mark
    oldest: Mark | None = None
    in_rate_s: float = 0.0
    out_rate_s: float = 0.0
    wait_avg_s: float = 0.0
    wait_p99_s: float = 0.0
    work_avg_s: float = 0.0
    work_p99_s: float = 0.0
    consumers: int = 0
    depths: tuple[int, ...] = ()
    paused_by: str = ""
    paused_reason: str = ""
    paused_until: Mark | None = None
    last_error: str = ""


class MailboxList(View, frozen=True, kw_only=True):
    """All mailboxes, by name. total: their tallies added up. is_indexing: stored mail is still being read."""

    mailboxes: tuple[MailboxView, ...]
    total: MailboxTally
    seq: Seq
    is_indexing: bool = False


class ListMailboxes(Query[MailboxList], frozen=True, kw_only=True):
    """All mailboxes with their figures."""


class GetMailbox(Query[MailboxView], frozen=True, kw_only=True):
    """One mailbox."""

    mailbox: MailboxName


class CreateMailbox(Command[MailboxView], frozen=True, kw_only=True):
    """Make a mailbox. Raises ConflictError when there is one of that name."""

    mailbox: MailboxName
    policy: MailboxPolicy = MailboxPolicy()


class SetMailboxPolicy(Command[MailboxView], frozen=True, kw_only=True):
    """Change the rules of a mailbox; whether it is durable cannot be changed."""

    mailbox: MailboxName
    policy: MailboxPolicy


class DeleteMailbox(Command[BulkReceipt], frozen=True, kw_only=True):
    """Remove a mailbox. Raises ConflictError while it holds live messages or dead letters."""

    mailbox: MailboxName


class PauseMailbox(Command[MailboxView], frozen=True, kw_only=True):
    """Give nothing out until it is resumed. for_s: resumed by itself after that; 0 is never."""

    mailbox: MailboxName
    reason: str = ""
    for_s: float = 0.0


class ResumeMailbox(Command[MailboxView], frozen=True, kw_only=True):
    """Give messages out again."""

    mailbox: MailboxName


class MailboxCreated(Event, frozen=True, kw_only=True):
    """There is a new mailbox."""

    mailbox: MailboxView


class MailboxChanged(Event, frozen=True, kw_only=True):
    """Its rules are others now."""

    mailbox: MailboxView


class MailboxDeleted(Event, frozen=True, kw_only=True):
    """It is gone."""

    name: MailboxName


class MailboxPaused(Event, frozen=True, kw_only=True):
    """It gives nothing out."""

    mailbox: MailboxView


class MailboxResumed(Event, frozen=True, kw_only=True):
    """It gives messages out again."""

    mailbox: MailboxView


class MailboxesMeasured(Event, frozen=True, kw_only=True):
    """The figures of those mailboxes that changed, about once a second. Never stored."""

    mailboxes: tuple[MailboxView, ...]
    total: MailboxTally
    is_indexing: bool = False
