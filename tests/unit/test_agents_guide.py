"""The guide to agents: every block of it is a configuration, and its table says what the code says."""

import re
from pathlib import Path

import pytest

from core.agents.adapters import CAPABILITIES
from core.agents.processes import child_environment
from core.agents.profile import kind_of
from core.config import check, load
from core.settings import Settings
from tests.support.tree import ROOT

TEXT = (ROOT / "docs" / "guide" / "agents.md").read_text(encoding="utf-8")
BLOCKS: list[str] = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def loaded(home: Path, block: str) -> Settings:
    """A block as a core reads it."""
    (home / "config.yaml").write_text(block, encoding="utf-8")
    return load(home, {}).settings


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_each_block_is_a_configuration(tmp_path: Path, block: str) -> None:
    """It can be used as it stands, and names its only agent as the default one."""
    found = loaded(tmp_path, block)
    assert list(found.agents) == [found.default_agent]


def test_an_agent_of_a_file_can_be_named(tmp_path: Path) -> None:
    """By default_agent, a platform and a job; one that is nowhere is a fault that names those that are."""
    text = "default_agent: NAME\nplatforms: {local: {kind: loopback, agent: NAME}}\n"
    text += "cron: {daily: {text: report, schedule: every 60s, agent: NAME}}\n"
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "coder.yaml").write_text("runner: scripted\n", encoding="utf-8")
    assert loaded(tmp_path, text.replace("NAME", "coder")).default_agent == "coder"
    _, faults = check(tmp_path, {})
    assert faults == ()
    (tmp_path / "config.yaml").write_text(text.replace("NAME", "codre"), encoding="utf-8")
    _, faults = check(tmp_path, {})
    assert [fault.facts["key"] for fault in faults] == [
        "default_agent",
        "platforms.local.agent",
        "cron.daily.agent",
    ]
    assert all("coder" in str(fault.facts["fix"]) for fault in faults)


def test_every_runner_but_the_embedded_one_has_a_block(tmp_path: Path) -> None:
    """A new runner is noticed here."""
    kinds = {kind_of(agent) for block in BLOCKS for agent in loaded(tmp_path, block).agents.values()}
    assert kinds == CAPABILITIES.keys() - {"scripted"}


def test_hermes_is_never_waited_for_longer_than_it_listens(tmp_path: Path) -> None:
    """Both ways to Hermes end a question before its own 60 s are over."""
    agents = [agent for block in BLOCKS for name, agent in loaded(tmp_path, block).agents.items() if name == "hermes"]
    assert [getattr(agent, "listens_s", None) for agent in agents] == [60, 60]


def test_the_table_says_who_keeps_what() -> None:
    """Row by row and runner by runner, it is what the capabilities of the adapters say."""
    rows = [re.findall(r"(?<=\|)[^|]+(?=\|)", line) for line in TEXT.splitlines() if line.startswith("| ")]
    start = next(number for number, row in enumerate(rows) if row[0].strip() == "field")
    heads = [re.findall(r"`(\w+)`", cell) for cell in rows[start][1:]]
    written = {
        (runner, field[0]): cell.strip()
        for row in rows[start + 1 :]
        if len(row) == len(heads) + 1 and (field := re.findall(r"`(\w+)`", row[0]))
        for runners, cell in zip(heads, row[1:], strict=True)
        for runner in runners
    }
    assert written == {
        (name, item.field): item.enforcement.value
        for name, capabilities in CAPABILITIES.items()
        for item in capabilities.enforcement
    }


def test_the_variables_of_a_child_are_those_of_the_page() -> None:
    """What the page lists is passed on, what it does not is not."""
    (line,) = re.findall(r"A child gets (.*?) of the core", TEXT, re.DOTALL)
    named = re.findall(r"`([A-Z_]+)\*?`", line)
    core = {f"{name}x" if name.endswith("_") else name: "1" for name in named} | {"API_KEY": "1", "PYTHONPATH": "1"}
    assert child_environment(core, own={}, secrets={}).keys() == core.keys() - {"API_KEY", "PYTHONPATH"}
