"""What an agent is: views and queries."""

from core.api.base import AgentName, Query, Seq, View


class ProfileView(View, frozen=True, kw_only=True):
    """An agent as configured.

    isolation: in words, who enforces what. approvals: whether the runner asks before it acts.
    """

    name: AgentName
    runner: str
    model: str
    is_default: bool
    approvals: bool
    steer: bool
    isolation: str
    busy: int = 0
    limit: int = 0
    waiting: int = 0


class ProfileList(View, frozen=True, kw_only=True):
    """All agents by name."""

    profiles: tuple[ProfileView, ...]
    seq: Seq


class ListProfiles(Query[ProfileList], frozen=True, kw_only=True):
    """All agents."""
