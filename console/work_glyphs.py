"""The signs of tasks, runs, agents and their runners: unicode, ascii, word, tone."""

from enum import StrEnum

from core.api.breakers import BreakerState
from core.api.hooks import HookState
from core.api.jobs import JobRunState, JobState
from core.api.outboxes import OutboxState
from core.api.pairings import InviteState, PairingState
from core.api.profiles import PoolState
from core.api.relay_tasks import RelayState
from core.api.runs import CompactionState, RunnerState
from core.api.streams import InteractionState
from core.api.tasks import AttemptState, RunState, TaskState

AutomationState = (
    HookState | JobState | JobRunState | OutboxState | BreakerState | PairingState | InviteState | RelayState
)
WorkState = (
    TaskState | RunState | AttemptState | PoolState | RunnerState | CompactionState | InteractionState | AutomationState
)

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
    OutboxState: {
        OutboxState.IDLE: ("·", "-", "idle", "quiet"),
        OutboxState.SENDING: ("►", ">", "sending", "busy"),
        OutboxState.LIMITED: ("∙", ".", "limited", "busy"),
        OutboxState.HELD: ("◌", "o", "waits", "needs"),
        OutboxState.BROKEN: ("✗", "O", "broken", "failing"),
        OutboxState.PROBING: ("▲", "H", "probing", "needs"),
        OutboxState.PAUSED: ("■", "=", "paused", "needs"),
    },
    BreakerState: {
        BreakerState.CLOSED: ("✓", "+", "closed", "well"),
        BreakerState.OPEN: ("✗", "O", "open", "failing"),
        BreakerState.HALF_OPEN: ("▲", "H", "half-open", "needs"),
    },
    RelayState: {
        RelayState.QUEUED: ("∙", ".", "queued", "busy"),
        RelayState.SENDING: ("►", ">", "sending", "busy"),
        RelayState.WORKING: ("◌", "o", "working", "busy"),
        RelayState.COMPLETED: ("✓", "+", "completed", "well"),
        RelayState.FAILED: ("▲", "!", "failed", "failing"),
        RelayState.CANCELED: ("·", "-", "canceled", "quiet"),
        RelayState.DEAD: ("✗", "x", "dead", "failing"),
    },
    PairingState: {
        PairingState.ASKED: ("◆", "?", "asks", "needs"),
        PairingState.APPROVED: ("✓", "+", "let in", "well"),
        PairingState.DENIED: ("✗", "x", "denied", "quiet"),
        PairingState.EXPIRED: ("◌", "o", "expired", "quiet"),
        PairingState.REVOKED: ("·", "-", "revoked", "quiet"),
        PairingState.BLOCKED: ("■", "#", "blocked", "failing"),
    },
    InviteState: {
        InviteState.OPEN: ("∙", ".", "open", "plain"),
        InviteState.USED: ("✓", "+", "used", "quiet"),
        InviteState.EXPIRED: ("◌", "o", "expired", "quiet"),
        InviteState.VOIDED: ("·", "-", "voided", "quiet"),
    },
    HookState: {
        HookState.READY: ("✓", "+", "ready", "well"),
        HookState.PAUSED: ("■", "=", "paused", "needs"),
        HookState.BROKEN: ("✗", "x", "broken", "failing"),
        HookState.OFF: ("·", "-", "off", "quiet"),
    },
    JobState: {
        JobState.WAITING: ("∙", ".", "waiting", "plain"),
        JobState.RUNNING: ("►", ">", "running", "busy"),
        JobState.PAUSED: ("■", "=", "paused", "needs"),
        JobState.DONE: ("✓", "+", "done", "quiet"),
        JobState.BROKEN: ("✗", "x", "broken", "failing"),
    },
    JobRunState: {
        JobRunState.CLAIMED: ("∙", ".", "claimed", "busy"),
        JobRunState.RUNNING: ("►", ">", "running", "busy"),
        JobRunState.OK: ("✓", "+", "ok", "well"),
        JobRunState.FAILED: ("✗", "x", "failed", "failing"),
    },
    InteractionState: {
        InteractionState.WORKING: ("►", ">", "working", "busy"),
        InteractionState.WAITING_FOR_INPUT: ("◆", "?", "wants input", "needs"),
        InteractionState.CLOSED: ("·", "-", "closed", "quiet"),
    },
}
"""By type first: members of different string enums compare equal when their words do."""
