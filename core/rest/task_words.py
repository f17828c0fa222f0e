"""Tasks and runs as callers of the agent API name them (pure)."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from core.api.base import AgentName, RunId, SessionId, TaskId
from core.api.policies import ExecutionPolicy
from core.api.sessions import Mode, Outcome
from core.api.streams import ReadStream
from core.api.tasks import (
    ListRuns,
    ListTasks,
    Provenance,
    Routing,
    RunFilter,
    RunState,
    StartTask,
    TaskFilter,
    TaskKind,
    TaskReceipt,
    TaskState,
    TaskView,
)

NAMES = {
    "text": "message",
    "agent": "agent_id",
    "name": "agent_id",
    "provenance": "input_provenance",
    "parent_id": "parent_task_id",
    "only": "",
}
"""What fields of the core are called here."""


class AgentCommand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Work for an agent. null is as if it were left out.

    agent_id: an agent's name; without it the default one. session_id: the conversation to do it in, else one of its
    own; a live run there takes it as an input, unless hook_id is given. idempotency_key: per agent; with other content
    it is a conflict. timeout_ms: 0 is the profile's. policy: without it the profile's.
    """

    message: str
    agent_id: str | None = None
    hook_id: Annotated[int, Meta(ge=0)] | None = None
    session_id: str | None = None
    session_key: str | None = None
    deliver: bool | None = None
    timeout_ms: Annotated[int, Meta(ge=0)] | None = None
    policy: ExecutionPolicy | None = None
    lane: str | None = None
    extra_system_prompt: str | None = None
    input_provenance: Provenance | None = None
    routing: Routing | None = None
    attachments: tuple[dict[str, Any], ...] | None = None
    idempotency_key: str | None = None
    label: str | None = None
    spawned_by: str | None = None
    parent_task_id: str | None = None
    model: str | None = None
    queue_mode: Mode | None = None


class RunInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message for a run; one that is over is begun again in its session."""

    message: str
    queue_mode: Mode = Mode.FOLLOWUP
    idempotency_key: str = ""


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored. idempotent_hit: it was before; outcome: what became of it at once."""

    idempotent_hit: bool
    task: TaskView
    run_id: str | None
    outcome: Outcome
    accepted: bool = True


class TasksQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which tasks; what is left out does not narrow. cursor: of the page before."""

    state: tuple[TaskState, ...] = ()
    agent_id: str = ""
    session_id: str = ""
    label: str = ""
    spawned_by: str = ""
    parent_task_id: str = ""
    kind: TaskKind | None = None
    archived: Literal["no", "only", "all"] = "no"
    text: str = ""
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: str = ""


class RunsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which runs; what is left out does not narrow. cursor: of the page before."""

    state: tuple[RunState, ...] = ()
    agent_id: str = ""
    session_id: str = ""
    task_id: str = ""
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: str = ""


class StreamQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From where to read on. after: next_after of the answer before, 0 is the oldest. wait_s: for the first item."""

    after: Annotated[int, Meta(ge=0)] = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 200
    wait_s: Annotated[float, Meta(ge=0, le=60)] = 0.0


def start_task(command: AgentCommand) -> StartTask:
    """What the core is asked."""
    return StartTask(
        text=command.message,
        agent=_agent(command.agent_id),
        session_id=command.session_id or "",
        session_key=command.session_key or "",
        idempotency_key=command.idempotency_key or "",
        hook_id=command.hook_id,
        deliver=bool(command.deliver),
        timeout_ms=command.timeout_ms or 0,
        policy=command.policy,
        lane=command.lane or "",
        extra_system_prompt=command.extra_system_prompt or "",
        model=command.model or "",
        queue_mode=command.queue_mode or Mode.QUEUE,
        provenance=command.input_provenance or Provenance(),
        routing=command.routing or Routing(),
        attachments=command.attachments or (),
        label=command.label or "",
        spawned_by=command.spawned_by or "",
        parent_id=_task(command.parent_task_id),
    )


def accepted(receipt: TaskReceipt) -> Accepted:
    """What the caller is told. run_id: of the run that has it, once there is one."""
    return Accepted(
        idempotent_hit=receipt.is_duplicate,
        task=receipt.task,
        run_id=receipt.run_id or receipt.task.target_run_id,
        outcome=receipt.outcome,
    )


def list_tasks(query: TasksQuery) -> ListTasks:
    """What the core is asked for."""
    only = TaskFilter(
        states=query.state,
        agent=_agent(query.agent_id),
        session_id=_session(query.session_id),
        label=query.label,
        spawned_by=query.spawned_by,
        parent_id=_task(query.parent_task_id),
        kind=query.kind,
        archived={"no": False, "only": True, "all": None}[query.archived],
        text=query.text,
    )
    return ListTasks(only=only, limit=query.limit, cursor=query.cursor)


def list_runs(query: RunsQuery) -> ListRuns:
    """What the core is asked for."""
    only = RunFilter(
        states=query.state,
        agent=_agent(query.agent_id),
        session_id=_session(query.session_id),
        task_id=_task(query.task_id),
    )
    return ListRuns(only=only, limit=query.limit, cursor=query.cursor)


def read_stream(query: StreamQuery, *, task_id: TaskId | None = None, run_id: RunId | None = None) -> ReadStream:
    """What the core is asked for."""
    return ReadStream(after=query.after, limit=query.limit, wait_s=query.wait_s, task_id=task_id, run_id=run_id)


def _agent(name: str | None) -> AgentName | None:
    return AgentName(name) if name else None


def _session(session_id: str) -> SessionId | None:
    return SessionId(session_id) if session_id else None


def _task(task_id: str | None) -> TaskId | None:
    return TaskId(task_id) if task_id else None
