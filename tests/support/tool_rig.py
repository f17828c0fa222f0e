"""A chat runner with tools beside an endpoint that wants them, and a tool that never ends."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from core.agent_settings import OpenaiSettings
from core.agents.adapters.openai import OpenaiRunner
from core.agents.ports import ToolHost, ToolResult
from core.agents.runner import Decision, TurnRequest
from core.api.policies import ExecutionPolicy
from core.api.runs import (
    ActionRequested,
    RunReport,
    ToolCall,
    ToolReported,
)
from tests.support.agent_parts import InstantClock, runner_context, turn_request
from tests.support.fake_openai import Behaviour, FakeOpenai, whole_call
from tests.support.fake_tools import FakeTools

YES = Decision(allow=True, option_id="allow")
NO = Decision(allow=False, option_id="deny", reason="not today")
UPTIME = whole_call("exec", {"command": "uptime"})
ALL = ("exec", "read", "write")


class StuckTools(FakeTools):
    """A tool that never ends by itself. has_begun, was_ended: what became of it."""

    def __init__(self) -> None:
        super().__init__()
        self.has_begun = asyncio.Event()
        self.was_ended = False

    async def run(self, argv: Sequence[str], *, policy: ExecutionPolicy, workspace: Path, limit_s: float) -> ToolResult:
        """Wait until somebody cancels it."""
        self.has_begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.was_ended = True
        raise AssertionError("nobody sets the event")


class Rig:
    """A runner and its endpoint. server.requests: what the model was told."""

    def __init__(self, runner: OpenaiRunner, server: FakeOpenai) -> None:
        self.runner = runner
        self.server = server

    async def turn(self, decision: Decision = YES, request: TurnRequest | None = None) -> list[RunReport]:
        """A turn in which every question gets the same answer."""
        reports: list[RunReport] = []
        async with asyncio.timeout(20):
            async for report in self.runner.turn(request or turn_request("go")):
                reports.append(report)
                if isinstance(report, ActionRequested):
                    assert await self.runner.decide(report.action_id, decision)
                    assert not await self.runner.decide(report.action_id, decision)
        return reports

    def told(self, request: int) -> list[dict[str, Any]]:
        """Messages of a request."""
        found: list[dict[str, Any]] = self.server.requests[request].body["messages"]
        return found


@asynccontextmanager
async def rig(
    home: Path, *modes: str | Behaviour, host: ToolHost | None = None, tools: tuple[str, ...] = ALL, **settings: Any
) -> AsyncIterator[Rig]:
    """A runner with tools, and an endpoint that wants them."""
    async with FakeOpenai(*modes) as server:
        made = OpenaiSettings(base_url=server.url, model="small", tools=tools, **settings)
        runner = OpenaiRunner(made, runner_context(InstantClock(), home, tools=host))
        await runner.open()
        try:
            yield Rig(runner, server)
        finally:
            await runner.close()


def calls_of(reports: list[RunReport]) -> list[ToolCall]:
    """All tool calls in the order of their reports."""
    return [report.call for report in reports if isinstance(report, ToolReported)]


def results(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Results that the model was told: id and text."""
    return [(item["tool_call_id"], item["content"]) for item in messages if item["role"] == "tool"]
