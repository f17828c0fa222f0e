"""The one door: a core in this process, or a core that runs elsewhere on this machine."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from core.api.errors import ConfigError
from core.api.port import Hermes
from core.api.system import ConfigView, GetHealth, HealthView
from core.clock import SystemClock
from core.config import FILE_NAME, check, load
from core.home import HomeLock, prepare, socket_path
from core.kernel import Kernel
from core.threaded import ThreadedHermes

_SOCKET_LIMIT_S = 2.0


def open_embedded(home: Path) -> ThreadedHermes:
    """Start the core of a home on a thread of its own. Blocks until it is open.

    Raises HomeBusy, ConfigError or StoreError; then nothing runs and nothing is locked.
    """
    return ThreadedHermes.start(lambda: _open(home))


def serve_forever(home: Path, *, on_ready: Callable[[HealthView], None]) -> int:
    """Run the core of a home until it is told to stop (SIGTERM, SIGINT, or a Shutdown command).

    Returns the exit code. A lost terminal does not stop it.
    """
    return asyncio.run(_serve(home, on_ready))


def stay(hermes: ThreadedHermes) -> int:
    """Go on without a screen, as `serve` does, until told to stop. Returns the exit code."""
    kernel = hermes.inner
    if not isinstance(kernel, Kernel):
        raise TypeError("only an embedded core can stay")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stopped = hermes.on_core(kernel.stopped.wait)

    def stop(_number: int, _frame: object) -> None:
        hermes.on_core(lambda: kernel.stop(kernel.settings.core.drain_s, "signal"))

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    stopped.result()
    hermes.stop()
    return 0


async def attach(home: Path) -> Hermes:
    """Connect to the core that runs on a home. Raises Unavailable when none does."""
    from core.attach.client import RemoteHermes

    return await RemoteHermes.connect(socket_path(home), SystemClock())


def prepare_demo(home: Path) -> None:
    """Write the configuration of the demo into a throw-away home. Blocks: call it off the loop."""
    prepare(home)
    text = resources.files("core").joinpath("demo.yaml").read_text(encoding="utf-8")
    (home / FILE_NAME).write_text(text, encoding="utf-8")


def attach_threaded(home: Path) -> ThreadedHermes:
    """The same on a thread of its own, for a screen. Blocks until it is attached; stop() leaves the core running."""
    return ThreadedHermes.start(lambda: attach(home), name="attached")


def read_config(home: Path) -> ConfigView:
    """The configuration of a home as a core would read it now. Raises ConfigError. Blocks."""
    return load(home, os.environ).view()


def config_errors(home: Path) -> tuple[ConfigError, ...]:
    """Everything that is wrong with the configuration of a home. Blocks."""
    return check(home, os.environ)[1]


async def _open(home: Path) -> Kernel:
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


async def _open_socket(kernel: Kernel, home: Path) -> None:
    from core.attach.server import AttachServer

    server = AttachServer(kernel, socket_path(home), version=kernel.health.version)
    kernel.supervisor.start("attach", server.run)
    # Without the socket the core still works; its service view says what is wrong.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_SOCKET_LIMIT_S):
            await server.is_listening.wait()


async def _serve(home: Path, on_ready: Callable[[HealthView], None]) -> int:
    kernel = await _open(home)
    loop = asyncio.get_running_loop()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(
            number,
            lambda: kernel.supervisor.outlive("stop", kernel.stop(kernel.settings.core.drain_s, "signal")),
        )
    on_ready(await kernel.query(GetHealth()))
    await kernel.stopped.wait()
    return 0
