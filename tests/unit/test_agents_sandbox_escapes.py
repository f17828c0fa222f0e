"""Ways out of the sandbox that a tool could try, each tried for real."""

import asyncio
import os
import shutil
import socket
import sys
from pathlib import Path

import msgspec
import pytest

from core.agent_settings import AcpSettings
from core.agents.adapters.acp import AcpRunner
from core.agents.launches import laid_out
from core.agents.ports import ToolResult
from core.agents.tools.calls import WantedCall
from core.agents.tools.sandbox import Sandbox
from core.agents.tools.tools import Tools
from core.api.errors import HermesError
from core.api.policies import ExecutionPolicy, Host, Runtime, WorkspaceAccess
from core.clock import SystemClock
from tests.support import fake_acp_agent
from tests.support.agent_parts import MAIN, collected, runner_context, text_of, turn_request

BOXED = ExecutionPolicy(host=Host.SANDBOX, runtime_type=Runtime.BWRAP)
CUT_OFF = ExecutionPolicy(host=Host.SANDBOX, runtime_type=Runtime.BWRAP, network_enabled=False)
PLAIN = ExecutionPolicy(host=Host.GATEWAY, runtime_type=Runtime.PROCESS)
LIMIT_S = 20.0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A core's home with all that it keeps; the workspace is below it."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "agents").mkdir()
    for name in ("core.db", "secrets/api_key", "agents/main.yaml", "config.yaml"):
        (tmp_path / name).write_text("kept-by-the-core")
    (tmp_path / "workspaces" / "main" / "w").mkdir(parents=True)
    return tmp_path


def work(home: Path) -> Path:
    """The workspace."""
    return home / "workspaces" / "main" / "w"


def states_of_children() -> list[str]:
    """Of the processes that this one has started, as the kernel names them."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return [Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] for child in children]


async def sh(sandbox: Sandbox, command: str, workspace: Path, policy: ExecutionPolicy = BOXED) -> ToolResult:
    """A command line, run to its end."""
    return await sandbox.run(["/bin/sh", "-c", command], policy=policy, workspace=workspace, limit_s=LIMIT_S)


@pytest.mark.parametrize(
    "way",
    [
        "cat {home}/core.db {home}/secrets/api_key {home}/agents/main.yaml {home}/config.yaml",
        "cat ../../../core.db ../../../secrets/*",
        "cat /proc/1/root{home}/core.db; cat /proc/self/root{home}/core.db",
        "ln -s {home}/secrets s; cat s/api_key",
        "ln {home}/core.db hard; cat hard",
        "cat /proc/*/environ; cat /proc/1/environ",
        "mount --bind / /mnt; cat /mnt{home}/core.db",
        "unshare -Urm sh -c 'mount -t proc proc /proc; cat /proc/*/root{home}/core.db'",
        "chroot /proc/1/root cat {home}/core.db",
        "for fd in 3 4 5 6 7 8 9; do cat <&$fd; done",
        "nsenter -t 1 -a cat {home}/core.db",
        "cat /dev/mem /dev/sda /dev/kmsg",
    ],
)
async def test_nothing_of_the_core_is_seen(
    way: str, sandbox: Sandbox, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither files nor variables, whichever way they are looked for."""
    monkeypatch.setenv("HERMES_SECRET_X", "kept-by-the-core")
    result = await sh(sandbox, way.format(home=home), work(home))
    assert "kept-by-the-core" not in result.output


async def test_what_is_read_only_takes_no_write(sandbox: Sandbox, home: Path) -> None:
    """Also by another name for it."""
    (work(home) / "notes.txt").write_text("before")
    policy = ExecutionPolicy(host=Host.SANDBOX, runtime_type=Runtime.BWRAP, workspace_access=WorkspaceAccess.RO)
    ways = (
        "echo x > notes.txt; echo x > /proc/self/cwd/notes.txt; mount -o remount,rw .; echo x > notes.txt; rm notes.txt"
    )
    await sh(sandbox, ways, work(home), policy)
    assert (work(home) / "notes.txt").read_text() == "before"


@pytest.mark.parametrize("policy", [BOXED, CUT_OFF])
async def test_sockets_of_the_core_are_out_of_reach(sandbox: Sandbox, home: Path, policy: ExecutionPolicy) -> None:
    """Its control socket is a file of the home; without a network an abstract one cannot be reached either."""
    here = Path.cwd()
    with socket.socket(socket.AF_UNIX) as by_path, socket.socket(socket.AF_UNIX) as abstract:
        os.chdir(home)
        try:
            by_path.bind("core.sock")
        finally:
            os.chdir(here)
        by_path.listen()
        name = f"core-{os.getpid()}"
        abstract.bind(f"\0{name}")
        abstract.listen()
        program = f"""
import os, socket
os.chdir("/")
for address in ({str(home / "core.sock")!r}, "\\0{name}"):
    try:
        socket.socket(socket.AF_UNIX).connect(address)
        print("in")
    except OSError:
        print("out")
"""
        (work(home) / "try.py").write_text(program)
        search = "for python in /usr/bin/python3 /usr/local/bin/python3; do $python try.py && break; done"
        result = await sh(sandbox, search, work(home), policy)
    if "out" not in result.output and "in" not in result.output:
        pytest.skip("there is no Python that a sandbox sees")
    assert result.output.split()[0] == "out"
    if not policy.network_enabled:
        assert result.output.split() == ["out", "out"]


@pytest.mark.parametrize("policy", [BOXED, PLAIN])
@pytest.mark.parametrize("name", ["with space", "-rf", "new\nline", "quo'te\"", "$(touch pwned)", "ünï", "--", "a;b"])
async def test_a_workspace_may_have_any_name(name: str, sandbox: Sandbox, home: Path, policy: ExecutionPolicy) -> None:
    """It is never taken for an option or for more than one word."""
    folder = work(home) / name
    result = await sh(sandbox, "echo here > made.txt", folder, policy)
    assert result.exit_code == 0, result.output
    written = await asyncio.to_thread((folder / "made.txt").read_text)
    assert written == "here\n"
    assert not await asyncio.to_thread(lambda: list(home.rglob("pwned")))


async def test_a_terminal_of_the_operator_is_not_there(sandbox: Sandbox, home: Path) -> None:
    """What is typed into it would be typed into the console."""
    result = await sh(sandbox, "echo x > /dev/tty || echo none", work(home))
    assert "none" in result.output


@pytest.mark.parametrize("policy", [BOXED, PLAIN])
async def test_a_tool_is_given_none_of_our_files(sandbox: Sandbox, home: Path, policy: ExecutionPolicy) -> None:
    """Neither a listening socket nor the database, even one that could be inherited."""
    kept = os.open(home / "core.db", os.O_RDWR)
    os.set_inheritable(kept, True)
    try:
        result = await sh(sandbox, f"ls -l /proc/self/fd; cat <&{kept}", work(home), policy)
    finally:
        os.close(kept)
    assert "core.db" not in result.output
    assert "kept-by-the-core" not in result.output


async def test_no_process_is_left_as_a_zombie(sandbox: Sandbox, home: Path) -> None:
    """Of those that a tool left behind, and of its own."""
    for _ in range(5):
        await sh(sandbox, "sleep 0 & (sleep 0 &) ; exit 3", work(home))
    assert "Z" not in await asyncio.to_thread(states_of_children)


@pytest.mark.parametrize(
    "path", ["link/core.db", "link", "far", "../../../core.db", "sub/../../../../core.db", "hole/api_key"]
)
@pytest.mark.parametrize("tool", ["read", "write"])
async def test_the_tools_of_the_core_follow_no_link_outside(path: str, tool: str, home: Path) -> None:
    """Though a program that was allowed has put it there."""
    folder = work(home)
    (folder / "link").symlink_to(home)
    (folder / "far").symlink_to(home / "core.db")
    (folder / "hole").symlink_to(home / "secrets")
    tools = Tools(Sandbox(), home=home, workspace=folder, policy=PLAIN, names=("read", "write"), limit_s=1.0)
    arguments = f'{{"path":"{path}"' + (',"text":"mine"}' if tool == "write" else "}")
    with pytest.raises(HermesError):
        await tools.prepare(WantedCall(id="1", name=tool, arguments=arguments))
    assert (home / "core.db").read_text() == "kept-by-the-core"


async def test_an_agent_beside_the_secrets_sees_none_of_them(sandbox: Sandbox, home: Path) -> None:
    """A program of the core's home runs, and its neighbours are not there."""
    program = home / "agent.py"
    shutil.copy(fake_acp_agent.__file__, program)
    settings = AcpSettings(command=(sys.executable, "-SE", str(program)))
    context = msgspec.structs.replace(runner_context(SystemClock(), home, tools=sandbox), policy=BOXED)
    runner = AcpRunner(MAIN, settings, context)
    await runner.open()
    try:
        for kept in ("core.db", "secrets", "agents", "config.yaml"):
            assert text_of(await collected(runner, turn_request(f"looks {home / kept}"))) == "False"
    finally:
        await runner.close()


@pytest.mark.parametrize("kept", ["secrets", "agents", "", "secrets/deep"])
def test_a_workspace_that_a_link_leads_to_the_core_is_refused(kept: str, home: Path) -> None:
    """It is the real folder that an agent gets."""
    folder = work(home) / "link"
    folder.symlink_to(home / kept)
    context = msgspec.structs.replace(runner_context(SystemClock(), home), workspace=folder)
    with pytest.raises(HermesError) as caught:
        laid_out(["true"], context, own={}, secrets={})
    assert caught.value.facts.get("field") == "workspace"
