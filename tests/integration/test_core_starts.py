"""A start that does not get through leaves nothing behind that runs."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from core import host
from core.api.errors import ConfigError
from core.api.processes import ProcessStanding
from core.clock import SystemClock
from core.home import HomeLock
from core.kernel import Kernel
from core.process_status import read_process


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Kernel]:
    """Every kernel that a start has opened."""
    found: list[Kernel] = []
    open_kernel = Kernel.open

    async def opening(*args: Any, **kwargs: Any) -> Kernel:
        kernel = await open_kernel(*args, **kwargs)
        found.append(kernel)
        return kernel

    monkeypatch.setattr(Kernel, "open", opening)
    return found


async def test_a_home_whose_socket_cannot_be_is_refused_before_anything_runs(
    tmp_path: Path, opened: list[Kernel]
) -> None:
    """A path that is too long for a socket: no connection is made, and not even the home."""
    home = tmp_path / ("x" * 120)
    with pytest.raises(ConfigError, match="too long"):
        await host.open_core(home)
    assert opened == []
    assert not home.exists()


async def test_a_start_that_is_ended_at_its_last_step_stops_what_runs(
    tmp_path: Path, opened: list[Kernel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The home is free again, and nothing in it counts as a failed start."""
    waits = asyncio.Event()

    async def for_ever(_kernel: Kernel, _home: Path) -> None:
        waits.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(host, "_open_socket", for_ever)
    home = tmp_path / "home"
    start = asyncio.create_task(host.open_core(home))
    async with asyncio.timeout(20):
        await waits.wait()
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
    assert [kernel.stopped.is_set() for kernel in opened] == [True]
    found = await asyncio.to_thread(read_process, home, SystemClock())
    assert (found.state, found.failed_starts) == (ProcessStanding.STOPPED, ())
    lock = HomeLock(home)
    await asyncio.to_thread(lock.acquire)
    lock.release()


async def test_a_heartbeat_looks_at_runs_only_while_a_stop_waits_for_them(tmp_path: Path) -> None:
    """Every two seconds all sessions in memory would be too many."""
    kernel = await host.open_core(tmp_path / "home")
    try:
        drains = kernel.gateway.drains
        assert drains.while_draining() is None
        drains.begin(0.0, "test")
        told = drains.while_draining()
        assert told is not None
        assert told.is_draining
    finally:
        await kernel.stop(0, "the test is over")
