"""A message of a peer from its arrival to its answer: what may come in, and what is kept of it (pure)."""

import hashlib
import re

import msgspec

from core.api.base import AgentName, Mark, SessionId
from core.api.relay_tasks import RelayDirection, RelayReason, RelayState, RelayTaskId
from core.relay.loops import passed
from core.relay.ports import WorkState
from core.relay.task import RelayTask, answered, canceled
from core.relay.trail import CONVERSATION_LIMIT
from core.relay.wire import Trail

WIRE_ID_LIMIT = 200
"""Characters of an id that a peer gives to its message."""

ERROR_LIMIT = 2_000
CONTEXT_LIMIT = 400

LOOP_STATUS = 508
"""Of HTTP: the message has come around."""

_ID = re.compile(rf"[!-~]{{1,{WIRE_ID_LIMIT}}}")
_NAME_LIMIT = 200


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What a peer wants. wire_id: as the peer calls it; body_hash: of all that makes it what it is. sender: whom it
    names, which proves nothing. to: the agent or bot that it names. context: the peer's name of the conversation.
    is_signed: it is proved by keys that we sign with too.
    """

    peer: str
    wire_id: str
    text: str
    trail: Trail
    body_hash: str
    to: str = ""
    sender: str = ""
    context: str = ""
    is_signed: bool = False


class RefusedMessage(Exception):
    """A message is not taken. status: of HTTP. code: a word for programs. retry_after_s: when to try again."""

    def __init__(self, status: int, code: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s


def task_id_of(peer: str, wire_id: str) -> RelayTaskId:
    """How a message of a peer is called here: ids of different peers never meet."""
    return RelayTaskId(f"{peer}/{wire_id}")


def check(message: Message, text_limit: int) -> None:
    """Raises RefusedMessage for what can never be taken."""
    if _ID.fullmatch(message.wire_id) is None:
        what = f"the id has {WIRE_ID_LIMIT} characters of ASCII at most, without spaces"
        raise RefusedMessage(400, "bad_id", f"{what}; the same for each time that the message is sent")
    if not message.text.strip():
        # What only tells of a state or of an error is nobody's words, and no agent is to take it for any.
        raise RefusedMessage(400, "no_text", "the message has no text; send it as content or message")
    if len(message.text) > text_limit:
        raise RefusedMessage(
            413, "text_too_long", f"the text has {len(message.text)} characters, and {text_limit} are taken"
        )
    if len(message.context) > CONTEXT_LIMIT:
        raise RefusedMessage(400, "bad_context", f"the name of the conversation has {CONTEXT_LIMIT} characters at most")


def conversation_of(message: Message) -> str:
    """The conversation that it belongs to: as the peer names it, else as its trail does."""
    return message.context or message.trail.conversation or message.wire_id


def trail_of(message: Message) -> Trail:
    """Its trail. Of one that passed nobody the conversation is only what this peer calls it, and apart from what others
    call so: what one peer says counts for no limit of another.
    """
    if passed(message.trail):
        return message.trail
    name = message.trail.conversation
    own = f"{message.peer}/{name}"
    if len(own) > CONVERSATION_LIMIT or not own.isprintable():
        # No other bot would read it as a name, and so not say it when it comes back.
        own = f"{message.peer}/{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()}"
    return msgspec.structs.replace(message.trail, conversation=own)


def received(message: Message, agent: AgentName, session_id: SessionId, now: Mark) -> RelayTask:
    """The message as it is kept while an agent works on it. Its name is that of the agent."""
    return RelayTask(
        id=task_id_of(message.peer, message.wire_id),
        wire_id=message.wire_id,
        direction=RelayDirection.IN,
        state=RelayState.WORKING,
        text=message.text,
        created=now,
        changed=now,
        trail=trail_of(message),
        name=str(agent),
        peer=message.peer,
        sender=message.sender[:_NAME_LIMIT],
        session_id=session_id,
        context=conversation_of(message),
        body_hash=message.body_hash,
    )


def looped(task: RelayTask, why: str) -> RelayTask:
    """The message as it is kept when it has come around too often: no agent sees it."""
    return msgspec.structs.replace(
        task,
        state=RelayState.DEAD,
        reason=RelayReason.LOOP,
        error=why[:ERROR_LIMIT],
        ended=task.created,
    )


def ended(task: RelayTask, state: WorkState, now: Mark, *, is_untold: bool) -> RelayTask:
    """The message once its agent is done. state: over. is_untold: its peer is to be told without asking."""
    if state.state is RelayState.CANCELED:
        over = canceled(task, now, state.error)
    else:
        over = answered(task, now, state=state.state, answer=state.answer, error=state.error)
    return msgspec.structs.replace(over, is_untold=is_untold)


def ended_late(task: RelayTask, state: WorkState, now: Mark, *, is_untold: bool) -> RelayTask:
    """One that failed, once its agent has done it after all: it stays failed, and has the answer. The same value when
    there is none, or one already.
    """
    if task.state is not RelayState.FAILED or task.is_late or state.state is not RelayState.COMPLETED:
        return task
    return msgspec.structs.replace(
        task, answer=state.answer, answered=now, changed=now, due=None, is_late=True, is_untold=is_untold
    )
