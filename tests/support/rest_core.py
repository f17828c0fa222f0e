"""A whole core on a free port, with a scripted agent that asks, and a client that has its key."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from core.home import prepare
from core.host import open_core
from core.kernel import Kernel
from core.rest.app import ROUTES
from core.rest.fault import ErrorBody
from core.rest.openapi import document
from core.rest.route import matched
from core.rest.v1_words import RunEvent
from tests.support.agent_parts import KEY

CONFIG = """
http: {port: 0, key: "file:api.key"}
agents:
  main: {runner: scripted, scenario: acting.yaml, pace: 0}
  echo: {runner: scripted, scenario: builtin:echo, pace: 0}
core: {drain_s: 5}
"""
ACTING = """
streamed: true
word_pause_s: 0
rules:
  - match: "^act"
    steps:
      - text: "I shall remove it. "
      - approval:
          title: "remove the folder"
          detail: "rm -rf victim"
          allow: [{tool: {title: "rm", kind: delete, output: "gone", seconds: 0}}, {text: "Removed."}]
          deny: [{text: "I left it."}]
  - match: "^twice"
    steps:
      - approval: {title: "remove the folder", detail: "rm -rf one", allow: [{text: "one "}], deny: [{text: "no one "}]}
      - approval: {title: "remove the folder", detail: "rm -rf two", allow: [{text: "two"}], deny: [{text: "no two"}]}
  - match: "^think"
    steps: [{thought: "hm, so"}, {tool: {title: "look", kind: read, output: "seen", seconds: 0}}, {text: "Done."}]
  - match: "^stall"
    steps: [{text: "wait "}, {silent: true}]
  - match: "^long"
    steps: [{text: "word word word word word word word word word word"}, {text: "{text}"}]
  - match: "^fail"
    steps: [{error: {message: "out of luck", code: "unlucky"}}]
  - steps: [{text: "You said {text}"}, {usage: {input_tokens: 7, output_tokens: 3}}]
"""
LIMIT_S = 20.0


@asynccontextmanager
async def rest_core(home: Path, config: str = CONFIG) -> AsyncIterator[tuple[Kernel, httpx.AsyncClient]]:
    """The core, and a client of its HTTP side; both end with the block."""
    await asyncio.to_thread(_prepared, home, config)
    kernel = await open_core(home)
    headers = {"authorization": f"Bearer {KEY}"}
    try:
        async with httpx.AsyncClient(
            base_url=kernel.gateway.http.url,
            headers=headers,
            trust_env=False,
            timeout=LIMIT_S,
            event_hooks={"response": [_fits_the_document]},
        ) as client:
            yield kernel, client
    finally:
        await kernel.stop(0, "the test is over")


async def _fits_the_document(response: httpx.Response) -> None:
    """Fail unless an answer is what its route, and so the OpenAPI document, says that it is."""
    request = response.request
    parts = request.url.path.strip("/").split("/")
    route = next(
        (route for route in ROUTES if route.method == request.method and matched(route.parts, parts) is not None), None
    )
    if route is None or route.stream is not None:
        return
    body = await response.aread()
    if response.status_code in route.results:
        msgspec.json.decode(body, type=route.results[response.status_code])
    else:
        msgspec.json.decode(body, type=ErrorBody)
        documented = document(ROUTES)["paths"][route.path][route.method.lower()]["responses"]
        assert str(response.status_code) in documented, f"{route.name} answers {response.status_code}"


def _prepared(home: Path, config: str) -> None:
    prepare(home)
    (home / "config.yaml").write_text(config)
    (home / "acting.yaml").write_text(ACTING)
    (home / "api.key").write_text(KEY)
    (home / "api.key").chmod(0o600)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            if is_so():
                return
            await asyncio.sleep(0)


async def begin(client: httpx.AsyncClient, text: str, **more: Any) -> str:
    """Begin a run; its id."""
    answer = await client.post("/v1/runs", json={"input": text, **more})
    assert answer.status_code == 202, answer.text
    assert answer.json()["status"] == "started"
    run_id: str = answer.json()["run_id"]
    return run_id


class Events:
    """What an event stream has brought so far."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.ids: list[str] = []
        self.events: list[dict[str, Any]] = []

    def names(self) -> list[str]:
        """The kinds of the events, each one once where it came several times in a row."""
        found: list[str] = []
        for event in self.events:
            if not found or found[-1] != event["event"]:
                found.append(event["event"])
        return found

    def text(self) -> str:
        """The answer that came piece by piece."""
        return "".join(event.get("delta", "") for event in self.events)

    def take(self, line: str) -> None:
        """One line of the stream."""
        self.lines.append(line)
        if line.startswith("id: "):
            self.ids.append(line[4:])
        elif line.startswith("data: "):
            msgspec.json.decode(line[6:], type=RunEvent)
            self.events.append(json.loads(line[6:]))


async def follow(
    client: httpx.AsyncClient, run_id: str, *, until: str = "", after: str | None = None, events: Events | None = None
) -> Events:
    """Read the events of a run to their end, or up to an event with that name."""
    found = events or Events()
    headers = {} if after is None else {"last-event-id": after}
    async with asyncio.timeout(LIMIT_S), client.stream("GET", f"/v1/runs/{run_id}/events", headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        async for line in response.aiter_lines():
            found.take(line)
            if until and found.events and found.events[-1]["event"] == until:
                break
    return found


async def status_of(client: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    """How a run stands."""
    answer = await client.get(f"/v1/runs/{run_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found
