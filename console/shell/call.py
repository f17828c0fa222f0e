"""One call of a shell command: its arguments, the core, and where its words go."""

import argparse
import asyncio
import getpass
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, TextIO

import msgspec

from console.actions import find_action
from console.text import clean
from core.api.base import Actor, ActorKind, Command, Mark, Query, R, V
from core.api.codec import encode
from core.api.errors import HermesError, Refused
from core.api.port import Hermes
from core.api.system import GetHealth


@dataclass(frozen=True)
class Streams:
    """stdin, stdout for data, stderr for narration. width: cells of the terminal; None cuts nothing."""

    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    width: int | None = None

    def narrate(self, text: str) -> None:
        """A line for people, aside from the data."""
        self.stderr.write(clean(text, keep_newlines=True) + "\n")
        self.stderr.flush()

    def write(self, line: str) -> None:
        """A line of data."""
        self.stdout.write(line + "\n")


@dataclass(frozen=True)
class Call:
    """What a verb works with."""

    hermes: Hermes
    args: argparse.Namespace
    streams: Streams
    actor: Actor

    @property
    def is_json(self) -> bool:
        """Whether data is asked for as JSON."""
        return bool(self.args.json)

    @property
    def width(self) -> int | None:
        """Room for a table; None cuts nothing."""
        return None if self.args.plain else self.streams.width

    async def execute(self, command: Command[R]) -> R:
        """Carry out an order as the operator who typed it."""
        return await self.hermes.execute(command, actor=self.actor)

    async def query(self, query: Query[V]) -> V:
        """Ask."""
        return await self.hermes.query(query)

    async def now(self) -> Mark:
        """The core's clocks, against which ages are counted."""
        return (await self.hermes.query(GetHealth())).now

    def give(self, view: object, lines: Callable[[], Iterable[str]]) -> None:
        """Print a view: as one line of JSON, or as lines for people."""
        if self.is_json:
            self.streams.write(encode(view).decode())
        else:
            for line in lines():
                self.streams.write(line)
        self.streams.stdout.flush()

    def narrate(self, text: str) -> None:
        """A line for people, aside from the data."""
        self.streams.narrate(text)

    def confirm(self, what: str, action_id: str, *, also: str = "") -> None:
        """Ask before something is lost. Raises Refused unless the answer is yes, or --yes was given.

        action_id: whose words say what is lost. also: what is lost besides.
        """
        if self.args.yes:
            return
        action = find_action(action_id)
        loses = (action.loses if action else "") + also
        if not self.streams.stdin.isatty():
            raise Refused(
                f"{what} loses {loses}; nobody is there to ask", rule="confirmation", fix="add --yes if you mean it"
            )
        self.streams.stderr.write(f"{clean(what)} loses {clean(loses)}.\nGo on? [y/N] ")
        self.streams.stderr.flush()
        if self.streams.stdin.readline().strip().lower() not in {"y", "yes"}:
            raise Refused("not confirmed; nothing was done", rule="confirmation")


class Verb(NamedTuple):
    """One shell command. add: gives the parser its arguments; run: carries it out and may return an exit code."""

    noun: str
    verb: str
    doc: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Call], Awaitable[int | None]]


def operator() -> Actor:
    """The person at this shell, by login."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = f"uid {os.geteuid()}"
    return Actor(ActorKind.OPERATOR, name)


def complain(error: HermesError, streams: Streams, *, as_json: bool) -> None:
    """Say on stderr what went wrong and what to do."""
    if as_json:
        line = msgspec.json.encode({"code": error.code, "message": error.message, "facts": error.facts})
        streams.stderr.write(line.decode() + "\n")
    else:
        fix = str(error.facts.get("fix") or "")
        tail = f"\n  try: {fix}" if fix and fix not in error.message else ""
        streams.narrate(f"hermes-console: {error.message}{tail}")
    streams.stderr.flush()


async def ended(process: int, limit_s: float) -> bool:
    """Wait until a process of this machine is gone; whether it went in time."""
    try:
        handle = os.pidfd_open(process)
    except OSError:
        return True
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(handle, gone.set)
    try:
        async with asyncio.timeout(limit_s):
            await gone.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(handle)
        os.close(handle)
    return True
