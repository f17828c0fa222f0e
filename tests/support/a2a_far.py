"""A far side that speaks Agent2Agent, as our half that calls sees it."""

from collections.abc import Callable
from typing import Any

import msgspec

from core.api.bindings import Bot, RelayProtocol
from core.relay.adapters.a2a import A2aAdapter
from core.relay.peers import Credentials
from core.relay.web import WebAnswer
from core.relay.wire import Call, Trail
from core.secrets import Secret
from tests.support.clocks import FakeClock
from tests.support.fake_web import Asked, FakeWeb, Said, json_answer

HOME = "http://10.0.0.5:9900"
BOT = Bot(name="far", url=HOME, protocol=RelayProtocol.A2A, networks=("10.0.0.0/8",))
TOKEN = Credentials("peer", (), Secret("s3cret-token"), "")
LIMIT_S = 10.0


def call_of(**fields: Any) -> Call:
    """A message."""
    given: dict[str, Any] = {
        "id": "wire-1",
        "bot": BOT,
        "text": "hello",
        "trail": Trail(conversation="talk", hops=1, path=("us",)),
        "credentials": TOKEN,
        "created_at": 1_700_000_000.0,
        "attempt": 1,
        "limit_s": LIMIT_S,
        "context": "talk",
        **fields,
    }
    return Call(**given)


def card(version: str = "1.0", *, streaming: bool = False, url: str = f"{HOME}/rpc") -> WebAnswer:
    """A card."""
    if version == "0.3":
        old = {"name": "far", "version": "7", "url": url, "protocolVersion": "0.3.0"}
        return json_answer({**old, "capabilities": {"streaming": streaming}})
    offers = [{"url": url, "protocolBinding": "JSONRPC", "protocolVersion": version}]
    document = {"name": "far", "version": "7", "supportedInterfaces": offers, "capabilities": {"streaming": streaming}}
    return json_answer(document, etag='"v1"')


def result(value: object) -> WebAnswer:
    """A result of a call."""
    return json_answer({"jsonrpc": "2.0", "id": 1, "result": value})


def fault(code: int, text: str = "no") -> WebAnswer:
    """An error of a call."""
    return json_answer({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": text}})


def task(state: str = "WORKING", **more: Any) -> dict[str, Any]:
    """A task of 1.0."""
    return {"id": "t-1", "contextId": "c-1", "status": {"state": f"TASK_STATE_{state}"}, **more}


def event(value: object) -> str:
    """A line of a stream."""
    return "data: " + msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "result": value}).decode()


class Far:
    """A far side: its card, and what it says to calls."""

    def __init__(self, say: Callable[[Asked], Said], the_card: Said | None = None) -> None:
        self.card: Said = the_card or card()
        self.web = FakeWeb(lambda asked: self.card if asked.method == "GET" else say(asked))
        self.clock = FakeClock()
        self.adapter = A2aAdapter(self.web, self.clock)  # type: ignore[arg-type]

    @property
    def methods(self) -> list[str]:
        """What was called."""
        return [asked.json()["method"] for asked in self.web.calls("POST")]
