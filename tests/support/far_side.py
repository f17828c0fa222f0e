"""A far side on loopback that does to a connection whatever a test wants, and remembers every byte it saw."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec

Answering = Callable[["Heard", asyncio.StreamWriter], Awaitable[None]]


class Heard(msgspec.Struct, frozen=True):
    """One request. headers: names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    reader: asyncio.StreamReader


class FarSide:
    """What a test can reach. answer: what it does with a request; the connection lasts when that returns."""

    def __init__(self, answer: Answering) -> None:
        self.answer = answer
        self.port = 0
        self.scheme = "http"
        self.seen = bytearray()
        self.heard: list[Heard] = []
        self.connection_count = 0
        self.came = asyncio.Event()
        self.ended = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Its base address."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connection_count += 1
        self._writers.add(writer)
        try:
            while True:
                heard = await self._read(reader)
                self.heard.append(heard)
                self.came.set()
                await self.answer(heard, writer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            self.ended.set()
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def stop(self) -> None:
        """End all connections."""
        for writer in list(self._writers):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _read(self, reader: asyncio.StreamReader) -> Heard:
        head = await reader.readuntil(b"\r\n\r\n")
        self.seen += head
        first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.seen += body
        method, target, _ = first.split(" ")
        return Heard(method, target, headers, body, reader)


@asynccontextmanager
async def far_side(
    answer: Answering, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[FarSide]:
    """One that listens on a free port for as long as the block lasts."""
    far = FarSide(answer)
    server = await asyncio.start_server(far.serve, host, 0, ssl=tls)
    far.port = server.sockets[0].getsockname()[1]
    far.scheme = "https" if tls else "http"
    try:
        yield far
    finally:
        server.close()
        await far.stop()
        with contextlib.suppress(OSError):
            await server.wait_closed()


def says(status: int, body: bytes = b"", **headers: str) -> Answering:
    """Answer every request like this. headers: with _ for -."""

    async def answer(heard: Heard, writer: asyncio.StreamWriter) -> None:
        extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {status} Said\r\n{extra}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    return answer


def raw(answer: bytes, *, ends: bool = True) -> Answering:
    """Answer every request with these bytes. ends: the connection is closed then; if not, nothing more comes."""

    async def send(heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        if ends:
            writer.close()
        else:
            await silent(heard, writer)

    return send


async def silent(heard: Heard, writer: asyncio.StreamWriter) -> None:
    """Answer nothing, and leave when the other one does."""
    while await heard.reader.read(65_536):
        pass
    writer.close()
