"""What acts on decisions and standing permissions do: dialog, command, receipt; and who has seen what.

The dialogs are loaded where they are shown: the first frame need not wait for them.
"""

from collections.abc import Callable
from typing import Protocol

from console import text
from console.act_group import Act, ActGroup, GroupHost
from console.action import Action
from console.approval_receipts import asked_again, decided, denied_many, nothing_said, revoked
from console.target import Target
from core.api.approvals import (
    AnswerApproval,
    ApprovalState,
    ApprovalView,
    DenyApprovals,
    NoteApproval,
    ReaskApproval,
    RevokeGrant,
)
from core.api.base import ApprovalId, GrantId

_LISTED = 6
_NOTED_LIMIT = 5_000
_SHOWING = frozenset({"overview", "approvals"})
_SHOWN_LIMIT = 20


class Asking(Protocol):
    """The dialog of a decision, as far as it is told what happens meanwhile."""

    def show(self, approval: ApprovalView) -> None:
        """Show what is so now."""
        ...

    def go_dead(self, reason: str) -> None:
        """Nothing can be decided any more."""
        ...


class ApprovalActs(ActGroup[GroupHost]):
    """One method for each act. surface: by which name this screen tells the core what it has shown."""

    def __init__(self, host: GroupHost, *, surface: str) -> None:
        super().__init__(host)
        self._surface = surface
        self._asking: tuple[str, Asking] | None = None
        self._noted: dict[tuple[str, bool], None] = {}

    def acts(self) -> dict[str, Act]:
        """What carries out which action."""
        return {
            "approval.answer": self._answer,
            "approval.deny_all": self._deny_all,
            "approval.reask": self._reask,
            "approval.note": self._note,
            "grant.revoke": self._revoke,
        }

    def reasons(self) -> dict[str, Callable[[Target], str]]:
        """Why an action can do nothing; "" when it can."""
        return {
            "approval.answer": self._not_open,
            "approval.deny_all": lambda target: "" if self._meant(target) else "nothing that is open is marked",
            "approval.reask": self._not_orphaned,
            "approval.note": self._not_open,
            "grant.revoke": lambda target: "" if self._grant(target) else "no permission is under the cursor",
        }

    def _approval(self, target: Target) -> ApprovalView | None:
        return self._host.mirror.approvals.get(target.approval_id)

    def _grant(self, target: Target) -> bool:
        return target.grant_id in self._host.mirror.work.grants

    def _not_open(self, target: Target) -> str:
        approval = self._approval(target)
        if approval is None:
            return "nothing waits for a decision here"
        if approval.state is ApprovalState.ORPHANED:
            return "the core that asked was stopped: R asks again"
        return "" if approval.state is ApprovalState.OPEN else f"{approval.state.value} already"

    def _not_orphaned(self, target: Target) -> str:
        approval = self._approval(target)
        if approval is None or approval.state is not ApprovalState.ORPHANED:
            return "only what a restart has orphaned can be asked again"
        return "it was asked again already" if approval.replaced_by else ""

    # -- one decision --------------------------------------------------------

    async def _answer(self, target: Target, _action: Action) -> None:
        from console.widgets.confirm import ApprovalScreen

        approval = self._approval(target)
        if approval is None:
            self._host.say("that decision is not known any more", "needs")
            return
        screen = ApprovalScreen(approval, monotonic=self._host.now, age_s=self._age, facts=self._facts(approval))
        self._asking = (str(approval.id), screen)
        self.saw(approval, is_seen=True)
        try:
            choice = await self._host.ask(screen)
        finally:
            self._asking = None
        if choice is not None:
            command = AnswerApproval(
                approval_id=ApprovalId(target.approval_id),
                allow=choice.allow,
                option_id=choice.option_id,
                reason=choice.reason,
                digest=choice.digest,
                scope=choice.scope,
                pattern=choice.pattern,
                answer=choice.answer,
            )
            await self._host.order(command, decided)

    def _facts(self, approval: ApprovalView) -> list[str]:
        behind = self._host.mirror.queue_of(approval.session_id)
        return [f"behind it: {text.counted(behind, 'queued message')}"] if behind else []

    def note_shown(self, place: str) -> None:
        """Tell the core what this page shows, where it shows decisions at all."""
        if place in _SHOWING:
            for approval in self._host.mirror.open_approvals[:_SHOWN_LIMIT]:
                self.saw(approval, is_seen=False)

    def follow(self, changed: set[str]) -> None:
        """The approval in an open dialog changed: show it, or say who was first."""
        if self._asking is None or self._asking[0] not in changed:
            return
        key, screen = self._asking
        approval = self._host.mirror.approvals.get(key)
        if approval is None:
            screen.go_dead("it is not known any more")
        else:
            screen.show(approval)

    # -- what was shown ------------------------------------------------------

    def saw(self, approval: ApprovalView, *, is_seen: bool) -> None:
        """Tell the core, once, that this screen shows an approval, or that somebody looked at it here."""
        key = (str(approval.id), is_seen)
        if key in self._noted or approval.state is not ApprovalState.OPEN:
            return
        self._noted[key] = None
        if len(self._noted) > _NOTED_LIMIT:
            del self._noted[next(iter(self._noted))]
        command = NoteApproval(approval_id=approval.id, surface=self._surface, is_seen=is_seen)
        self._host.tell(command)

    async def _note(self, target: Target, _action: Action) -> None:
        command = NoteApproval(approval_id=ApprovalId(target.approval_id), surface=self._surface, is_seen=True)
        await self._host.order(command, nothing_said)

    # -- several, orphaned, standing -----------------------------------------

    def _meant(self, target: Target) -> list[ApprovalView]:
        ids = target.approval_ids or ((target.approval_id,) if target.approval_id else ())
        found = [self._host.mirror.approvals.get(item) for item in ids]
        return [view for view in found if view is not None and view.state is ApprovalState.OPEN]

    async def _deny_all(self, target: Target, _action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        meant = self._meant(target)
        if not meant:
            return
        lines = [f"- {text.clipped(text.clean(view.title), 60)}" for view in meant[:_LISTED]]
        if len(meant) > _LISTED:
            lines.append(f"and {len(meant) - _LISTED} more")
        lines.append("each agent is told no, with the reason; there is no such yes")
        screen = ConfirmScreen(f"deny {text.counted(len(meant), 'request')}?", lines, ask_reason=True, verb="deny")
        if await self._host.ask(screen):
            command = DenyApprovals(approval_ids=tuple(view.id for view in meant), reason=screen.reason)
            await self._host.order(command, denied_many)

    async def _reask(self, target: Target, _action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        approval = self._approval(target)
        if approval is None:
            return
        lines = [
            "the core was started again while this was open; nothing was decided and nothing was run",
            "its session goes on with a note, and the agent asks under a new id if it still wants to",
        ]
        if await self._host.ask(ConfirmScreen("ask again?", lines, verb="ask again")):
            await self._host.order(ReaskApproval(approval_id=approval.id), asked_again)

    async def _revoke(self, target: Target, action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        grant = self._host.mirror.work.grants.get(target.grant_id)
        if grant is None:
            return
        used = f"used {text.counted(grant.used_count, 'time')}"
        lines = [
            f"{text.clean(grant.agent)} {'may' if grant.allow else 'may not'} {text.clean(grant.pattern)}   {used}"
        ]
        if await self._host.ask(ConfirmScreen("revoke?", lines, loses=[action.loses], verb="revoke")):
            await self._host.order(RevokeGrant(grant_id=GrantId(target.grant_id)), revoked)
