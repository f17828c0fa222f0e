"""Other people's programs, in a virtual environment of their own, against our server.

HERMES_INTEROP_DIR: folder of that environment; `.venv-interop` in the repository by default. It is
made when it is missing or its requirements have changed, which needs a package index.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tree import ROOT

# Read here, since settings of the person who runs the tests are hidden from the tests themselves.
FOLDER = Path(os.environ.get("HERMES_INTEROP_DIR", ROOT / ".venv-interop")).absolute()
REQUIREMENTS = Path(__file__).parent / "requirements.txt"
INSTALL_LIMIT_S = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test waits for the installation."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(INSTALL_LIMIT_S + 120))


@pytest.fixture(scope="session")
def other_bin() -> Path:
    """The folder with the programs of the other environment."""
    binaries, seal = FOLDER / "bin", FOLDER / ".requirements"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    if not seal.is_file() or seal.read_text(encoding="ascii") != wanted:
        made = [sys.executable, "-m", "venv", "--clear", str(FOLDER)]
        subprocess.run(made, check=True, timeout=INSTALL_LIMIT_S)
        install = [str(binaries / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "-r", str(REQUIREMENTS)], check=True, timeout=INSTALL_LIMIT_S)
        seal.write_text(wanted, encoding="ascii")
    return binaries
