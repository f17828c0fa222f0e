"""A conversation that goes on in a copy of itself: in a new epoch of the same session, so that the old one stays."""

import msgspec

from core.api.base import Actor
from core.api.chat_commands import SessionBranched, SessionTitled
from core.api.errors import Refused
from core.api.sessions import SessionView
from core.clock import Clock
from core.gateway.branch import Cut, Epoch, beginning, copied, cut, epochs
from core.gateway.epochs import begun_anew
from core.gateway.holds import check_free, forgotten, held_lane
from core.gateway.lane import Lane
from core.gateway.lanes import Lanes
from core.gateway.ports import Agents
from core.gateway.turns import Turns
from core.ids import IdSource

TITLE_LIMIT = 80
_PAGE = 1_000
_PAGES = 10


class Branching:
    """Branches sessions, and says what their earlier epochs were about."""

    def __init__(self, *, lanes: Lanes, turns: Turns, agents: Agents, clock: Clock, ids: IdSource) -> None:
        self._lanes = lanes
        self._turns = turns
        self._agents = agents
        self._clock = clock
        self._ids = ids

    async def branch(self, lane: Lane, actor: Actor, *, left_out: int = 0, title: str = "") -> tuple[SessionView, Cut]:
        """Go on in a copy of what the agent is given, without the last `left_out` turns; what was copied, too.

        Raises Refused while a run goes on, while something waits if turns are left out, and when there is nothing to
        copy or fewer turns than that.
        """
        async with held_lane(self._turns, lane):
            async with lane.lock:
                check_free(lane, "copied")
                view = self._lanes.view(lane)
                history = await self._lanes.history(lane)
                kept = cut(history, left_out)
                _check(lane, view, has_entries=bool(history), kept=kept, left_out=left_out)
                base = begun_anew(view)
                entries = copied(kept.entries, epoch=base.epoch, new_id=self._ids.new_id)
                before, lane.history = lane.history, None
                try:
                    after = await self._lanes.commit(
                        lane,
                        base=_titled(base, title) if title else base,
                        guard=lane.guard,
                        waiting=lane.waiting,
                        entries=entries,
                        events=lambda now: [SessionBranched(session=now, from_epoch=view.epoch, left_out=kept.turns)],
                        actor=actor,
                    )
                except BaseException:
                    lane.history = before
                    raise
            await forgotten(self._agents, lane.session_id)
        return after, kept

    async def set_title(self, lane: Lane, title: str, actor: Actor) -> SessionView:
        """Give a session another title."""
        async with lane.lock:
            return await self._lanes.commit(
                lane,
                base=_titled(self._lanes.view(lane), title),
                guard=lane.guard,
                waiting=lane.waiting,
                events=lambda now: [SessionTitled(session=now)],
                actor=actor,
            )

    async def epochs(self, lane: Lane) -> tuple[Epoch, ...]:
        """The session's epochs by number, as far as its last 10,000 entries tell."""
        found = await self._lanes.entries(lane.session_id, None, _PAGE)
        page, pages = found, 1
        while len(page) == _PAGE and pages < _PAGES:
            page = await self._lanes.entries(lane.session_id, page[0].id, _PAGE)
            found = [*page, *found]
            pages += 1
        return epochs(found)


def _titled(view: SessionView, title: str) -> SessionView:
    return msgspec.structs.replace(view, title=beginning(title, TITLE_LIMIT))


def _check(lane: Lane, view: SessionView, *, has_entries: bool, kept: Cut, left_out: int) -> None:
    if view.is_archived or not has_entries:
        raise Refused("nothing has been said in this conversation yet", rule="something to copy")
    if left_out and lane.guard.queue:
        raise Refused(
            f"{len(lane.guard.queue)} messages wait, so nothing was undone",
            rule="nothing waits",
            fix="let them be answered, or use /stop",
        )
    if kept.turns < left_out:
        raise Refused(
            f"only {kept.turns} turns can be undone here",
            rule="turns that are not summed up",
            fix="use a smaller count",
        )
