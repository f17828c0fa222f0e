"""JSON-RPC 2.0 as agents speak it over lines, both directions, without I/O: what to send, what a line means (pure).

Both sides number their requests from zero, so an answer is matched by its direction and never by its number alone.
"""

import json
from typing import Any, cast

import msgspec

from core.agents.loose_json import decoded

Fields = dict[str, Any]

AUTH_REQUIRED = -32000
METHOD_NOT_FOUND = -32601
CANCELLED = -32800
_TEXT_LIMIT = 500


class Asked(msgspec.Struct, frozen=True):
    """The agent wants an answer. key: its id as text, different for 0 and "0"; id: as it must come back."""

    key: str
    id: Any
    method: str
    params: Fields


class Told(msgspec.Struct, frozen=True):
    """The agent says something and wants no answer."""

    method: str
    params: Fields


class Answered(msgspec.Struct, frozen=True):
    """The agent answers a request of ours. error: None when it did what was asked."""

    number: int
    method: str
    result: Fields
    error: "WireError | None" = None


class Nonsense(msgspec.Struct, frozen=True):
    """A line that cannot be used. why: for the log."""

    why: str


Incoming = Asked | Told | Answered | Nonsense


class WireError(Exception):
    """A request of ours was refused. code: as JSON-RPC has it; message: with what the agent added, in one line."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Wire:
    """The two id spaces of one connection: numbers of our own requests, and what each of them asked."""

    def __init__(self) -> None:
        self._next = 0
        self._open: dict[int, str] = {}

    def request(self, method: str, params: Fields) -> tuple[int, bytes]:
        """The number of a new request, and its line."""
        number, self._next = self._next, self._next + 1
        self._open[number] = method
        return number, _line({"id": number, "method": method, "params": params})

    def take(self, line: bytes) -> Incoming:
        """What a line means. Raises nothing."""
        try:
            found = decoded(line)
        except (ValueError, RecursionError):
            return Nonsense(f"not JSON: {line[:80]!r}")
        if not isinstance(found, dict):
            return Nonsense("not a JSON-RPC message")
        message = cast("Fields", found)
        method = message.get("method")
        if isinstance(method, str):
            params = fields(message.get("params"))
            if message.get("id") is None:
                return Told(method, params)
            return Asked(request_key(message["id"]), message["id"], method, params)
        return self._answered(message)

    def _answered(self, message: Fields) -> Incoming:
        number = message.get("id")
        if not isinstance(number, int) or isinstance(number, bool) or number not in self._open:
            what = f": {_error_of(message['error']).message}" if message.get("error") is not None else ""
            return Nonsense(f"an answer to no request of ours ({number!r:.40}){what}")
        method = self._open.pop(number)
        error = message.get("error")
        return Answered(number, method, fields(message.get("result")), None if error is None else _error_of(error))


def notification(method: str, params: Fields) -> bytes:
    """The line of something that wants no answer."""
    return _line({"method": method, "params": params})


def answer(request_id: Any, result: Fields) -> bytes:
    """The line that answers a request of the agent."""
    return _line({"id": request_id, "result": result})


def refusal(request_id: Any, code: int, message: str) -> bytes:
    """The line that refuses a request of the agent."""
    return _line({"id": request_id, "error": {"code": code, "message": message}})


def request_key(request_id: object) -> str:
    """An id of a request as text, different for 0 and "0"."""
    return json.dumps(request_id, ensure_ascii=False)


def fields(value: object) -> Fields:
    """The value when it is an object, else an empty one."""
    return cast("Fields", value) if isinstance(value, dict) else {}


def objects(value: object) -> list[Fields]:
    """The objects in a list; nothing when it is none."""
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Fields", item) for item in items if isinstance(item, dict)]


def text(value: object) -> str:
    """The value when it is a string, else ""."""
    return value if isinstance(value, str) else ""


def pretty(value: object) -> str:
    """A value as JSON for people, exact and whole."""
    try:
        return json.dumps(value, indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return repr(value)


def _line(message: Fields) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0"} | message)


def _error_of(error: object) -> WireError:
    found = fields(error)
    code = found.get("code")
    said = [text(found.get("message")) or "no reason given"]
    more = found.get("data")
    if isinstance(more, str):
        said.append(more)
    elif isinstance(more, dict):
        details = fields(cast("object", more))
        said += [value for name in ("message", "details", "detail", "error") if (value := text(details.get(name)))]
    line = " ".join(": ".join(dict.fromkeys(said)).split())
    is_number = isinstance(code, int) and not isinstance(code, bool)
    return WireError(cast("int", code) if is_number else 0, line[:_TEXT_LIMIT])
