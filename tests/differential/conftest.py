"""hermes-agent 0.19.0, in an environment of its own, against ours.

HERMES_PEER_DIR: that environment, `.venv-peer` in the repository by default; made when it is missing, which needs a
package index.
"""

import json
import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bench.peer_hermes import ready_python
from tests.differential.cases import FLAGS, key_cases, pairing_cases, verdict_cases
from tests.support.tree import ROOT

# Read here, since settings of the person who runs the tests are hidden from the tests themselves.
FOLDER = Path(os.environ.get("HERMES_PEER_DIR", ROOT / ".venv-peer")).absolute()
_PATH = os.environ.get("PATH", "")
_RUN_LIMIT_S = 300
_TEST_LIMIT_S = 900
COUNTED: Counter[str] = Counter()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these need the peer, and time to make its environment."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.differential)
            item.add_marker(pytest.mark.timeout(_TEST_LIMIT_S))


@pytest.fixture(scope="session")
def counted() -> Counter[str]:
    """Cases by how they came out."""
    return COUNTED


@pytest.fixture(scope="session")
def peer() -> dict[str, Any]:
    """What the peer makes of all cases."""
    python = ready_python(FOLDER)
    work = {
        "sources": key_cases(),
        "flags": FLAGS,
        "verdicts": verdict_cases(),
        "stories": pairing_cases(),
    }
    script = Path(__file__).with_name("peer_side.py")
    done = subprocess.run(
        [str(python), str(script)],
        input=json.dumps(work).encode(),
        capture_output=True,
        timeout=_RUN_LIMIT_S,
        env={"PATH": _PATH},
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.decode().strip().splitlines()[-1])
    return found


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line that says how all cases came out."""
    if COUNTED:
        compared = COUNTED["equal"] + COUNTED["intended"] + COUNTED["others"]
        terminalreporter.write_line(
            f"cases compared {compared}, equal {COUNTED['equal']}, "
            f"intended differences {COUNTED['intended']}, others {COUNTED['others']}"
        )
