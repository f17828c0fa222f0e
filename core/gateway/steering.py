"""What a message does to the run before it: steered into it, or the run is told to stop."""

import msgspec

from core.api.base import EntryId, MailId, MessageId
from core.api.sessions import MessageState, MessageSteered, Mode, Voice
from core.api.transcripts import EntryKind, EntryView
from core.clock import Clock, mark
from core.gateway.lane import Lane
from core.gateway.lanes import Lanes
from core.gateway.ports import Agents
from core.gateway.session import GuardState, steered
from core.gateway.unanswered import MAILBOX
from core.ids import IdSource
from core.supervisor import Supervisor


class Steering:
    """Acts on a run for a message that is stored already, so that nothing is lost when it fails."""

    def __init__(self, *, lanes: Lanes, agents: Agents, clock: Clock, ids: IdSource, supervisor: Supervisor) -> None:
        self._lanes = lanes
        self._agents = agents
        self._clock = clock
        self._ids = ids
        self._supervisor = supervisor

    def settle(self, lane: Lane, message_id: MessageId, mode: Mode) -> None:
        """Do what the effective mode of a stored message asks for."""
        if mode is Mode.INTERRUPT:
            self.tell_to_stop(lane, "a newer message")
        elif mode is Mode.STEER:
            self._supervisor.spawn(f"steer:{message_id}", self._steer(lane, message_id))

    def tell_to_stop(self, lane: Lane, reason: str) -> None:
        """Ask the run that holds the lane to stop."""
        if lane.live is None:
            return
        run = lane.live.run
        lane.live.run = msgspec.structs.replace(run, interrupt_asked=run.interrupt_asked or mark(self._clock))
        self._lanes.publish(lane)
        self._supervisor.spawn(f"interrupt:{run.id}", self._agents.interrupt(run.id, reason))

    async def _steer(self, lane: Lane, message_id: MessageId) -> None:
        live = lane.live
        waiting = lane.waiting.get(message_id)
        if live is None or waiting is None or lane.guard.state is not GuardState.BUSY:
            await self._stays(lane, message_id, "the run had ended")
            return
        if not await self._agents.steer(live.run.id, waiting.message.text):
            await self._stays(lane, message_id, "the agent took nothing in")
            return
        async with lane.lock:
            if lane.guard.run_id != live.run.id or message_id not in lane.guard.queue:
                return
            view = self._lanes.view(lane)
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
            live.run = msgspec.structs.replace(live.run, message_ids=(*live.run.message_ids, message_id))
            taken_in = msgspec.structs.replace(waiting, message=message, mail_id=MailId(0))
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

    async def _stays(self, lane: Lane, message_id: MessageId, reason: str) -> None:
        async with lane.lock:
            waiting = lane.waiting.get(message_id)
            if waiting is None or message_id not in lane.guard.queue:
                return
            # Only a remark for those who look now: a start of the core queues whatever waits.
            message = msgspec.structs.replace(waiting.message, effective_mode=Mode.QUEUE, mode_reason=reason)
            lane.waiting = {**lane.waiting, message_id: msgspec.structs.replace(waiting, message=message)}
