"""The home folder: made safe once, held by one core at a time."""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Generator
from pathlib import Path
from typing import IO

import msgspec

from core.api.errors import ConfigError, HomeBusy, InvalidInput
from core.config import FILE_NAME, template
from core.process_state import Identity
from core.processes import boot_id, own_identity

LOCK_NAME = "core.lock"
SOCKET_NAME = "core.sock"
WORKSPACES_NAME = "workspaces"
KEY_NAME = "secrets/api_key"
LOG_NAME = "logs/core.log"
PROFILES_NAME = "profiles"

_KEY_BYTES = 32
_SOCKET_PATH_LIMIT_BYTES = 107
_PROFILE = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


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


def log_path(home: Path) -> Path:
    """Where a core that runs as a daemon writes what it would print."""
    return home / LOG_NAME


def profile_home(root: Path, name: str) -> Path:
    """The home of a profile below the default home. Raises InvalidInput for a name that cannot be."""
    if not _PROFILE.fullmatch(name):
        raise InvalidInput(
            f"profile cannot be {name!r}",
            field="profile",
            value=name,
            fix="a name of a-z 0-9 _ - with at most 32 letters, which begins with a letter or number",
        )
    return root / PROFILES_NAME / name


def profile_names(root: Path) -> list[str]:
    """The profiles below the default home, by name. Blocks."""
    try:
        found = [path.name for path in (root / PROFILES_NAME).iterdir() if path.is_dir()]
    except OSError:
        return []
    return sorted(name for name in found if _PROFILE.fullmatch(name))


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


_holders = msgspec.json.Decoder(Identity)


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
        stream.write(msgspec.json.encode(own_identity()) + b"\n")
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
    holder = read_holder(home)
    who = f"the core with pid {holder.pid}" if holder is not None else "another core"
    return HomeBusy(
        f"{who} holds {home}; use it with `hermes-console attach`, or end it with `hermes-console core stop`",
        pid=holder.pid if holder is not None else None,
        home=str(home),
        fix="hermes-console attach",
    )


def read_holder(home: Path) -> Identity | None:
    """Which process says that it holds a home; None when none does, or one from before a restart. Blocks."""
    try:
        with (home / LOCK_NAME).open("rb") as stream:
            holder = _holders.decode(stream.read(1024))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return holder if holder.boot == boot_id() else None
