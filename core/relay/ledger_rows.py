"""How messages from bot to bot are stored, and how operators see them (pure).

What is under way has keys of its own, so that a start reads only that; what is over is kept by state, so that a start
counts it without reading it, and by the time of its making, so that lists are pages of keys.
"""

import msgspec

from core.api.base import Mark
from core.api.bindings import RelayProtocol
from core.api.relay_tasks import (
    TEXT_LIMIT,
    RelayDirection,
    RelayState,
    RelayTaskFilter,
    RelayTaskView,
)
from core.clock import Clock, mark, rebased, rebased_ahead
from core.ids import is_timed_uuid
from core.relay.task import RelayTask
from core.store.base import MUST_NOT_EXIST, Put, Row
from core.store.rows import decoded

LIVE = "relay-live/"
OVER = "relay-over/"
NAMED = "relay-id/"

ENDED = tuple(state for state in RelayState if state.is_over)
"""States of what is over."""

_tasks = msgspec.json.Decoder(RelayTask)
_encode = msgspec.json.Encoder().encode
_MARKS = ("created", "begun", "changed", "ended", "answered")


class _Brief(msgspec.Struct, frozen=True, gc=False):
    """What is counted of one that is dead."""

    origin: str = ""


_briefs = msgspec.json.Decoder(_Brief)


def prefix_of(state: RelayState) -> str:
    """Where those are kept that ended so."""
    return f"{OVER}{state.value}/"


def name_key(task_id: str) -> str:
    """Where the place of one is kept whose id says nothing of its time."""
    return NAMED + task_id


def is_named(task_id: str) -> bool:
    """Whether its place must be looked up."""
    return not is_timed_uuid(task_id)


def row_key(task: RelayTask) -> str:
    """Where it is kept."""
    return LIVE + task.key if task.is_open else prefix_of(task.state) + task.key


def puts_of(before: RelayTask | None, after: RelayTask) -> list[Put]:
    """What is written when it changes; before: None for a new one."""
    key = row_key(after)
    body = _encode(after)
    if before is not None:
        old = row_key(before)
        return [Put(key, body)] if old == key else [Put(old, None), Put(key, body)]
    puts = [Put(key, body, MUST_NOT_EXIST)]
    if after.place:
        puts.append(Put(name_key(after.id), after.place.encode(), MUST_NOT_EXIST))
    return puts


def gone_puts(task: RelayTask) -> list[Put]:
    """What is written when it is let go of."""
    puts = [Put(row_key(task), None)]
    if task.place:
        puts.append(Put(name_key(task.id), None))
    return puts


def task_of(row: Row, clock: Clock) -> RelayTask:
    """A message as of this start of the core. Raises StoreError that names a row that cannot be read."""
    task = decoded(_tasks, row.key, row.body)
    # A wall clock that was set back since makes nothing of the past a thing to come.
    marks: dict[str, Mark] = {
        field: rebased(found, clock) for field in _MARKS if (found := getattr(task, field)) is not None
    }
    if task.due is not None:
        marks["due"] = _ahead(task.due, task.changed or task.created, clock)
    attempts = tuple(msgspec.structs.replace(attempt, began=rebased(attempt.began, clock)) for attempt in task.attempts)
    return msgspec.structs.replace(task, attempts=attempts, **marks)


def _ahead(due: Mark, since: Mark, clock: Clock) -> Mark:
    """What is to come, no further ahead than it was when it was noted."""
    now, wait_s = mark(clock), due.at - since.at
    moved = rebased_ahead(due, clock)
    return moved if moved.mono <= now.mono + wait_s else Mark(now.at + wait_s, now.mono + wait_s)


def origin_of(row: Row) -> str:
    """To which origin one goes that is stored so; "" when that cannot be read."""
    try:
        return _briefs.decode(row.body).origin
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def view_of(task: RelayTask) -> RelayTaskView:
    """As operators see it in lists."""
    bot, last = task.bot, task.attempts[-1] if task.attempts else None
    return RelayTaskView(
        id=task.id,
        version=task.version,
        direction=task.direction,
        state=task.state,
        bot=task.name if task.direction is RelayDirection.OUT else task.peer,
        text=task.text[:TEXT_LIMIT],
        created=task.created,
        url="" if bot is None else bot.url,
        origin=task.origin,
        protocol=RelayProtocol.HOTPLEX if bot is None else bot.protocol,
        peer=task.peer,
        platform=task.platform,
        chat=task.chat,
        sender=task.sender,
        session_id=task.session_id,
        reason=task.reason,
        error=task.error,
        answer=task.answer[:TEXT_LIMIT],
        attempt_count=0 if last is None else last.number,
        last_status=0 if last is None else last.status,
        changed=task.changed,
        ended=task.ended,
        due=task.due,
        answered=task.answered,
        is_late=task.is_late,
        repeats=task.repeats,
        hops=task.trail.hops,
        path=task.trail.path,
        conversation=task.trail.conversation,
        group=task.group,
        task_id=task.task_id,
        remote_id=task.remote_id,
    )


def fits(task: RelayTask, only: RelayTaskFilter) -> bool:
    """Whether a list with this filter shows it."""
    return (
        (not only.states or task.state in only.states)
        and (only.direction is None or task.direction is only.direction)
        and (not only.bot or only.bot in {task.name, task.peer})
        and (not only.origin or task.origin == only.origin)
        and (not only.peer or task.peer == only.peer)
        and (only.reason is None or task.reason is only.reason)
        and (not only.conversation or task.trail.conversation == only.conversation)
        and task.created.at >= only.since
        and (not only.text or _says(task, only.text.casefold()))
    )


def _says(task: RelayTask, wanted: str) -> bool:
    said = (task.text, task.answer, task.error, task.name, task.peer, task.sender, task.id, task.trail.conversation)
    return any(wanted in text.casefold() for text in said)
