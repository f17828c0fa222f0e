"""Agents from a shell: lists, settings as KEY=VALUE, acts, exit codes."""

import json
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.api.base import AgentName, SessionId
from core.api.policies import ExplainPolicy
from core.api.profiles import CreateProfile, DeleteProfile, LimitAgent, PauseAgent, ResetRunners, UpdateProfile
from tests.support.fake_hermes import FakeHermes
from tests.support.rows import HOSTILE
from tests.support.shell import Shell, shell_on
from tests.unit.test_agent_screens import crowd


@pytest.fixture
def hermes() -> FakeHermes:
    """Four agents."""
    return crowd()


@pytest.fixture
def shell(hermes: FakeHermes) -> Iterator[Shell]:
    """A shell on that core."""
    with tempfile.TemporaryDirectory(prefix="hc-") as folder, shell_on(hermes, Path(folder)) as opened:
        yield opened


def test_the_list_says_what_holds_each_back(shell: Shell) -> None:
    """State, load and reason, one row for each."""
    said = shell.run("agents list --plain")
    assert said.code == 0
    rows = {line.split()[0]: line for line in said.lines[1:]}
    assert "faulty" in rows["broken"]
    assert "deploy freeze" in rows["coder"]
    assert "degraded" in rows["ops"]


def test_one_agent_is_shown_whole(shell: Shell) -> None:
    """Pool, policy, who keeps it, and the settings as they can be given back."""
    said = shell.run("agents show coder")
    for words in ("paused", "advisory: the agent's own", 'command: ["hermes-acp"]', "concurrency: 4"):
        assert words in said.out


def test_json_is_the_view_of_the_core(shell: Shell) -> None:
    """Programs get what the facade has."""
    assert json.loads(shell.run("agents show coder --json").out)["pool"]["state"] == "paused"


def test_settings_are_given_as_pairs_or_lines(shell: Shell, hermes: FakeHermes, tmp_path: Path) -> None:
    """Values are JSON where they are JSON, else words; a pair counts more than the file."""
    file = tmp_path / "agent.txt"
    file.write_text('runner: acp\ncommand: ["a", "b"]\nconcurrency: 1\n', encoding="utf-8")
    assert shell.run(f"agents create helper --file {file} --set concurrency=3").code == 0
    assert shell.run("agents update coder --set model=huge --set system_prompt=").code == 0
    assert hermes.commands == [
        CreateProfile(name=AgentName("helper"), settings={"runner": "acp", "command": ["a", "b"], "concurrency": 3}),
        UpdateProfile(name=AgentName("coder"), settings={"model": "huge", "system_prompt": None}),
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("agents update coder", "nothing is to be changed"),
        ("agents update coder --set model", "no KEY=VALUE"),
        ("agents update coder --set 'command=[1'", "no whole JSON"),
        ("agents create x --file /nowhere/x", "cannot read /nowhere/x"),
    ],
)
def test_what_cannot_be_read_changes_nothing(shell: Shell, hermes: FakeHermes, line: str, words: str) -> None:
    """The field is named, and nothing is sent."""
    said = shell.run(line)
    assert said.code == 2
    assert words in said.err
    assert hermes.commands == []


def test_acts_say_how_the_agent_stands_afterwards(shell: Shell, hermes: FakeHermes) -> None:
    """Not the wish, the answer of the core."""
    assert "main is paused" in shell.run("agents pause main --reason freeze").out
    assert "of 2 running" in shell.run("agents limit main 2").out or hermes.commands
    assert "1 runner gone" in shell.run("agents reset coder --session local:dm:ana --hard").out
    assert hermes.commands == [
        PauseAgent(name=AgentName("main"), reason="freeze"),
        LimitAgent(name=AgentName("main"), limit=2),
        ResetRunners(agent=AgentName("coder"), session_id=SessionId("local:dm:ana"), is_hard=True),
    ]


def test_removing_asks_unless_it_is_said(shell: Shell, hermes: FakeHermes) -> None:
    """Without a terminal nobody can be asked, so nothing happens."""
    assert shell.run("agents delete coder").code == 5
    assert hermes.commands == []
    assert shell.run("agents delete coder --yes").code == 0
    assert hermes.commands == [DeleteProfile(name=AgentName("coder"))]


def test_why_names_the_rule(shell: Shell, hermes: FakeHermes) -> None:
    """The core is asked with the very words of the agent."""
    said = shell.run("agents why main exec 'rm -rf build' --session local:dm:ana")
    assert "ask.on-miss" in said.out
    asked = [query for query in hermes.queries if isinstance(query, ExplainPolicy)]
    assert asked == [
        ExplainPolicy(agent=AgentName("main"), tool="exec", target="rm -rf build", session_id=SessionId("local:dm:ana"))
    ]


def test_defaults_runtimes_and_runners_are_listed(shell: Shell) -> None:
    """What a new agent would be, what this machine has, what is live."""
    assert "runner: acp" in shell.run("agents defaults x --runner acp").out
    assert "bwrap" in shell.run("agents runtimes").out
    assert "dont_ask, it does not ask" in shell.run("agents runners coder").out


def test_names_from_outside_cannot_write_to_the_terminal(shell: Shell) -> None:
    """Control characters are shown, not obeyed."""
    said = shell.run(f"agents show {shlex.quote(HOSTILE[0])}")
    assert said.code == 4
    assert "\x1b" not in said.err
