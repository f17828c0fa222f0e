"""What an attempt to send an answer means for the next one, and how a delivery looks from outside (pure).

A delivery is a message in the mailbox `outbox.PLATFORM`; its state follows from where that message
is. Only an operator brings a dead one back, and then it counts its attempts afresh.
"""

import math
from collections.abc import Callable

import msgspec

from core.api.base import Mark
from core.api.deliveries import DeliveryState, DeliveryView
from core.api.mail import DeadReason, MailState
from core.api.mailboxes import MailboxPolicy
from core.backoff import delay_s
from core.gateway.platform import Outbound, PlatformErrorKind
from core.letters import Letter
from core.settings import DeliverySettings

OUTBOX = "outbox."
"""Mailboxes of deliveries begin so; the name of the platform follows."""

LONGEST_WAIT_S = 86_400.0
"""No far side may put an answer off for longer than a day."""

_BODY_LIMIT_BYTES = 64 * 1024 * 1024
_LEASE_S = 300.0
_SLOWEST_UPLOAD_BYTES_PER_S = 64 * 1024
_ERROR_LIMIT = 300
_VERSIONS_A_REPLAY = 1_000_000
_END_STEP = 2

_DEAD_FOR: dict[PlatformErrorKind, DeadReason] = {
    PlatformErrorKind.REFUSED: DeadReason.REJECTED,
    PlatformErrorKind.GONE: DeadReason.UNDELIVERABLE,
}


class Failure(msgspec.Struct, frozen=True):
    """An attempt that the platform did not take. retry_after_s: what the far side asked for, None if nothing.

    is_for_chat: what it said concerns this chat alone, and not the whole account.
    """

    kind: PlatformErrorKind
    error: str
    retry_after_s: float | None = None
    is_for_chat: bool = False


class Wait(msgspec.Struct, frozen=True):
    """Try again after that many seconds."""

    delay_s: float
    error: str


class End(msgspec.Struct, frozen=True):
    """Nobody tries again unless an operator asks."""

    reason: DeadReason
    error: str


def outbox_policy(settings: DeliverySettings) -> MailboxPolicy:
    """The rules of an outbox: one answer of a session at a time, in order, and none is ever let go unsent."""
    return MailboxPolicy(
        visibility_s=_LEASE_S,
        max_deliveries=settings.max_attempts,
        max_crashes=settings.max_attempts,
        retry_base_s=settings.base_s,
        retry_cap_s=settings.cap_s,
        body_limit_bytes=_BODY_LIMIT_BYTES,
        dedupe_s=0.0,
        dead_keep_count=0,
        dead_keep_s=0.0,
    )


def after_failure(
    attempt: int, failure: Failure, settings: DeliverySettings, random: Callable[[], float]
) -> Wait | End:
    """What follows a failed attempt (1 is the first). `random` gives a number in [0, 1).

    What the far side asks for wins over the backoff. A wrong credential is tried slowly, for
    an operator has to mend it. A refusal, a chat that is gone and the last attempt are the end.
    """
    error = one_line(failure.error)
    if failure.kind in _DEAD_FOR:
        return End(_DEAD_FOR[failure.kind], error)
    if attempt >= settings.max_attempts:
        return End(DeadReason.MAX_DELIVERIES, error)
    return Wait(_wait_s(attempt, failure, settings, random), error)


def asked_s(failure: Failure) -> float | None:
    """Seconds to wait that the far side asked for, at most a day; None when it named no time to come."""
    wait_s = failure.retry_after_s
    return min(wait_s, LONGEST_WAIT_S) if wait_s is not None and wait_s > 0 else None


def attempt_limit_s(outbound: Outbound, settings: DeliverySettings) -> float:
    """How long one attempt may take: what it may for a text, and more for the bytes of its files."""
    size_bytes = sum(item.size_bytes for item in outbound.files)
    return settings.timeout_s + size_bytes / _SLOWEST_UPLOAD_BYTES_PER_S


def delivery_state(letter: Letter) -> DeliveryState:
    """The word an operator sees."""
    if letter.state is MailState.DEAD:
        return DeliveryState.DEAD
    if letter.state is MailState.IN_FLIGHT:
        return DeliveryState.SENDING
    is_tried = letter.attempt > 0 or (letter.due is not None and letter.error != "")
    return DeliveryState.RETRYING if is_tried else DeliveryState.QUEUED


def delivery_view(letter: Letter, outbound: Outbound) -> DeliveryView:
    """A delivery as its message stands."""
    state = delivery_state(letter)
    # A delivery that does not count as an attempt is news all the same.
    tries = max(letter.attempt, letter.failures + (state is DeliveryState.SENDING))
    is_waiting = state in {DeliveryState.QUEUED, DeliveryState.RETRYING}
    return DeliveryView(
        id=outbound.delivery_id,
        version=letter.replays * _VERSIONS_A_REPLAY + _END_STEP * tries + (state is DeliveryState.DEAD) + 1,
        session_id=outbound.session_id,
        platform=outbound.source.platform,
        state=state,
        created=letter.created,
        text=outbound.text,
        attempt=letter.attempt,
        next_try=letter.due if is_waiting else None,
        error=letter.error,
        part=outbound.part,
        part_count=outbound.part_count,
        file=outbound.files[0].name if outbound.files else "",
        chat=outbound.source.chat,
        thread=outbound.source.thread,
    )


def stepped(view: DeliveryView, state: DeliveryState, *, error: str = "", next_try: Mark | None = None) -> DeliveryView:
    """The view after what has just happened to it."""
    return msgspec.structs.replace(view, version=view.version + 1, state=state, error=error, next_try=next_try)


def one_line(text: str) -> str:
    """An error as one line of bounded length."""
    return " ".join(text.split())[:_ERROR_LIMIT]


def _wait_s(attempt: int, failure: Failure, settings: DeliverySettings, random: Callable[[], float]) -> float:
    asked_s = failure.retry_after_s
    if asked_s is not None and not math.isnan(asked_s):
        return min(max(0.0, asked_s), LONGEST_WAIT_S)
    if failure.kind is PlatformErrorKind.UNAUTHORISED:
        return settings.cap_s
    return delay_s(attempt, base_s=settings.base_s, cap_s=settings.cap_s, random=random)
