"""Calls of platforms over HTTP: bounded in time and size, failures in four kinds, no secret in any word."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.gateway.adapters.web import TooLargeError, WebClient, file_pieces
from core.gateway.platform import PlatformError, PlatformErrorKind
from core.retry_after import retry_after_s
from core.secrets import Secret
from tests.support.clocks import FakeClock

URL = "http://far.test/bot-s3cret/do"
SECRET = Secret("bot-s3cret")


def client(handle: Callable[[httpx.Request], Any]) -> WebClient:
    """A client whose far side is a function."""
    return WebClient("far.test", FakeClock(), secrets=[SECRET], transport=httpx.MockTransport(handle))


async def failure(web: WebClient, **how: Any) -> PlatformError:
    """How a call fails."""
    with pytest.raises(PlatformError) as caught:
        await web.call("GET", URL, **how)
    assert SECRET.reveal() not in caught.value.message
    assert caught.value.__cause__ is None
    return caught.value


async def test_an_answer_is_handed_over_whatever_its_status() -> None:
    """With its status, headers in lower case, and body."""
    web = client(lambda _: httpx.Response(503, headers={"X-Word": "v"}, json={"a": 1}))
    answer = await web.call("POST", URL, body={"b": 2})
    assert (answer.status, answer.headers["x-word"], answer.json(), answer.is_ok) == (503, "v", {"a": 1}, False)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, PlatformErrorKind.REFUSED),
        (401, PlatformErrorKind.UNAUTHORISED),
        (403, PlatformErrorKind.REFUSED),
        (404, PlatformErrorKind.GONE),
        (408, PlatformErrorKind.RETRY_AFTER),
        (410, PlatformErrorKind.GONE),
        (413, PlatformErrorKind.REFUSED),
        (429, PlatformErrorKind.RETRY_AFTER),
        (500, PlatformErrorKind.RETRY_AFTER),
        (502, PlatformErrorKind.RETRY_AFTER),
        (302, PlatformErrorKind.REFUSED),
    ],
)
async def test_a_status_means_one_of_four_kinds(status: int, kind: PlatformErrorKind) -> None:
    """And the words name the far side, not its address."""
    web = client(lambda _: httpx.Response(status))
    error = web.refused(await web.call("GET", URL), f"it said {SECRET.reveal()}\nand more")
    assert error.kind is kind
    assert error.message == f"far.test answered {status}: it said *** and more"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("99999999999", 86_400.0),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("1.2.3", None),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10.0),
        ("Tue, 14 Nov 2000 22:13:30 GMT", 0.0),
        ("٣", None),
    ],
)
def test_a_wish_to_wait_is_a_number_or_a_date(text: str, expected: float | None) -> None:
    """At most a day; anything else says nothing."""
    assert retry_after_s(text, 1_700_000_000.0) == expected


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("to bot-s3cret"), httpx.ReadTimeout("bot-s3cret"), httpx.ReadError("x")]
)
async def test_a_broken_line_asks_to_try_again(error: Exception) -> None:
    """In our words: those of the library may quote the address."""

    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    assert (await failure(client(fail))).kind is PlatformErrorKind.RETRY_AFTER


async def test_silence_ends_at_the_deadline() -> None:
    """The caller's own one, whatever the library thinks."""

    async def silent(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    error = await failure(client(silent), deadline_s=0.01)
    assert (error.kind, error.message) == (
        PlatformErrorKind.RETRY_AFTER,
        "far.test cannot be reached: no answer within 0.01 s",
    )


async def test_a_body_is_read_up_to_its_limit() -> None:
    """What is larger is given up while it comes."""
    given: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            given.append(1)
            yield b"x" * 100_000

    web = client(lambda _: httpx.Response(200, content=endless()))
    error = await failure(web, limit_bytes=300_000)
    assert isinstance(error, TooLargeError)
    assert len(given) < 10


async def test_what_is_packed_is_refused() -> None:
    """A small answer could unpack to any size."""
    body = httpx.Response(200, headers={"content-encoding": "br"}, stream=httpx.ByteStream(b"x"))
    assert (await failure(client(lambda _: body))).kind is PlatformErrorKind.RETRY_AFTER


@pytest.mark.parametrize(
    "body", [b"", b"nope", b"\xff\xfe", b"[" * 100_000, b'{"a": 1' + b"0" * 10_000 + b"}", b"NaN garbage", b'"\\ud800']
)
async def test_what_is_no_json_is_none(body: bytes) -> None:
    """However it is broken."""
    web = client(lambda _: httpx.Response(200, content=body))
    assert (await web.call("GET", URL)).json() is None


async def test_half_a_character_hides_nothing_else() -> None:
    """JSON may hold what is no Unicode; the rest is still to be had."""
    web = client(lambda _: httpx.Response(200, content=b'{"a": "\\ud800", "b": "x"}'))
    assert (await web.call("GET", URL)).json()["b"] == "x"


async def test_what_is_no_address_is_refused() -> None:
    """Trying again does not help."""
    web = client(lambda _: httpx.Response(200))
    with pytest.raises(PlatformError) as caught:
        await web.call("GET", "http://far.test:port/")
    assert caught.value.kind is PlatformErrorKind.REFUSED


async def test_a_file_is_handed_out_in_pieces() -> None:
    """And a status that says no is a failure before the first."""
    web = client(lambda _: httpx.Response(200, content=b"x" * 200_000))
    pieces = [piece async for piece in web.stream(URL)]
    assert b"".join(pieces) == b"x" * 200_000
    assert len(pieces) > 1
    web = client(lambda _: httpx.Response(404))
    with pytest.raises(PlatformError) as caught:
        [piece async for piece in web.stream(URL)]
    assert caught.value.kind is PlatformErrorKind.GONE


async def test_a_file_that_stops_coming_is_given_up() -> None:
    """Each piece has a deadline of its own."""

    async def stalls() -> AsyncIterator[bytes]:
        yield b"x" * 100_000
        await asyncio.Event().wait()

    web = client(lambda _: httpx.Response(200, content=stalls()))
    with pytest.raises(PlatformError) as caught:
        [piece async for piece in web.stream(URL, piece_deadline_s=0.05)]
    assert caught.value.kind is PlatformErrorKind.RETRY_AFTER


async def test_connections_are_kept_while_somebody_is_inside() -> None:
    """And none after that: nobody has to close anything at the end."""
    web = client(lambda _: httpx.Response(200))
    async with web:
        await web.call("GET", URL)
        kept = web._client
        await web.call("GET", URL)
        assert kept is not None
        assert web._client is kept
    assert web._client is None
    assert kept.is_closed
    await web.call("GET", URL)
    assert web._client is None


async def test_a_file_to_send_is_read_in_pieces(tmp_path: Path) -> None:
    """One that is not there is refused without its place."""
    (tmp_path / "f").write_bytes(b"y" * 150_000)
    assert b"".join([piece async for piece in file_pieces(str(tmp_path / "f"), 150_000)]) == b"y" * 150_000
    with pytest.raises(PlatformError) as caught:
        [piece async for piece in file_pieces(str(tmp_path / "missing"), 1)]
    assert caught.value.kind is PlatformErrorKind.REFUSED
    assert str(tmp_path) not in caught.value.message
