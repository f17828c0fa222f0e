"""The OpenAPI 3.1 document of /v1, true to what the endpoint does (pure)."""

from typing import Any

from core.gateway.adapters.openai_wire import MESSAGE_LIMIT, MODEL_LIMIT

_ERRORS = {
    "400": "A field or header holds what it cannot hold, or the body is not JSON.",
    "401": "The API key is missing or wrong.",
    "403": "A rule forbids it, or a web page of another origin asked.",
    "404": "There is no such model.",
    "405": "The path takes another method.",
    "408": "The body took too long.",
    "409": "The idempotency key was used before and its answer is not ready or no longer kept.",
    "413": "The body is too large.",
    "415": "The body is not sent as application/json.",
    "429": "The session's queue is full; see Retry-After.",
    "500": "It failed on our side.",
    "502": "The run ended without an answer; `code` says why.",
    "503": "The core is stopping or cannot write; see Retry-After.",
}
_EXAMPLE: dict[str, Any] = {"model": "default", "messages": [{"role": "user", "content": "Hello"}]}
_ID_PATTERN = r"^[!-.0-\[\]-~]{1,256}$"


def document() -> dict[str, Any]:
    """The document as JSON values."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "hermes-console, OpenAI-compatible endpoint",
            "version": "1",
            "description": "Every model is an agent. The agent's own session keeps the conversation, so only the last "
            "user message is put to it; earlier ones are taken over when a new session begins.",
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": {
            "/v1/models": {"get": _list_models()},
            "/v1/models/{model}": {"get": _get_model()},
            "/v1/chat/completions": {"post": _create_completion()},
            "/v1/openapi.json": {"get": _get_document()},
        },
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
        },
    }


def _list_models() -> dict[str, Any]:
    return {
        "operationId": "listModels",
        "summary": "All agents, and `default`",
        "responses": {"200": _json("The models.", "ModelList"), **_errors("401", "403", "405", "500")},
    }


def _get_model() -> dict[str, Any]:
    return {
        "operationId": "getModel",
        "summary": "One agent",
        "parameters": [
            {
                "name": "model",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "minLength": 1},
                "example": "default",
            },
        ],
        "responses": {"200": _json("The model.", "Model"), **_errors("401", "403", "404", "405", "500")},
    }


def _get_document() -> dict[str, Any]:
    body = {"application/json": {"schema": {"type": "object"}}}
    return {
        "operationId": "getDocument",
        "summary": "This document",
        "security": [],
        "responses": {"200": {"description": "This document.", "content": body}, **_errors("403", "405", "500")},
    }


def _create_completion() -> dict[str, Any]:
    answered = _json("The answer; a stream of chunks where `stream` is true.", "Completion")
    answered["content"]["text/event-stream"] = {"schema": _object({"data": _string()})}
    answered["headers"] = {
        "X-Hermes-Session-Id": {
            "description": "The chat; send it again to go on there.",
            "required": True,
            "schema": {"type": "string"},
        }
    }
    return {
        "operationId": "createChatCompletion",
        "summary": "Ask an agent",
        "description": "The last message must be from the user (system messages may follow it) and hold text. "
        "`n` may be 1 only. Settings of the model, such as `temperature` and `tools`, are accepted and ignored: "
        "the agent has its own.",
        "parameters": [
            _header_parameter("X-Hermes-Session-Id", _ID_PATTERN, "Go on with this chat, or begin it."),
            _header_parameter("X-Hermes-Mode", "^(queue|interrupt|steer)$", "What to do when the chat is busy."),
            _header_parameter("Idempotency-Key", "^[!-~]{1,256}$", "A repeated key is taken in once."),
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _ref("CompletionRequest"), "example": _EXAMPLE}},
        },
        "responses": {"200": answered, **_errors(*_ERRORS)},
    }


def _schemas() -> dict[str, Any]:
    return {
        "Error": _object({"error": _object({"message": _string(), "type": _string(), "code": _string()})}, closed=True),
        "Model": _object({"id": _string(), "object": {"const": "model"}, "created": _count(), "owned_by": _string()}),
        "ModelList": _object(
            {"object": {"const": "list"}, "data": {"type": "array", "items": _ref("Model"), "minItems": 1}}
        ),
        "Usage": _object({"prompt_tokens": _count(), "completion_tokens": _count(), "total_tokens": _count()}),
        "Completion": _completion(),
        "CompletionRequest": _request(),
        "Message": _message(),
    }


def _completion() -> dict[str, Any]:
    message = _object({"role": {"const": "assistant"}, "content": _string()})
    choice = _object(
        {
            "index": {"const": 0},
            "message": message,
            "finish_reason": {"enum": ["stop", "length", "content_filter"]},
        }
    )
    return _object(
        {
            "id": _string(),
            "object": {"const": "chat.completion"},
            "created": _count(),
            "model": _string(),
            "choices": {"type": "array", "items": choice, "minItems": 1, "maxItems": 1},
            "usage": _ref("Usage"),
        }
    )


def _request() -> dict[str, Any]:
    options = {"type": ["object", "null"], "properties": {"include_usage": {"type": ["boolean", "null"]}}}
    return {
        "type": "object",
        "required": ["model", "messages"],
        "properties": {
            "model": {"type": "string", "minLength": 1, "maxLength": MODEL_LIMIT, "description": "an agent's name"},
            "messages": {"type": "array", "items": _ref("Message"), "minItems": 1, "maxItems": MESSAGE_LIMIT},
            "stream": {"type": ["boolean", "null"]},
            "stream_options": options,
            "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 1},
            "user": {"type": ["string", "null"], "description": "shown to operators as the sender"},
        },
    }


def _message() -> dict[str, Any]:
    part = {
        "type": "object",
        "required": ["type", "text"],
        "properties": {"type": {"enum": ["text", "input_text", "output_text"]}, "text": _string()},
    }
    return {
        "type": "object",
        "required": ["role"],
        "properties": {
            "role": {"enum": ["system", "developer", "user", "assistant", "tool", "function"]},
            "content": {"anyOf": [_string(), {"type": "array", "items": part}, {"type": "null"}]},
        },
    }


def _errors(*statuses: str) -> dict[str, Any]:
    return {status: _json(_ERRORS[status], "Error") for status in statuses}


def _json(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _ref(schema)}}}


def _header_parameter(name: str, pattern: str, description: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": pattern}
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": description}


def _object(properties: dict[str, Any], *, closed: bool = False) -> dict[str, Any]:
    shape = {"type": "object", "required": list(properties), "properties": properties}
    return {**shape, "additionalProperties": False} if closed else shape


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _string() -> dict[str, Any]:
    return {"type": "string"}


def _count() -> dict[str, Any]:
    return {"type": "integer", "minimum": 0}
