"""Other people's programs, in folders of their own, against ours.

HERMES_INTEROP_DIR, HERMES_AGENTS_DIR, HERMES_NPM_DIR: those folders; `.venv-interop`, `.venv-agents` and `.npm-agents`
in the repository by default. They are made when they are missing or their requirements have changed, which needs a
package index. What a machine cannot run is left out with a word of why, and fails where nothing may be left out: with
CI=true or HERMES_INTEROP=all.
"""

import os
from pathlib import Path

import pytest

from tests.interop.installed import find_node, npm_agents, python_agents, python_clients, sdk_examples
from tests.interop.real_agents import AGENTS as REAL_AGENTS
from tests.interop.real_agents import Installed
from tests.support.tree import ROOT

# Read here, since settings of the person who runs the tests are hidden from the tests themselves.
FOLDER = Path(os.environ.get("HERMES_INTEROP_DIR", ROOT / ".venv-interop")).absolute()
AGENTS = Path(os.environ.get("HERMES_AGENTS_DIR", ROOT / ".venv-agents")).absolute()
MODULES = Path(os.environ.get("HERMES_NPM_DIR", ROOT / ".npm-agents")).absolute()
IS_WHOLE = os.environ.get("CI") == "true" or os.environ.get("HERMES_INTEROP") == "all"
SHOWN = ("turn", "approve", "deny", "cancel", "killed")
_TEST_LIMIT_S = 240


def pytest_configure(config: pytest.Config) -> None:
    """Know the marker that the table at the end is made from."""
    config.addinivalue_line("markers", "shows(word): a line of the table at the end says how this went with an agent")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a test shows is said where the table can find it. Its limit leaves the installation out."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(_TEST_LIMIT_S, func_only=True))
            shows, agent = item.get_closest_marker("shows"), getattr(item, "callspec", None)
            if shows is not None and agent is not None:
                item.user_properties.append(("shows", (agent.params["agent"].name, shows.args[0])))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each agent: what was tried, and how it went."""
    lines: dict[str, dict[str, str]] = {}
    for outcome, word in (("passed", "ok"), ("skipped", "LEFT OUT"), ("error", "FAILED"), ("failed", "FAILED")):
        for report in terminalreporter.stats.get(outcome, []):
            for key, value in getattr(report, "user_properties", []):
                if key == "shows":
                    lines.setdefault(value[0], {})[value[1]] = word
    if lines:
        terminalreporter.section("real agents")
    for agent in sorted(lines, key=[agent.name for agent in REAL_AGENTS].index):
        shown = [f"{word} {lines[agent][word]}" for word in SHOWN if word in lines[agent]]
        terminalreporter.write_line(f"{agent}: {', '.join(shown)}")


@pytest.fixture(scope="session")
def other_bin() -> Path:
    """The folder with the programs of the environment of clients."""
    return python_clients(FOLDER)


@pytest.fixture(scope="session")
def installed(other_bin: Path) -> Installed:
    """All agents that this machine can run."""
    agents = python_agents(AGENTS)
    node = find_node(agents)
    modules = npm_agents(MODULES, node) if node is not None else None
    return Installed(
        agents=agents,
        clients=other_bin,
        examples=sdk_examples(other_bin),
        node=node.program if node is not None else None,
        modules=modules,
        is_whole=IS_WHOLE,
    )
