"""Runners of the fake ACP agent, and what tests of them look at."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec

from core.agent_settings import AcpSettings
from core.agents.adapters import load_adapter
from core.agents.runner import Decision, Runner
from core.api.runs import ActionRequested, ActionSettled, RunLogged, RunReport
from core.clock import SystemClock
from tests.support import fake_acp_agent
from tests.support.agent_parts import MAIN, Reading, collected, runner_context, turn_request

YES = Decision(allow=True, option_id="once")
NO = Decision(allow=False, option_id="no")


class AcpRunners:
    """Makes runners of the fake agent, and closes them in the end."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._made: list[Runner] = []

    def make(self, *options: str, **more: Any) -> Runner:
        """A runner. options: of the agent; more: settings, or parts of the context."""
        parts = {name: more.pop(name) for name in ("policy", "tools") if name in more}
        context = runner_context(more.pop("clock", SystemClock()), self._home)
        context = msgspec.structs.replace(context, **parts)
        command = more.pop("command", (sys.executable, "-SE", fake_acp_agent.__file__, *options))
        settings: dict[str, Any] = {"command": command, "secrets": {"AGENT_KEY": "env:KEY"}} | more
        self._made.append(load_adapter("acp").create(MAIN, AcpSettings(**settings), context))
        return self._made[-1]

    async def open(self, *options: str, **more: Any) -> Runner:
        """The same, open."""
        runner = self.make(*options, **more)
        await runner.open()
        return runner

    async def close(self) -> None:
        """End them all."""
        for runner in self._made:
            async with asyncio.timeout(20):
                await runner.close()


async def said(runner: Runner, text: str, **more: Any) -> list[RunReport]:
    """All reports of a turn. more: of its request."""
    async with asyncio.timeout(20):
        return await collected(runner, msgspec.structs.replace(turn_request(text), **more))


async def asking(runner: Runner, text: str) -> tuple[Reading, ActionRequested]:
    """A turn that waits for a decision."""
    reading = Reading(runner.turn(turn_request(text)))
    return reading, await reading.until(ActionRequested)


def settled(reports: list[RunReport]) -> list[tuple[str, str]]:
    """What became of the requests."""
    return [(report.action_id, report.outcome) for report in reports if isinstance(report, ActionSettled)]


def remarks(reports: list[RunReport], level: str) -> list[str]:
    """Remarks of that level."""
    return [report.text for report in reports if isinstance(report, RunLogged) and report.level == level]
