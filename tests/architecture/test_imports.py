"""What an import really loads, seen in a fresh interpreter: the static contracts cannot know."""

import subprocess
import sys

import pytest

from tests.support.tree import ROOT

SCREEN = {"textual", "rich"}
SERVER = {"starlette", "uvicorn", "httpx", "httpcore", "websockets", "h11", "anyio"}
STORE = {"apsw", "sqlite3", "yaml"}


def loaded_by(module: str) -> set[str]:
    """Top-level names in sys.modules after the import."""
    program = f"import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("core.kernel", SCREEN | SERVER | STORE | {"console"}),
        ("core.connect", SCREEN | SERVER | STORE | {"console"}),
        ("core.api.codec", SCREEN | SERVER | STORE | {"console", "asyncio", "threading"}),
        ("console.headless", SCREEN | SERVER | STORE),
        ("console.actions", SCREEN | SERVER | STORE),
        ("console.prepaint", SCREEN | SERVER | STORE | {"asyncio", "msgspec"}),
        ("console.__main__", SCREEN | SERVER | STORE | {"asyncio", "msgspec"}),
    ],
)
def test_an_import_loads_nothing_that_its_users_may_not_need(module: str, unwanted: set[str]) -> None:
    """Heavy libraries are loaded where they are used, so that a start pays only for what it needs."""
    assert loaded_by(module) & unwanted == set()
