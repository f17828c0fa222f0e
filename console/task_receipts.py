"""The core's answers about tasks and runs in words and their tone (pure)."""

from console import text
from console.task_facts import title
from core.api.sessions import Outcome
from core.api.tasks import TaskReceipt, TaskState

_CALM = frozenset({TaskState.QUEUED, TaskState.RUNNING, TaskState.WAITING, TaskState.DONE, TaskState.IDLE})
_OUTCOMES = {
    Outcome.DIRECT: "given to the run at once",
    Outcome.QUEUED: "it waits",
    Outcome.INTERRUPTED: "the run before it was told to stop",
    Outcome.RESTARTED: "its run was over: it begins again",
}


def task_words(receipt: TaskReceipt) -> tuple[str, str]:
    """Where a task is now."""
    task = receipt.task
    tone = "well" if task.state in _CALM else "needs"
    return f"{task.state.value}: {text.clipped(title(task), 80)}", tone


def started_words(receipt: TaskReceipt) -> tuple[str, str]:
    """Whether it is new, and what becomes of it."""
    if receipt.is_duplicate:
        return f"stored already as {receipt.task.id}: the same was given before", "well"
    return f"stored: {receipt.task.id}, {_OUTCOMES[receipt.outcome]}", "well"


def input_words(receipt: TaskReceipt) -> tuple[str, str]:
    """What became of a word to a run."""
    if receipt.is_duplicate:
        return "stored already: the same was said before", "well"
    return f"stored: {_OUTCOMES[receipt.outcome]}", "well"


def archive_words(receipt: TaskReceipt) -> tuple[str, str]:
    """Whether lists show it."""
    return ("archived: lists hide it" if receipt.task.archived else "lists show it again"), "well"
