"""Agent2Agent over JSON-RPC: versions, methods, errors, and the envelopes of requests and answers (pure).

Spoken is 1.0, and 0.3 with those that know nothing later. Whatever comes in, what is raised is an A2aFault.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

VERSION_HEADER = "a2a-version"
CARD_PATH = "/.well-known/agent-card.json"
OLD_CARD_PATH = "/.well-known/agent.json"
"""Where servers older than 0.3 have it."""

_SHOWN = 300
_PARTS = 2
_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
_DOMAIN = "a2a-protocol.org"


class A2aVersion(StrEnum):
    """How the two ends speak."""

    V1 = "1.0"
    V03 = "0.3"


class Method(StrEnum):
    """What can be asked, whatever it is called in a version."""

    SEND = "send"
    STREAM = "stream"
    GET = "get"
    CANCEL = "cancel"
    SUBSCRIBE = "subscribe"


NAMES: Mapping[A2aVersion, Mapping[Method, str]] = {
    A2aVersion.V1: {
        Method.SEND: "SendMessage",
        Method.STREAM: "SendStreamingMessage",
        Method.GET: "GetTask",
        Method.CANCEL: "CancelTask",
        Method.SUBSCRIBE: "SubscribeToTask",
    },
    A2aVersion.V03: {
        Method.SEND: "message/send",
        Method.STREAM: "message/stream",
        Method.GET: "tasks/get",
        Method.CANCEL: "tasks/cancel",
        Method.SUBSCRIBE: "tasks/resubscribe",
    },
}
_METHODS = {version: {name: method for method, name in names.items()} for version, names in NAMES.items()}
_PUSH = "PushNotificationConfig"


class Code:
    """Numbers of errors: those of JSON-RPC, then those of Agent2Agent."""

    PARSE = -32700
    REQUEST = -32600
    METHOD = -32601
    PARAMS = -32602
    INTERNAL = -32603
    TASK_NOT_FOUND = -32001
    NOT_CANCELABLE = -32002
    NO_PUSH = -32003
    UNSUPPORTED = -32004
    CONTENT_TYPE = -32005
    ANSWER = -32006
    NO_CARD = -32007
    EXTENSION = -32008
    VERSION = -32009


_REASONS = {
    Code.PARSE: "PARSE_ERROR",
    Code.REQUEST: "INVALID_REQUEST",
    Code.METHOD: "METHOD_NOT_FOUND",
    Code.PARAMS: "INVALID_PARAMS",
    Code.INTERNAL: "INTERNAL_ERROR",
    Code.TASK_NOT_FOUND: "TASK_NOT_FOUND",
    Code.NOT_CANCELABLE: "TASK_NOT_CANCELABLE",
    Code.NO_PUSH: "PUSH_NOTIFICATION_NOT_SUPPORTED",
    Code.UNSUPPORTED: "UNSUPPORTED_OPERATION",
    Code.CONTENT_TYPE: "CONTENT_TYPE_NOT_SUPPORTED",
    Code.ANSWER: "INVALID_AGENT_RESPONSE",
    Code.NO_CARD: "EXTENDED_AGENT_CARD_NOT_CONFIGURED",
    Code.EXTENSION: "EXTENSION_SUPPORT_REQUIRED",
    Code.VERSION: "VERSION_NOT_SUPPORTED",
}
_STATUS = {
    Code.TASK_NOT_FOUND: 404,
    Code.METHOD: 404,
    Code.CONTENT_TYPE: 415,
    Code.NOT_CANCELABLE: 409,
    Code.ANSWER: 502,
    Code.INTERNAL: 500,
}
LOOP = "LOOP"
"""Reason of a message that came around too often. The protocol has no code for it."""

_RESERVED = range(-32768, -31999)


class A2aFault(Exception):
    """An error of the protocol, ours or the far side's. reason: the code as a word."""

    def __init__(self, code: int, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason or _REASONS.get(code, "")

    @property
    def status(self) -> int:
        """The status of HTTP that means as much. Errors without a known number are the far side's own trouble."""
        if self.code in _STATUS:
            return _STATUS[self.code]
        return 400 if self.code in _REASONS or self.code not in _RESERVED else 500


class UnreadableError(A2aFault):
    """What came is not of Agent2Agent: no error that the far side tells of."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(Code.ANSWER, f"{what} is not of Agent2Agent: {cut(why)}")


class Request(msgspec.Struct, frozen=True):
    """A call. id: as the caller wrote it."""

    id: str | int | None
    method: str
    params: Mapping[str, object]


def version_of(header: str) -> A2aVersion:
    """The version that a request is in; one without the header is 0.3. Raises A2aFault."""
    text = header.strip()
    if not text:
        return A2aVersion.V03
    numbers = text.split(".")
    if all(part.isascii() and part.isdigit() and len(part) < len("1000") for part in numbers):
        if int(numbers[0]) == 1:
            return A2aVersion.V1
        if len(numbers) >= _PARTS and (int(numbers[0]), int(numbers[1])) == (0, 3):
            return A2aVersion.V03
    raise A2aFault(Code.VERSION, f"version {cut(text)} is not spoken here; send A2A-Version: 1.0 or 0.3")


def method_of(name: str, version: A2aVersion) -> Method:
    """What a request wants. Raises A2aFault that says why it cannot be had."""
    found = _METHODS[version].get(name)
    if found is not None:
        return found
    if _PUSH.lower() in name.lower():
        raise A2aFault(Code.NO_PUSH, "nothing is pushed from here; ask with GetTask, or stream")
    if name in {"GetExtendedAgentCard", "agent/getAuthenticatedExtendedCard"}:
        raise A2aFault(Code.NO_CARD, "there is no other card than the public one")
    if version is A2aVersion.V1 and name in _METHODS[A2aVersion.V03]:
        # Some speak 1.0 and call the methods as they were called before; the header says how to answer.
        return _METHODS[A2aVersion.V03][name]
    if name in _METHODS[A2aVersion.V1]:
        raise A2aFault(Code.VERSION, f"{name} is of version 1.0; send A2A-Version: 1.0")
    raise A2aFault(Code.METHOD, f"there is no method {cut(name)}")


class _Envelope(msgspec.Struct):
    jsonrpc: str
    method: str
    params: dict[str, object] | None = None


class _Named(msgspec.Struct):
    id: str | int | None = None


_NAMED = msgspec.json.Decoder(_Named)


def read_request(body: bytes) -> Request:
    """The call in a body. Raises A2aFault."""
    value = _json(body)
    if isinstance(value, list):
        raise A2aFault(Code.REQUEST, "several calls in one request are not taken; send one")
    try:
        found = msgspec.convert(value, _Envelope)
        named = msgspec.convert(value, _Named)
    except (msgspec.ValidationError, RecursionError) as error:
        raise A2aFault(Code.REQUEST, f"the request is no JSON-RPC call: {cut(str(error))}") from None
    if found.jsonrpc != "2.0":
        raise A2aFault(Code.REQUEST, "jsonrpc must be 2.0")
    return Request(named.id, found.method, found.params or {})


def request_id(body: bytes) -> str | int | None:
    """The id of a call that may be no good in everything else."""
    try:
        return _NAMED.decode(body).id
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def write_request(name: str, params: Mapping[str, object], call_id: str) -> bytes:
    """The body of a call."""
    return msgspec.json.encode({"jsonrpc": "2.0", "id": call_id, "method": name, "params": params})


def write_result(call_id: str | int | None, result: object) -> bytes:
    """The body of an answer."""
    return msgspec.json.encode({"jsonrpc": "2.0", "id": call_id, "result": result})


def write_fault(call_id: str | int | None, fault: A2aFault) -> bytes:
    """The body of an answer that is an error."""
    info = {"@type": _INFO, "reason": fault.reason, "domain": _DOMAIN}
    error = {"code": fault.code, "message": fault.message, "data": [info]}
    return msgspec.json.encode({"jsonrpc": "2.0", "id": call_id, "error": error})


class _Info(msgspec.Struct):
    reason: str = ""


class _Error(msgspec.Struct):
    code: int
    message: str | None = ""
    data: object = None

    @property
    def reason(self) -> str:
        """The word that comes with it, "" for none."""
        try:
            found = msgspec.convert(self.data, list[_Info])
        except (msgspec.ValidationError, RecursionError):
            return ""
        return next((cut(item.reason) for item in found if item.reason), "")


class _Answer(msgspec.Struct):
    result: dict[str, object] | None = None
    error: _Error | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


def read_answer(body: bytes | str) -> Mapping[str, object]:
    """The result in the body of an answer. Raises A2aFault: what the far side says is wrong, or that this is none."""
    try:
        found = _ANSWER.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise UnreadableError("the answer", str(error)) from None
    if found.error is not None:
        words = cut(found.error.message or "") or "it does not say what is wrong"
        raise A2aFault(found.error.code, words, found.error.reason)
    if found.result is None:
        raise UnreadableError("the answer", "it has neither a result nor an error")
    return found.result


def cut(text: str) -> str:
    """Words from outside as one bounded line."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def _json(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise A2aFault(Code.PARSE, f"the body is not JSON: {cut(str(error))}") from None
