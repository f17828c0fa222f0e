"""Runs as the callers of /v1/runs know them: what they send and what they are told (pure)."""

import re
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote

import msgspec
from msgspec import Meta

from core.api.base import SessionId, TaskId
from core.api.runs import Usage
from core.rest.fault import Fault

PREFIX = "run_"
HISTORY_LIMIT = 10_000
_OWN = "http:dm:"
_CORE_ID = re.compile(r"[^:]+:(?:dm|group|channel|thread):.+")
_SAFE = "@!+#$&*,;~"
_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})


class TextPart(msgspec.Struct, frozen=True):
    """A part of a message. Only text is taken in."""

    type: str
    text: str = ""


class TalkMessage(msgspec.Struct, frozen=True):
    """One message of a conversation."""

    role: str
    content: str | tuple[TextPart, ...] | None = None


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Work for an agent, as a run of its own. Fields that are not known are left out of account.

    input: the text, or messages of which the last is the user's. session_id: any name; the same one goes on with the
    conversation, and what waits there keeps its order. instructions: added to the system prompt. model: an agent's
    name or `default`; with `agent`, a model for that agent. conversation_history: what was said before, for a session
    that does not hold it. idempotency_key: the same one gives the same run.
    """

    input: str | Annotated[tuple[TalkMessage, ...], Meta(min_length=1, max_length=HISTORY_LIMIT)]
    session_id: str | None = None
    instructions: str | None = None
    model: str | None = None
    agent: str | None = None
    conversation_history: Annotated[tuple[TalkMessage, ...], Meta(max_length=HISTORY_LIMIT)] | None = None
    timeout_ms: Annotated[int, Meta(ge=0)] | None = None
    idempotency_key: str | None = None


class RunStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is stored. run_id: stable handle, made of the task's id; its attempts have ids of their own."""

    run_id: str
    status: Literal["started"]
    session_id: str
    task_id: str


class TokenCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of a run, all its attempts together."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


Status = Literal["queued", "running", "waiting_for_approval", "stopping", "completed", "failed", "cancelled"]
OVER: frozenset[Status] = frozenset({"completed", "failed", "cancelled"})
EventName = Literal[
    "message.delta",
    "reasoning.available",
    "tool.started",
    "tool.completed",
    "approval.request",
    "approval.responded",
    "run.completed",
    "run.failed",
    "run.cancelled",
    "stream.gap",
    "stream.error",
]


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A decision that a run waits for. deadline_at: UTC seconds; None is never."""

    approval_id: str
    kind: str
    description: str
    command: str
    choices: tuple[str, ...]
    asked_at: float
    deadline_at: float | None
    digest: str


class RunStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a run stands. Times are UTC seconds; output: the answer, once there is one."""

    object: Literal["hermes.run"]
    run_id: str
    task_id: str
    session_id: str
    agent: str
    model: str
    status: Status
    last_event: str
    created_at: float
    updated_at: float
    started_at: float | None
    ended_at: float | None
    output: str
    error: str
    code: str
    usage: TokenCounts
    attempt_count: int
    pending_approvals: tuple[Pending, ...]


class RunEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened in a run. timestamp: UTC seconds. Which of the other fields are there depends on the event.

    delta: more of the answer. text: more of what the model thinks. tool, preview, result: of a tool call; error: true
    when it failed, or why the run did. approval.request: what is asked and which choices there are.
    approval.responded: choice and how many were resolved; state tells a no from an end without an answer.
    """

    event: EventName
    run_id: str
    timestamp: float
    delta: str = ""
    text: str = ""
    tool: str = ""
    preview: str = ""
    result: str = ""
    error: bool | str = ""
    code: str = ""
    approval_id: str = ""
    kind: str = ""
    description: str = ""
    command: str = ""
    cwd: str = ""
    diff: str = ""
    digest: str = ""
    pattern_key: str = ""
    choices: tuple[str, ...] = ()
    allow_permanent: bool | None = None
    deadline_at: float | None = None
    choice: str = ""
    resolved: int = 0
    state: str = ""
    by: str = ""
    output: str | None = None
    usage: TokenCounts | None = None


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A decision. choice: once (or approve, approved, allow), session, always or deny.

    approval_id: which one; needed when several wait. all, resolve_all: with deny, all that wait. digest: of what was
    looked at.
    answer: to a question, in words. Fields that are not known are left out of account.
    """

    choice: str
    approval_id: str = ""
    all: bool = False
    resolve_all: bool = False
    digest: str = ""
    answer: str = ""
    reason: str = ""


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """How many decisions were made, and which."""

    object: Literal["hermes.run.approval_response"]
    run_id: str
    choice: str
    resolved: int
    approval_ids: tuple[str, ...]


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """A run that was told to stop, or was over before."""

    run_id: str
    status: Status


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is to do. earlier: what was said before, as one text; earlier_count: of how many messages."""

    text: str
    earlier: str
    earlier_count: int


def run_id_of(task_id: TaskId) -> str:
    """The handle of a task's run."""
    return PREFIX + task_id


def unknown_run(run_id: str) -> Fault:
    """The answer to a handle that names no run."""
    fix = "take the run_id that POST /v1/runs has given"
    return Fault(404, "run_not_found", f"there is no run {run_id[:80]}", field="run_id", value=run_id, fix=fix)


def task_id_of(run_id: str) -> TaskId:
    """The task behind a handle. Raises Fault 404."""
    if not run_id.startswith(PREFIX) or run_id == PREFIX:
        raise unknown_run(run_id)
    return TaskId(run_id.removeprefix(PREFIX))


def session_of(name: str) -> str:
    """The session that a caller means: a session's own id, or any name."""
    return name if not name or _CORE_ID.fullmatch(name) else _OWN + quote(name, safe=_SAFE)


def name_of(session_id: SessionId) -> str:
    """What a caller calls a session."""
    rest = session_id.removeprefix(_OWN)
    return unquote(rest) if rest != session_id and ":" not in rest else str(session_id)


def ask_of(request: RunRequest) -> Ask:
    """The text of a request and what came before it. Raises Fault 400."""
    earlier = list(request.conversation_history or ())
    if isinstance(request.input, str):
        return Ask(text=request.input, earlier=_talk(earlier), earlier_count=len(earlier))
    *before, last = request.input
    if last.role != "user":
        raise Fault(400, "invalid", "the last message must be the user's", field="input", value=last.role, fix="user")
    earlier += before
    return Ask(text=_text(last), earlier=_talk(earlier), earlier_count=len(earlier))


def tokens(usage: Usage) -> TokenCounts:
    """Tokens as callers are told."""
    total = usage.input_tokens + usage.output_tokens
    return TokenCounts(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, total_tokens=total)


def _talk(messages: list[TalkMessage]) -> str:
    lines = [f"{message.role}: {text}" for message in messages if (text := _text(message).strip())]
    return "Earlier in this conversation:\n\n" + "\n\n".join(lines) if lines else ""


def _text(message: TalkMessage) -> str:
    content: Any = message.content
    if content is None or isinstance(content, str):
        return content or ""
    for part in message.content or ():
        if isinstance(part, TextPart) and part.type not in _TEXT_PARTS:
            fix = "send its text"
            raise Fault(400, "unsupported_content", f"a part is {part.type}", field="input", value=part.type, fix=fix)
    return "\n".join(part.text for part in message.content or () if isinstance(part, TextPart))
