"""When a message is sent again, when it is asked for, and when it is given up (pure)."""

import math
from collections.abc import Callable

import msgspec

from core.api.base import Mark
from core.api.relay_tasks import AttemptResult, RelayReason, Trigger
from core.relay.outcome import is_retried, reason_of
from core.relay.task import RelayTask, cause_of_death
from core.relay.wire import Reply
from core.relay_settings import RelaySettings

ASKED_CAP_S = 3_600.0
"""No far side may put one message off for longer than that at a time."""

FIRST_POLL_S, LAST_POLL_S = 1.0, 60.0

_SPREAD = 0.4
"""Part of a wait that is left to chance. So little that waits which double stay in their order."""


class Again(msgspec.Struct, frozen=True):
    """Send it once more after that many seconds."""

    delay_s: float


class Over(msgspec.Struct, frozen=True):
    """Give it up."""

    reason: RelayReason
    error: str


def waits_s(settings: RelaySettings) -> tuple[float, ...]:
    """The waits between the attempts of one round, as they are configured."""
    return (*settings.retries_s, *settings.schedule_s)


def most_attempts(settings: RelaySettings) -> int:
    """Attempts of one round."""
    return 1 + len(waits_s(settings))


def deadline(task: RelayTask, settings: RelaySettings) -> float:
    """Monotonic seconds at which one that is not delivered is given up."""
    return task.queued.mono + settings.deadline_s


def after_attempt(
    task: RelayTask,
    reply: Reply,
    settings: RelaySettings,
    now: Mark,
    random: Callable[[], float],
    *,
    not_before: float = -math.inf,
) -> Again | Over:
    """What follows an attempt that delivered nothing. task: with that attempt; `random` gives a number in [0, 1).

    not_before: monotonic seconds before which no deadline counts.
    """
    if reply.result is AttemptResult.CUT_OFF:
        return Again(0.0)
    reason = cause_of_death(task, RelayReason.REFUSED if reply.is_gone else reason_of(reply))
    if not is_retried(reply):
        return Over(reason, reply.error)
    wait_s = next_wait_s(task.tried, settings, random)
    if wait_s is None:
        return Over(reason, f"given up after {task.tried} attempts: {reply.error}")
    wait_s = max(wait_s, asked_s(reply))
    if now.mono + wait_s >= max(deadline(task, settings), not_before):
        return Over(reason, f"not delivered within {settings.deadline_s:g} s: {reply.error}")
    return Again(wait_s)


def next_wait_s(tried: int, settings: RelaySettings, random: Callable[[], float]) -> float | None:
    """Seconds until the next attempt after `tried` of this round; None when there is no further one."""
    waits = waits_s(settings)
    if tried < 1:
        return 0.0
    return waits[tried - 1] * (1.0 - _SPREAD * random()) if tried <= len(waits) else None


def asked_s(reply: Reply) -> float:
    """Seconds that the far side asked for, within reason."""
    asked = reply.retry_after_s
    return min(asked, ASKED_CAP_S) if asked is not None and math.isfinite(asked) and asked > 0 else 0.0


def trigger_of(task: RelayTask, settings: RelaySettings) -> Trigger:
    """Why the next attempt is made."""
    if not task.tried:
        return Trigger.REPLAY if task.round else Trigger.FIRST
    return Trigger.RETRY if task.tried <= len(settings.retries_s) else Trigger.SCHEDULE


def poll_s(asked_count: int, random: Callable[[], float]) -> float:
    """Seconds until an answer is asked for again: growing from one to sixty, spread a little."""
    ceiling = min(LAST_POLL_S, FIRST_POLL_S * 2.0 ** min(asked_count, 10))
    return ceiling * (1.0 - _SPREAD * random())


def asked_by_now(age_s: float) -> int:
    """How often an answer was asked for by then that many seconds after the delivery, about."""
    return int(math.log2(max(age_s, 0.0) / FIRST_POLL_S + 1.0))
