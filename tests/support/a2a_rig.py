"""Our Agent2Agent half that others reach, over an inbound in memory, with two peers that may call."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from core.clock import SystemClock
from core.relay.a2a_app import A2aApp
from core.relay.peers import Peers
from core.relay_settings import PeerSettings, RelaySettings
from core.secrets import Secret
from tests.support.fake_inbound import FakeInbound
from tests.support.http_calls import Answer, Caller, call, guarded

CARD = "/.well-known/agent-card.json"
SIGNING_KEY = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
SECRETS = {"env:ANN": "ann-token", "env:BEN": "ben-token", "env:KEY": SIGNING_KEY}
PEERS = {
    "ann": PeerSettings(accept_tokens=("env:ANN",)),
    "ben": PeerSettings(accept_tokens=("env:BEN",), keys=("env:KEY",)),
}
LIMIT_S = 10.0


class Rig:
    """The app over an inbound in memory."""

    def __init__(self, inbound: FakeInbound, settings: RelaySettings | None = None, **limits: float) -> None:
        self.inbound = inbound
        self.refused: list[tuple[str, int, str]] = []
        self.settings = settings or RelaySettings(name="ops", peers=PEERS)
        self.clock = SystemClock()
        app = A2aApp(
            inbound=inbound,  # type: ignore[arg-type]
            peers=Peers(self.settings, lambda reference: Secret(SECRETS[reference])),
            settings=self.settings,
            clock=self.clock,
            url=lambda: "http://127.0.0.1:8642",
            refused=lambda peer, status, code, why: self.refused.append((peer, status, code)),
            **limits,
        )
        self.app = guarded(app)

    async def post(self, body: object, *, token: str = "ann-token", version: str = "1.0", **headers: str) -> Answer:
        """One request."""
        async with asyncio.timeout(LIMIT_S):
            return await call(self.app, "POST", "/a2a", self.headers(token, version, headers), encoded(body))

    def headers(self, token: str, version: str, more: Mapping[str, str] = {}) -> dict[str, str]:
        """Of a request."""
        given = {"content-type": "application/json", "authorization": f"Bearer {token}" if token else ""}
        if version:
            given["a2a-version"] = version
        return {key: value for key, value in {**given, **more}.items() if value}

    async def rpc(self, method: str, params: object, **given: str) -> Any:
        """The whole answer of a call."""
        answer = await self.post({"jsonrpc": "2.0", "id": "c-1", "method": method, "params": params}, **given)
        assert answer.status == 200
        found = answer.json()
        assert (found["jsonrpc"], found["id"]) == ("2.0", "c-1")
        return found

    async def result(self, method: str, params: object, **given: str) -> Any:
        """The result of a call."""
        found = await self.rpc(method, params, **given)
        assert "error" not in found, found
        return found["result"]

    async def code(self, method: str, params: object, **given: str) -> int:
        """The code of the error of a call."""
        found = await self.rpc(method, params, **given)
        assert "result" not in found, found
        code: int = found["error"]["code"]
        return code

    def caller(self, method: str, params: object, version: str = "1.0") -> Caller:
        """A request that a test follows."""
        body = encoded({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        return Caller("POST", "/a2a", self.headers("ann-token", version), body)


def encoded(body: object) -> bytes:
    """A body."""
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def message(text: str = "hello", message_id: str = "m-1", **more: Any) -> dict[str, Any]:
    """Parameters that send a message."""
    configuration = more.pop("configuration", {"returnImmediately": True})
    given = {"messageId": message_id, "role": "ROLE_USER", "parts": [{"text": text}], **more}
    return {"message": given, "configuration": configuration}


def events(answer: Answer) -> list[Any]:
    """Results of a stream."""
    return [
        json.loads(piece.removeprefix("data: "))["result"] for piece in answer.events() if piece.startswith("data: ")
    ]
