"""What one attempt means: for the message, for the breaker of its target, and whether another may help (pure)."""

from core.api.relay_tasks import AttemptResult, RelayReason
from core.breaker import Outcome
from core.relay.wire import Reply

GONE = 410

_FIRST_SUCCESS, _FIRST_REDIRECT, _FIRST_FAULT = 200, 300, 500
_PASSING = frozenset({408, 425, 429})
"""Refusals that say nothing about the message: too slow, too early, too many."""

_NOT_TAKEN = _PASSING | {503}
"""Of those that may pass, the ones after which the far side has not taken the message."""

_NOT_IMPLEMENTED = 501


def result_of(status: int) -> AttemptResult:
    """What an answer with this status says of the message.

    refused: the far side does not want it. undelivered: it did not take it, but may take it later. unknown: it failed
    on it, so nobody can tell how far it came.
    """
    if _FIRST_SUCCESS <= status < _FIRST_REDIRECT:
        return AttemptResult.DELIVERED
    if status in _NOT_TAKEN:
        return AttemptResult.UNDELIVERED
    if is_passing(status):
        return AttemptResult.UNKNOWN
    return AttemptResult.REFUSED


def is_passing(status: int) -> bool:
    """Whether an answer with this status is a failure that may pass: 408, 425, 429, all of 5xx but 501, and what is no
    status at all.
    """
    if status == _NOT_IMPLEMENTED:
        return False
    return status in _PASSING or not _FIRST_SUCCESS <= status < _FIRST_FAULT


def reply_of(error: str, result: AttemptResult, *, is_ours: bool) -> Reply:
    """What came of a call without an answer. is_ours: a rule of ours forbade it, which is REFUSED without a status."""
    return Reply(result=AttemptResult.REFUSED if is_ours else result, error=error)


def refusal_of(status: int, error: str, *, retry_after_s: float | None = None) -> Reply:
    """What came of a call that was answered with a status that is not of 2xx."""
    return Reply(
        result=result_of(status),
        status=status,
        error=error,
        retry_after_s=retry_after_s if is_passing(status) else None,
        is_gone=status == GONE,
    )


def is_terminal(reply: Reply) -> bool:
    """Whether sending it again could change nothing."""
    return reply.result in {AttemptResult.DELIVERED, AttemptResult.REFUSED} or reply.is_gone


def is_retried(reply: Reply) -> bool:
    """Whether it is sent again: it did not arrive, or nobody can tell, and that was not our own doing."""
    return reply.result in {AttemptResult.UNDELIVERED, AttemptResult.UNKNOWN} and not reply.is_gone


def outcome_of(reply: Reply) -> Outcome:
    """What the breaker learns. An answer that is final shows that the far side lives, whatever it says; what we broke
    off or forbade ourselves shows nothing.
    """
    if reply.result is AttemptResult.CUT_OFF or (reply.result is AttemptResult.REFUSED and not reply.status):
        return Outcome.NEUTRAL
    return Outcome.FAILURE if is_retried(reply) else Outcome.SUCCESS


def reason_of(reply: Reply) -> RelayReason:
    """Why a message is given up whose last attempt was this one."""
    if reply.result is AttemptResult.REFUSED:
        return RelayReason.REFUSED if reply.status else RelayReason.POLICY
    reasons = {
        AttemptResult.DELIVERED: RelayReason.NONE,
        AttemptResult.UNKNOWN: RelayReason.UNKNOWN,
        AttemptResult.UNDELIVERED: RelayReason.UNDELIVERED,
        AttemptResult.CUT_OFF: RelayReason.UNDELIVERED,
    }
    return reasons[reply.result]
