"""What an operator does with approvals and grants: answer, deny, ask again, revoke; and why something would ask."""

from collections.abc import Awaitable, Callable

from core.agents.approvals.approvals import Approvals
from core.api.approvals import (
    AnswerApproval,
    ApprovalView,
    DenyApprovals,
    GetApproval,
    ListApprovals,
    ListGrants,
    NoteApproval,
    ReaskApproval,
    RevokeGrant,
)
from core.api.base import Actor, AgentName, SessionId
from core.api.policies import ExecutionPolicy, ExplainPolicy, PolicyVerdict
from core.api.runs import ActionRequested
from core.handlers import CommandHandlers, QueryHandlers

_SHOWN = 500

Note = Callable[[SessionId, str, Actor], Awaitable[None]]
"""Puts an operator's note to a session."""


class ApprovalOrders:
    """Every command and query about approvals, grants and policies.

    note: see Conversations.note. policy_of: of an agent as its profile says; raises NotFound.
    """

    def __init__(self, *, approvals: Approvals, note: Note, policy_of: Callable[[AgentName], ExecutionPolicy]) -> None:
        self._approvals = approvals
        self._note = note
        self._policy_of = policy_of

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {
            AnswerApproval: self._approvals.answer_approval,
            DenyApprovals: self._approvals.deny_approvals,
            ReaskApproval: self.reask_approval,
            NoteApproval: self._approvals.notes.note_approval,
            RevokeGrant: self._approvals.grants.revoke_grant,
        }

    @property
    def queries(self) -> QueryHandlers:
        """Who answers which question."""
        return {
            ListApprovals: self._approvals.list_approvals,
            GetApproval: self._approvals.get_approval,
            ListGrants: self._approvals.grants.list_grants,
            ExplainPolicy: self.explain_policy,
        }

    async def reask_approval(self, command: ReaskApproval, actor: Actor) -> ApprovalView:
        """Have an orphan asked again: a note goes to its session, and what the agent then asks has an id of its own.

        Nothing is carried out by this. Raises NotFound, ConflictError, AlreadyDecided, and what putting a note raises;
        then nothing is marked.
        """
        orphan = await self._approvals.notes.orphan(command.approval_id)
        await self._note(orphan.session_id, note_text(orphan), actor)
        return await self._approvals.notes.mark_reasked(orphan.id, actor)

    async def explain_policy(self, query: ExplainPolicy) -> PolicyVerdict:
        """What would become of an action, and by which rule. Raises NotFound for an agent that is not there."""
        action = ActionRequested(
            action_id="", title="", detail="", kind=query.kind, options=(), tool=query.tool, target=query.target
        )
        return self._approvals.rulings.judge(
            self._policy_of(query.agent),
            action,
            agent=query.agent,
            session_id=query.session_id,
            task_id=query.task_id,
        )


def note_text(orphan: ApprovalView) -> str:
    """What the agent is told about a question that a restart has cut off."""
    what = f"{orphan.tool}: {orphan.target}" if orphan.tool and orphan.target else orphan.title
    return (
        f"You asked for a decision about this, and the gateway was restarted before anybody answered:\n\n"
        f"{what[:_SHOWN]}\n\n"
        f"Nothing was decided and it was not carried out (approval {orphan.id}). "
        f"If it is still needed, ask for it again, exactly as before; if not, go on without it."
    )
