"""Sessions that are put away and taken up again, each in one step: where they were, or in an earlier epoch."""

import msgspec

from core.api.base import Actor
from core.api.errors import Refused
from core.api.session_orders import (
    ArchiveSession,
    SessionArchived,
    SessionReceipt,
    SessionUnarchived,
    UnarchiveSession,
)
from core.gateway.epochs import taken_up
from core.gateway.holds import check_free, forgotten, held_lane
from core.gateway.lane import Lane
from core.gateway.lanes import Lanes
from core.gateway.ports import Agents
from core.gateway.turns import Turns


class Archive:
    """Loses nothing: what was said stays, and the next message takes the session up again in a new epoch."""

    def __init__(self, *, lanes: Lanes, turns: Turns, agents: Agents) -> None:
        self._lanes = lanes
        self._turns = turns
        self._agents = agents

    async def archive_session(self, command: ArchiveSession, actor: Actor) -> SessionReceipt:
        """Put a session away and let its runner go. Raises Refused while something runs, waits or is unsent."""
        lane = await self._lanes.existing(command.session_id)
        async with held_lane(self._turns, lane):
            async with lane.lock:
                view = self._lanes.view(lane)
                if view.is_archived:
                    return SessionReceipt(session=view)
                _check_empty(lane)
                after = await self._lanes.commit(
                    lane,
                    base=msgspec.structs.replace(view, is_archived=True),
                    guard=lane.guard,
                    waiting=lane.waiting,
                    events=lambda now: [SessionArchived(session=now, reason=command.reason)],
                    actor=actor,
                )
            await forgotten(self._agents, lane.session_id)
        return SessionReceipt(session=after)

    async def unarchive_session(self, command: UnarchiveSession, actor: Actor) -> SessionReceipt:
        """Take a session up again in one of its epochs, which goes on from there. Raises InvalidInput, Refused."""
        lane = await self._lanes.existing(command.session_id)
        async with held_lane(self._turns, lane):
            async with lane.lock:
                view = self._lanes.view(lane)
                base, history = taken_up(view, command.epoch), lane.history
                is_other = base.epoch != view.epoch
                if not is_other and not view.is_archived:
                    return SessionReceipt(session=view)
                check_free(lane, "taken up again")
                if is_other:
                    base, history = await self._lanes.recalled(base)
                after = await self._lanes.commit(
                    lane,
                    base=base,
                    guard=lane.guard,
                    waiting=lane.waiting,
                    events=lambda now: [SessionUnarchived(session=now)],
                    actor=actor,
                )
                lane.history = history
            if is_other:
                await forgotten(self._agents, lane.session_id)
        return SessionReceipt(session=after)


def _check_empty(lane: Lane) -> None:
    check_free(lane, "put away")
    if lane.guard.queue:
        raise Refused(
            f"{len(lane.guard.queue)} messages wait, so nothing was put away",
            rule="nothing waits",
            fix="let them be answered, or drop them",
        )
    if lane.unsent:
        raise Refused(
            f"{lane.unsent} answers are not sent yet, so nothing was put away",
            rule="nothing is unsent",
            fix="wait for them, or see `deliveries list`",
        )
