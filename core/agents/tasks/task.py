"""What becomes of tasks, their runs and the tries of these: three machines, and how a run's end is judged (pure)."""

from enum import StrEnum

import msgspec

from core.api.runs import Phase, Stop
from core.api.streams import InteractionState
from core.api.tasks import AttemptState, RunState, TaskState
from core.machine import Machine


class TaskStep(StrEnum):
    """What can happen to a task. rest: answered, and the conversation stays open. hold: it waits for a person."""

    BEGIN = "begin"
    HOLD = "hold"
    GO_ON = "go_on"
    REST = "rest"
    FINISH = "finish"
    FAIL = "fail"
    DROP = "drop"
    REQUEUE = "requeue"
    CANCEL = "cancel"


TASK = Machine(
    "task",
    TaskState,
    {
        TaskState.QUEUED: {
            TaskStep.BEGIN: TaskState.RUNNING,
            TaskStep.DROP: TaskState.DROPPED,
            TaskStep.CANCEL: TaskState.CANCELLED,
        },
        TaskState.RUNNING: {
            TaskStep.HOLD: TaskState.WAITING,
            TaskStep.REST: TaskState.IDLE,
            TaskStep.FINISH: TaskState.DONE,
            TaskStep.FAIL: TaskState.ERROR,
            TaskStep.DROP: TaskState.DROPPED,
            TaskStep.REQUEUE: TaskState.QUEUED,
            TaskStep.CANCEL: TaskState.CANCELLED,
        },
        TaskState.WAITING: {
            TaskStep.HOLD: TaskState.WAITING,
            TaskStep.GO_ON: TaskState.RUNNING,
            TaskStep.REST: TaskState.IDLE,
            TaskStep.FINISH: TaskState.DONE,
            TaskStep.FAIL: TaskState.ERROR,
            TaskStep.REQUEUE: TaskState.QUEUED,
            TaskStep.CANCEL: TaskState.CANCELLED,
        },
        TaskState.IDLE: {TaskStep.REQUEUE: TaskState.QUEUED, TaskStep.CANCEL: TaskState.CANCELLED},
        TaskState.ERROR: {TaskStep.REQUEUE: TaskState.QUEUED, TaskStep.CANCEL: TaskState.CANCELLED},
        TaskState.DROPPED: {TaskStep.REQUEUE: TaskState.QUEUED, TaskStep.CANCEL: TaskState.CANCELLED},
        TaskState.DONE: {},
        TaskState.CANCELLED: {},
    },
)


class RunStep(StrEnum):
    """What can happen to a run. One whose message waits again is over: the next run has an id of its own."""

    START = "start"
    SUCCEED = "succeed"
    FAIL = "fail"
    TIME_OUT = "time_out"
    CANCEL = "cancel"


RUN = Machine(
    "run",
    RunState,
    {
        RunState.ACCEPTED: {
            RunStep.START: RunState.RUNNING,
            RunStep.FAIL: RunState.ERROR,
            RunStep.CANCEL: RunState.CANCELLED,
        },
        RunState.RUNNING: {
            RunStep.SUCCEED: RunState.OK,
            RunStep.FAIL: RunState.ERROR,
            RunStep.TIME_OUT: RunState.TIMEOUT,
            RunStep.CANCEL: RunState.CANCELLED,
        },
        RunState.OK: {},
        RunState.ERROR: {},
        RunState.TIMEOUT: {},
        RunState.CANCELLED: {},
    },
)


class AttemptStep(StrEnum):
    """What can happen to one try. block: it waits for a decision; release: it has one."""

    START = "start"
    BLOCK = "block"
    RELEASE = "release"
    SUCCEED = "succeed"
    FAIL = "fail"
    TIME_OUT = "time_out"
    CANCEL = "cancel"


_FAILURES = {
    AttemptStep.FAIL: AttemptState.ERROR,
    AttemptStep.TIME_OUT: AttemptState.TIMEOUT,
    AttemptStep.CANCEL: AttemptState.CANCELLED,
}

ATTEMPT = Machine(
    "attempt",
    AttemptState,
    {
        AttemptState.PENDING: {
            **_FAILURES,
            AttemptStep.START: AttemptState.RUNNING,
            AttemptStep.BLOCK: AttemptState.BLOCKED,
        },
        # An agent that takes silence for a refusal goes on, and may end, without a word about the decision.
        AttemptState.BLOCKED: {
            **_FAILURES,
            AttemptStep.RELEASE: AttemptState.RUNNING,
            AttemptStep.SUCCEED: AttemptState.OK,
        },
        AttemptState.RUNNING: {
            **_FAILURES,
            AttemptStep.BLOCK: AttemptState.BLOCKED,
            AttemptStep.SUCCEED: AttemptState.OK,
        },
        AttemptState.OK: {},
        AttemptState.ERROR: {},
        AttemptState.TIMEOUT: {},
        AttemptState.CANCELLED: {},
    },
)


class Marker(StrEnum):
    """What a line of a run's own log says."""

    STARTED = "started"
    FINISHED = "finished"
    RETRY_SCHEDULED = "retry_scheduled"
    PUT_BACK = "put_back"
    ATTEMPT_SUPERSEDED = "attempt_superseded"
    START_REJECTED_TERMINAL_RUN = "start_rejected_terminal_run"
    ORPHAN_RECOVERED = "orphan_recovered"


_RUN_STEPS = {Stop.TIMEOUT: RunStep.TIME_OUT, Stop.CANCELLED: RunStep.CANCEL}
_FINAL_CODES = frozenset(
    {
        "abandoned",
        "auth",
        "bad_request",
        "cancelled",
        "config",
        "conflict",
        "context_length",
        "invalid",
        "not_found",
        "output_limit",
        "policy",
        "policy_unavailable",
        "refused",
        "unauthorised",
    }
)
_FAILED = frozenset({Stop.ERROR, Stop.TIMEOUT, Stop.DIED})
_ASKING = frozenset({Phase.APPROVAL, Phase.CLARIFY})


def run_step(stop: Stop) -> RunStep:
    """What a run's end is for the run."""
    return RunStep.SUCCEED if stop.is_answer else _RUN_STEPS.get(stop, RunStep.FAIL)


def attempt_step(step: RunStep) -> AttemptStep:
    """What it is for the try of it."""
    return AttemptStep(step.value)


def may_retry(stop: Stop, code: str) -> bool:
    """Whether another try could end otherwise. code: stable name of the failure."""
    return stop in _FAILED and code not in _FINAL_CODES and not code.startswith("policy")


class End(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a run, as far as its task is concerned.

    is_requeued: its message waits again. has_more: another message of the task waits in the session. attempt: which
    run of the task it was, from 1. is_interactive: the conversation stays open.
    """

    stop: Stop
    code: str = ""
    attempt: int = 1
    max_attempts: int = 1
    is_requeued: bool = False
    has_more: bool = False
    is_interactive: bool = False


class Judgement(msgspec.Struct, frozen=True):
    """What the end of a run is for its task. is_retry: a message must be put to the session once more."""

    step: TaskStep
    is_retry: bool = False


def judge(end: End) -> Judgement:
    """What becomes of a task whose run is over."""
    if end.is_requeued or end.has_more:
        return Judgement(TaskStep.REQUEUE)
    if end.stop is Stop.CANCELLED:
        return Judgement(TaskStep.CANCEL)
    if end.stop is Stop.WAITING_FOR_INPUT:
        return Judgement(TaskStep.HOLD)
    if end.stop.is_answer:
        return Judgement(TaskStep.REST if end.is_interactive else TaskStep.FINISH)
    if end.attempt < end.max_attempts and may_retry(end.stop, end.code):
        return Judgement(TaskStep.REQUEUE, is_retry=True)
    return Judgement(TaskStep.FAIL)


def is_asking(phase: Phase) -> bool:
    """Whether a run in that phase waits for a person."""
    return phase in _ASKING


def interaction(state: RunState, phase: Phase) -> InteractionState:
    """What a run could do with an input."""
    if RUN.is_final(state):
        return InteractionState.CLOSED
    return InteractionState.WAITING_FOR_INPUT if phase is Phase.CLARIFY else InteractionState.WORKING
