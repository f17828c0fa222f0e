"""Calls of the relay over HTTP: to whom they go, and what comes back."""

import asyncio
import re
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.relay_tasks import AttemptResult
from core.relay import web_exchanges
from core.relay.web import CallError, Web, WebAnswer
from core.relay.web_exchanges import LineSplitter
from tests.support.far_side import FarSide, Heard, far_side, raw, says
from tests.support.relay_web import LIMIT_S, LOOPBACK, SHORT_S, Names, failed, web_of


async def test_a_call_is_answered() -> None:
    """Method, path, headers and body arrive as they were given; the answer comes with its status and its headers."""
    async with far_side(says(202, b"taken", X_Name="a", Retry_After="7")) as far, web_of() as web:
        answer = await web.call(
            "POST", f"{far.url}/relay?x=1", headers={"x-key": "v"}, body=b"hello", networks=LOOPBACK, limit_s=LIMIT_S
        )
        assert (answer.status, answer.body, answer.headers["x-name"]) == (202, b"taken", "a")
        assert (answer.retry_after_s, answer.is_cut) == (7.0, False)
        heard = far.heard[0]
        assert (heard.method, heard.target, heard.body) == ("POST", "/relay?x=1", b"hello")
        assert heard.headers["host"] == f"127.0.0.1:{far.port}"
        assert heard.headers["x-key"] == "v"


async def test_a_connection_is_used_again_under_the_same_allow_list_only() -> None:
    """A bot that allows less never rides on the connection of one that allows more."""
    async with far_side(says(200)) as far, web_of() as web:
        for _ in range(3):
            await web.call("GET", far.url, headers={}, networks=LOOPBACK, limit_s=LIMIT_S)
        assert far.connection_count == 1
        await web.call("GET", far.url, headers={}, networks=("127.0.0.1/32",), limit_s=LIMIT_S)
        assert far.connection_count == 2
        error = await failed(web, far.url, networks=())
        assert error.is_ours
        assert far.connection_count == 2


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "[::1%25lo]",
        "0.0.0.0",
        "[::]",
        "0",
        "\uff11\uff12\uff17.\uff10.\uff10.\uff11",
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
        "127%2e0%2e0%2e1",
        "good.example@127.0.0.1",
        "rebound.example",
        "mixed.example",
        "169.254.169.254",
    ],
)
async def test_no_spelling_of_a_forbidden_address_is_called(host: str) -> None:
    """A listener that is there sees no connection, and the failure is known as our own rule."""
    names = Names(
        localhost=["127.0.0.1", "::1"], rebound_example=["::ffff:127.0.0.1"], mixed_example=["10.0.0.1", "127.0.0.1"]
    )
    async with far_side(says(200), host="127.0.0.1") as far, web_of(names) as web:
        error = await failed(web, f"http://{host}:{far.port}/", networks=())
        assert error.is_ours
        assert error.result is AttemptResult.UNDELIVERED
        assert (far.connection_count, bytes(far.seen)) == (0, b"")


async def test_the_address_that_was_checked_is_the_one_that_is_called() -> None:
    """A name that leads elsewhere when it is looked up again is called where it led when it was checked."""
    names = Names(bot_example=["127.0.0.1"])
    async with far_side(says(200)) as far, web_of(names) as web:
        await web.call("GET", f"http://bot.example:{far.port}/", headers={}, networks=LOOPBACK, limit_s=LIMIT_S)
        assert names.asked == ["bot.example"]
        assert far.heard[0].headers["host"] == f"bot.example:{far.port}"


async def test_a_name_is_looked_up_again_for_every_connection() -> None:
    """Once it leads to a forbidden address, no new connection is made."""
    names = Names(bot_example=["127.0.0.1"])
    answer = raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    async with far_side(answer) as far, web_of(names) as web:
        url = f"http://bot.example:{far.port}/"
        await web.call("GET", url, headers={}, networks=("127.0.0.1/32",), limit_s=LIMIT_S)
        names.found["bot.example"] = ["127.0.0.2"]
        error = await failed(web, url, networks=("127.0.0.1/32",))
        assert error.is_ours
        assert "127.0.0.2" in str(error)
        assert far.connection_count == 1


async def test_a_host_is_called_at_the_next_address_when_one_refuses() -> None:
    """Several addresses are tried in their order; forbidden ones among them are not."""
    names = Names(bot_example=["10.1.2.3", "127.0.0.9", "127.0.0.1"])
    async with far_side(says(200)) as far, web_of(names) as web:
        url = f"http://bot.example:{far.port}/"
        answer = await web.call("GET", url, headers={}, networks=LOOPBACK, limit_s=LIMIT_S)
        assert answer.status == 200


async def test_a_redirect_is_an_answer() -> None:
    """It is not followed: the address that it names is called by nobody."""
    async with far_side(says(200)) as other, web_of() as web, far_side(says(302, Location=f"{other.url}/x")) as far:
        answer = await web.call("POST", far.url, headers={}, body=b"x", networks=LOOPBACK, limit_s=LIMIT_S)
        assert answer.status == 302
        assert other.connection_count == 0


async def test_a_proxy_of_the_environment_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the configuration names one."""
    async with far_side(says(418)) as proxy, far_side(says(200)) as far, web_of() as web:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        answer = await web.call("GET", far.url, headers={}, networks=LOOPBACK, limit_s=LIMIT_S)
        assert (answer.status, proxy.connection_count) == (200, 0)


async def test_a_proxy_of_the_configuration_is_asked_and_the_target_is_checked_before() -> None:
    """It may be on a private address itself; a target that may not be called does not reach it."""
    async with far_side(says(200, b"by proxy")) as proxy, web_of(Names(), proxy=proxy.url) as web:
        answer = await web.call("GET", "http://8.8.8.8/x", headers={}, limit_s=LIMIT_S)
        assert answer.body == b"by proxy"
        assert proxy.heard[0].target == "http://8.8.8.8:80/x"
        answer = await web.call("GET", "http://only-the-proxy-knows/", headers={}, limit_s=LIMIT_S)
        assert answer.status == 200
        count = len(proxy.heard)
        error = await failed(web, "http://127.0.0.1/x", networks=())
        assert error.is_ours
        with pytest.raises(CallError, match="this machine itself"):
            await anext(web.lines("GET", "http://127.0.0.1/x", headers={}, limit_s=LIMIT_S))
        assert len(proxy.heard) == count


async def test_a_proxy_that_gives_no_way_has_seen_no_request() -> None:
    """What only asks for a way is not the message."""
    async with far_side(says(403)) as proxy, web_of(Names(), proxy=proxy.url) as web:
        error = await failed(web, "https://8.8.8.8/x")
        assert error.result is AttemptResult.UNDELIVERED
        assert "proxy" in str(error)
        assert [heard.method for heard in proxy.heard] == ["CONNECT"]


async def lines_of(
    web: Web, far: FarSide, limit_s: float = LIMIT_S, limit_bytes: int = 10_000
) -> list[str | WebAnswer]:
    """All that comes line by line."""
    stream = web.lines("GET", far.url, headers={}, networks=LOOPBACK, limit_s=limit_s, limit_bytes=limit_bytes)
    async with aclosing(stream):
        return [line async for line in stream]


async def test_lines_come_as_they_are_sent() -> None:
    """Whatever ends them and however they are cut into pieces; the status comes first."""

    async def send(heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for piece in (b"data: a\r", b"\ndata: b\n", b"data: \xc3", b"\xa4\rx", b"\n\nend"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        writer.close()

    async with far_side(send) as far, web_of() as web:
        first, *rest = await lines_of(web, far)
        assert isinstance(first, WebAnswer)
        assert (first.status, first.body) == (200, b"")
        assert rest == ["data: a", "data: b", "data: ä", "x", "", "end"]


async def test_lines_that_do_not_end_fail_at_the_deadline_and_at_the_limit() -> None:
    """What came until then has been given."""
    async with far_side(raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\na\n", ends=False)) as far, web_of() as web:
        with pytest.raises(CallError, match="no end of the answer") as caught:
            await lines_of(web, far, limit_s=SHORT_S)
        assert caught.value.result is AttemptResult.UNKNOWN
        with pytest.raises(CallError, match="more than 1 bytes"):
            await lines_of(web, far, limit_bytes=1)


async def test_whoever_stops_reading_lines_early_closes_the_connection() -> None:
    """Nothing is left behind."""
    async with far_side(raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\na\nb\n", ends=False)) as far, web_of() as web:
        stream = web.lines("GET", far.url, headers={}, networks=LOOPBACK, limit_s=LIMIT_S)
        async with aclosing(stream):
            assert isinstance(await anext(stream), WebAnswer)
            assert await anext(stream) == "a"
        await web.close()
        await far.stop()
        assert far.ended.is_set()


@given(st.lists(st.binary(max_size=4) | st.sampled_from([b"\r", b"\n", b"\r\n", b"\xc3", b"\xa4"]), max_size=12))
def test_lines_do_not_depend_on_the_pieces_in_which_they_come(pieces: list[bytes]) -> None:
    """The same bytes in one piece give the same lines."""
    apart, whole = LineSplitter(), LineSplitter()
    in_pieces = [line for piece in pieces for line in apart.feed(piece)] + apart.end()
    assert in_pieces == whole.feed(b"".join(pieces)) + whole.end()


def test_a_long_line_in_tiny_pieces_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A far side could hold up everything with a megabyte, byte by byte, otherwise."""
    looked = 0

    class Counting:
        def split(self, text: str) -> list[str]:
            nonlocal looked
            looked += len(text)
            return re.split(r"\r\n|\n|\r", text)

    monkeypatch.setattr(web_exchanges, "_LINE_END", Counting())
    splitter = LineSplitter()
    for _ in range(5_000):
        assert splitter.feed(b"x") == []
    assert splitter.feed(b"\ny") == ["x" * 5_000]
    assert splitter.end() == ["y"]
    assert looked <= 5_010
