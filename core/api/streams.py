"""What happens to tasks, runs and sessions, as one sequence: items, batches, queries."""

from enum import StrEnum

from core.api.base import ApprovalId, Query, RunId, SessionId, TaskId, View, Word
from core.api.sessions import MessageView
from core.api.tasks import TaskRunView, TaskView


class InteractionState(StrEnum):
    """What a run could do with an input."""

    WORKING = "working"
    WAITING_FOR_INPUT = "waiting_for_input"
    CLOSED = "closed"


class Interaction(View, frozen=True, kw_only=True):
    """What a run is doing for whoever talks to it, and what waits for it."""

    run_id: RunId
    state: InteractionState
    pending: tuple[MessageView, ...]


class GetInteraction(Query[Interaction], frozen=True, kw_only=True):
    """Of one run."""

    run_id: RunId


class StreamKind(StrEnum):
    """What an item of a task's stream is."""

    TEXT = "text"
    THOUGHT = "thought"
    TOOL = "tool"
    LOG = "log"
    STATE = "state"
    INPUT = "input"
    APPROVAL = "approval"


class StreamItem(Word, frozen=True, kw_only=True):
    """One thing that happened. number: place in the one sequence of the core; at: UTC seconds.

    approval_id: of what an approval item is about; it can be looked up from then on.
    """

    number: int
    at: float
    kind: StreamKind
    session_id: SessionId
    text: str
    run_id: RunId | None = None
    task_id: TaskId | None = None
    what: str = ""
    approval_id: ApprovalId | None = None


class StreamBatch(View, frozen=True, kw_only=True):
    """What came after a number. next_after: for the next question. has_gap: older items are gone: look anew.

    interaction: of the task's present run, with what waits for it; None when there is no run.
    """

    items: tuple[StreamItem, ...]
    next_after: int
    has_gap: bool
    task: TaskView | None = None
    run: TaskRunView | None = None
    interaction: Interaction | None = None


class ReadStream(Query[StreamBatch], frozen=True, kw_only=True):
    """What happens to a task, a run, a session, or all. after: 0 is the oldest that is kept. wait_s: 0 to 60, for the
    first item. limit: 1 to 1,000.
    """

    after: int = 0
    task_id: TaskId | None = None
    run_id: RunId | None = None
    session_id: SessionId | None = None
    limit: int = 200
    wait_s: float = 0.0
