"""A line between two cores that relay to each other over HTTP, with a weather that a test makes.

It reads whole requests and whole answers, so a fault hits a message where it hurts: before the far side has it, in the
middle of it, or after the far side has it and before the near side knows.
"""

import asyncio
import contextlib
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any

_HEAD_LIMIT_BYTES = 65_536
_PIECE_BYTES = 97
_PIECE_PAUSE_S = (0.0, 0.02)
_LATER_S = (0.05, 1.0)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)


class Fault(StrEnum):
    """What can happen to one request.

    partition: nothing gets through. silence: it is taken and nothing comes back, until the near side gives up. slow: it
    comes in small pieces. cut: only the beginning of the request gets through. lost: the far side has answered, and
    nothing of it comes back. torn: only the beginning of the answer comes back. repeat: the far side gets it three
    times at once. late: the far side gets it again later.
    """

    NONE = "none"
    PARTITION = "partition"
    SILENCE = "silence"
    SLOW = "slow"
    CUT = "cut"
    LOST = "lost"
    TORN = "torn"
    REPEAT = "repeat"
    LATE = "late"


class RelayLine:
    """Passes requests on to a port of this machine, which may be another one after each start of the far side.

    chances: of each fault, in the present weather; what is left is none. happened: requests by what befell them.
    """

    def __init__(self, dice: random.Random) -> None:
        self.port = 0
        self.target = 0
        self.chances: Mapping[Fault, float] = {}
        self.happened: Counter[Fault] = Counter()
        self._dice = dice
        self._jobs: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen, at the same port each time."""
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", self.port, limit=_HEAD_LIMIT_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Listen no more, so that nobody can connect, and break what is connected."""
        if self._server is not None:
            self._server.close()
            self._server = None
        jobs = list(self._jobs)
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        # A job that was cancelled before it began has closed nothing.
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:
            writer.transport.abort()
            return
        self._writers.add(writer)
        self.begin(self.serve(reader, writer))

    @property
    def url(self) -> str:
        """Where the near side calls."""
        return f"http://127.0.0.1:{self.port}"

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done beside the rest."""
        job = asyncio.get_running_loop().create_task(work)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the near side, one request after the other."""
        try:
            while True:
                request = await _message(reader)
                fault = self._fault()
                self.happened[fault] += 1
                await self._exchange(request, fault, reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.transport.abort()
            self._writers.discard(writer)

    def _fault(self) -> Fault:
        point = self._dice.random()
        for fault, chance in self.chances.items():
            point -= chance
            if point < 0:
                return fault
        return Fault.NONE

    async def _exchange(
        self, request: bytes, fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if fault is Fault.PARTITION:
            raise ConnectionResetError
        if fault is Fault.SILENCE:
            await reader.read()
            raise ConnectionResetError
        if fault is Fault.CUT:
            await self._far(request[: self._dice.randrange(1, len(request))], is_cut=True)
            raise ConnectionResetError
        if fault is Fault.REPEAT:
            answers = await asyncio.gather(*(self._far(request) for _ in range(3)), return_exceptions=True)
            found = [answer for answer in answers if isinstance(answer, bytes)]
            if not found:
                raise ConnectionResetError
            answer = self._dice.choice(found)
        else:
            answer = await self._far(request, is_slow=fault is Fault.SLOW)
        if fault is Fault.LATE:
            self.begin(self._again(request))
        if fault is Fault.LOST:
            raise ConnectionResetError
        if fault is Fault.TORN:
            writer.write(answer[: self._dice.randrange(1, len(answer))])
            await writer.drain()
            raise ConnectionResetError
        await self._write(writer, answer, is_slow=fault is Fault.SLOW)

    async def _again(self, request: bytes) -> None:
        await asyncio.sleep(self._dice.uniform(*_LATER_S))
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._far(request)

    async def _far(self, request: bytes, *, is_slow: bool = False, is_cut: bool = False) -> bytes:
        """What the far side answers. Raises OSError, IncompleteReadError."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            await self._write(writer, request, is_slow=is_slow)
            return b"" if is_cut else await _message(reader)
        finally:
            writer.transport.abort() if is_cut else writer.close()

    async def _write(self, writer: asyncio.StreamWriter, whole: bytes, *, is_slow: bool) -> None:
        step = _PIECE_BYTES if is_slow else len(whole)
        for place in range(0, len(whole), step):
            writer.write(whole[place : place + step])
            await writer.drain()
            if is_slow:
                await asyncio.sleep(self._dice.uniform(*_PIECE_PAUSE_S))


async def _message(reader: asyncio.StreamReader) -> bytes:
    """A request or an answer as it was written. Raises IncompleteReadError when it ends before."""
    head = await reader.readuntil(b"\r\n\r\n")
    if found := _LENGTH.search(head):
        return head + await reader.readexactly(int(found[1]))
    if not _CHUNKED.search(head):
        return head
    body = b""
    while True:
        size = await reader.readuntil(b"\r\n")
        piece = await reader.readexactly(int(size.split(b";")[0], 16) + 2)
        body += size + piece
        if len(piece) == 2:
            return head + body


@asynccontextmanager
async def relay_line(dice: random.Random) -> AsyncIterator[RelayLine]:
    """A line that leads nowhere yet, for as long as the block lasts."""
    line = RelayLine(dice)
    await line.open()
    try:
        yield line
    finally:
        await line.close()
