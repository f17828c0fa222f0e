"""What a message does to the run before it: offered to it, or the run is told to stop."""

import msgspec

from core.api.base import EntryId, MailId, MessageId
from core.api.sessions import MessageState, MessageSteered, Mode, Voice
from core.api.transcripts import EntryKind, EntryView
from core.clock import Clock, mark
from core.gateway.beginning import user_of
from core.gateway.file_copies import FileCopies
from core.gateway.lane import Lane, Live, Waiting
from core.gateway.lanes import Lanes
from core.gateway.ports import Agents
from core.gateway.session import OFFERED, GuardState, steered
from core.gateway.unanswered import MAILBOX
from core.ids import IdSource
from core.supervisor import Supervisor


class Steering:
    """Acts on a run for a message that is stored already, so that nothing is lost when it fails."""

    def __init__(
        self,
        *,
        lanes: Lanes,
        agents: Agents,
        clock: Clock,
        ids: IdSource,
        supervisor: Supervisor,
        copies: FileCopies,
    ) -> None:
        self._lanes = lanes
        self._agents = agents
        self._copies = copies
        self._clock = clock
        self._ids = ids
        self._supervisor = supervisor

    def settle(self, lane: Lane, message_id: MessageId, mode: Mode) -> None:
        """Do what the effective mode of a stored message asks for, and do not wait for what comes of it."""
        if mode is Mode.INTERRUPT:
            self.tell_to_stop(lane, "a newer message")
        elif mode in OFFERED:
            self._supervisor.spawn(f"steer:{message_id}", self.offer(lane, message_id, mode))

    def tell_to_stop(self, lane: Lane, reason: str) -> None:
        """Ask the run that holds the lane to stop."""
        if lane.live is None:
            return
        run = lane.live.run
        lane.live.run = msgspec.structs.replace(run, interrupt_asked=run.interrupt_asked or mark(self._clock))
        self._lanes.publish(lane)
        self._supervisor.spawn(f"interrupt:{run.id}", self._agents.interrupt(run.id, reason))

    async def offer(self, lane: Lane, message_id: MessageId, mode: Mode) -> bool:
        """Offer a stored message to the run that goes on; whether it was taken. The lock must be free."""
        live = lane.live
        waiting = lane.waiting.get(message_id)
        if live is None or waiting is None or lane.guard.state is not GuardState.BUSY:
            await self._stays(lane, message_id, "the run had ended")
            return False
        if waiting.message.task_id not in {None, live.run.task_id} or waiting.message.terms_of is not None:
            await self._stays(lane, message_id, "a task has a turn of its own")
            return False
        view = self._lanes.view(lane)
        first = lane.waiting.get(live.run.message_ids[0], waiting)
        text = await self._copies.of_text(view.agent, user_of(view, first), waiting.message.text)
        if not await self._agents.steer(live.run.id, text):
            await self._stays(lane, message_id, "the agent took nothing in")
            return False
        if mode is Mode.STEER:
            async with lane.lock:
                # Read again: it may have been moved meanwhile.
                waiting = lane.waiting.get(message_id)
                if waiting is None or message_id not in lane.guard.queue or not self._lanes.may_write(lane, live):
                    return False
                await self._taken_in(lane, live, waiting)
        return True

    async def _taken_in(self, lane: Lane, live: Live, waiting: Waiting) -> None:
        view = self._lanes.view(lane)
        message_id = waiting.message.id
        message = msgspec.structs.replace(waiting.message, state=MessageState.STEERED, run_id=live.run.id)
        entry = EntryView(
            id=EntryId(self._ids.new_id()),
            at=self._clock.now(),
            kind=EntryKind.NOTE if message.voice is Voice.NOTE else EntryKind.USER,
            author=message.sender,
            text=message.text,
            epoch=view.epoch,
            run_id=live.run.id,
            message_id=message_id,
        )
        before = live.run
        live.run = msgspec.structs.replace(before, message_ids=(*before.message_ids, message_id))
        taken_in = msgspec.structs.replace(waiting, message=message, mail_id=MailId(0))
        try:
            with self._lanes.mail() as mail:
                mail.take(MAILBOX, waiting.mail_id)
                mail.settle(MAILBOX, waiting.mail_id)
                await self._lanes.commit(
                    lane,
                    base=view,
                    guard=steered(lane.guard, message_id),
                    waiting={**lane.waiting, message_id: taken_in},
                    entries=[entry],
                    events=lambda after: [MessageSteered(session=after, message=message, entry=entry)],
                    correlation=message_id,
                    mail=mail,
                )
        except BaseException:
            live.run = before
            raise

    async def _stays(self, lane: Lane, message_id: MessageId, reason: str) -> None:
        async with lane.lock:
            waiting = lane.waiting.get(message_id)
            if waiting is None or message_id not in lane.guard.queue:
                return
            # Only a remark for those who look now: a start of the core takes what was not steered as a followup too.
            message = msgspec.structs.replace(waiting.message, effective_mode=Mode.FOLLOWUP, mode_reason=reason)
            lane.waiting = {**lane.waiting, message_id: msgspec.structs.replace(waiting, message=message)}
