"""A core on its own thread: the same port, another loop, nothing shared but records."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.api.base import SYSTEM, Actor, Command, Query, Record, Seq
from core.api.errors import ConfigError, Lagged, NotFound, Unavailable
from core.api.system import GetHealth, Shutdown, ShutdownReceipt, ShutdownStarted
from core.threaded import ThreadedHermes


class Inner:
    """A Hermes that says on which thread it was used."""

    def __init__(self, count: int = 0, error: Exception | None = None) -> None:
        self.threads: set[str] = set()
        self.count = count
        self.error = error
        self.is_closed = False
        self.unsubscribed = threading.Event()

    async def execute(self, command: Command[Any], *, actor: Actor) -> Any:
        """A receipt that echoes."""
        self.threads.add(threading.current_thread().name)
        assert isinstance(command, Shutdown)
        return ShutdownReceipt(running=len(actor.name), queued=0, drain_s=command.drain_s)

    async def query(self, query: Query[Any]) -> Any:
        """Always an error."""
        raise NotFound("nothing here", noun=type(query).__name__)

    async def subscribe(self, *, after: Seq) -> AsyncIterator[Record]:
        """Records after `after`, then the error or silence."""
        try:
            for number in range(after + 1, self.count + 1):
                yield Record(
                    seq=Seq(number), at=0.0, actor=SYSTEM, subject="x", event=ShutdownStarted(reason=str(number))
                )
            if self.error is not None:
                raise self.error
            await asyncio.Event().wait()
        finally:
            self.unsubscribed.set()

    async def close(self) -> None:
        """Note it."""
        self.is_closed = True


def _started(inner: Inner) -> ThreadedHermes:
    async def open_inner() -> Inner:
        return inner

    return ThreadedHermes.start(open_inner, name="core")


async def test_orders_and_questions_run_on_the_cores_thread() -> None:
    """Receipts and errors come back as if it were near."""
    inner = Inner()
    hermes = await asyncio.to_thread(_started, inner)
    receipt = await hermes.execute(Shutdown(drain_s=3), actor=SYSTEM)
    assert receipt.drain_s == 3
    with pytest.raises(NotFound):
        await hermes.query(GetHealth())
    assert inner.threads == {"core"}
    await hermes.close()
    assert inner.is_closed
    assert not hermes.is_alive


async def test_records_cross_in_order_and_a_reader_can_leave() -> None:
    """Ten thousand in order; leaving ends the subscription on the other side."""
    inner = Inner(10_000)
    hermes = await asyncio.to_thread(_started, inner)
    stream: Any = hermes.subscribe(after=Seq(5))
    seen = []
    async for record in stream:
        seen.append(record.seq)
        if record.seq == 10_000:
            break
    assert seen == list(range(6, 10_001))
    await stream.aclose()
    assert await asyncio.to_thread(inner.unsubscribed.wait, 10)
    await hermes.close()


async def test_an_error_of_the_stream_reaches_the_reader_after_what_came_before() -> None:
    """Lagged is raised, not swallowed."""
    hermes = await asyncio.to_thread(_started, Inner(3, Lagged("fell behind")))
    stream = hermes.subscribe(after=Seq(0))
    assert [(await anext(stream)).seq for _ in range(3)] == [1, 2, 3]
    with pytest.raises(Lagged):
        await anext(stream)
    await hermes.close()


async def test_a_fault_of_the_stream_reaches_the_reader() -> None:
    """An error that nobody foresaw must not leave the reader waiting for ever."""
    hermes = await asyncio.to_thread(_started, Inner(1, TypeError("odd")))
    stream = hermes.subscribe(after=Seq(0))
    assert (await anext(stream)).seq == 1
    async with asyncio.timeout(10):
        with pytest.raises(TypeError, match="odd"):
            await anext(stream)
    await hermes.close()


async def test_a_reader_that_falls_far_behind_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bridge is bounded: the core never waits for a screen."""
    monkeypatch.setattr("core.threaded._BUFFER_LIMIT", 10)
    hermes = await asyncio.to_thread(_started, Inner(1000))
    with pytest.raises(Lagged):
        async for _ in hermes.subscribe(after=Seq(0)):
            pass
    await hermes.close()


def test_what_opening_raises_is_raised_to_the_starter() -> None:
    """And no thread is left."""

    async def broken() -> Inner:
        raise ConfigError("line 3", key="x")

    before = threading.active_count()
    with pytest.raises(ConfigError):
        ThreadedHermes.start(broken)
    for thread in threading.enumerate():
        if thread.name == "core":
            thread.join(10)
    assert threading.active_count() == before


async def test_a_stopped_core_refuses_and_ends_its_readers() -> None:
    """Everything says Unavailable."""
    hermes = await asyncio.to_thread(_started, Inner(1))
    stream = hermes.subscribe(after=Seq(0))
    assert (await anext(stream)).seq == 1
    await hermes.close()
    with pytest.raises(Unavailable):
        await anext(stream)
    with pytest.raises(Unavailable):
        await hermes.query(GetHealth())
    await hermes.close()


def test_it_can_be_stopped_without_a_loop() -> None:
    """As the end of the program does."""
    inner = Inner()
    hermes = _started(inner)
    hermes.stop()
    hermes.stop()
    assert inner.is_closed
