"""A running core operated from another process: the port over a Unix socket."""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from core.api.base import Actor, Command, Query, R, Record, Seq, V
from core.api.codec import decode_record, decode_view, encode
from core.api.errors import DeadlineExceeded, HermesError, InvalidInput, Refused, Unauthorised, Unavailable
from core.attach.failure import error_of
from core.attach.frames import (
    Answer,
    Ask,
    AttachState,
    CallerWire,
    CoreFrame,
    Credit,
    Ended,
    Execute,
    Failed,
    Frame,
    Grant,
    Ping,
    Subscribe,
    Told,
    Unsubscribe,
    raw,
    raw_bytes,
)
from core.clock import Clock

_WINDOW = 1024


class RemoteHermes:
    """The port of a core in another process. Made by `connect`.

    When the connection is lost, all that waits and all that comes later raises Unavailable.
    close() lets go of the core, which goes on.
    """

    def __init__(self, link: "_Link", clock: Clock, *, request_limit_s: float, ping_every_s: float) -> None:
        self._link = link
        self._clock = clock
        self._request_limit_s = request_limit_s
        self._ping_every_s = ping_every_s
        self._numbers = itertools.count(1)

    @classmethod
    async def connect(
        cls,
        path: Path,
        clock: Clock,
        *,
        version: str = "unknown",
        greeting_limit_s: float = 5.0,
        request_limit_s: float = 30.0,
        ping_every_s: float = 10.0,
    ) -> "RemoteHermes":
        """Attach to the core that listens at `path`.

        Raises Unavailable when none does, DeadlineExceeded when it does not answer, Refused
        when it speaks another protocol, Unauthorised when it serves another user.
        """
        try:
            async with asyncio.timeout(greeting_limit_s):
                _, link = await asyncio.get_running_loop().create_unix_connection(
                    lambda: _Link(version, clock), str(path)
                )
                await link.greeted()
        except TimeoutError:
            raise DeadlineExceeded(
                f"the core of {path.parent} does not answer", what="greeting", limit_s=greeting_limit_s
            ) from None
        except PermissionError as error:
            raise Unauthorised(f"{path} belongs to another user", rule="owner", fix="use a home of your own") from error
        except OSError as error:
            raise Unavailable(
                f"no core runs on {path.parent}; start one with: hermes-console serve",
                home=str(path.parent),
                fix="hermes-console serve",
            ) from error
        return cls(link, clock, request_limit_s=request_limit_s, ping_every_s=ping_every_s)

    @property
    def core_version(self) -> str:
        """Version of the core, as it said."""
        return self._link.wire.peer_version

    async def execute(self, command: Command[R], *, actor: Actor) -> R:
        """Carry out an order over there. After DeadlineExceeded it may still have happened."""
        number = next(self._numbers)
        receipt: R = await self._request(Execute(number, actor, raw(encode(command))), number, type(command).__name__)
        return receipt

    async def query(self, query: Query[V]) -> V:
        """Answer a question over there."""
        number = next(self._numbers)
        view: V = await self._request(Ask(number, raw(encode(query))), number, type(query).__name__)
        return view

    async def subscribe(self, *, after: Seq) -> AsyncGenerator[Record, None]:
        """Records in order; the core sends at most a window of them ahead."""
        self._link.check()
        number = next(self._numbers)
        stream = _Stream()
        self._link.streams[number] = stream
        self._link.send(Subscribe(number, after, _WINDOW))
        taken = 0
        try:
            while True:
                body = await self._next(stream)
                taken += 1
                if taken >= _WINDOW // 2:
                    stream.credit.grant(taken)
                    self._link.send(Grant(number, taken))
                    taken = 0
                yield self._decoded_record(body)
        finally:
            del self._link.streams[number]
            if stream.error is None:
                self._link.send(Unsubscribe(number))

    async def close(self) -> None:
        """Let go of the core. May be called twice."""
        self._link.lose(Unavailable("this console has let go of the core", fix="attach again"))
        await self._link.is_lost.wait()

    async def _request(self, frame: Frame, number: int, what: str) -> Any:
        self._link.check()
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._link.answers[number] = answer
        try:
            self._link.send(frame)
            async with asyncio.timeout(self._request_limit_s):
                body = await answer
        except TimeoutError:
            raise DeadlineExceeded(
                f"the core did not answer {what} within {self._request_limit_s:g} s",
                what=what,
                limit_s=self._request_limit_s,
            ) from None
        finally:
            self._link.answers.pop(number, None)
        try:
            return decode_view(body)
        except InvalidInput as error:
            raise self._strange() from error

    def _decoded_record(self, body: bytes) -> Record:
        try:
            return decode_record(body)
        except InvalidInput as error:
            raise self._strange() from error

    def _strange(self) -> HermesError:
        return Unavailable(
            f"the core (version {self.core_version}) said something that this console does not know",
            fix="run the same version on both sides; restart the core after an update",
        )

    async def _next(self, stream: "_Stream") -> bytes:
        while not stream.bodies:
            if stream.error is not None:
                raise stream.error
            stream.wake.clear()
            try:
                async with asyncio.timeout(self._ping_every_s):
                    await stream.wake.wait()
            except TimeoutError:
                self._ping()
        return stream.bodies.popleft()

    def _ping(self) -> None:
        """Ask for a sign of life; a core that was asked three times in vain is taken for lost."""
        quiet_s = self._clock.monotonic() - self._link.heard
        if quiet_s > 3 * self._ping_every_s:
            self._link.lose(Unavailable(f"the core has not been heard for {quiet_s:.0f} s", fix="attach again"))
        else:
            self._link.send(Ping(next(self._numbers)))


class _Stream:
    """Records of one subscription that have come and were not read yet. Never more than were granted."""

    def __init__(self) -> None:
        self.bodies: deque[bytes] = deque()
        self.credit = Credit(_WINDOW)
        self.error: HermesError | None = None
        self.wake = asyncio.Event()

    def put(self, body: bytes) -> None:
        self.credit.spend()
        self.bodies.append(body)
        self.wake.set()

    def end(self, error: HermesError) -> None:
        if self.error is None:
            self.error = error
            self.wake.set()


class _Link(asyncio.Protocol):
    """The connection: bytes in and out, and who waits for what."""

    def __init__(self, version: str, clock: Clock) -> None:
        self.wire = CallerWire(version)
        self.answers: dict[int, asyncio.Future[bytes]] = {}
        self.streams: dict[int, _Stream] = {}
        self.heard = clock.monotonic()
        self.is_lost = asyncio.Event()
        self._clock = clock
        self._transport: asyncio.Transport | None = None
        self._greeting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loss: HermesError | None = None

    async def greeted(self) -> None:
        """Wait for the core's welcome. Raises its refusal."""
        try:
            await self._greeting
        except BaseException:
            self.lose(Unavailable("no greeting"))
            raise

    def check(self) -> None:
        """Raise when nothing more can be asked."""
        if self._loss is not None:
            raise type(self._loss)(self._loss.message, **self._loss.facts)
        if self.wire.state is AttachState.DRAINING:
            raise Unavailable("the core is about to stop")

    def send(self, frame: Frame) -> None:
        """Send a frame; to a lost connection nothing is sent."""
        if self._loss is None:
            self.wire.send(frame)
            self._write()

    def lose(self, loss: HermesError) -> None:
        """End the connection; whoever waits gets the error."""
        if self._loss is None:
            self._loss = loss
            self.wire.close()
            if not self._greeting.done():
                self._greeting.set_exception(loss)
                self._greeting.exception()
            for answer in self.answers.values():
                if not answer.done():
                    answer.set_exception(loss)
            for stream in self.streams.values():
                stream.end(loss)
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say Hello."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._write()

    def data_received(self, data: bytes) -> None:
        """Take frames in."""
        self.heard = self._clock.monotonic()
        frames = self.wire.receive(data)
        if self.wire.is_open and not self._greeting.done():
            self._greeting.set_result(None)
        try:
            for frame in frames:
                self._take(frame)
        except Refused as error:
            self.wire.close(error)
        if self.wire.state is AttachState.CLOSED:
            self.lose(self.wire.fault or Unavailable("the core has closed the connection"))

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side is gone."""
        if self.wire.state is AttachState.DRAINING:
            self.lose(Unavailable("the core has stopped", fix="start it again"))
        else:
            reason = type(exc).__name__ if exc else "closed"
            self.lose(Unavailable("the connection to the core is lost", reason=reason, fix="attach again"))
        self.is_lost.set()

    def _take(self, frame: CoreFrame) -> None:
        match frame:
            case Answer():
                if (answer := self.answers.get(frame.id)) is not None and not answer.done():
                    answer.set_result(raw_bytes(frame.view))
            case Failed():
                if (answer := self.answers.get(frame.id)) is not None and not answer.done():
                    answer.set_exception(error_of(frame.failure))
            case Told():
                if (stream := self.streams.get(frame.id)) is not None:
                    stream.put(raw_bytes(frame.record))
            case Ended():
                if (stream := self.streams.get(frame.id)) is not None:
                    stream.end(error_of(frame.failure))
            case _:
                pass

    def _write(self) -> None:
        if self._transport is not None and (ready := self.wire.outgoing()):
            self._transport.write(ready)
