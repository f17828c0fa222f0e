"""Work that was given to an agent, and its runs: id, states, views, queries, commands, events."""

from enum import StrEnum
from typing import Any

import msgspec

from core.api.base import AgentName, Command, Event, Mark, MessageId, Query, RunId, Seq, SessionId, TaskId, View, Word
from core.api.policies import ExecutionPolicy
from core.api.runs import Stop, Usage
from core.api.sessions import Mode, Outcome


class TaskState(StrEnum):
    """Where a task is. idle: answered, and the conversation can go on. An error is never shown as done."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    IDLE = "idle"
    DONE = "done"
    ERROR = "error"
    DROPPED = "dropped"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether nothing is being done for the task: also when it is idle."""
        return self not in _UNDER_WAY


_UNDER_WAY = frozenset({TaskState.QUEUED, TaskState.RUNNING, TaskState.WAITING})


class RunState(StrEnum):
    """Where a run is."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"


class AttemptState(StrEnum):
    """Where one try of a run is. blocked: it waits for a decision."""

    PENDING = "pending"
    BLOCKED = "blocked"
    RUNNING = "running"
    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"


class DropReason(StrEnum):
    """Why a task was accepted and then not done."""

    INTERRUPT_MISSING_TARGET = "interrupt_missing_target"
    RUN_MATERIALIZATION_FAILED = "run_materialization_failed"
    RUN_INPUT_MISSING_TARGET = "run_input_missing_target"
    RUN_INPUT_MISSING_MESSAGE = "run_input_missing_message"
    RUN_INPUT_TERMINAL_TARGET = "run_input_terminal_target"
    RESHAPED_BY_QUEUE_MODE = "reshaped_by_queue_mode"
    POLICY_UNAVAILABLE = "policy_unavailable"
    AGENT_GONE = "agent_gone"
    DISPATCH_RETRY_EXHAUSTED = "dispatch_retry_exhausted"


class TaskKind(StrEnum):
    """How work came: as a command, or as an input to a run."""

    AGENT_COMMAND = "agent_command"
    RUN_INPUT = "run_input"


class Provenance(Word, frozen=True, kw_only=True):
    """Where an input came from, for the audit only."""

    source: str = ""
    message_id: str = ""
    channel: str = ""
    tool_call_id: str = ""
    correlation_id: str = ""


class Routing(Word, frozen=True, kw_only=True):
    """Where an answer is to go: channel is a platform's name, `to` a chat of it."""

    to: str = ""
    reply_to: str = ""
    channel: str = ""
    reply_channel: str = ""
    account_id: str = ""
    reply_account_id: str = ""
    thread_id: str = ""
    group_id: str = ""
    group_channel: str = ""
    group_space: str = ""


ANSWER_LIMIT = 10_000
"""Characters of an answer that a task keeps; all of it is in the transcript."""


class TaskView(View, frozen=True, kw_only=True):
    """A task.

    text: 2,000 characters at most in lists. target_run_id: its last run. attempt_count: runs so far. retry: the next
    is due then. profile_fingerprint: of the profile that it keeps. parent_id: task of its maker.
    """

    id: TaskId
    version: int
    agent: AgentName
    kind: TaskKind
    state: TaskState
    session_id: SessionId
    text: str
    accepted: Mark
    queue_mode: Mode = Mode.QUEUE
    idempotency_key: str = ""
    label: str = ""
    lane: str = ""
    session_key: str = ""
    spawned_by: str = ""
    parent_id: TaskId | None = None
    hook_id: int | None = None
    deliver: bool = False
    timeout_ms: int = 0
    extra_system_prompt: str = ""
    model: str = ""
    policy: ExecutionPolicy = ExecutionPolicy()
    provenance: Provenance = Provenance()
    routing: Routing = Routing()
    attachments: tuple[dict[str, Any], ...] = ()
    profile_fingerprint: str = ""
    message_id: MessageId | None = None
    target_run_id: RunId | None = None
    attempt_count: int = 0
    max_attempts: int = 2
    dispatched: Mark | None = None
    changed: Mark | None = None
    ended: Mark | None = None
    retry: Mark | None = None
    dropped_reason: DropReason | None = None
    error: str = ""
    answer: str = ""
    usage: Usage = Usage()
    archived: Mark | None = None


class TaskRunView(View, frozen=True, kw_only=True):
    """A run as it is kept. token: fencing token of the session's lease that it was written under."""

    id: RunId
    version: int
    session_id: SessionId
    agent: AgentName
    state: RunState
    accepted: Mark
    task_id: TaskId | None = None
    boot: int = 0
    token: int = 0
    attempt_count: int = 0
    message_ids: tuple[MessageId, ...] = ()
    model: str = ""
    runner: str = ""
    policy: ExecutionPolicy = ExecutionPolicy()
    timeout_ms: int = 0
    started: Mark | None = None
    ended: Mark | None = None
    stop: Stop | None = None
    error: str = ""
    code: str = ""
    usage: Usage = Usage()


class AttemptView(View, frozen=True, kw_only=True):
    """One try. strategy: primary or retry. policy: as it was then, so that history stays honest."""

    run_id: RunId
    number: int
    state: AttemptState
    strategy: str
    began: Mark
    ended: Mark | None = None
    policy: ExecutionPolicy = ExecutionPolicy()
    exit_code: int | None = None
    error: str = ""


class Snapshot(Word, frozen=True, kw_only=True):
    """One line of a run's own log. marker: what happened, such as started or orphan_recovered. at: UTC seconds."""

    number: int
    at: float
    state: RunState
    marker: str
    error: str = ""


class TaskFilter(Word, frozen=True, kw_only=True):
    """Which tasks. Empty fields do not narrow. archived: False hides them, True shows only them, None both."""

    states: tuple[TaskState, ...] = ()
    agent: AgentName | None = None
    session_id: SessionId | None = None
    label: str = ""
    spawned_by: str = ""
    parent_id: TaskId | None = None
    kind: TaskKind | None = None
    archived: bool | None = False
    text: str = ""


class TaskPage(View, frozen=True, kw_only=True):
    """Tasks, the latest first. cursor: opaque, for the next page; "" at the end. counts: by state, of all that fit."""

    tasks: tuple[TaskView, ...]
    cursor: str
    has_more: bool
    seq: Seq
    counts: dict[str, int] = msgspec.field(default_factory=dict[str, int])


class ListTasks(Query[TaskPage], frozen=True, kw_only=True):
    """Tasks. limit: 1 to 200."""

    only: TaskFilter = TaskFilter()
    limit: int = 50
    cursor: str = ""


class TaskDetail(View, frozen=True, kw_only=True):
    """One task whole: its runs, the latest first, their attempts, and the tasks that it made."""

    task: TaskView
    runs: tuple[TaskRunView, ...]
    attempts: tuple[AttemptView, ...]
    children: tuple[TaskView, ...]
    seq: Seq


class GetTask(Query[TaskDetail], frozen=True, kw_only=True):
    """One task."""

    task_id: TaskId


class RunFilter(Word, frozen=True, kw_only=True):
    """Which runs; empty fields do not narrow."""

    states: tuple[RunState, ...] = ()
    agent: AgentName | None = None
    session_id: SessionId | None = None
    task_id: TaskId | None = None


class RunPage(View, frozen=True, kw_only=True):
    """Runs, the latest first. cursor: opaque; "" at the end."""

    runs: tuple[TaskRunView, ...]
    cursor: str
    has_more: bool
    seq: Seq


class ListRuns(Query[RunPage], frozen=True, kw_only=True):
    """Runs of tasks and of chats. limit: 1 to 200."""

    only: RunFilter = RunFilter()
    limit: int = 50
    cursor: str = ""


class RunDetail(View, frozen=True, kw_only=True):
    """One run with its attempts and its own log."""

    run: TaskRunView
    attempts: tuple[AttemptView, ...]
    snapshots: tuple[Snapshot, ...]
    seq: Seq


class GetRun(Query[RunDetail], frozen=True, kw_only=True):
    """One run."""

    run_id: RunId


class TaskReceipt(View, frozen=True, kw_only=True):
    """A task that is stored. is_duplicate: the key was used before for the same; outcome: of an input."""

    task: TaskView
    is_duplicate: bool = False
    outcome: Outcome = Outcome.QUEUED
    run_id: RunId | None = None


class StartTask(Command[TaskReceipt], frozen=True, kw_only=True):
    """Give an agent work.

    session_id: the conversation to do it in, "" for one of its own; a live run there takes it as an input, unless
    hook_id is given. idempotency_key: per agent, over tasks and inputs; other content under it is a conflict.
    timeout_ms: 0 is the profile's. policy: None is the profile's; one that this machine cannot keep is refused.
    """

    text: str
    agent: AgentName | None = None
    session_id: str = ""
    session_key: str = ""
    idempotency_key: str = ""
    hook_id: int | None = None
    deliver: bool = False
    timeout_ms: int = 0
    policy: ExecutionPolicy | None = None
    lane: str = ""
    extra_system_prompt: str = ""
    model: str = ""
    queue_mode: Mode = Mode.QUEUE
    provenance: Provenance = Provenance()
    routing: Routing = Routing()
    attachments: tuple[dict[str, Any], ...] = ()
    label: str = ""
    spawned_by: str = ""
    parent_id: TaskId | None = None


class SendInput(Command[TaskReceipt], frozen=True, kw_only=True):
    """Put a message to a run. One that is over is begun again in its session (restarted)."""

    run_id: RunId
    text: str
    queue_mode: Mode = Mode.FOLLOWUP
    idempotency_key: str = ""


class CancelTask(Command[TaskReceipt], frozen=True, kw_only=True):
    """Stop a task, whether it waits or runs."""

    task_id: TaskId
    reason: str = ""


class CancelRun(Command[TaskReceipt], frozen=True, kw_only=True):
    """Stop a run of a task."""

    run_id: RunId
    reason: str = ""


class RetryTask(Command[TaskReceipt], frozen=True, kw_only=True):
    """Try a task again that failed, was dropped or is idle; with the profile as it is now."""

    task_id: TaskId


class ArchiveTask(Command[TaskReceipt], frozen=True, kw_only=True):
    """Hide a task that is over from lists. Doing it twice changes nothing."""

    task_id: TaskId


class UnarchiveTask(Command[TaskReceipt], frozen=True, kw_only=True):
    """Show an archived task again."""

    task_id: TaskId


class TaskQueued(Event, frozen=True, kw_only=True):
    """A task was accepted, or waits again."""

    task: TaskView


class TaskStarted(Event, frozen=True, kw_only=True):
    """A run of a task began."""

    task: TaskView


class TaskWaiting(Event, frozen=True, kw_only=True):
    """A task waits for a decision or an answer, or goes on after it."""

    task: TaskView


class TaskEnded(Event, frozen=True, kw_only=True):
    """A task is done, idle, failed, dropped or cancelled: its state says which."""

    task: TaskView


class TaskArchived(Event, frozen=True, kw_only=True):
    """A task was hidden from lists, or is shown again."""

    task: TaskView
