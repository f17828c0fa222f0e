"""What stands before every app, called in this process."""

import asyncio

import pytest

from core.api.errors import StoreError
from core.http.asgi import App, Receive, Scope, Send, chunk, read_body, respond_json, start
from core.http.guard import RequestLimits
from core.http.mounts import Mounts
from core.http.origin import is_loopback_host, is_same_origin
from core.http.refusal import HttpRefusal, one_line
from tests.support.http_calls import Caller, call, guarded

SMALL = RequestLimits(body_bytes=10, body_timeout_s=0.01, target_bytes=100, header_bytes=200, header_count=5)


async def size(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the size of the body."""
    await respond_json(send, 200, {"size": len(await read_body(receive))})


def named(name: str) -> App:
    """An app that says its name."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond_json(send, 200, {"app": name})

    return app


async def test_the_longest_prefix_wins() -> None:
    """A prefix ends at a slash, and each app sees the whole path."""
    mounts = Mounts()
    for prefix in ("/a", "/a/b", "/abc"):
        mounts.mount(prefix, named(prefix))
    found = [(await call(guarded(mounts), "GET", path)).json() for path in ("/a", "/a/x", "/a/b", "/a/b/c", "/abc")]
    assert [item["app"] for item in found] == ["/a", "/a", "/a/b", "/a/b", "/abc"]
    for path in ("/", "/ab", "a", "*", "/b/a"):
        answer = await call(guarded(mounts), "GET", path)
        assert (answer.status, answer.error()["code"]) == (404, "unknown_path")


@pytest.mark.parametrize("prefix", ["", "a", "/", "/a/", "//a"])
def test_what_is_no_prefix_is_not_mounted(prefix: str) -> None:
    """A slip of a caller is found at once."""
    with pytest.raises(ValueError, match="prefix"):
        Mounts().mount(prefix, named("x"))


def test_a_prefix_is_mounted_once() -> None:
    """Two apps cannot answer the same path."""
    mounts = Mounts()
    mounts.mount("/a", named("x"))
    with pytest.raises(ValueError, match="taken"):
        mounts.mount("/a", named("y"))


async def test_a_body_within_the_limit_passes_whole() -> None:
    """In one piece or in many, the app sees it as one."""
    for body in (b"0123456789", [b"01234", b"56789"], [b"", b"0123456789", b""]):
        assert (await call(guarded(size, limits=SMALL), "POST", "/", body=body)).json() == {"size": 10}


@pytest.mark.parametrize("body", [b"0123456789x", [b"0123456789", b"x"]])
async def test_a_body_over_the_limit_is_413(body: bytes | list[bytes]) -> None:
    """Declared or streamed."""
    answer = await call(guarded(size, limits=SMALL), "POST", "/", body=body)
    assert (answer.status, answer.error()["code"]) == (413, "body_too_large")


async def test_a_caller_that_hangs_up_in_its_body_gets_no_answer() -> None:
    """There is nobody to read it, and nothing went wrong on our side."""
    log: list[str] = []
    caller = Caller("POST", "/", {"content-length": "9"}, [], must_wait=False)
    await caller.make(guarded(size, log))
    assert (caller.answer.status, log) == (0, [])


async def test_a_body_that_does_not_come_is_408() -> None:
    """The deadline is for the whole body."""
    caller = Caller("POST", "/", {"content-length": "9"}, [])
    async with asyncio.TaskGroup() as group:
        group.create_task(caller.make(guarded(size, limits=SMALL)))
        await caller.until(b"}\n")
        caller.hung_up.set()
    assert (caller.answer.status, caller.answer.error()["code"]) == (408, "body_timeout")
    assert caller.answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/" + "a" * 100, {}, 414),
        ("/", {"x": "a" * 200}, 431),
        ("/", {f"x{number}": "" for number in range(6)}, 431),
    ],
)
async def test_a_head_over_its_bounds_is_refused(path: str, headers: dict[str, str], status: int) -> None:
    """Also where it arrives in one piece."""
    answer = await call(guarded(size, limits=SMALL), "GET", path, headers)
    assert answer.status == status
    assert answer.error()["type"] == "invalid_request_error"


async def test_every_answer_tells_browsers_to_keep_out() -> None:
    """Errors and answers alike."""
    for path in ("/", "/" + "a" * 9000):
        answer = await call(guarded(size), "GET", path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("host", "near"),
    [
        ("localhost", True),
        ("LOCALHOST:8642", True),
        ("127.0.0.1", True),
        ("127.0.0.1:1", True),
        ("[::1]", True),
        ("[::1]:8642", True),
        ("", False),
        ("example.org", False),
        ("127.0.0.1.example.org", False),
        ("localhost.example.org:8642", False),
        ("127.0.0.1:80@example.org", False),
        ("[::1]x", False),
        ("[::1", False),
        ("localhost:", False),
        ("user@localhost", False),
    ],
)
def test_a_host_is_near_only_by_a_loopback_name(host: str, near: bool) -> None:
    """A name that was rebound to this machine is still a foreign name."""
    assert is_loopback_host(host) is near


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://localhost:8642", "localhost:8642", True),
        ("http://LOCALHOST:8642", "localhost:8642", True),
        ("http://localhost:1", "localhost:8642", False),
        ("http://localhost:8642.example.org", "localhost:8642", False),
        ("null", "localhost:8642", False),
        ("", "", False),
        ("file://", "", False),
        ("http://[bad", "x", False),
        ("ftp://localhost:8642", "localhost:8642", False),
    ],
)
def test_an_origin_is_ones_own_only_if_it_is_the_host(origin: str, host: str, same: bool) -> None:
    """Port and name both count."""
    assert is_same_origin(origin, host) is same


async def test_an_error_of_the_facade_has_its_status() -> None:
    """An app may raise what the core raises."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise StoreError("the disk is full")

    answer = await call(guarded(app), "GET", "/")
    assert (answer.status, answer.error()["code"], answer.headers["retry-after"]) == (503, "store", "1")


async def test_a_failure_in_a_group_is_named_by_its_cause() -> None:
    """The log says what failed and not that a group did."""
    log: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ExceptionGroup("several", [ExceptionGroup("more", [KeyError("x")])])

    assert (await call(guarded(app, log), "GET", "/p")).status == 500
    assert log == ["GET /p failed: KeyError: 'x'"]


async def test_an_answer_that_has_begun_is_left_cut_off() -> None:
    """No second answer is put into the first."""
    log: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, 200, [])
        await chunk(send, b"half", more=True)
        raise HttpRefusal(400, "x", "y")

    answer = await call(guarded(app, log), "GET", "/")
    assert (answer.status, answer.body, answer.is_whole) == (200, b"half", False)


async def test_a_request_that_is_cut_off_by_a_stop_is_503() -> None:
    """The caller may try again at once."""
    begun = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await asyncio.Event().wait()

    caller = Caller("GET", "/")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(caller.make(guarded(app)))
        await begun.wait()
        task.cancel()
    assert (caller.answer.status, caller.answer.error()["code"]) == (503, "stopping")


def test_text_of_an_error_is_one_bounded_line() -> None:
    """Whatever it is made of."""
    assert one_line("a\nb\x1b[31m\x00 \u202ec\u2028d") == "a b [31m c d"
    assert len(one_line("x" * 10_000)) == 500


@pytest.mark.parametrize("key", ["Secret", "secret value"])
def test_an_error_body_is_one_line_of_json(key: str) -> None:
    """Message, type and code, and a line break at the end."""
    body = HttpRefusal(404, "c", f"{key}\nx").body()
    assert body == f'{{"error":{{"message":"{key} x","type":"not_found_error","code":"c"}}}}\n'.encode()
