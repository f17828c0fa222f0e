"""The server on a real socket: binding, slow and oversized callers, and its stop."""

import asyncio
import json
import os
import socket

import pytest

from core.api.errors import ConfigError, Unavailable
from core.http.asgi import Receive, Scope, Send, chunk, read_body, respond_json, start
from core.http.server import HttpServer
from core.secrets import Secret
from core.settings import HttpSettings
from tests.support.http_calls import KEY, serving


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the size of the body."""
    body = await read_body(receive)
    await respond_json(send, 200, {"path": scope["path"], "size": len(body)})


def port_of(server: HttpServer) -> int:
    """The port that it listens on."""
    return int(server.url.rpartition(":")[2])


async def talk(server: HttpServer, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send raw bytes and read until the server closes: status, headers, body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
    try:
        writer.write(request)
        raw = await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
    if not raw:
        return 0, {}, b""
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return int(status.split()[1]), headers, body


def request(method: str = "GET", path: str = "/echo", *lines: str, body: bytes = b"") -> bytes:
    """A request that asks the server to close afterwards."""
    head = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def code_of(body: bytes) -> str:
    """The code of an error that is one line of JSON."""
    assert body.count(b"\n") == 1
    code: str = json.loads(body)["error"]["code"]
    return code


async def test_a_mounted_app_answers_and_an_unmounted_one_is_404() -> None:
    """What is below a prefix goes to its app, and only while it is mounted."""
    async with serving() as server:
        server.mount("/echo", echo)
        assert (await talk(server, request("POST", "/echo/x", "Content-Length: 3", body=b"abc")))[0] == 200
        server.unmount("/echo")
        status, headers, body = await talk(server, request())
        assert (status, code_of(body)) == (404, "unknown_path")
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers


async def test_a_caller_that_comes_before_the_server_runs_is_served_later() -> None:
    """bind() already listens, so nobody is turned away in between."""
    server = HttpServer(HttpSettings(port=0), Secret(KEY), lambda _: None)
    await server.bind()
    server.mount("/echo", echo)
    async with asyncio.TaskGroup() as group:
        early = group.create_task(talk(server, request()))
        await asyncio.sleep(0)
        run = group.create_task(server.run())
        assert (await early)[0] == 200
        await server.stop()
        await run
    assert server.url == ""


async def test_a_busy_port_names_its_holder() -> None:
    """The error says which process listens there, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = HttpServer(HttpSettings(port=port), Secret(KEY), lambda _: None)
        with pytest.raises(Unavailable) as caught:
            await server.bind()
    assert caught.value.facts["port"] == port
    assert caught.value.facts["pid"] == os.getpid()
    assert f"127.0.0.1:{port}" in caught.value.message
    assert "http.port" in str(caught.value.facts["fix"])


async def test_a_host_that_is_not_there_is_named() -> None:
    """A name that nobody knows ends in an error of ours."""
    server = HttpServer(HttpSettings(host="no-such-host.invalid", port=0), Secret(KEY), lambda _: None)
    with pytest.raises(Unavailable, match=r"no-such-host\.invalid"):
        await server.bind()


@pytest.mark.parametrize("key", [None, "tiny-key"])
async def test_an_open_address_without_a_proper_key_is_refused(key: str | None) -> None:
    """Other machines get in only with a key worth the name."""
    secret = None if key is None else Secret(key)
    server = HttpServer(HttpSettings(host="0.0.0.0", port=0), secret, lambda _: None)
    with pytest.raises(ConfigError) as caught:
        await server.bind()
    assert caught.value.facts["key"] == "http.host"
    assert server.url == ""
    if key is not None:
        assert key not in caught.value.message


async def test_an_open_address_with_a_key_asks_probes_for_it() -> None:
    """Metrics need the key as soon as other machines can call."""
    server = HttpServer(HttpSettings(host="0.0.0.0", port=0), Secret(KEY), lambda _: None)
    await server.bind()
    assert server.probe_key is not None
    await server.stop()
    async with serving() as near:
        assert near.probe_key is None


async def test_the_same_server_can_run_again_after_a_stop() -> None:
    """A restart takes the port back."""
    server = HttpServer(HttpSettings(port=0), Secret(KEY), lambda _: None)
    server.mount("/echo", echo)
    for _ in range(2):
        await server.bind()
        async with asyncio.TaskGroup() as group:
            run = group.create_task(server.run())
            assert (await talk(server, request()))[0] == 200
            await server.stop()
            await run


async def test_a_slow_body_is_408() -> None:
    """A body that does not come is not waited for."""
    async with serving(HttpSettings(port=0, body_timeout_s=0.05)) as server:
        server.mount("/echo", echo)
        status, _, body = await talk(server, request("POST", "/echo", "Content-Length: 10", body=b"abc"))
    assert (status, code_of(body)) == (408, "body_timeout")


async def test_slow_headers_are_408() -> None:
    """A request line that never ends does not hold a connection."""
    async with serving(HttpSettings(port=0, header_timeout_s=0.05)) as server:
        status, _, body = await talk(server, b"GET /echo HTTP/1.1\r\nHost: 127.")
    assert (status, code_of(body)) == (408, "header_timeout")


async def test_a_caller_that_says_nothing_is_let_go() -> None:
    """A connection without a single byte is closed without a word."""
    async with serving(HttpSettings(port=0, header_timeout_s=0.05)) as server:
        assert await talk(server, b"") == (0, {}, b"")


async def test_slow_headers_of_a_second_request_are_408_too() -> None:
    """Keeping a connection open is no way round the deadline."""
    async with serving(HttpSettings(port=0, header_timeout_s=0.05)) as server:
        server.mount("/echo", echo)
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        await reader.readuntil(b"}\n")
        writer.write(b"GET /ec")
        assert b" 408 " in await reader.read()
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    "sent",
    [
        request("POST", "/echo", "Content-Length: 5000", body=b"x" * 5000),
        request("POST", "/echo", "Content-Length: 99999999999999"),
        request("POST", "/echo", "Transfer-Encoding: chunked", body=b"1000\r\n" + b"x" * 4096 + b"\r\n0\r\n\r\n"),
    ],
    ids=["declared", "absurd", "streamed"],
)
async def test_an_oversized_body_is_413(sent: bytes) -> None:
    """Whether it says so or not, a body over the limit is refused."""
    async with serving(HttpSettings(port=0, body_limit_bytes=2048)) as server:
        server.mount("/echo", echo)
        status, headers, body = await talk(server, sent)
    assert (status, code_of(body)) == (413, "body_too_large")
    assert headers["connection"] == "close"


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"not http at all\r\n\r\n", 400, "malformed_request"),
        (b"GET /echo HTTP/1.1\r\n\r\n", 400, "malformed_request"),
        (b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nbad header\r\n\r\n", 400, "malformed_request"),
        (b"GET /" + b"a" * 40_000, 431, "headers_too_large"),
        (request("POST", "/echo", "Transfer-Encoding: gzip"), 501, "unsupported_encoding"),
        (request("POST", "/echo", "Transfer-Encoding: chunked", body=b"zz\r\n"), 400, "malformed_request"),
        (request("GET", "/" + "a" * 9000), 414, "target_too_long"),
        (request("GET", "/echo", *[f"X-A{n}: b" for n in range(120)]), 431, "headers_too_large"),
        (b"GET /echo HTTP/1.1\r\nHost: rebound.example.org\r\nConnection: close\r\n\r\n", 403, "bad_host"),
        (request("GET", "/echo", "Origin: http://evil.example.org"), 403, "cross_origin"),
    ],
)
async def test_what_is_no_proper_request_is_refused_in_one_line(sent: bytes, status: int, code: str) -> None:
    """Malformed, oversized and cross-origin requests end before any app."""
    async with serving() as server:
        server.mount("/echo", echo)
        found, _, body = await talk(server, sent)
    assert (found, code_of(body)) == (status, code)


async def test_a_failing_app_is_500_without_a_trace() -> None:
    """The caller learns that it failed, the log learns what, in one line."""
    lines: list[str] = []

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("first line\nsecond line")

    async with serving(log=lines) as server:
        server.mount("/broken", broken)
        status, _, body = await talk(server, request("GET", "/broken"))
    assert (status, code_of(body)) == (500, "internal")
    assert b"first line" not in body
    assert lines == ["GET /broken failed: RuntimeError: first line second line"]


async def test_a_stop_does_not_wait_for_a_stream_that_goes_on() -> None:
    """An answer that would never end is cut off, and nothing is left behind."""
    started = asyncio.Event()
    ended: list[str] = []
    lines: list[str] = []

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, 200, [("content-type", "text/event-stream")])
        await chunk(send, b": open\n\n", more=True)
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cut off")

    async with serving(log=lines) as server:
        server.mount("/stream", endless)
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(b"GET /stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await reader.readuntil(b": open")
        await started.wait()
        await server.stop()
        await reader.read()
        writer.close()
        await writer.wait_closed()
    assert ended == ["cut off"]
    assert all("Traceback" not in line for line in lines)


async def test_a_stop_lets_an_answer_end_that_is_about_to() -> None:
    """Who is being answered gets the rest of the answer."""
    started, may_end = asyncio.Event(), asyncio.Event()

    async def patient(scope: Scope, receive: Receive, send: Send) -> None:
        started.set()
        await may_end.wait()
        await respond_json(send, 200, {"done": True})

    async with serving() as server, asyncio.TaskGroup() as group:
        server.mount("/patient", patient)
        asked = group.create_task(talk(server, request("GET", "/patient")))
        await started.wait()
        stop = group.create_task(server.stop())
        may_end.set()
        assert (await asked)[0] == 200
        await stop


async def test_a_stop_without_callers_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for the next tick nor for callers who are not there; the port is free at once."""

    async def waits(_server: object, sockets: object) -> None:
        raise AssertionError(f"a stop without callers waits for {sockets}")

    monkeypatch.setattr("core.http.server._TICK_S", 1e6)
    monkeypatch.setattr("uvicorn.Server.shutdown", waits)
    server = HttpServer(HttpSettings(port=0), Secret(KEY), lambda _: None)
    server.mount("/echo", echo)
    await server.bind()
    port = port_of(server)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(server.run())
        assert (await talk(server, request()))[0] == 200
        await server.stop()
    with socket.create_server(("127.0.0.1", port)):
        pass


async def test_cancelling_run_stops_the_server() -> None:
    """The supervisor's way to end it leaves the port free."""
    server = HttpServer(HttpSettings(port=0), Secret(KEY), lambda _: None)
    server.mount("/echo", echo)
    await server.bind()
    port = port_of(server)
    async with asyncio.TaskGroup() as group:
        run = group.create_task(server.run())
        assert (await talk(server, request()))[0] == 200
        run.cancel()
    assert server.url == ""
    with socket.create_server(("127.0.0.1", port)):
        pass


async def test_a_connection_too_many_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers cannot use up the files that the store needs."""
    monkeypatch.setattr("core.http.server._CONNECTION_LIMIT", 1)
    async with serving() as server:
        server.mount("/echo", echo)
        _, first = await asyncio.open_connection("127.0.0.1", port_of(server))
        status, _, body = await talk(server, request())
        assert (status, code_of(body)) == (503, "too_many_connections")
        first.close()
        await first.wait_closed()


async def test_malformed_requests_do_not_fill_the_log() -> None:
    """What strangers send is no failure of ours."""
    lines: list[str] = []
    async with serving(log=lines) as server:
        assert (await talk(server, b"\x16\x03\x01 hello\r\n\r\n"))[0] == 400
    assert lines == []
