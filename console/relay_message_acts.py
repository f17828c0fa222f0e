"""What acts on messages from bot to bot do: send, cancel, send again, another address."""

from collections.abc import Callable, Sequence

from console import relay_receipts as receipts
from console import text
from console.act_group import Act, ActGroup
from console.action import Action
from console.relay_facts import host_of
from console.relay_link import RelayHost, last_error
from console.relay_receipts import chat_words, short_task_id
from console.relay_rows import RelayRows
from console.relayed_facts import REASONS
from console.target import Target
from core.api.relay_tasks import (
    CancelRelay,
    RelayReason,
    RelayState,
    RelayTaskId,
    RelayTaskView,
    ReplayRelay,
    RetargetRelay,
    SendRelay,
)

_LISTED = 8
_TEXT_CELLS = 60


class RelayMessageActs(ActGroup[RelayHost]):
    """One method for each act. Every command names the messages that were meant at the moment of the key."""

    def acts(self) -> dict[str, Act]:
        """What carries out which action."""
        return {
            "relay.send": self._send,
            "relay.replay": self._replay,
            "relay.retarget": self._retarget,
            "relay.cancel": self._cancel,
        }

    def reasons(self) -> dict[str, Callable[[Target], str]]:
        """Why an action can do nothing; "" when it can."""
        return {
            "relay.replay": self._nothing_dead,
            "relay.retarget": self._cannot_retarget,
            "relay.cancel": self._cannot_cancel,
        }

    @property
    def _rows(self) -> RelayRows:
        return self._host.mirror.work.relay

    def _task(self, target: Target) -> RelayTaskView | None:
        return self._rows.tasks.get(target.relay_id)

    def _cannot_cancel(self, target: Target) -> str:
        task = self._task(target)
        if task is None:
            return "no message is under the cursor"
        return f"it is {task.state.value}" if task.state.is_over else ""

    def _cannot_retarget(self, target: Target) -> str:
        task = self._task(target)
        if task is None:
            return "no message is under the cursor"
        is_free = task.state in {RelayState.QUEUED, RelayState.DEAD}
        return "" if is_free else f"it is {task.state.value}: only what waits or is dead can go elsewhere"

    def _meant(self, target: Target) -> list[RelayTaskView]:
        """Dead messages: those marked, else the one under the cursor."""
        ids = target.relay_ids or (target.relay_id,)
        found = (self._rows.tasks.get(task_id) for task_id in ids)
        return [task for task in found if task is not None and task.state is RelayState.DEAD]

    def _dead_of_bot(self, target: Target) -> list[RelayTaskView]:
        """Those of the chat under the cursor: a bot of that name in another chat may be another one."""
        binding = self._rows.bindings.get(target.binding)
        if binding is None:
            return []
        meant = (binding.platform, binding.chat, target.bot)
        return [task for task in self._rows.dead() if (task.platform, task.chat, task.bot) == meant]

    def _nothing_dead(self, target: Target) -> str:
        if target.bot:
            return (
                "" if self._dead_of_bot(target) else "no dead message of this bot in this chat is at hand: 2 lists all"
            )
        return "" if self._meant(target) else "no dead message is marked or under the cursor"

    async def _send(self, target: Target, _action: Action) -> None:
        from console.screens.relay_dialogs import RelaySendScreen, RelayWords

        binding = self._rows.bindings.get(target.binding)
        whose = chat_words(binding.platform, binding.chat) if binding else "any chat"
        notes = [("the relay is paused: it waits until it goes on", "needs")] if self._rows.is_paused else []
        draft, problem = RelayWords((target.bot,) if target.bot else (), ""), ""
        while (chosen := await self._host.ask(RelaySendScreen(draft, whose, notes, problem))) is not None:
            command = SendRelay(
                to=chosen.to,
                text=chosen.text,
                platform=binding.platform if binding else "",
                chat=binding.chat if binding else "",
            )
            if await self._host.order(command, receipts.sent):
                return
            # What somebody wrote is not lost because a name was wrong.
            draft, problem = chosen, f"not sent: {last_error(self._host.link, 'the core said nothing')}"

    async def _replay(self, target: Target, _action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        tasks = self._dead_of_bot(target) if target.bot else self._meant(target)
        if not tasks:
            return
        # By id, so that none is meant that died while somebody read this.
        ids = tuple(RelayTaskId(task.id) for task in tasks)
        is_one = len(tasks) == 1
        title = "send this message again?" if is_one else f"send {len(tasks)} dead messages again?"
        screen = ConfirmScreen(title, replay_lines(tasks), verb="send again")
        if await self._host.ask(screen):
            await self._host.order(ReplayRelay(ids=ids), receipts.replayed)

    async def _retarget(self, target: Target, _action: Action) -> None:
        from console.screens.relay_dialogs import RetargetScreen

        task = self._task(target)
        if task is None:
            return
        names = sorted({bot.name for binding in self._rows.bindings.values() for bot in binding.bots})
        lines = [
            f"now to {text.clean(task.bot)} at {text.clean(task.url)}: {text.clean(task.text)}",
            "a dead one stays dead until it is sent again" if task.state is RelayState.DEAD else "it goes there next",
        ]
        title = f"another address for {short_task_id(task.id)}"
        choice = await self._host.ask(RetargetScreen(title, lines, names))
        if choice is not None:
            command = RetargetRelay(id=RelayTaskId(task.id), to=choice.to, url=choice.url)
            await self._host.order(command, receipts.retargeted)

    async def _cancel(self, target: Target, action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        task = self._task(target)
        if task is None:
            return
        told = (
            "it is not sent" if task.state is RelayState.QUEUED else "the far side is told to stop, and may not listen"
        )
        lines = [
            f"to {text.clean(task.bot)}: {text.cut(text.clean(task.text), 200)}",
            f"it is {task.state.value}: {told}",
        ]
        screen = ConfirmScreen(
            f"stop {short_task_id(task.id)}?", lines, loses=[action.loses], ask_reason=True, verb="stop the message"
        )
        if await self._host.ask(screen):
            await self._host.order(CancelRelay(id=RelayTaskId(task.id), reason=screen.reason), receipts.canceled)


def replay_lines(tasks: Sequence[RelayTaskView]) -> list[str]:
    """Which messages go out again, to whom, and what that may do."""
    lines = [
        f"{short_task_id(task.id)} to {text.clean(task.bot)} at {host_of(task.url)}: "
        f"{text.cut(text.clean(task.text), _TEXT_CELLS)}"
        for task in tasks[:_LISTED]
    ]
    if len(tasks) > _LISTED:
        lines.append(f"and {len(tasks) - _LISTED} more")
    causes = sorted({REASONS[task.reason] or "given up" for task in tasks})
    lines.append(f"they died because: {'; '.join(causes)}" if len(tasks) > 1 else f"it died because: {causes[0]}")
    lines.append("each keeps its id: a far side that has it already does nothing twice")
    if any(task.reason is RelayReason.LOOP for task in tasks):
        lines.append("one that ended at a limit of loops ends there again unless its way is another")
    return lines
