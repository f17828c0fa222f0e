"""Chat completions as they are spoken by many servers: what to ask, and what a chunk or a refusal means (pure)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from core.agents.runner import TurnRequest
from core.api.runs import RunReport, Stop, TextDelta, ThoughtDelta, ToolCall, ToolStatus, Usage, UsageReported
from core.api.sessions import Voice
from core.api.transcripts import EntryKind, EntryView
from core.settings import OpenaiSettings

NO_TOOLS = "this runner has no tools"
_ARGUMENT_LIMIT = 65_536
_CALL_LIMIT = 64
_ERROR_LIMIT = 300
_OPERATOR = "[note from the operator] "
_ROLES = {
    EntryKind.USER: "user",
    EntryKind.NOTE: "user",
    EntryKind.AGENT: "assistant",
}
_STOPS = {
    "stop": Stop.END_TURN,
    "length": Stop.MAX_TOKENS,
    "content_filter": Stop.REFUSAL,
    "refusal": Stop.REFUSAL,
}
_CODES = {
    400: "bad_request",
    401: "auth",
    403: "auth",
    404: "model_not_found",
    408: "overloaded",
    413: "bad_request",
    422: "bad_request",
    429: "rate_limited",
}
_SERVER_FAULT = 500
_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached"})


class ChatError(Exception):
    """A refusal or a failure. code: stable name; retry_after_s: what the server asked for, None without.
    may_retry: whether the same request may succeed later.
    """

    def __init__(
        self, code: str, message: str, *, may_retry: bool = False, retry_after_s: float | None = None, status: int = 0
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.may_retry = may_retry
        self.retry_after_s = retry_after_s
        self.status = status


def request_body(settings: OpenaiSettings, request: TurnRequest, *, with_usage: bool) -> dict[str, Any]:
    """What is posted."""
    body: dict[str, Any] = {
        "model": settings.model,
        "messages": messages_of(settings.system_prompt, request),
        "stream": True,
    }
    if settings.max_tokens is not None:
        body["max_tokens"] = settings.max_tokens
    if with_usage:
        body["stream_options"] = {"include_usage": True}
    return body


def messages_of(system_prompt: str, request: TurnRequest) -> list[dict[str, str]]:
    """The conversation in the shape of the endpoint; neighbours of one role are joined, as some models insist."""
    messages: list[dict[str, str]] = []

    def say(role: str, text: str) -> None:
        if not text.strip():
            return
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += "\n\n" + text
        else:
            messages.append({"role": role, "content": text})

    say("system", system_prompt)
    for entry in request.history:
        if entry.kind is EntryKind.SYSTEM and entry.is_imported:
            say("system", entry.text)
        elif entry.kind in _ROLES:
            say(_ROLES[entry.kind], _marked(entry))
    for message in request.messages:
        say("user", (_OPERATOR if message.voice is Voice.NOTE else "") + message.text)
    return messages


def _marked(entry: EntryView) -> str:
    return _OPERATOR + entry.text if entry.kind is EntryKind.NOTE else entry.text


class Answer:
    """An answer as it comes in, chunk by chunk. has_begun: whether anything was reported."""

    def __init__(self) -> None:
        self.text_count = 0
        self.usage = Usage()
        self.has_begun = False
        self._stop: Stop | None = None
        self._calls: dict[int, dict[str, str]] = {}

    @property
    def is_finished(self) -> bool:
        """Whether the server has said why it stopped."""
        return self._stop is not None

    def take(self, data: str) -> Iterator[RunReport]:
        """Reports from the data of one event. Raises ChatError for an error object or nonsense."""
        for report in self._take(_decoded(data)):
            self.has_begun = True
            yield report

    def _take(self, chunk: Mapping[str, Any]) -> Iterator[RunReport]:
        if chunk.get("error"):
            raise error_of(chunk["error"], 0)
        usage = usage_of(chunk.get("usage"))
        if usage is not None:
            self.usage = usage
            yield UsageReported(usage=usage)
        choices = _list(chunk.get("choices"))
        if not choices:
            return
        choice = _object(choices[0])
        yield from self._delta(_object(choice.get("delta") or choice.get("message")))
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self._stop = self._stop if self._stop is Stop.REFUSAL else _STOPS.get(reason, Stop.END_TURN)

    def _delta(self, delta: Mapping[str, Any]) -> Iterator[RunReport]:
        thought = _text(delta.get("reasoning_content")) or _text(delta.get("reasoning"))
        if thought:
            yield ThoughtDelta(text=thought)
        refusal = _text(delta.get("refusal"))
        if refusal:
            self._stop = Stop.REFUSAL
        text = _text(delta.get("content")) + refusal
        if text:
            self.text_count += len(text)
            yield TextDelta(text=text)
        for place, piece in enumerate(_list(delta.get("tool_calls"))):
            self._call(_object(piece), place)

    def _call(self, piece: Mapping[str, Any], place: int) -> None:
        index = piece.get("index")
        slot = index if isinstance(index, int) else place
        if slot not in self._calls and len(self._calls) >= _CALL_LIMIT:
            raise ChatError("protocol", f"more than {_CALL_LIMIT} tool calls in one answer")
        call = self._calls.setdefault(slot, {"id": "", "name": "", "arguments": ""})
        self.has_begun = True
        named = _object(piece.get("function"))
        call["id"] = call["id"] or _text(piece.get("id"))
        call["name"] = call["name"] or _text(named.get("name"))
        arguments = named.get("arguments")
        more = msgspec.json.encode(arguments).decode() if isinstance(arguments, dict) else _text(arguments)
        call["arguments"] = (call["arguments"] + more)[:_ARGUMENT_LIMIT]

    def calls(self) -> list[ToolCall]:
        """Tool calls that the model wanted, as failed: there are none here."""
        return [
            ToolCall(
                id=call["id"] or f"call-{slot}",
                title=call["name"] or "unnamed tool",
                status=ToolStatus.FAILED,
                input=call["arguments"],
                output=NO_TOOLS,
            )
            for slot, call in sorted(self._calls.items())
        ]

    def stop(self) -> Stop:
        """Why it ended. Raises ChatError when what came is no answer."""
        if self._calls and not self.text_count:
            names = ", ".join(call.title for call in self.calls())
            raise ChatError("protocol", f"the model asked for {names[:_ERROR_LIMIT]}, but {NO_TOOLS}")
        if self._stop is None and not self.text_count:
            raise ChatError("protocol", "the answer ended before it began")
        return self._stop or Stop.END_TURN


def usage_of(found: object) -> Usage | None:
    """Token counts; None when there are none."""
    counts = _object(found)
    if not counts:
        return None
    asked, answered = _count(counts.get("prompt_tokens")), _count(counts.get("completion_tokens"))
    cost = counts.get("cost")
    return Usage(
        input_tokens=asked,
        output_tokens=answered,
        context_tokens=asked + answered,
        cost_usd=float(cost) if isinstance(cost, int | float) and cost >= 0 else 0.0,
    )


def refusal_of(status: int, body: str, retry_after_s: float | None) -> ChatError:
    """What an HTTP status other than 200 means."""
    try:
        found: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        found = None
    error = error_of(_object(found).get("error") or found or body, status)
    error.retry_after_s = retry_after_s
    return error


def error_of(found: object, status: int) -> ChatError:
    """What an error object means, wherever it came. status: 0 when it did not come as one."""
    details = _object(found)
    message = _text(details.get("message")) or _text(details.get("detail")) or _text(found)
    names = {str(details.get(key)) for key in ("code", "type") if details.get(key)}
    own = details.get("code")
    if not status and isinstance(own, int | str) and str(own).isdecimal():
        status = int(own)
    code = _named_code(names) or _CODES.get(status) or ("overloaded" if status >= _SERVER_FAULT else "bad_request")
    if not status and code == "bad_request" and not names & {"invalid_request_error", "bad_request"}:
        code = "overloaded" if not names or "server_error" in names else "protocol"
    may_retry = code in {"rate_limited", "overloaded"} and not names & _QUOTA
    said = _one_line(message) or "no reason given"
    return ChatError(code, f"{status} {said}" if status else said, may_retry=may_retry, status=status)


def _named_code(names: set[str]) -> str:
    known = {
        "model_not_found": "model_not_found",
        "invalid_api_key": "auth",
        "authentication_error": "auth",
        "permission_error": "auth",
        "rate_limit_exceeded": "rate_limited",
        "rate_limit_error": "rate_limited",
        "insufficient_quota": "rate_limited",
        "overloaded_error": "overloaded",
        "context_length_exceeded": "bad_request",
    }
    return next((known[name] for name in sorted(names) if name in known), "")


def _decoded(data: str) -> Mapping[str, Any]:
    try:
        found: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        raise ChatError("protocol", f"not JSON: {_one_line(data)}") from None
    if not isinstance(found, dict):
        raise ChatError("protocol", f"not an object: {_one_line(data)}")
    return _object(cast("object", found))


def _one_line(text: str) -> str:
    cleaned = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * _ERROR_LIMIT])
    return " ".join(cleaned.split())[:_ERROR_LIMIT]


def _text(found: object) -> str:
    """A text, or the texts of a list of parts."""
    if isinstance(found, str):
        return found
    parts = [_object(part).get("text") for part in _list(found)]
    return "".join(part for part in parts if isinstance(part, str))


def _object(found: object) -> Mapping[str, Any]:
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _list(found: object) -> Sequence[Any]:
    return cast("Sequence[Any]", found) if isinstance(found, list) else ()


def _count(found: object) -> int:
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else 0
