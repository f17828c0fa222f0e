"""The embedded agent as tests need it: opened, and answered in the same way each time it asks."""

from pathlib import Path

from core.agent_settings import ScriptedSettings
from core.agents.adapters.scripted import ScriptedRunner
from core.agents.ports import ToolHost
from core.agents.runner import Decision
from core.api.runs import ActionRequested, RunReport
from tests.support.agent_parts import runner_context, turn_request
from tests.support.clocks import FakeClock

YES = Decision(allow=True, option_id="allow")
NO = Decision(allow=False, option_id="deny")


async def opened(
    home: Path,
    *,
    clock: FakeClock | None = None,
    scenario: str = "builtin:assistant",
    pace: float = 0.0,
    seed: int = 0,
    tools: ToolHost | None = None,
) -> ScriptedRunner:
    """A runner that is ready."""
    if not scenario.startswith("builtin:"):
        (home / "scenario.yaml").write_text(scenario)
        scenario = "scenario.yaml"
    settings = ScriptedSettings(scenario=scenario, pace=pace, seed=seed)
    runner = ScriptedRunner(settings, runner_context(clock or FakeClock(), home, tools=tools))
    await runner.open()
    return runner


async def answered(runner: ScriptedRunner, text: str, decision: Decision) -> list[RunReport]:
    """A turn in which every question gets the same answer."""
    reports: list[RunReport] = []
    async for report in runner.turn(turn_request(text)):
        reports.append(report)
        if isinstance(report, ActionRequested):
            assert await runner.decide(report.action_id, decision)
    return reports
