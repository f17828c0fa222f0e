"""What acts on outboxes, their breakers and the directory of chats do: dialog, command, receipt."""

from collections.abc import Callable

from console import outbox_receipts as receipts
from console import text
from console.act_group import Act, ActGroup, GroupHost
from console.action import Action
from console.target import Target
from core.api.base import PlatformName
from core.api.breakers import (
    BreakerMode,
    BreakerState,
    DisableBreaker,
    HoldBreakerOpen,
    ProbeBreaker,
    ReleaseBreaker,
    ResetBreaker,
)
from core.api.chats import RefreshChats
from core.api.deliveries import SendToTarget
from core.api.outboxes import LiftHold, OutboxState, OutboxView

_OWNER = "outbox"


class OutboxActs(ActGroup[GroupHost]):
    """One method for each act. Every command names what was under the cursor at the moment of the key."""

    def acts(self) -> dict[str, Act]:
        """What carries out which action."""
        return {
            "outbox.lift": self._lift,
            "breaker.reset": self._reset,
            "breaker.hold": self._hold,
            "breaker.release": self._release,
            "breaker.disable": self._disable,
            "breaker.probe": self._probe,
            "chats.refresh": self._refresh,
            "delivery.send": self._send,
        }

    def reasons(self) -> dict[str, Callable[[Target], str]]:
        """Why an action can do nothing; "" when it can."""
        return {
            "outbox.lift": self._of_outbox(_not_held),
            "breaker.reset": self._of_outbox(_nothing_to_reset),
            "breaker.hold": self._of_outbox(_cannot_hold),
            "breaker.release": self._of_outbox(_not_held_by_us),
            "breaker.disable": self._of_outbox(_cannot_disable),
            "breaker.probe": self._of_outbox(_cannot_probe),
        }

    def _outbox(self, target: Target) -> OutboxView | None:
        return self._host.mirror.work.outboxes.outboxes.get(target.platform)

    def _of_outbox(self, why_not: Callable[[OutboxView], str]) -> Callable[[Target], str]:
        def reason(target: Target) -> str:
            view = self._outbox(target)
            return "no outbox is under the cursor" if view is None else why_not(view)

        return reason

    async def _lift(self, target: Target, _action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        view = self._outbox(target)
        if view is None:
            self._host.say("that outbox is not there any more", "needs")
            return
        lines = [
            f"{text.clean(view.platform)} said: {text.clean(view.why)}",
            f"{view.waiting} messages wait",
            "who sends on regardless may be made to wait longer",
        ]
        if await self._host.ask(ConfirmScreen("send again now?", lines, verb="send")):
            await self._host.order(LiftHold(platform=PlatformName(target.platform)), receipts.lifted)

    async def _reset(self, target: Target, action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        view = self._outbox(target)
        last = "none" if view is None else text.clean(view.error) or "none"
        lines = [f"the breaker of {text.clean(target.platform)} is closed, whatever failed; last error: {last}"]
        screen = ConfirmScreen(
            "close this breaker?", lines, loses=[action.loses], typed=target.platform, ask_reason=True, verb="close"
        )
        if await self._host.ask(screen):
            command = ResetBreaker(owner=_OWNER, name=target.platform, reason=screen.reason)
            await self._host.order(command, receipts.breaker_is)

    async def _hold(self, target: Target, _action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        view = self._outbox(target)
        waiting = 0 if view is None else view.waiting
        lines = [
            f"nothing is sent over {text.clean(target.platform)} until somebody releases it",
            f"{waiting} messages wait there now; new ones wait with them, and none is lost",
        ]
        screen = ConfirmScreen("hold this account?", lines, ask_reason=True, verb="hold")
        if await self._host.ask(screen):
            command = HoldBreakerOpen(owner=_OWNER, name=target.platform, reason=screen.reason)
            await self._host.order(command, receipts.breaker_is)

    async def _release(self, target: Target, _action: Action) -> None:
        await self._host.order(ReleaseBreaker(owner=_OWNER, name=target.platform), receipts.breaker_is)

    async def _disable(self, target: Target, action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        view = self._outbox(target)
        waiting = 0 if view is None else view.waiting
        lines = [
            f"everything is sent over {text.clean(target.platform)}, whatever fails, until somebody closes its breaker",
            f"{waiting} messages wait there now",
        ]
        screen = ConfirmScreen(
            "switch this breaker off?",
            lines,
            loses=[action.loses],
            typed=target.platform,
            ask_reason=True,
            verb="switch off",
        )
        if await self._host.ask(screen):
            command = DisableBreaker(owner=_OWNER, name=target.platform, reason=screen.reason)
            await self._host.order(command, receipts.breaker_is)

    async def _probe(self, target: Target, _action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        view = self._outbox(target)
        if view is None:
            self._host.say("that outbox is not there any more", "needs")
            return
        lines = [
            f"the next message goes out over {text.clean(view.platform)} now, as one try",
            f"if it fails, it is left alone for longer; last error: {text.clean(view.error) or 'none'}",
        ]
        if await self._host.ask(ConfirmScreen("try this account now?", lines, verb="try")):
            await self._host.order(ProbeBreaker(owner=_OWNER, name=target.platform), receipts.breaker_is)

    async def _refresh(self, target: Target, _action: Action) -> None:
        platform = PlatformName(target.platform) if target.platform else None
        await self._host.order(RefreshChats(platform=platform), receipts.refreshed)

    async def _send(self, target: Target, _action: Action) -> None:
        from console.screens.send_form import SendScreen

        choice = await self._host.ask(SendScreen(target.platform))
        if choice is not None:
            command = SendToTarget(target=choice.target, text=choice.text)
            await self._host.order(command, receipts.on_its_way)


def _not_held(view: OutboxView) -> str:
    return "" if view.state is OutboxState.HELD else "nobody asked it to wait"


def _nothing_to_reset(view: OutboxView) -> str:
    is_well = view.breaker is BreakerState.CLOSED and view.breaker_mode is BreakerMode.AUTOMATIC
    return "its breaker is closed" if is_well else ""


def _cannot_hold(view: OutboxView) -> str:
    return "it is held already" if view.breaker_mode is BreakerMode.HELD else ""


def _not_held_by_us(view: OutboxView) -> str:
    return "" if view.breaker_mode is BreakerMode.HELD else "nobody holds it"


def _cannot_disable(view: OutboxView) -> str:
    return "it is off already" if view.breaker_mode is BreakerMode.DISABLED else ""


def _cannot_probe(view: OutboxView) -> str:
    if view.breaker_mode is BreakerMode.HELD:
        return "it is held: release it first"
    return "" if view.breaker is BreakerState.OPEN else "its breaker lets messages through"
