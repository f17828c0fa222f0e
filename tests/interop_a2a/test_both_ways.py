"""Agent2Agent with the official SDK at the other end: its client calls a core of ours, and ours calls its server."""

import asyncio
import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.interop_a2a.town import FAR, FRIEND, HERE, Shell, core, official_server, run

pytestmark = pytest.mark.interop

IN = {"1.0": "official client > our server, 1.0", "0.3": "official client > our server, 0.3"}
OUT = {
    ("1.0,0.3", True): "our client > official server, 1.0",
    ("1.0", False): "our client > official server, 1.0 without streams",
    ("0.3", True): "our client > official server, 0.3",
}

# -- its client, our server


async def called(sdk_python: Path, version: str, folder: Path) -> dict[str, Any]:
    """What the official client saw of a core."""
    async with core(folder) as served:
        code, out, err = await run(sdk_python, HERE / "sdk_client.py", served.url, FRIEND, version)
        assert code == 0, err
        seen: dict[str, Any] = json.loads(out.splitlines()[-1])
        found = await Shell(served.home).data("tasks", "--limit", "50")
        seen["effects"] = sorted(text for text in texts_of(found) if text == "hello")
    return seen


def texts_of(found: Any) -> list[str]:
    """Of messages."""
    return [task["text"] for task in found.get("tasks", [found])]


@pytest.fixture(scope="module", params=list(IN), ids=list(IN.values()))
def seen(request: pytest.FixtureRequest, sdk_python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All that the official client saw, once for each version."""
    return asyncio.run(called(sdk_python, request.param, tmp_path_factory.mktemp("home")))


@pytest.mark.shows("card")
def test_it_reads_our_card(seen: dict[str, Any]) -> None:
    """Name, and both versions."""
    assert seen["card"] == ["ops", ["JSONRPC 1.0", "JSONRPC 0.3"]]


@pytest.mark.shows("send")
def test_it_sends_and_waits_for_the_answer(seen: dict[str, Any]) -> None:
    """The answer of our agent, in the conversation that the client named; a failure has its words."""
    assert seen["send"] == ["COMPLETED", "You said hello", "ctx"]
    assert seen["fail"] == ["FAILED", "out of luck"]


@pytest.mark.shows("streaming")
def test_it_streams(seen: dict[str, Any]) -> None:
    """The task, its answer, its end; also of a task that was begun before."""
    assert seen["stream"] == ["task", "artifact_update", "status_update"]
    assert seen["followed"] == ["task WORKING", "status_update CANCELED"]


@pytest.mark.shows("cancel")
def test_it_asks_and_cancels(seen: dict[str, Any]) -> None:
    """A task that goes on is asked for and stopped, once; one that nobody sent is not found."""
    assert (seen["at once"], seen["poll"], seen["cancel"]) == ("WORKING", "WORKING", "CANCELED")
    assert (seen["cancel again"], seen["unknown"]) == ("TaskNotCancelableError", "TaskNotFoundError")


@pytest.mark.shows("dedupe")
def test_the_same_message_has_one_effect(seen: dict[str, Any]) -> None:
    """The same task and answer; another text under the same id is an error."""
    assert seen["same id"] == [True, "You said hello"]
    assert seen["other text"] == "InvalidParamsError"
    assert seen["effects"] == ["hello"]


@pytest.mark.shows("401 without a credential")
def test_a_stranger_is_kept_out(seen: dict[str, Any]) -> None:
    """The card is public, the rest is not."""
    assert seen["stranger"] == "A2AClientError 401"


# -- our client, its server


async def calling(sdk_python: Path, versions: str, streams: bool, folder: Path) -> dict[str, Any]:
    """What became of messages that a core sent to the official server."""
    found: dict[str, Any] = {}
    async with core(folder) as served, official_server(sdk_python, versions, streams=streams) as url:
        shell = Shell(served.home)
        for name, peer in (("far", "far"), ("closed", "wrong")):
            bound = ("--platform", "*", "--chat-id", "*", "--bot", f"{name}={url}", "--protocol", "a2a", "--peer", peer)
            code, said = await shell.say("add_binding", *bound)
            assert code == 0, said
        found["look"] = (await shell.say("test_relay", "far"))[1]
        found["look closed"] = (await shell.say("test_relay", "closed"))[1]
        for text in ("hello", "bare", "ask", "fail", "reject", "later"):
            found[text] = (await shell.data("send", "--to", "far", "--wait", text))["task"]
        for _ in range(2):
            found["same"] = await shell.data("send", "--to", "far", "--id", "the-same", "once")
        slow = (await shell.data("send", "--to", "far", "slow"))["tasks"][0]["id"]
        await shell.until(slow, "working")
        await shell.data("cancel", slow, "--yes")
        found["slow"] = await shell.until(slow, "canceled", "failed", "completed", "dead")
        refused = (await shell.data("send", "--to", "closed", "hello"))["tasks"][0]["id"]
        found["refused"] = await shell.until(refused, "dead", "failed", "completed")
        await shell.until(found["same"]["tasks"][0]["id"], "completed", "dead")
        found["runs"] = await asyncio.to_thread(runs_of, url)
        found["twice"] = await asyncio.to_thread(sent_twice, url)
    return found


def runs_of(url: str) -> Any:
    """Which messages the agent over there was run for."""
    with urllib.request.urlopen(f"{url}/runs", timeout=10) as answer:
        return json.loads(answer.read())


def sent_twice(url: str) -> int:
    """How often the official server does what it is sent twice under one id."""
    message = {"messageId": "twice", "role": "ROLE_USER", "parts": [{"text": "hi"}]}
    body = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": message}}
    if "1.0" not in json.dumps(card_of(url)):
        old = {**message, "kind": "message", "role": "user", "parts": [{"kind": "text", "text": "hi"}]}
        body = {**body, "method": "message/send", "params": {"message": old}}
    version = "0.3" if body["method"] == "message/send" else "1.0"
    headers = {"authorization": f"Bearer {FAR}", "content-type": "application/json", "a2a-version": version}
    for _ in range(2):
        request = urllib.request.Request(f"{url}/rpc", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert b'"error"' not in answer.read()
    return runs_of(url)["runs"].count("twice")


def card_of(url: str) -> Any:
    """The versions of its card."""
    with urllib.request.urlopen(f"{url}/.well-known/agent-card.json", timeout=10) as answer:
        return [item["protocolVersion"] for item in json.loads(answer.read())["supportedInterfaces"]]


@pytest.fixture(scope="module", params=list(OUT), ids=list(OUT.values()))
def sent(request: pytest.FixtureRequest, sdk_python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All that became of our messages, once for each kind of server."""
    versions, streams = request.param
    found = asyncio.run(calling(sdk_python, versions, streams, tmp_path_factory.mktemp("home")))
    return {**found, "streams": streams, "version": versions[:3]}


@pytest.mark.shows("card", "let in")
def test_a_check_says_who_is_there(sent: dict[str, Any]) -> None:
    """Name and version; whether we are let in."""
    assert f"official 1.3.0, Agent2Agent {sent['version']}{', streams' if sent['streams'] else ''}" in sent["look"]
    assert "let in" in sent["look"]
    assert "401" in sent["look closed"]


@pytest.mark.shows("send")
def test_we_send_and_get_the_answer(sent: dict[str, Any]) -> None:
    """As a task or as a bare message; questions, failures and rejections in their words."""
    assert (sent["hello"]["state"], sent["hello"]["answer"]) == ("completed", "echo: hello")
    assert (sent["bare"]["state"], sent["bare"]["answer"]) == ("completed", "echo: bare")
    assert (sent["ask"]["state"], sent["ask"]["answer"]) == ("completed", "Which one?")
    assert (sent["fail"]["state"], sent["fail"]["error"]) == ("failed", "out of luck")
    assert (sent["reject"]["state"], sent["reject"]["error"]) == ("failed", "it will not do it: not mine")


@pytest.mark.shows("streaming as the card says")
def test_a_stream_is_used_where_there_is_one(sent: dict[str, Any]) -> None:
    """And nowhere else."""
    streamed = {"1.0": "SendStreamingMessage", "0.3": "message/stream"}[sent["version"]]
    assert set(sent["runs"]["methods"]) == {streamed if sent["streams"] else "SendMessage"}


@pytest.mark.shows("polls")
def test_a_long_answer_is_asked_for(sent: dict[str, Any]) -> None:
    """After one attempt that delivered the message."""
    assert (sent["later"]["state"], sent["later"]["answer"]) == ("completed", "echo: later")
    assert sent["later"]["attempt_count"] == 1


@pytest.mark.shows("cancel")
def test_we_cancel(sent: dict[str, Any]) -> None:
    """The far side is told."""
    assert sent["slow"]["state"] == "canceled"


@pytest.mark.shows("dedupe")
def test_one_order_is_one_message(sent: dict[str, Any]) -> None:
    """The id of the message is that of the order; the trail goes along. The official server itself does not look."""
    assert sent["same"]["is_duplicate"]
    assert len(sent["runs"]["runs"]) == len(set(sent["runs"]["runs"])) == 8
    assert all(item["path"] == ["ops"] and item["conversation"] for item in sent["runs"]["metadata"])
    assert sent["twice"] == 2


@pytest.mark.shows("401 without a credential")
def test_a_wrong_token_is_refused(sent: dict[str, Any]) -> None:
    """At once, and for good."""
    assert (sent["refused"]["state"], sent["refused"]["reason"], sent["refused"]["last_status"]) == (
        "dead",
        "refused",
        401,
    )
    assert sent["refused"]["attempt_count"] == 1
