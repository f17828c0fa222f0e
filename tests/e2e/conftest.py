"""A home of its own for each test, and a shell in which an operator types commands.

Fixtures: `scratch` is an empty folder with a short path; `home` is a folder in it with a configuration
that takes any free port and lets the agent answer at once; `shell` runs `hermes-console ...` on it to
the end; `served` is a core that `hermes-console serve` runs on it.
"""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.terminal import CONSOLE, ROOT, clean_environment
from tests.support.typed_commands import CONFIG, Shell, shell_for


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder with a path as short as a real one's: sockets and lines on a screen have limits."""
    with tempfile.TemporaryDirectory(prefix="h") as folder:
        yield Path(folder)


@pytest.fixture
def home(scratch: Path) -> Path:
    """A home that exists but has never been used."""
    folder = scratch / "home"
    folder.mkdir(mode=0o700)
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    return folder


@pytest.fixture
def shell(home: Path) -> Shell:
    """Runs a command on the home."""
    return shell_for(home)


@pytest.fixture
def served(home: Path) -> Iterator[subprocess.Popen[str]]:
    """A core without a screen; it has said that it is ready."""
    argv = [*CONSOLE, "--home", str(home), "serve"]
    env = clean_environment(home.parent)
    with subprocess.Popen(
        argv, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        try:
            assert "runs on" in said, said + process.stdout.read()
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=20)
