"""The home folder: made safe once, held by one core at a time."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from core.api.errors import ConfigError, HomeBusy
from core.config import load, template
from core.home import HomeLock, held, prepare, socket_path
from core.secrets import resolve

ROOT = Path(__file__).parents[2]
HOLD = "import sys; from pathlib import Path; from core.home import HomeLock\n"
HOLD += "lock = HomeLock(Path(sys.argv[1])); lock.acquire(); print('held', flush=True); sys.stdin.read()"


def mode(path: Path) -> int:
    """Permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_home_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """Folders 700, files 600, whatever the umask; the template and a key of its own."""
    home = tmp_path / "deep" / "home"
    before = os.umask(0)
    try:
        prepare(home)
    finally:
        os.umask(before)
    assert {mode(path) for path in (home, home / "secrets", home / "workspaces")} == {0o700}
    assert {mode(path) for path in (home / "config.yaml", home / "secrets" / "api_key")} == {0o600}
    assert (home / "config.yaml").read_text() == template()
    assert len(resolve(load(home, {}).settings.http.key, home=home).reveal()) >= 43
    assert sorted(path.name for path in home.iterdir()) == ["config.yaml", "secrets", "workspaces"]
    assert [path.name for path in (home / "secrets").iterdir()] == ["api_key"]


def test_what_is_there_stays_as_it_is(tmp_path: Path) -> None:
    """A second start changes neither configuration nor key."""
    home = tmp_path / "home"
    prepare(home)
    (home / "config.yaml").write_text("http:\n  port: 1\n")
    key = (home / "secrets" / "api_key").read_text()
    prepare(home)
    assert (home / "config.yaml").read_text() == "http:\n  port: 1\n"
    assert (home / "secrets" / "api_key").read_text() == key


@pytest.mark.parametrize("bits", [0o770, 0o707, 0o777, 0o720])
@pytest.mark.parametrize("name", ["", "secrets"])
def test_a_home_that_others_can_write_is_refused(tmp_path: Path, bits: int, name: str) -> None:
    """Whoever can write there could give orders."""
    home = tmp_path / "home"
    prepare(home)
    (home / name).chmod(bits)
    with pytest.raises(ConfigError, match="can be written by others") as caught:
        prepare(home)
    assert str(caught.value.facts["fix"]).startswith("chmod go-w ")


def test_a_home_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not ours to use."""
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.raises(ConfigError, match="belongs to another user"):
        prepare(tmp_path)


def test_a_file_in_the_place_of_a_home_is_named(tmp_path: Path) -> None:
    """The error says which path and what else to choose."""
    (tmp_path / "home").write_text("")
    for home in (tmp_path / "home", tmp_path / "home" / "below"):
        with pytest.raises(ConfigError, match="cannot prepare") as caught:
            prepare(home)
        assert "--home" in str(caught.value.facts["fix"])


def test_a_path_too_long_for_a_socket_is_refused_in_time(tmp_path: Path) -> None:
    """With its length, the limit, and the way out; one that just fits is taken."""
    with pytest.raises(ConfigError, match="107 are possible") as caught:
        socket_path(Path("/") / ("x" * 97))
    assert "--home" in str(caught.value.facts["fix"])
    assert len(str(socket_path(Path("/") / ("x" * 96)))) == 107
    with pytest.raises(ConfigError):
        socket_path(Path("/") / ("é" * 60))


def test_a_second_core_learns_who_holds_the_home(tmp_path: Path) -> None:
    """HomeBusy with the pid and what to do; after release the home is free."""
    first, second = HomeLock(tmp_path), HomeLock(tmp_path)
    first.acquire()
    first.acquire()
    with pytest.raises(HomeBusy) as caught:
        second.acquire()
    assert caught.value.facts["pid"] == os.getpid()
    assert "hermes-console attach" in caught.value.message
    first.release()
    first.release()
    second.acquire()
    second.release()


def test_a_killed_core_holds_nothing(tmp_path: Path) -> None:
    """The system lets go of the home with the process; what it wrote is stale and ignored."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdin is not None
    with child.stdout, child.stdin:
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(HomeBusy) as caught:
            HomeLock(tmp_path).acquire()
        assert caught.value.facts["pid"] == child.pid
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert str(child.pid) in (tmp_path / "core.lock").read_text()
    with held(tmp_path):
        assert str(os.getpid()) in (tmp_path / "core.lock").read_text()


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"pid":1,"boot":"another"}', b'{"pid":"x"}', b"7"])
def test_a_lock_that_says_nothing_useful_is_still_a_lock(tmp_path: Path, body: bytes) -> None:
    """The holder is unknown, and the home is busy all the same; a pid from before a restart is not named."""
    lock = HomeLock(tmp_path)
    lock.acquire()
    (tmp_path / "core.lock").write_bytes(body)
    with pytest.raises(HomeBusy, match="another core") as caught:
        HomeLock(tmp_path).acquire()
    assert caught.value.facts["pid"] is None
    lock.release()


def test_a_lock_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """A folder or a link in its place is refused; where the link leads nothing is written."""
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "core.lock").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "two" / "core.lock").symlink_to(tmp_path / "precious")
    for name in ("one", "two"):
        with pytest.raises(ConfigError, match="cannot open"):
            HomeLock(tmp_path / name).acquire()
    assert (tmp_path / "precious").read_text() == "precious"
