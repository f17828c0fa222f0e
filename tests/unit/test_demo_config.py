"""The demo's configuration: valid, offline, and big enough to show something."""

from importlib import resources
from pathlib import Path

from core.config import FILE_NAME, load
from core.gateway.adapters.simulated import read_scenario
from core.settings import ApiServerSettings, LoopbackSettings, ScriptedSettings, Settings, SimulatedSettings


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
