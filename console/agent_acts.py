"""What acts on agents and their runners do: dialog, command, receipt.

The dialogs are loaded where they are shown: the first frame need not wait for them.
"""

from collections.abc import Callable

from console import agent_receipts as receipts
from console import text
from console.act_group import Act, ActGroup, GroupHost
from console.action import Action
from console.agent_facts import pool_words
from console.target import Target
from core.api.base import AgentName, SessionId
from core.api.profiles import (
    CreateProfile,
    DeleteProfile,
    DisableProfile,
    EnableProfile,
    GetDefaultProfile,
    LimitAgent,
    PauseAgent,
    PoolState,
    ProfileOrigin,
    ProfileView,
    ResetRunners,
    ResumeAgent,
    SyncProfile,
    UpdateProfile,
)


class AgentActs(ActGroup[GroupHost]):
    """One method for each act. Every command names what was under the cursor at the moment of the key."""

    def acts(self) -> dict[str, Act]:
        """What carries out which action."""
        return {
            "agent.pause": self._pause,
            "agent.resume": self._pause,
            "agent.limit": self._limit,
            "agent.reset": self._reset,
            "agent.create": self._create,
            "agent.update": self._update,
            "agent.sync": self._sync,
            "agent.disable": self._disable,
            "agent.enable": self._disable,
            "agent.delete": self._delete,
        }

    def reasons(self) -> dict[str, Callable[[Target], str]]:
        """Why an action can do nothing; "" when it can."""
        return {
            "agent.pause": self._no_agent,
            "agent.resume": self._not_held,
            "agent.limit": self._no_agent,
            "agent.reset": self._no_agent,
            "agent.update": self._not_changeable,
            "agent.sync": self._no_agent,
            "agent.disable": self._no_agent,
            "agent.enable": lambda target: self._no_agent(target) or self._is_enabled(target),
            "agent.delete": self._not_removable,
        }

    def _view(self, target: Target) -> ProfileView | None:
        return self._host.mirror.work.profiles.get(target.agent)

    def _no_agent(self, target: Target) -> str:
        return "" if self._view(target) else "no agent is under the cursor"

    def _is_enabled(self, target: Target) -> str:
        view = self._view(target)
        return "it is enabled" if view is not None and view.is_enabled else ""

    def _not_held(self, target: Target) -> str:
        view = self._view(target)
        if view is None:
            return "no agent is under the cursor"
        held = view.pool is not None and view.pool.state in {PoolState.PAUSED, PoolState.DEGRADED, PoolState.PROBING}
        return "" if held else "nothing holds it back"

    def _not_changeable(self, target: Target) -> str:
        view = self._view(target)
        if view is None:
            return "no agent is under the cursor"
        return "it is written in config.yaml: change it there" if view.origin is ProfileOrigin.CONFIG else ""

    def _not_removable(self, target: Target) -> str:
        view = self._view(target)
        if view is None:
            return "no agent is under the cursor"
        if view.origin is ProfileOrigin.STORED:
            return ""
        where = "config.yaml" if view.origin is ProfileOrigin.CONFIG else text.clean(view.file)
        return f"it is written in {where}: remove it there"

    # -- work ----------------------------------------------------------------

    async def _pause(self, target: Target, _action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        view = self._view(target)
        if view is None:
            return
        now = pool_words(view, self._age)
        if view.pool is not None and view.pool.state in {PoolState.PAUSED, PoolState.DEGRADED}:
            lines = [f"now: {now}", "what waits may begin at once"]
            if await self._host.ask(ConfirmScreen(f"resume {text.clean(view.name)}?", lines, verb="resume")):
                await self._host.order(ResumeAgent(name=view.name), receipts.agent_words)
            return
        lines = [
            f"now: {now}",
            "no run begins until it goes on; those that run end as usual, what waits keeps its place",
        ]
        screen = ConfirmScreen(f"pause {text.clean(view.name)}?", lines, ask_reason=True, verb="pause")
        if await self._host.ask(screen):
            await self._host.order(PauseAgent(name=view.name, reason=screen.reason), receipts.agent_words)

    async def _limit(self, target: Target, _action: Action) -> None:
        from console.screens.agent_forms import LimitScreen

        view = self._view(target)
        if view is None:
            return
        limit = view.pool.limit if view.pool else view.limit
        found = await self._host.ask(LimitScreen(str(view.name), pool_words(view, self._age), limit))
        if found is not None:
            await self._host.order(LimitAgent(name=view.name, limit=found), receipts.agent_words)

    async def _reset(self, target: Target, _action: Action) -> None:
        from console.screens.agent_forms import ResetRunnersScreen

        view = self._view(target)
        if view is None:
            return
        whose = text.short_id(target.session_id, 40) if target.session_id else str(view.name)
        live = view.pool.runner_count if view.pool else 0
        lines = [
            "the next turn gets a new one from the profile as it is now; conversations stay",
            "" if target.session_id else f"{text.counted(live, 'runner')} live now",
        ]
        choice = await self._host.ask(ResetRunnersScreen(whose, [line for line in lines if line]))
        if choice is not None:
            command = ResetRunners(
                agent=view.name,
                session_id=SessionId(target.session_id) if target.session_id else None,
                is_hard=choice.is_hard,
                reason=choice.reason,
            )
            await self._host.order(command, receipts.reset_words)

    async def _disable(self, target: Target, _action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        view = self._view(target)
        if view is None:
            return
        if not view.is_enabled:
            await self._host.order(EnableProfile(name=view.name), receipts.agent_words)
            return
        lines = ["its runs end as usual, and no other begins", "messages for it are refused and the sender is told"]
        screen = ConfirmScreen(f"disable {text.clean(view.name)}?", lines, ask_reason=True, verb="disable")
        if await self._host.ask(screen):
            await self._host.order(DisableProfile(name=view.name, reason=screen.reason), receipts.agent_words)

    # -- profiles ------------------------------------------------------------

    async def _create(self, _target: Target, _action: Action) -> None:
        from console.screens.agent_forms import SettingsScreen

        defaults = await self._host.question(GetDefaultProfile(name=AgentName("new")))
        if defaults is None:
            return
        notes = ["runner is one of scripted, openai, acp, hermes_runs, claude_cli; others have other keys"]
        choice = await self._host.ask(SettingsScreen("", defaults.settings, notes=notes))
        if choice is not None:
            command = CreateProfile(name=AgentName(choice.name), settings=choice.settings)
            await self._host.order(command, receipts.kept_words)

    async def _update(self, target: Target, _action: Action) -> None:
        from console.screens.agent_forms import SettingsScreen

        view = self._view(target)
        if view is None:
            return
        notes = ["runs that go on keep what they have; each runner is replaced before its next turn"]
        choice = await self._host.ask(SettingsScreen(str(view.name), view.settings, notes=notes))
        if choice is None:
            return
        if not choice.settings:
            self._host.say("nothing was changed", "needs")
            return
        command = UpdateProfile(name=view.name, settings=choice.settings, version=view.version)
        await self._host.order(command, receipts.kept_words)

    async def _sync(self, target: Target, _action: Action) -> None:
        view = self._view(target)
        if view is not None:
            await self._host.order(SyncProfile(name=view.name), receipts.kept_words)

    async def _delete(self, target: Target, action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        view = self._view(target)
        if view is None:
            return
        name = str(view.name)
        lines = [f"now: {pool_words(view, self._age)}"]
        screen = ConfirmScreen(f"remove {text.clean(name)}?", lines, loses=[action.loses], typed=name, verb="remove")
        if await self._host.ask(screen):
            await self._host.order(DeleteProfile(name=view.name), receipts.removed_words)
