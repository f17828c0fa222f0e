"""What an operator lets go of a session's queue: command, receipt, event."""

from core.api.base import Command, Event, MessageId, SessionId, View
from core.api.sessions import MessageView, SessionView


class DropReceipt(View, frozen=True, kw_only=True):
    """A queued message that was let go."""

    session_id: SessionId
    message_id: MessageId


class DropMessage(Command[DropReceipt], frozen=True, kw_only=True):
    """Let a queued message go. One that is running must be interrupted instead."""

    session_id: SessionId
    message_id: MessageId
    reason: str = ""


class MessageDropped(Event, frozen=True, kw_only=True):
    """A queued message was let go by an operator."""

    session: SessionView
    message: MessageView
    reason: str
