"""The agents that are known: read from three places, put to use in pool and runners, shown."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from core.agent_settings import AgentSettings
from core.agents.admission import Rules
from core.agents.pool import Pool
from core.agents.profile import checked, references, rules_of
from core.agents.profiles.files import ProfileFile, ProfileFiles
from core.agents.profiles.roster import NO_HOLD, Hold, Profile, Standing, StoredProfile, combined, profile_view
from core.agents.runners import Runners
from core.api.base import SYSTEM, AgentName, Mark, RunId, Seq
from core.api.errors import ConfigError, NotFound, Refused
from core.api.profiles import PoolState, ProfileView
from core.clock import Clock, mark
from core.config.text import KeyPath
from core.journal import Journal
from core.settings import Settings
from core.store.base import Put, Row, Store

PROFILES = "profile/"
HOLDS = "pool/"
_BUILT_IN = Settings().agents
_encoder = msgspec.json.Encoder()
_values = msgspec.json.Decoder(dict[str, Any])
_holds = msgspec.json.Decoder(Hold)


class KnownProfiles:
    """All agents. wake: told of runs that have got a slot; learn: makes secrets known by their references."""

    def __init__(
        self,
        *,
        settings: Settings,
        home: Path,
        journal: Journal,
        store: Store,
        clock: Clock,
        pool: Pool,
        runners: Runners,
        wake: Callable[[Sequence[RunId]], None],
        learn: Callable[[frozenset[str]], None],
    ) -> None:
        self.default_agent = AgentName(settings.default_agent)
        self.files = ProfileFiles(home)
        self.pool = pool
        self.runners = runners
        self.journal = journal
        self.clock = clock
        self._config: Mapping[str, AgentSettings] = settings.agents
        self._store = store
        self._wake = wake
        self._learn = learn
        self._found_files: dict[AgentName, ProfileFile] = {}
        self._file_versions: dict[AgentName, int] = {}
        self._rows: dict[AgentName, StoredProfile] = {}
        self._holds: dict[AgentName, Hold] = {}
        self._profiles: dict[AgentName, Profile] = {}
        self._synced: dict[AgentName, Mark] = {}
        for name in settings.agents:
            self._put_to_use(AgentName(name))

    async def open(self) -> None:
        """Read files and rows. One that is broken is known with its problem, the others are put to use."""
        for row in await self._store.scan(PROFILES):
            name = AgentName(row.key.removeprefix(PROFILES))
            self._rows[name] = stored_profile(name, row)
        for row in await self._store.scan(HOLDS):
            self._holds[AgentName(row.key.removeprefix(HOLDS))] = _hold(row)
        self._found_files = await self.files.read_all()
        names = {*map(AgentName, self._config), *self._found_files, *self._rows}
        await self._learn_of(*names)
        for name in names:
            self._put_to_use(name)

    def names(self) -> list[AgentName]:
        """All agents, also disabled and broken ones, sorted."""
        return sorted(self._profiles)

    def has(self, name: str) -> bool:
        """Whether there is such an agent, whatever its state."""
        return name in self._profiles

    def find(self, name: str) -> AgentSettings | None:
        """The settings of an agent, whether it is enabled or not; None when there is none, or it is broken."""
        profile = self._profiles.get(AgentName(name))
        return profile.settings if profile is not None else None

    def problem(self, name: AgentName) -> str:
        """Why an agent cannot be used whatever anybody orders; "" when it can, or there is none."""
        profile = self._profiles.get(name)
        return "" if profile is None or profile.settings is not None else profile.problem

    def get(self, name: str) -> AgentSettings:
        """The settings of an agent that takes work. Raises NotFound, Refused (rule profile or disabled)."""
        profile = self.profile(name)
        if profile.settings is None:
            raise Refused(f"agent {name} cannot be used: {profile.problem}", rule="profile", agent=name)
        if not profile.is_enabled(self.hold(profile.name)):
            raise Refused(f"agent {name} is disabled", rule="disabled", agent=name, fix="enable the agent")
        return profile.settings

    def profile(self, name: str) -> Profile:
        """An agent, whatever its state. Raises NotFound."""
        found = self._profiles.get(AgentName(name))
        if found is None:
            raise NotFound(f"there is no agent {name}", noun="agent", id=name)
        return found

    def hold(self, name: AgentName) -> Hold:
        """What is ordered for an agent."""
        return self._holds.get(name, NO_HOLD)

    def file_of(self, name: AgentName) -> ProfileFile | None:
        """The agent's file as it was read last; None when it has none."""
        return self._found_files.get(name)

    def row_of(self, name: AgentName) -> StoredProfile | None:
        """The agent's row; None when it has none."""
        return self._rows.get(name)

    async def head(self) -> Seq:
        """Place of the last entry of the journal."""
        return await self.journal.head()

    def view(self, name: AgentName) -> ProfileView:
        """An agent as it stands. Raises NotFound."""
        return self.view_of(self.profile(name), self.hold(name))

    def view_of(self, profile: Profile, hold: Hold, *, is_forgiven: bool = False) -> ProfileView:
        """An agent as it will stand. is_forgiven: its failures will count no more."""
        name = profile.name
        load = self.pool.load(name) if self.pool.has(name) else None
        if load is not None and is_forgiven:
            load = msgspec.structs.replace(load, state=PoolState.READY, failure_count=0, retry_at=None)
        standing = Standing(
            load=load,
            tally=self.runners.tally(name),
            runner_count=self.runners.count(name),
            now=mark(self.clock),
            is_default=name == self.default_agent,
            synced=self._synced.get(name),
        )
        return profile_view(profile, hold, standing)

    def stamp(self, name: AgentName) -> None:
        """Take note that what is written down about an agent is as of now."""
        self._synced[name] = mark(self.clock)

    def is_written(self, name: AgentName) -> bool:
        """Whether the agent stands anywhere, by what was read and stored last."""
        return self._combined(name) is not None

    def next_view(self, name: AgentName) -> ProfileView:
        """The agent as it will stand once what was read and stored last is in force. Raises NotFound."""
        profile = self._combined(name)
        return self.view(name) if profile is None else self.view_of(profile, self.hold(name))

    def with_row(self, name: AgentName, row: StoredProfile) -> Profile:
        """The agent as it will be with that row."""
        profile = combined(name, None, None, row)
        assert profile is not None
        return profile

    def set_row(self, name: AgentName, row: StoredProfile | None) -> None:
        """Take note of what is stored."""
        if row is None:
            self._rows.pop(name, None)
        else:
            self._rows[name] = row

    def with_file(self, name: AgentName, file: ProfileFile) -> Profile:
        """The agent as it will be with that file."""
        version = self._next_file_version(name, file)
        profile = combined(name, self._configured(name, file), file, self._rows.get(name), file_version=version)
        assert profile is not None
        return profile

    def set_file(self, name: AgentName, file: ProfileFile | None) -> None:
        """Take note of what a file says."""
        if file is None:
            self._found_files.pop(name, None)
            return
        self._file_versions[name] = self._next_file_version(name, file)
        self._found_files[name] = file

    def set_hold(self, name: AgentName, hold: Hold) -> None:
        """Put an order of an operator to use."""
        if hold.is_nothing:
            self._holds.pop(name, None)
        else:
            self._holds[name] = hold
        self._hold_pool(name)

    def resume(self, name: AgentName) -> None:
        """Let runs of a degraded agent start again."""
        if self.pool.has(name):
            self._wake(self.pool.resume(name, self.clock.monotonic()))

    def drop(self, name: AgentName) -> tuple[RunId, ...]:
        """Let an agent go that is written down nowhere any more. Returns its runs."""
        self._put_to_use(name)
        self._holds.pop(name, None)
        return self.pool.remove(name)

    async def put_to_use(self, name: AgentName) -> None:
        """Let what is written down about an agent take effect: its secrets are read, its limits and runners follow."""
        await self._learn_of(name)
        self._put_to_use(name)

    async def _learn_of(self, *names: AgentName) -> None:
        """Have the secrets read that these agents name."""
        profiles = [self._combined(name) for name in names]
        named = [references(each.settings) for each in profiles if each is not None and each.settings is not None]
        if found := frozenset[str]().union(*named):
            await asyncio.to_thread(self._learn, found)

    def _put_to_use(self, name: AgentName) -> None:
        profile = self._combined(name)
        if profile is None:
            self._profiles.pop(name, None)
            self._synced.pop(name, None)
            return
        self._profiles[name] = profile
        self._synced.setdefault(name, mark(self.clock))
        if profile.settings is not None:
            self._wake(self.pool.put(name, rules_of(profile.settings), self.clock.monotonic()))
            self.runners.refresh(name, profile.settings)
            self._hold_pool(name)
            return
        if not self.pool.has(name):
            # What waits for it waits on: what it may do is known once it can be read.
            self._wake(self.pool.put(name, Rules(limit=1), self.clock.monotonic()))
        self.pool.disable(name)

    def _hold_pool(self, name: AgentName) -> None:
        """Have the pool do what profile and operator say."""
        profile = self._profiles.get(name)
        if profile is None or profile.settings is None or not self.pool.has(name):
            return
        hold, now = self.hold(name), self.clock.monotonic()
        admitted: list[RunId] = []
        if not profile.is_enabled(hold):
            self.pool.disable(name)
        else:
            admitted += self.pool.enable(name, now)
        if hold.is_paused:
            self.pool.pause(name)
        elif self.pool.is_paused(name):
            admitted += self.pool.resume(name, now)
        self._wake((*admitted, *self.pool.set_limit(name, hold.limit, now)))

    def _combined(self, name: AgentName) -> Profile | None:
        file = self._found_files.get(name)
        version = self._file_versions.setdefault(name, 1) if file is not None else 1
        return combined(name, self._configured(name, file), file, self._rows.get(name), file_version=version)

    def _configured(self, name: AgentName, file: ProfileFile | None) -> AgentSettings | None:
        """What the configuration says. An agent that nobody wrote there gives way to a file."""
        settings = self._config.get(name)
        return None if file is not None and settings == _BUILT_IN.get(name) else settings

    def _next_file_version(self, name: AgentName, file: ProfileFile) -> int:
        before = self._found_files.get(name)
        version = self._file_versions.get(name, 0)
        return version if before is not None and before.text == file.text else version + 1


def profile_put(name: AgentName, values: Mapping[str, Any] | None, *, expect: int) -> Put:
    """The change of an agent's row; None deletes it."""
    return Put(PROFILES + name, None if values is None else _encoder.encode(values), expect)


def hold_put(name: AgentName, hold: Hold) -> Put:
    """The change of the row of what is ordered for an agent."""
    return Put(HOLDS + name, None if hold.is_nothing else _encoder.encode(hold))


def stored_profile(name: AgentName, row: Row) -> StoredProfile:
    """What a row says; one that this version cannot use says why."""
    try:
        values = _values.decode(row.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return StoredProfile(values={}, version=row.revision, problem=f"the row of agent {name} is damaged: {error}")

    def place(path: KeyPath) -> tuple[str, int | None]:
        del path
        return f"stored agent {name}", None

    try:
        settings = checked(values, place)
    except ConfigError as error:
        return StoredProfile(values=values, version=row.revision, problem=error.message)
    return StoredProfile(values=values, version=row.revision, settings=settings)


def _hold(row: Row) -> Hold:
    try:
        return _holds.decode(row.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # What it said is lost; an agent that somebody may have stopped does not start by that.
        return Hold(is_paused=True, reason=f"what was ordered for it is damaged: {error}", by=SYSTEM.name)
