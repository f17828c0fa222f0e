"""What the book of runs is told, and whom it tells."""

from collections.abc import Callable, Sequence

import msgspec

from core.api.base import AgentName, Mark, RunId, SessionId, TaskId
from core.api.policies import ExecutionPolicy
from core.api.runs import RunOutcome, Stop, Usage
from core.api.sessions import MessageView
from core.api.tasks import TaskRunView

CORE_STOPPED = "core_stopped"
"""Code of a run that an orderly stop of the core has put back."""


class RunBegan(msgspec.Struct, frozen=True, kw_only=True):
    """A run that takes up messages. token: fencing token of the session's lease."""

    run_id: RunId
    session_id: SessionId
    agent: AgentName
    boot: int
    token: int
    attempt: int
    messages: Sequence[MessageView]
    began: Mark


class RunOver(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is over. answer: its text. is_requeued: its first message waits again."""

    run_id: RunId
    session_id: SessionId
    outcome: RunOutcome
    messages: Sequence[MessageView]
    answer: str = ""
    is_requeued: bool = False


class RunTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What the book says of a run besides. timeout_ms: 0 is unknown."""

    policy: ExecutionPolicy = ExecutionPolicy()
    runner: str = ""
    model: str = ""
    timeout_ms: int = 0


class Hooks(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told what, once it is stored.

    waiting: messages that wait in a session. terms: of a run that begins. retry: a task is to be handed over again at
    that time. freed: a lane may have room. reject: a run of a task that is over must stop.
    """

    waiting: Callable[[SessionId], Sequence[MessageView]]
    terms: Callable[[AgentName, TaskId | None], RunTerms]
    retry: Callable[[TaskId, float], None]
    freed: Callable[[], None]
    reject: Callable[[SessionId, RunId], None]


def with_terms(view: TaskRunView, terms: RunTerms) -> TaskRunView:
    """A run whose terms were not known when it began."""
    return msgspec.structs.replace(
        view,
        policy=terms.policy,
        runner=terms.runner,
        model=view.model or terms.model,
        timeout_ms=terms.timeout_ms,
    )


def is_put_back(outcome: RunOutcome) -> bool:
    """Whether an orderly stop ended the run: that is not held against its task, as it is not against its message."""
    return outcome.stop is Stop.CANCELLED and outcome.code == CORE_STOPPED


def usage_of_both(one: Usage, other: Usage) -> Usage:
    """What a task has used up with one more run; what is in use is as of the last one."""
    return msgspec.structs.replace(
        other,
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        cost_usd=one.cost_usd + other.cost_usd,
    )
