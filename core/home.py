"""The home folder: made safe once, held by one core at a time."""

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Generator
from pathlib import Path
from typing import IO

import msgspec

from core.api.errors import ConfigError, HomeBusy
from core.config import FILE_NAME, template

LOCK_NAME = "core.lock"
SOCKET_NAME = "core.sock"
WORKSPACES_NAME = "workspaces"
KEY_NAME = "secrets/api_key"

_KEY_BYTES = 32
_SOCKET_PATH_LIMIT_BYTES = 107
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def socket_path(home: Path) -> Path:
    """Where the core of a home listens. Raises ConfigError when the system cannot take a path that long."""
    path = home.absolute() / SOCKET_NAME
    length = len(os.fsencode(path))
    if length > _SOCKET_PATH_LIMIT_BYTES:
        raise ConfigError(
            f"the path of the home is too long for a socket: {path} has {length} bytes, "
            f"{_SOCKET_PATH_LIMIT_BYTES} are possible",
            key="home",
            value=str(home),
            fix="choose a shorter home with --home or HERMES_CONSOLE_HOME",
        )
    return path


def prepare(home: Path) -> None:
    """Make the home and what belongs in it; what is there already is left as it is.

    Raises ConfigError when it cannot be made, is not ours, or could be written by others.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_owner(home)
        for folder in (home / "secrets", home / WORKSPACES_NAME):
            folder.mkdir(mode=0o700, exist_ok=True)
            _check_owner(folder)
        _write_once(home / FILE_NAME, template())
        _write_once(home / KEY_NAME, secrets.token_urlsafe(_KEY_BYTES) + "\n")
    except OSError as error:
        raise ConfigError(
            f"cannot prepare {home}: {error.strerror} ({error.filename})",
            key="home",
            value=str(home),
            fix="choose another home with --home or HERMES_CONSOLE_HOME",
        ) from error


def _check_owner(folder: Path) -> None:
    info = folder.stat()
    if not stat.S_ISDIR(info.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "not a folder", str(folder))
    if info.st_uid != os.geteuid():
        raise ConfigError(
            f"{folder} belongs to another user", key="home", value=str(folder), fix="choose a home of your own"
        )
    if info.st_mode & 0o022:
        raise ConfigError(
            f"{folder} can be written by others", key="home", value=str(folder), fix=f"chmod go-w {folder}"
        )


def _write_once(path: Path, text: str) -> None:
    """Write a file of mode 600 whole, unless it is there already."""
    if path.exists():
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        # Two that start at once write the same name; a link, unlike a rename, lets only the first win.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


class Holder(msgspec.Struct, frozen=True):
    """Who holds a home. boot: of the machine, so that a pid from before a restart means nothing."""

    pid: int
    boot: str


_holders = msgspec.json.Decoder(Holder)


class HomeLock:
    """The right to run the only core of a home. The system takes it back when the process ends."""

    def __init__(self, home: Path) -> None:
        self.path = home / LOCK_NAME
        self._home = home
        self._stream: IO[bytes] | None = None

    def acquire(self) -> None:
        """Take the home. Raises HomeBusy with the holder's pid, ConfigError when the file cannot be used."""
        if self._stream is not None:
            return
        try:
            # No link is followed: what stands there could be a trap for a file of ours.
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise ConfigError(
                f"cannot open {self.path}: {error.strerror}",
                key="home",
                value=str(self._home),
                fix="give yourself the right to write there",
            ) from error
        stream = os.fdopen(handle, "r+b")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            stream.close()
            raise _busy(self._home) from error
        stream.truncate(0)
        stream.write(msgspec.json.encode(Holder(os.getpid(), _boot_id())) + b"\n")
        stream.flush()
        self._stream = stream

    def release(self) -> None:
        """Let the home go. May be called twice."""
        if self._stream is not None:
            # The file stays: to remove it would let two cores lock two files of the same name.
            self._stream.truncate(0)
            self._stream.close()
            self._stream = None


@contextlib.contextmanager
def held(home: Path) -> Generator[HomeLock]:
    """Hold a home for the time of a block."""
    lock = HomeLock(home)
    lock.acquire()
    try:
        yield lock
    finally:
        lock.release()


def _busy(home: Path) -> HomeBusy:
    pid = _read_pid(home / LOCK_NAME)
    who = f"the core with pid {pid}" if pid is not None else "another core"
    return HomeBusy(
        f"{who} holds {home}; use it with `hermes-console attach`, or end it with `hermes-console core stop`",
        pid=pid,
        home=str(home),
        fix="hermes-console attach",
    )


def _read_pid(path: Path) -> int | None:
    try:
        with path.open("rb") as stream:
            return _pid_in(stream.read(1024))
    except OSError:
        return None


def _pid_in(body: bytes) -> int | None:
    try:
        holder = _holders.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return holder.pid if holder.boot == _boot_id() else None


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
