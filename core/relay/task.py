"""A message from bot to bot and what may become of it (pure, a table and frozen values).

Every function gives the message as it is afterwards, or raises IllegalTransition and gives nothing.
"""

from enum import StrEnum

import msgspec

from core.api.base import Mark, SessionId, TaskId
from core.api.bindings import Bot
from core.api.relay_tasks import (
    AttemptResult,
    RelayAttempt,
    RelayDirection,
    RelayReason,
    RelayState,
    RelayTaskId,
    Trigger,
)
from core.machine import Machine
from core.relay.wire import Trail

ATTEMPTS_KEPT = 100
"""Attempts of one message that are remembered, the latest."""

_ERROR_LIMIT = 300


class RelayStep(StrEnum):
    """What can happen to a message."""

    BEGIN = "begin"
    PUT_BACK = "put back"
    DELIVER = "deliver"
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"
    DIE = "die"
    REPLAY = "replay"


_ENDS = {
    RelayStep.COMPLETE: RelayState.COMPLETED,
    RelayStep.FAIL: RelayState.FAILED,
    RelayStep.CANCEL: RelayState.CANCELED,
}

RELAY: Machine[RelayState, RelayStep] = Machine(
    "relay task",
    RelayState,
    {
        RelayState.QUEUED: {RelayStep.BEGIN: RelayState.SENDING, RelayStep.DIE: RelayState.DEAD, **_ENDS},
        RelayState.SENDING: {
            RelayStep.PUT_BACK: RelayState.QUEUED,
            RelayStep.DELIVER: RelayState.WORKING,
            RelayStep.DIE: RelayState.DEAD,
            **_ENDS,
        },
        RelayState.WORKING: _ENDS,
        RelayState.COMPLETED: {},
        RelayState.FAILED: {},
        RelayState.CANCELED: {},
        RelayState.DEAD: {RelayStep.REPLAY: RelayState.QUEUED},
    },
)

_STEP_TO = {state: step for step, state in _ENDS.items()}


class RelayTask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message as it is stored.

    id: of the facade; wire_id: as both sides call it. version: 0 until it is stored. place: sorts by the time of its
    making; "" when the id itself does. bot, origin: of one that goes out, as it was bound then. body_hash: of one that
    came in. round: how often it was replayed; begun: when that was; tried: attempts of this round that count. crashes:
    starts of the core that found it being sent. is_untold: it is over, and who waits for the answer is still to be
    told. changed and the like: instants on the clock of the start that wrote them.
    """

    id: RelayTaskId
    wire_id: str
    direction: RelayDirection
    state: RelayState
    text: str
    created: Mark
    trail: Trail
    version: int = 0
    place: str = ""
    bot: Bot | None = None
    origin: str = ""
    name: str = ""
    peer: str = ""
    platform: str = ""
    chat: str = ""
    sender: str = ""
    session_id: SessionId | None = None
    context: str = ""
    reason: RelayReason = RelayReason.NONE
    error: str = ""
    answer: str = ""
    attempts: tuple[RelayAttempt, ...] = ()
    round: int = 0
    begun: Mark | None = None
    tried: int = 0
    crashes: int = 0
    changed: Mark | None = None
    ended: Mark | None = None
    due: Mark | None = None
    answered: Mark | None = None
    is_late: bool = False
    is_untold: bool = False
    repeats: int = 0
    group: str = ""
    task_id: TaskId | None = None
    remote_id: str = ""
    body_hash: str = ""

    @property
    def key(self) -> str:
        """By which it is kept and listed: sorts by the time of its making."""
        return self.place or self.id

    @property
    def is_open(self) -> bool:
        """Whether something is still done for it, if only that somebody is told."""
        return not self.state.is_over or self.is_untold

    @property
    def queued(self) -> Mark:
        """Since when it is to be sent, for the present round."""
        return self.begun or self.created

    @property
    def attempt_count(self) -> int:
        """Attempts of all rounds."""
        return self.attempts[-1].number if self.attempts else 0


def began(task: RelayTask, now: Mark) -> RelayTask:
    """An attempt begins."""
    return msgspec.structs.replace(task, state=RELAY.step(task.state, RelayStep.BEGIN), changed=now, due=None)


def tried(task: RelayTask, attempt: RelayAttempt) -> RelayTask:
    """An attempt has an end. What we cut off ourselves does not count for the plan."""
    return msgspec.structs.replace(
        task,
        attempts=(*task.attempts, attempt)[-ATTEMPTS_KEPT:],
        tried=task.tried + (attempt.result is not AttemptResult.CUT_OFF),
        error=attempt.error,
    )


def interrupted(task: RelayTask, now: Mark, crashes: int, error: str) -> RelayTask:
    """So many starts of the core found it being sent: nobody knows what came of those attempts."""
    for _ in range(crashes - task.crashes):
        attempt = RelayAttempt(
            number=task.attempt_count + 1,
            began=now,
            url="" if task.bot is None else task.bot.url,
            result=AttemptResult.UNKNOWN,
            trigger=Trigger.REPLAY if task.round else Trigger.FIRST,
            error=error,
        )
        task = tried(task, attempt)
    return msgspec.structs.replace(task, crashes=max(crashes, task.crashes))


def put_back(task: RelayTask, now: Mark, *, due: Mark | None) -> RelayTask:
    """It waits for its next attempt."""
    return msgspec.structs.replace(task, state=RELAY.step(task.state, RelayStep.PUT_BACK), changed=now, due=due)


def delivered(task: RelayTask, now: Mark, *, remote_id: str = "", context: str = "") -> RelayTask:
    """The far side has it and works on it."""
    return msgspec.structs.replace(
        task,
        state=RELAY.step(task.state, RelayStep.DELIVER),
        changed=now,
        due=None,
        error="",
        remote_id=remote_id or task.remote_id,
        context=context or task.context,
    )


def answered(
    task: RelayTask,
    now: Mark,
    *,
    state: RelayState,
    answer: str = "",
    error: str = "",
    reason: RelayReason = RelayReason.NONE,
) -> RelayTask:
    """What became of it over there: completed, failed or canceled. One that is over keeps its state, and the answer."""
    if task.state.is_over:
        return late(task, now, answer=answer, error=error)
    if state is RelayState.FAILED and reason is RelayReason.NONE:
        reason = RelayReason.AGENT
    step = _STEP_TO[state]
    return _over(task, step, now, reason=reason, error=error, answer=answer, is_answer=True)


def late(task: RelayTask, now: Mark, *, answer: str, error: str = "") -> RelayTask:
    """An answer that came when it was over: kept, the first one of them. The same value when there is nothing new."""
    # A failure without words is none: it may have been tried again over there.
    if task.answered is not None and (task.state is not RelayState.FAILED or task.answer or not answer):
        return task
    return msgspec.structs.replace(
        task,
        answer=answer or task.answer,
        answered=now,
        changed=now,
        is_late=True,
        is_untold=task.session_id is not None and bool(answer),
        error=task.error or error[:_ERROR_LIMIT],
    )


def silent(task: RelayTask, now: Mark) -> RelayTask:
    """The far side has it and will never say more."""
    return _over(task, RelayStep.COMPLETE, now, reason=RelayReason.UNANSWERED)


def unanswered(task: RelayTask, now: Mark, error: str) -> RelayTask:
    """The far side has it, and no answer came in time."""
    return _over(task, RelayStep.FAIL, now, reason=RelayReason.UNANSWERED, error=error)


def died(task: RelayTask, now: Mark, reason: RelayReason, error: str) -> RelayTask:
    """It is given up; an operator can send it again."""
    return _over(task, RelayStep.DIE, now, reason=reason, error=error)


def canceled(task: RelayTask, now: Mark, error: str = "") -> RelayTask:
    """Somebody here does not want it any more."""
    after = _over(task, RelayStep.CANCEL, now, reason=RelayReason.NONE, error=error)
    return msgspec.structs.replace(after, is_untold=False)


def replayed(task: RelayTask, now: Mark) -> RelayTask:
    """A dead one waits to be sent again, under the same wire id and with a plan of its own."""
    return msgspec.structs.replace(
        task,
        state=RELAY.step(task.state, RelayStep.REPLAY),
        reason=RelayReason.NONE,
        error="",
        round=task.round + 1,
        begun=now,
        tried=0,
        crashes=0,
        changed=now,
        ended=None,
        due=None,
        answered=None,
        is_late=False,
        is_untold=False,
    )


def retargeted(
    task: RelayTask, now: Mark, *, bot: Bot, origin: str, platform: str, chat: str, trail: Trail
) -> RelayTask:
    """It goes to another address. What the former one called it means nothing there."""
    return msgspec.structs.replace(
        task,
        bot=bot,
        name=bot.name,
        peer=bot.peer,
        origin=origin,
        platform=platform,
        chat=chat,
        trail=trail,
        changed=now,
        due=None,
        tried=0,
        crashes=0,
        remote_id="",
    )


def told(task: RelayTask, now: Mark) -> RelayTask:
    """Who waited for the answer has it."""
    return msgspec.structs.replace(task, is_untold=False, changed=now)


def cause_of_death(task: RelayTask, last: RelayReason) -> RelayReason:
    """Why it is given up, of what its attempts say: one that may have arrived is not called undelivered."""
    doubtful = {AttemptResult.UNKNOWN, AttemptResult.CUT_OFF}
    if last is RelayReason.UNDELIVERED and any(attempt.result in doubtful for attempt in task.attempts):
        return RelayReason.UNKNOWN
    return last


def _over(
    task: RelayTask,
    step: RelayStep,
    now: Mark,
    *,
    reason: RelayReason,
    error: str = "",
    answer: str = "",
    is_answer: bool = False,
) -> RelayTask:
    return msgspec.structs.replace(
        task,
        state=RELAY.step(task.state, step),
        reason=reason,
        error=error[:_ERROR_LIMIT],
        answer=answer or task.answer,
        changed=now,
        ended=now,
        due=None,
        answered=now if is_answer else None,
        is_untold=task.session_id is not None and task.direction is RelayDirection.OUT,
    )
