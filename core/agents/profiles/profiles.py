"""Agents: what they are, whether they work, and every order and question about it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from core.agent_settings import AgentSettings
from core.agents.admission import HELD, WaitReason, waits_for
from core.agents.pool import Pool
from core.agents.profile import default_values
from core.agents.profiles.known import KnownProfiles
from core.agents.profiles.orders import ProfileOrders
from core.agents.profiles.pool_orders import PoolOrders
from core.agents.profiles.roster import reason_of
from core.agents.runners import Runners
from core.api import profiles
from core.api.base import Actor, AgentName, Command, RunId
from core.api.errors import HermesError, InvalidInput
from core.api.profiles import PoolChanged, ProfileDefaults, ProfileList, ProfileView, RunnerList
from core.clock import Clock
from core.handlers import CommandHandlers, QueryHandlers
from core.journal import Journal
from core.settings import Settings
from core.store.base import Store
from core.supervisor import Supervisor

LIST_LIMIT = 5000

C = TypeVar("C", bound=Command[Any])
V = TypeVar("V")


def _nothing(references: frozenset[str]) -> None:
    del references


class Profiles:
    """All agents of this core.

    Those of the configuration can be used at once, the others after open(). wake: told of runs that have got a slot;
    stop_run: tells a run to stop, False when it is gone; learn: makes secrets known by their references (called off
    the loop, may block).
    """

    def __init__(
        self,
        *,
        settings: Settings,
        home: Path,
        journal: Journal,
        store: Store,
        clock: Clock,
        supervisor: Supervisor,
        pool: Pool,
        runners: Runners,
        wake: Callable[[Sequence[RunId]], None],
        stop_run: Callable[[RunId, str], bool],
        learn: Callable[[frozenset[str]], None] = _nothing,
    ) -> None:
        self._known = KnownProfiles(
            settings=settings,
            home=home,
            journal=journal,
            store=store,
            clock=clock,
            pool=pool,
            runners=runners,
            wake=wake,
            learn=learn,
        )
        self._journal = journal
        self._supervisor = supervisor
        self._pool = pool
        self._runners = runners
        self._lock = asyncio.Lock()
        written, held = ProfileOrders(self._known, stop_run), PoolOrders(self._known)
        self.commands: CommandHandlers = {
            profiles.CreateProfile: self._whole(written.create_profile),
            profiles.UpdateProfile: self._whole(written.update_profile),
            profiles.DeleteProfile: self._whole(written.delete_profile),
            profiles.SyncProfile: self._whole(written.sync_profile),
            profiles.EnableProfile: self._whole(held.enable_profile),
            profiles.DisableProfile: self._whole(held.disable_profile),
            profiles.PauseAgent: self._whole(held.pause_agent),
            profiles.ResumeAgent: self._whole(held.resume_agent),
            profiles.LimitAgent: self._whole(held.limit_agent),
            profiles.ResetRunners: self._whole(held.reset_runners),
        }
        self.queries: QueryHandlers = {
            profiles.ListProfiles: self.list_profiles,
            profiles.GetProfile: self.get_profile,
            profiles.GetDefaultProfile: self.get_default_profile,
            profiles.ListRunners: self.list_runners,
        }

    async def open(self) -> None:
        """Take up what is written in files and rows, and what operators ordered. Broken ones keep nobody from starting.

        Raises StoreError.
        """
        await self._known.open()

    @property
    def default_agent(self) -> AgentName:
        """The one that answers where none is named."""
        return self._known.default_agent

    def names(self) -> list[AgentName]:
        """All agents, also disabled and broken ones, sorted."""
        return self._known.names()

    def has(self, name: str) -> bool:
        """Whether there is such an agent, also a disabled or broken one. Cheaper than names()."""
        return self._known.has(name)

    def find(self, name: str) -> AgentSettings | None:
        """The settings of an agent, whether it is enabled or not; None when there is none, or it is broken."""
        return self._known.find(name)

    def get(self, name: str) -> AgentSettings:
        """The settings of an agent that takes work. Raises NotFound, Refused (rule profile or disabled)."""
        return self._known.get(name)

    def refusal(self, name: str) -> str:
        """Why an agent takes no work, in a line; "" when it does."""
        try:
            self._known.get(name)
        except HermesError as error:
            return error.message
        return ""

    def waits_for(self, name: AgentName, reason: WaitReason) -> str:
        """Why a run of an agent has no slot, in words: who holds the agent, and what they said about it."""
        if problem := self._known.problem(name):
            return f"agent {name} cannot be used: {problem}"
        state = HELD.get(reason)
        if state is None or not self._pool.has(name):
            return waits_for(name, reason)
        hold = self._known.hold(name)
        why = reason_of(state, hold, self._pool.load(name).failure_count)
        return waits_for(name, reason, by=hold.by, why=why)

    def view(self, name: AgentName) -> ProfileView:
        """An agent as it stands. Raises NotFound."""
        return self._known.view(name)

    def publish_changed(self) -> None:
        """Tell of agents whose admission came into another state by itself. Quick when there are none."""
        for name in self._pool.take_changed():
            if self._known.has(name):
                view = self._known.view(name)
                self._journal.publish(name, PoolChanged(profile=view, reason=view.pool.reason if view.pool else ""))

    async def list_profiles(self, _query: profiles.ListProfiles) -> ProfileList:
        """All agents by name."""
        seq = await self._known.head()
        return ProfileList(profiles=tuple(self._known.view(name) for name in self._known.names()), seq=seq)

    async def get_profile(self, query: profiles.GetProfile) -> ProfileView:
        """One agent. Raises NotFound."""
        return self._known.view(query.name)

    async def get_default_profile(self, query: profiles.GetDefaultProfile) -> ProfileDefaults:
        """What an agent of that name would be. Raises InvalidInput."""
        return ProfileDefaults(name=query.name, settings=default_values(query.name, query.runner))

    async def list_runners(self, query: profiles.ListRunners) -> RunnerList:
        """Live runners, the busy ones first. Raises InvalidInput."""
        if not 1 <= query.limit <= LIST_LIMIT:
            what = f"the limit is {query.limit}"
            raise InvalidInput(what, field="limit", value=query.limit, fix=f"use 1 to {LIST_LIMIT}")
        seq = await self._known.head()
        return RunnerList(runners=tuple(self._runners.views(query.agent, query.limit)), seq=seq)

    def _whole(self, order: Callable[[C, Actor], Coroutine[Any, Any, V]]) -> Callable[[C, Actor], Awaitable[V]]:
        """The order, one after the other and each to its end: what is stored is done, whoever waits for it."""

        async def alone(command: C, actor: Actor) -> V:
            async with self._lock:
                return await order(command, actor)

        async def whole(command: C, actor: Actor) -> V:
            name = f"agents:{type(command).__name__}"
            receipt: V = await asyncio.shield(self._supervisor.spawn(name, alone(command, actor)))
            return receipt

        return whole
