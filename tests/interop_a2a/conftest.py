"""The official SDK of Agent2Agent, in an environment of its own, against ours: its client and its server.

HERMES_A2A_DIR: that environment; `.venv-a2a` in the repository by default. It is made when it is missing or its
requirements have changed, which needs a package index. Where that cannot be, the tests are left out with a word of
why, and fail where nothing may be left out: with CI=true or HERMES_INTEROP=all.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.interop.installed import python_environment
from tests.support.tree import ROOT

# Read here, since settings of the person who runs the tests are hidden from the tests themselves.
FOLDER = Path(os.environ.get("HERMES_A2A_DIR", ROOT / ".venv-a2a")).absolute()
IS_WHOLE = os.environ.get("CI") == "true" or os.environ.get("HERMES_INTEROP") == "all"
_TEST_LIMIT_S = 120


def pytest_configure(config: pytest.Config) -> None:
    """Know the marker that the table at the end is made from."""
    config.addinivalue_line("markers", "shows(word): a line of the table at the end says how this went")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a test shows is said where the table can find it. Its limit leaves the installation out."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(_TEST_LIMIT_S, func_only=True))
            shows, spec = item.get_closest_marker("shows"), getattr(item, "callspec", None)
            if shows is not None and spec is not None:
                for word in shows.args:
                    item.user_properties.append(("a2a", (spec.id, word)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each direction and version: what was tried, and how it went."""
    lines: dict[str, dict[str, str]] = {}
    for outcome, word in (("passed", "ok"), ("skipped", "LEFT OUT"), ("error", "FAILED"), ("failed", "FAILED")):
        for report in terminalreporter.stats.get(outcome, []):
            for key, value in getattr(report, "user_properties", []):
                if key == "a2a":
                    lines.setdefault(value[0], {})[value[1]] = word
    if lines:
        terminalreporter.section("agent2agent")
    for direction, shown in lines.items():
        terminalreporter.write_line(f"{direction}: {', '.join(f'{what} {word}' for what, word in shown.items())}")


@pytest.fixture(scope="session")
def sdk_python() -> Path:
    """The Python of the environment of the official SDK."""
    try:
        return python_environment(FOLDER, Path(__file__).parent / "requirements.txt") / "python"
    except (subprocess.SubprocessError, OSError) as error:
        if IS_WHOLE:
            raise
        pytest.skip(f"the official SDK cannot be installed here: {error}")
