"""The mailbox in which messages wait until they are answered: its rules, and what a letter in it says (pure)."""

import msgspec

from core.api.base import Mark, SessionId
from core.api.mailboxes import MailboxPolicy
from core.api.sessions import MessageState, MessageView
from core.clock import Clock, rebased
from core.gateway.lane import Waiting
from core.letters import Letter

MAILBOX = "sessions"
"""Its name; the ordering key of each letter is the id of its session."""

STOPPED = "the core stopped while it was being answered"
"""Stands on a message that an orderly stop put back."""

# Runs have limits of their own: a lease never ends before its run.
_HELD_S = 366 * 86_400.0
# The longest text that can be allowed, in the longest encoding, and room for the rest.
_BODY_LIMIT_BYTES = 64 * 1_048_576

_waiting = msgspec.msgpack.Decoder(Waiting)


def policy(max_attempts: int) -> MailboxPolicy:
    """The rules. max_attempts: runs of one message before it is given up because the core died under each.

    Not ordered: the guard of each session says who is next.
    """
    return MailboxPolicy(
        ordered=False,
        visibility_s=_HELD_S,
        max_deliveries=max_attempts,
        max_crashes=max_attempts,
        dedupe_s=0.0,
        body_limit_bytes=_BODY_LIMIT_BYTES,
        # By age only: a start must find what died at it.
        dead_keep_count=0,
    )


def session_of(letter: Letter) -> SessionId:
    """The session in which it waits."""
    return SessionId(letter.order_key)


def waiting_in(letter: Letter, clock: Clock) -> Waiting | None:
    """The message of a letter, not running, as of this start of the core; None when the letter holds none."""
    try:
        stored = _waiting.decode(letter.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    received = rebased(stored.message.received, clock)
    message = msgspec.structs.replace(
        stored.message,
        state=MessageState.QUEUED,
        run_id=None,
        received=received,
        due=_due(stored.message, received),
        attempt=stored.message.attempt + letter.attempt,
    )
    # Whoever was given out stands in the transcript since; a note or a replay is left of what was taken back.
    is_said = stored.is_said or bool(letter.attempt or letter.error or letter.replays)
    return msgspec.structs.replace(stored, message=message, is_said=is_said, mail_id=letter.id)


def _due(message: MessageView, received: Mark) -> Mark | None:
    """Until when it collects: as long after it came as it was to be."""
    if message.due is None:
        return None
    quiet_s = message.due.at - message.received.at
    return Mark(received.at + quiet_s, received.mono + quiet_s)
