"""What acts on mailboxes and messages do: dialog, dry run where many are meant, command, receipt.

The dialogs are loaded where they are shown: the first frame need not wait for them.
"""

import secrets
from collections.abc import Callable

import msgspec

from console import mail_receipts as receipts
from console import text
from console.act_group import Act, ActGroup, GroupHost
from console.action import Action
from console.mail_scopes import MailScope
from console.mailbox_rows import depth_of
from console.mailbox_words import standing
from console.target import Target
from core.api.base import Command, MailboxName
from core.api.mail import BulkReceipt, PostMail, PurgeMailbox, RedriveMail
from core.api.mailboxes import (
    CreateMailbox,
    DeleteMailbox,
    MailboxPolicy,
    MailboxState,
    MailboxView,
    PauseMailbox,
    ResumeMailbox,
    SetMailboxPolicy,
)

_LISTED = 8


class MailActs(ActGroup[GroupHost]):
    """One method for each act. Every command names the mailbox and the messages of the moment of the key."""

    def acts(self) -> dict[str, Act]:
        """What carries out which action."""
        return {
            "mailbox.pause": self._pause,
            "mailbox.resume": self._pause,
            "mail.post": self._post,
            "mail.redrive": self._redrive,
            "mail.purge": self._purge,
            "mailbox.create": self._create,
            "mailbox.policy": self._policy,
            "mailbox.delete": self._delete,
        }

    def reasons(self) -> dict[str, Callable[[Target], str]]:
        """Why an action can do nothing; "" when it can."""
        return {
            "mailbox.pause": self._no_mailbox,
            "mailbox.resume": self._not_paused,
            "mail.post": self._no_mailbox,
            "mail.redrive": self._no_dead,
            "mail.purge": lambda target: "" if target.scopes else "no message is under the cursor",
            "mailbox.policy": self._no_mailbox,
            "mailbox.delete": self._not_empty,
        }

    def _view(self, target: Target) -> MailboxView | None:
        return self._host.mirror.mail.views.get(target.mailbox)

    def _no_mailbox(self, target: Target) -> str:
        return "" if self._view(target) else "no mailbox is under the cursor"

    def _not_paused(self, target: Target) -> str:
        view = self._view(target)
        if view is None:
            return "no mailbox is under the cursor"
        return "" if view.state is MailboxState.PAUSED else "it is not paused"

    def _no_dead(self, target: Target) -> str:
        if not any(scope.dead for scope in target.scopes):
            return "no dead letter is under the cursor"
        view = self._view(target)
        is_empty = view is not None and not view.tally.dead and not self._host.mirror.mail.total.dead
        return "no letter is dead" if is_empty else ""

    def _not_empty(self, target: Target) -> str:
        view = self._view(target)
        if view is None:
            return "no mailbox is under the cursor"
        held = depth_of(view) + view.tally.dead
        return f"it holds {receipts.messages(held)}: drop or send them first" if held else ""

    # -- the mailbox ---------------------------------------------------------

    async def _pause(self, target: Target, _action: Action) -> None:
        from console.screens.mail_forms import PauseScreen
        from console.widgets.confirm import ConfirmScreen

        view = self._view(target)
        if view is None:
            return
        words, _ = standing(view, self._age)
        if view.state is MailboxState.PAUSED:
            waiting = receipts.messages(view.tally.queued)
            lines = [words, f"{waiting} can go out at once"]
            if await self._host.ask(ConfirmScreen(f"resume {text.clean(view.name)}?", lines, verb="resume")):
                await self._host.order(ResumeMailbox(mailbox=view.name), receipts.standing_words)
            return
        lines = [f"now: {words}", "it gives nothing out until it goes on; what is in flight goes on"]
        choice = await self._host.ask(PauseScreen(f"pause {text.clean(view.name)}?", lines))
        if choice is not None:
            command = PauseMailbox(mailbox=view.name, reason=choice.reason, for_s=choice.for_s)
            await self._host.order(command, receipts.standing_words)

    async def _create(self, _target: Target, _action: Action) -> None:
        from console.screens.mail_policy_form import PolicyScreen

        choice = await self._host.ask(PolicyScreen("", MailboxPolicy()))
        if choice is not None:
            await self._host.order(CreateMailbox(mailbox=MailboxName(choice.name), policy=choice.policy), receipts.made)

    async def _policy(self, target: Target, _action: Action) -> None:
        from console.screens.mail_policy_form import PolicyScreen

        view = self._view(target)
        if view is None:
            return
        choice = await self._host.ask(PolicyScreen(str(view.name), view.policy))
        if choice is not None:
            await self._host.order(SetMailboxPolicy(mailbox=view.name, policy=choice.policy), receipts.ruled)

    async def _delete(self, target: Target, action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        view = self._view(target)
        if view is None:
            return
        name = str(view.name)
        lines = ["it is empty now; the core refuses when that is not so any more"]
        screen = ConfirmScreen(f"remove {text.clean(name)}?", lines, loses=[action.loses], typed=name, verb="remove")
        if await self._host.ask(screen):
            await self._host.order(DeleteMailbox(mailbox=view.name), lambda receipt: receipts.removed(receipt, name))

    # -- messages ------------------------------------------------------------

    async def _post(self, target: Target, _action: Action) -> None:
        from console.screens.mail_forms import PostScreen

        view = self._view(target)
        if view is None:
            return
        words, tone = standing(view, self._age)
        choice = await self._host.ask(PostScreen(str(view.name), (words, tone)))
        if choice is None:
            return
        command = PostMail(
            mailbox=view.name,
            payload=choice.payload,
            message_type=choice.message_type,
            priority=choice.priority,
            key=f"console-{secrets.token_hex(8)}",
            correlation=choice.correlation,
            delay_s=choice.delay_s,
        )
        await self._host.order(command, receipts.posted)

    async def _redrive(self, target: Target, _action: Action) -> None:
        from console.screens.mail_forms import ScopeScreen
        from console.widgets.confirm import ConfirmScreen

        scopes = [scope for scope in target.scopes if scope.dead]
        choice = await self._host.ask(ScopeScreen("send dead letters again", scopes, asks_target=True))
        if choice is None:
            return
        scope = choice.scope
        command = RedriveMail(
            mailbox=scope.mailbox,
            where=scope.where,
            target=choice.target,
            limit=scope.limit,
            dry_run=True,
            reason=choice.reason,
        )
        counted = await self._counted(command, "sent again")
        if counted is None:
            return
        # A dry run counts all that fit, also where only the oldest of them are meant.
        count = min(counted.matched, scope.limit or counted.matched)
        where = f"all go to {text.clean(choice.target)}" if choice.target else "each goes back to where it died"
        lines = [*_tally_lines(scope, counted), where]
        if count < counted.matched:
            lines.insert(
                1, f"{text.count(counted.matched)} fit, {text.counted(count, 'of them goes', 'of them go')} now:"
            )
        lines.append("as new messages with fresh attempts; the dead ones are done with")
        screen = ConfirmScreen(f"send {receipts.messages(count)} again?", lines, verb=f"send {text.count(count)} again")
        if await self._host.ask(screen):
            # Not more than was counted, whatever died meanwhile.
            await self._host.order(
                msgspec.structs.replace(command, dry_run=False, limit=count),
                lambda receipt: receipts.redriven(receipt, target=choice.target, counted=count),
            )

    async def _purge(self, target: Target, action: Action) -> None:
        from console.screens.mail_forms import ScopeScreen
        from console.widgets.confirm import ConfirmScreen

        choice = await self._host.ask(ScopeScreen("drop messages for good", target.scopes, asks_target=False))
        if choice is None:
            return
        scope = choice.scope
        command = PurgeMailbox(
            mailbox=scope.mailbox, dead=scope.dead, where=scope.where, dry_run=True, reason=choice.reason
        )
        counted = await self._counted(command, "dropped")
        if counted is None:
            return
        lines = _tally_lines(scope, counted)
        if not scope.dead:
            lines.append("messages in flight stay")
        screen = ConfirmScreen(
            f"drop {receipts.messages(counted.matched)} for good?",
            lines,
            loses=[action.loses],
            typed=scope.typed if scope.is_everything else str(counted.matched),
            verb=f"drop {text.count(counted.matched)}",
        )
        if await self._host.ask(screen):
            await self._host.order(
                msgspec.structs.replace(command, dry_run=False),
                lambda receipt: receipts.purged(receipt, counted=counted.matched),
            )

    async def _counted(self, command: Command[BulkReceipt], deed: str) -> BulkReceipt | None:
        counted = await self._host.order(command, receipts.no_words)
        if counted is not None and not counted.matched:
            self._host.say(f"nothing fits: nothing would be {deed}", "needs")
            return None
        return counted


def _tally_lines(scope: MailScope, counted: BulkReceipt) -> list[str]:
    rows = receipts.by_mailbox(counted)
    lines = [f"dry run: {scope.words}", *rows[:_LISTED]]
    if len(rows) > _LISTED:
        lines.append(f"and {text.counted(len(rows) - _LISTED, 'more mailbox', 'more mailboxes')}")
    return lines
