"""What a try to shorten what the agent is given leaves in its session: a summary, or only the word that it failed."""

import msgspec

from core.api.base import SYSTEM, Actor, EntryId, RunId
from core.api.runs import Compacted, CompactionState
from core.api.session_orders import SessionCompacted
from core.api.sessions import SessionView
from core.api.transcripts import EntryKind, EntryView
from core.clock import Clock
from core.gateway.lane import Lane
from core.gateway.lanes import Lanes
from core.ids import IdSource


class Compactions:
    """Keeps summaries as entries of their own; what they stand for stays in the transcript."""

    def __init__(self, *, lanes: Lanes, clock: Clock, ids: IdSource) -> None:
        self._lanes = lanes
        self._clock = clock
        self._ids = ids

    async def keep(
        self, lane: Lane, compaction: Compacted, *, run_id: RunId | None = None, actor: Actor = SYSTEM
    ) -> SessionView:
        """Store what became of a try, and the summary if there is one. The caller holds the lock."""
        view = self._lanes.view(lane)
        compaction = _sound(compaction)
        entry = self._summary(view, compaction, run_id) if compaction.state is CompactionState.DONE else None
        if entry is not None:
            # What stays is known from what was given before.
            await self._lanes.history(lane)
        return await self._lanes.commit(
            lane,
            base=msgspec.structs.replace(view, compaction=msgspec.structs.replace(compaction, summary="")),
            guard=lane.guard,
            waiting=lane.waiting,
            entries=[] if entry is None else [entry],
            events=lambda after: [SessionCompacted(session=after, compaction=compaction, entry=entry)],
            actor=actor,
        )

    def _summary(self, view: SessionView, compaction: Compacted, run_id: RunId | None) -> EntryView:
        return EntryView(
            id=EntryId(self._ids.new_id()),
            at=self._clock.now(),
            kind=EntryKind.SUMMARY,
            author="core" if compaction.is_digest else view.agent,
            text=compaction.summary,
            epoch=view.epoch,
            run_id=run_id,
            covers_until=compaction.covers_until,
        )


def _sound(compaction: Compacted) -> Compacted:
    """A summary that says nothing, or not what it stands for, would only hide what was said."""
    if compaction.state is not CompactionState.DONE or (compaction.summary.strip() and compaction.covers_until):
        return compaction
    return msgspec.structs.replace(
        compaction,
        state=CompactionState.FAILED,
        summary="",
        covers_until=None,
        error=compaction.error or "the summary was empty",
    )
