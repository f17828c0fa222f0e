"""Tool processes, for real: what a sandbox cuts off is cut off, and nothing of a process stays."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from core.agents.ports import ToolResult
from core.agents.tools.sandbox import Sandbox
from core.api.errors import Refused
from core.api.policies import ExecutionPolicy, Host, Resources, Runtime, WorkspaceAccess

BOXED = ExecutionPolicy(host=Host.SANDBOX, runtime_type=Runtime.BWRAP)
PLAIN = ExecutionPolicy(host=Host.GATEWAY, runtime_type=Runtime.PROCESS)
LIMIT_S = 20.0


@pytest.fixture
async def bare() -> Sandbox:
    """A machine that has neither bubblewrap nor prlimit."""
    sandbox = Sandbox(bwrap="no-such-bwrap", prlimit="no-such-prlimit")
    await sandbox.open()
    return sandbox


@pytest.fixture
def nap() -> str:
    """A sleep that is told from all others on this machine."""
    return f"sleep 7741.{uuid4().int}"


async def sh(
    sandbox: Sandbox, command: str, workspace: Path, policy: ExecutionPolicy = BOXED, *, limit_s: float = LIMIT_S
) -> ToolResult:
    """A command line, run to its end."""
    return await sandbox.run(["/bin/sh", "-c", command], policy=policy, workspace=workspace, limit_s=limit_s)


async def until(is_true: Callable[[], bool]) -> None:
    """Return once the system has got so far; it tells nobody when."""
    async with asyncio.timeout(LIMIT_S):
        while not is_true():  # noqa: ASYNC110 - processes come and go without an event
            await asyncio.sleep(0.01)


def processes_of(mark: str) -> list[int]:
    """Numbers of all processes whose command line holds the mark, this one excepted; a zombie has none."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if mark.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


def zombies() -> list[str]:
    """Children of this process that ended and were not taken in."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            if state == "Z" and int(parent) == os.getpid():
                found.append(entry.name)
    return found


async def test_what_is_there_is_probed(sandbox: Sandbox) -> None:
    """Version and place of bubblewrap; what is not built in says so."""
    views = {view.runtime: view for view in sandbox.runtimes()}
    assert set(views) == set(Runtime)
    assert views[Runtime.BWRAP].found.startswith("bubblewrap ")
    assert [runtime for runtime in Runtime if not views[runtime].is_there] == [Runtime.GVISOR, Runtime.RUNC]
    assert views[Runtime.GVISOR].problem


async def test_a_bwrap_that_does_not_work_is_not_there(tmp_path: Path) -> None:
    """As on a host without user namespaces: its own words are the reason, and nothing runs."""
    broken = tmp_path / "bwrap"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "no permission" >&2\nexit 1\n')
    broken.chmod(0o700)
    sandbox = Sandbox(bwrap=str(broken))
    await sandbox.open()
    view = {view.runtime: view for view in sandbox.runtimes()}[Runtime.BWRAP]
    assert (view.is_there, view.found) == (False, "")
    assert "no permission" in view.problem
    with pytest.raises(Refused, match="no permission") as caught:
        await sh(sandbox, "touch ran", tmp_path / "work")
    assert caught.value.facts["rule"] == "runtime"
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    "policy",
    [
        BOXED,
        ExecutionPolicy(),
        ExecutionPolicy(host=Host.GATEWAY, network_enabled=False),
        ExecutionPolicy(host=Host.GATEWAY, resources=Resources(cpu_s=1)),
        ExecutionPolicy(runtime_type=Runtime.GVISOR),
        ExecutionPolicy(runtime_type=Runtime.REMOTE),
    ],
)
async def test_a_policy_that_cannot_be_kept_runs_nothing(
    bare: Sandbox, tmp_path: Path, policy: ExecutionPolicy
) -> None:
    """It is refused, never weakened."""
    with pytest.raises(Refused) as caught:
        await sh(bare, "touch ran", tmp_path / "work", policy)
    assert caught.value.facts["rule"] == "runtime"
    assert not (tmp_path / "work").exists()


async def test_before_it_was_opened_there_is_no_sandbox(tmp_path: Path) -> None:
    """What was not probed is not there."""
    with pytest.raises(Refused, match="not probed"):
        await sh(Sandbox(), "true", tmp_path)


@pytest.mark.parametrize("policy", [BOXED, PLAIN])
async def test_a_program_runs_in_its_workspace(sandbox: Sandbox, tmp_path: Path, policy: ExecutionPolicy) -> None:
    """Which is made when it is not there; both outputs are one, and the exit code is its own."""
    work = tmp_path / "work"
    result = await sh(sandbox, "pwd; echo bad >&2; echo hi > new.txt; exit 3", work, policy)
    assert (result.output, result.exit_code, result.why) == (f"{work}\nbad\n", 3, "")
    assert (work / "new.txt").read_text() == "hi\n"


@pytest.mark.parametrize("policy", [BOXED, PLAIN])
async def test_a_program_has_nothing_to_read(sandbox: Sandbox, tmp_path: Path, policy: ExecutionPolicy) -> None:
    """One that reads to the end comes to an end."""
    result = await sandbox.run(["cat"], policy=policy, workspace=tmp_path, limit_s=LIMIT_S)
    assert (result.output, result.exit_code) == ("", 0)


async def test_the_network_is_really_cut(sandbox: Sandbox, tmp_path: Path) -> None:
    """A server on this machine is reached with it and not without it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect = (
            f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), timeout=5); print('in')"
        )
        open_, cut = [
            await sandbox.run(
                ["/usr/bin/python3", "-c", connect],
                policy=ExecutionPolicy(runtime_type=Runtime.BWRAP, network_enabled=is_on),
                workspace=tmp_path,
                limit_s=LIMIT_S,
            )
            for is_on in (True, False)
        ]
    if "No such file" in open_.output:
        pytest.skip("needs /usr/bin/python3")
    assert (open_.output, open_.exit_code) == ("in\n", 0)
    assert cut.exit_code != 0
    assert "in\n" not in cut.output


async def test_a_read_only_workspace_takes_no_write(sandbox: Sandbox, tmp_path: Path) -> None:
    """What is in it can be read."""
    (tmp_path / "notes.txt").write_text("hello\n")
    policy = ExecutionPolicy(runtime_type=Runtime.BWRAP, workspace_access=WorkspaceAccess.RO)
    result = await sh(sandbox, "cat notes.txt; echo more >> notes.txt; touch new", tmp_path, policy)
    assert result.output.startswith("hello\n")
    assert "Read-only" in result.output
    assert (tmp_path / "notes.txt").read_text() == "hello\n"
    assert not (tmp_path / "new").exists()


async def test_a_hidden_workspace_is_not_seen(sandbox: Sandbox, tmp_path: Path) -> None:
    """Nor is it made."""
    (tmp_path / "notes.txt").write_text("hello\n")
    policy = ExecutionPolicy(runtime_type=Runtime.BWRAP, workspace_access=WorkspaceAccess.NONE)
    result = await sh(sandbox, f"pwd; cat {tmp_path}/notes.txt; ls -A /tmp", tmp_path, policy)
    assert result.output.startswith("/tmp\n")
    assert "hello" not in result.output
    await sh(sandbox, "true", tmp_path / "other", policy)
    assert not (tmp_path / "other").exists()


async def test_files_beside_the_workspace_are_not_there(sandbox: Sandbox, tmp_path: Path) -> None:
    """Neither those of the core nor anybody's home; the rest of the system cannot be changed."""
    work = tmp_path / "work"
    (tmp_path / "secret.txt").write_text("secret")
    result = await sh(sandbox, "cat ../secret.txt; touch /usr/x /etc/x /x; ls /home /root /var", work)
    assert "secret\n" not in result.output
    assert result.output.count("Read-only") == 3
    assert result.output.count("No such file") == 4


@pytest.mark.parametrize("policy", [BOXED, PLAIN])
async def test_a_tool_sees_no_variable_of_the_core(
    sandbox: Sandbox, tmp_path: Path, policy: ExecutionPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only those that were meant for it."""
    monkeypatch.setenv("GATEWAY_TOKEN", "very-secret")
    result = await sh(sandbox, "env", tmp_path, policy)
    names = {line.partition("=")[0] for line in result.output.splitlines()}
    assert {"PATH", "HOME", "LANG", "TERM", "TMPDIR"} <= names
    assert names <= {"PATH", "HOME", "LANG", "TERM", "TMPDIR", "PWD", "OLDPWD", "SHLVL", "_"}
    assert "very-secret" not in result.output
    assert f"HOME={tmp_path}" in result.output


async def test_a_tool_sees_no_process_but_its_own(sandbox: Sandbox, tmp_path: Path) -> None:
    """The core's, with its environment, is not among them."""
    result = await sh(sandbox, "cat /proc/[0-9]*/comm", tmp_path)
    assert set(result.output.split()) <= {"bwrap", "sh", "cat"}


@pytest.mark.parametrize("policy", [BOXED, PLAIN])
async def test_resources_are_bound(sandbox: Sandbox, tmp_path: Path, policy: ExecutionPolicy) -> None:
    """Size of a file, address space and processor time, as the kernel shows them to the program."""
    bounds = Resources(file_bytes=1000, memory_bytes=2_000_000_000, cpu_s=9)
    bound = ExecutionPolicy(host=policy.host, runtime_type=policy.runtime_type, resources=bounds)
    result = await sh(sandbox, "cat /proc/self/limits; head -c 5000 /dev/zero > big", tmp_path, bound)
    limits = {line[:25].strip(): line.split() for line in result.output.splitlines()}
    assert limits["Max cpu time"][3:5] == ["9", "9"]
    assert limits["Max address space"][3] == "2000000000"
    assert (tmp_path / "big").stat().st_size == 1000
    assert result.exit_code != 0


async def test_a_bound_that_does_not_bind_root_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    """The kernel does not count processes of the superuser; anybody else gets the bound."""
    policy = ExecutionPolicy(runtime_type=Runtime.BWRAP, resources=Resources(process_count=100))
    if os.geteuid() == 0:
        with pytest.raises(Refused, match="process_count"):
            await sh(sandbox, "true", tmp_path, policy)
    else:
        assert "100" in (await sh(sandbox, "grep processes /proc/self/limits", tmp_path, policy)).output


@pytest.mark.parametrize("policy", [BOXED, PLAIN])
async def test_a_time_limit_ends_all_of_it(sandbox: Sandbox, nap: str, tmp_path: Path, policy: ExecutionPolicy) -> None:
    """Children of children too; what was said stays, and no exit code is invented."""
    result = await sh(sandbox, f"echo begun; (sh -c '{nap}; true' & wait) & wait", tmp_path, policy, limit_s=0.5)
    assert (result.exit_code, result.why, result.output) == (None, "time limit", "begun\n")
    await until(lambda: not processes_of(nap))
    assert zombies() == []


@pytest.mark.parametrize("policy", [BOXED, PLAIN])
async def test_cancelling_ends_all_of_it(sandbox: Sandbox, nap: str, tmp_path: Path, policy: ExecutionPolicy) -> None:
    """Whoever waits is cancelled once nothing of it is left."""
    command = f"sh -c '{nap}; true' & touch begun; wait"
    task = asyncio.get_running_loop().create_task(sh(sandbox, command, tmp_path, policy))
    await until(lambda: (tmp_path / "begun").exists() and len(processes_of(nap)) > 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not processes_of(nap))
    assert zombies() == []


@pytest.mark.parametrize("policy", [BOXED, PLAIN])
async def test_what_is_left_in_the_background_ends_with_the_program(
    sandbox: Sandbox, nap: str, tmp_path: Path, policy: ExecutionPolicy
) -> None:
    """Its end is not waited for, even though it holds the output open."""
    result = await sh(sandbox, f"{nap} & echo done", tmp_path, policy)
    assert (result.output, result.exit_code, result.why) == ("done\n", 0, "")
    await until(lambda: not processes_of(nap))


async def test_in_a_sandbox_nobody_escapes_by_a_session_of_his_own(sandbox: Sandbox, nap: str, tmp_path: Path) -> None:
    """The sandbox ends as a whole."""
    await sh(sandbox, f"setsid {nap} & echo done", tmp_path)
    await until(lambda: not processes_of(nap))


async def test_a_core_that_is_killed_takes_its_sandboxes_along(sandbox: Sandbox, nap: str, tmp_path: Path) -> None:
    """Without having had the time to do anything about it; once a program of it runs, the sandbox watches the core."""
    program = (
        "import asyncio, pathlib\n"
        "from core.agents.tools.sandbox import Sandbox\n"
        "from core.api.policies import ExecutionPolicy\n"
        "async def main():\n"
        "    sandbox = Sandbox()\n"
        "    await sandbox.open()\n"
        f"    argv = ['/bin/sh', '-c', 'touch begun; {nap}; true']\n"
        f"    where = pathlib.Path({str(tmp_path)!r})\n"
        "    await sandbox.run(argv, policy=ExecutionPolicy(), workspace=where, limit_s=60)\n"
        "asyncio.run(main())\n"
    )
    core = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    try:
        await until(lambda: (tmp_path / "begun").exists() and len(processes_of(nap)) > 1)
    finally:
        core.kill()
        await core.wait()
    await until(lambda: not processes_of(nap))


async def test_output_beyond_the_limit_is_read_and_let_go(sandbox: Sandbox, tmp_path: Path) -> None:
    """Head and tail are kept; the program is never held up."""
    result = await sh(sandbox, "echo first; seq 1 200000; echo last", tmp_path, PLAIN)
    assert "bytes are not shown" in result.output
    assert result.exit_code == 0
    assert result.output.startswith("first\n")
    assert result.output.endswith("last\n")
    assert len(result.output) < 263_000


@pytest.mark.parametrize("argv", [["no-such-program"], ["true\0"]])
async def test_what_cannot_be_started_is_refused(bare: Sandbox, tmp_path: Path, argv: Sequence[str]) -> None:
    """Nothing was run, and that is said."""
    with pytest.raises(Refused, match="cannot start"):
        await bare.run(argv, policy=PLAIN, workspace=tmp_path, limit_s=LIMIT_S)


async def test_a_long_lived_program_is_wrapped_as_the_policy_says(sandbox: Sandbox, tmp_path: Path) -> None:
    """Under bubblewrap or as it is; it works, and what it may read is there to read."""
    near = tmp_path / "near"
    near.mkdir()
    (near / "x").write_text("seen")
    assert list(sandbox.wrapped(["agent"], policy=PLAIN, workspace=tmp_path)) == ["agent"]
    (tmp_path / "work").mkdir()
    line = sandbox.wrapped(["cat", str(near / "x")], policy=BOXED, workspace=tmp_path / "work", readable=[near])
    ran = await asyncio.to_thread(subprocess.run, line, capture_output=True, timeout=LIMIT_S)
    assert ran.stdout == b"seen"
    with pytest.raises(Refused, match="inproc"):
        sandbox.wrapped(["agent"], policy=ExecutionPolicy(), workspace=tmp_path)
