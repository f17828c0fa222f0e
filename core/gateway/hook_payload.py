"""What a hook is told: the context of each event, as a mapping with these keys (pure)."""

from typing import ClassVar

import msgspec

TEXT_LIMIT = 500
"""Characters of a message or an answer that a hook gets."""


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """One event for hooks. NAME: its type; at: when it happened, UTC seconds."""

    NAME: ClassVar[str] = ""
    at: float = 0.0


class GatewayStartup(Payload, frozen=True, kw_only=True):
    """The core has started, and its connections begin. platforms: their names. version: of the core."""

    NAME: ClassVar[str] = "gateway:startup"
    platforms: tuple[str, ...] = ()
    version: str = ""


class OfSession(Payload, frozen=True, kw_only=True):
    """What every event of a session tells.

    platform: name of the connection. user_id: whose session it is, "" where nobody alone. session_id: of the
    conversation in its present epoch, KEY#EPOCH. session_key: the conversation, as `sessions list` prints it.
    """

    platform: str = ""
    user_id: str = ""
    session_id: str = ""
    session_key: str = ""


class SessionStart(OfSession, frozen=True, kw_only=True):
    """A conversation began, or began anew after a reset."""

    NAME: ClassVar[str] = "session:start"


class SessionEnd(OfSession, frozen=True, kw_only=True):
    """An epoch of a conversation is over: it was reset, or put away. reason: in words."""

    NAME: ClassVar[str] = "session:end"
    reason: str = ""


class SessionReset(OfSession, frozen=True, kw_only=True):
    """A new epoch began. reason: in words. dropped: messages that were let go with it."""

    NAME: ClassVar[str] = "session:reset"
    reason: str = ""
    dropped: int = 0


class SessionCompress(OfSession, frozen=True, kw_only=True):
    """What the agent is given of a conversation was made shorter. state: done, failed or ineffective.

    in_place: always true; the transcript and the session stay. compression_count: tries in a row.
    """

    NAME: ClassVar[str] = "session:compress"
    state: str = ""
    in_place: bool = True
    compression_count: int = 0
    before_tokens: int = 0
    after_tokens: int = 0


class OfRun(OfSession, frozen=True, kw_only=True):
    """What every event of a run tells. thread_id: "" outside threads. chat_type: dm, group, channel or thread."""

    chat_id: str = ""
    thread_id: str = ""
    chat_type: str = ""
    agent: str = ""
    run_id: str = ""


class AgentStart(OfRun, frozen=True, kw_only=True):
    """A run of an agent began. message: what it answers, 500 characters at most. attempt: 1 for the first."""

    NAME: ClassVar[str] = "agent:start"
    message: str = ""
    attempt: int = 1


class AgentStep(OfRun, frozen=True, kw_only=True):
    """A tool call of a run ended. iteration: 1 for the first of its run. tool_names: its title. status: of the call."""

    NAME: ClassVar[str] = "agent:step"
    iteration: int = 1
    tool_names: tuple[str, ...] = ()
    status: str = ""


class AgentEnd(OfRun, frozen=True, kw_only=True):
    """A run ended. response: its answer, 500 characters at most. stop: why it ended, such as end_turn or error.

    error: one line, "" when there was none. duration_s: how long it took.
    """

    NAME: ClassVar[str] = "agent:end"
    response: str = ""
    stop: str = ""
    error: str = ""
    duration_s: float = 0.0


class OfCommand(Payload, frozen=True, kw_only=True):
    """What every event of a command in a chat tells. It is over: a hook cannot refuse it.

    platform, user_id: who. session_key: where. command: its name without the slash. args: what stood behind it, 200
    characters at most. outcome: done, refused, failed, unknown, ambiguous or cut_off. reason: why it was not done.
    """

    platform: str = ""
    user_id: str = ""
    session_key: str = ""
    command: str = ""
    args: str = ""
    outcome: str = ""
    reason: str = ""


class CommandUsed(OfCommand, frozen=True, kw_only=True):
    """A command was carried out; its type is command:NAME, and its outcome always done."""

    NAME: ClassVar[str] = "command:*"


class CommandAttempted(OfCommand, frozen=True, kw_only=True):
    """Somebody typed a command that was not carried out. command: what was typed where there is none such."""

    NAME: ClassVar[str] = "attempt:command"


PAYLOADS: tuple[type[Payload], ...] = (
    GatewayStartup,
    SessionStart,
    SessionEnd,
    SessionReset,
    SessionCompress,
    AgentStart,
    AgentStep,
    AgentEnd,
    CommandUsed,
    CommandAttempted,
)
EVENT_NAMES: tuple[str, ...] = tuple(payload.NAME for payload in PAYLOADS)
"""All types of events; command:* stands for one type for each command."""

_OF_SESSION = {
    "platform": "telegram",
    "user_id": "telegram:8841",
    "session_id": "telegram:dm:8841#0",
    "session_key": "telegram:dm:8841",
}
_OF_COMMAND = {"platform": "telegram", "user_id": "telegram:8841", "session_key": "telegram:dm:8841"}
_OF_RUN = {"chat_id": "8841", "chat_type": "dm", "agent": "main", "run_id": "run-1"}


def sample(event_type: str, at: float) -> Payload | None:
    """A made-up event of that type, to try a hook with; None when there is no such type."""
    if event_type.startswith("command:") and event_type != "command:":
        name = event_type.removeprefix("command:").replace("*", "status")
        return CommandUsed(at=at, **_OF_COMMAND, command=name, outcome="done")
    kind = next((payload for payload in PAYLOADS if event_type == payload.NAME), None)
    if kind is None:
        return None
    fields: dict[str, object] = {"at": at}
    if issubclass(kind, OfSession):
        fields |= _OF_SESSION
    if issubclass(kind, OfCommand):
        fields |= _OF_COMMAND
    if issubclass(kind, OfRun):
        fields |= _OF_RUN
    fields |= _SAMPLES.get(kind, {})
    return msgspec.convert(fields, kind)


_SAMPLES: dict[type[Payload], dict[str, object]] = {
    GatewayStartup: {"platforms": ["telegram"], "version": "0"},
    SessionEnd: {"reason": "a test"},
    SessionReset: {"reason": "a test"},
    SessionCompress: {"state": "done", "compression_count": 1, "before_tokens": 9000, "after_tokens": 900},
    AgentStart: {"message": "hello"},
    AgentStep: {"tool_names": ["read file"], "status": "completed"},
    AgentEnd: {"response": "hello back", "stop": "end_turn", "duration_s": 1.5},
    CommandAttempted: {"command": "stauts", "outcome": "unknown", "reason": "there is no such command"},
}
# As in settings.py: a type that msgspec meets for the first time is met here.
for _kind in PAYLOADS:
    msgspec.json.Decoder(_kind)
