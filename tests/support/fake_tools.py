"""A ToolHost that runs nothing: it notes what it was asked and answers what the test says."""

from collections.abc import Sequence
from pathlib import Path

from core.agents.ports import ToolResult
from core.api.errors import Refused
from core.api.policies import ExecutionPolicy, Runtime, RuntimeView


class FakeTools:
    """why: a refusal for every policy; result: of every program. ran: command lines in order."""

    def __init__(self, *, why: str = "", result: ToolResult | None = None) -> None:
        self.why = why
        self.result = result or ToolResult(exit_code=0, output="done\n")
        self.ran: list[list[str]] = []

    def runtimes(self) -> Sequence[RuntimeView]:
        """All of them are there."""
        return [RuntimeView(runtime=runtime, is_there=True) for runtime in Runtime]

    def refusal(self, policy: ExecutionPolicy) -> str:
        """As the test says."""
        del policy
        return self.why

    async def run(self, argv: Sequence[str], *, policy: ExecutionPolicy, workspace: Path, limit_s: float) -> ToolResult:
        """Note it. Raises Refused as the test says."""
        del policy, workspace, limit_s
        if self.why:
            raise Refused(self.why, rule="runtime")
        self.ran.append(list(argv))
        return self.result

    def wrapped(
        self, argv: Sequence[str], *, policy: ExecutionPolicy, workspace: Path, readable: Sequence[Path] = ()
    ) -> Sequence[str]:
        """The command line itself."""
        del policy, workspace, readable
        return argv
