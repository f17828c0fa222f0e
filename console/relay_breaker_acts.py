"""What acts on the breakers of the relay do: a menu, and for each order what it does to whom before it happens."""

from collections.abc import Callable

from console import outbox_receipts, text
from console.act_group import Act, ActGroup, GroupHost
from console.action import Action
from console.actions import find_action
from console.relay_facts import host_of, is_stopped, target_facts
from console.target import Target
from core.api.breakers import (
    BreakerMode,
    BreakerState,
    DisableBreaker,
    HoldBreakerOpen,
    ProbeBreaker,
    ReleaseBreaker,
    ResetBreaker,
)
from core.api.relay_targets import RELAY, TargetView

_MENU = (
    ("breaker.probe", "probe now: the next message goes through as a try"),
    ("breaker.hold", "hold open: nothing is sent until somebody releases it"),
    ("breaker.release", "release: it is closed and decides by itself again"),
    ("breaker.reset", "reset: close it as if nothing had failed"),
    ("breaker.disable", "disable: let everything through, whatever fails"),
)
_MENU_FACTS = 4


class RelayBreakerActs(ActGroup[GroupHost]):
    """One method for each act. The breaker is that of the far side under the cursor at the moment of the key."""

    def acts(self) -> dict[str, Act]:
        """What carries out which action, on a far side of the relay."""
        return {
            "breaker.probe": self._probe,
            "breaker.hold": self._hold,
            "breaker.release": self._release,
            "breaker.reset": self._reset,
            "breaker.disable": self._disable,
        }

    def reasons(self) -> dict[str, Callable[[Target], str]]:
        """Why an action can do nothing; "" when it can."""
        return {
            "breaker.probe": self._cannot_probe,
            "breaker.hold": lambda target: self._mode_is(target, BreakerMode.HELD, "it is held already"),
            "breaker.release": self._cannot_release,
            "breaker.reset": self._nothing_to_reset,
            "breaker.disable": lambda target: self._mode_is(target, BreakerMode.DISABLED, "it is disabled already"),
        }

    def _view(self, target: Target) -> TargetView | None:
        return self._host.mirror.work.relay.targets.get(target.origin)

    def no_breaker(self, target: Target) -> str:
        """Why there is none."""
        return "" if self._view(target) else "nothing was sent to it yet: it has no breaker"

    def _mode_is(self, target: Target, mode: BreakerMode, words: str) -> str:
        view = self._view(target)
        return words if view is not None and view.breaker.mode is mode else self.no_breaker(target)

    def _cannot_probe(self, target: Target) -> str:
        view = self._view(target)
        if view is None:
            return self.no_breaker(target)
        if view.breaker.mode is BreakerMode.HELD:
            return "it is held: release or reset it"
        is_waiting = is_stopped(view, self._age)
        return "" if is_waiting else f"it is {view.breaker.state.value.replace('_', '-')}"

    def _cannot_release(self, target: Target) -> str:
        view = self._view(target)
        is_held = view is not None and view.breaker.mode is BreakerMode.HELD
        return "" if is_held else self.no_breaker(target) or "nobody holds it"

    def _nothing_to_reset(self, target: Target) -> str:
        view = self._view(target)
        if view is None:
            return self.no_breaker(target)
        breaker = view.breaker
        is_well = breaker.state is BreakerState.CLOSED and breaker.mode is BreakerMode.AUTOMATIC
        return "its breaker is closed" if is_well and not breaker.failures else ""

    # -- acts

    async def menu(self, target: Target, _action: Action) -> None:
        """Show what can be done, then do what is chosen; each asks by itself."""
        from console.screens.relay_dialogs import BreakerMenu

        view = self._view(target)
        if view is None:
            return
        reasons = self.reasons()
        offered = [(action_id, words) for action_id, words in _MENU if not reasons[action_id](target)]
        facts = [
            (f"{label:9} {words}", tone)
            for label, words, tone in target_facts(view, self._age, clock=lambda mark: text.clock_time(mark.at))
        ]
        screen = BreakerMenu(f"breaker of {_names(view)}", facts[:_MENU_FACTS], [words for _, words in offered])
        choice = await self._host.ask(screen)
        if choice is None:
            return
        action = find_action(offered[choice][0])
        if action is None:
            return
        # What was offered may have been done by somebody else meanwhile.
        if why := reasons[action.id](target):
            self._host.say(f"nothing done: {why}", "needs")
        else:
            await self.acts()[action.id](target, action)

    async def _probe(self, target: Target, _action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        view = self._view(target)
        if view is None:
            return
        lines = [
            f"the next message goes to {_names(view)} now, as one try: if it fails the breaker opens for longer",
            f"{text.counted(view.waiting, 'message')} wait there",
        ]
        if await self._host.ask(ConfirmScreen(f"probe {_short(view)} now?", lines, verb="probe")):
            await self._host.order(ProbeBreaker(owner=RELAY, name=view.origin), outbox_receipts.breaker_is)

    async def _hold(self, target: Target, _action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        view = self._view(target)
        if view is None:
            return
        lines = [
            f"nothing is sent to {_names(view)} until somebody releases it, over restarts too",
            f"{text.counted(view.waiting, 'message')} wait there now; new ones wait with them, and none is lost",
        ]
        screen = ConfirmScreen(f"hold {_short(view)}?", lines, ask_reason=True, verb="hold")
        if await self._host.ask(screen):
            command = HoldBreakerOpen(owner=RELAY, name=view.origin, reason=screen.reason)
            await self._host.order(command, outbox_receipts.breaker_is)

    async def _release(self, target: Target, _action: Action) -> None:
        view = self._view(target)
        if view is not None:
            await self._host.order(ReleaseBreaker(owner=RELAY, name=view.origin), outbox_receipts.breaker_is)

    async def _reset(self, target: Target, action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        view = self._view(target)
        if view is None:
            return
        last = text.redact(text.clean(view.breaker.last_error or view.last_error)) or "none"
        lines = [
            f"the breaker of {_names(view)} is closed, whatever failed; last error: {last}",
            f"{text.counted(view.waiting, 'message')} that wait are tried at once",
        ]
        screen = ConfirmScreen(
            f"reset {_short(view)}?",
            lines,
            loses=[action.loses],
            typed=host_of(view.origin),
            ask_reason=True,
            verb="reset",
        )
        if await self._host.ask(screen):
            command = ResetBreaker(owner=RELAY, name=view.origin, reason=screen.reason)
            await self._host.order(command, outbox_receipts.breaker_is)

    async def _disable(self, target: Target, action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        view = self._view(target)
        if view is None:
            return
        lines = [
            f"everything goes through to {_names(view)}, whatever fails, until somebody resets it",
            f"{text.counted(view.waiting, 'message')} that wait are tried at once",
        ]
        screen = ConfirmScreen(
            f"disable {_short(view)}?",
            lines,
            loses=[action.loses],
            typed=host_of(view.origin),
            ask_reason=True,
            verb="disable",
        )
        if await self._host.ask(screen):
            command = DisableBreaker(owner=RELAY, name=view.origin, reason=screen.reason)
            await self._host.order(command, outbox_receipts.breaker_is)


def _short(view: TargetView) -> str:
    """What it is called where somebody types it."""
    return text.cut(text.clean(view.bots[0]), 40) if view.bots else host_of(view.origin)


def _names(view: TargetView) -> str:
    names = text.cut(text.clean(", ".join(view.bots)), 60)
    return f"{names} at {host_of(view.origin)}" if names else host_of(view.origin)
