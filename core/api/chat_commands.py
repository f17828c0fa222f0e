"""What people order in chats: what became of it, events."""

from enum import StrEnum

from core.api.base import Event, PlatformName, SessionId
from core.api.sessions import SessionView


class CommandOutcome(StrEnum):
    """What became of a command. Only `done` has changed anything.

    refused: the sender may not. failed: it could not be done, the answer says why. unknown, ambiguous: no such
    command, or the beginning of several. cut_off: the core was stopped meanwhile, so that nobody knows.
    """

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"
    AMBIGUOUS = "ambiguous"
    CUT_OFF = "cut_off"


class ChatCommandUsed(Event, frozen=True, kw_only=True):
    """Somebody ordered something in a chat and was answered.

    command: its name in the table, or what was typed when there is none such. arguments: 200 characters at most,
    known secrets masked; "" for a command whose text becomes a message. reason: why it was not done.
    """

    platform: PlatformName
    session_id: SessionId
    sender_id: str
    sender_name: str
    command: str
    arguments: str
    outcome: CommandOutcome
    reason: str = ""


class SessionTitled(Event, frozen=True, kw_only=True):
    """A session has another title."""

    session: SessionView


class SessionBranched(Event, frozen=True, kw_only=True):
    """A session goes on in a new epoch, which holds a copy of an earlier one. left_out: turns that were not copied."""

    session: SessionView
    from_epoch: int
    left_out: int = 0
