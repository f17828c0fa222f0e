"""The OpenAPI 3.1 document of what is below /relay (pure)."""

from typing import Any

PATH = "/relay/openapi.json"

_TEXT: dict[str, Any] = {"type": "string"}
_MAYBE: dict[str, Any] = {"type": ["string", "null"]}
_MAYBE_TIME: dict[str, Any] = {"type": ["string", "null"], "description": "RFC 3339"}
_TIME: dict[str, Any] = {"type": "string", "description": "RFC 3339"}
_MESSAGE: dict[str, Any] = {
    "type": "object",
    "description": "A message. The text may be called `message` instead of `content`; unknown fields are left alone.",
    "properties": {
        "task_id": {
            "type": "string",
            "pattern": "^[!-~]{1,200}$",
            "description": "the same each time that the message is sent",
        },
        "from": _MAYBE,
        "to": _MAYBE,
        "content": {"type": "string", "minLength": 1},
        "session_key": {
            "type": ["string", "null"],
            "maxLength": 400,
            "description": "the conversation that it belongs to",
        },
        "metadata": {"type": ["string", "null"], "description": "JSON as a text; conversation, hops and path are read"},
        "status": _MAYBE,
        "response": _MAYBE,
        "error": _MAYBE,
        "created_at": _MAYBE_TIME,
    },
    "required": ["task_id", "content"],
}
_RESPONSE: dict[str, Any] = {
    "type": "object",
    "description": "How far a message is, or why it is not taken. duration: nanoseconds.",
    "properties": {
        "task_id": _TEXT,
        "status": {"type": "string", "enum": ["working", "completed", "failed", "canceled", "ok"]},
        "content": _TEXT,
        "timestamp": _TIME,
        "error": _TEXT,
        "duration": {"type": "integer"},
    },
    "required": ["task_id", "status", "timestamp", "duration"],
}
_ANSWER: dict[str, Any] = {
    "type": "object",
    "description": "What became of a message that we sent.",
    "properties": {
        "task_id": {"type": "string", "minLength": 1},
        "status": {"type": "string", "enum": ["working", "completed", "failed", "canceled"]},
        "content": _MAYBE,
        "timestamp": _MAYBE_TIME,
        "error": _MAYBE,
        "duration": {"type": ["integer", "null"]},
    },
    "required": ["task_id", "status"],
}
_IDENTITY: dict[str, Any] = {
    "type": "object",
    "description": "Who we are, and as whom the caller is known.",
    "properties": {"name": _TEXT, "version": _TEXT, "protocol": {"const": "hotplex"}, "peer": _TEXT},
    "required": ["name", "version", "protocol", "peer"],
}
_ERROR: dict[str, Any] = {
    "type": "object",
    "description": "Why a request is refused.",
    "properties": {
        "error": {
            "type": "object",
            "properties": {"message": _TEXT, "type": _TEXT, "code": _TEXT},
            "required": ["message", "type", "code"],
        }
    },
    "required": ["error"],
}
_SAID = {
    200: "It is over, or it is told how far it is.",
    202: "An agent works on it.",
    400: "It makes no sense; the answer says which field.",
    401: "The caller proves nothing.",
    403: "A signature for something else, or a web page of another origin.",
    404: "There is no such message of this caller, or no agent that answers it.",
    405: "The path takes another method.",
    408: "The body took too long.",
    409: "It is over already.",
    413: "It is too large.",
    415: "It is not sent as application/json.",
    422: "Another message has this id.",
    429: "Too many; see Retry-After.",
    500: "It failed on our side.",
    503: "The relay is paused or the core stops; see Retry-After.",
    508: "It has come around: a limit of loops.",
}
_ALWAYS = (401, 403, 405, 429, 500, 503)
_WITH_BODY = (400, 408, 413, 415)
_OF_MESSAGES = frozenset({400, 403, 404, 413, 422, 429, 503, 508})


def document() -> dict[str, Any]:
    """The document as JSON values."""
    task_id = {"name": "task_id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "hermes-console, messages between bots",
            "version": "1",
            "description": "Requests carry signatures of Standard Webhooks 1.0, or a bearer token.",
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": {
            "/relay": {
                "get": _operation("whoAreYou", "Who we are, and who the caller is", {200: "Identity"}),
                "post": _operation(
                    "sendMessage",
                    "Give an agent here a message",
                    {200: "Response", 202: "Response"},
                    (404, 422, 508),
                    body="Message",
                ),
            },
            "/relay/tasks/{task_id}": {
                "parameters": [task_id],
                "get": _operation("getMessage", "How far a message is", {200: "Response"}, (404,)),
                "delete": _operation("cancelMessage", "Take a message back", {200: "Response"}, (404, 409)),
            },
            "/relay/answers": {
                "post": _operation(
                    "sendAnswer", "Say what became of our message", {200: "Response"}, (404,), body="Answer"
                ),
            },
            PATH: {
                "get": {
                    "operationId": "getRelayDocument",
                    "summary": "This document",
                    "security": [],
                    "responses": {"200": _content("This document.", {"type": "object"})},
                }
            },
        },
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Message": _MESSAGE,
                "Response": _RESPONSE,
                "Answer": _ANSWER,
                "Identity": _IDENTITY,
                "Error": _ERROR,
            },
        },
    }


def _operation(
    name: str, summary: str, results: dict[int, str], refusals: tuple[int, ...] = (), *, body: str = ""
) -> dict[str, Any]:
    statuses = sorted({*_ALWAYS, *refusals, *(_WITH_BODY if body else ())})
    found: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "responses": {
            **{str(status): _content(_SAID[status], _ref(kind)) for status, kind in results.items()},
            **{str(status): _content(_SAID[status], _refusal(status, body)) for status in statuses},
        },
    }
    if body:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(body)}}}
    return found


def _refusal(status: int, body: str) -> dict[str, Any]:
    """Messages are refused as senders of HotPlex expect it."""
    if body == "Message" and status in _OF_MESSAGES:
        return {"anyOf": [_ref("Response"), _ref("Error")]}
    return _ref("Error")


def _content(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}
