"""A small HTTP server that stands for a bot far away: it answers, hangs, or is not there, as a test says."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_NOT_FOUND = 404


class FarBot:
    """One address that outlives its server. status: of the next answers. hold: cleared, messages get none.

    ids: of the messages that arrived, in order; canceled: of those that it was told to stop.
    """

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.status = 200
        self.hold = asyncio.Event()
        self.hold.set()
        self.arrived = asyncio.Event()
        self.ids: list[str] = []
        self.canceled: list[str] = []
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    async def up(self) -> None:
        """Be there."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def down(self) -> None:
        """Be gone, with all connections."""
        self.hold.set()
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, path, _ = head.split("\r\n", 1)[0].split(" ")
            length = next(
                (int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length:")),
                0,
            )
            body = await reader.readexactly(length)
            status, answer = self.status, {"status": "ok", "task_id": "", "timestamp": "0001-01-01T00:00:00Z"}
            if method == "POST":
                self.ids.append(json.loads(body)["task_id"])
                self.arrived.set()
                await self.hold.wait()
            elif method == "DELETE":
                self.canceled.append(path.rpartition("/")[2])
                status = _NOT_FOUND
            said = json.dumps(answer | {"duration": 0}).encode()
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n".encode())
            writer.write(f"Content-Length: {len(said)}\r\nConnection: close\r\n\r\n".encode() + said)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def far_bot() -> AsyncIterator[FarBot]:
    """A bot that is there."""
    bot = FarBot()
    await bot.up()
    try:
        yield bot
    finally:
        await bot.down()
