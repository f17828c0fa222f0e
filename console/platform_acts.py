"""What acts on connections do: dialog, command, receipt."""

from collections.abc import Callable

from console import platform_receipts as receipts
from console import text
from console.act_group import Act, ActGroup, GroupHost
from console.action import Action
from console.platform_facts import error_words
from console.target import Target
from core.api.platforms import (
    PausePlatform,
    PlatformState,
    PlatformView,
    ProbePlatform,
    ReconnectPlatform,
    ResumePlatform,
)

_NONE = "nothing is under the cursor"


class PlatformActs(ActGroup[GroupHost]):
    """One method for each act. Every command names what was under the cursor at the moment of the key."""

    def acts(self) -> dict[str, Act]:
        """What carries out which action."""
        return {
            "platform.pause": self._pause,
            "platform.resume": self._pause,
            "platform.reconnect": self._reconnect,
            "platform.probe": self._probe,
        }

    def reasons(self) -> dict[str, Callable[[Target], str]]:
        """Why an action can do nothing; "" when it can."""
        return {
            "platform.pause": self._is_off,
            "platform.resume": self._not_paused,
            "platform.reconnect": self._not_connectable,
            "platform.probe": self._not_askable,
        }

    def _view(self, target: Target) -> PlatformView | None:
        return self._host.mirror.platforms.get(target.platform)

    def _is_off(self, target: Target) -> str:
        view = self._view(target)
        if view is None:
            return _NONE
        return "it is off" if view.state is PlatformState.OFF else ""

    def _not_paused(self, target: Target) -> str:
        view = self._view(target)
        if view is None:
            return _NONE
        return "" if view.state is PlatformState.PAUSED else "it is not paused"

    def _not_connectable(self, target: Target) -> str:
        view = self._view(target)
        if view is not None and view.state is PlatformState.PAUSED:
            return "it is paused"
        return self._is_off(target)

    def _not_askable(self, target: Target) -> str:
        view = self._view(target)
        if view is None:
            return _NONE
        return "" if view.can_probe else "it cannot be asked"

    async def _pause(self, target: Target, _action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        view = self._view(target)
        if view is None:
            self._host.say("that connection is not there any more", "needs")
            return
        name = text.clean(view.name)
        waiting = self._host.mirror.work.outboxes.waiting_on(view)
        if view.state is PlatformState.PAUSED:
            lines = [error_words(view), f"{text.counted(waiting, 'message')} waiting to be sent go out at once"]
            if await self._host.ask(ConfirmScreen(f"resume {name}?", lines, verb="resume")):
                await self._host.order(ResumePlatform(platform=view.name), receipts.resumed)
            return
        lines = [
            "nothing is taken in and nothing sent until somebody resumes it, over restarts too",
            f"what is to be sent waits, now {text.counted(waiting, 'message')}; other connections go on",
        ]
        screen = ConfirmScreen(f"pause {name}?", lines, ask_reason=True, verb="pause")
        if await self._host.ask(screen):
            await self._host.order(PausePlatform(platform=view.name, reason=screen.reason), receipts.paused)

    async def _reconnect(self, target: Target, _action: Action) -> None:
        view = self._view(target)
        if view is not None:
            await self._host.order(ReconnectPlatform(platform=view.name), receipts.reconnecting)

    async def _probe(self, target: Target, _action: Action) -> None:
        view = self._view(target)
        if view is not None:
            self._host.say(f"asking {text.clean(view.name)}")
            await self._host.order(ProbePlatform(platform=view.name), receipts.probed)
