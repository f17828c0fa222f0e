"""What acts on tasks and their runs do: dialog, command, receipt.

The dialogs are loaded where they are shown: the first frame need not wait for them.
"""

import secrets
from collections.abc import Callable

from console import task_receipts as receipts
from console import text
from console.act_group import Act, ActGroup, GroupHost
from console.action import Action
from console.target import Target
from console.task_facts import RETRYABLE, next_words, title
from core.api.base import AgentName, RunId
from core.api.tasks import (
    ArchiveTask,
    CancelRun,
    CancelTask,
    RetryTask,
    SendInput,
    StartTask,
    TaskView,
    UnarchiveTask,
)

_TITLE = 40


class TaskActs(ActGroup[GroupHost]):
    """One method for each act. Every command names what was under the cursor at the moment of the key."""

    def acts(self) -> dict[str, Act]:
        """What carries out which action."""
        return {
            "task.start": self._start,
            "task.input": self._input,
            "task.cancel": self._cancel,
            "task.cancel_run": self._cancel_run,
            "task.retry": self._retry,
            "task.archive": self._archive,
            "task.unarchive": self._unarchive,
        }

    def reasons(self) -> dict[str, Callable[[Target], str]]:
        """Why an action can do nothing; "" when it can."""
        return {
            "task.start": lambda _: "" if self._host.mirror.profiles else "there is no agent",
            "task.input": lambda target: self._no_task(target) or ("" if target.run_id else "it has had no run yet"),
            "task.cancel": self._not_live,
            "task.cancel_run": lambda target: self._not_live(target) or ("" if target.run_id else "no run goes on"),
            "task.retry": self._not_retryable,
            "task.archive": self._not_archivable,
            "task.unarchive": self._not_archived,
        }

    def _task(self, target: Target) -> TaskView | None:
        return self._host.mirror.work.tasks.get(target.task_id)

    def _no_task(self, target: Target) -> str:
        return "" if self._task(target) else "no task is under the cursor"

    def _not_live(self, target: Target) -> str:
        task = self._task(target)
        if task is None:
            return "no task is under the cursor"
        return f"it is {task.state.value}" if task.state.is_over else ""

    def _not_retryable(self, target: Target) -> str:
        task = self._task(target)
        if task is None:
            return "no task is under the cursor"
        return "" if task.state in RETRYABLE else f"it is {task.state.value}"

    def _not_archivable(self, target: Target) -> str:
        task = self._task(target)
        if task is None:
            return "no task is under the cursor"
        if task.archived is not None:
            return "it is archived; :unarchive shows it again"
        return "" if task.state.is_over else "it goes on"

    def _not_archived(self, target: Target) -> str:
        task = self._task(target)
        return "" if task is not None and task.archived is not None else "it is not archived"

    def _name(self, task: TaskView) -> str:
        return text.clipped(title(task), _TITLE)

    async def _start(self, target: Target, _action: Action) -> None:
        from console.screens.task_forms import NewTaskScreen

        profiles = self._host.mirror.profiles
        default = target.agent or next((name for name, view in profiles.items() if view.is_default), "")
        choice = await self._host.ask(NewTaskScreen(sorted(profiles), default))
        if choice is not None:
            command = StartTask(
                text=choice.text,
                agent=AgentName(choice.agent),
                label=choice.label,
                idempotency_key=f"console-{secrets.token_hex(8)}",
            )
            await self._host.order(command, receipts.started_words)

    async def _input(self, target: Target, _action: Action) -> None:
        from console.screens.task_forms import WordScreen

        task = self._task(target)
        if task is None:
            return
        now = f"{task.state.value}   {next_words(task, self._age)}".rstrip()
        choice = await self._host.ask(WordScreen(self._name(task), now))
        if choice is not None:
            command = SendInput(
                run_id=RunId(target.run_id),
                text=choice.text,
                queue_mode=choice.mode,
                idempotency_key=f"console-{secrets.token_hex(8)}",
            )
            await self._host.order(command, receipts.input_words)

    async def _cancel(self, target: Target, action: Action) -> None:
        task = self._task(target)
        if task is None:
            return
        reason = await self._sure(task, "cancel", action)
        if reason is not None:
            await self._host.order(CancelTask(task_id=task.id, reason=reason), receipts.task_words)

    async def _cancel_run(self, target: Target, action: Action) -> None:
        task = self._task(target)
        if task is None:
            return
        reason = await self._sure(task, "cancel run of", action)
        if reason is not None:
            await self._host.order(CancelRun(run_id=RunId(target.run_id), reason=reason), receipts.task_words)

    async def _sure(self, task: TaskView, verb: str, action: Action) -> str | None:
        """The reason, or None when it is not to be done."""
        from console.widgets.confirm import ConfirmScreen

        below = [child for child in self._host.mirror.work.children(task.id) if not child.state.is_over]
        lines = [f"now: {task.state.value}   {next_words(task, self._age)}".rstrip()]
        if below:
            lines.append(f"{text.counted(len(below), 'task')} that it made go on")
        screen = ConfirmScreen(
            f"{verb} {self._name(task)}?", lines, loses=[action.loses], ask_reason=True, verb="cancel task"
        )
        return screen.reason if await self._host.ask(screen) else None

    async def _retry(self, target: Target, _action: Action) -> None:
        task = self._task(target)
        if task is not None:
            await self._host.order(RetryTask(task_id=task.id), receipts.task_words)

    async def _archive(self, target: Target, _action: Action) -> None:
        task = self._task(target)
        if task is not None:
            await self._host.order(ArchiveTask(task_id=task.id), receipts.archive_words)

    async def _unarchive(self, target: Target, _action: Action) -> None:
        task = self._task(target)
        if task is not None:
            await self._host.order(UnarchiveTask(task_id=task.id), receipts.archive_words)
