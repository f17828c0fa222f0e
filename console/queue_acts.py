"""What acts on the queue, the memory, the archive and the lease of a session do: dialog, command, receipt.

The dialogs are loaded where they are shown: the first frame need not wait for them.
"""

from collections.abc import Callable
from typing import Protocol

from console import queue_receipts as receipts
from console import text
from console.act_group import Act, ActGroup, GroupHost
from console.action import Action
from console.orders import error_words
from console.session_facts import message_words
from console.session_runtime import lease_words, meter
from console.session_words import doing
from console.target import Target
from console.transcript_items import queued_messages
from core.api.base import RunId
from core.api.errors import HermesError, Refused
from core.api.session_orders import (
    ArchiveSession,
    CompactSession,
    LeaseReceipt,
    MoveMessage,
    ReleaseLease,
    SetMessageMode,
    SplitMessage,
    UnarchiveSession,
)
from core.api.sessions import MessageView, SessionView


class OrderLink(Protocol):
    """What these acts need of the end of the core."""

    @property
    def last_error(self) -> HermesError | None:
        """Why the last order was not carried out; None when it was."""
        ...


class QueueHost(GroupHost, Protocol):
    """What these acts need of the app besides."""

    @property
    def link(self) -> OrderLink:
        """The end of the core."""
        ...

    @property
    def use_ascii(self) -> bool:
        """Whether the terminal has no more signs."""
        ...


class QueueActs(ActGroup[QueueHost]):
    """One method for each act. Every command names what was under the cursor at the moment of the key."""

    def acts(self) -> dict[str, Act]:
        """What carries out which action."""
        return {
            "message.move": self._move,
            "message.mode": self._mode,
            "message.split": self._split,
            "session.archive": self._archive,
            "session.unarchive": self._unarchive,
            "session.compact": self._compact,
            "session.release": self._release,
        }

    def reasons(self) -> dict[str, Callable[[Target], str]]:
        """Why an action can do nothing; "" when it can."""
        return {
            "message.move": self._not_movable,
            "message.mode": self._not_queued,
            "message.split": self._not_a_part,
            "session.archive": self._not_archivable,
            "session.unarchive": self._not_archived,
            "session.compact": self._not_compactable,
            "session.release": self._not_held,
        }

    def _view(self, target: Target) -> SessionView | None:
        return self._host.mirror.sessions.get(target.session_id)

    def _queue(self, target: Target) -> list[MessageView]:
        watched = self._host.mirror.watched
        return queued_messages(watched) if watched is not None and watched.session_id == target.session_id else []

    def _message(self, target: Target) -> MessageView | None:
        return next((item for item in self._queue(target) if item.id == target.message_id), None)

    def _doing(self, view: SessionView) -> str:
        return doing(view, self._host.mirror.approval_of(view.id), self._age)

    # -- reasons -------------------------------------------------------------

    def _not_queued(self, target: Target) -> str:
        if not target.message_id:
            return "no queued message under the cursor"
        return "" if self._message(target) else "that message does not wait any more"

    def _not_movable(self, target: Target) -> str:
        return self._not_queued(target) or ("" if len(self._queue(target)) > 1 else "nothing else waits here")

    def _not_a_part(self, target: Target) -> str:
        message = self._message(target)
        if message is None:
            return self._not_queued(target)
        is_first = any(item.part_of == message.id for item in self._queue(target))
        return "" if is_first or message.part_of else "it is no part of another message"

    def _not_archivable(self, target: Target) -> str:
        view = self._view(target)
        if view is None:
            return "no session here"
        if view.is_archived:
            return "it is archived; :session.unarchive takes it up again"
        if view.run is not None:
            return "a run goes on"
        if view.queue_depth:
            return f"{text.counted(view.queue_depth, 'message')} in its queue"
        return f"{text.counted(view.unsent, 'answer')} not sent yet" if view.unsent else ""

    def _not_archived(self, target: Target) -> str:
        view = self._view(target)
        if view is None:
            return "no session here"
        if view.run is not None:
            return "a run goes on"
        return "" if view.is_archived or _newest(view) else "it is not archived, and this is its only epoch"

    def _not_compactable(self, target: Target) -> str:
        view = self._view(target)
        if view is None:
            return "no session here"
        if view.run is not None:
            return "a run goes on"
        return "it is archived" if view.is_archived else ""

    def _not_held(self, target: Target) -> str:
        view = self._view(target)
        if view is None:
            return "no session here"
        return "" if view.lease or view.lane_holder else "nothing holds it"

    # -- the queue -----------------------------------------------------------

    async def _move(self, target: Target, _action: Action) -> None:
        from console.screens.queue_forms import MoveScreen

        queue, message = self._queue(target), self._message(target)
        if message is None:
            return
        lines = [f"{text.clean(item.sender)}: {text.clean(item.text)}" for item in queue]
        position = await self._host.ask(MoveScreen(lines, queue.index(message)))
        if position is None:
            return
        command = MoveMessage(session_id=message.session_id, message_id=message.id, position=position)
        await self._host.order(command, receipts.moved(message.id))

    async def _mode(self, target: Target, _action: Action) -> None:
        from console.screens.queue_forms import ModeScreen

        message = self._message(target)
        if message is None:
            return
        words = f"{text.clean(message.sender)}: {text.clean(message.text)}"
        mode = await self._host.ask(ModeScreen(words, message_words(message, self._age), message.mode))
        if mode is not None:
            command = SetMessageMode(session_id=message.session_id, message_id=message.id, mode=mode)
            await self._host.order(command, receipts.taken(message.id))

    async def _split(self, target: Target, _action: Action) -> None:
        message = self._message(target)
        if message is not None:
            command = SplitMessage(session_id=message.session_id, message_id=message.id)
            await self._host.order(command, receipts.split(message.id))

    # -- archive and memory --------------------------------------------------

    async def _archive(self, target: Target, _action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        view = self._view(target)
        if view is None:
            return
        lines = [
            f"now: {self._doing(view)}",
            "its runner goes, its transcript stays; the next message takes it up in a new epoch",
        ]
        screen = ConfirmScreen(f"archive {text.clean(view.id)}?", lines, ask_reason=True, verb="archive")
        if await self._host.ask(screen):
            await self._host.order(ArchiveSession(session_id=view.id, reason=screen.reason), receipts.archived)

    async def _unarchive(self, target: Target, _action: Action) -> None:
        from console.screens.queue_forms import EpochScreen

        view = self._view(target)
        if view is None:
            return
        lines = [f"now: {self._doing(view)}", "the agent knows what was said in that epoch, and no other"]
        screen = EpochScreen(f"take up {text.clean(view.id)}?", lines, epoch=view.epoch, newest=_newest(view))
        epoch = await self._host.ask(screen)
        if epoch is not None:
            command = UnarchiveSession(session_id=view.id, epoch=None if epoch == view.epoch else epoch)
            await self._host.order(command, receipts.taken_up)

    async def _compact(self, target: Target, _action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        view = self._view(target)
        if view is None:
            return
        lines = [
            f"now: {meter(view, use_ascii=self._host.use_ascii)[0]}",
            "the agent is given a summary in place of what was said earlier; the transcript stays as it is",
            "a model may be asked for it, which takes a while; what comes meanwhile waits",
        ]
        if await self._host.ask(ConfirmScreen(f"compact {text.clean(view.id)}?", lines, verb="compact")):
            await self._host.order(CompactSession(session_id=view.id), receipts.compacted)

    # -- the lease -----------------------------------------------------------

    async def _release(self, target: Target, action: Action) -> None:
        from console.widgets.confirm import ConfirmScreen

        view = self._view(target)
        if view is None:
            return
        run_id = view.lease.run_id if view.lease else view.lane_holder
        lines = [
            f"held by {lease_words(view, self._age)[0]}" if view.lease else f"held by {text.clean(run_id or 'nobody')}",
            f"now: {self._doing(view)}",
            "the core does it only with proof that the holder is gone; else it says why not",
            f"{text.counted(view.queue_depth, 'queued message')} go on after it",
        ]
        title = f"release the lease of {text.clean(view.id)}?"
        screen = ConfirmScreen(title, lines, loses=[action.loses], ask_reason=True, verb="release")
        if not await self._host.ask(screen):
            return
        command = ReleaseLease(session_id=view.id, run_id=run_id, reason=screen.reason)
        receipt = await self._host.order(command, receipts.released)
        kept = self._why_kept(receipt)
        if kept:
            await self._force(view, run_id, kept, action, screen.reason)

    def _why_kept(self, receipt: LeaseReceipt | None) -> str:
        """Why the core did not release a lease that somebody may hold; "" when force is no answer."""
        if receipt is not None:
            return "" if receipt.is_released else text.clean(receipt.why)
        error = self._host.link.last_error
        return error_words(error) if isinstance(error, Refused) else ""

    async def _force(self, view: SessionView, run_id: RunId | None, kept: str, action: Action, reason: str) -> None:
        from console.widgets.confirm import ConfirmScreen

        lines = [
            f"not released. {kept}",
            "by force: the holder is told to stop, and whatever it writes from now on is refused",
        ]
        screen = ConfirmScreen(
            "the holder is alive: release by force?",
            lines,
            loses=[action.loses],
            typed=text.clean(view.id),
            ask_reason=True,
            verb="release by force",
        )
        if await self._host.ask(screen):
            command = ReleaseLease(session_id=view.id, is_forced=True, run_id=run_id, reason=screen.reason or reason)
            await self._host.order(command, receipts.released)


def _newest(view: SessionView) -> int:
    return view.epoch if view.last_epoch is None else max(view.epoch, view.last_epoch)
