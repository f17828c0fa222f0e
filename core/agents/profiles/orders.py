"""Orders about what agents are: made, changed, removed, read again; each is stored with its event before it counts."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from core.agents.profile import DEFAULT_RUNNER, check_name, checked_order, merged
from core.agents.profiles.files import ProfileFile
from core.agents.profiles.known import KnownProfiles, hold_put, profile_put
from core.agents.profiles.roster import NO_HOLD, Hold, Profile, StoredProfile
from core.api.base import Actor, AgentName, Event, RunId
from core.api.errors import ConfigError, ConflictError, Refused
from core.api.profiles import (
    CreateProfile,
    DeleteProfile,
    DeleteReceipt,
    ProfileChanged,
    ProfileDeleted,
    ProfileOrigin,
    ProfileView,
    SyncProfile,
    UpdateProfile,
)
from core.store.base import MUST_NOT_EXIST, Put

_ENABLED = "enabled"
_RUNNER = "runner"


class ProfileOrders:
    """One order at a time: whoever calls sees to that. stop_run: tells a run to stop; False when it is gone."""

    def __init__(self, known: KnownProfiles, stop_run: Callable[[RunId, str], bool]) -> None:
        self._known = known
        self._stop_run = stop_run

    async def create_profile(self, command: CreateProfile, actor: Actor) -> ProfileView:
        """Make an agent. Raises InvalidInput (names the setting), Refused (rule name), StoreError."""
        known, name = self._known, check_name(command.name)
        if known.has(name):
            raise Refused(f"there is an agent {name} already", rule="name", agent=name, fix="choose another name")
        if (file := await known.files.read(name)) is not None:
            raise Refused(f"{file.file} is there already", rule="name", agent=name, fix="sync the agent")
        values = merged({_RUNNER: DEFAULT_RUNNER}, command.settings)
        settings = checked_order(values)
        row = StoredProfile(values=values, version=1, settings=settings)
        known.stamp(name)
        view = known.view_of(known.with_row(name, row), NO_HOLD)
        puts = [profile_put(name, values, expect=MUST_NOT_EXIST), hold_put(name, NO_HOLD)]
        await self._commit(puts, name, ProfileChanged(profile=view, what="created"), actor)
        known.set_row(name, row)
        known.set_hold(name, NO_HOLD)
        return await self._used(name)

    async def update_profile(self, command: UpdateProfile, actor: Actor) -> ProfileView:
        """Change an agent where it is written down.

        Raises NotFound, ConflictError, InvalidInput (names the setting), Refused (rule config or file), StoreError.
        """
        known, name = self._known, command.name
        profile = known.profile(name)
        if command.version and command.version != profile.version:
            raise ConflictError(
                f"agent {name} is at version {profile.version} by now",
                key=name,
                expected=command.version,
                found=profile.version,
            )
        hold = known.hold(name)
        if _ENABLED in command.settings:
            # Whoever speaks last is obeyed: the setting in place of the order before it.
            hold = msgspec.structs.replace(hold, enabled=None)
        if profile.origin is ProfileOrigin.CONFIG:
            raise Refused(f"agent {name} stands in the configuration", rule="config", fix="change config.yaml")
        row, file = known.row_of(name), known.file_of(name)
        if row is not None and file is None:
            await self._update_row(name, row, hold, command.settings, actor)
        elif file is not None and row is None:
            await self._update_file(profile, file, hold, command.settings, actor)
        else:
            raise Refused(profile.problem, rule="name", agent=name, fix="keep one of them")
        known.set_hold(name, hold)
        return await self._used(name)

    async def delete_profile(self, command: DeleteProfile, actor: Actor) -> DeleteReceipt:
        """Remove an agent of the store; its runs are told to stop.

        Raises NotFound, Refused (rule config or file), StoreError.
        """
        known, name = self._known, command.name
        profile, row = known.profile(name), known.row_of(name)
        if row is None:
            raise Refused(
                f"agent {name} stands in {profile.file}",
                rule=profile.origin.value,
                fix=f"remove it from {profile.file}" + (", then sync it" if known.file_of(name) else ", then restart"),
            )
        puts = [profile_put(name, None, expect=row.version), hold_put(name, NO_HOLD)]
        await self._commit(puts, name, ProfileDeleted(name=name), actor)
        known.set_row(name, None)
        return DeleteReceipt(name=name, stopped=await self._dropped(name))

    async def sync_profile(self, command: SyncProfile, actor: Actor) -> ProfileView:
        """Read an agent's file again, also a new one. One that cannot be used changes nothing.

        Raises NotFound, ConfigError (names file, line, key and fix), StoreError.
        """
        known, name = self._known, check_name(command.name)
        file = await known.files.read(name)
        if file is None and known.file_of(name) is not None:
            return await self._file_is_gone(name, actor)
        if file is None:
            profile = known.profile(name)
            known.stamp(name)
            view = known.view_of(profile, known.hold(name))
            await self._commit((), name, ProfileChanged(profile=view, what="synced"), actor)
            return await self._used(name)
        profile = known.with_file(name, file)
        if profile.settings is None:
            facts = file.facts or {"file": file.file, "key": "", "fix": "keep one of them"}
            raise ConfigError(profile.problem, **facts)
        known.stamp(name)
        view = known.view_of(profile, known.hold(name))
        await self._commit((), name, ProfileChanged(profile=view, what="synced"), actor)
        known.set_file(name, file)
        return await self._used(name)

    async def _update_row(
        self, name: AgentName, row: StoredProfile, hold: Hold, changes: dict[str, Any], actor: Actor
    ) -> None:
        known = self._known
        values = merged(row.values, changes)
        after = StoredProfile(values=values, version=row.version + 1, settings=checked_order(values))
        known.stamp(name)
        view = known.view_of(known.with_row(name, after), hold)
        puts = [profile_put(name, values, expect=row.version), hold_put(name, hold)]
        await self._commit(puts, name, ProfileChanged(profile=view, what="changed"), actor)
        known.set_row(name, after)

    async def _update_file(
        self, profile: Profile, file: ProfileFile, hold: Hold, changes: dict[str, Any], actor: Actor
    ) -> None:
        known, name = self._known, profile.name
        if not file.values and file.problem:
            raise Refused(profile.problem, rule="file", agent=name, fix="correct the file by hand, then sync the agent")
        values = merged(file.values, changes)
        checked_order(values)
        after = await known.files.write(name, values, before=file)
        known.stamp(name)
        view = known.view_of(known.with_file(name, after), hold)
        # The file is what counts, so it is in force whether its event can be stored or not.
        known.set_file(name, after)
        await known.put_to_use(name)
        await self._commit([hold_put(name, hold)], name, ProfileChanged(profile=view, what="changed"), actor)

    async def _file_is_gone(self, name: AgentName, actor: Actor) -> ProfileView:
        known = self._known
        last, before = known.view(name), known.file_of(name)
        known.set_file(name, None)
        is_written = known.is_written(name)
        event: Event = ProfileDeleted(name=name)
        if is_written:
            known.stamp(name)
            event = ProfileChanged(profile=known.next_view(name), what="synced")
        try:
            await self._commit((), name, event, actor)
        except BaseException:
            known.set_file(name, before)
            raise
        await self._dropped(name)
        if is_written:
            return known.view(name)
        return msgspec.structs.replace(last, problem=f"{last.file} is gone, and the agent with it", is_enabled=False)

    async def _used(self, name: AgentName) -> ProfileView:
        await self._known.put_to_use(name)
        return self._known.view(name)

    async def _dropped(self, name: AgentName) -> int:
        """Let go of what is left of an agent, unless it is written down elsewhere too. Returns how many runs stop."""
        known = self._known
        if known.is_written(name):
            await known.put_to_use(name)
            return 0
        reason = f"agent {name} is removed"
        stopped = sum(self._stop_run(run_id, reason) for run_id in known.drop(name))
        known.runners.reset(agent=name, reason=reason)
        return stopped

    async def _commit(self, puts: Sequence[Put], name: AgentName, event: Event, actor: Actor) -> None:
        await self._known.journal.commit(puts, [(name, event)], actor=actor)
