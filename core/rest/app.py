"""The app: finds the route, checks the key, reads what was sent, and answers."""

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec

from core.api.errors import HermesError
from core.api.port import Hermes
from core.clock import Clock
from core.http.asgi import JSON, Receive, Scope, Send, media_type, read_body, respond_json
from core.http.auth import demand_key
from core.http.refusal import HttpRefusal
from core.rest import agents, approvals, task_runs, tasks, v1_runs
from core.rest.decoding import Nothing, body_of, query_of
from core.rest.fault import Fault, fault_of
from core.rest.openapi import document
from core.rest.route import Asked, Reply, Route, matched
from core.secrets import Secret

API_PREFIX = "/api"
RUNS_PREFIX = "/v1/runs"
OPENAPI_PATH = "/api/openapi.json"
KEEPALIVE_S = 15.0

ROUTES: tuple[Route[Any, Any], ...] = (
    *agents.ROUTES,
    *tasks.ROUTES,
    *task_runs.ROUTES,
    *approvals.ROUTES,
    *v1_runs.ROUTES,
)


class RestApp:
    """An ASGI app over a Hermes, to mount at API_PREFIX and RUNS_PREFIX.

    key: that every request but that for the OpenAPI document must carry. keepalive_s: longest silence of a stream.
    """

    def __init__(self, hermes: Hermes, *, clock: Clock, key: Secret, keepalive_s: float = KEEPALIVE_S) -> None:
        self._hermes = hermes
        self._clock = clock
        self._key = key
        self._keepalive_s = keepalive_s
        self._document: bytes | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises HttpRefusal until the answer has begun."""
        path: str = scope["path"]
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        if path == OPENAPI_PATH:
            _demand_method(scope, method, ["GET"])
            if self._document is None:
                # Made once, and not in a moment.
                self._document = await asyncio.to_thread(_openapi)
            await respond_json(send, 200, msgspec.Raw(self._document))
            return
        demand_key(scope, self._key)
        line, found = self._find(scope, method, path)
        try:
            reply = await line.route.answer(
                Asked(
                    hermes=self._hermes,
                    clock=self._clock,
                    keepalive_s=self._keepalive_s,
                    path=found,
                    body=await line.read(scope, receive),
                    query=query_of(scope.get("query_string") or b"", line.route.query),
                    scope=scope,
                    receive=receive,
                    send=send,
                )
            )
        except HermesError as error:
            raise fault_of(error, line.route.names) from error
        if reply is not None:
            await _respond(send, reply)

    def _find(self, scope: Scope, method: str, path: str) -> "tuple[_Line, dict[str, str]]":
        given = path.strip("/").split("/") if not path.endswith("/") else []
        allowed: list[str] = []
        for line in _LINES:
            found = matched(line.parts, given)
            if found is not None and line.route.method == method:
                return line, found
            if found is not None:
                allowed.append(line.route.method)
        if not allowed:
            raise HttpRefusal(404, "unknown_path", f"nothing is served at {path}")
        _demand_method(scope, method, allowed)
        raise AssertionError(path)


class _Line:
    """A route, ready to be used."""

    def __init__(self, route: Route[Any, Any]) -> None:
        self.route = route
        self.parts = route.parts
        self._decoder = msgspec.json.Decoder(route.body)
        msgspec.convert({}, route.query)

    async def read(self, scope: Scope, receive: Receive) -> object:
        """The body as the route wants it; one that nobody asked for is left alone."""
        if not self.route.takes_body:
            return Nothing()
        body = await read_body(receive)
        if body and media_type(scope) != JSON:
            raise Fault(415, "unsupported_media_type", f"send the body as {JSON}", fix=f"Content-Type: {JSON}")
        return body_of(body, self._decoder)


# msgspec crashes when two threads are the first to use a type; here each is used once under the import lock.
_LINES = tuple(_Line(route) for route in ROUTES)


def _openapi() -> bytes:
    return msgspec.json.encode(document(ROUTES))


async def _respond(send: Send, reply: Reply) -> None:
    await respond_json(send, reply.status, reply.value)


def _demand_method(scope: Scope, method: str, allowed: Iterable[str]) -> None:
    known = sorted({*allowed, "HEAD"} if "GET" in allowed else set(allowed))
    if method not in known:
        text = ", ".join(known)
        raise HttpRefusal(405, "wrong_method", f"{scope['path']} takes {text}", headers=(("allow", text),))
