"""Hosts the core of a home in this process: lock, configuration, kernel, socket; signals end it in order."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec

from core.api.errors import ConfigError, StoreError
from core.api.processes import FailedStart
from core.api.system import GetHealth, HealthView
from core.attach.server import AttachServer
from core.clock import Clock, SystemClock
from core.config import FILE_NAME, Config, check, load
from core.home import HomeLock, prepare, socket_path
from core.kernel import Kernel
from core.process_state import CRASH_LOOP_STARTS, Phase
from core.process_status import Beat
from core.processes import own_identity
from core.settings import Settings, StoreSettings
from core.starts import Starts
from core.supervisor import Supervisor
from core.threaded import ThreadedHermes

_SOCKET_LIMIT_S = 2.0


async def open_core(home: Path, *, unsafe: bool = False) -> Kernel:
    """Start the core of a home on the running loop; closing it lets the home go.

    After a crash loop it is started in safe mode, unless unsafe. Raises HomeBusy, ConfigError or StoreError; then
    nothing runs and nothing is locked.
    """
    socket_path(home)
    await asyncio.to_thread(prepare, home)
    lock = HomeLock(home)
    await asyncio.to_thread(lock.acquire)
    try:
        kernel = await _Start(home, SystemClock()).carry_out(unsafe=unsafe)
    except BaseException:
        lock.release()
        raise
    kernel.at_close(lambda: asyncio.to_thread(lock.release))
    return kernel


async def open_quietly(home: Path) -> Kernel:
    """Open the core of a home for orders about what is stored. Raises as open_core does."""
    await asyncio.to_thread(prepare, home)
    lock = HomeLock(home)
    await asyncio.to_thread(lock.acquire)
    try:
        config = await asyncio.to_thread(load, home, os.environ)
        kernel = await Kernel.open(home, config, safe_mode="opened for one order")
    except BaseException:
        lock.release()
        raise
    kernel.at_close(lambda: asyncio.to_thread(lock.release))
    return kernel


class _Start:
    """One start of a home that is held: noted in the book of starts, and shown in the status file from its begin."""

    def __init__(self, home: Path, clock: Clock) -> None:
        self._home = home
        self._clock = clock
        self._starts = Starts(home, clock)
        self._beat = Beat(home, clock)
        # Apart from the core's own, which ends before the core has said its last word.
        self._pulse = Supervisor(clock, lambda _view, _error: None, lambda _name, _error: None)

    async def carry_out(self, *, unsafe: bool) -> Kernel:
        """Start the core, in safe mode when those before it went in a circle."""
        process = await asyncio.to_thread(own_identity)
        await self._beat.begin(process)
        self._pulse.start("status", self._beat.run)
        last = await asyncio.to_thread(self._starts.begin, process)
        try:
            if last is not None and not unsafe:
                kernel = await self._open_safely(last)
            else:
                kernel = await self._open()
                await asyncio.to_thread(self._starts.ready)
            await self._open_up(kernel)
        except BaseException as error:
            await self._failed(error)
            raise
        self._beat.drain = kernel.gateway.drains.while_draining
        kernel.at_close(lambda: self._ended(kernel))
        return kernel

    async def _open_up(self, kernel: Kernel) -> None:
        """Let others attach, and say that it runs. A kernel that nobody will get does not go on."""
        try:
            await _open_socket(kernel, self._home)
            await self._beat.say(Phase.RUNNING, safe_mode=kernel.safe_mode)
        except BaseException:
            await kernel.stop(0, "ended before it was ready")
            raise

    async def _open(self) -> Kernel:
        await self._step("configuration")
        config = await asyncio.to_thread(load, self._home, os.environ)
        return await Kernel.open(self._home, config, on_step=self._step)

    async def _open_safely(self, last: FailedStart) -> Kernel:
        """Open what can be looked at. Nothing is noted: the starts that failed still count."""
        await asyncio.to_thread(self._starts.withdraw)
        config = await asyncio.to_thread(_safe_config, self._home)
        why = _why_safe(last)
        try:
            return await Kernel.open(self._home, config, safe_mode=why)
        except (StoreError, ConfigError) as error:
            # Not even the store can be opened: an empty one in memory holds the socket open and says so.
            settings = msgspec.structs.replace(config.settings, store=StoreSettings(url="memory:"))
            config = msgspec.structs.replace(config, settings=settings)
            why += f"; what is stored cannot be shown: {error.message}"
            return await Kernel.open(self._home, config, safe_mode=why)

    async def _step(self, part: str) -> None:
        await asyncio.to_thread(self._starts.step, part)
        await self._beat.say(Phase.STARTING, step=part)

    async def _failed(self, error: BaseException) -> None:
        if isinstance(error, Exception):
            found = await asyncio.to_thread(self._starts.failed, error)
            await self._beat.end(Phase.FAILED, found.message)
        else:
            await asyncio.to_thread(self._starts.withdraw)
            await self._beat.end(Phase.STOPPED, "ended before it was ready")
        await self._pulse.stop(deadline_s=1.0)

    async def _ended(self, kernel: Kernel) -> None:
        drain = kernel.gateway.drains.view()
        await self._beat.end(Phase.STOPPED, drain.reason, drain)
        await self._pulse.stop(deadline_s=1.0)


def _safe_config(home: Path) -> Config:
    """The configuration as far as it can be used. Blocks."""
    config, errors = check(home, os.environ)
    problems = tuple(error.message for error in errors)
    return config or Config(Settings(), {}, home / FILE_NAME, problems=problems)


def _why_safe(last: FailedStart) -> str:
    """Why, and how to leave it."""
    part = f", while starting {last.part}" if last.part and last.code != "crashed" else ""
    return (
        f"{last.message}{part} - {CRASH_LOOP_STARTS} starts failed in a row, so nothing is taken in and no run begins; "
        "mend it and run `hermes-console gateway restart`, or try all the same with --unsafe"
    )


async def serve(home: Path, on_ready: Callable[[HealthView], None], *, unsafe: bool = False) -> int:
    """Run the core of a home until it is told to stop. Returns the exit code."""
    loop = asyncio.get_running_loop()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    is_told = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, _end_start, is_told, asyncio.current_task())
    try:
        kernel = await open_core(home, unsafe=unsafe)
    except asyncio.CancelledError:
        if is_told.is_set():
            return 0
        raise
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, kernel)
    on_ready(await kernel.query(GetHealth()))
    await kernel.stopped.wait()
    return 0


def _end_start(is_told: asyncio.Event, start: asyncio.Task[object] | None) -> None:
    is_told.set()
    if start is not None:
        start.cancel()


def _on_signal(kernel: Kernel) -> None:
    if kernel.is_closing:
        # Whoever asks twice means it.
        kernel.gateway.drains.hurry(0)
    else:
        kernel.supervisor.outlive("stop", _stop(kernel))


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
    return await kernel.stop(0.0 if kernel.is_closing else kernel.settings.core.drain_s, "signal")


async def _open_socket(kernel: Kernel, home: Path) -> None:
    server = AttachServer(kernel, socket_path(home), version=kernel.health.version)
    kernel.supervisor.start("attach", server.run)
    # Without the socket the core still works; its service view says what is wrong.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_SOCKET_LIMIT_S):
            await server.is_listening.wait()
