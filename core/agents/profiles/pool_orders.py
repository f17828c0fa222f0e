"""Orders of an operator about whether and how much agents work; they are kept as rows and survive a restart."""

from collections.abc import Callable

import msgspec

from core.agents.profiles.known import KnownProfiles, hold_put
from core.agents.profiles.roster import NO_HOLD
from core.api.base import Actor, AgentName, Event
from core.api.errors import InvalidInput
from core.api.profiles import (
    DisableProfile,
    EnableProfile,
    LimitAgent,
    PauseAgent,
    PoolChanged,
    ProfileChanged,
    ProfileView,
    ResetReport,
    ResetRunners,
    ResumeAgent,
    RunnersReset,
)

LIMIT = 4096
_REASON_LIMIT = 500


class PoolOrders:
    """One order at a time: whoever calls sees to that."""

    def __init__(self, known: KnownProfiles) -> None:
        self._known = known

    async def pause_agent(self, command: PauseAgent, actor: Actor) -> ProfileView:
        """Begin no run of an agent. Raises NotFound, StoreError."""
        reason = _one_line(command.reason)
        return await self._hold(command.name, actor, PoolChanged, reason=reason, is_paused=True)

    async def resume_agent(self, command: ResumeAgent, actor: Actor) -> ProfileView:
        """Begin runs again, whatever held them back but that the agent is disabled. Raises NotFound, StoreError."""
        name = command.name
        await self._hold(name, actor, PoolChanged, reason="", is_paused=False, is_forgiven=True)
        self._known.resume(name)
        return self._known.view(name)

    async def limit_agent(self, command: LimitAgent, actor: Actor) -> ProfileView:
        """Let at most so many runs go on. Raises InvalidInput, NotFound, StoreError."""
        if not 0 <= command.limit <= LIMIT:
            what = f"the limit is {command.limit}"
            raise InvalidInput(what, field="limit", value=command.limit, fix=f"use 0 to {LIMIT}")
        return await self._hold(command.name, actor, PoolChanged, limit=command.limit)

    async def enable_profile(self, command: EnableProfile, actor: Actor) -> ProfileView:
        """Let an agent work again. Raises NotFound, StoreError."""
        return await self._able(command.name, actor, is_enabled=True, reason="", what="enabled")

    async def disable_profile(self, command: DisableProfile, actor: Actor) -> ProfileView:
        """Let an agent's runs end and begin no other. Raises NotFound, StoreError."""
        reason = _one_line(command.reason)
        return await self._able(command.name, actor, is_enabled=False, reason=reason, what="disabled")

    async def reset_runners(self, command: ResetRunners, actor: Actor) -> ResetReport:
        """Let runners go, and say so. Raises NotFound for an agent that is not there, StoreError once they are gone."""
        known, agent = self._known, command.agent
        if agent is not None:
            known.profile(agent)
        reason = _one_line(command.reason)
        report = known.runners.reset(
            agent=agent, session_id=command.session_id, user=command.user, is_hard=command.is_hard, reason=reason
        )
        subject = str(command.session_id or agent or "agents")
        event = RunnersReset(scope=_scope(command), report=report, reason=reason)
        await known.journal.commit((), [(subject, event)], actor=actor)
        return report

    async def _able(self, name: AgentName, actor: Actor, *, is_enabled: bool, reason: str, what: str) -> ProfileView:
        settings = self._known.profile(name).settings
        is_own = settings is not None and settings.enabled == is_enabled

        def event(profile: ProfileView, reason: str) -> Event:
            del reason
            return ProfileChanged(profile=profile, what=what)

        return await self._hold(name, actor, event, reason=reason, enabled=None if is_own else is_enabled)

    async def _hold(
        self,
        name: AgentName,
        actor: Actor,
        event: Callable[..., Event],
        *,
        is_forgiven: bool = False,
        **changes: bool | int | str | None,
    ) -> ProfileView:
        known = self._known
        profile, before = known.profile(name), known.hold(name)
        hold = msgspec.structs.replace(before, **changes, by=actor.name, at=known.clock.now())
        if hold.is_nothing:
            hold = NO_HOLD
        view = known.view_of(profile, hold, is_forgiven=is_forgiven)
        told = event(profile=view, reason=hold.reason)
        await known.journal.commit([hold_put(name, hold)], [(name, told)], actor=actor)
        known.set_hold(name, hold)
        return known.view(name)


def _scope(command: ResetRunners) -> str:
    words = [f"agent {command.agent}"] if command.agent is not None else []
    words += [f"session {command.session_id}"] if command.session_id is not None else []
    words += [f"user {command.user}"] if command.user else []
    return ", ".join(words) or "all runners"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_REASON_LIMIT]
