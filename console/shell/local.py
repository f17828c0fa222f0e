"""Shell commands that need no core: what they work with, and the doors that they go through."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from console.shell.call import Streams
from core.api.codec import encode
from core.api.port import Hermes
from core.api.processes import ImportView, ProcessView, ProfileHomes
from core.api.system import ConfigView

DRAIN_KEY = "core.drain_s"


def drain_s(view: ConfigView) -> float:
    """The time that runs get at a stop, as a configuration says."""
    return next((float(item.value) for item in view.settings if item.key == DRAIN_KEY), 10.0)


class Daemon(Protocol):
    """A core that was started just now."""

    pid: int

    def exit_code(self) -> int | None:
        """What it ended with; None while it goes on."""
        ...

    def leave(self) -> None:
        """Let it go on when this process ends."""
        ...


class ProcessDoors(Protocol):
    """The ways to a core's process and to what is on the disk. All but attach block."""

    async def attach(self, home: Path) -> Hermes:
        """Connect to the core that runs on a home. Raises Unavailable when none does."""
        ...

    def open_quietly(self, home: Path) -> Hermes:
        """Open the core of a home in this process, for orders about what is stored: it talks to nobody."""
        ...

    def process(self, home: Path) -> ProcessView:
        """How the core of a home stands, without asking it."""
        ...

    def start_daemon(self, home: Path, *, unsafe: bool) -> Daemon:
        """Start a core apart from this terminal."""
        ...

    def read_config(self, home: Path) -> ConfigView:
        """The configuration of a home as a core would read it now. Raises ConfigError."""
        ...

    def log_tail(self, home: Path, line_count: int) -> Sequence[str]:
        """The last lines of a daemon's log."""
        ...

    def terminate(self, home: Path, *, kill: bool) -> int:
        """Send the core of a home the signal to end, or to die. Returns its pid. Raises Refused when there is none."""
        ...

    def command_line(self, home: Path, *words: str) -> Sequence[str]:
        """The program itself, with arguments, as a service manager has to start it."""
        ...

    def profiles(self, root: Path) -> ProfileHomes:
        """The default home and every profile below it."""
        ...

    def profile_home(self, root: Path, name: str) -> Path:
        """The home of a profile. Raises InvalidInput for a name that cannot be."""
        ...

    def import_hermes(self, home: Path, source: Path, *, write: bool) -> ImportView:
        """What a Hermes home has to give; taken over when it is to be written."""
        ...


@dataclass(frozen=True)
class LocalCall:
    """What such a command works with. root: the default home, under which profiles are."""

    args: argparse.Namespace
    home: Path
    root: Path
    doors: ProcessDoors
    streams: Streams

    @property
    def is_json(self) -> bool:
        """Whether data is asked for as JSON."""
        return bool(self.args.json)

    @property
    def width(self) -> int | None:
        """Room for a table; None cuts nothing."""
        return None if self.args.plain else self.streams.width

    def give(self, view: object, lines: Callable[[], Iterable[str]]) -> None:
        """Print a view: as one line of JSON, or as lines for people."""
        for line in [encode(view).decode()] if self.is_json else lines():
            self.streams.write(line)
        self.streams.stdout.flush()

    def narrate(self, text: str) -> None:
        """A line for people, aside from the data."""
        self.streams.narrate(text)

    async def process(self) -> ProcessView:
        """How the core of the home stands now."""
        return await asyncio.to_thread(self.doors.process, self.home)


class LocalVerb(NamedTuple):
    """One such command. run: carries it out and returns an exit code."""

    noun: str
    verb: str
    doc: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[LocalCall], Awaitable[int]]


async def pause(period_s: float) -> None:
    """Wait a little before looking again."""
    try:
        async with asyncio.timeout(period_s):
            await asyncio.Event().wait()
    except TimeoutError:
        return
