"""Decisions that wait for the operator: id, states, views, queries, commands, events."""

from enum import StrEnum

from core.api.base import (
    AgentName,
    ApprovalId,
    Command,
    Event,
    GrantId,
    Mark,
    Query,
    RunId,
    Seq,
    SessionId,
    TaskId,
    View,
    Word,
)
from core.api.policies import PolicyVerdict
from core.api.runs import ActionKind, ActionOption, ToolKind


class ApprovalState(StrEnum):
    """Where a decision stands. Every state but `open` is final.

    orphaned: the core that asked was stopped; nothing was decided, and it can be asked again.
    """

    OPEN = "open"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    ORPHANED = "orphaned"


class EndReason(StrEnum):
    """Why a decision is no longer open; a deadline is never reported as somebody's no."""

    OPERATOR = "operator"
    TIMEOUT = "timeout"
    STOPPED = "stopped"
    SUPERSEDED = "superseded"
    RESTART = "restart"
    AGENT = "agent"
    DIED = "died"


class GrantScope(StrEnum):
    """How far a yes reaches: this once, this task, this session, or the agent for good."""

    ONCE = "once"
    TASK = "task"
    SESSION = "session"
    ALWAYS = "always"


class GrantOffer(Word, frozen=True, kw_only=True):
    """A yes that reaches further, as it would be stored: shown before it is given.

    pattern: TOOL:GLOB; matches: examples of what it would let through besides this.
    """

    scope: GrantScope
    pattern: str
    matches: tuple[str, ...] = ()


class Surface(Word, frozen=True, kw_only=True):
    """A place where a decision was shown. seen: when somebody looked at it there; None before."""

    name: str
    delivered: Mark
    seen: Mark | None = None


class ApprovalView(View, frozen=True, kw_only=True):
    """A decision that an agent asked for.

    title, detail and option labels are the agent's words. digest: of what is asked, 16 hex
    letters; an answer names it, so that nobody decides about something else than they saw.
    deadline: when it expires; None is never. delivery: sent, refused_late or failed, once answered; unknown when the
    core was stopped hard between the answer and that.
    generation: of the runner that waits. why_asked: the policy's reason. offers: what a wider yes would store.
    warnings: what an operator should know first, such as that it would stop this core. replaces, replaced_by: the same
    question before and after a restart. answer: to a question, in words. result: what became of the approved call.
    reasked: when an operator had an orphaned one asked again.
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
    action_kind: ActionKind = ActionKind.APPROVAL
    ended: EndReason | None = None
    scope: GrantScope = GrantScope.ONCE
    answer: str = ""
    tool: str = ""
    target: str = ""
    cwd: str = ""
    diff: str = ""
    chain: tuple[str, ...] = ()
    task_id: TaskId | None = None
    generation: int = 0
    requester: str = ""
    why_asked: str = ""
    offers: tuple[GrantOffer, ...] = ()
    warnings: tuple[str, ...] = ()
    surfaces: tuple[Surface, ...] = ()
    replaces: ApprovalId | None = None
    replaced_by: ApprovalId | None = None
    result: str = ""
    reasked: Mark | None = None


class ApprovalList(View, frozen=True, kw_only=True):
    """Approvals, the open ones first by their deadlines, then the others, the latest first."""

    approvals: tuple[ApprovalView, ...]
    seq: Seq


class ListApprovals(Query[ApprovalList], frozen=True, kw_only=True):
    """Approvals. Decided ones are there for as long as they are kept, a day at least. limit: 1 to 1,000."""

    open_only: bool = False
    limit: int = 200


class GetApproval(Query[ApprovalView], frozen=True, kw_only=True):
    """One approval."""

    approval_id: ApprovalId


class AnswerApproval(Command[ApprovalView], frozen=True, kw_only=True):
    """Decide. The first answer wins; a later one gets AlreadyDecided.

    allow: yes or no; option_id: a particular option in place of the first that fits.
    digest: of the approval that was looked at; "" leaves the check out. scope: how far a yes reaches; beyond once,
    `pattern` repeats the one that was offered for it. answer: to a question, in words. remember: of a no, for how many
    seconds the same is refused without asking again, up to a day.
    """

    approval_id: ApprovalId
    allow: bool
    option_id: str = ""
    reason: str = ""
    digest: str = ""
    scope: GrantScope = GrantScope.ONCE
    pattern: str = ""
    answer: str = ""
    remember_s: float = 0.0


class BulkDenial(View, frozen=True, kw_only=True):
    """What became of many: denied now, or no longer open."""

    denied: tuple[ApprovalId, ...]
    too_late: tuple[ApprovalId, ...]


class DenyApprovals(Command[BulkDenial], frozen=True, kw_only=True):
    """Say no to several at once; there is no such yes. approval_ids: 1 to 500."""

    approval_ids: tuple[ApprovalId, ...]
    reason: str = ""


class ReaskApproval(Command[ApprovalView], frozen=True, kw_only=True):
    """Ask an orphaned one again: its session goes on with a note about it, and the agent asks under a new id.

    Returns the orphaned one. What was asked is never carried out by this.
    """

    approval_id: ApprovalId


class NoteApproval(Command[ApprovalView], frozen=True, kw_only=True):
    """Say that a surface shows it, or that somebody looked at it there."""

    approval_id: ApprovalId
    surface: str
    is_seen: bool = False


class GrantView(View, frozen=True, kw_only=True):
    """A standing yes, or a no that is remembered (allow False).

    session_id, task_id: where it holds; both None is everywhere for the agent. expires: None is until revoked.
    """

    id: GrantId
    version: int
    agent: AgentName
    scope: GrantScope
    pattern: str
    allow: bool
    given: Mark
    given_by: str
    session_id: SessionId | None = None
    task_id: TaskId | None = None
    expires: Mark | None = None
    revoked: Mark | None = None
    used_count: int = 0
    last_used: Mark | None = None


class GrantList(View, frozen=True, kw_only=True):
    """Grants that hold, the latest used first."""

    grants: tuple[GrantView, ...]
    seq: Seq


class ListGrants(Query[GrantList], frozen=True, kw_only=True):
    """Standing permissions and remembered refusals. agent: None for all."""

    agent: AgentName | None = None


class RevokeGrant(Command[GrantView], frozen=True, kw_only=True):
    """End a grant; what it let through before stays done."""

    grant_id: GrantId


class ApprovalAsked(Event, frozen=True, kw_only=True):
    """An agent waits for a decision."""

    approval: ApprovalView


class ApprovalDecided(Event, frozen=True, kw_only=True):
    """An operator answered, or the answer arrived, or what it let happen is over."""

    approval: ApprovalView


class ApprovalExpired(Event, frozen=True, kw_only=True):
    """Nobody answered in time."""

    approval: ApprovalView


class ApprovalWithdrawn(Event, frozen=True, kw_only=True):
    """The agent no longer asks, or was stopped."""

    approval: ApprovalView


class ApprovalOrphaned(Event, frozen=True, kw_only=True):
    """The core was started again while it was open, or it is being asked again."""

    approval: ApprovalView


class ApprovalNoted(Event, frozen=True, kw_only=True):
    """Another surface shows it, or somebody looked at it."""

    approval: ApprovalView


class PolicyApplied(Event, frozen=True, kw_only=True):
    """The policy decided without asking. target: shortened to 500 characters."""

    session_id: SessionId
    run_id: RunId
    agent: AgentName
    tool: str
    target: str
    verdict: PolicyVerdict


class GrantGiven(Event, frozen=True, kw_only=True):
    """A wider yes, or a no to be remembered."""

    grant: GrantView


class GrantUsed(Event, frozen=True, kw_only=True):
    """A grant decided in place of an operator."""

    grant: GrantView


class GrantRevoked(Event, frozen=True, kw_only=True):
    """An operator ended a grant."""

    grant: GrantView
