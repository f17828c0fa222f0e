"""A core as a daemon: started apart from the terminal, with a log in its home; ended by its identity. All blocks."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from core.api.errors import ConfigError, Refused, Unavailable
from core.api.processes import ProfileHome, ProfileHomes
from core.clock import SystemClock
from core.home import log_path, prepare, profile_home, profile_names, read_holder
from core.process_status import read_process
from core.processes import is_alive

LOG_LIMIT_BYTES = 10 * 1024 * 1024
_LOGS_KEPT = 3
_TAIL_BYTES = 16_384


class Started:
    """A daemon that was started just now. pid: of its process."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self.pid = process.pid

    def exit_code(self) -> int | None:
        """What it ended with; None while it goes on."""
        return self._process.poll()

    def leave(self) -> None:
        """Let it go on when this process ends."""
        # Otherwise the interpreter complains about a child that it has not waited for.
        self._process.returncode = self._process.returncode or 0


def start(home: Path, argv: Sequence[str]) -> Started:
    """Start a program as a daemon whose words go to the log of a home.

    It has a session of its own, so a closed terminal does not end it. Raises ConfigError when the home or the log
    cannot be used.
    """
    prepare(home)
    log = log_path(home)
    try:
        log.parent.mkdir(mode=0o700, exist_ok=True)
        _rotate(log)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ConfigError(
            f"cannot write {log}: {error.strerror}", key="home", value=str(home), fix="make room, or mend its rights"
        ) from error
    try:
        process = subprocess.Popen(  # noqa: S603 - the caller's own program
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            start_new_session=True,
            # No folder is held, so that whatever is mounted here can be let go.
            cwd="/",
        )
    finally:
        os.close(handle)
    return Started(process)


def log_tail(home: Path, line_count: int) -> list[str]:
    """The last lines of the log of a home."""
    try:
        with log_path(home).open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _TAIL_BYTES))
            text = stream.read(_TAIL_BYTES).decode(errors="replace")
    except OSError:
        return []
    return text.splitlines()[-line_count:]


def terminate(home: Path, *, kill: bool) -> int:
    """Tell the process that holds a home to end, or kill it. Returns its pid.

    Raises Refused when no such process is there: a pid alone is nobody.
    """
    holder = read_holder(home)
    if holder is None or not is_alive(holder):
        raise Refused(f"no process holds {home}", rule="identity")
    number = signal.SIGKILL if kill else signal.SIGTERM
    try:
        if hasattr(os, "pidfd_open"):
            handle = os.pidfd_open(holder.pid)
            try:
                # The pid may have been given away since it was looked at; what the handle names stays.
                if not is_alive(holder):
                    raise Refused(f"no process holds {home}", rule="identity")
                signal.pidfd_send_signal(handle, number)
            finally:
                os.close(handle)
        else:
            os.kill(holder.pid, number)
    except ProcessLookupError:
        raise Refused(f"no process holds {home}", rule="identity") from None
    except PermissionError as error:
        raise Unavailable(f"process {holder.pid} belongs to somebody else", fix="ask its owner") from error
    return holder.pid


def profiles(root: Path) -> ProfileHomes:
    """The default home and every profile below it, each with its state."""
    clock = SystemClock()
    homes = [("", root), *((name, profile_home(root, name)) for name in profile_names(root))]
    return ProfileHomes(
        profiles=tuple(ProfileHome(name=name, process=read_process(home, clock)) for name, home in homes)
    )


def _rotate(log: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size <= LOG_LIMIT_BYTES:
            return
        for number in range(_LOGS_KEPT - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                log.with_name(f"{log.name}.{number}").replace(log.with_name(f"{log.name}.{number + 1}"))
        log.replace(log.with_name(f"{log.name}.1"))
