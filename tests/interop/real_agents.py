"""The real agents: how an operator would write each one down, with a fake model behind it.

An agent gets a home of its own in the folder of the test. Its way out is a proxy that refuses: the fake model, which
keeps a list of what was wanted.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.interop.fake_llm import MODEL, FakeLlm
from tests.support.agent_parts import KEY

HERMES_KEY = "sk-of-hermes-alone"
START_LIMIT_S = 60
_LOOK_S = 0.05


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """Where the agents are. agents, clients: folders of programs; node, modules: None without a Node.js.

    is_whole: nothing may be left out.
    """

    agents: Path
    clients: Path
    examples: Path
    node: Path | None
    modules: Path | None
    is_whole: bool

    def script(self, path: str) -> list[str]:
        """The command line of a program of npm."""
        if self.node is None or self.modules is None:
            why = "there is no Node.js 20 or newer, and none could be installed"
            if self.is_whole:
                pytest.fail(why)
            pytest.skip(why)
        return [str(self.node), str(self.modules / path)]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where an agent lives. home: its HOME, by which its processes are known."""

    installed: Installed
    home: Path
    llm: FakeLlm

    @property
    def environment(self) -> dict[str, str]:
        """Variables of every agent."""
        proxies = {f"{kind}_PROXY": self.llm.url for kind in ("HTTP", "HTTPS", "ALL")}
        return {"HOME": str(self.home), "NO_PROXY": "127.0.0.1,localhost", **proxies}


class RealAgent(msgspec.Struct, frozen=True, kw_only=True):
    """An agent. start: has it ready and gives its settings, as in YAML. is_child: the core starts its process.

    model_key: what it shows to the model; None when it asks none.
    """

    name: str
    start: Callable[[Place], AbstractAsyncContextManager[dict[str, Any]]]
    is_child: bool = True
    model_key: str | None = KEY


def _environments(home: Path) -> Iterator[tuple[int, list[str]]]:
    """Processes that have this HOME, with their variables."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                variables = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
            except OSError:  # it ended meanwhile, or is somebody else's
                continue
            if f"HOME={home}" in variables:
                yield int(entry.name), variables


def processes_of(home: Path) -> set[int]:
    """Ids of the processes that have this HOME."""
    return {pid for pid, _ in _environments(home)}


def variables_of(home: Path) -> set[str]:
    """All that is in their environments, as NAME=VALUE."""
    return {variable for _, variables in _environments(home) for variable in variables}


async def all_gone(home: Path) -> None:
    """Return once no process of that home is left."""
    async with asyncio.timeout(START_LIMIT_S):
        while await asyncio.to_thread(processes_of, home):  # noqa: ASYNC110 - the kernel tells only its parent
            await asyncio.sleep(_LOOK_S)


def leader_of(home: Path) -> int:
    """The process of that home that somebody else has started."""
    found = processes_of(home)
    (leader,) = [pid for pid in found if _parent(pid) not in {None, *found}]
    return leader


def _parent(pid: int) -> int | None:
    """None when it has ended meanwhile."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    except OSError:
        return None


def kill_leader(home: Path) -> None:
    """End it as the kernel does when memory runs out."""
    os.kill(leader_of(home), signal.SIGKILL)


@asynccontextmanager
async def hermes_acp(place: Place) -> AsyncIterator[dict[str, Any]]:
    """Hermes over ACP. It waits 60 s for a decision, and then denies without a word."""
    environment = {**place.environment, **await asyncio.to_thread(_hermes_home, place)}
    command = [str(place.installed.agents / "hermes-acp")]
    yield {"runner": "acp", "command": command, "environment": environment, "listens_s": 60}


@asynccontextmanager
async def claude_code_acp(place: Place) -> AsyncIterator[dict[str, Any]]:
    """Claude Code over ACP."""
    command = place.installed.script("@zed-industries/claude-code-acp/dist/index.js")
    yield {"runner": "acp", "command": command, **_anthropic(place)}


@asynccontextmanager
async def sdk_example(place: Place) -> AsyncIterator[dict[str, Any]]:
    """The example agent of the SDK of ACP, with a tool that asks."""
    program = Path(__file__).parent / "sdk_agent.py"
    command = [str(place.installed.clients / "python"), str(program), str(place.installed.examples)]
    yield {"runner": "acp", "command": command, "environment": place.environment}


@asynccontextmanager
async def claude_cli(place: Place) -> AsyncIterator[dict[str, Any]]:
    """Claude Code over its own stream."""
    command = place.installed.script("@anthropic-ai/claude-agent-sdk/cli.js")
    yield {"runner": "claude_cli", "command": command, **_anthropic(place)}


@asynccontextmanager
async def hermes_api(place: Place) -> AsyncIterator[dict[str, Any]]:
    """A Hermes gateway with its HTTP API, which an operator would have running already."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {"API_SERVER_ENABLED": "1", "API_SERVER_HOST": "127.0.0.1", "API_SERVER_KEY": KEY}
    path = {"PATH": os.environ["PATH"], "API_SERVER_PORT": str(port)}
    log = place.home.parent / "gateway.log"
    with await asyncio.to_thread(log.open, "wb") as output:
        server = await asyncio.create_subprocess_exec(
            *(place.installed.agents / "hermes", "gateway", "run"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=place.home,
            env={**place.environment, **await asyncio.to_thread(_hermes_home, place), **own, **path},
            start_new_session=True,
        )
    try:
        await _listening(f"http://127.0.0.1:{port}/health", server, log)
        yield {
            "runner": "hermes_runs",
            "base_url": f"http://127.0.0.1:{port}/v1",
            "key": "env:KEY",
            "stall_limit_s": 15,
        }
    finally:
        if server.returncode is None:
            os.killpg(server.pid, signal.SIGKILL)
        await server.wait()


async def _listening(url: str, server: asyncio.subprocess.Process, log: Path) -> None:
    async with asyncio.timeout(START_LIMIT_S), httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                if (await client.get(url)).is_success:
                    return
            except httpx.TransportError:
                assert server.returncode is None, await asyncio.to_thread(log.read_text)
            await asyncio.sleep(_LOOK_S)


def _hermes_home(place: Place) -> Mapping[str, str]:
    """The folder of its configuration, and the variables that go with it."""
    folder = place.home / ".hermes"
    folder.mkdir(exist_ok=True)
    model = f"{{provider: custom, base_url: '{place.llm.url}/v1', default: {MODEL}, api_key: {HERMES_KEY}}}"
    config = f"model: {model}\napprovals: {{mode: manual}}\nsecurity: {{allow_lazy_installs: false}}\n"
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    return {"HERMES_HOME": str(folder), "HERMES_DISABLE_LAZY_INSTALLS": "1"}


def _anthropic(place: Place) -> dict[str, Any]:
    more = {"ANTHROPIC_BASE_URL": place.llm.url, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
    return {"environment": {**place.environment, **more}, "secrets": {"ANTHROPIC_API_KEY": "env:KEY"}}


AGENTS = (
    RealAgent(name="hermes-acp", start=hermes_acp, model_key=HERMES_KEY),
    RealAgent(name="claude-code-acp", start=claude_code_acp),
    RealAgent(name="acp-sdk-example", start=sdk_example, model_key=None),
    RealAgent(name="hermes-api-server", start=hermes_api, is_child=False, model_key=HERMES_KEY),
    RealAgent(name="claude-cli", start=claude_cli),
)

assert sys.platform == "linux", "processes are looked for in /proc"
