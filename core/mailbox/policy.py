"""What the rules of a mailbox mean for one message: what a failure leads to, and when time is up (pure)."""

from collections.abc import Callable

import msgspec

from core.api.mail import DeadReason
from core.api.mailboxes import Guarantee, MailboxPolicy
from core.backoff import delay_s as backoff_s
from core.mailbox.message import Draft, Mail

LONGEST_DELAY_S = 366 * 86_400.0
"""Nothing is put off for longer than a year."""


class Again(msgspec.Struct, frozen=True, gc=False):
    """Give it out once more after delay_s seconds."""

    delay_s: float


class Dead(msgspec.Struct, frozen=True, gc=False):
    """Keep it as a dead letter."""

    reason: DeadReason


class Gone(msgspec.Struct, frozen=True, gc=False):
    """Let it go: it was to be given out at most once."""


Verdict = Again | Dead | Gone


def after_failure(policy: MailboxPolicy, mail: Mail, delay_s: float | None, random: Callable[[], float]) -> Verdict:
    """What becomes of a message whose delivery failed. delay_s: the consumer's wish; None is the backoff."""
    if mail.guarantee is Guarantee.AT_MOST_ONCE:
        return Gone()
    if mail.attempt >= policy.max_deliveries:
        return Dead(DeadReason.MAX_DELIVERIES)
    if delay_s is None:
        base_s, cap_s = policy.retry_base_s, policy.retry_cap_s
        return Again(backoff_s(mail.attempt, base_s=base_s, cap_s=cap_s, random=random))
    return Again(min(max(delay_s, 0.0), LONGEST_DELAY_S))


def after_crash(policy: MailboxPolicy, mail: Mail) -> Verdict:
    """What becomes of a message that was in flight when the core died; `crashes` counts that one."""
    if mail.guarantee is Guarantee.AT_MOST_ONCE:
        return Gone()
    if mail.crashes >= policy.max_crashes:
        return Dead(DeadReason.POISON)
    if mail.attempt >= policy.max_deliveries:
        return Dead(DeadReason.MAX_DELIVERIES)
    return Again(0.0)


def ttl_s(policy: MailboxPolicy, draft: Draft) -> float:
    """Seconds after which a message is given up; 0 is never."""
    return policy.ttl_s if draft.ttl_s is None else draft.ttl_s


def rest_s(at: float, since: float, now: float) -> float:
    """Seconds until the stored instant `at`, never more than it was when it was set at `since`.

    A wall clock that was put back must not make a wait longer than it was meant to be.
    """
    return min(max(at - now, 0.0), max(at - since, 0.0))
