"""What acts on senders and invitations do: dialog, command, receipt."""

from collections.abc import Callable

from console import text
from console.access_receipts import invited, sender_decided
from console.act_group import Act, ActGroup, GroupHost
from console.action import Action
from console.target import Target
from core.api.base import PlatformName
from core.api.pairings import (
    ApprovePairing,
    BlockSender,
    CreateInvite,
    DenyPairing,
    InviteId,
    InviteState,
    PairingState,
    PairingView,
    RevokePairing,
    UnblockSender,
    VoidInvite,
)

_HELD_BACK_LIMIT = 200


class PairingActs(ActGroup[GroupHost]):
    """One method for each act. Every command names the identity and the version that was looked at."""

    def acts(self) -> dict[str, Act]:
        """What carries out which action."""
        return {
            "pairing.approve": self._approve,
            "pairing.deny": self._deny,
            "pairing.revoke": self._revoke,
            "pairing.block": self._block,
            "pairing.unblock": self._unblock,
            "invite.create": self._invite,
            "invite.void": self._void,
        }

    def reasons(self) -> dict[str, Callable[[Target], str]]:
        """Why an action can do nothing; "" when it can."""
        return {
            "pairing.approve": self._cannot_approve,
            "pairing.deny": lambda target: self._unless(target, PairingState.ASKED, "nobody asks here"),
            "pairing.revoke": lambda target: self._unless(target, PairingState.APPROVED, "no access was given here"),
            "pairing.block": self._cannot_block,
            "pairing.unblock": self._cannot_unblock,
            "pairing.why": lambda target: "" if self._view(target) is not None else "no sender is under the cursor",
            "invite.create": lambda _: self._problem(),
            "invite.void": self._cannot_void,
        }

    def _view(self, target: Target) -> PairingView | None:
        return self._host.mirror.work.gateway.pairings.get(target.pairing_id)

    def _problem(self) -> str:
        problem = self._host.mirror.work.gateway.pairing_problem
        return f"nothing can be changed: {text.clean(problem)}" if problem else ""

    def _unless(self, target: Target, state: PairingState, words: str) -> str:
        view = self._view(target)
        return self._problem() or ("" if view is not None and view.state is state else words)

    def _cannot_approve(self, target: Target) -> str:
        view = self._view(target)
        if view is None:
            return "no sender is under the cursor"
        return self._problem() or ("has access already" if view.state is PairingState.APPROVED else "")

    def _cannot_block(self, target: Target) -> str:
        view = self._view(target)
        if view is None:
            return "no sender is under the cursor"
        return self._problem() or ("is blocked already" if view.state is PairingState.BLOCKED else "")

    def _cannot_unblock(self, target: Target) -> str:
        view = self._view(target)
        if view is None:
            return "no sender is under the cursor"
        is_locked = view.locked_until is not None and self._age(view.locked_until) < 0
        is_barred = is_locked or view.state is PairingState.BLOCKED
        return self._problem() or ("" if is_barred else "neither blocked nor locked out")

    def _cannot_void(self, target: Target) -> str:
        invite = self._host.mirror.work.gateway.invites.get(target.invite_id)
        if invite is None:
            return "no invitation is under the cursor"
        return self._problem() or ("" if invite.state is InviteState.OPEN else f"it is {invite.state.value}")

    def _lines(self, view: PairingView, what_happens: str) -> list[tuple[str, str]]:
        name = text.clean(view.sender_name)
        lines = [
            (f"{text.clean(view.platform)}   id {text.clean(view.sender_id)}", "strong"),
            (f'calls itself "{name}"' if name else "gives itself no name", "plain"),
            *((f"! {text.clean(words)}", "failing") for words in view.warnings),
            (what_happens, "plain"),
        ]
        if view.first_text:
            held_back = text.cut(text.clean(view.first_text), _HELD_BACK_LIMIT)
            lines.append((f"held back: {held_back}", "quiet"))
        return lines

    # -- senders -------------------------------------------------------------

    async def _approve(self, target: Target, _action: Action) -> None:
        from console.screens.pairing_forms import SenderScreen

        view = self._view(target)
        if view is None:
            return
        screen = SenderScreen(
            f"let {text.clean(view.sender_id)} in?",
            self._lines(view, "access counts from the very next message on; the sender is told"),
            verb="let in",
            also="give the agent the message that was held back" if view.first_text else "",
            asks_reason=False,
            # Somebody who passes for another one is let in by the id and not by the name.
            typed=text.clean(view.sender_id) if view.warnings else "",
        )
        choice = await self._host.ask(screen)
        if choice is not None:
            command = ApprovePairing(pairing_id=view.id, version=view.version, replays=choice.also)
            await self._host.order(command, sender_decided)

    async def _deny(self, target: Target, _action: Action) -> None:
        from console.screens.pairing_forms import SenderScreen

        view = self._view(target)
        if view is None:
            return
        screen = SenderScreen(
            f"turn {text.clean(view.sender_id)} down?",
            self._lines(view, "the sender is told, and may ask again later"),
            verb="turn down",
            reason_hint="told to the sender, kept in the journal",
        )
        choice = await self._host.ask(screen)
        if choice is not None:
            command = DenyPairing(pairing_id=view.id, version=view.version, reason=choice.reason)
            await self._host.order(command, sender_decided)

    async def _revoke(self, target: Target, action: Action) -> None:
        from console.screens.pairing_forms import SenderScreen

        view = self._view(target)
        if view is None:
            return
        screen = SenderScreen(
            f"take access of {text.clean(view.sender_id)} back?",
            [*self._lines(view, "effective for the very next message"), (f"lost: {action.loses}", "needs")],
            verb="take back",
            also="also stop what runs for this sender",
            typed=text.clean(view.sender_id),
        )
        choice = await self._host.ask(screen)
        if choice is not None:
            command = RevokePairing(
                pairing_id=view.id, version=view.version, stops_runs=choice.also, reason=choice.reason
            )
            await self._host.order(command, sender_decided)

    async def _block(self, target: Target, action: Action) -> None:
        from console.screens.pairing_forms import SenderScreen

        view = self._view(target)
        if view is None:
            return
        screen = SenderScreen(
            f"block {text.clean(view.sender_id)}?",
            [*self._lines(view, "every message is ignored, and none is answered"), (f"lost: {action.loses}", "needs")],
            verb="block",
            also="also stop what runs for this sender",
            typed=text.clean(view.sender_id),
        )
        choice = await self._host.ask(screen)
        if choice is not None:
            command = BlockSender(
                platform=view.platform, sender_id=view.sender_id, stops_runs=choice.also, reason=choice.reason
            )
            await self._host.order(command, sender_decided)

    async def _unblock(self, target: Target, _action: Action) -> None:
        view = self._view(target)
        if view is not None:
            await self._host.order(UnblockSender(pairing_id=view.id), sender_decided)

    # -- invitations -----------------------------------------------------------

    async def _invite(self, _target: Target, _action: Action) -> None:
        from console.screens.pairing_forms import CodeScreen, InviteScreen

        choice = await self._host.ask(InviteScreen(sorted(map(str, self._host.mirror.platforms))))
        if choice is None:
            return
        platform = PlatformName(choice.platform) if choice.platform else None
        command = CreateInvite(platform=platform, ttl_s=choice.ttl_s, note=choice.note)
        receipt = await self._host.order(command, lambda made: invited(made.invite))
        if receipt is not None:
            where = choice.platform or "any connection"
            await self._host.ask(CodeScreen(receipt.code, where, round(choice.ttl_s / 60)))

    async def _void(self, target: Target, action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        invite = self._host.mirror.work.gateway.invites.get(target.invite_id)
        if invite is None:
            return
        lines = [f"made by {text.clean(invite.created_by)} for {text.clean(invite.note) or 'nobody in particular'}"]
        if await self._host.ask(ConfirmScreen("void this invitation?", lines, loses=[action.loses], verb="void")):
            await self._host.order(VoidInvite(invite_id=InviteId(target.invite_id)), invited)
