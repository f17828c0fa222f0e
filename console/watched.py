"""The one session that is looked at: what waits in it, its transcript and its answer as it is written (pure)."""

import msgspec

from core.api.base import Event, Record, RunId, SessionId
from core.api.chat_commands import SessionBranched
from core.api.session_orders import QueueChanged, SessionCompacted, SessionUnarchived
from core.api.session_queue import MessageDropped
from core.api.sessions import (
    EntryAdded,
    MessageQueued,
    MessageState,
    MessageSteered,
    MessageView,
    RunEnded,
    RunOutput,
    RunStarted,
    SessionDetail,
    SessionReset,
    SessionView,
)
from core.api.transcripts import EntryView, TranscriptPage

LIVE_LIMIT_CHARS = 200_000


class LiveText:
    """Text of a run, put together from pieces that name their place."""

    def __init__(self) -> None:
        self.run_id: RunId | None = None
        self.length = 0
        self._parts: list[str] = []
        self._begin = 0

    @property
    def text(self) -> str:
        """What is there, without what was let go at the front."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    @property
    def is_whole(self) -> bool:
        """Whether the text begins with its first character."""
        return self._begin == 0

    def clear(self) -> None:
        """Forget the run and its text."""
        self.run_id, self.length, self._begin = None, 0, 0
        self._parts = []

    def begin(self, run_id: RunId, text: str) -> None:
        """Take over what a run had written when it was asked for."""
        self.run_id, self._begin, self._parts = run_id, 0, [text] if text else []
        self.length = len(text)
        self._bound()

    def put(self, run_id: RunId, offset: int, text: str) -> bool:
        """Put a piece at its place; False when pieces before it are missing."""
        if run_id != self.run_id:
            self.clear()
            self.run_id = run_id
            self._begin = self.length = offset
        if offset > self.length:
            return False
        if offset + len(text) <= self.length:
            return self._begin == 0
        self._parts.append(text[self.length - offset :])
        self.length = offset + len(text)
        self._bound()
        return self._begin == 0

    def _bound(self) -> None:
        if self.length - self._begin > 2 * LIVE_LIMIT_CHARS:
            kept = self.text[-LIVE_LIMIT_CHARS:]
            self._begin = self.length - len(kept)
            self._parts = [kept]


class WatchedSession:
    """The books of one session. messages: as the core has them, what runs first, then the queue in its order.

    is_stale: something was missed, ask the core for all of it again.
    """

    def __init__(self, session_id: SessionId) -> None:
        self.session_id = session_id
        self.messages: dict[str, MessageView] = {}
        self.entries: dict[str, EntryView] = {}
        self.has_earlier = False
        self.answer = LiveText()
        self.thought = LiveText()
        self.is_loaded = False
        self.is_stale = False
        self.added: list[EntryView] = []
        self.version = 0
        self.reloads = 0
        self.error = ""
        self._since_asked: list[Record] | None = None

    def begin_load(self) -> None:
        """From now on keep what comes, until `load` brings what was asked for."""
        self._since_asked = []

    def load(self, detail: SessionDetail, page: TranscriptPage | None) -> None:
        """Take over what the core says, then again what came after the moment it speaks of."""
        self.version += 1
        self.is_loaded, self.is_stale = True, False
        self.messages = {str(message.id): message for message in detail.messages}
        run = detail.session.run
        if run is None:
            self.answer.clear()
            self.thought.clear()
        elif self.answer.run_id != run.id or not self.answer.is_whole or self.answer.length < len(detail.live_text):
            self.answer.begin(run.id, detail.live_text)
        if page is not None:
            self._load_entries(page)
        late = [record for record in self._since_asked or () if record.seq > detail.seq]
        self._since_asked = None
        for record in late:
            self.apply(record)

    def _load_entries(self, page: TranscriptPage) -> None:
        new = {str(entry.id): entry for entry in page.entries}
        if self.entries and not new.keys() & self.entries.keys():
            # Nothing in common with what is there: the part between is unknown.
            self.entries = {}
        if not self.entries:
            self.entries, self.has_earlier, self.added = new, page.has_earlier, []
            self.reloads += 1
            return
        self._add(tuple(entry for key, entry in new.items() if key not in self.entries))

    def load_earlier(self, page: TranscriptPage) -> tuple[EntryView, ...]:
        """Put older entries before those that are there; returns the new ones in order."""
        self.version += 1
        new = tuple(entry for entry in page.entries if str(entry.id) not in self.entries)
        self.entries = {str(entry.id): entry for entry in new} | self.entries
        self.has_earlier = page.has_earlier
        return new

    def take_added(self) -> list[EntryView]:
        """The entries that came since the last call."""
        added, self.added = self.added, []
        return added

    def apply(self, record: Record) -> bool:
        """Take a record in; False when it is not about this session."""
        event = record.event
        if isinstance(event, RunOutput):
            if event.session_id != self.session_id:
                return False
            target = self.thought if event.is_thought else self.answer
            if not target.put(event.run_id, event.offset, event.text) and not event.is_thought:
                self.is_stale = True
            self.version += 1
            return True
        session = session_of(event)
        if session is None or session.id != self.session_id:
            return False
        if self._since_asked is not None and record.durable:
            self._since_asked.append(record)
        self._change(event, session)
        self.version += 1
        return True

    def _change(self, event: Event, session: SessionView) -> None:
        match event:
            case MessageQueued(message=message):
                self.messages[str(message.id)] = message
            case MessageSteered(message=message, entry=entry):
                self.messages[str(message.id)] = message
                self._add((entry,))
            case MessageDropped(message=message):
                self.messages.pop(str(message.id), None)
            case RunStarted(entries=entries):
                self._take_up(session)
                self._add(entries)
            case EntryAdded(entry=entry):
                self._add((entry,))
            case RunEnded(outcome=outcome, entries=entries):
                self.messages = {key: item for key, item in self.messages.items() if item.run_id != outcome.run_id}
                for live in (self.answer, self.thought):
                    if live.run_id == outcome.run_id:
                        live.clear()
                self._add(entries)
                self.is_stale = True
            case QueueChanged(messages=messages):
                waiting = {str(message.id): message for message in messages}
                rest = {key: item for key, item in self.messages.items() if item.state is not MessageState.QUEUED}
                self.messages = rest | waiting
            case SessionCompacted(entry=EntryView() as entry):
                self._add((entry,))
            case SessionReset() | SessionUnarchived() | SessionBranched():
                self.is_stale = True
            case _:
                pass

    def _take_up(self, session: SessionView) -> None:
        run = session.run
        if run is None:
            return
        if self.answer.run_id != run.id:
            self.answer.clear()
            self.answer.begin(run.id, "")
            self.thought.clear()
        for message_id in run.message_ids:
            message = self.messages.get(str(message_id))
            if message is not None:
                self.messages[str(message_id)] = msgspec.structs.replace(
                    message, state=MessageState.RUNNING, run_id=run.id
                )

    def _add(self, entries: tuple[EntryView, ...]) -> None:
        for entry in entries:
            if str(entry.id) not in self.entries:
                self.entries[str(entry.id)] = entry
                self.added.append(entry)


def session_of(event: Event) -> SessionView | None:
    """The session view that an event carries, if it does."""
    found = getattr(event, "session", None)
    return found if isinstance(found, SessionView) else None
