"""`hermes-console ...` as an operator types it, in a process of its own, run to its end."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.terminal import CONSOLE, ROOT, clean_environment

CONFIG = """\
http: {port: 0}
core: {drain_s: 1.0}
agents:
  main: {runner: scripted, pace: 0}
"""
"""Any free port, and an agent that answers at once."""

Shell = Callable[..., subprocess.CompletedProcess[str]]


def shell_for(home: Path) -> Shell:
    """Runs a command on a home; what it printed and its exit code are for the test to look at."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [*CONSOLE, "--home", str(home), *words]
        env = clean_environment(home.parent)
        return subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=45)

    return run


def read_json(done: subprocess.CompletedProcess[str]) -> Any:
    """What a command that succeeded printed with --json."""
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr}"
    return json.loads(done.stdout)
