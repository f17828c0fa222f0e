"""A core without a screen, asked and told from a shell."""

import json
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.terminal import CONSOLE, Terminal, clean_environment
from tests.support.typed_commands import Shell, read_json

pytestmark = pytest.mark.e2e


def settled(shell: Shell, key: str) -> dict[str, object]:
    """The session as `show` has it, once its run has ended."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        detail = read_json(shell("sessions", "show", key, "--json"))
        if detail["session"]["state"] == "idle" and detail["session"].get("last_outcome"):
            return detail
    raise AssertionError(f"{key} did not come to rest")


def test_a_conversation_from_the_shell(served: subprocess.Popen[str], shell: Shell) -> None:
    """Open, list, show, send, reset: what the screen can do a script can do, and read as JSON."""
    receipt = read_json(shell("sessions", "open", "local", "ana", "hello", "--json"))
    key = receipt["session_id"]
    settled(shell, key)
    assert [view["id"] for view in read_json(shell("sessions", "list", "--json"))["sessions"]] == [key]
    assert read_json(shell("sessions", "send", key, "and again", "--json"))["session_id"] == key
    settled(shell, key)
    assert "and again" in shell("sessions", "transcript", key).stdout
    assert read_json(shell("sessions", "reset", key, "--json"))["epoch"] == 1


def test_the_journal_is_one_record_a_line(served: subprocess.Popen[str], shell: Shell) -> None:
    """`events --json` prints stored records in order."""
    read_json(shell("sessions", "open", "local", "ana", "hello", "--json"))
    lines = shell("events", "--json").stdout.splitlines()
    seqs = [json.loads(line)["seq"] for line in lines]
    assert seqs == sorted(seqs)
    assert "MessageQueued" in "\n".join(lines)


def test_exit_codes_say_what_went_wrong(served: subprocess.Popen[str], shell: Shell) -> None:
    """Not found is 4, wrong usage is 2; the reason is on stderr and nothing on stdout."""
    missing = shell("sessions", "show", "local:dm:nobody", "--json")
    wrong = shell("sessions", "frobnicate")
    assert (missing.returncode, missing.stdout) == (4, "")
    assert "nobody" in missing.stderr
    assert wrong.returncode == 2


def test_without_a_core_the_shell_says_so(shell: Shell) -> None:
    """No core on this home: exit code 7, and what to start."""
    done = shell("status")
    assert done.returncode == 7
    assert "serve" in done.stderr


def test_a_second_core_is_refused_with_the_pid_of_the_first(
    served: subprocess.Popen[str], shell: Shell, home: Path
) -> None:
    """One core per home, for `serve` and for the screen."""
    again = shell("serve")
    assert again.returncode == 7
    assert re.search(rf"\b{served.pid}\b", again.stderr)
    assert served.poll() is None


def test_a_stop_is_orderly(served: subprocess.Popen[str], shell: Shell) -> None:
    """SIGTERM drains and ends with 0; the next start finds what was stored."""
    key = read_json(shell("sessions", "open", "local", "ana", "hello", "--json"))["session_id"]
    settled(shell, key)
    served.send_signal(signal.SIGTERM)
    assert served.wait(timeout=20) == 0
    assert shell("status").returncode == 7


def test_a_closed_terminal_leaves_the_core_running(home: Path, shell: Shell) -> None:
    """`console.on_hangup: keep` is the default: SIGHUP ends the view, and the shell still reaches the core."""
    with Terminal([*CONSOLE, "--home", str(home)], env=clean_environment(home.parent)) as terminal:
        terminal.wait_for("core ok")
        pid = read_json(shell("status", "--json"))["pid"]
        terminal.hang_up()
        assert read_json(shell("sessions", "open", "local", "ana", "still there?", "--json"))["session_id"]
        assert read_json(shell("status", "--json"))["pid"] == pid == terminal.pid
        assert shell("core", "stop").returncode == 0
        assert terminal.exit_code() == 0
