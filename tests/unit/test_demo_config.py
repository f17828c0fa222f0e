"""The demo's configuration: valid, offline, and big enough to show something."""

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from core.agent_settings import ScriptedSettings
from core.agents.adapters.scripted import load_scenario
from core.agents.policy.risk import warnings_for
from core.agents.scripted.scenario import ApprovalPart, Step, options_of
from core.api.runs import ActionRequested, ToolKind
from core.config import FILE_NAME, load
from core.gateway.adapters.simulated import read_scenario
from core.platform_settings import ApiServerSettings, LoopbackSettings, SimulatedSettings
from core.settings import Settings


def settings(home: Path) -> Settings:
    """As a core reads it."""
    text = resources.files("core").joinpath("demo.yaml").read_text(encoding="utf-8")
    (home / FILE_NAME).write_text(text, encoding="utf-8")
    return load(home, {}).settings


def test_the_demo_shows_a_fleet(tmp_path: Path) -> None:
    """Three made-up platforms at least, forty people, the console's own chat, and the API on a free port."""
    found = settings(tmp_path)
    simulated = [item for item in found.platforms.values() if isinstance(item, SimulatedSettings)]
    assert len(simulated) >= 3
    assert sum(item.people for item in simulated) >= 40
    assert all(read_scenario(item.scenario, Path("/")) for item in simulated)
    assert any(isinstance(item, LoopbackSettings) for item in found.platforms.values())
    assert any(isinstance(item, ApiServerSettings) for item in found.platforms.values())
    assert found.http.port == 0


def test_the_demo_needs_no_network_and_no_key(tmp_path: Path) -> None:
    """All agents are embedded, each with a seed of its own, and one has fewer places than people."""
    found = settings(tmp_path)
    agents = list(found.agents.values())
    assert all(isinstance(agent, ScriptedSettings) for agent in agents)
    assert len({agent.seed for agent in agents if isinstance(agent, ScriptedSettings)}) == len(agents) >= 3
    assert min(agent.concurrency for agent in agents) <= 4
    used = {item.agent for item in found.platforms.values() if isinstance(item, SimulatedSettings)}
    assert used - {None} <= set(found.agents)


def test_the_demo_shows_what_goes_wrong(tmp_path: Path) -> None:
    """One platform is out within the first half minute and comes back; elsewhere somebody takes no answer."""
    found = settings(tmp_path)
    simulated = [item for item in found.platforms.values() if isinstance(item, SimulatedSettings)]
    (out,) = [item for item in simulated if item.outage_s]
    assert out.outage_first_s + out.outage_s < 30
    assert out.outage_every_s > 5 * out.outage_s
    assert any(item.blocked_ratio for item in simulated)
    assert any(item.gone_ratio for item in simulated)


def steps_of(settings: Settings, entry: str, *, part: int | None = None) -> tuple[Step, ...]:
    """What the agent of a job does about its text, or about one of its parts."""
    wanted = settings.cron[entry]
    agent = settings.agents[wanted.agent or settings.default_agent]
    assert isinstance(agent, ScriptedSettings)
    text = wanted.text if part is None else wanted.parts[part]
    return tuple(load_scenario(agent.scenario, Path("/")).steps_for(text, lambda: 0.0))


def asked_by(steps: tuple[Step, ...]) -> Iterator[ApprovalPart]:
    """The approvals among the steps."""
    yield from (step.approval for step in steps if step.approval is not None)


def test_the_demo_asks_every_kind_of_thing(tmp_path: Path) -> None:
    """A command with a warning, a diff, words, and a child's child: each begun by the clock within a minute."""
    found = settings(tmp_path)
    (command,) = asked_by(steps_of(found, "certificates", part=0))
    action = ActionRequested(
        action_id="1",
        title=command.title,
        detail=command.detail,
        kind=command.kind,
        options=options_of(command),
        tool="exec",
        target=command.detail,
    )
    assert warnings_for(action, pid=1)
    (edit,) = asked_by(steps_of(found, "limits"))
    assert edit.kind is ToolKind.EDIT
    assert edit.diff.count("\n+") > edit.diff.count("\n-") > 0
    assert any(step.question for step in steps_of(found, "window"))
    (child,) = asked_by(steps_of(found, "dependencies"))
    assert len(child.chain) > 1
    assert all(entry.first_s <= 60 for entry in found.cron.values())


def test_two_of_the_demo_ask_for_the_very_same(tmp_path: Path) -> None:
    """Both parts of one task ask word for word the same, in one folder: twins in the inbox."""
    found = settings(tmp_path)
    first, second = (list(asked_by(steps_of(found, "certificates", part=part))) for part in (0, 1))
    assert first == second != []
    assert found.agents[found.cron["certificates"].agent or ""].workspace


@pytest.mark.parametrize("name", ["main", "ops", "dev"])
def test_nothing_of_the_demo_waits_for_ever(tmp_path: Path, name: str) -> None:
    """Each agent that asks lets its questions expire within two minutes, so its slots never fill for good."""
    agent = settings(tmp_path).agents[name]
    assert agent.action_limit_s is not None
    assert agent.action_limit_s <= 120


def test_the_demo_has_agents_that_are_held_back(tmp_path: Path) -> None:
    """One whose endpoint has bad minutes and is tried again soon, and one that is not at work."""
    found = settings(tmp_path)
    flaky = found.agents["translator"]
    assert (flaky.failure_limit, flaky.recovery_s) <= (3, 30.0)
    assert not found.agents["intern"].enabled
