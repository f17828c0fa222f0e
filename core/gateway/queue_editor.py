"""What an operator changes about the queue of a session: the order of its messages, and how each is taken."""

from collections.abc import Callable, Sequence

import msgspec

from core.api.base import Actor, Mark, MessageId, SessionId
from core.api.session_orders import MoveMessage, QueueChanged, QueueReceipt, SetMessageMode, SplitMessage
from core.api.sessions import MessageView, Mode, SessionView
from core.gateway.holds import queued
from core.gateway.lane import Lane, Waiting, together
from core.gateway.lanes import Lanes
from core.gateway.merging import split
from core.gateway.ports import Agents
from core.gateway.session import Guard, changed_from, effective_mode, interrupted, moved
from core.gateway.steering import Steering
from core.gateway.turns import Turns
from core.gateway.unanswered import MAILBOX


class QueueEditor:
    """Keeps the mailbox in the order of the queue: what comes after a change is posted again, under the same ids.

    So a start of the core, which goes by the mailbox, finds the queue as the operator left it.
    """

    def __init__(self, *, lanes: Lanes, turns: Turns, steering: Steering, agents: Agents, collect_s: float) -> None:
        self._lanes = lanes
        self._turns = turns
        self._steering = steering
        self._agents = agents
        self._collect_s = collect_s

    async def move_message(self, command: MoveMessage, actor: Actor) -> QueueReceipt:
        """Put a waiting message at another place. Raises NotFound, InvalidInput, Refused for one that is answered."""
        lane = await self._lanes.existing(command.session_id)
        async with lane.lock:
            queued(lane, command.message_id)
            guard = moved(lane.guard, command.message_id, command.position)
            first = changed_from(lane.guard.queue, guard.queue)
            if first < len(guard.queue):
                await self._post_again(lane, guard, lane.waiting, first, actor)
            return _receipt(lane)

    async def set_message_mode(self, command: SetMessageMode, actor: Actor) -> QueueReceipt:
        """Have a waiting message taken in another way, as if it had come with that mode now, at its place."""
        lane = await self._lanes.existing(command.session_id)
        async with lane.lock:
            item = queued(lane, command.message_id)
            can_steer = self._agents.can_steer(self._lanes.view(lane).agent)
            effective, reason = effective_mode(lane.guard, command.mode, can_steer=can_steer)
            message = msgspec.structs.replace(
                item.message,
                mode=command.mode,
                effective_mode=effective,
                mode_reason=reason,
                due=due_of(item.message.received, effective, self._collect_s),
            )
            waiting = {**lane.waiting, message.id: msgspec.structs.replace(item, message=message)}
            guard = interrupted(lane.guard) if effective is Mode.INTERRUPT else lane.guard
            await self._post_again(lane, guard, waiting, guard.queue.index(message.id), actor)
            if message.id in lane.guard.queue:
                self._steering.settle(lane, message.id, effective)
            return _receipt(lane)

    async def split_message(self, command: SplitMessage, actor: Actor) -> QueueReceipt:
        """Have a part of a message stand for itself. Raises NotFound, Refused for one that is answered."""
        lane = await self._lanes.existing(command.session_id)
        async with lane.lock:
            queued(lane, command.message_id)
            changes = split(tuple(lane.waiting[item] for item in lane.guard.queue), command.message_id)
            changed = {
                key: _replaced(lane.waiting[key], part_of=part_of)
                for key, part_of in changes.items()
                if lane.waiting[key].message.part_of != part_of
            }
            if changed:
                first = min(lane.guard.queue.index(key) for key in changed)
                await self._post_again(lane, lane.guard, {**lane.waiting, **changed}, first, actor)
            return _receipt(lane)

    async def change_text(
        self,
        session_id: SessionId,
        message_id: MessageId,
        sender_id: str,
        actor: Actor,
        changed: Callable[[Waiting], str],
    ) -> None:
        """Have a waiting message say what its sender changed it to.

        One that waits no more, was read before, or is another's stays as it is. changed: raises when it cannot be.
        """
        async with self._lanes.entered(session_id) as lane:
            found = lane.waiting.get(message_id)
            if found is None or message_id not in lane.guard.queue or found.is_said or found.sender_id != sender_id:
                return
            text = changed(found)
            if found.message.text != text:
                waiting = {**lane.waiting, message_id: _replaced(found, text=text)}
                await self._post_again(lane, lane.guard, waiting, lane.guard.queue.index(message_id), actor)

    async def _post_again(
        self, lane: Lane, guard: Guard, waiting: dict[MessageId, Waiting], first: int, actor: Actor
    ) -> None:
        """Store a queue in which the messages from `first` on are new or stand elsewhere."""
        after = dict(waiting)
        with self._lanes.mail() as mail:
            for message_id in guard.queue[first:]:
                item = waiting[message_id]
                mail.settle(MAILBOX, item.mail_id)
                mail_id = mail.post(
                    MAILBOX,
                    msgspec.structs.replace(item, mail_id=0),
                    sender=item.message.sender,
                    order_key=lane.session_id,
                    correlation=message_id,
                )
                after[message_id] = msgspec.structs.replace(item, mail_id=mail_id)
            queue = together(tuple(after[item].message for item in guard.queue))

            def facts(view: SessionView) -> list[QueueChanged]:
                # What begins with this very commit waits no more.
                return [QueueChanged(session=view, messages=queue[len(queue) - view.queue_depth :])]

            await self._turns.commit(
                lane,
                mail,
                base=self._lanes.view(lane),
                guard=guard,
                waiting=after,
                facts=lambda view: [*facts(view)],
                actor=actor,
            )


def due_of(received: Mark, mode: Mode, collect_s: float) -> Mark | None:
    """Until when a message collects; None when its mode is another."""
    return Mark(received.at + collect_s, received.mono + collect_s) if mode is Mode.COLLECT else None


def _replaced(item: Waiting, **changes: object) -> Waiting:
    return msgspec.structs.replace(item, message=msgspec.structs.replace(item.message, **changes))


def _receipt(lane: Lane) -> QueueReceipt:
    waiting: Sequence[MessageView] = [item for item in lane.messages() if item.id in lane.guard.queue]
    return QueueReceipt(session_id=lane.session_id, messages=tuple(waiting))
