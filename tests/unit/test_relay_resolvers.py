"""Names of hosts to addresses: asked once at a time, in threads that hold up nothing else."""

import asyncio
import errno
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core.relay.resolvers import Resolver

LIMIT_S = 10.0


class NameServer:
    """In place of the system's. texts: what it answers; its answers wait for `go`."""

    def __init__(self) -> None:
        self.texts = ["127.0.0.1"]
        self.asked: list[str] = []
        self.go = threading.Event()
        self.go.set()

    def __call__(self, host: str, port: object, **_: Any) -> list[tuple[Any, ...]]:
        """As getaddrinfo."""
        self.asked.append(host)
        assert self.go.wait(LIMIT_S)
        if not self.texts:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, port or 0)) for text in self.texts]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    """One that answers at once, until a test holds it up."""
    found = NameServer()
    monkeypatch.setattr("core.relay.resolvers.socket.getaddrinfo", found)
    yield found
    found.go.set()


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    """One that is closed with the test."""
    made = Resolver()
    yield made
    made.close()


async def until(is_so: Callable[[], bool]) -> None:
    """Let the threads go on until it is."""
    async with asyncio.timeout(LIMIT_S):
        while not is_so():  # noqa: ASYNC110 - it happens in a thread
            await asyncio.sleep(0.001)


async def test_an_address_is_not_asked_about(server: NameServer, resolver: Resolver) -> None:
    """It is its own answer."""
    assert [str(address) for address in await resolver("8.8.8.8")] == ["8.8.8.8"]
    assert [str(address) for address in await resolver("::1")] == ["::1"]
    assert server.asked == []


async def test_all_addresses_of_a_name_are_given_once(server: NameServer, resolver: Resolver) -> None:
    """In the order of the system, and not more than eight."""
    server.texts = ["10.0.0.1", "::1", "10.0.0.1", "fe80::1%eth0", *(f"10.0.1.{number}" for number in range(20))]
    found = [str(address) for address in await resolver("bot.example")]
    assert found[:3] == ["10.0.0.1", "::1", "fe80::1%eth0"]
    assert len(found) == 8


async def test_several_that_ask_at_a_time_share_the_answer(server: NameServer, resolver: Resolver) -> None:
    """One of them that gives up takes nothing from the others; later ones ask again."""
    server.go.clear()
    asking = [asyncio.ensure_future(resolver("bot.example")) for _ in range(10)]
    await until(lambda: bool(server.asked))
    asking[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking[0]
    server.go.set()
    for asked in asking[1:]:
        assert [str(address) for address in await asyncio.wait_for(asked, LIMIT_S)] == ["127.0.0.1"]
    assert server.asked == ["bot.example"]
    await resolver("bot.example")
    assert server.asked == ["bot.example"] * 2


async def test_a_name_that_nobody_knows_is_an_error_of_the_system(server: NameServer, resolver: Resolver) -> None:
    """Also when nobody waits for the answer any more; then it is asked again."""
    server.texts = []
    with pytest.raises(OSError, match="not known"):
        await resolver("bot.example")
    server.texts = ["127.0.0.1"]
    assert await resolver("bot.example")


async def test_a_name_server_that_hangs_holds_up_no_other_name(server: NameServer, resolver: Resolver) -> None:
    """Nor anything else that is done in threads."""
    server.go.clear()
    hanging = [asyncio.ensure_future(resolver(f"bot{number}.example")) for number in range(20)]
    await until(lambda: len(server.asked) == 20)
    assert await asyncio.wait_for(asyncio.to_thread(lambda: 1), LIMIT_S) == 1
    server.go.set()
    await asyncio.wait_for(asyncio.gather(*hanging), LIMIT_S)


async def test_who_still_waits_when_all_is_closed_is_told(server: NameServer, resolver: Resolver) -> None:
    """As an error, not as if they had been cancelled themselves."""
    server.go.clear()
    hanging = [asyncio.ensure_future(resolver(f"bot{number}.example")) for number in range(40)]
    await until(lambda: len(server.asked) == 32)
    resolver.close()
    for late in hanging[32:]:
        with pytest.raises(OSError, match="stopped"):
            await asyncio.wait_for(late, LIMIT_S)
    server.go.set()
    await asyncio.wait_for(asyncio.gather(*hanging[:32]), LIMIT_S)


async def test_a_program_that_ends_waits_for_no_name_server(server: NameServer, resolver: Resolver) -> None:
    """The system can take a minute to give a name up: such a thread is one that goes with the program."""
    server.go.clear()
    asking = asyncio.ensure_future(resolver("bot.example"))
    await until(lambda: bool(server.asked))
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("relay-names")]
    assert threads
    assert all(thread.daemon for thread in threads)
    server.go.set()
    await asyncio.wait_for(asking, LIMIT_S)


async def test_a_look_up_without_files_to_open_says_so(
    server: NameServer, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system calls that a name that nobody knows, which would be the far side's fault."""

    def none_left(*_: object, **__: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    server.texts = []
    with monkeypatch.context() as patch:
        patch.setattr("core.relay.resolvers.socket.socket", none_left)
        with pytest.raises(OSError, match="open files"):
            await resolver("bot.example")
