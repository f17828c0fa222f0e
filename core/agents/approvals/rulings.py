"""The policy at work: judges an action, keeps a record of everything that nobody was asked about."""

from core.agents.approvals.grants import Grants
from core.agents.policy.policy import verdict
from core.api.approvals import PolicyApplied
from core.api.base import Actor, ActorKind, AgentName, RunId, SessionId, TaskId
from core.api.policies import ExecutionPolicy, PolicyVerdict, VerdictKind
from core.api.runs import ActionRequested
from core.clock import Clock, mark
from core.journal import Journal

_TARGET_LIMIT = 500


class Rulings:
    """What policies and grants decide in place of an operator."""

    def __init__(self, *, journal: Journal, clock: Clock, grants: Grants) -> None:
        self._journal = journal
        self._clock = clock
        self._grants = grants
        self._unasked: dict[AgentName, int] = {}

    def judge(
        self,
        policy: ExecutionPolicy,
        action: ActionRequested,
        *,
        agent: AgentName,
        session_id: SessionId | None,
        task_id: TaskId | None,
    ) -> PolicyVerdict:
        """What would become of an action there. Asking changes nothing."""
        grants = self._grants.holding(
            agent=agent, session_id=session_id, task_id=task_id, tool=action.tool, target=action.target
        )
        return verdict(policy, action, grants, mark(self._clock))

    async def record(
        self,
        ruling: PolicyVerdict,
        action: ActionRequested,
        *,
        agent: AgentName,
        session_id: SessionId,
        run_id: RunId,
        correlation: str = "",
    ) -> None:
        """Store an automatic decision before anybody hears of it. Raises StoreError; then it must not be sent."""
        applied = PolicyApplied(
            session_id=session_id,
            run_id=run_id,
            agent=agent,
            tool=action.tool[:_TARGET_LIMIT],
            target=action.target[:_TARGET_LIMIT],
            verdict=ruling,
        )
        actor = Actor(ActorKind.AGENT, agent)
        await self._journal.commit([], [(str(session_id), applied)], actor=actor, correlation=correlation)
        if ruling.grant_id is not None:
            self._grants.use(ruling.grant_id)
        if ruling.kind is VerdictKind.ALLOW:
            self._unasked[agent] = self._unasked.get(agent, 0) + 1

    def unasked_count(self, agent: AgentName) -> int:
        """Actions that the agent was let do without a question since the start of the core."""
        return self._unasked.get(agent, 0)
