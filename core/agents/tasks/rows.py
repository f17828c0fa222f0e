"""How tasks and runs are stored: the letter of a task that waits, rows and their keys (pure)."""

from hashlib import blake2b
from operator import attrgetter
from typing import Any

import msgspec

from core.agents.tasks.accepted import place_of
from core.agents.tasks.task import Marker, is_asking
from core.api.base import Actor, AgentName, Mark, RunId, SessionId, TaskId
from core.api.policies import ExecutionPolicy
from core.api.runs import Phase
from core.api.sessions import Mode, Outcome
from core.api.tasks import (
    AttemptState,
    AttemptView,
    Provenance,
    Routing,
    RunState,
    Snapshot,
    StartTask,
    TaskKind,
    TaskRunView,
    TaskState,
    TaskView,
)
from core.clock import Clock, rebased_ahead
from core.store.base import Put, Row
from core.store.rows import decoded

TASKS = "task/"
RUNS = "run/"
RUNNING = "running/"
PROFILES = "task-profile/"
INPUT_KEYS = "task-key/"
_RUNS_KEPT = 100


class Letter(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A task as it waits in its mailbox: what was asked, with the ids that it got. New fields stand at the end.

    accepted_at: UTC seconds. profile: fingerprint of the copy of the profile that it keeps. content: fingerprint of
    the command. policy: None is the profile's.
    """

    id: TaskId
    agent: AgentName
    session_id: SessionId
    accepted_at: float
    text: str
    profile: str
    actor: Actor
    content: str = ""
    kind: TaskKind = TaskKind.AGENT_COMMAND
    queue_mode: Mode = Mode.QUEUE
    session_key: str = ""
    idempotency_key: str = ""
    hook_id: int | None = None
    deliver: bool = False
    timeout_ms: int = 0
    policy: ExecutionPolicy | None = None
    lane: str = ""
    extra_system_prompt: str = ""
    model: str = ""
    provenance: Provenance | None = None
    routing: Routing | None = None
    attachments: tuple[dict[str, Any], ...] = ()
    label: str = ""
    spawned_by: str = ""
    parent_id: TaskId | None = None


class StoredTask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A task's row. own_policy: it was given one. run_ids: of its runs, the latest last."""

    view: TaskView
    actor: Actor
    content: str = ""
    own_policy: bool = False
    run_ids: tuple[RunId, ...] = ()


class StoredRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run's row with its tries and its log (see attempts_of, lines_of). task_ids: all that it works on."""

    view: TaskRunView
    task_ids: tuple[TaskId, ...] = ()
    attempts: tuple[AttemptView, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    phase: Phase = Phase.ADMITTING


class StoredKey(msgspec.Struct, frozen=True, kw_only=True):
    """The idempotency key of an input."""

    agent: AgentName
    key: str
    content: str
    task_id: TaskId
    outcome: Outcome
    run_id: RunId | None = None


_PLAIN = StartTask(text="")
_NO_PROVENANCE, _NO_ROUTING = _PLAIN.provenance, _PLAIN.routing
_SELDOM = (
    "label",
    "lane",
    "session_key",
    "spawned_by",
    "parent_id",
    "deliver",
    "timeout_ms",
    "extra_system_prompt",
    "model",
    "provenance",
    "routing",
    "attachments",
)
_seldom = attrgetter(*_SELDOM)
_NOTHING_SAID = ("", "", "", "", None, False, 0, "", "", None, None, ())
_encode = msgspec.json.Encoder().encode
_letters = msgspec.msgpack.Decoder(Letter)
_tasks = msgspec.json.Decoder(StoredTask)
_runs = msgspec.json.Decoder(StoredRun)
_keys = msgspec.json.Decoder(StoredKey)


def letter_of(
    command: StartTask,
    *,
    task_id: TaskId,
    agent: AgentName,
    session_id: SessionId,
    profile: str,
    at: float,
    actor: Actor,
    content: str,
) -> Letter:
    """The letter of a command."""
    # In the order of the fields: by their names it takes twice as long.
    return Letter(
        task_id,
        agent,
        session_id,
        at,
        command.text,
        profile,
        actor,
        content,
        TaskKind.AGENT_COMMAND,
        command.queue_mode,
        command.session_key,
        command.idempotency_key,
        command.hook_id,
        command.deliver,
        command.timeout_ms,
        command.policy,
        command.lane,
        command.extra_system_prompt,
        command.model,
        None if command.provenance is _NO_PROVENANCE else command.provenance,
        None if command.routing is _NO_ROUTING else command.routing,
        command.attachments,
        command.label,
        command.spawned_by,
        command.parent_id,
    )


def find_letter(body: bytes) -> Letter | None:
    """What waits in the mailbox; None when it cannot be read."""
    try:
        return _letters.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def stored_of(letter: Letter, own: ExecutionPolicy, accepted: Mark) -> StoredTask:
    """The task of a letter. own: policy of its profile, in force for it where it was given none."""
    view = _view_of(letter, letter.policy or own, accepted)
    return StoredTask(view=view, actor=letter.actor, content=letter.content, own_policy=letter.policy is not None)


def _view_of(letter: Letter, policy: ExecutionPolicy, accepted: Mark) -> TaskView:
    view = TaskView(
        id=letter.id,
        version=1,
        agent=letter.agent,
        kind=letter.kind,
        state=TaskState.QUEUED,
        session_id=letter.session_id,
        text=letter.text,
        accepted=accepted,
        queue_mode=letter.queue_mode,
        idempotency_key=letter.idempotency_key,
        policy=policy,
        profile_fingerprint=letter.profile,
        max_attempts=policy.retry.max_attempts,
    )
    # Most say nothing of the rest, and there may be many in a second.
    seldom = _seldom(letter)
    if seldom == _NOTHING_SAID and letter.hook_id is None:
        return view
    said = {field: value for field, value in zip(_SELDOM, seldom, strict=True) if value is not None}
    return msgspec.structs.replace(view, hook_id=letter.hook_id, **said)


def task_put(stored: StoredTask) -> Put:
    """The row of a task."""
    return Put(TASKS + stored.view.id, _encode(stored))


def with_run(stored: StoredTask, view: TaskView, run_id: RunId) -> StoredTask:
    """A task once a run of it has begun; of its runs the latest 100 are known."""
    return msgspec.structs.replace(stored, view=view, run_ids=(*stored.run_ids, run_id)[-_RUNS_KEPT:])


def task_of(row: Row, clock: Clock) -> StoredTask:
    """A task as of this start of the core. Raises StoreError that names a row that cannot be read."""
    stored = decoded(_tasks, row.key, row.body)
    return msgspec.structs.replace(stored, view=_rebased(stored.view, clock, _TASK_MARKS))


def run_put(run: StoredRun, *, is_over: bool) -> list[Put]:
    """The row of a run. It has another key while it goes on, so that a start finds what was left."""
    if is_over:
        return [Put(RUNNING + run.view.id, None), Put(RUNS + run.view.id, _encode(run))]
    return [Put(RUNNING + run.view.id, _encode(run))]


def run_of(row: Row, clock: Clock) -> StoredRun:
    """A run as of this start of the core. Raises StoreError that names a row that cannot be read."""
    stored = decoded(_runs, row.key, row.body)
    attempts = tuple(_rebased(attempt, clock, ("began", "ended")) for attempt in stored.attempts)
    view = _rebased(stored.view, clock, ("accepted", "started", "ended"))
    return msgspec.structs.replace(stored, view=view, attempts=attempts)


def attempts_of(run: StoredRun) -> tuple[AttemptView, ...]:
    """The tries of a run. A chat's has one, which is as the run is."""
    view = run.view
    if run.attempts or run.task_ids:
        return run.attempts
    state = AttemptState.PENDING if view.state is RunState.ACCEPTED else AttemptState(view.state.value)
    if state is AttemptState.RUNNING and is_asking(run.phase):
        state = AttemptState.BLOCKED
    attempt = AttemptView(
        run_id=view.id,
        number=1,
        state=state,
        strategy="primary",
        began=view.accepted,
        ended=view.ended,
        policy=view.policy,
        error=view.error,
    )
    return (attempt,)


def lines_of(run: StoredRun) -> tuple[Snapshot, ...]:
    """The log of a run. A chat's that ended as it should only began and ended."""
    view = run.view
    if run.snapshots:
        return run.snapshots
    lines = [Snapshot(number=1, at=view.accepted.at, state=RunState.RUNNING, marker=Marker.STARTED)]
    if view.ended is not None:
        lines.append(Snapshot(number=2, at=view.ended.at, state=view.state, marker=Marker.FINISHED, error=view.error))
    return tuple(lines)


def key_put(key: StoredKey) -> Put:
    """The row of an input's key."""
    return Put(key_name(place_of(key.agent, key.key)), _encode(key))


def key_name(place: str) -> str:
    """Where the key of an input is kept. place: the key with its agent."""
    return INPUT_KEYS + blake2b(place.encode(), digest_size=16).hexdigest()


def key_of(row: Row) -> StoredKey:
    """The key of an input. Raises StoreError that names a row that cannot be read."""
    return decoded(_keys, row.key, row.body)


def bare(view: TaskView) -> TaskView:
    """The task as lists and events show it: 2,000 characters of each text, attachments by their number alone."""
    if len(view.text) <= TEXT_LIMIT and len(view.answer) <= TEXT_LIMIT and not view.attachments:
        return view
    return msgspec.structs.replace(
        view, text=view.text[:TEXT_LIMIT], answer=view.answer[:TEXT_LIMIT], attachments=({},) * len(view.attachments)
    )


TEXT_LIMIT = 2_000
_TASK_MARKS = ("accepted", "dispatched", "changed", "ended", "retry", "archived")


def _rebased(view: Any, clock: Clock, fields: tuple[str, ...]) -> Any:
    marks = {field: rebased_ahead(found, clock) for field in fields if (found := getattr(view, field)) is not None}
    return msgspec.structs.replace(view, **marks)
