"""The delivery machine: what an attempt to send an answer means for the next one.

queued and retrying wait, sending is with the platform, sent and dead are final. Only an
operator brings a dead one back, and then it counts its attempts afresh.
"""

import math
from collections.abc import Callable
from enum import StrEnum

import msgspec

from core.api.base import Mark, MessageId
from core.api.deliveries import DeliveryState, DeliveryView
from core.api.sessions import Source
from core.backoff import delay_s
from core.gateway.platform import Outbound, PlatformErrorKind
from core.machine import Machine
from core.settings import DeliverySettings

LONGEST_WAIT_S = 86_400.0
"""No far side may put an answer off for longer than a day."""

_ERROR_LIMIT = 300


class DeliveryStep(StrEnum):
    """What can happen to a delivery."""

    BEGIN = "begin"
    SUCCEED = "succeed"
    FAIL = "fail"
    GIVE_UP = "give up"
    ASK_AGAIN = "ask again"


DELIVERY: Machine[DeliveryState, DeliveryStep] = Machine(
    "delivery",
    DeliveryState,
    {
        DeliveryState.QUEUED: {DeliveryStep.BEGIN: DeliveryState.SENDING},
        DeliveryState.SENDING: {
            DeliveryStep.SUCCEED: DeliveryState.SENT,
            DeliveryStep.FAIL: DeliveryState.RETRYING,
            DeliveryStep.GIVE_UP: DeliveryState.DEAD,
        },
        DeliveryState.RETRYING: {
            DeliveryStep.BEGIN: DeliveryState.SENDING,
            DeliveryStep.ASK_AGAIN: DeliveryState.QUEUED,
        },
        DeliveryState.SENT: {},
        DeliveryState.DEAD: {DeliveryStep.ASK_AGAIN: DeliveryState.QUEUED},
    },
)

WAITING = frozenset({DeliveryState.QUEUED, DeliveryState.SENDING, DeliveryState.RETRYING})
"""States of a delivery that will still be tried."""

_HOPELESS = frozenset({PlatformErrorKind.REFUSED, PlatformErrorKind.GONE})


class Failure(msgspec.Struct, frozen=True):
    """An attempt that the platform did not take. retry_after_s: what the far side asked for, None if nothing."""

    kind: PlatformErrorKind
    error: str
    retry_after_s: float | None = None


class OutboxRow(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery as it is stored: its view and what is needed to send it again."""

    view: DeliveryView
    source: Source
    message_id: MessageId | None = None
    reply_to: str = ""


def queued(outbound: Outbound, now: Mark) -> OutboxRow:
    """A new delivery."""
    view = DeliveryView(
        id=outbound.delivery_id,
        version=1,
        session_id=outbound.session_id,
        platform=outbound.source.platform,
        state=DeliveryState.QUEUED,
        created=now,
        text=outbound.text,
    )
    return OutboxRow(view=view, source=outbound.source, message_id=outbound.message_id, reply_to=outbound.reply_to)


def outbound_of(row: OutboxRow) -> Outbound:
    """The message to send; the same on every attempt."""
    return Outbound(
        delivery_id=row.view.id,
        session_id=row.view.session_id,
        source=row.source,
        text=row.view.text,
        message_id=row.message_id,
        reply_to=row.reply_to,
    )


def begun(view: DeliveryView) -> DeliveryView:
    """An attempt begins. Raises IllegalTransition for what is being sent, was sent or is dead."""
    return _stepped(view, DeliveryStep.BEGIN, attempt=view.attempt + 1, next_try=None)


def next_attempt(
    view: DeliveryView,
    outcome: Failure | None,
    now: Mark,
    settings: DeliverySettings,
    random: Callable[[], float],
) -> DeliveryView:
    """The delivery after an attempt; outcome None is success. `random` gives a number in [0, 1).

    What the far side asks for wins over the backoff. A wrong credential is tried slowly, for
    an operator has to mend it. A refusal, a chat that is gone and the last attempt are the end.
    """
    if outcome is None:
        return _stepped(view, DeliveryStep.SUCCEED, error="", next_try=None)
    error = one_line(outcome.error)
    if outcome.kind in _HOPELESS or view.attempt >= settings.max_attempts:
        return _stepped(view, DeliveryStep.GIVE_UP, error=error, next_try=None)
    wait_s = _wait_s(view.attempt, outcome, settings, random)
    next_try = Mark(now.at + wait_s, now.mono + wait_s)
    return _stepped(view, DeliveryStep.FAIL, error=error, next_try=next_try)


def asked_again(view: DeliveryView) -> DeliveryView:
    """An operator wants it tried now, with all attempts before it. Raises IllegalTransition unless dead or retrying."""
    return _stepped(view, DeliveryStep.ASK_AGAIN, attempt=0, next_try=None)


def recovered(view: DeliveryView, created: Mark, now: Mark) -> DeliveryView:
    """A stored delivery as of this start of the core.

    created: on the clocks of this start. A wait that the wall clock has stretched
    beyond a day is cut to a day.
    """
    next_try = view.next_try
    if next_try is not None:
        left_s = min(max(0.0, next_try.at - now.at), LONGEST_WAIT_S)
        next_try = Mark(now.at + left_s, now.mono + left_s)
    return msgspec.structs.replace(view, created=created, next_try=next_try)


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


def _stepped(
    view: DeliveryView,
    step: DeliveryStep,
    *,
    next_try: Mark | None,
    attempt: int | None = None,
    error: str | None = None,
) -> DeliveryView:
    return msgspec.structs.replace(
        view,
        version=view.version + 1,
        state=DELIVERY.step(view.state, step),
        attempt=view.attempt if attempt is None else attempt,
        next_try=next_try,
        error=view.error if error is None else error,
    )
