"""What can be asked about sessions: lists, one session whole, its transcript."""

from core.api.errors import InvalidInput
from core.api.sessions import GetSession, ListSessions, SessionDetail, SessionPage, SessionState, SessionView
from core.api.transcripts import ReadTranscript, TranscriptPage
from core.clock import Clock
from core.gateway import rows
from core.gateway.lane import ages_s, rebased_view
from core.gateway.lanes import Lanes
from core.gateway.source import source_of
from core.journal import Journal
from core.store.base import Store

PAGE_LIMIT = 5_000
ENTRIES_LIMIT = 1_000


class Inspection:
    """Reads only; a session that nobody uses is not kept in memory for being looked at."""

    def __init__(self, *, lanes: Lanes, store: Store, journal: Journal, clock: Clock) -> None:
        self._lanes = lanes
        self._store = store
        self._journal = journal
        self._clock = clock

    async def list_sessions(self, query: ListSessions) -> SessionPage:
        """One page in the order of the ids."""
        _check("limit", query.limit, PAGE_LIMIT)
        seq = await self._journal.head()
        prefix = rows.SESSIONS + query.prefix
        after = rows.SESSIONS + query.after if query.after else ""
        found = await self._store.scan(prefix, after=after, limit=query.limit)
        sessions = tuple(self._view(rows.session_of(row.body)) for row in found)
        cursor = str(sessions[-1].id) if len(sessions) == query.limit else ""
        return SessionPage(sessions=sessions, cursor=cursor, seq=seq, total=self._lanes.session_count)

    async def get_session(self, query: GetSession) -> SessionDetail:
        """One session with its messages, its live text and the age of every fact."""
        source_of(query.session_id)
        if query.entry_limit:
            _check("entry_limit", query.entry_limit, ENTRIES_LIMIT)
        seq = await self._journal.head()
        lane = await self._lanes.existing(query.session_id)
        entries = await self._lanes.entries(query.session_id, None, query.entry_limit) if query.entry_limit else []
        view = self._lanes.view(lane)
        return SessionDetail(
            session=view,
            messages=lane.messages(),
            live_text="" if lane.live is None else "".join(lane.live.answer),
            seq=seq,
            ages_s=ages_s(view, self._clock),
            entries=tuple(entries),
        )

    async def read_transcript(self, query: ReadTranscript) -> TranscriptPage:
        """Entries of all epochs or one, oldest first."""
        _check("limit", query.limit, ENTRIES_LIMIT)
        seq = await self._journal.head()
        await self._lanes.existing(query.session_id)
        # One more than asked for tells whether there are earlier ones.
        entries = await self._lanes.entries(query.session_id, query.before, query.limit + 1)
        has_earlier = len(entries) > query.limit
        wanted = entries[-query.limit :]
        if query.epoch is not None:
            wanted = [entry for entry in wanted if entry.epoch == query.epoch]
        return TranscriptPage(session_id=query.session_id, entries=tuple(wanted), has_earlier=has_earlier, seq=seq)

    def counts(self) -> tuple[dict[str, int], int, int]:
        """Sessions by state, queued messages, running runs; what is not in memory is idle or failed."""
        states = dict.fromkeys((state.value for state in SessionState), 0)
        queued = running = 0
        for lane in self._lanes.in_memory():
            view = lane.view
            if view is None or view.state in {SessionState.IDLE, SessionState.FAILED}:
                continue
            states[view.state.value] += 1
            queued += len(lane.guard.queue)
            running += lane.guard.run_id is not None
        states[SessionState.FAILED.value] = self._lanes.failed_count
        states[SessionState.IDLE.value] = max(0, self._lanes.session_count - sum(states.values()))
        return states, queued, running

    def oldest_head_age_s(self) -> float:
        """Age of the oldest message that waits in any queue; 0 when none does."""
        now = self._clock.monotonic()
        heads = [lane.view.queue_head for lane in self._lanes.in_memory() if lane.view is not None]
        return max((now - head.mono for head in heads if head is not None), default=0.0)

    def _view(self, stored: SessionView) -> SessionView:
        lane = self._lanes.find(stored.id)
        if lane is not None and lane.view is not None:
            return lane.view
        return rebased_view(stored, self._lanes.boot, self._clock)


def _check(field: str, value: int, limit: int) -> None:
    if not 1 <= value <= limit:
        raise InvalidInput(f"{field} must be 1 to {limit}, not {value}", field=field, value=value, fix="ask for less")
