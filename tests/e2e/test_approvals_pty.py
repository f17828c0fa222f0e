"""Decisions on a real terminal: what arrives while somebody types decides nothing; what is decided runs, once."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.terminal import CONSOLE, Terminal, clean_environment
from tests.support.typed_commands import CONFIG, Shell, read_json

pytestmark = pytest.mark.e2e

POLICY = """
agents:
  main: {runner: scripted, pace: 0, policy: {runtime_type: process, host: gateway}}
"""


@pytest.fixture
def asking_home(home: Path) -> Path:
    """A home whose agent runs commands, and asks for each."""
    kept = CONFIG.partition("agents:")[0]
    (home / "config.yaml").write_text(kept + POLICY, encoding="utf-8")
    return home


def console(home: Path, columns: int = 80, rows: int = 24) -> Terminal:
    """The console with its embedded core on that home."""
    env = {**clean_environment(home.parent), "HERMES_HOME": str(home)}
    return Terminal([*CONSOLE, "--home", str(home)], columns=columns, rows=rows, env=env)


def waiting(shell: Shell) -> list[dict[str, Any]]:
    """Decisions that are open."""
    found: list[dict[str, Any]] = read_json(shell("approvals", "list", "--json"))["approvals"]
    return found


def test_a_request_that_arrives_while_somebody_types_decides_nothing(asking_home: Path, shell: Shell) -> None:
    """Letters that would allow and deny go into the filter; nothing is approved, no letter is lost."""
    with console(asking_home) as terminal:
        terminal.wait_for("core ok")
        terminal.press("3")
        terminal.wait_for("Nothing waits")
        terminal.press("/", "ad")
        terminal.wait_for("/ad")
        assert shell("sessions", "open", "local", "ana", "!run echo one").returncode == 0
        terminal.wait_for("1 open")
        terminal.press("adadAD", "x")
        terminal.wait_for("/adadadADx")
        (open_one,) = waiting(shell)
        assert open_one["state"] == "open"
        assert open_one["target"] == "echo one"
        terminal.press("escape")
        terminal.wait_gone("/adadadADx")
        assert [view["state"] for view in waiting(shell)] == ["open"]


def test_the_second_of_two_is_decided_and_only_its_command_runs(asking_home: Path, shell: Shell, scratch: Path) -> None:
    """The digest that was shown is the one in the books; the first still waits."""
    first, second = scratch / "first", scratch / "second"
    with console(asking_home, 140, 40) as terminal:
        terminal.wait_for("core ok")
        assert shell("sessions", "open", "local", "ana", f"!run touch {first}").returncode == 0
        assert shell("sessions", "open", "local", "bo", f"!run touch {second}").returncode == 0
        terminal.press("3")
        terminal.wait_for("2 open")
        asked = {view["target"]: view for view in waiting(shell)}
        wanted = asked[f"touch {second}"]
        terminal.press("/", str(second.name), "enter", "A")
        terminal.wait_for(f"digest {wanted['digest']}")
        # Keys of the first half second were meant for the screen before.
        terminal.press_until("a", "(●) allow once")
        terminal.press("enter")
        terminal.wait_for("to allow it")
        terminal.press(wanted["id"][-4:], "enter")
        terminal.wait_for("approved")
        terminal.wait_until(second.exists)
        assert not first.exists()
        states = {
            view["target"]: view for view in read_json(shell("approvals", "list", "--all", "--json"))["approvals"]
        }
        assert states[f"touch {first}"]["state"] == "open"
        assert states[f"touch {second}"]["digest"] == wanted["digest"]
        assert states[f"touch {second}"]["delivery"] == "sent"
