"""Decisions that wait for the operator: id, states, views, queries, commands, events."""

from enum import StrEnum

from core.api.base import AgentName, ApprovalId, Command, Event, Mark, Query, RunId, Seq, SessionId, View
from core.api.runs import ActionOption, ToolKind


class ApprovalState(StrEnum):
    """Where a decision stands. Every state but `open` is final."""

    OPEN = "open"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class ApprovalView(View, frozen=True, kw_only=True):
    """A decision that an agent asked for.

    title, detail and option labels are the agent's words. digest: of what is asked, 16 hex
    letters; an answer names it, so that nobody decides about something else than they saw.
    deadline: when it expires; None is never. delivery: sent, refused_late or failed, once answered.
    """

    id: ApprovalId
    version: int
    state: ApprovalState
    session_id: SessionId
    agent: AgentName
    run_id: RunId
    action_id: str
    title: str
    detail: str
    kind: ToolKind
    options: tuple[ActionOption, ...]
    digest: str
    asked: Mark
    deadline: Mark | None = None
    decided: Mark | None = None
    decided_by: str = ""
    option_id: str = ""
    reason: str = ""
    delivery: str = ""


class ApprovalList(View, frozen=True, kw_only=True):
    """Approvals, the open ones first, then by age."""

    approvals: tuple[ApprovalView, ...]
    seq: Seq


class ListApprovals(Query[ApprovalList], frozen=True, kw_only=True):
    """Approvals. Decided ones are there for as long as they are kept. limit: 1 to 1,000."""

    open_only: bool = False
    limit: int = 200


class GetApproval(Query[ApprovalView], frozen=True, kw_only=True):
    """One approval."""

    approval_id: ApprovalId


class AnswerApproval(Command[ApprovalView], frozen=True, kw_only=True):
    """Decide. The first answer wins; a later one gets AlreadyDecided.

    allow: yes or no; option_id: a particular option in place of the first that fits.
    digest: of the approval that was looked at; "" leaves the check out.
    """

    approval_id: ApprovalId
    allow: bool
    option_id: str = ""
    reason: str = ""
    digest: str = ""


class ApprovalAsked(Event, frozen=True, kw_only=True):
    """An agent waits for a decision."""

    approval: ApprovalView


class ApprovalDecided(Event, frozen=True, kw_only=True):
    """An operator answered."""

    approval: ApprovalView


class ApprovalExpired(Event, frozen=True, kw_only=True):
    """Nobody answered in time, or the run that asked is gone."""

    approval: ApprovalView


class ApprovalWithdrawn(Event, frozen=True, kw_only=True):
    """The agent no longer asks."""

    approval: ApprovalView
