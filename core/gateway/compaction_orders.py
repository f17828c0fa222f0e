"""Has earlier entries of a session stand as a summary because an operator asks for it."""

import asyncio
from collections.abc import Sequence

from core.api.base import Actor, SessionId
from core.api.errors import ConflictError, HermesError, Refused
from core.api.runs import Compacted, CompactionState
from core.api.session_orders import CompactSession, SessionReceipt
from core.api.sessions import SessionView
from core.api.transcripts import EntryView
from core.gateway.compactions import Compactions
from core.gateway.holds import check_free, held_lane
from core.gateway.lanes import Lanes
from core.gateway.ports import Agents
from core.gateway.turns import Turns

COMPACT_LIMIT_S = 130.0
"""The longest that a summary may take; the agents' own limit ends before."""


class Compacting:
    """Keeps a session to itself while the agent makes a summary; messages are still taken in."""

    def __init__(self, *, lanes: Lanes, turns: Turns, agents: Agents, compactions: Compactions) -> None:
        self._lanes = lanes
        self._turns = turns
        self._agents = agents
        self._compactions = compactions
        self._busy: set[SessionId] = set()

    async def compact_session(self, command: CompactSession, actor: Actor) -> SessionReceipt:
        """Make a summary; what became of it stands in the receipt's session. Raises Refused, ConflictError."""
        lane = await self._lanes.existing(command.session_id)
        if lane.session_id in self._busy:
            raise ConflictError("a summary of that session is being made", key="session_id", found=lane.session_id)
        self._busy.add(lane.session_id)
        try:
            async with held_lane(self._turns, lane):
                async with lane.lock:
                    check_free(lane, "made shorter")
                    view = self._lanes.view(lane)
                    history = await self._lanes.history(lane)
                if view.is_archived:
                    raise Refused("the session is put away", rule="no archived session", fix="unarchive it first")
                compaction = await self._made(view, history)
                async with lane.lock:
                    now = self._lanes.view(lane)
                    if (now.epoch, now.summary_id) != (view.epoch, view.summary_id):
                        raise ConflictError(
                            "the session began anew meanwhile", key="epoch", expected=view.epoch, found=now.epoch
                        )
                    after = await self._compactions.keep(lane, compaction, actor=actor)
        finally:
            self._busy.discard(lane.session_id)
        return SessionReceipt(session=after)

    async def _made(self, view: SessionView, history: Sequence[EntryView]) -> Compacted:
        try:
            async with asyncio.timeout(COMPACT_LIMIT_S):
                # A summary keeps paths word for word, so they must be the agent's.
                _, told = await self._turns.copies.of_turn(view.agent, view.user, (), history)
                return await self._agents.compact(view.id, view.agent, told)
        except TimeoutError:
            error = f"no summary came within {COMPACT_LIMIT_S:g} s"
        except Refused:
            # Nothing was tried, so there is nothing to keep.
            raise
        except HermesError as failure:
            error = failure.message
        tries = 0 if view.compaction is None else view.compaction.tries
        return Compacted(state=CompactionState.FAILED, error=error, tries=tries + 1)
