"""A line between a client and a server on this machine that a test can cut, or let fall silent."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_PIECE_BYTES = 65_536


class TcpLine:
    """Passes bytes on to a port of this machine. Deaf, it takes them and passes nothing on; nothing fails then."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self._target = port
        self._is_cut = False
        self._clear = asyncio.Event()
        self._clear.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.accepted_count = 0

    def cut(self) -> None:
        """Break all connections and take no new ones."""
        self._is_cut = True
        for writer in list(self._writers):
            writer.transport.abort()

    def deafen(self) -> None:
        """Pass nothing on, in either direction."""
        self._clear.clear()

    def mend(self) -> None:
        """Be a good line again. What fell silent stays so: its connections are broken."""
        if not self._clear.is_set():
            self.cut()
        self._is_cut = False
        self._clear.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        self.accepted_count += 1
        self._writers.add(writer)
        try:
            if self._is_cut:
                return
            await self._clear.wait()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers.add(far_writer)
            try:
                await asyncio.gather(self._pass_on(reader, far_writer), self._pass_on(far_reader, writer))
            finally:
                self._writers.discard(far_writer)
                far_writer.close()
        except OSError:
            return
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(_PIECE_BYTES):
                await self._clear.wait()
                writer.write(piece)
                await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            writer.transport.abort() if self._is_cut else writer.close()


@asynccontextmanager
async def tcp_line(port: int) -> AsyncIterator[TcpLine]:
    """A line to a port of this machine, for as long as the block lasts."""
    line = TcpLine(port)
    served: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(line.serve(reader, writer))
        served.add(task)
        task.add_done_callback(served.discard)

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    line.port = server.sockets[0].getsockname()[1]
    try:
        yield line
    finally:
        server.close()
        line.cut()
        for task in list(served):
            task.cancel()
        await asyncio.gather(*served, return_exceptions=True)
