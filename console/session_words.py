"""What a session is doing, in words with ages, for rows and panes (pure)."""

from collections.abc import Callable

from console import text
from core.api.approvals import ApprovalView
from core.api.base import Mark
from core.api.runs import Phase, RunView
from core.api.sessions import SessionState, SessionView

Age = Callable[[Mark], float]

QUIET_SHARE = 0.5
"""From this share of its stall limit on, a silent run is pointed out."""


def doing(view: SessionView, approval: ApprovalView | None, age: Age) -> str:
    """One short line: what the session does, waits for or ended with. Cleaned."""
    if approval is not None:
        return f"approval: {text.clean(approval.title)}"
    if view.run is not None:
        return run_words(view.run, age)
    if view.state is SessionState.QUEUED:
        return f"waits for {text.clean(view.agent)}"
    outcome = view.last_outcome
    if outcome is None:
        return "nothing yet" if view.inbound is None else f"heard {text.age(age(view.inbound))} ago"
    if outcome.error:
        return f"{outcome.stop.value}: {text.clean(outcome.error)}"
    word = "answered" if outcome.answered else outcome.stop.value.replace("_", " ")
    return f"{word} {text.age(age(outcome.ended))} ago"


def run_words(run: RunView, age: Age) -> str:
    """What a run is busy with, and for how long."""
    since = text.age(age(run.phase_since))
    if run.interrupt_asked is not None:
        return f"stopping, asked {text.age(age(run.interrupt_asked))} ago"
    match run.phase:
        case Phase.TOOL:
            return f"tool {text.clean(run.tool) or '?'} {since}"
        case Phase.MODEL if run.last_model_byte is None:
            return f"model {since}, no text yet"
        case Phase.MODEL if run.last_model_byte is not None:
            return f"model {since}, text {text.age(age(run.last_model_byte))} ago"
        case Phase.RETRY_BACKOFF if run.retry is not None:
            return f"retry {run.retry.count + 1}: {text.clean(run.retry.reason)}"
        case _:
            return f"{run.phase.value.replace('_', ' ')} {since}"


def silent_s(run: RunView, age: Age) -> float:
    """Since when nothing was heard of a run: no text, no tool, no change of phase."""
    heard = [mark for mark in (run.last_model_byte, run.last_tool_event, run.phase_since) if mark is not None]
    return min(age(mark) for mark in heard)


def is_quiet(run: RunView, age: Age) -> bool:
    """Whether a run has been silent for so long that an operator should look."""
    if run.stall_limit_s <= 0 or run.phase in {Phase.APPROVAL, Phase.CLARIFY, Phase.QUEUED, Phase.ADMITTING}:
        return False
    return silent_s(run, age) > run.stall_limit_s * QUIET_SHARE
