"""The app below /relay behind the guard, and requests of two peers: one bears a token, one signs."""

import json
from typing import Any, cast

from core.api.errors import NotFound
from core.http.guard import RequestLimits
from core.relay import signing
from core.relay.relay_app import RelayApp
from core.relay.wire import Reply
from core.secrets import Secret
from tests.support.http_calls import Answer, call, guarded
from tests.support.journals import until_idle
from tests.support.relay_inbound import NEW_KEY, SECRETS, Rig

IN = SECRETS["env:IN"]
LIMITS = RequestLimits(body_bytes=1_048_576, body_timeout_s=5.0)


class FakeAnswers:
    """Takes answers to `ours`."""

    def __init__(self) -> None:
        self.came_in: list[tuple[str, str, Reply]] = []

    async def came(self, peer: str, wire_id: str, reply: Reply) -> None:
        """Note it."""
        if wire_id != "ours":
            raise NotFound("no such message", noun="relay task", id=wire_id)
        self.came_in.append((peer, wire_id, reply))


class Door:
    """The app behind the guard."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.answers = FakeAnswers()
        self.relay = RelayApp(
            inbound=rig.inbound,
            answers=cast("Any", self.answers),
            peers=rig.peers,
            settings=rig.rules,
            clock=rig.clock,
        )
        self.app = guarded(self.relay, limits=LIMITS)

    async def bearing(self, method: str, path: str, body: object = None, token: str = IN, **headers: str) -> Answer:
        """A request of bob, who has a token."""
        return await self.call(method, path, body, {"authorization": f"Bearer {token}", **headers})

    async def signed(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str = NEW_KEY,
        message_id: str = "m-1",
        ago_s: float = 0.0,
    ) -> Answer:
        """A request of ana, who signs."""
        raw = as_sent(body)
        headers = signing.signed_headers([Secret(key)], message_id, self.rig.clock.now() - ago_s, raw)
        return await self.call(method, path, body, headers)

    async def call(self, method: str, path: str, body: object, headers: dict[str, str]) -> Answer:
        """Any request."""
        raw = as_sent(body)
        given = {"content-type": "application/json", **headers} if raw else headers
        answer = await call(self.app, method, path, given, raw)
        await until_idle()
        return answer


def as_sent(body: object) -> bytes:
    """A body as it is sent."""
    if isinstance(body, bytes):
        return body
    return b"" if body is None else json.dumps(body).encode()


def hotplex(text: str = "hello", task_id: str = "m-1", **changes: object) -> dict[str, object]:
    """What a HotPlex sends, in its own zone."""
    return {
        "task_id": task_id,
        "to": "security-bot",
        "content": text,
        "status": "working",
        "created_at": "2026-03-22T23:04:05.12034+08:00",
        **changes,
    }
