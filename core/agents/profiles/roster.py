"""An agent as it is written down in up to three places, what an operator holds it to, and how it shows (pure)."""

from typing import Any

import msgspec

from core.agent_settings import AgentSettings
from core.agents.adapters import CAPABILITIES
from core.agents.admission import Load
from core.agents.kept import Tally
from core.agents.profile import check_patterns, fingerprint, kind_of, model_of, policy_of, rules_of, shown_values
from core.agents.profiles.files import ProfileFile
from core.api.base import AgentName, Mark
from core.api.profiles import PoolState, PoolView, ProfileOrigin, ProfileView
from core.config import shape
from core.config.text import KeyPath

CONFIG_FILE = "config.yaml"


class StoredProfile(msgspec.Struct, frozen=True, kw_only=True):
    """A row. values: as they were given; version: of the row. settings: None when it cannot be used."""

    values: dict[str, Any]
    version: int
    settings: AgentSettings | None = None
    problem: str = ""


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator ordered for an agent, whatever its profile says; kept as a row.

    enabled: None is what the profile says; limit: 0 is. by: who, at: UTC seconds.
    """

    enabled: bool | None = None
    is_paused: bool = False
    limit: int = 0
    reason: str = ""
    by: str = ""
    at: float = 0.0

    @property
    def is_nothing(self) -> bool:
        """Whether all is as the profile says."""
        return self.enabled is None and not self.is_paused and not self.limit


NO_HOLD = Hold()


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """An agent. values: as written; settings: None when it cannot be used, and problem says why."""

    name: AgentName
    origin: ProfileOrigin
    file: str = ""
    values: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    settings: AgentSettings | None = None
    problem: str = ""
    version: int = 1

    def is_enabled(self, hold: Hold) -> bool:
        """Whether it takes work, as far as anybody wants it."""
        if hold.enabled is not None:
            return hold.enabled
        return self.settings is None or self.settings.enabled


def combined(
    name: AgentName,
    config: AgentSettings | None,
    file: ProfileFile | None,
    row: StoredProfile | None,
    *,
    file_version: int = 1,
) -> Profile | None:
    """The agent that is written down in these places; one that stands in two of them cannot be used."""
    found: list[Profile] = []
    if config is not None:
        check = shape.Check(_in_config)
        check_patterns(config, check, ("agents", name))
        problem = check.errors[0].message if check.errors else ""
        settings = None if problem else config
        found.append(
            Profile(name=name, origin=ProfileOrigin.CONFIG, file=CONFIG_FILE, settings=settings, problem=problem)
        )
    if file is not None:
        found.append(
            Profile(
                name=name,
                origin=ProfileOrigin.FILE,
                file=file.file,
                values=file.values,
                settings=file.settings,
                problem=file.problem,
                version=file_version,
            )
        )
    if row is not None:
        found.append(
            Profile(
                name=name,
                origin=ProfileOrigin.STORED,
                values=row.values,
                settings=row.settings,
                problem=row.problem,
                version=row.version,
            )
        )
    if not found:
        return None
    first, *others = found
    if not others:
        return first
    places = " and ".join(profile.file or "the store" for profile in found)
    problem = f"agent {name} is written down twice, in {places} (keep one of them)"
    return msgspec.structs.replace(first, settings=None, problem=problem)


def _in_config(path: KeyPath) -> tuple[str, int | None]:
    del path
    return CONFIG_FILE, None


def state_under(load: PoolState, hold: Hold, *, is_enabled: bool) -> PoolState:
    """The state that admission has once an order is in force."""
    if not is_enabled:
        return PoolState.DISABLED
    if hold.is_paused:
        return PoolState.PAUSED
    return PoolState.READY if load in {PoolState.PAUSED, PoolState.DISABLED} else load


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How an agent stands besides what is written down. load: None while it has never been usable."""

    load: Load | None
    tally: Tally
    runner_count: int
    now: Mark
    is_default: bool
    synced: Mark | None


def profile_view(profile: Profile, hold: Hold, standing: Standing) -> ProfileView:
    """The agent as an operator sees it, under what is ordered. Settings that cannot be used are not shown."""
    settings = profile.settings
    pool = _pool_view(profile, hold, standing)
    is_enabled = profile.is_enabled(hold)
    if settings is None:
        return ProfileView(
            name=profile.name,
            runner="",
            model="",
            is_default=standing.is_default,
            approvals=False,
            steer=False,
            isolation="",
            version=profile.version,
            is_enabled=is_enabled,
            origin=profile.origin,
            file=profile.file,
            problem=profile.problem,
            pool=pool,
            synced=standing.synced,
        )
    capabilities = CAPABILITIES[kind_of(settings)]
    return ProfileView(
        name=profile.name,
        runner=kind_of(settings),
        model=model_of(settings),
        is_default=standing.is_default,
        approvals=capabilities.approvals,
        steer=capabilities.steer,
        isolation=capabilities.isolation,
        busy=pool.busy if pool else 0,
        limit=pool.limit if pool else settings.concurrency,
        waiting=pool.waiting if pool else 0,
        version=profile.version,
        is_enabled=is_enabled,
        origin=profile.origin,
        file=profile.file,
        settings=shown_values(settings),
        fingerprint=fingerprint(settings),
        fast_model=settings.fast_model,
        policy=policy_of(settings),
        enforcement=capabilities.enforcement,
        problem=profile.problem,
        pool=pool,
        synced=standing.synced,
    )


def _pool_view(profile: Profile, hold: Hold, standing: Standing) -> PoolView | None:
    load, tally = standing.load, standing.tally
    if profile.settings is None:
        return None
    rules = rules_of(profile.settings)
    before = load.state if load is not None else PoolState.READY
    state = state_under(before, hold, is_enabled=profile.is_enabled(hold))
    retry_at = load.retry_at if load is not None and state is PoolState.DEGRADED else None
    failure_count = load.failure_count if load is not None else 0
    return PoolView(
        state=state,
        limit=hold.limit or rules.limit,
        configured_limit=rules.limit,
        busy=load.busy if load is not None else 0,
        waiting=load.waiting if load is not None else 0,
        failure_count=failure_count,
        retry=None if retry_at is None else Mark(standing.now.at + retry_at - standing.now.mono, retry_at),
        reason=reason_of(state, hold, failure_count),
        changed_by=hold.by,
        runner_count=standing.runner_count,
        runner_limit=rules.runner_limit,
        reaped_count=tally.reaped_count,
        reset_count=tally.reset_count,
        compacted_count=tally.compacted_count,
        unasked_count=tally.unasked_count,
    )


def reason_of(state: PoolState, hold: Hold, failure_count: int) -> str:
    """Why an agent is in a state, as far as anybody said or counted."""
    match state:
        case PoolState.DEGRADED:
            return f"{failure_count} runs in a row failed"
        case PoolState.PROBING:
            return "one run tries whether it works again"
        case PoolState.DISABLED if hold.enabled is None:
            return "its profile says enabled: false"
        case _:
            return hold.reason
