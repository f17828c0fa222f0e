"""What an operator does to a session: stop its run, begin it anew, let a message go. Each says what became of it."""

import asyncio
from collections.abc import Callable

from core.api.base import Actor, MessageId, RunId, SessionId
from core.api.errors import ConflictError, Refused
from core.api.runs import Stop as StopReason
from core.api.runs import TurnEnded
from core.api.session_queue import DropMessage, DropReceipt, MessageDropped
from core.api.sessions import (
    InterruptReceipt,
    InterruptSession,
    ResetReceipt,
    ResetSession,
    SessionInterrupted,
    SessionReset,
)
from core.gateway.epochs import begun_anew
from core.gateway.holds import forgotten, held_lane, queued
from core.gateway.lane import Lane, Waiting
from core.gateway.lanes import Lanes
from core.gateway.ports import Agents, RunBook
from core.gateway.session import dropped, emptied, interrupted
from core.gateway.steering import Steering
from core.gateway.turns import Turns
from core.gateway.unanswered import MAILBOX

RELEASE_LIMIT_S = 15.0


class Operations:
    """Never waits in the queue of the session it acts on."""

    def __init__(self, *, lanes: Lanes, turns: Turns, steering: Steering, agents: Agents, books: RunBook) -> None:
        self._lanes = lanes
        self._turns = turns
        self._steering = steering
        self._agents = agents
        self._books = books

    async def interrupt_session(self, command: InterruptSession, actor: Actor) -> InterruptReceipt:
        """Stop the run and wait until the lane is free, or say what still holds it."""
        lane = await self._lanes.existing(command.session_id)
        run_id = await self.stop_run(lane, command.reason, actor, expected=command.run_id)
        is_released = run_id is None or await self._released(lane, run_id)
        return InterruptReceipt(
            session_id=lane.session_id,
            run_id=run_id,
            is_released=is_released,
            holder=lane.holder(),
            queue_depth=len(lane.guard.queue),
        )

    async def stop_run(self, lane: Lane, reason: str, actor: Actor, *, expected: RunId | None = None) -> RunId | None:
        """Tell the run that holds the lane to stop; returns it, or None when there is none.

        Raises ConflictError when `expected` is another run.
        """
        async with lane.lock:
            run_id = lane.guard.run_id
            if expected is not None and expected != run_id:
                raise ConflictError(
                    "that run no longer holds the lane", key="run_id", expected=expected, found=run_id or "none"
                )
            if run_id is None:
                return None
            await self._lanes.commit(
                lane,
                base=self._lanes.view(lane),
                guard=interrupted(lane.guard),
                waiting=lane.waiting,
                events=lambda view: [SessionInterrupted(session=view, reason=reason)],
                actor=actor,
            )
            self._steering.tell_to_stop(lane, reason or f"interrupted by {actor.name}")
            return run_id

    async def reset_session(
        self, command: ResetSession, actor: Actor, *, check: Callable[[Lane], None] | None = None
    ) -> ResetReceipt:
        """Stop the run, begin a new epoch, and go on with what is queued unless it is to be dropped.

        check: raises when that may not be, once nothing else can begin.
        """
        lane = await self._lanes.existing(command.session_id)
        async with held_lane(self._turns, lane):
            if check is not None:
                check(lane)
            run_id = await self.stop_run(lane, command.reason or "reset", actor)
            if run_id is not None and not await self._released(lane, run_id):
                raise Refused(
                    "the run did not let go of the lane, so nothing was reset",
                    rule="one run at a time",
                    holder=run_id,
                    fix="interrupt it again, then reset",
                )
            await forgotten(self._agents, lane.session_id)
            return await self._new_epoch(lane, command, actor, run_id)

    async def drop_message(self, command: DropMessage, actor: Actor) -> DropReceipt:
        """Let a waiting message go."""
        lane = await self._lanes.existing(command.session_id)
        async with lane.lock:
            waiting = queued(lane, command.message_id)
            with self._lanes.mail() as mail:
                mail.settle(MAILBOX, waiting.mail_id)
                await self._lanes.commit(
                    lane,
                    base=self._lanes.view(lane),
                    guard=dropped(lane.guard, command.message_id),
                    waiting=_rest(lane, {command.message_id}),
                    events=lambda view: [MessageDropped(session=view, message=waiting.message, reason=command.reason)],
                    actor=actor,
                    correlation=command.message_id,
                    mail=mail,
                    pages=[self._books.let_go([waiting.message], command.reason or "dropped")],
                )
            self._end_followers(lane, (command.message_id,), "the message was dropped by an operator")
        return DropReceipt(session_id=lane.session_id, message_id=command.message_id)

    async def interrupt_for_caller(self, session_id: SessionId, reason: str, actor: Actor) -> bool:
        """Stop the run for a caller who hung up. False when none was running."""
        lane = self._lanes.find(session_id)
        return lane is not None and lane.view is not None and await self.stop_run(lane, reason, actor) is not None

    async def _new_epoch(self, lane: Lane, command: ResetSession, actor: Actor, run_id: RunId | None) -> ResetReceipt:
        async with lane.lock:
            view = self._lanes.view(lane)
            gone = lane.guard.queue if command.drop_queue else ()
            lane.history = None
            messages = [lane.waiting[item].message for item in gone]
            pages = [self._books.let_go(messages, command.reason or "reset")] if gone else []
            with self._lanes.mail() as mail:
                for item in gone:
                    mail.settle(MAILBOX, lane.waiting[item].mail_id)
                after = await self._lanes.commit(
                    lane,
                    base=begun_anew(view),
                    guard=emptied(lane.guard) if gone else lane.guard,
                    waiting=_rest(lane, set(gone)),
                    events=lambda now: [
                        SessionReset(session=now, reason=command.reason, dropped=len(gone), ended_epoch=view.epoch)
                    ],
                    actor=actor,
                    mail=mail,
                    pages=pages,
                )
            self._end_followers(lane, gone, "the session was reset")
        return ResetReceipt(session_id=lane.session_id, epoch=after.epoch, interrupted=run_id, dropped=len(gone))

    async def _released(self, lane: Lane, run_id: RunId) -> bool:
        try:
            async with asyncio.timeout(RELEASE_LIMIT_S):
                await lane.run_ended(run_id)
        except TimeoutError:
            return lane.guard.run_id != run_id
        return True

    def _end_followers(self, lane: Lane, messages: tuple[MessageId, ...], error: str) -> None:
        for message_id in messages:
            for follower in lane.followers.pop(message_id, []):
                follower.push(TurnEnded(stop=StopReason.CANCELLED, error=error, code="dropped"))


def _rest(lane: Lane, gone: set[MessageId]) -> dict[MessageId, Waiting]:
    return {key: item for key, item in lane.waiting.items() if key not in gone}
