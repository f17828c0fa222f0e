"""The process of one hook, from the core's side: started when needed, spoken to in lines, killed when it hangs."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import cast

import msgspec

from core.gateway.hook import HANDLER
from core.waits import breathe

OUTPUT_LIMIT_BYTES = 4096
"""What is kept of all that a hook prints: the newest."""

PRINT_LIMIT_BYTES = 16 * 1_048_576
"""A process that prints more from one event to the next is ended: reading it would keep the core busy for ever."""

START_LIMIT_S = 15.0
_LINE_LIMIT_BYTES = 65_536
_STDERR = 2
_KILL_GRACE_S = 5.0
_HOST = Path(__file__).with_name("hook_host.py")
_PASSED_ON = frozenset({"PATH", "HOME", "LANG", "LOGNAME", "USER", "TZ", "TMPDIR"})
_PASSED_ON_PREFIX = "LC_"


class Answer(msgspec.Struct, frozen=True):
    """What a call came to. error: "" when the handler returned; line: of handler.py, 0 for none."""

    error: str = ""
    line: int = 0
    is_timeout: bool = False


class _Said(msgspec.Struct):
    """A line of the host. ready: of the first one alone."""

    id: int = 0
    error: str = ""
    line: int = 0
    ready: bool | None = None


class GoneError(Exception):
    """The process ended instead of answering. line: of handler.py, 0 for none."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


_decoder = msgspec.json.Decoder(_Said)
_encode = msgspec.json.Encoder().encode


def child_environment(core: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a hook: what every program needs, and nothing that may be a secret."""
    return {name: value for name, value in core.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIX)}


class HookChild(asyncio.SubprocessProtocol):
    """One run of a hook's process. Methods of the protocol belong to the loop; one call at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.SubprocessTransport | None = None
        self._line = b""
        self._output = b""
        self._printed_bytes = 0
        self._said: asyncio.Future[_Said] | None = None
        self._last_id = 0
        self._is_gone = False
        self._closed = asyncio.Event()
        self.pid = 0

    @classmethod
    async def start(cls, handler: Path) -> "HookChild":
        """Start the process and have it load its handler. Raises GoneError with what was wrong."""
        child = cls()
        pipe = asyncio.subprocess.PIPE
        await asyncio.get_running_loop().subprocess_exec(
            lambda: child,
            sys.executable,
            "-I",
            "-u",
            "-B",
            str(_HOST),
            str(handler),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            cwd=handler.parent,
            env=child_environment(os.environ),
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(START_LIMIT_S):
                said = await child._next()
        except TimeoutError:
            await child.close()
            raise GoneError(f"{HANDLER} took longer than {START_LIMIT_S:g} s to load", 0) from None
        except BaseException:
            # Whoever started it is being ended: nobody else will wait for its end.
            await child.close()
            raise
        if not said.ready:
            await child.close()
            raise GoneError(said.error, said.line)
        return child

    @property
    def is_alive(self) -> bool:
        """Whether it can be handed an event."""
        return self.pid != 0 and not self._is_gone

    @property
    def output(self) -> str:
        """The last that it printed since the last event was handed to it."""
        return self._output.decode(errors="replace")

    async def call(self, event_type: str, context: Mapping[str, object], limit_s: float) -> Answer:
        """Hand it an event and wait for what it does; after limit_s it is killed with all its children."""
        self._last_id += 1
        self._output = b""
        self._printed_bytes = 0
        try:
            async with asyncio.timeout(limit_s):
                self._write(_encode({"id": self._last_id, "event": event_type, "context": context}))
                said = await self._next()
        except TimeoutError:
            await self.close()
            return Answer(f"took longer than {limit_s:g} s and was ended", is_timeout=True)
        except GoneError as error:
            await self.close()
            return Answer(str(error), error.line)
        except BaseException:
            self.kill()
            raise
        # What it printed before it answered comes through another pipe.
        await breathe()
        await breathe()
        return Answer(said.error, said.line)

    async def close(self) -> None:
        """End the process with all its children, and wait for its end."""
        self.kill()
        with suppress(TimeoutError):
            async with asyncio.timeout(_KILL_GRACE_S):
                await self._closed.wait()

    def kill(self) -> None:
        """End the process with all its children."""
        if self.pid and not self._is_gone:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def _write(self, line: bytes) -> None:
        pipe = self._transport.get_pipe_transport(0) if self._transport and self.is_alive else None
        if pipe is None or pipe.is_closing():
            raise GoneError("its process has ended", 0)
        cast("asyncio.WriteTransport", pipe).write(line + b"\n")

    async def _next(self) -> _Said:
        """The next line of the host. Raises GoneError."""
        if self._is_gone:
            raise GoneError(self._last_words(), 0)
        self._said = asyncio.get_running_loop().create_future()
        try:
            return await self._said
        finally:
            self._said = None

    # -- of the protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It runs."""
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self.pid = self._transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """It printed or answered something."""
        self._printed_bytes += len(data)
        if self._printed_bytes > PRINT_LIMIT_BYTES:
            self.kill()
        if fd == _STDERR:
            self._output = (self._output + data)[-OUTPUT_LIMIT_BYTES:]
            return
        *lines, self._line = (self._line + data).split(b"\n")
        if len(self._line) > _LINE_LIMIT_BYTES:
            self.kill()
        for line in lines:
            self._take(line)

    def process_exited(self) -> None:
        """It ended: its children are killed, and who waits for it is told."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        asyncio.get_running_loop().call_soon(self._gone)

    def connection_lost(self, exc: Exception | None) -> None:
        """Every pipe is closed."""
        del exc
        self._closed.set()

    def _take(self, line: bytes) -> None:
        try:
            said = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.kill()
            return
        # Whatever a copy of the process says of an earlier event is nothing about this one.
        if said.id == self._last_id and self._said is not None and not self._said.done():
            self._said.set_result(said)

    def _gone(self) -> None:
        self._is_gone = True
        if self._said is not None and not self._said.done():
            self._said.set_exception(GoneError(self._last_words(), 0))
        if self._transport is not None:
            self._transport.close()

    def _last_words(self) -> str:
        if self._printed_bytes > PRINT_LIMIT_BYTES:
            return f"printed more than {PRINT_LIMIT_BYTES // 1_048_576} MB for one event and was ended"
        code = self._transport.get_returncode() if self._transport else None
        how = "ended" if code is None else f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        said = next((line.strip() for line in reversed(self.output.splitlines()) if line.strip()), "")
        return f"its process {how} without an answer" + (f": {said[:200]}" if said else "")
