"""The session guard: one run at a time, messages in order, nothing lost.

Two rules. Whatever can change a guard is in this file. The guard knows neither
clock nor store: it is handed ids and hands back the next guard.

A session has one lane. A message that arrives waits at the end of the queue; when the
lane is free the head of the queue begins a run and holds the lane until that very run
ends. The modes say what happens to the run that holds the lane meanwhile: `queue`,
`followup` and `collect` let it be, `interrupt` tells it to stop, `steer` and
`steer-backlog` offer it the message; and how many messages share a turn, see `turn_size`.
A message whose mode cannot be had is taken in another, and says why. Order of arrival
is never changed, unless an operator moves a message.
"""

from collections.abc import Sequence
from enum import StrEnum
from itertools import takewhile

import msgspec

from core.api.base import MessageId, RunId
from core.api.errors import ConflictError, InvalidInput, NotFound, Overloaded
from core.api.sessions import Mode
from core.machine import Machine

TURN_LIMIT = 32
"""Messages that share one turn at most."""

_ALONE = frozenset({Mode.QUEUE, Mode.INTERRUPT})
OFFERED = frozenset({Mode.STEER, Mode.STEER_BACKLOG})
"""Modes in which a message is offered to the run that goes on."""


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


class Place(msgspec.Struct, frozen=True):
    """How a waiting message is to be answered.

    mode: the effective one. is_alone: never with others, as a task's or one whose run died before. model: in place
    of the agent's own. due: until when it waits for more, in monotonic seconds. group: neighbours of one group are one
    message that came in parts, and share a turn whatever the mode; "" is a group of its own.
    """

    mode: Mode
    is_alone: bool = False
    model: str = ""
    due: float = 0.0
    group: str = ""

    @property
    def may_share(self) -> bool:
        """Whether others may be answered in its turn."""
        return not self.is_alone and self.mode not in _ALONE

    @property
    def is_collecting(self) -> bool:
        """Whether it waits for more to come."""
        return self.mode is Mode.COLLECT and not self.is_alone


class Arrival(msgspec.Struct, frozen=True):
    """What becomes of a message. position: what is before it; 0 begins at once, unless it collects."""

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
    effective, reason = effective_mode(guard, mode, can_steer=can_steer)
    if effective is Mode.INTERRUPT:
        taken = interrupted(taken)
    return Arrival(taken, effective, position, reason)


def effective_mode(guard: Guard, mode: Mode, *, can_steer: bool) -> tuple[Mode, str]:
    """The mode that a message can have now, and why it is not the one that was asked for."""
    if guard.state is GuardState.IDLE and mode in OFFERED:
        return Mode.FOLLOWUP, "nothing was running"
    if guard.state is GuardState.IDLE and mode is Mode.INTERRUPT:
        return Mode.QUEUE, "nothing was running"
    if mode in OFFERED and not can_steer:
        return Mode.FOLLOWUP, "this agent takes nothing in while it works"
    if mode in OFFERED and guard.state is GuardState.INTERRUPTING:
        return Mode.FOLLOWUP, "the run is being stopped"
    return mode, ""


def may_begin(guard: Guard) -> bool:
    """Whether the head of the queue may begin a run now, or once it has collected."""
    return guard.state is GuardState.IDLE and bool(guard.queue) and not guard.is_held


def turn_size(places: Sequence[Place], now: float) -> int:
    """How many from the head of the queue are answered in the next turn; 0 while they wait for more.

    Parts of one message go together. Neighbours that may share a turn and are for the same model do: collecting ones
    with their like, all others with theirs; 32 at most. now: monotonic seconds.
    """
    return reach(places) if whole_at(places) <= now else 0


def whole_at(places: Sequence[Place]) -> float:
    """When the turn at the head of the queue waits for no more: when the last of it is due, in monotonic seconds.

    What collects waits for all that does, wherever it stands; a full turn waits for nothing.
    """
    head, size = places[0], reach(places)
    if head.is_alone or size == TURN_LIMIT:
        return 0.0
    awaited = [place for place in places if place.is_collecting] if head.is_collecting else places[:size]
    return max(place.due for place in awaited)


def reach(places: Sequence[Place]) -> int:
    """How many from the head of the queue share the next turn, whether or not it may begin yet."""
    head = places[0]
    if head.is_alone or not (head.may_share or head.group):
        return 1
    return sum(1 for _ in takewhile(lambda place: _goes_with(place, head), places[:TURN_LIMIT]))


def _goes_with(place: Place, head: Place) -> bool:
    if not head.may_share:
        return place.group == head.group and not place.is_alone
    return place.may_share and place.model == head.model and place.is_collecting == head.is_collecting


def begun(guard: Guard, run_id: RunId, count: int = 1) -> Guard:
    """The first `count` of the queue take the lane. Raises IllegalTransition when it is taken."""
    return msgspec.structs.replace(
        guard,
        state=GUARD.step(guard.state, GuardEvent.BEGIN),
        run_id=run_id,
        running=guard.queue[:count],
        queue=guard.queue[count:],
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


def put_first(guard: Guard, messages: tuple[MessageId, ...]) -> Guard:
    """Messages that a run let go of wait again, before all others."""
    return msgspec.structs.replace(guard, queue=(*messages, *guard.queue))


def put_last(guard: Guard, message_id: MessageId) -> Guard:
    """A message that was given up waits again, behind all others."""
    return msgspec.structs.replace(guard, queue=(*guard.queue, message_id))


def moved(guard: Guard, message_id: MessageId, position: int) -> Guard:
    """A waiting message goes to another place. Raises NotFound, InvalidInput when there is no such place."""
    rest = _without(guard, message_id).queue
    if not 0 <= position <= len(rest):
        raise InvalidInput(
            f"position is {position}, and {len(guard.queue)} messages wait",
            field="position",
            value=position,
            fix=f"use 0 to {len(rest)}",
        )
    return msgspec.structs.replace(guard, queue=(*rest[:position], message_id, *rest[position:]))


def dropped(guard: Guard, message_id: MessageId) -> Guard:
    """A waiting message is let go. Raises NotFound when it does not wait."""
    return _without(guard, message_id)


def emptied(guard: Guard) -> Guard:
    """All waiting messages are let go."""
    return msgspec.structs.replace(guard, queue=())


def held(guard: Guard, *, is_held: bool) -> Guard:
    """Begin nothing new, or begin again."""
    return msgspec.structs.replace(guard, is_held=is_held)


def changed_from(before: Sequence[MessageId], after: Sequence[MessageId]) -> int:
    """The first place at which two orders of a queue differ; their length when they do not."""
    return next((at for at, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), len(after))


def _without(guard: Guard, message_id: MessageId) -> Guard:
    if message_id not in guard.queue:
        raise NotFound("no such message waits in this session", noun="message", id=message_id)
    return msgspec.structs.replace(guard, queue=tuple(item for item in guard.queue if item != message_id))
