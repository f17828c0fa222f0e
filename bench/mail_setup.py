"""Makes the peers of the mailbox bench ready: a virtual environment of their own, and redis-server from Debian.

Everything lands below HERMES_BENCH_DIR (default .bench-venv). Debian's packages are only unpacked there: nothing is
installed into the system and no service is started, so it needs no root. A server that the machine has already is
used as it is. What cannot be made ready is named with the reason.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("mail-peers.txt")
_LIMIT_S = 300
_DEBIAN = "redis-server"


@dataclass(frozen=True)
class Peer:
    """A queue that is held against ours. flushes: each message is on disk before its sender goes on.

    name: for mail_peers.py; needs: distribution in its environment; server: program that it needs.
    """

    name: str
    title: str
    flushes: bool
    needs: str = ""
    server: str = ""


PEERS = (
    Peer("stdlib", "stdlib sqlite3 FULL, one transaction each", flushes=True),
    Peer("litequeue-full", "litequeue, synchronous FULL", flushes=True, needs="litequeue"),
    Peer("litequeue", "litequeue, its default NORMAL", flushes=False, needs="litequeue"),
    Peer("persist-queue", "persist-queue SQLiteAckQueue", flushes=True, needs="persistqueue"),
    Peer("huey", "huey SQLite storage, fsync", flushes=True, needs="huey"),
    Peer("redis-always", "redis-server, appendfsync always", flushes=True, needs="redis", server="redis-server"),
    Peer("redis-everysec", "redis-server, appendfsync everysec", flushes=False, needs="redis", server="redis-server"),
    Peer("nats-always", "nats-server, sync_interval always", flushes=True, needs="nats", server="nats-server"),
    Peer("nats-default", "nats-server, its default sync", flushes=False, needs="nats", server="nats-server"),
)


class Stand:
    """What is there of the peers. notes: why something is not."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._python = folder / "mail-peers" / "bin" / "python"
        self.notes: dict[str, str] = {}

    def install(self) -> None:
        """Fetch what is missing; what fails is noted."""
        self._note("environment", self._install_environment)
        if self._server("redis-server") is None:
            self._note("redisserver", self._unpack_redis)

    def missing(self, peer: Peer) -> str:
        """Why the peer cannot be measured, "" when it can."""
        if peer.needs and not self._has(peer.needs):
            return self._why(peer.needs) or f"{peer.needs} is not installed"
        if peer.server and self._server(peer.server) is None:
            return self._why(peer.server) or f"no {peer.server}"
        return ""

    def command(self, peer: Peer) -> tuple[str, str]:
        """The interpreter for a peer, and the path of its server."""
        python = str(self._python) if peer.needs else sys.executable
        return python, (self._server(peer.server) or "") if peer.server else ""

    def _why(self, what: str) -> str:
        found = [note for name, note in self.notes.items() if name.startswith(what.replace("-", ""))]
        return found[0] if found else self.notes.get("environment", "")

    def _note(self, what: str, install: Callable[[], None]) -> None:
        try:
            install()
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", b"") or b""
            last = said.decode(errors="replace").strip().splitlines()[-1:] or [str(error)]
            self.notes[what] = f"cannot be installed: {last[0][:120]}"

    def _install_environment(self) -> None:
        home = self._python.parents[1]
        stamp = home / ".ready"
        wanted = REQUIREMENTS.read_text(encoding="ascii") + sys.version
        if stamp.is_file() and stamp.read_text(encoding="ascii") == wanted:
            return
        _run([sys.executable, "-m", "venv", "--clear", str(home)])
        pip = [str(self._python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        # One by one: what cannot be had must not take the others with it.
        for package in REQUIREMENTS.read_text(encoding="ascii").split():
            self._note(package.partition("==")[0].replace("-", ""), lambda package=package: _run([*pip, package]))
        if self.notes:
            return
        stamp.write_text(wanted, encoding="ascii")

    def _unpack_redis(self) -> None:
        home, packages = self._folder / "mail-redis", self._folder / "mail-redis-packages"
        (packages / "partial").mkdir(parents=True, exist_ok=True)
        fetch = ["apt-get", "install", "--download-only", "-y", "-qq", "--no-install-recommends"]
        fetch += ["-o", f"Dir::Cache::archives={packages.resolve()}", "-o", "Debug::NoLocking=true", _DEBIAN]
        try:
            _run(fetch)
        except subprocess.CalledProcessError:
            if os.geteuid():
                raise
            # A bare machine has no lists of packages yet.
            _run(["apt-get", "update", "-qq"])
            _run(fetch)
        for package in sorted(packages.glob("*.deb")):
            _run(["dpkg-deb", "--extract", str(package), str(home)])
        shutil.rmtree(packages, ignore_errors=True)

    def _has(self, module: str) -> bool:
        return self._python.is_file() and any(self._python.parents[1].glob(f"lib/*/site-packages/{module}*"))

    def _server(self, name: str) -> str | None:
        for path in (self._folder / "mail-redis" / "usr" / "bin" / name, self._python.with_name(name)):
            if path.exists():
                return str(path.resolve().with_name(name) if path.is_symlink() else path)
        return shutil.which(name)


def stand() -> Stand:
    """The peers below the folder of the bench."""
    root = Path(__file__).resolve().parents[1]
    return Stand(Path(os.environ.get("HERMES_BENCH_DIR") or root / ".bench-venv").absolute())


def _run(command: list[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(
        command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=_LIMIT_S, env=environment
    )
