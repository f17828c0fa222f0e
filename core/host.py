"""Hosts the core of a home in this process: lock, configuration, kernel, socket; signals end it in order."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

from core.api.system import GetHealth, HealthView
from core.attach.server import AttachServer
from core.config import load
from core.home import HomeLock, prepare, socket_path
from core.kernel import Kernel
from core.threaded import ThreadedHermes

_SOCKET_LIMIT_S = 2.0


async def open_core(home: Path) -> Kernel:
    """Start the core of a home on the running loop; closing it lets the home go.

    Raises HomeBusy, ConfigError or StoreError; then nothing runs and nothing is locked.
    """
    await asyncio.to_thread(prepare, home)
    lock = HomeLock(home)
    await asyncio.to_thread(lock.acquire)
    try:
        config = await asyncio.to_thread(load, home, os.environ)
        kernel = await Kernel.open(home, config)
    except BaseException:
        lock.release()
        raise
    kernel.at_close(lock.release)
    await _open_socket(kernel, home)
    return kernel


async def serve(home: Path, on_ready: Callable[[HealthView], None]) -> int:
    """Run the core of a home until it is told to stop. Returns the exit code."""
    kernel = await open_core(home)
    loop = asyncio.get_running_loop()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: kernel.supervisor.outlive("stop", _stop(kernel)))
    on_ready(await kernel.query(GetHealth()))
    await kernel.stopped.wait()
    return 0


def stay(hermes: ThreadedHermes) -> int:
    """Go on without a screen until told to stop. Returns the exit code."""
    kernel = hermes.inner
    if not isinstance(kernel, Kernel):
        raise TypeError("only an embedded core can stay")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stopped = hermes.on_core(kernel.stopped.wait)

    def stop(_number: int, _frame: object) -> None:
        hermes.on_core(lambda: _stop(kernel))

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    stopped.result()
    hermes.stop()
    return 0


async def _stop(kernel: Kernel) -> int:
    return await kernel.stop(kernel.settings.core.drain_s, "signal")


async def _open_socket(kernel: Kernel, home: Path) -> None:
    server = AttachServer(kernel, socket_path(home), version=kernel.health.version)
    kernel.supervisor.start("attach", server.run)
    # Without the socket the core still works; its service view says what is wrong.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_SOCKET_LIMIT_S):
            await server.is_listening.wait()
