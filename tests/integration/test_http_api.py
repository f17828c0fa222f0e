"""API and webhooks over a real socket, as a client sees them."""

import asyncio
import json

import httpx

from core.api.runs import Stop, TextDelta, TurnEnded
from core.clock import SystemClock
from core.gateway.adapters.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, signature
from tests.support.api_rig import ROUTE_SECRET
from tests.support.fake_inbox import FakeInbox
from tests.support.http_calls import BEARER
from tests.support.http_core import http_core

END = TurnEnded(stop=Stop.END_TURN)
ASK = {"model": "default", "messages": [{"role": "user", "content": "hello"}]}


def client() -> httpx.AsyncClient:
    """A client that knows no proxy."""
    return httpx.AsyncClient(trust_env=False, headers=BEARER, timeout=10)


async def test_text_arrives_while_the_run_goes_on() -> None:
    """The first words are there before the last ones are written."""
    gate = asyncio.Event()
    async with (
        http_core(FakeInbox((TextDelta(text="one"), gate, TextDelta(text="two"), END))) as core,
        client() as http,
    ):
        seen: list[str] = []
        async with http.stream("POST", f"{core.url}/v1/chat/completions", json={**ASK, "stream": True}) as response:
            async for line in response.aiter_lines():
                seen.append(line)
                if '"one"' in line:
                    assert not any('"two"' in item for item in seen)
                    gate.set()
    assert any('"two"' in item for item in seen)
    assert [item for item in seen if item][-1] == "data: [DONE]"


async def test_a_client_that_goes_away_stops_its_run() -> None:
    """Closing the connection is noticed while nothing is being sent."""
    inbox = FakeInbox((TextDelta(text="one"), asyncio.Event()))
    async with http_core(inbox) as core, client() as http:
        async with http.stream("POST", f"{core.url}/v1/chat/completions", json={**ASK, "stream": True}) as response:
            async for line in response.aiter_lines():
                if '"one"' in line:
                    break
        await inbox.interrupt_asked.wait()
    assert len(inbox.interrupted) == 1
    assert inbox.closed_count == 1


async def test_a_stop_ends_open_streams_with_an_error() -> None:
    """The server does not wait for a run that may take hours, and says so."""
    lines: list[str] = []
    inbox = FakeInbox((TextDelta(text="one"), asyncio.Event()))
    async with http_core(inbox, log=lines) as core, client() as http:
        seen: list[str] = []
        async with (
            asyncio.TaskGroup() as group,
            http.stream("POST", f"{core.url}/v1/chat/completions", json={**ASK, "stream": True}) as response,
        ):
            async for line in response.aiter_lines():
                if line:
                    seen.append(line)
                if '"one"' in line:
                    group.create_task(core.server.stop())
    assert json.loads(seen[-2].removeprefix("data: "))["error"]["code"] == "stopping"
    assert seen[-1] == "data: [DONE]"
    assert inbox.interrupted == []


async def test_a_webhook_is_taken_in_over_the_wire() -> None:
    """Signed bytes in, ids out."""
    inbox = FakeInbox()
    body = b'{"text": "hi"}'
    stamp = str(int(SystemClock().now()))
    headers = {TIMESTAMP_HEADER: stamp, SIGNATURE_HEADER: signature(ROUTE_SECRET, stamp, body)}
    async with http_core(inbox) as core, client() as http:
        response = await http.post(f"{core.url}/webhooks/alerts", content=body, headers=headers)
    assert response.status_code == 202
    assert response.json()["session_id"] == "hooks:dm:alerts%2Fdefault"
    assert inbox.received[0].text == "hi"


async def test_many_callers_at_once_each_get_their_own_answer() -> None:
    """Nothing of one request is seen by another."""
    async with http_core(FakeInbox()) as core, client() as http:

        async def ask(number: int) -> tuple[str, str]:
            headers = {"x-hermes-session-id": f"chat-{number}"}
            response = await http.post(f"{core.url}/v1/chat/completions", json=ASK, headers=headers)
            return response.headers["x-hermes-session-id"], response.json()["choices"][0]["message"]["content"]

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask(number)) for number in range(50)]
    assert [task.result() for task in tasks] == [(f"chat-{number}", "Hello there") for number in range(50)]
    assert len(core.inbox.received) == 50
