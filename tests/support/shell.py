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
from console.shell.local import Daemon
from core import daemon
from core.api.errors import HermesError, Unavailable
from core.api.port import Hermes
from core.api.processes import ImportView, ProcessView, ProfileHomes
from core.api.system import ConfigView, HealthView
from core.attach.client import RemoteHermes
from core.clock import SystemClock
from core.config import check, load
from core.home import profile_home
from core.migration import import_hermes
from core.process_status import read_process
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

    def open_quietly(self, home: Path) -> Hermes:
        """None is opened."""
        raise Unavailable(f"no core is opened on {home}")

    def process(self, home: Path) -> ProcessView:
        """As the files of the home say."""
        return read_process(home, SystemClock())

    def start_daemon(self, home: Path, *, unsafe: bool) -> Daemon:
        """None is started; the call is recorded."""
        self.opened.append(("unsafe daemon" if unsafe else "daemon", home))
        raise Unavailable("nothing is started in a test")

    def log_tail(self, home: Path, line_count: int) -> Sequence[str]:
        """As the file of the home says."""
        return daemon.log_tail(home, line_count)

    def terminate(self, home: Path, *, kill: bool) -> int:
        """Nothing is ended; the call is recorded."""
        self.opened.append(("killed" if kill else "ended", home))
        return 0

    def command_line(self, home: Path, *words: str) -> Sequence[str]:
        """A program that cannot be mistaken for another."""
        return ("/opt/my tools/100% hermes", "--home", str(home), *words)

    def profiles(self, root: Path) -> ProfileHomes:
        """Those on the disk."""
        return daemon.profiles(root)

    def profile_home(self, root: Path, name: str) -> Path:
        """Below the root."""
        return profile_home(root, name)

    def import_hermes(self, home: Path, source: Path, *, write: bool) -> ImportView:
        """As it is."""
        return import_hermes(home, source, write=write)

    def serve(self, home: Path, on_ready: Callable[[HealthView], None], *, unsafe: bool = False) -> int:
        """Nothing is served; the call is recorded."""
        self.flags["unsafe"] = unsafe
        self.opened.append(("serve", home))
        on_ready(health(home=str(home)))
        return self.code

    def screen(self, home: Path, *, is_embedded: bool, read_only: bool, demo: bool, unsafe: bool = False) -> int:
        """No screen is opened; the call is recorded."""
        self.opened.append(("screen", home))
        self.flags = {"is_embedded": is_embedded, "read_only": read_only, "demo": demo, "home_is_there": home.exists()}
        self.flags |= {"unsafe": True} if unsafe else {}
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
