"""The session guard: one run at a time, messages in order, nothing lost.

Two rules. Whatever can change a guard is in this file. The guard knows neither
clock nor store: it is handed ids and hands back the next guard.

A session has one lane. A message that arrives waits at the end of the queue; when the
lane is free its head begins a run and holds the lane until that very run ends. The
modes differ only in what happens to the run that holds the lane meanwhile: `queue` lets
it be, `interrupt` tells it to stop, `steer` offers it the message. A message that cannot
be steered waits like any other, and says why. Order of arrival is never changed.
"""

from enum import StrEnum

import msgspec

from core.api.base import MessageId, RunId
from core.api.errors import ConflictError, NotFound, Overloaded
from core.api.sessions import Mode
from core.machine import Machine


class GuardState(StrEnum):
    """Who holds the lane."""

    IDLE = "idle"
    BUSY = "busy"
    INTERRUPTING = "interrupting"


class GuardEvent(StrEnum):
    """What can happen to the lane."""

    BEGIN = "begin"
    INTERRUPT = "interrupt"
    END = "end"


GUARD: Machine[GuardState, GuardEvent] = Machine(
    "session guard",
    GuardState,
    {
        GuardState.IDLE: {GuardEvent.BEGIN: GuardState.BUSY},
        GuardState.BUSY: {GuardEvent.INTERRUPT: GuardState.INTERRUPTING, GuardEvent.END: GuardState.IDLE},
        GuardState.INTERRUPTING: {GuardEvent.INTERRUPT: GuardState.INTERRUPTING, GuardEvent.END: GuardState.IDLE},
    },
)


class Guard(msgspec.Struct, frozen=True):
    """The lane of one session.

    run_id: its holder. running: messages that the holder answers. queue: those that wait, the
    oldest first. is_held: nothing new begins, though messages are still taken in.
    """

    state: GuardState = GuardState.IDLE
    run_id: RunId | None = None
    running: tuple[MessageId, ...] = ()
    queue: tuple[MessageId, ...] = ()
    is_held: bool = False


class Arrival(msgspec.Struct, frozen=True):
    """What becomes of a message. position: what is before it; 0 begins at once."""

    guard: Guard
    effective_mode: Mode
    position: int
    mode_reason: str = ""


def arrival(guard: Guard, message_id: MessageId, mode: Mode, *, can_steer: bool, limit: int) -> Arrival:
    """Take a message in. Raises Overloaded when `limit` messages wait already."""
    if len(guard.queue) >= limit:
        raise Overloaded(
            f"{limit} messages wait in this session already", bound="sessions.queue_limit", limit=limit, retry_after_s=5
        )
    position = len(guard.queue) + (guard.state is not GuardState.IDLE)
    taken = msgspec.structs.replace(guard, queue=(*guard.queue, message_id))
    if guard.state is GuardState.IDLE:
        reason = "" if mode is Mode.QUEUE else "nothing was running"
        return Arrival(taken, Mode.QUEUE, position, reason)
    if mode is Mode.STEER and not can_steer:
        return Arrival(taken, Mode.QUEUE, position, "this agent takes nothing in while it works")
    if mode is Mode.STEER and guard.state is GuardState.INTERRUPTING:
        return Arrival(taken, Mode.QUEUE, position, "the run is being stopped")
    if mode is Mode.INTERRUPT:
        taken = interrupted(taken)
    return Arrival(taken, mode, position)


def may_begin(guard: Guard) -> bool:
    """Whether the head of the queue may begin a run now."""
    return guard.state is GuardState.IDLE and bool(guard.queue) and not guard.is_held


def begun(guard: Guard, run_id: RunId) -> Guard:
    """The head of the queue takes the lane. Raises IllegalTransition when it is taken."""
    return msgspec.structs.replace(
        guard,
        state=GUARD.step(guard.state, GuardEvent.BEGIN),
        run_id=run_id,
        running=guard.queue[:1],
        queue=guard.queue[1:],
    )


def steered(guard: Guard, message_id: MessageId) -> Guard:
    """A waiting message was taken in by the run that holds the lane."""
    return msgspec.structs.replace(_without(guard, message_id), running=(*guard.running, message_id))


def interrupted(guard: Guard) -> Guard:
    """The holder was told to stop. Raises IllegalTransition when there is none."""
    return msgspec.structs.replace(guard, state=GUARD.step(guard.state, GuardEvent.INTERRUPT))


def ended(guard: Guard, run_id: RunId) -> Guard:
    """The holder ended and the lane is free. Raises ConflictError for any other run: it changes nothing."""
    if guard.run_id != run_id:
        raise ConflictError("another run holds the lane", key="run_id", expected=run_id, found=guard.run_id)
    return msgspec.structs.replace(guard, state=GUARD.step(guard.state, GuardEvent.END), run_id=None, running=())


def dropped(guard: Guard, message_id: MessageId) -> Guard:
    """A waiting message is let go. Raises NotFound when it does not wait."""
    return _without(guard, message_id)


def emptied(guard: Guard) -> Guard:
    """All waiting messages are let go."""
    return msgspec.structs.replace(guard, queue=())


def held(guard: Guard, *, is_held: bool) -> Guard:
    """Begin nothing new, or begin again."""
    return msgspec.structs.replace(guard, is_held=is_held)


def _without(guard: Guard, message_id: MessageId) -> Guard:
    if message_id not in guard.queue:
        raise NotFound("no such message waits in this session", noun="message", id=message_id)
    return msgspec.structs.replace(guard, queue=tuple(item for item in guard.queue if item != message_id))
