"""When the answer to a peer's message is told at its callback, and how long that is tried (pure)."""

import hashlib

import msgspec

from core.api.base import Mark
from core.api.relay_tasks import RelayAttempt, RelayState, Trigger
from core.relay import signing
from core.relay.message import RelayResponse
from core.relay.moment import Moment
from core.relay.task import RelayTask

WAITS_S = (1.0, 5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0)
"""Seconds after each attempt that failed; the last one from then on."""

ATTEMPTS_KEPT = 20

_NS = 1_000_000_000


def response_of(task: RelayTask) -> RelayResponse:
    """A message as a peer is told of it: working, or what came of it; completed also with a late answer."""
    last = (task.answered if task.is_late else task.ended) or task.changed or task.created
    state = RelayState.COMPLETED if task.is_late else task.state
    return RelayResponse(
        task_id=task.wire_id,
        status=(state if state in _SAID else RelayState.FAILED).value,
        content=task.answer,
        timestamp=Moment.of(last.at),
        error="" if task.is_late else task.error,
        duration_ns=max(0, round((last.mono - task.created.mono) * _NS)) if task.state.is_over else 0,
    )


def signed_id(wire_id: str) -> str:
    """What a signed request about a message has as its id: that of the message, its hash where that can be none."""
    return wire_id if signing.is_id(wire_id) else hashlib.sha256(wire_id.encode(errors="surrogatepass")).hexdigest()


def wait_s(failures: int, asked_s: float | None, random: float) -> float:
    """Until the next attempt. asked_s: what the peer asked for. random: in [0, 1), spreads a little."""
    planned_s = WAITS_S[min(failures, len(WAITS_S)) - 1]
    return max(planned_s * (0.8 + 0.4 * random), min(asked_s or 0.0, WAITS_S[-1]))


def told(task: RelayTask, attempt: RelayAttempt, due: Mark | None, now: Mark) -> RelayTask:
    """The message after an attempt to tell. due: of the next one, None when there is none."""
    return msgspec.structs.replace(
        task,
        attempts=(*task.attempts, attempt)[-ATTEMPTS_KEPT:],
        due=due,
        is_untold=due is not None,
        changed=now,
    )


def trigger_of(number: int) -> Trigger:
    """Why an attempt is made. number: from 1."""
    return Trigger.FIRST if number == 1 else Trigger.SCHEDULE


_SAID = frozenset({RelayState.WORKING, RelayState.COMPLETED, RelayState.FAILED, RelayState.CANCELED})
