"""The status file of a home: written by the core while it lives, believed only as far as its process proves it."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from core import __version__, atomic
from core.api.processes import DrainView, ProcessStanding, ProcessView
from core.clock import Clock
from core.home import LOCK_NAME, log_path, read_holder
from core.process_state import STALE_INTERVALS, Identity, Phase, Status, Verdict, judge
from core.processes import boot_id, is_alive
from core.starts import failed_starts

STATUS_NAME = "core.status.json"
INTERVAL_S = 2.0

_SIZE_LIMIT_BYTES = 1_048_576
_statuses = msgspec.json.Decoder(Status)


class Beat:
    """Writes the status of this process, at every change and every interval_s.

    drain: what a stop waits for, now; None while none goes on. Asked with every heartbeat.
    """

    def __init__(self, home: Path, clock: Clock, *, interval_s: float = INTERVAL_S) -> None:
        self._path = home / STATUS_NAME
        self._clock = clock
        self._interval_s = interval_s
        self._status: Status | None = None
        self._is_over = False
        self._is_free = asyncio.Lock()
        self.drain: Callable[[], DrainView | None] | None = None

    async def begin(self, process: Identity) -> None:
        """Say that this process starts."""
        now, mono = self._clock.now(), self._clock.monotonic()
        self._status = Status(
            process=process,
            phase=Phase.STARTING,
            version=__version__,
            interval_s=self._interval_s,
            started_at=now,
            started_mono=mono,
            heartbeat_at=now,
            heartbeat_mono=mono,
        )
        await self._write()

    async def say(self, phase: Phase, *, step: str = "", reason: str = "", safe_mode: str | None = None) -> None:
        """Say something new. safe_mode: None leaves it."""
        status = self._current
        self._status = msgspec.structs.replace(
            status,
            phase=phase,
            step=step,
            reason=reason,
            safe_mode=status.safe_mode if safe_mode is None else safe_mode,
        )
        await self._write()

    async def end(self, phase: Phase, reason: str, drain: DrainView | None = None) -> None:
        """Say the last word of this process; nothing is written after it."""
        self.drain = None
        self._status = msgspec.structs.replace(self._current, drain=drain)
        await self.say(phase, reason=reason)
        self._is_over = True

    async def run(self) -> None:
        """Write until cancelled. A loop that is stuck writes nothing, and so is found out."""
        while True:
            await self._clock.sleep(self._interval_s)
            drain = self.drain() if self.drain is not None else None
            if drain is not None:
                self._status = msgspec.structs.replace(
                    self._current, phase=Phase.DRAINING, reason=drain.reason, drain=drain
                )
            await self._write()

    @property
    def _current(self) -> Status:
        assert self._status is not None, "begin() comes first"
        return self._status

    async def _write(self) -> None:
        async with self._is_free:
            if self._is_over:
                return
            self._status = msgspec.structs.replace(
                self._current, heartbeat_at=self._clock.now(), heartbeat_mono=self._clock.monotonic()
            )
            body = msgspec.json.encode(self._status) + b"\n"
            await asyncio.to_thread(_written, self._path, body)


def _written(path: Path, body: bytes) -> None:
    # A core without a status file works; whoever reads says that it shows no life.
    with contextlib.suppress(OSError):
        atomic.write(path, body, is_kept=False)


def read_process(home: Path, clock: Clock) -> ProcessView:
    """How the core of a home stands. Asks the system and the files, never the core. Blocks."""
    status, fault = _read(home / STATUS_NAME)
    boot = boot_id()
    now, mono = clock.now(), clock.monotonic()
    found = judge(status, is_alive=status is not None and is_alive(status.process), boot=boot, now=now, mono=mono)
    holder = read_holder(home)
    if holder is not None and is_alive(holder) and (status is None or status.process != holder):
        return _silent(home, holder, now=now)
    if found.state is ProcessStanding.STOPPED and holder is not None and status is not None and is_alive(holder):
        # It has said its last word and lets the home go at any moment.
        found = msgspec.structs.replace(found, state=ProcessStanding.DRAINING)
    if fault:
        found = Verdict(ProcessStanding.CRASHED, fault, 0.0, 0.0)
    log = log_path(home)
    return ProcessView(
        home=str(home),
        state=found.state,
        pid=status.process.pid if status else 0,
        version=status.version if status else "",
        started_at=status.started_at if status else 0.0,
        age_s=found.age_s,
        heartbeat_at=status.heartbeat_at if status else 0.0,
        heartbeat_age_s=found.heartbeat_age_s,
        interval_s=status.interval_s if status else 0.0,
        step=status.step if status else "",
        reason=found.reason,
        safe_mode=status.safe_mode if status else "",
        drain=status.drain if status else None,
        failed_starts=failed_starts(home),
        log=str(log) if log.exists() else "",
    )


def _silent(home: Path, holder: Identity, *, now: float) -> ProcessView:
    """A process that holds the home and has written no status: it starts right now, or it cannot write."""
    try:
        age_s = max(0.0, now - (home / LOCK_NAME).stat().st_mtime)
    except OSError:
        age_s = 0.0
    is_late = age_s > STALE_INTERVALS * INTERVAL_S
    reason = f"process {holder.pid} holds the home and writes no status; is the disk full?" if is_late else ""
    return ProcessView(
        home=str(home),
        state=ProcessStanding.HUNG if is_late else ProcessStanding.STARTING,
        pid=holder.pid,
        age_s=age_s,
        heartbeat_age_s=age_s,
        interval_s=INTERVAL_S,
        reason=reason,
        failed_starts=failed_starts(home),
    )


def _read(path: Path) -> tuple[Status | None, str]:
    try:
        return _statuses.decode(atomic.read(path, _SIZE_LIMIT_BYTES)), ""
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"{path} cannot be read: {error.strerror or error}"
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None, f"{path} is damaged"
