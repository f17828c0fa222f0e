"""A core as users start it, `serve` on a home, in a process that a test kills."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest


class ServedCore:
    """One `serve` process after another on the same home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.url = ""
        self.process: asyncio.subprocess.Process | None = None
        self.up = asyncio.Event()

    async def start(self) -> None:
        """Start and wait until it answers on its socket."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "console",
            "--home",
            str(self.home),
            "serve",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert self.process.stderr is not None
        said: list[str] = []
        async with asyncio.timeout(30):
            while line := await self.process.stderr.readline():
                said.append(line.decode(errors="replace"))
                if found := re.search(rb"http://127\.0\.0\.1:\d+", line):
                    self.url = found.group().decode()
                    break
            else:
                pytest.fail("the core ended before it was ready: " + "".join(said[-20:]))
        self.drain = asyncio.get_running_loop().create_task(self.process.stderr.read())
        self.up.set()

    async def kill(self) -> None:
        """Kill -9."""
        assert self.process is not None
        self.up.clear()
        os.kill(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        await self.drain
