"""The terms on which a run is driven: the agent's profile as it is now, or as a task was accepted with it (pure)."""

import msgspec

from core.agent_settings import AgentSettings
from core.agents.profile import policy_of
from core.api.policies import ExecutionPolicy


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """settings: of the agent. policy: in full. total_s: longest run. lane: "" is none. model: "" is the agent's own."""

    settings: AgentSettings
    policy: ExecutionPolicy
    total_s: float
    lane: str = ""
    model: str = ""
    extra_system_prompt: str = ""


def own_terms(settings: AgentSettings) -> Terms:
    """What holds for a message that no task carries."""
    policy = policy_of(settings)
    return Terms(settings=settings, policy=policy, total_s=settings.total_limit_s)
