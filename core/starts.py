"""The starts of a home since the last one that became ready: what failed, and whether it fails in a circle."""

import contextlib
import hashlib
import os
import traceback
from collections.abc import Mapping
from pathlib import Path

import msgspec

from core import __version__, atomic
from core.api.errors import HermesError
from core.api.processes import FailedStart
from core.clock import Clock
from core.config import FILE_NAME
from core.config.loader import AGENTS_FOLDER, ENV_PREFIX
from core.process_state import Attempt, Identity, failed, looping
from core.processes import is_alive

STARTS_NAME = "core.starts.json"

_KEPT = 20
_SIZE_LIMIT_BYTES = 1_048_576
_TEXT_LIMIT = 500
_attempts = msgspec.json.Decoder(tuple[Attempt, ...])


def digest_of(home: Path, environ: Mapping[str, str]) -> str:
    """Of everything that a start reads and an operator can mend: files, variables, the program. Blocks."""
    found = hashlib.sha256(__version__.encode())
    names = [home / FILE_NAME, home / ".env", *sorted((home / AGENTS_FOLDER).glob("*.yaml"))]
    for path in names:
        with contextlib.suppress(OSError):
            found.update(b"\0" + path.name.encode() + b"\0" + atomic.read(path, _SIZE_LIMIT_BYTES))
    for name in sorted(environ):
        if name.startswith(ENV_PREFIX):
            found.update(f"\0{name}={environ[name]}".encode(errors="surrogateescape"))
    return found.hexdigest()[:32]


class Starts:
    """The book of one home. Only who holds the home writes it; all calls block."""

    def __init__(self, home: Path, clock: Clock) -> None:
        self._path = home / STARTS_NAME
        self._home = home
        self._clock = clock
        self._before: tuple[Attempt, ...] = ()
        self._own: Attempt | None = None

    def begin(self, process: Identity) -> FailedStart | None:
        """Note that a start begins. Returns the last failure when those before it were a crash loop."""
        digest = digest_of(self._home, os.environ)
        self._before = read_attempts(self._home)
        now, mono = self._clock.now(), self._clock.monotonic()
        self._own = Attempt(process=process, at=now, mono=mono, digest=digest)
        self._write()
        return looping(self._before, digest=digest, boot=process.boot, now=now, mono=mono)

    def step(self, part: str) -> None:
        """Note what is being started: should the process die now, it is known of what."""
        if self._own is not None:
            self._own = msgspec.structs.replace(self._own, part=part)
            self._write()

    def failed(self, error: BaseException) -> FailedStart:
        """Note why this start failed."""
        own = self._own
        part = own.part if own else ""
        at = own.at if own else self._clock.now()
        if isinstance(error, HermesError):
            fix = str(error.facts.get("fix") or "")
            found = FailedStart(at=at, part=part, code=error.code, message=error.message[:_TEXT_LIMIT], fix=fix)
        else:
            # The words of an unknown error may hold a secret; its type and place do not.
            message = f"failed with {type(error).__name__}{_place(error)}"
            found = FailedStart(at=at, part=part, code="internal", message=message)
        if own is not None:
            self._own = msgspec.structs.replace(own, failure=found)
            self._write()
        return found

    def withdraw(self) -> None:
        """Note that this start was ended by whoever began it: it says nothing about the next."""
        self._own = None
        self._write()

    def ready(self) -> None:
        """Note that the core is up: what failed before is over."""
        self._before, self._own = (), None
        self._write()

    def _write(self) -> None:
        kept = (*self._before, *([self._own] if self._own else []))[-_KEPT:]
        # The book helps; that it cannot be written must not keep a core from starting. It tells of processes that
        # died, and a process that dies takes nothing with it that was written: no step waits for the disk.
        with contextlib.suppress(OSError):
            atomic.write(self._path, msgspec.json.encode(kept) + b"\n", is_kept=False)


def _place(error: BaseException) -> str:
    """Where it was raised: file and line of the program."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" at {Path(*Path(frames[-1].filename).parts[-3:])}:{frames[-1].lineno}" if frames else ""


def read_attempts(home: Path) -> tuple[Attempt, ...]:
    """Starts that failed since the last one that became ready, oldest first; one that goes on is none. Blocks."""
    try:
        found = _attempts.decode(atomic.read(home / STARTS_NAME, _SIZE_LIMIT_BYTES))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return ()
    return tuple(item for item in found if item.failure is not None or not is_alive(item.process))


def failed_starts(home: Path) -> tuple[FailedStart, ...]:
    """The same, as shown."""
    return tuple(failed(item) for item in read_attempts(home))
