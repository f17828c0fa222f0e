"""What a stranger sees who types `make demo` and then presses keys."""

from pathlib import Path

import pytest

from tests.support.terminal import CONSOLE, Terminal, clean_environment

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (140, 40)])
def test_the_demo_draws_a_busy_overview_and_follows_the_keys(tmp_path: Path, columns: int, rows: int) -> None:
    """Overview, sessions, one session, help and the command line are a key away, and `q` ends it all."""
    with Terminal([*CONSOLE, "demo"], columns=columns, rows=rows, env=clean_environment(tmp_path)) as terminal:
        terminal.wait_for("core ok")
        terminal.wait_for("NEEDS YOU")
        terminal.wait_for("telegram")
        terminal.press("2")
        terminal.wait_gone("NEEDS YOU")
        terminal.wait_for("AGENT")
        terminal.press("enter")
        terminal.wait_gone("AGENT")
        terminal.press("?")
        terminal.wait_for("interrupt run")
        terminal.press("escape", "escape", ":")
        terminal.press("events", "enter")
        terminal.wait_for("run started")
        terminal.press("q")
        assert terminal.exit_code() == 0


@pytest.mark.parametrize("moment", ["HERMES", "telegram"], ids=["while it starts", "once it runs"])
def test_the_demo_leaves_nothing_behind(scratch: Path, moment: str) -> None:
    """Its home is a throw-away one: neither the user's own nor a temporary folder stays."""
    user, temporary = scratch / "user", scratch / "tmp"
    user.mkdir()
    temporary.mkdir()
    env = {**clean_environment(user), "TMPDIR": str(temporary)}
    with Terminal([*CONSOLE, "demo"], env=env) as terminal:
        terminal.wait_for(moment)
        terminal.press("q")
        code = terminal.exit_code()
        # A program that died says why on the screen that it left.
        assert code == 0, f"it ended with {code}:\n{terminal.screen()}"
    assert sorted(map(str, scratch.rglob("*"))) == sorted(map(str, (temporary, user)))


@pytest.mark.parametrize("named", [{"NO_COLOR": "1"}, {"TERM": "xterm", "COLORTERM": ""}, {"LC_ALL": "C"}], ids=str)
def test_the_demo_draws_on_plain_terminals(tmp_path: Path, named: dict[str, str]) -> None:
    """Without colour, with few colours, and without Unicode every state still has its word."""
    env = {**clean_environment(tmp_path), **named}
    with Terminal([*CONSOLE, "demo"], columns=100, env=env) as terminal:
        terminal.wait_for("core ok")
        terminal.press("2")
        terminal.wait_for(" run ")
        terminal.press("q")
        assert terminal.exit_code() == 0
