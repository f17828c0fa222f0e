"""The core as a process: started, asked, stopped, killed, and kept from failing in a circle."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.clock import SystemClock
from core.process_status import read_process
from tests.support.daemons import end_daemons
from tests.support.hold_scenario import HOLDING, HOLDING_CONFIG
from tests.support.terminal import CONSOLE, Terminal, clean_environment
from tests.support.typed_commands import Shell, read_json, shell_for

pytestmark = pytest.mark.e2e


def status(shell: Shell) -> dict[str, object]:
    """What `gateway status --json` says, whatever its exit code."""
    found: dict[str, object] = json.loads(shell("gateway", "status", "--json").stdout)
    return found


def became(home: Path, state: str, limit_s: float = 20) -> None:
    """Return once the core of the home stands so."""
    end = time.monotonic() + limit_s
    while (found := read_process(home, SystemClock()).state.value) != state:
        assert time.monotonic() < end, f"it is {found} and not {state}"
        time.sleep(0.05)


@pytest.fixture(autouse=True)
def _nothing_is_left(scratch: Path) -> Iterator[None]:
    """A test that fails leaves no daemon behind."""
    yield
    end_daemons(scratch)


@pytest.fixture
def started(home: Path, shell: Shell) -> int:
    """The pid of a daemon whose agent never answers."""
    (home / "config.yaml").write_text(HOLDING_CONFIG, encoding="utf-8")
    (home / "hold.yaml").write_text(HOLDING, encoding="utf-8")
    pid: int = read_json(shell("gateway", "start", "--json"))["pid"]
    return pid


def busy(shell: Shell, key: str = "ana") -> str:
    """A session whose run has begun."""
    session: str = read_json(shell("sessions", "open", "local", key, "hello", "--json"))["session_id"]
    end = time.monotonic() + 20
    while read_json(shell("sessions", "show", session, "--json"))["session"]["state"] != "running":
        assert time.monotonic() < end
    return session


def test_a_home_that_was_never_used_says_never(shell: Shell) -> None:
    """Exit code 7, as for every core that does not run."""
    done = shell("gateway", "status")
    assert done.returncode == 7
    assert "never" in done.stdout


def test_a_daemon_is_up_when_start_returns_and_is_found_again(started: int, shell: Shell, home: Path) -> None:
    """The pid is that of the core itself; a second start changes nothing; the log is the owner's alone."""
    assert read_json(shell("status", "--json"))["pid"] == started
    again = shell("gateway", "start", "--json")
    assert (again.returncode, json.loads(again.stdout)["pid"]) == (0, started)
    found = shell("gateway", "status", "--json")
    assert found.returncode == 0
    assert json.loads(found.stdout)["state"] == "running"
    modes = {path.name: path.stat().st_mode & 0o777 for path in (home / "core.lock", home / "core.status.json")}
    assert modes == {"core.lock": 0o600, "core.status.json": 0o600}
    assert (home / "logs").stat().st_mode & 0o777 == 0o700
    assert shell("gateway", "stop", "--now").returncode == 0


def test_a_stop_names_holder_phase_age_and_deadline_while_it_waits(started: int, shell: Shell) -> None:
    """`gateway stop` with a busy session: who, in which phase, since when, until when; then it has ended."""
    session = busy(shell)
    done = shell("gateway", "stop")
    assert done.returncode == 0
    waits = re.search(r"stopping: waits for 1 run, deadline in (\S+)s", done.stderr)
    holder = re.search(rf"holder  {re.escape(session)}  (\w+) (\S+)  ", done.stderr)
    assert waits is not None, done.stderr
    assert holder is not None, done.stderr
    assert "1 of its runs had not ended" in done.stderr
    found = status(shell)
    assert found["state"] == "stopped"
    assert found["reason"] == "gateway stop"


def test_now_gives_runs_no_time(started: int, shell: Shell) -> None:
    """`--now` cuts them off at once; what they answer waits for the next start."""
    session = busy(shell)
    assert shell("gateway", "stop", "--now").returncode == 0
    found = status(shell)
    assert found["state"] == "stopped"
    drain = found["drain"]
    assert isinstance(drain, dict)
    assert drain["cut_off_count"] == 1
    assert shell("gateway", "start").returncode == 0
    assert read_json(shell("sessions", "show", session, "--json"))["session"]["state"] in {"running", "queued"}
    assert shell("gateway", "stop", "--now").returncode == 0


def test_sigterm_drains_and_says_whom_it_waits_for(started: int, shell: Shell, home: Path) -> None:
    """SIGTERM, too, ends as stopped; while it drains the status file names the holders; a second one hurries it."""
    session = busy(shell)
    os.kill(started, signal.SIGTERM)
    became(home, "draining")
    drain = read_process(home, SystemClock()).drain
    assert drain is not None
    assert [holder.session_id for holder in drain.holders] == [session]
    os.kill(started, signal.SIGTERM)
    became(home, "stopped")


def test_a_killed_core_is_crashed_and_not_running(started: int, shell: Shell, home: Path) -> None:
    """After kill -9 the status says crashed, with exit code 7; the next start works and is no crash loop."""
    os.kill(started, signal.SIGKILL)
    became(home, "crashed")
    done = shell("gateway", "status")
    assert done.returncode == 7
    assert "crashed" in done.stdout
    assert "running" in done.stdout, "what it was when it died is told"
    assert read_json(shell("gateway", "start", "--json"))["safe_mode"] == ""
    assert shell("gateway", "stop", "--now").returncode == 0


def test_a_core_that_hangs_is_found_out_and_can_be_killed(started: int, shell: Shell, home: Path) -> None:
    """A stopped process is there and silent: hung, exit code 1. `--kill` ends it, by its identity."""
    os.kill(started, signal.SIGSTOP)
    became(home, "hung")
    assert shell("gateway", "status").returncode == 1
    refused = shell("gateway", "start")
    assert refused.returncode == 7
    assert "hangs" in refused.stderr
    assert shell("gateway", "stop", "--kill").returncode == 0
    assert status(shell)["state"] == "crashed"


def test_a_crash_loop_ends_in_safe_mode_with_key_file_and_line(shell: Shell, home: Path) -> None:
    """Three starts that fail on the same configuration: the fourth is up, does nothing, and says what to mend."""
    good = (home / "config.yaml").read_text(encoding="utf-8")
    (home / "config.yaml").write_text(good + "htpp: {}\n", encoding="utf-8")
    for _ in range(3):
        done = shell("gateway", "start")
        assert done.returncode == 7
        assert "config.yaml:5" in done.stderr
    found = read_json(shell("gateway", "start", "--json"))
    assert found["state"] == "running"
    for words in ("config.yaml:5", "htpp", "--unsafe"):
        assert words in found["safe_mode"]
    assert any("htpp" in problem for problem in read_json(shell("status", "--json"))["problems"])
    shown = read_json(shell("config", "show", "--json"))
    assert any("htpp" in problem for problem in shown["problems"]), "all that is wrong is on the screen about it"
    refused = shell("sessions", "open", "local", "ana", "hello")
    assert refused.returncode == 7
    assert "safe mode" in refused.stderr
    (home / "config.yaml").write_text(good, encoding="utf-8")
    assert shell("gateway", "restart").returncode == 0
    assert status(shell)["safe_mode"] == ""
    assert shell("gateway", "stop").returncode == 0


def test_unsafe_tries_all_the_same(shell: Shell, home: Path) -> None:
    """`--unsafe` leaves safe mode without a change."""
    (home / "config.yaml").write_text("htpp: {}\n", encoding="utf-8")
    for _ in range(3):
        assert shell("gateway", "start").returncode == 7
    done = shell("--unsafe", "gateway", "start")
    assert done.returncode == 7
    assert "htpp" in done.stderr


def test_the_screen_opens_in_safe_mode(shell: Shell, home: Path) -> None:
    """After three failed starts the console opens all the same, and names key, file and line."""
    (home / "config.yaml").write_text("http: {port: 0}\nhtpp: {}\n", encoding="utf-8")
    for _ in range(3):
        assert shell("gateway", "start").returncode == 7
    with Terminal([*CONSOLE, "--home", str(home)], env=clean_environment(home.parent)) as terminal:
        terminal.wait_for("safe mode")
        terminal.wait_for("config.yaml:2")
        assert shell("gateway", "stop").returncode == 0


def test_each_profile_has_a_home_and_a_core_of_its_own(home: Path, shell: Shell) -> None:
    """`--profile` is a home below; `profiles list` shows each with its state."""
    profile = home / "profiles" / "work"
    profile.mkdir(parents=True, mode=0o700)
    (profile / "config.yaml").write_text("http: {port: 0}\n", encoding="utf-8")
    assert read_json(shell("--profile", "work", "gateway", "start", "--json"))["home"] == str(profile)
    states = {
        item["name"]: item["process"]["state"] for item in read_json(shell("profiles", "list", "--json"))["profiles"]
    }
    assert states == {"": "never", "work": "running"}
    assert shell("--profile", "work", "gateway", "stop").returncode == 0
    assert shell("--profile", "../x", "gateway", "status").returncode == 2


@pytest.mark.parametrize("words", [(), ("--system", "--user", "root")], ids=["user", "system"])
def test_the_unit_is_one_that_systemd_takes(words: tuple[str, ...], shell: Shell, scratch: Path) -> None:
    """`gateway install --print` passes `systemd-analyze verify` where that is there."""
    unit = scratch / "hermes-console.service"
    done = shell("gateway", "install", "--manager", "systemd", "--print", *words)
    assert done.returncode == 0, done.stderr
    unit.write_text(done.stdout, encoding="utf-8")
    assert "gateway run" in done.stdout
    assert "TimeoutStopSec=31" in done.stdout, "core.drain_s of the home and a margin"
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    told = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr


def test_a_service_file_is_written_once_and_removed(shell: Shell, home: Path) -> None:
    """A file that says something else is not written over without --force."""
    unit = home.parent / ".config" / "systemd" / "user" / "hermes-console.service"
    words = ("--manager", "systemd")
    assert shell("gateway", "install", *words).returncode == 0
    assert unit.read_text(encoding="utf-8").startswith("[Unit]")
    assert shell("gateway", "install", *words).returncode == 0
    unit.write_text("[Unit]\n", encoding="utf-8")
    assert shell("gateway", "install", *words).returncode == 5
    assert shell("gateway", "install", *words, "--force").returncode == 0
    assert shell("gateway", "uninstall", *words).returncode == 0
    assert not unit.exists()


TELEGRAM = """\
http: {port: 0}
platforms:
  tg: {kind: telegram, token: env:TOKEN, base_url: "http://127.0.0.1:9"}
"""


def row_of(shell: Shell, name: str, words: str) -> dict[str, object]:
    """The row of a connection, once its error has these words."""
    found: dict[str, object] = {}
    end = time.monotonic() + 20
    while time.monotonic() < end:
        rows = read_json(shell("platforms", "list", "--json"))["platforms"]
        found = next(row for row in rows if row["name"] == name)
        if words in str(found["last_error"]):
            return found
    raise AssertionError(f"{found} does not say {words}")


def test_two_cores_never_use_one_token(scratch: Path) -> None:
    """The second is refused with pid and home of the first on its row, and takes over when that was killed."""
    shells: list[Shell] = []
    homes = [scratch / "one", scratch / "two"]
    for home in homes:
        home.mkdir(mode=0o700)
        (home / "config.yaml").write_text(TELEGRAM, encoding="utf-8")
        (home / ".env").write_text("TOKEN=123:the-same\n", encoding="utf-8")
        (home / ".env").chmod(0o600)
        shells.append(shell_for(home))
    first = read_json(shells[0]("gateway", "start", "--json"))["pid"]
    second = read_json(shells[1]("gateway", "start", "--json"))["pid"]
    try:
        row = row_of(shells[1], "tg", f"process {first} of {homes[0]}")
        assert row["state"] == "conflict"
        locks = scratch / ".local" / "state" / "hermes-console" / "locks"
        assert [path.stat().st_mode & 0o777 for path in locks.iterdir()] == [0o600]
        assert "the-same" not in "".join(path.name + path.read_text(encoding="utf-8") for path in locks.iterdir())
        os.kill(first, signal.SIGKILL)
        became(homes[0], "crashed")
        assert shells[1]("gateway", "restart", "--now").returncode == 0
        row_of(shells[1], "tg", "127.0.0.1")
    finally:
        for shell in shells:
            shell("gateway", "stop", "--now")
    assert second
