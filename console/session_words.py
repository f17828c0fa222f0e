"""What a session is doing, in words with ages, for rows and panes (pure)."""

from collections.abc import Callable

from console import text
from core.api.approvals import ApprovalView
from core.api.base import Mark
from core.api.runs import ActionKind, Phase, RunView
from core.api.sessions import Mode, SessionState, SessionView

Age = Callable[[Mark], float]

QUIET_SHARE = 0.5
"""From this share of its stall limit on, a silent run is pointed out."""


def exact(mark: Mark | None, age: Age) -> str:
    """How long ago something was, and when that was."""
    return "never" if mark is None else f"{text.age(age(mark))} ago   {text.stamp(mark.at)}"


def doing(view: SessionView, approval: ApprovalView | None, age: Age) -> str:
    """One short line: what the session does, waits for or ended with. Cleaned."""
    if approval is not None:
        return asked_words(view, approval)
    if view.run is not None:
        return run_words(view.run, age)
    if view.is_archived:
        return f"archived; {_ended(view, age)}"
    if view.state is SessionState.QUEUED:
        return f"waits for {text.clean(view.agent)}"
    return _ended(view, age)


def asked_words(view: SessionView, approval: ApprovalView) -> str:
    """What an agent waits for; a question may have its answer in the queue."""
    if approval.action_kind is not ActionKind.QUESTION:
        return f"approval: {text.clean(approval.title)}"
    if not view.queue_depth:
        return f"question: {text.clean(approval.title)}"
    queued = text.counted(view.queue_depth, "queued message")
    return f"waiting on question; {queued} may be the answer: {text.clean(approval.title)}"


def _ended(view: SessionView, age: Age) -> str:
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
    if run.phase is Phase.MODEL:
        return f"model {since}, {_heard(run, age)}"
    match run.phase:
        case Phase.TOOL:
            return f"tool {text.clean(run.tool) or '?'} {since}"
        case Phase.ADMITTING if run.waits_for:
            return f"waits {since}: {text.clean(run.waits_for)}"
        case Phase.RETRY_BACKOFF if run.retry is not None:
            return f"retry {run.retry.count + 1}: {text.clean(run.retry.reason)}"
        case _:
            return f"{run.phase.value.replace('_', ' ')} {since}"


def _heard(run: RunView, age: Age) -> str:
    return "no text yet" if run.last_model_byte is None else f"text {text.age(age(run.last_model_byte))} ago"


def silent_s(run: RunView, age: Age) -> float:
    """Since when nothing was heard of a run: no text, no tool, no change of phase."""
    heard = [mark for mark in (run.last_model_byte, run.last_tool_event, run.phase_since) if mark is not None]
    return min(age(mark) for mark in heard)


def is_quiet(run: RunView, age: Age) -> bool:
    """Whether a run has been silent for so long that an operator should look."""
    if run.stall_limit_s <= 0 or run.phase in {Phase.APPROVAL, Phase.CLARIFY, Phase.QUEUED, Phase.ADMITTING}:
        return False
    return silent_s(run, age) > run.stall_limit_s * QUIET_SHARE


def effect_words(view: SessionView, mode: Mode, *, can_steer: bool) -> str:
    """What becomes of a message that is sent in that mode now."""
    if mode is Mode.COLLECT:
        return "waits until no more comes for a while; what came shares a turn"
    if view.run is None:
        return "it waits in the queue" if view.queue_depth else "a run begins with it"
    if mode is Mode.INTERRUPT:
        return "the run is stopped, what it wrote stays, then this message runs"
    if mode in _STEERED and not can_steer:
        return "this agent cannot be steered: it will be queued instead"
    if mode in _STEERED:
        return _STEERED[mode]
    shared = "; followups share a turn" if mode is Mode.FOLLOWUP else ""
    return f"waits behind the run and {view.queue_depth} messages{shared}"


_STEERED = {
    Mode.STEER: "the running agent reads it at its next step",
    Mode.STEER_BACKLOG: "the agent reads it at its next step and answers it later too",
}
