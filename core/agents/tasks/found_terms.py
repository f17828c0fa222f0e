"""Which terms a run is driven on: its task's, or its agent's own; and what becomes of one for which there are none."""

from collections.abc import Callable, Sequence

import msgspec

from core.agent_settings import ScriptedSettings
from core.agents.ports import ToolHost
from core.agents.profiles.profiles import Profiles
from core.agents.runner import TurnRequest
from core.agents.terms import Terms, own_terms
from core.api.base import AgentName, TaskId
from core.api.errors import HermesError
from core.api.policies import ExecutionPolicy, Security
from core.api.runs import Stop, TurnEnded
from core.api.sessions import MessageView

UNREADABLE = Terms(settings=ScriptedSettings(), policy=ExecutionPolicy(security=Security.DENY), total_s=0.0)
"""Stands for the terms of an agent whose profile cannot be read. Nothing is done on them: its runs get no slot."""

_FAULTY = "policy_unavailable"


class FoundTerms:
    """task_terms: of a task; None where they are not at hand."""

    def __init__(self, profiles: Profiles, tools: ToolHost, task_terms: Callable[[TaskId], Terms | None]) -> None:
        self._profiles = profiles
        self._tools = tools
        self._task_terms = task_terms
        self._own: dict[AgentName, Terms] = {}

    def find(self, agent: AgentName, task_id: TaskId | None) -> Terms | TurnEnded:
        """The terms, or how a run ends that has none. UNREADABLE for a run that must wait until its agent is mended."""
        try:
            terms = self._own_terms(agent) if task_id is None else self._task_terms(task_id)
        except HermesError as error:
            return TurnEnded(stop=Stop.ERROR, error=error.message, code=error.code)
        if terms is None and self._is_unreadable(agent):
            return UNREADABLE
        if terms is None:
            # The agent's own may allow what the task's did not.
            return TurnEnded(stop=Stop.ERROR, error=f"the terms of task {task_id} are gone", code=_FAULTY)
        why = self._tools.refusal(terms.policy)
        return TurnEnded(stop=Stop.ERROR, error=why, code=_FAULTY) if why else terms

    def _own_terms(self, agent: AgentName) -> Terms:
        # Of a disabled agent too, and of one that cannot be read: what was taken in waits until that is over.
        settings = self._profiles.find(agent)
        if settings is None:
            if self._is_unreadable(agent):
                return UNREADABLE
            settings = self._profiles.get(agent)
        terms = self._own.get(agent)
        if terms is None or terms.settings is not settings:
            terms = self._own[agent] = own_terms(settings)
        return terms

    def _is_unreadable(self, agent: AgentName) -> bool:
        return self._profiles.has(agent) and self._profiles.find(agent) is None


def task_of(messages: Sequence[MessageView]) -> TaskId | None:
    """The task on whose terms messages are answered; None for the agent's own."""
    return messages[0].task_id or messages[0].terms_of if messages else None


def under(request: TurnRequest, terms: Terms) -> TurnRequest:
    """A request on these terms."""
    return msgspec.structs.replace(
        request,
        model=request.model or terms.model,
        extra_system_prompt=terms.extra_system_prompt,
        policy=terms.policy,
        total_s=terms.total_s,
    )
