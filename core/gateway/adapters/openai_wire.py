"""The words of OpenAI's chat API: what a request asks for, and what answers look like (pure)."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from core.api.runs import Stop, TurnEnded, Usage
from core.http.refusal import HttpRefusal, kind_of, one_line

OWNER = "hermes-console"
DONE = b"data: [DONE]\n\n"
MESSAGE_LIMIT = 10_000
MODEL_LIMIT = 256

_FINISH = {Stop.MAX_TOKENS: "length", Stop.REFUSAL: "content_filter"}
_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})
_SETTING_ROLES = frozenset({"system", "developer"})


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What a request asks for. text: of the last user message; earlier: all others as (role, text)."""

    model: str
    text: str
    earlier: tuple[tuple[str, str], ...]
    wants_stream: bool
    wants_usage: bool
    user: str


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What every piece of one answer has in common. created: UTC seconds."""

    id: str
    model: str
    created: int


class _Part(msgspec.Struct):
    type: str
    text: str | None = None


class _Message(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[_Part] | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Request(msgspec.Struct):
    model: Annotated[str, Meta(min_length=1, max_length=MODEL_LIMIT)]
    messages: Annotated[list[_Message], Meta(min_length=1, max_length=MESSAGE_LIMIT)]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: Annotated[int, Meta(ge=1)] | None = None
    user: str | None = None


_requests = msgspec.json.Decoder(_Request)


def ask_of(body: bytes) -> Ask:
    """What the body of POST /v1/chat/completions asks for. Raises HttpRefusal 400."""
    request = _decoded(body)
    if request.n is not None and request.n > 1:
        raise HttpRefusal(400, "unsupported_n", "one answer at a time is given here; leave n out or send 1")
    turns = [(message.role, _text(message, place)) for place, message in enumerate(request.messages)]
    last = max((place for place, (role, _) in enumerate(turns) if role == "user"), default=None)
    if last is None or any(role not in _SETTING_ROLES for role, _ in turns[last + 1 :]):
        raise HttpRefusal(400, "no_user_message", "the last message must be from the user; only system may follow it")
    if not turns[last][1].strip():
        raise HttpRefusal(400, "empty_message", f"messages[{last}] holds no text")
    return Ask(
        model=request.model,
        text=turns[last][1],
        earlier=tuple(turns[:last] + turns[last + 1 :]),
        wants_stream=bool(request.stream),
        wants_usage=request.stream_options is not None and bool(request.stream_options.include_usage),
        user=one_line(request.user or ""),
    )


def completion(reply: Reply, text: str, ended: TurnEnded) -> dict[str, Any]:
    """The whole answer of a request that does not stream."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason(ended.stop)}
    return {**_head(reply, "chat.completion"), "choices": [choice], "usage": _usage(ended.usage)}


def role_chunk(reply: Reply) -> bytes:
    """The first piece of a stream: who speaks."""
    return _chunk(reply, [_choice({"role": "assistant", "content": ""})])


def text_chunk(reply: Reply, text: str) -> bytes:
    """More of the answer."""
    return _chunk(reply, [_choice({"content": text})])


def last_chunk(reply: Reply, stop: Stop) -> bytes:
    """The end of the answer."""
    return _chunk(reply, [_choice({}, finish_reason(stop))])


def usage_chunk(reply: Reply, usage: Usage) -> bytes:
    """The tokens of the run, for callers who asked for them."""
    return _chunk(reply, [], usage=_usage(usage))


def error_chunk(code: str, message: str) -> bytes:
    """A failure after the stream has begun."""
    return _line({"error": {"message": one_line(message), "type": kind_of(502), "code": code}})


def comment(text: str) -> bytes:
    """A line that keeps the connection open and that every client skips."""
    return f": {one_line(text)}\n\n".encode()


def failure(ended: TurnEnded) -> tuple[str, str]:
    """Code and message of a run that brought no answer."""
    return ended.code or ended.stop.value, ended.error or f"the run ended without an answer: {ended.stop.value}"


def finish_reason(stop: Stop) -> str:
    """Why an answer ended, in OpenAI's words."""
    return _FINISH.get(stop, "stop")


def model_list(names: Sequence[str], created: int) -> dict[str, Any]:
    """The answer of GET /v1/models."""
    return {"object": "list", "data": [model(name, created) for name in names]}


def model(name: str, created: int) -> dict[str, Any]:
    """One model, which is one agent."""
    return {"id": name, "object": "model", "created": created, "owned_by": OWNER}


def _decoded(body: bytes) -> _Request:
    try:
        return _requests.decode(body)
    except msgspec.ValidationError as error:
        raise HttpRefusal(400, "invalid_body", f"the body does not fit: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HttpRefusal(400, "malformed_json", f"the body is not JSON: {error}") from error


def _text(message: _Message, place: int) -> str:
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    for part in message.content:
        if part.type not in _TEXT_PARTS:
            raise HttpRefusal(
                400,
                "unsupported_content",
                f"messages[{place}] has a part of type {part.type}; only text is taken in here",
            )
        if part.text is None:
            raise HttpRefusal(400, "invalid_body", f"messages[{place}] has a text part without text")
    return "\n".join(part.text or "" for part in message.content)


def _choice(delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _chunk(reply: Reply, choices: list[dict[str, Any]], *, usage: dict[str, int] | None = None) -> bytes:
    piece = {**_head(reply, "chat.completion.chunk"), "choices": choices}
    return _line(piece if usage is None else {**piece, "usage": usage})


def _head(reply: Reply, kind: str) -> dict[str, Any]:
    return {"id": reply.id, "object": kind, "created": reply.created, "model": reply.model}


def _usage(usage: Usage) -> dict[str, int]:
    total = usage.input_tokens + usage.output_tokens
    return {"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens, "total_tokens": total}


def _line(value: object) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"
