"""What agents are and how many of their runs go on: views, queries, commands, events."""

from enum import StrEnum
from typing import Any

import msgspec

from core.api.base import AgentName, Command, Event, Mark, Query, Seq, SessionId, View
from core.api.policies import ExecutionPolicy, FieldEnforcement
from core.api.runs import RunnerView


class PoolState(StrEnum):
    """Whether runs of an agent may start. degraded: after failures in a row, one may try in a while."""

    READY = "ready"
    PAUSED = "paused"
    DEGRADED = "degraded"
    PROBING = "probing"
    DISABLED = "disabled"


class PoolView(View, frozen=True, kw_only=True):
    """How busy an agent is.

    limit: runs at a time; configured_limit: without an operator's. failure_count: in a row. retry: when a
    degraded one may try again. runner_limit: 0 is none. The other counts are since the start of the core.
    """

    state: PoolState
    limit: int
    configured_limit: int
    busy: int
    waiting: int
    failure_count: int = 0
    retry: Mark | None = None
    reason: str = ""
    changed_by: str = ""
    runner_count: int = 0
    runner_limit: int = 0
    reaped_count: int = 0
    reset_count: int = 0
    compacted_count: int = 0
    unasked_count: int = 0


class ProfileOrigin(StrEnum):
    """Where a profile is written down: the configuration, a file of agents/, or a row of the store."""

    CONFIG = "config"
    FILE = "file"
    STORED = "stored"


class ProfileView(View, frozen=True, kw_only=True):
    """An agent.

    isolation: in words, who enforces what. approvals: whether the runner asks before it acts.
    settings: the whole profile with its defaults, as in YAML. fingerprint: of the settings, 16 hex letters.
    problem: why it cannot be used, "" when it can; key names the setting. origin, file: where it is written down.
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
    version: int = 0
    is_enabled: bool = True
    origin: ProfileOrigin = ProfileOrigin.CONFIG
    file: str = ""
    settings: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    fingerprint: str = ""
    fast_model: str = ""
    policy: ExecutionPolicy = ExecutionPolicy()
    enforcement: tuple[FieldEnforcement, ...] = ()
    problem: str = ""
    pool: PoolView | None = None
    synced: Mark | None = None


class ProfileList(View, frozen=True, kw_only=True):
    """All agents by name."""

    profiles: tuple[ProfileView, ...]
    seq: Seq


class ListProfiles(Query[ProfileList], frozen=True, kw_only=True):
    """All agents."""


class GetProfile(Query[ProfileView], frozen=True, kw_only=True):
    """One agent."""

    name: AgentName


class ProfileDefaults(View, frozen=True, kw_only=True):
    """What a new agent of that name would be."""

    name: AgentName
    settings: dict[str, Any]


class GetDefaultProfile(Query[ProfileDefaults], frozen=True, kw_only=True):
    """The settings of an agent that is not there yet. runner: "" is the product's default one."""

    name: AgentName
    runner: str = ""


class CreateProfile(Command[ProfileView], frozen=True, kw_only=True):
    """Make an agent. settings: as in YAML; what is left out gets its default."""

    name: AgentName
    settings: dict[str, Any]


class UpdateProfile(Command[ProfileView], frozen=True, kw_only=True):
    """Change the top-level keys that are given; null takes one back to its default.

    version: of the profile that was looked at, 0 leaves the check out (ConflictError). Runs that go on keep what they
    have; each runner is replaced before its next turn.
    """

    name: AgentName
    settings: dict[str, Any]
    version: int = 0


class DeleteReceipt(View, frozen=True, kw_only=True):
    """An agent that is gone. stopped: runs that were told to stop."""

    name: AgentName
    stopped: int


class DeleteProfile(Command[DeleteReceipt], frozen=True, kw_only=True):
    """Remove an agent of the store. One that is written in a file or the configuration is removed there (Refused)."""

    name: AgentName


class EnableProfile(Command[ProfileView], frozen=True, kw_only=True):
    """Let an agent work again."""

    name: AgentName


class DisableProfile(Command[ProfileView], frozen=True, kw_only=True):
    """Let an agent's runs end and begin no other; messages for it are refused."""

    name: AgentName
    reason: str = ""


class SyncProfile(Command[ProfileView], frozen=True, kw_only=True):
    """Read an agent's file again and put its settings to use, one runner after the other."""

    name: AgentName


class PauseAgent(Command[ProfileView], frozen=True, kw_only=True):
    """Begin no run of an agent; what waits keeps its place. Survives a restart."""

    name: AgentName
    reason: str = ""


class ResumeAgent(Command[ProfileView], frozen=True, kw_only=True):
    """Begin runs again, also of one that is degraded."""

    name: AgentName


class LimitAgent(Command[ProfileView], frozen=True, kw_only=True):
    """Let at most so many runs of an agent go on; 0 is what the profile says. Survives a restart."""

    name: AgentName
    limit: int


class ResetReport(View, frozen=True, kw_only=True):
    """What a reset did. replaced: idle ones, gone now; marked: busy ones, gone after their turn; stopped: runs."""

    replaced: int
    marked: int
    stopped: int


class ResetRunners(Command[ResetReport], frozen=True, kw_only=True):
    """Let runners go: of an agent, a session, a user, or all. What is given narrows it.

    is_hard: runs that go on are told to stop first; else their runners go after the turn.
    """

    agent: AgentName | None = None
    session_id: SessionId | None = None
    user: str = ""
    is_hard: bool = False
    reason: str = ""


class RunnerList(View, frozen=True, kw_only=True):
    """Runners that are kept."""

    runners: tuple[RunnerView, ...]
    seq: Seq


class ListRunners(Query[RunnerList], frozen=True, kw_only=True):
    """Live runners, the busy ones first. agent: None for all. limit: 1 to 5,000."""

    agent: AgentName | None = None
    limit: int = 500


class ProfileChanged(Event, frozen=True, kw_only=True):
    """An agent was made, changed, enabled, disabled or read again. what: in a word."""

    profile: ProfileView
    what: str


class ProfileDeleted(Event, frozen=True, kw_only=True):
    """An agent is gone."""

    name: AgentName


class PoolChanged(Event, frozen=True, kw_only=True):
    """Runs of an agent may start, or may not, or in another number. Stored when an operator did it, else live only."""

    profile: ProfileView
    reason: str = ""


class RunnersReset(Event, frozen=True, kw_only=True):
    """Runners were let go. scope: in words."""

    scope: str
    report: ResetReport
    reason: str = ""
