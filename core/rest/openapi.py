"""The OpenAPI 3.1 document, made of the routes and their words, so that it cannot say anything else (pure)."""

from collections.abc import Sequence
from typing import Any

import msgspec

from core.rest.fault import ErrorBody
from core.rest.route import Route

_REF = "#/components/schemas/{name}"
_ERRORS = {
    400: "A field holds what it cannot hold or is not known, or the body is not JSON.",
    401: "The API key is missing or wrong.",
    403: "A rule forbids it, or a web page of another origin asked.",
    404: "There is no such thing.",
    405: "The path takes another method.",
    408: "The body took too long.",
    409: "It changed since it was looked at, somebody else was first, or the key was used for something else.",
    413: "The body is too large.",
    415: "The body is not sent as application/json.",
    429: "A bound is reached; see Retry-After.",
    500: "It failed on our side.",
    503: "The core is stopping or cannot write; see Retry-After.",
}
_ALWAYS = (400, 401, 403, 405, 500, 503)
_WITH_BODY = (408, 413, 415)


def document(routes: Sequence[Route[Any, Any]]) -> dict[str, Any]:
    """The document as JSON values."""
    types = _types(routes)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    for route in routes:
        if route.takes_body:
            _relax(route.body.__name__, components, set())
    schema_of = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schema_of, components)
    paths["/api/openapi.json"] = {"get": _own()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "hermes-console, agents over HTTP",
            "version": "1",
            "description": "Agents, tasks, runs and approvals below /api; runs as other Hermes clients know them below "
            "/v1/runs. Instants are pairs of UTC seconds and seconds on the core's monotonic clock.",
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": components,
        },
    }


def _relax(name: str, components: dict[str, Any], seen: set[str]) -> None:
    """Let the names of words be left out of what is sent: only answers always have them."""
    if name in seen:
        return
    seen.add(name)
    shape = components[name]
    shape["required"] = [field for field in shape.get("required", []) if field != "type"]
    text = msgspec.json.encode(shape).decode()
    for other in components:
        if f'"{_REF.format(name=other)}"' in text:
            _relax(other, components, seen)


def _types(routes: Sequence[Route[Any, Any]]) -> list[type[Any]]:
    found: list[type[Any]] = [ErrorBody]
    for route in routes:
        found += [route.query, *route.results.values()]
        if route.takes_body:
            found.append(route.body)
    return list(dict.fromkeys(found))


def _operation(
    route: Route[Any, Any], schema_of: dict[type[Any], dict[str, Any]], components: dict[str, Any]
) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": route.name, "summary": route.summary}
    parameters = [*_path_parameters(route), *_query_parameters(route, components)]
    if route.stream is not None:
        parameters.append(_parameter("Last-Event-ID", "header", {"type": "string"}, is_required=False))
    if parameters:
        operation["parameters"] = parameters
    if route.takes_body:
        needed = bool(components[route.body.__name__].get("required"))
        content = {"application/json": {"schema": schema_of[route.body]}}
        operation["requestBody"] = {"required": needed, "content": content}
    operation["responses"] = _responses(route, schema_of)
    return operation


def _responses(route: Route[Any, Any], schema_of: dict[type[Any], dict[str, Any]]) -> dict[str, Any]:
    kind = "application/json" if route.stream is None else "text/event-stream"
    found = {
        str(status): {"description": _line(result.__doc__ or ""), "content": {kind: {"schema": schema_of[result]}}}
        for status, result in route.results.items()
    }
    refused = {*_ALWAYS, *route.refusals}
    if route.takes_body:
        refused |= set(_WITH_BODY)
    if "{" in route.path:
        refused.add(404)
    failure = {"application/json": {"schema": schema_of[ErrorBody]}}
    return found | {str(status): {"description": _ERRORS[status], "content": failure} for status in sorted(refused)}


def _path_parameters(route: Route[Any, Any]) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in route.parts if part.startswith("{")]
    return [_parameter(name, "path", {"type": "string", "minLength": 1}, is_required=True) for name in names]


def _query_parameters(route: Route[Any, Any], components: dict[str, Any]) -> list[dict[str, Any]]:
    shape: dict[str, Any] = components[route.query.__name__]
    required: list[str] = shape.get("required", [])
    properties: dict[str, Any] = shape.get("properties", {})
    return [_parameter(name, "query", schema, is_required=name in required) for name, schema in properties.items()]


def _parameter(name: str, place: str, schema: dict[str, Any], *, is_required: bool) -> dict[str, Any]:
    return {"name": name, "in": place, "required": is_required, "schema": schema}


def _own() -> dict[str, Any]:
    content = {"application/json": {"schema": {"type": "object"}}}
    return {
        "operationId": "getDocument",
        "summary": "This document",
        "security": [],
        "responses": {"200": {"description": "This document.", "content": content}},
    }


def _line(text: str) -> str:
    return " ".join(text.split())
