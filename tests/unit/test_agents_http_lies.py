"""Servers behind the openai and hermes_runs runners that break every rule: no key leaves, no turn hangs or raises."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.agent_settings import HermesRunsSettings, OpenaiSettings
from core.agents.adapters.hermes_runs import HermesRunsRunner
from core.agents.adapters.openai import OpenaiRunner
from core.agents.runner import Runner
from core.api.runs import ActionRequested, ActionSettled, RunReport, Stop
from tests.support.agent_parts import (
    KEY,
    InstantClock,
    Reading,
    collected,
    end_of,
    runner_context,
    text_of,
    turn_request,
)
from tests.support.fake_hermes_runs import FakeHermesRuns
from tests.support.fake_openai import FakeOpenai, Talk, chunk, wants, whole_call
from tests.support.tool_rig import YES, calls_of, results, rig

JSON = "application/json"


class RawServer:
    """Answers each request by its path with a head and bytes. seen: requests, as method, path, whether with a key."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, str, bytes]] = {}
        self.headers: list[str] = []
        self.seen: list[tuple[str, str, bool]] = []
        self.port = 0

    def url(self, credentials: str = "") -> str:
        """Base address, up to and including /v1."""
        return f"http://{credentials}127.0.0.1:{self.port}/v1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request; the connection ends with the answer."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, path, _ = head.split("\r\n")[0].split(" ")
            self.seen.append((method, path, KEY in head))
            status, kind, body = next(
                (answer for end, answer in self.answers.items() if path.endswith(end)), (404, JSON, b"{}")
            )
            lines = [f"HTTP/1.1 {status} Odd", f"content-type: {kind}", "connection: close", *self.headers]
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def raw_server() -> AsyncIterator[RawServer]:
    """A server on loopback."""
    made = RawServer()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await server.wait_closed()


async def hermes(url: str, home: Path) -> Runner:
    """An open runner."""
    settings = msgspec.convert({"base_url": url, "key": "env:KEY", "runner": "hermes_runs"}, HermesRunsSettings)
    runner = HermesRunsRunner(settings, runner_context(InstantClock(), home))
    await runner.open()
    return runner


async def openai(url: str, home: Path) -> Runner:
    """An open runner."""
    settings = OpenaiSettings(base_url=url, model="m", key="env:KEY")
    runner = OpenaiRunner(settings, runner_context(InstantClock(), home))
    await runner.open()
    return runner


MAKERS = {"hermes": hermes, "openai": openai}


async def turn(runner: Runner) -> list[RunReport]:
    """All of a turn, and the end of the runner."""
    try:
        async with asyncio.timeout(20):
            return await collected(runner, turn_request("hi"))
    finally:
        await runner.close()


ODD = {
    "html": (200, "text/html", b"<html>log in</html>"),
    "html as json": (200, JSON, b"<html>log in</html>"),
    "an error with 200": (200, JSON, b'{"error":{"message":"no","code":' + b"9" * 5_000 + b"}}"),
    "an error of text": (200, JSON, b'{"error":"just no"}'),
    "nothing": (200, JSON, b""),
    "a list": (200, JSON, b"[1,2]"),
    "deep": (200, JSON, b"[" * 100_000),
    "a huge body": (200, JSON, b'"' + b"x" * 9_000_000 + b'"'),
    "no body of an error": (500, JSON, b""),
    "an unknown status": (299, JSON, b"{}"),
    "bytes": (200, "text/event-stream", b"data: \xff\xfe\x00\n\n\x00\n"),
    "a huge event": (200, "text/event-stream", b"data: " + b"x" * 9_000_000),
}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("what", ODD)
async def test_an_odd_answer_is_an_error_of_the_turn(kind: str, what: str, tmp_path: Path) -> None:
    """Said in our words, with a code."""
    async with raw_server() as server:
        server.answers = {"": ODD[what]}
        end = end_of(await turn(await MAKERS[kind](server.url(), tmp_path)))
    assert end.stop is Stop.ERROR
    assert end.code
    assert len(end.error) < 1_000


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_no_redirection_is_followed(kind: str, status: int, tmp_path: Path) -> None:
    """It would take key and conversation to somebody else."""
    async with raw_server() as other, raw_server() as server:
        server.answers = {"": (status, JSON, b"{}")}
        server.headers = [f"location: {other.url()}/chat/completions"]
        end = end_of(await turn(await MAKERS[kind](server.url(), tmp_path)))
        assert end.stop is Stop.ERROR
        assert other.seen == []
        assert server.seen


@pytest.mark.parametrize(
    "run_id", ["../../admin", "a/b", "a?b=c", "a\r\nx: y", "", ".", "..", "a%2fb", 7, None, "x" * 201]
)
async def test_an_id_of_a_run_is_never_a_path(run_id: Any, tmp_path: Path) -> None:
    """What is no plain name is not asked for."""
    async with raw_server() as server:
        server.answers = {"/runs": (202, JSON, json.dumps({"run_id": run_id}).encode())}
        end = end_of(await turn(await hermes(server.url(), tmp_path)))
        assert (end.stop, end.code) == (Stop.ERROR, "protocol")
        assert [path for _, path, _ in server.seen] == ["/v1/runs"]


async def test_garbage_among_events_is_passed_over(tmp_path: Path) -> None:
    """And what is good among it is heard."""
    events = b"".join(
        b"data: " + data + b"\n\n"
        for data in (
            b"\xff", b"[]", b"null", b'{"event":7}', b'{"event":["run.completed"]}', b'{"event":"approval.responded"}',
            b'{"event":"tool.completed","tool":{"a":1}}', b'{"event":"message.delta","delta":{"x":1}}',
            b'{"event":"message.delta","delta":"good"}', b'{"event":"run.completed","output":{},"usage":[1]}',
        )
    )  # fmt: skip
    async with raw_server() as server:
        server.answers = {"/runs": (202, JSON, b'{"run_id":"r1"}'), "/events": (200, "text/event-stream", events)}
        reports = await turn(await hermes(server.url(), tmp_path))
        assert text_of(reports) == "good"
        assert end_of(reports).stop is Stop.END_TURN


async def test_a_key_that_a_hermes_agent_quotes_is_masked(tmp_path: Path) -> None:
    """In text, tools, requests and results."""
    quoted = [
        {"event": "message.delta", "delta": f"your key is {KEY}"},
        {"event": "tool.started", "tool": "terminal", "preview": f"curl -H {KEY}"},
        {"event": "approval.request", "command": f"echo {KEY}", "description": KEY},
        {"event": "run.failed", "error": f"no luck with {KEY}"},
    ]
    events = b"".join(b"data: " + json.dumps(found).encode() + b"\n\n" for found in quoted)
    async with raw_server() as server:
        server.answers = {"/runs": (202, JSON, b'{"run_id":"r1"}'), "/events": (200, "text/event-stream", events)}
        runner = await hermes(server.url("ana:pass-word@"), tmp_path)
        facts = repr(runner.describe())
        reports = await turn(runner)
    assert [report.target for report in reports if isinstance(report, ActionRequested)] == ["echo ***"]
    assert KEY not in repr(reports)
    assert "pass-word" not in facts + repr(reports)


async def test_a_key_that_an_endpoint_quotes_is_masked(tmp_path: Path) -> None:
    """In text and in what it wants of a tool."""

    async def quotes(server: FakeOpenai, talk: Talk) -> None:
        del server
        key = talk.headers["authorization"].removeprefix("Bearer ")
        await talk.head()
        call = {"index": 0, **whole_call("exec", {"command": f"echo {key}"})}
        await talk.data(chunk({"content": f"key {key}", "tool_calls": [call]}), chunk(finish="tool_calls"))

    async with rig(tmp_path, quotes, "ok", key="env:KEY") as made:
        reports = await made.turn(YES)
    assert KEY not in repr(reports)
    assert [report.target for report in reports if isinstance(report, ActionRequested)] == ["echo ***"]


async def test_userinfo_of_an_address_is_shown_nowhere(tmp_path: Path) -> None:
    """Neither in facts nor in errors."""
    runner = await openai("http://ana:pass-word@127.0.0.1:9/v1?token=tell-nobody", tmp_path)
    facts = repr(runner.describe())
    shown = facts + repr(await turn(runner))
    assert "pass-word" not in shown
    assert "tell-nobody" not in shown


async def test_calls_of_every_odd_shape_harm_nothing(tmp_path: Path) -> None:
    """Each is answered under an id of its own, and only what is whole and offered is asked for."""
    odd = [
        whole_call("exec", "{not json", call_id="a"),
        whole_call("exec", '["ls"]', call_id="a"),
        whole_call("rm_all", {"x": 1}, call_id="a"),
        whole_call("exec", {"command": "ls", "sudo": True}, call_id=""),
        whole_call("exec", {"command": ["ls"]}, call_id=""),
        whole_call("exec", {"command": "  "}, call_id="b"),
        whole_call("exec", {"command": "a\0b"}, call_id="b"),
        whole_call("read", {"path": "../../etc/passwd"}, call_id="c"),
        whole_call("read", {"path": "/etc/passwd"}, call_id="c"),
        whole_call("write", {"path": "docs/../../x", "text": "x"}, call_id="c"),
        whole_call("exec", "[" * 50_000, call_id="d"),
        whole_call("exec", {"command": "uptime"}, call_id="d"),
    ]
    async with rig(tmp_path, wants(*odd), "ok") as made:
        reports = await made.turn(YES)
        told = results(made.told(1))
    assert len({name for name, _ in told}) == len(odd)
    assert [report.target for report in reports if isinstance(report, ActionRequested)] == ["uptime"]
    assert end_of(reports).stop is Stop.END_TURN
    assert all(call.status.is_final for call in {call.id: call for call in calls_of(reports)}.values())


async def test_a_hundred_calls_at_a_time_are_refused(tmp_path: Path) -> None:
    """Nothing of such an answer is carried out."""
    many = [whole_call("exec", {"command": f"ls {number}"}, call_id=f"c{number}") for number in range(100)]
    async with rig(tmp_path, wants(*many)) as made:
        reports = await made.turn(YES)
    assert end_of(reports).code == "protocol"
    assert not [report for report in reports if isinstance(report, ActionRequested)]


async def test_pieces_without_an_index_are_put_together(tmp_path: Path) -> None:
    """Two calls in pieces, each under its id or none."""

    async def behave(server: FakeOpenai, talk: Talk) -> None:
        del server
        await talk.head()
        for piece in (
            {"id": "one", "function": {"name": "exec", "arguments": '{"comm'}},
            {"function": {"arguments": 'and":"first"}'}},
            {"id": "two", "function": {"name": "exec", "arguments": '{"command":'}},
            {"function": {"arguments": '"second"}'}},
        ):
            await talk.data(chunk({"tool_calls": [piece]}))
        await talk.data(chunk(finish="tool_calls"))

    async with rig(tmp_path, behave, "ok") as made:
        reports = await made.turn(YES)
    assert [report.target for report in reports if isinstance(report, ActionRequested)] == ["first", "second"]


async def test_an_agent_that_is_killed_while_it_asks_ends_the_run_soon(tmp_path: Path) -> None:
    """Nobody listens at its address any more: that is no stall, and what it asked is closed by the end of the run."""
    async with FakeHermesRuns() as server:
        clock = InstantClock()
        settings = msgspec.convert(
            {"base_url": server.url, "key": "env:KEY", "runner": "hermes_runs"}, HermesRunsSettings
        )
        runner = HermesRunsRunner(settings, runner_context(clock, tmp_path))
        await runner.open()
        reading = Reading(runner.turn(turn_request("tools")))
        await reading.until(ActionRequested)
        asked_at = clock.monotonic()
        await server.kill()
        reports = await reading.whole()
        await runner.close()
    assert (end_of(reports).stop, end_of(reports).code) == (Stop.DIED, "run_lost")
    assert clock.monotonic() - asked_at < 20
    assert not [report for report in reports if isinstance(report, ActionSettled)]
