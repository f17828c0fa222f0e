"""Child processes that speak in lines: started apart, always drained, ended together with all their children.

Nothing here needs a task: the loop calls back with what comes, also between turns. A child leads a process group of
its own, so that whatever it starts ends with it; only what makes itself a group of its own escapes, unless the
command line is one that a ToolHost wrapped.
"""

import asyncio
import os
import shutil
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

from core.agents.masks import MASK
from core.agents.places import CORE_FOLDERS
from core.api.errors import Unavailable
from core.clock import Clock
from core.secrets import Secret
from core.waits import CutShort, Waits

LINE_LIMIT_BYTES = 33_554_432
STDERR_LINES = 200
STDERR_LINE_LIMIT = 4_096
EOF_GRACE_S = 2.0
TERM_GRACE_S = 3.0
_KILL_GRACE_S = 2.0

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_RAW_STDERR_LIMIT_BYTES = 65_536
_READ_BYTES = 262_144
_LEFTOVER_LIMIT_BYTES = 4_194_304
_PASSED_ON = frozenset({"PATH", "HOME", "LANG", "LOGNAME", "USER", "SHELL", "TERM", "TZ", "TMPDIR"})
_PASSED_ON_PREFIX = "LC_"


def child_environment(
    core: Mapping[str, str], *, own: Mapping[str, str], secrets: Mapping[str, Secret]
) -> dict[str, str]:
    """The whole environment of a child: of the core's only what every program needs, and what its profile names.

    core: the core's own variables. own, secrets: the profile's; they win.
    """
    passed = {name: value for name, value in core.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIX)}
    return passed | dict(own) | {name: value.reveal() for name, value in secrets.items()}


def program_places(argv: Sequence[str], path: str, home: Path) -> tuple[Path, ...]:
    """Folders that a program must be able to read where nothing but the system is visible. Blocks.

    path: where programs are looked up. home: of the core. Never that one, nor the home of the user, nor what lies
    above them, nor what the core keeps to itself: a file there is named alone.
    """
    core_home = home.resolve()
    named = [shutil.which(argv[0], path=path), *(word for word in argv[1:] if word.startswith("/"))]
    found = [Path(word).absolute() for word in named if word and Path(word).is_file()]
    places = [_place(each, core_home) for file in found for each in (file, file.resolve())]
    # A virtual environment needs the interpreter that it was made from.
    made = [folder for folder in places if (folder / "pyvenv.cfg").is_file()]
    places += [_place((folder / "bin" / "python").resolve(), core_home) for folder in made]
    return tuple(dict.fromkeys(place for place in places if not place.is_relative_to("/usr")))


def _place(file: Path, core_home: Path) -> Path:
    folder = file.parent
    if "node_modules" in file.parts:
        folder = Path(*file.parts[: file.parts.index("node_modules") + 1])
    elif folder.name == "bin":
        folder = folder.parent
    above = (Path.home(), Path.home().resolve(), core_home)
    inside = [core_home / name for name in CORE_FOLDERS]
    for place in (folder, file.parent):
        is_kept = any(place.resolve().is_relative_to(each) for each in inside)
        if not is_kept and not any(each.is_relative_to(place) for each in above):
            return place
    return file


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to a child and all of its group. Only before the child's end: later its number may be another's."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


class GoneError(Exception):
    """The child ended before it answered."""


class Child(asyncio.SubprocessProtocol):
    """A running child. Methods of the protocol belong to the loop.

    on_line: called with each line of its standard output, without the line end. on_end: called once, after the last
    line, when it is gone. fault: why it was killed for what it sent, "" when it was not.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        on_line: Callable[[bytes], None],
        on_end: Callable[[], None],
        redact: Callable[[str], str],
        hide: Sequence[bytes],
        limit_bytes: int,
    ) -> None:
        self.fault = ""
        self.pid = 0
        self.exit_code: int | None = None
        self._clock = clock
        self._on_line = on_line
        self._on_end = on_end
        self._redact = redact
        self._hide = hide
        self._limit_bytes = limit_bytes
        self._transport: asyncio.SubprocessTransport | None = None
        self._line = bytearray()
        self._error_line = bytearray()
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES)
        self._at_end: set[int] = set()
        self._is_gone = False
        self._is_reaped = False
        self._is_ending = False
        self._closed = asyncio.Event()
        self._waits = Waits()

    @property
    def is_alive(self) -> bool:
        """Whether it can still be spoken to."""
        return self.pid != 0 and not self._is_gone and not self.fault and _STDOUT not in self._at_end

    @property
    def is_gone(self) -> bool:
        """Whether the process has ended and nothing more comes."""
        return self._is_gone

    @property
    def stderr(self) -> tuple[str, ...]:
        """The last lines of its standard error, known secrets replaced; otherwise as they came."""
        return tuple(self._stderr)

    def last_words(self) -> str:
        """How it ended, in one line for people: exit code or signal, and the last thing it said on standard error."""
        if self.fault:
            how = self.fault
        elif self.exit_code is None:
            how = "ended"
        elif self.exit_code < 0:
            how = f"ended by signal {-self.exit_code}"
        else:
            how = f"exit code {self.exit_code}"
        said = next((line.strip() for line in reversed(self._stderr) if line.strip()), "")
        return f"{how}: {said}" if said else how

    def write(self, line: bytes) -> bool:
        """Send a line; the line end is added. Does not wait. False when nobody is there to read it."""
        stdin = self._pipe(_STDIN)
        if stdin is None or not self.is_alive:
            return False
        stdin.write(line + b"\n")
        if stdin.get_write_buffer_size() > 2 * self._limit_bytes:
            self.fail("it does not read what it is sent")
            return False
        return True

    def pause(self) -> None:
        """Read no more of its standard output until resume()."""
        self._reading(lambda pipe: pipe.pause_reading())

    def resume(self) -> None:
        """Read on."""
        self._reading(lambda pipe: pipe.resume_reading())

    def fail(self, why: str) -> None:
        """Kill it for a breach of what was agreed; the first reason counts."""
        if not self._is_gone:
            self.fault = self.fault or why
            self.kill()

    def kill(self) -> None:
        """End it and all its children at once; on_end follows."""
        self._signal(signal.SIGKILL)

    async def end(self) -> None:
        """Let it end, then make it: end of input, 2 s, TERM, 3 s, KILL, each to all of its group.

        As often as one likes; cancelled, it is killed at once. Returns when it is gone.
        """
        if self._is_ending:
            await self._closed.wait()
            return
        self._is_ending = True
        try:
            stdin = self._pipe(_STDIN)
            if stdin is not None:
                stdin.close()
            for grace_s, number in ((EOF_GRACE_S, signal.SIGTERM), (TERM_GRACE_S, signal.SIGKILL)):
                if await self._is_gone_within(grace_s):
                    break
                self._signal(number)
            if await self._is_gone_within(_KILL_GRACE_S):
                await self._closed.wait()
        finally:
            self.kill()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It runs."""
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self.pid = self._transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """It said something."""
        if fd == _STDERR:
            self._take_stderr(data)
        elif not self.fault:
            self._take_stdout(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """It closed a pipe, or we did. Without its output it is of no use."""
        del exc
        self._at_end.add(fd)
        if fd == _STDOUT:
            self._last_line()
            if not self._is_ending:
                # An exit that is under way keeps its exit code. Nothing gentler: it may heed nothing else, and whoever
                # waits for it would wait on.
                self._signal(signal.SIGKILL)

    def process_exited(self) -> None:
        """It ended: its children are killed."""
        assert self._transport is not None
        self._signal(signal.SIGKILL)
        self._is_reaped = True
        self.exit_code = self._transport.get_returncode()
        # What was read in the turn of the loop that noticed the end is handed on in this one, after this call.
        asyncio.get_running_loop().call_soon(self._gone)

    def _gone(self) -> None:
        """All that was read has been handed on; what is left in the pipes is read now."""
        assert self._transport is not None
        for fd in (_STDOUT, _STDERR):
            self._read_leftover(fd)
        self._last_line()
        if self._error_line:
            self._take_stderr(b"\n")
        self._is_gone = True
        stdin = self._pipe(_STDIN)
        if stdin is not None:
            stdin.abort()
        self._transport.close()
        self._waits.cut()
        self._on_end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Every pipe is closed."""
        del exc
        self._closed.set()

    def _pipe(self, fd: int) -> asyncio.WriteTransport | None:
        pipe = self._transport.get_pipe_transport(fd) if self._transport is not None else None
        return None if pipe is None or pipe.is_closing() else cast("asyncio.WriteTransport", pipe)

    def _reading(self, change: Callable[[asyncio.ReadTransport], None]) -> None:
        pipe = self._transport.get_pipe_transport(_STDOUT) if self._transport is not None else None
        if pipe is not None and not pipe.is_closing():
            change(cast("asyncio.ReadTransport", pipe))

    def _signal(self, number: signal.Signals) -> None:
        if self.pid and not self._is_reaped:
            signal_group(self.pid, number)

    async def _is_gone_within(self, limit_s: float) -> bool:
        if not self._is_gone:
            with suppress(CutShort):
                await self._waits.wait(self._clock.sleep(limit_s))
        return self._is_gone

    def _take_stdout(self, data: bytes) -> None:
        first, *more = data.split(b"\n")
        self._line += first
        for piece in more:
            self._give_line()
            self._line += piece
            if self.fault:
                return
        if len(self._line) > self._limit_bytes:
            self._line.clear()
            self.fail(f"it sent a line of more than {self._limit_bytes} bytes")

    def _give_line(self) -> None:
        line = bytes(self._line).removesuffix(b"\r")
        self._line.clear()
        if len(line) > self._limit_bytes:
            self.fail(f"it sent a line of more than {self._limit_bytes} bytes")
        elif line.strip():
            for value in self._hide:
                line = line.replace(value, MASK.encode())
            try:
                self._on_line(line)
            except Exception as error:  # noqa: BLE001 - on the loop nobody would see it, and the child would wait
                # Only the kind: the text may quote what the child sent.
                self.fail(f"what it sent could not be taken in ({type(error).__name__})")

    def _last_line(self) -> None:
        if self._line and not self.fault:
            self._give_line()

    def _take_stderr(self, data: bytes) -> None:
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._keep_stderr(line)
            text = self._redact(self._error_line.decode(errors="replace")).rstrip("\r")
            self._stderr.append(text[:STDERR_LINE_LIMIT])
            self._error_line.clear()
        self._keep_stderr(rest)

    def _keep_stderr(self, data: bytes) -> None:
        self._error_line += data[: max(0, _RAW_STDERR_LIMIT_BYTES - len(self._error_line))]

    def _read_leftover(self, fd: int) -> None:
        """What is in the pipe now. Its end may never come: somebody else can hold it open."""
        pipe = self._pipe(fd)
        if pipe is None or fd in self._at_end:
            return
        handle: int = pipe.get_extra_info("pipe").fileno()
        left = _LEFTOVER_LIMIT_BYTES
        with suppress(BlockingIOError):
            while left > 0 and (data := os.read(handle, _READ_BYTES)):
                left -= len(data)
                self.pipe_data_received(fd, data)


async def start(
    argv: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    clock: Clock,
    on_line: Callable[[bytes], None],
    on_end: Callable[[], None],
    redact: Callable[[str], str],
    hide: Sequence[bytes],
    limit_bytes: int = LINE_LIMIT_BYTES,
) -> Child:
    """Start a child in a group of its own. cwd must be there; environment: all of it; redact: for standard error;
    hide: what is replaced by *** in its lines.

    Raises Unavailable when it cannot be started.
    """
    loop = asyncio.get_running_loop()
    child = Child(clock, on_line=on_line, on_end=on_end, redact=redact, hide=hide, limit_bytes=limit_bytes)
    pipe = asyncio.subprocess.PIPE
    try:
        await loop.subprocess_exec(
            lambda: child,
            *argv,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            cwd=cwd,
            env=dict(environment),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else "") or "not a command line"
        raise Unavailable(
            f"cannot start {argv[0]}: {why}", field="command", value=argv[0], fix="install it, or correct command"
        ) from None
    except BaseException:
        child.kill()
        raise
    return child
