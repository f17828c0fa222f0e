"""Processes of this machine, told apart for good: a pid comes back, a pid with its start and boot does not."""

import os
import subprocess
import sys
from pathlib import Path

from core.process_state import Identity

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PROC = Path("/proc")
_START_FIELD = 19
"""Of what follows the name in /proc/PID/stat: starttime, in ticks since the boot."""
_ASK_LIMIT_S = 5.0


def own_identity() -> Identity:
    """The process that asks. Reads the system: call it off the loop."""
    pid = os.getpid()
    return Identity(pid, boot_id(), start_of(pid) or "")


def is_alive(process: Identity) -> bool:
    """Whether that very process still runs; one with the same pid and another start is not it.

    Without a known start the pid alone has to do. Reads the system: call it off the loop.
    """
    if process.pid <= 0 or process.boot != boot_id():
        return False
    start = start_of(process.pid)
    return start is not None and (not process.start or start == process.start)


def start_of(pid: int) -> str | None:
    """When a process was started, in words that only compare; None when it is not there, or has ended."""
    if _PROC.joinpath("self", "stat").exists():
        return _start_in_proc(pid)
    return _start_by_ps(pid)


def _start_in_proc(pid: int) -> str | None:
    try:
        text = _PROC.joinpath(str(pid), "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name may hold blanks and brackets; what follows the last bracket is fields.
    fields = text.rpartition(")")[2].split()
    if len(fields) <= _START_FIELD or fields[0] in {"Z", "X"}:
        return None
    return fields[_START_FIELD]


def _start_by_ps(pid: int) -> str | None:
    said = _ask("ps", "-o", "stat=,lstart=", "-p", str(pid))
    return None if not said or said.startswith("Z") else said.partition(" ")[2].strip()


def boot_id() -> str:
    """Of the present start of the machine; "" when it has none. Reads the system: call it off the loop."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return _ask("sysctl", "-n", "kern.bootsessionuuid") if sys.platform == "darwin" else ""


def _ask(*argv: str) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_ASK_LIMIT_S)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
