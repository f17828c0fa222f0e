"""Calls an ASGI app in this process, behind the guard that stands before every app of the core."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from core.http.asgi import App, Message, Scope
from core.http.guard import Guard, RequestLimits
from core.http.server import HttpServer
from core.secrets import Secret
from core.settings import HttpSettings

KEY = "k" * 24
BEARER = {"authorization": f"Bearer {KEY}"}
LIMITS = RequestLimits(body_bytes=65_536, body_timeout_s=5.0)


class Answer:
    """What an app answered."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.is_whole = False

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def error(self) -> dict[str, str]:
        """The error object; fails unless the body is one line of JSON that holds just that."""
        assert self.headers["content-type"] == "application/json"
        assert self.body.endswith(b"\n")
        assert self.body.count(b"\n") == 1
        assert b"Traceback" not in self.body
        value = self.json()
        assert set(value) == {"error"}
        assert set(value["error"]) == {"message", "type", "code"}
        error: dict[str, str] = value["error"]
        return error

    def events(self) -> list[str]:
        """Server-sent events and comments, each as its line."""
        return [piece for piece in self.body.decode().split("\n\n") if piece]


class Caller:
    """One request. hung_up: set it to hang up."""

    def __init__(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes | Sequence[bytes] = b"",
        *,
        query: bytes = b"",
        must_wait: bool = True,
    ) -> None:
        chunks = [body] if isinstance(body, bytes) else list(body)
        self.answer = Answer()
        self.hung_up = asyncio.Event()
        self.written = asyncio.Event()
        self._must_wait = must_wait
        self._messages: list[Message] = [
            {"type": "http.request", "body": piece, "more_body": number < len(chunks) - 1}
            for number, piece in enumerate(chunks)
        ]
        given = {"host": "127.0.0.1:8642", **(headers or {})}
        if isinstance(body, bytes) and body:
            given.setdefault("content-length", str(len(body)))
        elif not isinstance(body, bytes):
            given.setdefault("transfer-encoding", "chunked")
        self.scope: Scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode("utf-8", "replace"),
            "query_string": query,
            "headers": [(key.lower().encode("latin-1"), value.encode("latin-1")) for key, value in given.items()],
            "http_version": "1.1",
        }

    async def receive(self) -> Message:
        """The next piece of the body, then the hang-up."""
        if self._messages:
            return self._messages.pop(0)
        if self._must_wait:
            await self.hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Keep what the app sends."""
        if message["type"] == "http.response.start":
            self.answer.status = message["status"]
            self.answer.headers = {key.decode(): value.decode("latin-1") for key, value in message["headers"]}
        else:
            self.answer.body += message["body"]
            self.answer.is_whole = not message["more_body"]
        self.written.set()

    async def make(self, app: App) -> None:
        """Send it to an app, and wait until the app is done with it."""
        await app(self.scope, self.receive, self.send)

    async def until(self, piece: bytes) -> None:
        """Wait until the app has sent this."""
        while piece not in self.answer.body:
            self.written.clear()
            await self.written.wait()


def guarded(app: App, log: list[str] | None = None, *, limits: RequestLimits = LIMITS) -> App:
    """The app behind the guard, as on loopback."""
    lines = [] if log is None else log
    return Guard(app, limits=limits, is_loopback=True, log=lines.append)


async def call(
    app: App,
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    body: bytes | Sequence[bytes] = b"",
    *,
    query: bytes = b"",
) -> Answer:
    """Make a request and wait for its end."""
    caller = Caller(method, path, headers, body, query=query)
    await caller.make(app)
    return caller.answer


@asynccontextmanager
async def serving(
    settings: HttpSettings | None = None, *, key: str | None = KEY, log: list[str] | None = None
) -> AsyncIterator[HttpServer]:
    """A server on a free port of this machine, for as long as the block lasts."""
    lines: list[str] = [] if log is None else log
    server = HttpServer(settings or HttpSettings(port=0), None if key is None else Secret(key), lines.append)
    await server.bind()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.run())
        try:
            yield server
        finally:
            await server.stop()
            await task


class FakeHost:
    """Implements gateway.platform.HttpHost without a server."""

    def __init__(self, url: str = "http://127.0.0.1:1") -> None:
        self.url = url
        self.apps: dict[str, App] = {}

    def mount(self, prefix: str, app: App) -> None:
        """Keep the app."""
        if prefix in self.apps:
            raise ValueError(f"{prefix} is taken")
        self.apps[prefix] = app

    def unmount(self, prefix: str) -> None:
        """Let the app go."""
        self.apps.pop(prefix, None)
