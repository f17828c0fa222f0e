"""Keys that arrive in one piece, as over a slow line or from a clipboard."""

from pathlib import Path

import pytest

from tests.support.terminal import CONSOLE, Terminal, clean_environment
from tests.support.typed_commands import Shell, read_json

pytestmark = pytest.mark.e2e


def console(home: Path) -> Terminal:
    """The console with its embedded core on that home."""
    env = {**clean_environment(home.parent), "HERMES_HOME": str(home)}
    return Terminal([*CONSOLE, "--home", str(home)], env=env)


def test_a_command_that_arrives_in_one_piece_is_a_command(home: Path) -> None:
    """None of its letters is taken for a key of the view: p would pause, c copy, q leave."""
    with console(home) as terminal:
        terminal.wait_for("core ok")
        for place, sign in (
            ("cron", "No job"),
            ("config", "core.drain_s"),
            ("pairing", "Nobody asks"),
            ("events", "follow"),
        ):
            terminal.press(f":{place}\r")
            screen = terminal.wait_for(sign)
            assert "paused" not in screen
            assert "clipboard" not in screen


def test_commands_that_arrive_behind_each_other_are_all_carried_out(home: Path) -> None:
    """Keys behind the enter of a command are no more of it, and none is lost: the last one counts."""
    with console(home) as terminal:
        terminal.wait_for("core ok")
        terminal.press(":config\r:events\r:cron\r:pairing\r")
        terminal.wait_for("Nobody asks")
        terminal.press("/nobody\r:cron\r?")
        screen = terminal.wait_for("help")
        assert "paused" not in screen


def test_a_filter_that_arrives_in_one_piece_is_a_filter(home: Path, shell: Shell) -> None:
    """And what stands behind it acts on nothing."""
    with console(home) as terminal:
        terminal.wait_for("core ok")
        assert shell("sessions", "open", "local", "ana", "hello").returncode == 0
        terminal.press("2", "i")
        terminal.wait_for("local:dm:ana")
        terminal.press("/apqcXR\r")
        terminal.wait_for("match /apqcXR")
        assert [view["epoch"] for view in read_json(shell("sessions", "list", "--json"))["sessions"]] == [0]
