"""Servers and clients of other people for the platforms, each kind in an environment of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from tests.interop.installed import LIMIT_S, sealed
from tests.support.tree import ROOT

HERE = Path(__file__).parent
# Read here, since settings of the person who runs the tests are hidden from the tests themselves.
IS_WHOLE = os.environ.get("CI") == "true" or os.environ.get("HERMES_PLATFORMS") == "all"
_FOLDERS = {
    kind: Path(os.environ.get(f"HERMES_{kind.upper()}_DIR", ROOT / f".venv-{kind}")).absolute()
    for kind in ("synapse", "platforms")
}


def environment(kind: str) -> Path:
    """The folder of programs of an environment, made from requirements-KIND.txt when it is missing or that has
    changed. It is `.venv-KIND` in the repository, or HERMES_KIND_DIR. What cannot be made is left out, or fails where
    nothing may be left out: with CI=true or HERMES_PLATFORMS=all.
    """
    requirements = HERE / f"requirements-{kind}.txt"
    folder = _FOLDERS[kind]

    def make(made: Path) -> None:
        _run([sys.executable, "-m", "venv", "--clear", str(made)])
        pip = [str(made / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "-r", str(requirements)])

    try:
        return sealed(folder, (requirements,), sys.version, make) / "bin"
    except (OSError, subprocess.SubprocessError) as error:
        left_out(f"what requirements-{kind}.txt names cannot be installed: {type(error).__name__}")


def left_out(why: str) -> NoReturn:
    """Leave a test out since this machine lacks something; where nothing may be left out it fails."""
    if IS_WHOLE:
        pytest.fail(why)
    pytest.skip(why)


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, timeout=LIMIT_S, stdin=subprocess.DEVNULL, cwd=ROOT)
