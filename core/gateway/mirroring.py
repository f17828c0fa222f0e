"""What is sent into a chat from elsewhere, noted in the session of that chat: else its agent would not know of it."""

from core.api.base import SYSTEM, Actor, EntryId, SessionId
from core.api.errors import HermesError
from core.api.sessions import EntryAdded, Source
from core.api.transcripts import EntryKind, EntryView
from core.clock import Clock
from core.gateway.lanes import Lanes
from core.gateway.source import session_id
from core.ids import IdSource

_AUTHOR_LIMIT = 80


class Mirroring:
    """Writes to transcripts; never raises, since the message itself is on its way already."""

    def __init__(self, *, lanes: Lanes, clock: Clock, ids: IdSource) -> None:
        self._lanes = lanes
        self._clock = clock
        self._ids = ids

    async def note(self, source: Source, text: str, *, author: str, actor: Actor = SYSTEM) -> SessionId | None:
        """Note what was sent there, as said by the session's own agent. Which session; None when there is not just one.

        In a shared chat where each member has a session of their own nobody can say whose it is.
        """
        if not text.strip():
            return None
        found = session_id(source)
        try:
            async with self._lanes.entered(found) as lane:
                if lane.view is None:
                    return None
                view = lane.view
                entry = EntryView(
                    id=EntryId(self._ids.new_id()),
                    at=self._clock.now(),
                    kind=EntryKind.AGENT,
                    author=author[:_AUTHOR_LIMIT],
                    text=text,
                    epoch=view.epoch,
                )
                await self._lanes.commit(
                    lane,
                    base=view,
                    guard=lane.guard,
                    waiting=lane.waiting,
                    entries=[entry],
                    events=lambda after: [EntryAdded(session=after, entry=entry)],
                    actor=actor,
                )
        except HermesError:
            return None
        return found
