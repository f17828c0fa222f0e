"""A relay.web.Web without a network: what it is asked is kept, and a test says what comes back."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

import msgspec

from core.api.relay_targets import TargetFinding, TargetStep
from core.api.relay_tasks import AttemptResult
from core.http.asgi import App
from core.relay.web import CallError, WebAnswer
from tests.support.http_calls import Caller, guarded


class Asked(msgspec.Struct, frozen=True):
    """One request."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    networks: tuple[str, ...]

    def json(self) -> Any:
        """The body as JSON."""
        return msgspec.json.decode(self.body)


Said = WebAnswer | CallError | list[str | CallError | None]
"""An answer, a failure, or the lines of a stream of events: a failure in them breaks it off, None keeps it silent."""


class FakeWeb:
    """Answers as `say` wants it."""

    def __init__(self, say: Callable[[Asked], Said]) -> None:
        self.say = say
        self.asked: list[Asked] = []
        self.closed_streams = 0
        self.stream_type = "text/event-stream; charset=utf-8"
        self.findings = [TargetFinding(step=step, is_ok=True, seconds=0.0) for step in list(TargetStep)[:3]]

    def calls(self, method: str) -> list[Asked]:
        """Requests with that method."""
        return [item for item in self.asked if item.method == method]

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        networks: Sequence[str] = (),
        limit_s: float,
        limit_bytes: int = 1_048_576,
    ) -> WebAnswer:
        """Ask once."""
        assert limit_s > 0
        said = await self._said(Asked(method, url, dict(headers), body, tuple(networks)))
        if isinstance(said, list):
            text = "\n".join(str(line) for line in said)
            return WebAnswer(200, {"content-type": "text/event-stream"}, text.encode())
        return msgspec.structs.replace(said, body=said.body[:limit_bytes], is_cut=len(said.body) > limit_bytes)

    async def lines(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        networks: Sequence[str] = (),
        limit_s: float,
        limit_bytes: int = 1_048_576,
    ) -> AsyncGenerator[str | WebAnswer, None]:
        """Ask once and give lines."""
        assert limit_s > 0
        assert limit_bytes > 0
        said = await self._said(Asked(method, url, dict(headers), body, tuple(networks)))
        try:
            if isinstance(said, WebAnswer):
                yield msgspec.structs.replace(said, body=b"")
                for line in said.body[:limit_bytes].decode().splitlines():
                    yield line
                if len(said.body) > limit_bytes:
                    raise CallError("the body is too long", AttemptResult.UNKNOWN)
                return
            yield WebAnswer(200, {"content-type": self.stream_type}, b"")
            for item in said:
                if isinstance(item, CallError):
                    raise item
                if item is None:
                    await asyncio.Event().wait()
                else:
                    yield item
        finally:
            self.closed_streams += 1

    async def look(self, url: str, *, networks: Sequence[str], limit_s: float) -> Sequence[TargetFinding]:
        """The first three steps."""
        assert url
        assert limit_s > 0
        assert networks is not None
        return self.findings

    async def _said(self, asked: Asked) -> WebAnswer | list[str | CallError | None]:
        self.asked.append(asked)
        said = self.say(asked)
        if isinstance(said, CallError):
            raise said
        return said


class AppWeb(FakeWeb):
    """Puts requests to an app in this process, behind the guard of the core. canned: answers by method, instead."""

    def __init__(self, app: App) -> None:
        super().__init__(lambda _: WebAnswer(500, {}, b""))
        self._app = guarded(app)
        self.canned: dict[str, WebAnswer] = {}

    async def _said(self, asked: Asked) -> WebAnswer | list[str | CallError | None]:
        self.asked.append(asked)
        if asked.method in self.canned:
            return self.canned[asked.method]
        path = "/" + asked.url.split("/", 3)[3]
        host = {"host": asked.url.split("/", 3)[2]}
        caller = Caller(asked.method, path, {**asked.headers, **host}, asked.body)
        await caller.make(self._app)
        answer = caller.answer
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            return list(answer.body.decode().split("\n"))
        return WebAnswer(answer.status, answer.headers, answer.body)


def json_answer(value: object, status: int = 200, **headers: str) -> WebAnswer:
    """An answer of JSON."""
    return WebAnswer(status, {"content-type": "application/json", **headers}, msgspec.json.encode(value))
