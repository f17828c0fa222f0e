"""Connections that are kept: used again, given up when they are old, and few at a time."""

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpcore
import pytest

from core.clock import SystemClock
from core.relay import diallers, web_pools
from core.relay.addresses import place_of
from core.relay.diallers import NoMeansError, trusted
from core.relay.resolvers import Resolver
from core.relay.web import Web
from core.relay.web_exchanges import Exchange
from core.relay.web_pools import Pools
from core.relay_settings import RelaySettings
from tests.support.clocks import FakeClock
from tests.support.far_side import FarSide, Heard, far_side, raw, says
from tests.support.loopback_tls import served, trusting
from tests.support.relay_web import LIMIT_S, LOOPBACK, Names, web_of


@asynccontextmanager
async def pools_of() -> AsyncIterator[Pools]:
    """Some that are closed with the test."""
    resolver = Resolver()
    pools = Pools(resolver, SystemClock(), trusted(), None)
    try:
        yield pools
    finally:
        await pools.close()
        resolver.close()


async def ask(pools: Pools, far: FarSide, target: str = "/") -> int:
    """One request; its status."""
    place = place_of(far.url + target)
    exchange = Exchange("GET", place, {}, b"", LIMIT_S)
    async with pools.using(place, LOOPBACK) as connection:
        await exchange.begin(connection)
        await exchange.read(1000)
        await exchange.close()
    return exchange.status


async def test_requests_that_follow_each_other_share_a_connection() -> None:
    """Whatever their paths."""
    async with far_side(says(200)) as far, pools_of() as pools:
        for number in range(5):
            assert await ask(pools, far, f"/{number}") == 200
        assert far.connection_count == 1


async def test_a_connection_that_the_far_side_closed_is_not_used_again() -> None:
    """It is found before anything is written to it."""
    async with far_side(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as far, pools_of() as pools:
        for _ in range(3):
            far.ended.clear()
            assert await ask(pools, far) == 200
            await far.ended.wait()
        assert far.connection_count == 3


async def test_a_connection_that_nobody_uses_is_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though nobody calls anybody; one that is young, or used, stays."""
    monkeypatch.setattr(web_pools, "_IDLE_S", 0.0)
    async with far_side(says(200)) as unused, far_side(says(200)) as far, pools_of() as pools:
        await ask(pools, unused)
        assert not unused.ended.is_set()
        monkeypatch.setattr(web_pools, "_IDLE_S", 15.0)
        await ask(pools, far)
        await pools.sweep()
        await asyncio.wait_for(unused.ended.wait(), LIMIT_S)
        await ask(pools, far)
        assert far.connection_count == 1


async def test_that_needs_no_further_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock does it, whenever the first call was made."""
    monkeypatch.setattr(web_pools, "_IDLE_S", 0.0)
    clock = FakeClock()
    web = Web(RelaySettings(), clock)
    async with far_side(says(200)) as far, asyncio.TaskGroup() as group:
        running = group.create_task(web.run())
        await clock.advance(60.0)
        await web.call("GET", far.url, headers={}, networks=LOOPBACK, limit_s=LIMIT_S)
        assert not far.ended.is_set()
        await clock.advance(15.0)
        await asyncio.wait_for(far.ended.wait(), LIMIT_S)
        running.cancel()
        await web.close()


async def test_only_so_many_connections_are_kept_for_all_far_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are: the files that a program may have open are for more than that."""
    monkeypatch.setattr(web_pools, "_IDLE_MOST", 1)
    async with far_side(says(200)) as first, far_side(says(200)) as second, pools_of() as pools:
        await ask(pools, first)
        await ask(pools, second)
        await asyncio.wait_for(second.ended.wait(), LIMIT_S)
        await ask(pools, first)
        assert first.connection_count == 1


EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


@pytest.mark.parametrize("rest", [b"x", EVIL])
async def test_what_comes_after_an_answer_is_no_answer_to_the_next_request(rest: bytes) -> None:
    """A far side that sends more than it announced gets a connection of its own for the next one."""

    async def more(heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + rest)

    async with far_side(more) as far, pools_of() as pools:
        for number in range(3):
            assert await ask(pools, far, f"/{number}") == 200
            assert far.connection_count == len(far.heard) == number + 1


@pytest.mark.parametrize("rest", [b"", EVIL])
async def test_what_comes_after_an_answer_is_found_inside_tls_too(tmp_path: Path, rest: bytes) -> None:
    """In a record of its own, which was read from the system and not looked at; without one it is used again."""

    async def more(heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        if rest:
            writer.write(rest)

    names = Names(bot_example=["127.0.0.1"])
    async with far_side(more, tls=served(tmp_path)) as far, web_of(names, tls=trusting()) as web:
        for _ in range(3):
            url = f"https://bot.example:{far.port}/"
            answer = await web.call("GET", url, headers={}, networks=LOOPBACK, limit_s=LIMIT_S)
            assert answer.body == b"ok"
        assert len(far.heard) == 3
        assert far.connection_count == (3 if rest else 1)


async def test_what_comes_after_a_long_answer_is_no_answer_to_the_next_request() -> None:
    """More than is read at a time was taken from the system at once, and waits where nobody looks."""
    body = b"x" * (diallers.READ_BYTES * 3 - len(b"HTTP/1.1 200 OK\r\nContent-Length: 24000\r\n\r\n"))

    async def more(heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body + EVIL)

    async with far_side(more) as far, web_of() as web:
        for _ in range(3):
            answer = await web.call("GET", far.url, headers={}, networks=LOOPBACK, limit_s=LIMIT_S)
            assert answer.body == body
        assert far.connection_count == len(far.heard) == 3


async def test_connections_to_a_proxy_are_kept_too() -> None:
    """What is made for one far side is for that one alone."""
    async with far_side(says(200)) as proxy, web_of(Names(), proxy=proxy.url) as web:
        for host in ("8.8.8.8", "8.8.8.8", "8.8.4.4"):
            await web.call("GET", f"http://{host}/", headers={}, limit_s=LIMIT_S)
        assert proxy.connection_count == 2


def test_a_proxy_proves_itself_as_far_sides_do() -> None:
    """Nothing is read anew for each connection to it."""
    tls = trusting()
    for url, wanted in (("https://proxy.example:8443", tls), ("http://proxy.example:3128", None)):
        proxy = Pools(Resolver(), SystemClock(), tls, url).proxy
        assert proxy is not None
        assert proxy.ssl_context is wanted


async def test_whoever_calls_without_files_to_open_closes_what_nobody_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be what is missing."""

    async def none_left(*_: object, **__: object) -> None:
        raise httpcore.ConnectError(OSError(errno.EMFILE, "too many open files"))

    async with far_side(says(200)) as unused, far_side(says(200)) as far, pools_of() as pools:
        await ask(pools, unused)
        monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", none_left)
        with pytest.raises(NoMeansError):
            await ask(pools, far)
        await asyncio.wait_for(unused.ended.wait(), LIMIT_S)


async def test_what_did_not_come_to_a_clean_end_is_not_used_again() -> None:
    """The rest of an answer would be taken for the next one."""
    async with far_side(says(200, b"x" * 100_000)) as far, pools_of() as pools:
        for _ in range(2):
            assert await ask(pools, far) == 200
        assert far.connection_count == 2
