"""What holds for every test, without being asked for.

No fixture here is meant to be named by a test; each applies to all of them:

- `_no_blocking_calls`: a blocking call made by `core` on an event loop fails the test.
- `_no_orphan_tasks`: an asynchronous test leaves no asyncio task behind.
- `_only_loopback`: a connection beyond this machine, and the name of another one, fail at once.
- `_clean_environment`: settings of the person who runs the tests are not seen, and locks on accounts, which count for
  the whole machine, are those of this test alone.

Hypothesis profiles: `dev` (default) and `ci` (the same examples every time); choose with
HYPOTHESIS_PROFILE. Neither has a deadline: a slow machine is not a fault.
"""

import asyncio
import itertools
import os
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import hypothesis
import pytest
from blockbuster import blockbuster_ctx

# Cases that several suites share say what differed, as those in test files do.
pytest.register_assert_rewrite("tests.support")

_SLOW_IS_FINE = [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large]
hypothesis.settings.register_profile("dev", deadline=None, max_examples=100, suppress_health_check=_SLOW_IS_FINE)
hypothesis.settings.register_profile(
    "ci", deadline=None, max_examples=60, derandomize=True, database=None, suppress_health_check=_SLOW_IS_FINE
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

_LOOPBACK = {"localhost", "127.0.0.1", "::1", "", None, "0.0.0.0", "::"}


@pytest.fixture(autouse=True)
def _no_blocking_calls() -> Iterator[None]:
    with blockbuster_ctx(scanned_modules=["core"]):
        yield


@pytest.fixture
async def _tasks_end() -> AsyncIterator[None]:
    yield
    for _ in range(10):
        if not _other_tasks():
            return
        await asyncio.sleep(0)
    pytest.fail("tasks that outlive the test: " + ", ".join(repr(task) for task in _other_tasks()))


def _other_tasks() -> list[asyncio.Task[Any]]:
    this = asyncio.current_task()
    return [task for task in asyncio.all_tasks() if task is not this and not task.done()]


@pytest.fixture(autouse=True)
def _no_orphan_tasks(request: pytest.FixtureRequest) -> None:
    if asyncio.iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("_tasks_end")


@pytest.fixture(autouse=True, scope="session")
def _only_loopback() -> Iterator[None]:
    # Once for all tests: patched anew for each, it would wrap, and be wrapped by, what watches for blocking calls.
    monkeypatch = pytest.MonkeyPatch()
    connect, connect_ex, lookup = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def is_near(family: int, address: Any) -> bool:
        return family == socket.AF_UNIX or str(address[0]) in _LOOPBACK or str(address[0]).startswith("127.")

    def near_connect(self: socket.socket, address: Any) -> None:
        if not is_near(self.family, address):
            raise OSError(f"a test wanted to connect to {address}")
        return connect(self, address)

    def near_connect_ex(self: socket.socket, address: Any) -> int:
        if not is_near(self.family, address):
            raise OSError(f"a test wanted to connect to {address}")
        return connect_ex(self, address)

    def near_lookup(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in _LOOPBACK and not str(name).startswith("127."):
            raise socket.gaierror(socket.EAI_NONAME, f"tests know no host but this one, and not {name}")
        return lookup(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", near_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", near_connect_ex)
    monkeypatch.setattr(socket, "getaddrinfo", near_lookup)
    yield
    monkeypatch.undo()


_test_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    # Not made: only whoever takes a lock does that.
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / f"state-{next(_test_numbers)}"))
    for name in list(os.environ):
        if (name.startswith("HERMES_") and name != "HERMES_TORTURE") or name in {"NO_COLOR", "OPENAI_API_KEY"}:
            monkeypatch.delenv(name)
