"""The shell command against a FakeHermes that is served on a real socket by a thread of its own."""

import asyncio
import io
import shlex
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from console import headless
from console.shell.call import Streams
from core.api.errors import HermesError
from core.api.port import Hermes
from core.api.system import ConfigView, HealthView
from core.attach.client import RemoteHermes
from core.clock import SystemClock
from core.config import check, load
from tests.support.attached import served
from tests.support.fake_hermes import FakeHermes, health

T = TypeVar("T")


class Said(NamedTuple):
    """What a call printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of data."""
        return self.out.splitlines()


class _Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


class FakeDoors:
    """Doors to a home in a test; what was opened is recorded."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.opened: list[tuple[str, Path]] = []
        self.flags: dict[str, bool] = {}
        self.code = 0

    def default_home(self) -> Path:
        """The home of the test."""
        return self.home

    async def attach(self, home: Path) -> Hermes:
        """Over the socket in the home."""
        return await RemoteHermes.connect(home / "core.sock", SystemClock())

    def serve(self, home: Path, on_ready: Callable[[HealthView], None]) -> int:
        """Nothing is served; the call is recorded."""
        self.opened.append(("serve", home))
        on_ready(health(home=str(home)))
        return self.code

    def screen(self, home: Path, *, is_embedded: bool, read_only: bool, demo: bool) -> int:
        """No screen is opened; the call is recorded."""
        self.opened.append(("screen", home))
        self.flags = {"is_embedded": is_embedded, "read_only": read_only, "demo": demo, "home_is_there": home.exists()}
        return self.code

    def leave_screen(self) -> None:
        """Recorded."""
        self.opened.append(("left", self.home))

    def prepare_demo(self, home: Path) -> None:
        """An empty home."""
        home.mkdir()
        self.opened.append(("demo", home))

    def read_config(self, home: Path) -> ConfigView:
        """The file of the home, without the environment."""
        return load(home, {}).view()

    def config_errors(self, home: Path) -> Sequence[HermesError]:
        """The same."""
        return check(home, {})[1]


class Shell:
    """Runs commands. `fake` is the core behind the socket; touch it with on_core while it is served."""

    def __init__(self, fake: FakeHermes, home: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.fake = fake
        self.doors = FakeDoors(home)
        self._loop = loop

    def run(self, line: str, *, stdin: str = "", is_terminal: bool = False, width: int | None = None) -> Said:
        """One call, as typed."""
        return run_line(self.doors, line, stdin=stdin, is_terminal=is_terminal, width=width)

    def on_core(self, call: Callable[[], T]) -> T:
        """Run a call on the core's loop and wait for its result."""
        done: Future[T] = Future()
        self._loop.call_soon_threadsafe(lambda: done.set_result(call()))
        return done.result(10)


def run_line(
    doors: FakeDoors, line: str, *, stdin: str = "", is_terminal: bool = False, width: int | None = None
) -> Said:
    """One call, as typed, through any doors."""
    kind = _Terminal if is_terminal else io.StringIO
    streams = Streams(kind(stdin), kind(), kind(), width)
    code = headless.main(shlex.split(line), doors, streams)
    assert isinstance(streams.stdout, io.StringIO)
    assert isinstance(streams.stderr, io.StringIO)
    return Said(code, streams.stdout.getvalue(), streams.stderr.getvalue())


@contextmanager
def shell_on(fake: FakeHermes, home: Path) -> Iterator[Shell]:
    """A shell whose home has a running core."""
    ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def core() -> None:
        stop = asyncio.Event()
        async with served(fake, home / "core.sock"):
            ready.set_result((asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(core()), daemon=True)
    thread.start()
    loop, stop = ready.result(10)
    try:
        yield Shell(fake, home, loop)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        assert not thread.is_alive()
