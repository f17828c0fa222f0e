"""A home that the peer's own stores have written, taken over by ours."""

import os
import subprocess
from pathlib import Path

from bench.peer_hermes import ready_python
from core.api.processes import Taken
from core.config import load
from core.home import prepare
from core.migration import import_hermes
from tests.differential.conftest import FOLDER

_LIMIT_S = 120


def test_what_its_own_stores_write_is_understood(tmp_path: Path) -> None:
    """Pairings of both folders, jobs of every kind; nothing there is touched by being read."""
    there, home = tmp_path / "hermes", tmp_path / "home"
    there.mkdir()
    script = Path(__file__).with_name("peer_home.py")
    env = {"PATH": os.environ.get("PATH", ""), "HOME": str(tmp_path), "HERMES_HOME": str(there)}
    done = subprocess.run(
        [str(ready_python(FOLDER)), str(script)],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        timeout=_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    before = {path: path.read_bytes() for path in there.rglob("*") if path.is_file()}
    prepare(home)
    view = import_hermes(home, there, write=True)
    assert {path: path.read_bytes() for path in there.rglob("*") if path.is_file()} == before
    assert view.problems == ()
    assert [(item.sender_id, item.sender_name) for item in view.pairings] == [("111", "Name 111")]
    skipped = [item.why for item in view.items if item.kind == "pairing" and item.verdict is Taken.SKIP]
    assert any("profile work" in why for why in skipped)
    jobs = load(home, {}).settings.cron
    assert {(name, job.schedule, job.deliver) for name, job in jobs.items()} == {
        ("morning-report", "0 9 * * 1", "telegram:-100:17"),
        ("look-around", "every 30m", "telegram:11"),
        ("once", "2090-01-01T10:00:00+01:00", ""),
    }
