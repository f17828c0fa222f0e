"""Daemons that a test has started and, when it failed, not stopped."""

import contextlib
import os
import signal
from pathlib import Path

from core.home import read_holder
from core.processes import is_alive


def end_daemons(folder: Path) -> None:
    """Kill every core that holds a home in this folder."""
    for lock in folder.rglob("core.lock"):
        holder = read_holder(lock.parent)
        if holder is not None and is_alive(holder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(holder.pid, signal.SIGKILL)
