"""What an operator sees who starts on an empty home."""

import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.terminal import CONSOLE, ROOT, Terminal, clean_environment
from tests.support.typed_commands import Shell, read_json

pytestmark = pytest.mark.e2e


def mode(path: Path) -> int:
    """Permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_missing_home_is_made_for_its_owner_alone(scratch: Path) -> None:
    """The folder is 0700, its key 0600, and the configuration explains itself."""
    home = scratch / "new"
    env = {**clean_environment(scratch), "HERMES_CONSOLE__HTTP__PORT": "0"}
    with Terminal([*CONSOLE, "--home", str(home)], env=env) as terminal:
        terminal.wait_for("core ok")
        assert mode(home) == 0o700
        assert mode(home / "secrets" / "api_key") == 0o600
        assert (home / "config.yaml").read_text(encoding="utf-8").startswith("#")


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (140, 40)])
def test_the_lines_on_an_empty_screen_work_when_pasted(home: Path, shell: Shell, columns: int, rows: int) -> None:
    """The curl lines name the real port, do not show the key, and bring the first session."""
    with Terminal([*CONSOLE, "--home", str(home)], columns=columns, rows=rows) as terminal:
        terminal.wait_for("core ok")
        terminal.press("2")
        screen = terminal.wait_for('"role":"user"')
        assert (home / "secrets" / "api_key").read_text(encoding="utf-8").strip() not in screen
        lines = [line.strip(" │|") for line in screen.splitlines()]
        first = next(number for number, line in enumerate(lines) if "KEY=$(cat" in line)
        last = next(number for number, line in enumerate(lines) if line.endswith("}'"))
        lines[first] = lines[first][lines[first].index("KEY=") :]
        script = "\n".join(lines[first : last + 1])
        assert re.search(r"http://127\.0\.0\.1:\d+/v1", script)
        if shutil.which("curl") is None:
            script = f'curl() {{ "{sys.executable}" -m tests.support.curl "$@"; }}\n{script}'
        done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
        assert '"choices"' in done.stdout, done.stderr + done.stdout
        terminal.wait_gone('"role":"user"')
        page = read_json(shell("sessions", "list", "--json"))
        assert len(page["sessions"]) == 1


def test_quitting_says_what_stops_and_asks(home: Path) -> None:
    """With a core in the same process `q` asks first; escape goes back to the screen."""
    with Terminal([*CONSOLE, "--home", str(home)]) as terminal:
        terminal.wait_for("core ok")
        terminal.press("q")
        terminal.wait_for("core")
        assert terminal.is_running
        terminal.press("escape")
        terminal.wait_for("core ok")
        assert terminal.is_running


def test_leaving_keeps_the_core_and_attaching_comes_back_to_it(home: Path, shell: Shell) -> None:
    """`leave running` ends the screen alone; a session begun meanwhile is on the screen that attaches."""
    with Terminal([*CONSOLE, "--home", str(home)]) as terminal:
        terminal.wait_for("core ok")
        terminal.press("q")
        terminal.wait_for("leave running")
        terminal.press("enter")
        terminal.wait_for("the core goes on as pid")
        assert terminal.is_running
        assert read_json(shell("sessions", "open", "local", "desk", "still there?", "--json"))["session_id"]
        with Terminal([*CONSOLE, "--home", str(home), "attach"]) as second:
            second.wait_for("core ok")
            second.press("2")
            second.wait_for("sort attention")
            second.press("i")
            second.wait_for("local:dm:desk")
            second.press("q")
            assert second.exit_code() == 0
        assert read_json(shell("status", "--json"))["pid"] == terminal.pid
        assert shell("core", "stop").returncode == 0
        assert terminal.exit_code() == 0
