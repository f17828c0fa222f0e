"""The signs of tasks, runs, agents and their runners: unicode, ascii, word, tone."""

from enum import StrEnum

from core.api.profiles import PoolState
from core.api.runs import CompactionState, RunnerState
from core.api.streams import InteractionState
from core.api.tasks import AttemptState, RunState, TaskState

WorkState = TaskState | RunState | AttemptState | PoolState | RunnerState | CompactionState | InteractionState

WORK_STATES: dict[type[StrEnum], dict[str, tuple[str, str, str, str]]] = {
    TaskState: {
        TaskState.QUEUED: ("∙", ".", "queued", "busy"),
        TaskState.RUNNING: ("►", ">", "running", "busy"),
        TaskState.WAITING: ("◆", "?", "waiting", "needs"),
        TaskState.IDLE: ("◌", "o", "idle", "quiet"),
        TaskState.DONE: ("✓", "+", "done", "well"),
        TaskState.ERROR: ("✗", "x", "error", "failing"),
        TaskState.DROPPED: ("▲", "!", "dropped", "failing"),
        TaskState.CANCELLED: ("·", "-", "cancelled", "quiet"),
    },
    RunState: {
        RunState.ACCEPTED: ("∙", ".", "accepted", "busy"),
        RunState.RUNNING: ("►", ">", "running", "busy"),
        RunState.OK: ("✓", "+", "ok", "well"),
        RunState.ERROR: ("✗", "x", "error", "failing"),
        RunState.TIMEOUT: ("◌", "o", "timeout", "failing"),
        RunState.CANCELLED: ("·", "-", "cancelled", "quiet"),
    },
    AttemptState: {
        AttemptState.PENDING: ("∙", ".", "pending", "busy"),
        AttemptState.BLOCKED: ("◆", "?", "blocked", "needs"),
        AttemptState.RUNNING: ("►", ">", "running", "busy"),
        AttemptState.OK: ("✓", "+", "ok", "well"),
        AttemptState.ERROR: ("✗", "x", "error", "failing"),
        AttemptState.TIMEOUT: ("◌", "o", "timeout", "failing"),
        AttemptState.CANCELLED: ("·", "-", "cancelled", "quiet"),
    },
    PoolState: {
        PoolState.READY: ("✓", "+", "ready", "well"),
        PoolState.PAUSED: ("■", "=", "paused", "needs"),
        PoolState.DEGRADED: ("✗", "x", "degraded", "failing"),
        PoolState.PROBING: ("◌", "o", "probing", "busy"),
        PoolState.DISABLED: ("·", "-", "disabled", "quiet"),
    },
    RunnerState: {
        RunnerState.OPENING: ("◌", "o", "opening", "busy"),
        RunnerState.BUSY: ("►", ">", "busy", "busy"),
        RunnerState.IDLE: ("·", "-", "idle", "quiet"),
        RunnerState.STALE: ("■", "=", "stale", "needs"),
        RunnerState.DEAD: ("✗", "x", "dead", "failing"),
    },
    CompactionState: {
        CompactionState.DONE: ("✓", "+", "done", "well"),
        CompactionState.FAILED: ("✗", "x", "failed", "failing"),
        CompactionState.INEFFECTIVE: ("▲", "!", "ineffective", "needs"),
    },
    InteractionState: {
        InteractionState.WORKING: ("►", ">", "working", "busy"),
        InteractionState.WAITING_FOR_INPUT: ("◆", "?", "wants input", "needs"),
        InteractionState.CLOSED: ("·", "-", "closed", "quiet"),
    },
}
"""By type first: members of different string enums compare equal when their words do."""
