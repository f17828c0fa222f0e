"""Any Hermes on its own thread and loop, so that a redraw never delays the gateway, nor a frozen terminal."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from core.api.base import Actor, Command, Query, R, Record, Seq, V
from core.api.errors import Lagged, Unavailable
from core.api.port import Hermes

T = TypeVar("T")

_BUFFER_LIMIT = 65_536


class ThreadedHermes:
    """A Hermes that lives on a thread of its own; the port may be used from any other loop."""

    def __init__(self, hermes: Hermes, loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
        self._hermes = hermes
        self._loop = loop
        self._thread = thread
        self._is_closed = False

    @classmethod
    def start(cls, open_hermes: Callable[[], Awaitable[Hermes]], *, name: str = "core") -> "ThreadedHermes":
        """Open it on a new thread. Blocks until it is open; raises what opening raised."""
        opened: Future[tuple[Hermes, asyncio.AbstractEventLoop]] = Future()
        thread = threading.Thread(target=_main, args=(open_hermes, opened), name=name, daemon=True)
        thread.start()
        hermes, loop = opened.result()
        return cls(hermes, loop, thread)

    @property
    def inner(self) -> Hermes:
        """What lives on the thread. Touch it only by `on_core`."""
        return self._hermes

    @property
    def is_alive(self) -> bool:
        """Whether the core's thread runs."""
        return self._thread.is_alive()

    async def execute(self, command: Command[R], *, actor: Actor) -> R:
        """Carry out an order on the core's loop."""
        return await self._await(lambda: self._hermes.execute(command, actor=actor))

    async def query(self, query: Query[V]) -> V:
        """Answer a question on the core's loop."""
        return await self._await(lambda: self._hermes.query(query))

    async def subscribe(self, *, after: Seq) -> AsyncIterator[Record]:
        """Records in order. Crossing threads costs one wake-up for all that have come, not one for each."""
        self._check()
        bridge = _Bridge(asyncio.get_running_loop())
        pump = asyncio.run_coroutine_threadsafe(_pump(self._hermes, after, bridge), self._loop)
        try:
            while True:
                await bridge.wait()
                while bridge.records:
                    yield bridge.records.popleft()
                if bridge.error is not None:
                    raise bridge.error
        finally:
            pump.cancel()

    async def close(self) -> None:
        """Drain and stop it, and end its thread."""
        if self._is_closed:
            return
        self._is_closed = True
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._hermes.close(), self._loop))
        self._end()
        await asyncio.to_thread(self._thread.join)

    def stop(self) -> None:
        """Like close(), for callers without a loop."""
        if self._is_closed:
            return
        self._is_closed = True
        asyncio.run_coroutine_threadsafe(self._hermes.close(), self._loop).result()
        self._end()
        self._thread.join()

    def on_core(self, call: Callable[[], Awaitable[T]]) -> "Future[T]":
        """Run a call on the core's loop; the result may be waited for on this thread."""
        return asyncio.run_coroutine_threadsafe(_called(call), self._loop)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _await(self, call: Callable[[], Awaitable[T]]) -> T:
        self._check()
        return await asyncio.wrap_future(self.on_core(call))

    def _check(self) -> None:
        if self._is_closed or not self._thread.is_alive():
            raise Unavailable("the core has stopped", fix="start it again")


class _Bridge:
    """Records on their way from the core's thread to another loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._wake = asyncio.Event()
        self.records: deque[Record] = deque()
        self.error: Exception | None = None

    async def wait(self) -> None:
        """Until there is something to read, or an error."""
        if not self.records and self.error is None:
            self._wake.clear()
            if not self.records and self.error is None:
                await self._wake.wait()

    def put(self, record: Record) -> None:
        """Called on the core's thread. Never waits; what only lives is let go for a reader that fell behind."""
        if len(self.records) >= _BUFFER_LIMIT:
            if record.durable:
                raise Lagged("the reader fell behind", limit=_BUFFER_LIMIT)
            return
        self.records.append(record)
        if len(self.records) == 1:
            self._call(self._wake.set)

    def fail(self, error: Exception) -> None:
        """Called on the core's thread: nothing more comes."""
        self.error = error
        self._call(self._wake.set)

    def _call(self, callback: Callable[[], Any]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback)


async def _pump(hermes: Hermes, after: Seq, bridge: _Bridge) -> None:
    try:
        async for record in hermes.subscribe(after=after):
            bridge.put(record)
    except Exception as error:  # noqa: BLE001 - a fault, too, must reach the reader, who would wait for ever
        bridge.fail(error)
    except asyncio.CancelledError:
        bridge.fail(Unavailable("the core has stopped", fix="start it again"))
        raise
    else:
        bridge.fail(Unavailable("the core has stopped", fix="start it again"))


async def _called(call: Callable[[], Awaitable[T]]) -> T:
    return await call()


def _main(
    open_hermes: Callable[[], Awaitable[Hermes]], opened: "Future[tuple[Hermes, asyncio.AbstractEventLoop]]"
) -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        try:
            hermes = loop.run_until_complete(_called(open_hermes))
        except BaseException as error:  # noqa: BLE001 - the starter raises it on its own thread
            opened.set_exception(error)
            return
        opened.set_result((hermes, loop))
        loop.run_forever()
        loop.run_until_complete(_cancel_rest())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


async def _cancel_rest() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
