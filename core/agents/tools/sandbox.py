"""Tool processes: in a group of their own, under bubblewrap where the policy wants it, and never left behind."""

import asyncio
import os
import shutil
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

from core.agents.ports import ToolResult
from core.agents.processes import signal_group
from core.agents.tools.output import Output
from core.agents.tools.sandbox_plan import (
    NEVER_THERE,
    Found,
    bounded,
    boxed,
    is_boxed_tool,
    program_refusal,
    refusal,
    tool_environment,
    tool_refusal,
)
from core.api.errors import HermesError, Refused
from core.api.policies import ExecutionPolicy, Host, Runtime, RuntimeView, WorkspaceAccess

TIME_LIMIT = "time limit"
_PROBE_LIMIT_S = 10.0
_END_LIMIT_S = 5.0
_LAST_WORDS_S = 1.0
_PROBED = ExecutionPolicy(
    host=Host.SANDBOX,
    runtime_type=Runtime.BWRAP,
    workspace_access=WorkspaceAccess.NONE,
    network_enabled=False,
)


class Sandbox:
    """Runs tool processes. bwrap, prlimit: programs to look for, as names or paths."""

    def __init__(self, *, bwrap: str = "bwrap", prlimit: str = "prlimit") -> None:
        self._names = (bwrap, prlimit)
        self._found = Found()
        self._version = ""

    async def open(self) -> None:
        """Find out what is there: a program is run once under bubblewrap, cut off from everything."""
        bwrap, prlimit = await asyncio.to_thread(_looked_up, *self._names)
        self._found = Found(prlimit=prlimit, is_root=os.geteuid() == 0, problem="bubblewrap (bwrap) is not installed")
        if not bwrap:
            return
        problem = await self._problem(bwrap)
        self._found = Found(
            bwrap="" if problem else bwrap, prlimit=prlimit, problem=problem, is_root=self._found.is_root
        )

    async def _problem(self, bwrap: str) -> str:
        """Why bubblewrap does not work; "" when it does."""
        where = Path("/")
        environment = tool_environment(_PROBED, str(where))
        try:
            told = await _run([bwrap, "--version"], environment, where, limit_s=_PROBE_LIMIT_S)
            self._version = told.output.strip()[:100]
            line = boxed(["true"], _PROBED, bwrap, workspace=str(where), environment=environment)
            tried = await _run(line, environment, where, limit_s=_PROBE_LIMIT_S)
        except HermesError as error:
            return error.message
        if tried.exit_code == 0:
            return ""
        said = " ".join(tried.output.split())[:200]
        return f"{bwrap} does not work here: {tried.why or said or f'exit code {tried.exit_code}'}"

    def runtimes(self) -> Sequence[RuntimeView]:
        """What is there, as probed at the start."""
        found = self._found
        bounds = f"prlimit at {found.prlimit}" if found.prlimit else "no prlimit: resources cannot be bounded"
        is_there = bool(found.bwrap)
        return (
            RuntimeView(runtime=Runtime.INPROC, is_there=True, found="the core itself"),
            RuntimeView(runtime=Runtime.PROCESS, is_there=True, found=bounds),
            RuntimeView(
                runtime=Runtime.BWRAP,
                is_there=is_there,
                found=f"{self._version} at {found.bwrap}; {bounds}" if is_there else "",
                problem=found.problem,
            ),
            RuntimeView(runtime=Runtime.REMOTE, is_there=True, found="kept by whoever runs it, not by us"),
            *(
                RuntimeView(runtime=runtime, is_there=False, problem=problem)
                for runtime, problem in NEVER_THERE.items()
            ),
        )

    def refusal(self, policy: ExecutionPolicy) -> str:
        """Why a policy cannot be kept on this machine; "" when it can."""
        return refusal(policy, self._found)

    async def run(self, argv: Sequence[str], *, policy: ExecutionPolicy, workspace: Path, limit_s: float) -> ToolResult:
        """Run a program to its end; cancelling ends it and all its children.

        Standard error comes in line with standard output. Raises Refused (rule runtime) when the policy cannot be kept
        or the program cannot be started: nothing was run then.
        """
        _refuse(tool_refusal(policy, self._found))
        folder = await asyncio.to_thread(_made, workspace, policy)
        environment = tool_environment(policy, str(folder))
        line = bounded(argv, policy.resources, self._found.prlimit)
        if is_boxed_tool(policy):
            line = boxed(line, policy, self._found.bwrap, workspace=str(folder), environment=environment)
            folder = Path("/")
        return await _run(line, environment, folder, limit_s=limit_s)

    def wrapped(
        self, argv: Sequence[str], *, policy: ExecutionPolicy, workspace: Path, readable: Sequence[Path] = ()
    ) -> Sequence[str]:
        """The command line that runs a long-lived program as the policy wants it. Raises Refused.

        Its environment is the caller's to give. Paths are absolute, and must be there when it starts.
        """
        _refuse(program_refusal(policy, self._found))
        line = bounded(argv, policy.resources, self._found.prlimit)
        if policy.runtime_type is not Runtime.BWRAP:
            return line
        return boxed(
            line, policy, self._found.bwrap, workspace=str(workspace), readable=[str(path) for path in readable]
        )


def _refuse(why: str) -> None:
    if why:
        raise Refused(why, rule="runtime")


def _looked_up(*names: str) -> list[str]:
    return [shutil.which(name) or "" for name in names]


def _made(workspace: Path, policy: ExecutionPolicy) -> Path:
    """The folder under its real name, there unless it is hidden anyway."""
    if policy.workspace_access is not WorkspaceAccess.NONE:
        try:
            workspace.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Refused(f"the workspace cannot be made: {error.strerror}", rule="workspace") from error
    return workspace.resolve()


class _Child(asyncio.SubprocessProtocol):
    """A process as the loop tells of it. over: its own end; closed: that of everybody who could still write to us."""

    def __init__(self) -> None:
        self.output = Output()
        self.over = asyncio.Event()
        self.closed = asyncio.Event()
        self.transport: asyncio.SubprocessTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        del fd
        self.output.feed(data)

    def process_exited(self) -> None:
        self.kill()
        self.over.set()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.closed.set()

    def kill(self) -> None:
        """End it and all its children."""
        if self.transport is not None and not self.over.is_set():
            signal_group(self.transport.get_pid(), signal.SIGKILL)

    async def end(self) -> None:
        """Let nothing of it stay, and take in what it said last."""
        self.kill()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_END_LIMIT_S):
                    await self.over.wait()
            # A child that fled the group may hold our pipe for ever.
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_S):
                    await self.closed.wait()
        finally:
            if self.transport is not None:
                self.transport.close()


async def _run(line: Sequence[str], environment: dict[str, str], folder: Path, *, limit_s: float) -> ToolResult:
    child = _Child()
    exit_code: int | None = None
    why = ""
    try:
        transport = await _started(child, line, environment, folder)
        async with asyncio.timeout(limit_s):
            await child.over.wait()
        exit_code = transport.get_returncode()
    except TimeoutError:
        why = TIME_LIMIT
    finally:
        if child.transport is not None:
            await child.end()
    return ToolResult(exit_code=exit_code, output=child.output.text(), why=why)


async def _started(
    child: _Child, line: Sequence[str], environment: dict[str, str], folder: Path
) -> asyncio.SubprocessTransport:
    try:
        transport, _ = await asyncio.get_running_loop().subprocess_exec(
            lambda: child,
            *line,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else "") or "not a command line"
        raise Refused(f"cannot start {line[0]}: {why}", rule="runtime") from None
    return transport
