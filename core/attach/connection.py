"""One caller of the core: its requests and subscriptions, kept apart from all other callers."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from core.api.base import ActorKind, Record
from core.api.codec import decode_command, decode_query, encode
from core.api.errors import HermesError, InvalidInput, Overloaded, Refused, Unavailable
from core.api.port import Hermes
from core.attach.failure import failure_of
from core.attach.frames import (
    Answer,
    Ask,
    AttachState,
    CallerFrame,
    CoreWire,
    Credit,
    Ended,
    Execute,
    Failed,
    Frame,
    Grant,
    Subscribe,
    Told,
    Unsubscribe,
    raw,
    raw_bytes,
)

_READ_BYTES = 65_536
_REQUEST_LIMIT = 64
_SUBSCRIPTION_LIMIT = 16
_STOPPING = "the core is about to stop"


class Connection:
    """Serves one caller until it goes, misbehaves, or `run` is cancelled.

    greeting_limit_s: how long the caller may take to say Hello.
    """

    def __init__(
        self,
        hermes: Hermes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        version: str,
        greeting_limit_s: float,
    ) -> None:
        self.wire = CoreWire(version)
        self._hermes = hermes
        self._reader = reader
        self._writer = writer
        self._greeting_limit_s = greeting_limit_s
        self._requests: dict[int, asyncio.Task[None]] = {}
        self._subscriptions: dict[int, tuple[_Allowance, asyncio.Task[None]]] = {}
        self._is_flush_due = False

    async def run(self) -> None:
        """Serve. Raises nothing but cancellation: a caller's fault is the caller's."""
        try:
            async with asyncio.TaskGroup() as tasks:
                frames = await self._greeting()
                while self.wire.is_open:
                    for frame in frames:
                        self._take(frame, tasks)
                    await self._flush()
                    if not (received := await self._reader.read(_READ_BYTES)):
                        break
                    frames = self.wire.receive(received)
                self.wire.close()
                for task in self._tasks():
                    task.cancel()
        except* OSError:
            # The caller is gone; there is nobody to tell.
            pass
        finally:
            self.wire.close()
            self._write()
            self._writer.close()
            if self._writer.transport.get_write_buffer_size():
                # A caller that does not read must not hold what nobody will wait for.
                self._writer.transport.abort()

    async def drained(self, limit_s: float) -> None:
        """Take nothing new, and wait until what was asked is answered, at most limit_s."""
        self.wire.drain()
        self._write()
        waiting = list(self._requests.values())
        if waiting:
            await asyncio.wait(waiting, timeout=limit_s)
        self._write()

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [*self._requests.values(), *(task for _, task in self._subscriptions.values())]

    async def _greeting(self) -> list[CallerFrame]:
        """Welcome the caller; returns what it sent along with its Hello."""
        frames: list[CallerFrame] = []
        try:
            async with asyncio.timeout(self._greeting_limit_s):
                while self.wire.state is AttachState.HELLO and (received := await self._reader.read(_READ_BYTES)):
                    frames = self.wire.receive(received)
        except TimeoutError:
            self.wire.reject(Refused("nobody said Hello in time", rule="hello"))
        await self._flush()
        return frames

    def _take(self, frame: CallerFrame, tasks: asyncio.TaskGroup) -> None:
        match frame:
            case Execute():
                self._start(frame.id, lambda: self._execute(frame), tasks)
            case Ask():
                self._start(frame.id, lambda: self._ask(frame), tasks)
            case Subscribe():
                self._subscribe(frame, tasks)
            case Grant():
                self._grant(frame)
            case Unsubscribe():
                if (found := self._subscriptions.get(frame.id)) is not None:
                    found[1].cancel()
            case _:
                pass

    def _start(self, number: int, request: Callable[[], Coroutine[Any, Any, Frame]], tasks: asyncio.TaskGroup) -> None:
        if self.wire.state is AttachState.DRAINING:
            self._send(Failed(number, failure_of(Unavailable(_STOPPING))))
        elif number in self._requests:
            self.wire.close(Refused(f"request {number} is under way already", rule="number"))
        elif len(self._requests) >= _REQUEST_LIMIT:
            busy = Overloaded("too many requests at once", bound="requests", limit=_REQUEST_LIMIT, retry_after_s=1.0)
            self._send(Failed(number, failure_of(busy)))
        else:
            task = tasks.create_task(self._answer(number, request))
            self._requests[number] = task
            task.add_done_callback(lambda _: self._requests.pop(number, None))

    async def _answer(self, number: int, request: Callable[[], Coroutine[Any, Any, Frame]]) -> None:
        try:
            self._send(await request())
        except HermesError as error:
            self._send(Failed(number, failure_of(error)))
        except Exception as error:  # noqa: BLE001 - a fault in one handler must not end the other requests
            self._send(Failed(number, failure_of(HermesError(f"the core failed: {type(error).__name__}"))))
        await self._flush()

    async def _execute(self, frame: Execute) -> Frame:
        if frame.actor.kind is not ActorKind.OPERATOR:
            raise Refused(f"a caller acts as operator and not as {frame.actor.kind.value}", rule="actor")
        command = decode_command(raw_bytes(frame.command))
        return Answer(frame.id, raw(encode(await self._hermes.execute(command, actor=frame.actor))))

    async def _ask(self, frame: Ask) -> Frame:
        return Answer(frame.id, raw(encode(await self._hermes.query(decode_query(raw_bytes(frame.query))))))

    def _subscribe(self, frame: Subscribe, tasks: asyncio.TaskGroup) -> None:
        try:
            if self.wire.state is AttachState.DRAINING:
                raise Unavailable(_STOPPING)
            if frame.id in self._subscriptions:
                raise InvalidInput(f"subscription {frame.id} is under way already", field="id", value=frame.id)
            if len(self._subscriptions) >= _SUBSCRIPTION_LIMIT:
                raise Overloaded("too many subscriptions", bound="subscriptions", limit=_SUBSCRIPTION_LIMIT)
            allowance = _Allowance(frame.credit)
        except HermesError as error:
            self._send(Ended(frame.id, failure_of(error)))
            return
        task = tasks.create_task(self._tell(frame, allowance))
        self._subscriptions[frame.id] = (allowance, task)
        task.add_done_callback(lambda _: self._subscriptions.pop(frame.id, None))

    def _grant(self, frame: Grant) -> None:
        found = self._subscriptions.get(frame.id)
        if found is None:
            return
        try:
            found[0].grant(frame.credit)
        except Refused as error:
            self.wire.close(error)

    async def _tell(self, frame: Subscribe, allowance: "_Allowance") -> None:
        stream = self._hermes.subscribe(after=frame.after)
        try:
            while True:
                # A record is fetched only when it may be sent: a slow caller makes the core's own
                # bounded subscription fall behind, and no buffer here grows.
                await allowance.take()
                record: Record = await anext(stream)
                self._send(Told(frame.id, raw(encode(record))))
                await self._flush_when_full()
        except StopAsyncIteration:
            self._send(Ended(frame.id, failure_of(Unavailable("the core ended the subscription"))))
        except HermesError as error:
            self._send(Ended(frame.id, failure_of(error)))
        finally:
            end = getattr(stream, "aclose", None)
            if end is not None:
                await end()

    def _send(self, frame: Frame) -> None:
        try:
            self.wire.send(frame)
        except Refused as error:
            # Too large. Its number is known, so the caller learns of it.
            number: int = getattr(frame, "id", 0)
            self.wire.send((Failed if isinstance(frame, Answer) else Ended)(number, failure_of(error)))
        if not self._is_flush_due:
            self._is_flush_due = True
            # All that is sent in one turn of the loop goes out in one write.
            asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        self._is_flush_due = False
        if (ready := self.wire.outgoing()) and not self._writer.is_closing():
            self._writer.write(ready)

    async def _flush(self) -> None:
        self._write()
        await self._writer.drain()

    async def _flush_when_full(self) -> None:
        if self.wire.outgoing_bytes >= _READ_BYTES:
            await self._flush()
        elif self._writer.transport.get_write_buffer_size():
            await self._writer.drain()


class _Allowance(Credit):
    """Credit that can be waited for."""

    def __init__(self, granted: int) -> None:
        self._more = asyncio.Event()
        super().__init__(granted)

    def grant(self, more: int) -> None:
        """Allow more, and wake the one who waits."""
        super().grant(more)
        self._more.set()

    async def take(self) -> None:
        """Wait for credit and spend one."""
        while self.left < 1:
            self._more.clear()
            await self._more.wait()
        self.spend()
