"""What was said in a session, entry by entry: id, kinds, views, queries."""

from enum import StrEnum

from core.api.base import EntryId, MessageId, Query, RunId, Seq, SessionId, View
from core.api.runs import ToolCall


class EntryKind(StrEnum):
    """Who or what an entry of the transcript comes from."""

    USER = "user"
    NOTE = "note"
    AGENT = "agent"
    THOUGHT = "thought"
    TOOL = "tool"
    APPROVAL = "approval"
    SYSTEM = "system"
    SUMMARY = "summary"


class EntryView(View, frozen=True, kw_only=True):
    """One entry of a transcript, stored once and never changed.

    at: UTC seconds. author: for people. message_id: the message it came from.
    is_partial: text that a run left behind when it was cut off. is_imported: brought
    along by the caller and not said here. covers_until: of a summary, the last entry that it stands for.
    """

    id: EntryId
    at: float
    kind: EntryKind
    author: str
    text: str
    epoch: int = 0
    run_id: RunId | None = None
    message_id: MessageId | None = None
    tool: ToolCall | None = None
    is_partial: bool = False
    is_imported: bool = False
    covers_until: EntryId | None = None


class TranscriptPage(View, frozen=True, kw_only=True):
    """Entries in order. has_earlier: whether there are more before the first."""

    session_id: SessionId
    entries: tuple[EntryView, ...]
    has_earlier: bool
    seq: Seq


class ReadTranscript(Query[TranscriptPage], frozen=True, kw_only=True):
    """The newest entries, or those before `before`. limit: 1 to 1,000. epoch: None for all."""

    session_id: SessionId
    before: EntryId | None = None
    limit: int = 200
    epoch: int | None = None
