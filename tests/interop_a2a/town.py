"""Both ends of a conversation over Agent2Agent, in processes of their own: a core as users start it, and the SDK."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.served_core import ServedCore
from tests.support.tree import ROOT

HERE = Path(__file__).parent
FRIEND, FAR = "friend-token-0123456789", "far-token-0123456789"
CONFIG = """
http: {port: 0}
agents:
  main: {runner: scripted, scenario: acting.yaml, pace: 0}
relay:
  name: ops
  networks: [127.0.0.0/8]
  retries_s: []
  schedule_s: []
  peers:
    friend: {accept_tokens: ["file:friend.token"]}
    far: {token: "file:far.token"}
    wrong: {token: "file:friend.token"}
core: {drain_s: 1}
"""
ACTING = """
streamed: true
word_pause_s: 0
rules:
  - match: "^stall"
    steps: [{text: "wait "}, {silent: true}]
  - match: "^fail"
    steps: [{error: {message: "out of luck", code: "unlucky"}}]
  - steps: [{text: "You said {text}"}]
"""
_LIMIT_S = 60


@asynccontextmanager
async def core(folder: Path) -> AsyncIterator[ServedCore]:
    """A core on a home of its own."""
    home = folder / "home"
    home.mkdir()
    for name, text in (("friend.token", FRIEND), ("far.token", FAR), ("config.yaml", CONFIG), ("acting.yaml", ACTING)):
        path = home / name
        path.write_text(text)
        path.chmod(0o600)
    served = ServedCore(home)
    try:
        await served.start()
        yield served
    finally:
        if served.process is not None and served.process.returncode is None:
            await served.kill()


@asynccontextmanager
async def official_server(python: Path, versions: str, *, streams: bool) -> AsyncIterator[str]:
    """The official server; its address."""
    process = await asyncio.create_subprocess_exec(
        python,
        HERE / "sdk_server.py",
        FAR,
        versions,
        "yes" if streams else "no",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_LIMIT_S):
            url = (await process.stdout.readline()).decode().strip()
        assert url, "the official server did not start"
        yield url
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def run(*command: str | Path) -> tuple[int, str, str]:
    """A program: its exit code, what it wrote, and its errors."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_LIMIT_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, out.decode(), err.decode()


class Shell:
    """`hermes-console relay` on the home of a core."""

    def __init__(self, home: Path) -> None:
        self._home = home

    async def say(self, *words: str) -> tuple[int, str]:
        """A command; its exit code and all that it said."""
        code, out, err = await run(sys.executable, "-m", "console", "--home", str(self._home), "relay", *words)
        return code, out + err

    async def data(self, *words: str) -> Any:
        """What a command says as JSON."""
        code, out, err = await run(
            sys.executable, "-m", "console", "--home", str(self._home), "--json", "relay", *words
        )
        lines = [line for line in out.splitlines() if line.startswith("{")]
        assert lines, f"exit {code}: {out}{err}"
        return json.loads(lines[-1])

    async def until(self, task_id: str, *states: str) -> Any:
        """A message once it is in one of these states."""
        async with asyncio.timeout(_LIMIT_S):
            while True:
                found = await self.data("show", task_id)
                if found["task"]["state"] in states:
                    return found["task"]
                await asyncio.sleep(0.1)
