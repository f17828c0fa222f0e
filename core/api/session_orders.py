"""What an operator changes about a session besides talking in it: its queue, its archive, its memory, its lease."""

from core.api.base import Command, Event, MessageId, RunId, SessionId, View
from core.api.runs import Compacted
from core.api.sessions import MessageView, Mode, SessionView
from core.api.transcripts import EntryView


class QueueReceipt(View, frozen=True, kw_only=True):
    """The queue of a session after an operator changed it, the first one first."""

    session_id: SessionId
    messages: tuple[MessageView, ...]


class MoveMessage(Command[QueueReceipt], frozen=True, kw_only=True):
    """Put a waiting message at another place of its queue. position: 0 is the first."""

    session_id: SessionId
    message_id: MessageId
    position: int


class SetMessageMode(Command[QueueReceipt], frozen=True, kw_only=True):
    """Have a waiting message taken in another way."""

    session_id: SessionId
    message_id: MessageId
    mode: Mode


class SplitMessage(Command[QueueReceipt], frozen=True, kw_only=True):
    """Have a part of a message stand for itself, with a turn of its own; the other parts stay together."""

    session_id: SessionId
    message_id: MessageId


class SessionReceipt(View, frozen=True, kw_only=True):
    """A session after an operator changed it."""

    session: SessionView


class ArchiveSession(Command[SessionReceipt], frozen=True, kw_only=True):
    """Put a session away: its runner goes, its history stays. Refused while something runs or waits."""

    session_id: SessionId
    reason: str = ""


class UnarchiveSession(Command[SessionReceipt], frozen=True, kw_only=True):
    """Take a session up again where it was; epoch: one of its earlier ones, None for the last."""

    session_id: SessionId
    epoch: int | None = None


class CompactSession(Command[SessionReceipt], frozen=True, kw_only=True):
    """Have earlier entries stand as a summary for the agent; also where that never happens by itself."""

    session_id: SessionId


class LeaseReceipt(View, frozen=True, kw_only=True):
    """What became of a lease. is_released: whether the session is free now; why: in words."""

    session_id: SessionId
    run_id: RunId | None
    is_released: bool
    why: str


class ReleaseLease(Command[LeaseReceipt], frozen=True, kw_only=True):
    """Free a session whose holder is gone. is_forced: also when the holder seems to be alive; its late writes are
    refused. run_id: the holder that was looked at (ConflictError).
    """

    session_id: SessionId
    is_forced: bool = False
    run_id: RunId | None = None
    reason: str = ""


class QueueChanged(Event, frozen=True, kw_only=True):
    """Waiting messages were put into another order, are taken in another way, or say something else."""

    session: SessionView
    messages: tuple[MessageView, ...]


class SessionArchived(Event, frozen=True, kw_only=True):
    """A session was put away."""

    session: SessionView
    reason: str


class SessionUnarchived(Event, frozen=True, kw_only=True):
    """A session was taken up again."""

    session: SessionView


class SessionCompacted(Event, frozen=True, kw_only=True):
    """What the agent is given of a session became shorter, or could not. entry: the summary."""

    session: SessionView
    compaction: Compacted
    entry: EntryView | None = None


class LeaseReleased(Event, frozen=True, kw_only=True):
    """A session was freed of a holder that was gone, or by force."""

    session: SessionView
    run_id: RunId
    is_forced: bool
    reason: str
