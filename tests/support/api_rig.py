"""The API endpoint and webhooks behind the guard, with a fake inbox in place of a gateway."""

import json
from typing import Any

from core.api.base import PlatformName
from core.gateway.adapters import api_server, webhook
from core.gateway.adapters.signature import DELIVERY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, signature
from core.gateway.platform import PlatformContext
from core.http.asgi import App
from core.ids import IdSource
from core.platform_settings import ApiServerSettings, WebhookRoute, WebhookSettings
from core.secrets import Secret
from tests.support.clocks import FakeClock
from tests.support.fake_inbox import FakeInbox
from tests.support.http_calls import BEARER, KEY, Answer, Caller, FakeHost, call, guarded

CHAT = "/v1/chat/completions"
SESSION = "x-hermes-session-id"
ROUTE_SECRET = Secret("route-secret")


def context(clock: FakeClock, *, host: FakeHost | None = None, key: str | None = KEY) -> PlatformContext:
    """What adapters are built with."""
    return PlatformContext(
        clock=clock,
        ids=IdSource(clock),
        http=host or FakeHost(),
        secret=lambda _: ROUTE_SECRET,
        api_key=None if key is None else Secret(key),
        agents=lambda: ["main", "coder"],
    )


class Api:
    """The endpoint under /v1."""

    def __init__(self, inbox: FakeInbox | None = None, *, keepalive_s: float = 60.0) -> None:
        self.inbox = inbox or FakeInbox()
        self.clock = FakeClock()
        self.host = FakeHost()
        self.log: list[str] = []
        settings = ApiServerSettings(keepalive_s=keepalive_s)
        self.platform = api_server.create(PlatformName("api"), settings, context(self.clock, host=self.host))
        self.app: App = guarded(self.platform.app(self.inbox), self.log)

    async def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        """GET with the key."""
        return await call(self.app, "GET", path, {**BEARER, **(headers or {})})

    async def ask(self, *messages: Any, headers: dict[str, str] | None = None, **more: Any) -> Answer:
        """POST a chat completion; a plain text is a user message."""
        caller = self.caller(*messages, headers=headers, **more)
        await caller.make(self.app)
        return caller.answer

    def caller(self, *messages: Any, headers: dict[str, str] | None = None, **more: Any) -> Caller:
        """The same, not sent yet."""
        turns = [{"role": "user", "content": item} if isinstance(item, str) else item for item in messages]
        body = json.dumps({"model": "default", "messages": turns, **more}).encode()
        return Caller("POST", CHAT, {**BEARER, "content-type": "application/json", **(headers or {})}, body)


class Hooks:
    """The endpoint under /webhooks, with one route called `alerts`."""

    def __init__(self, inbox: FakeInbox | None = None, **route: Any) -> None:
        self.inbox = inbox or FakeInbox()
        self.clock = FakeClock()
        self.log: list[str] = []
        settings = WebhookSettings(routes={"alerts": WebhookRoute(secret="env:HOOK", **route)})
        self.platform = webhook.create(PlatformName("hooks"), settings, context(self.clock))
        self.app: App = guarded(self.platform.app(self.inbox), self.log)

    def signed(self, body: bytes, *, timestamp: str | None = None, delivery: str | None = None) -> dict[str, str]:
        """Headers that prove the body."""
        stamp = str(int(self.clock.now())) if timestamp is None else timestamp
        headers = {TIMESTAMP_HEADER: stamp, SIGNATURE_HEADER: signature(ROUTE_SECRET, stamp, body)}
        return headers if delivery is None else {**headers, DELIVERY_HEADER: delivery}

    async def post(
        self,
        value: Any = None,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        delivery: str | None = None,
        route: str = "alerts",
    ) -> Answer:
        """POST a body, signed unless headers are given."""
        raw = json.dumps({"text": "hi"} if value is None else value).encode() if body is None else body
        given = self.signed(raw, delivery=delivery) if headers is None else headers
        return await call(self.app, "POST", f"/webhooks/{route}", given, raw)
