"""Locks on credentials: of all cores of one user, only one connects with the same account."""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

import msgspec

from core.api.base import PlatformName
from core.clock import Clock
from core.gateway.abilities import HasCredential
from core.gateway.platform import Platform, PlatformError, PlatformErrorKind
from core.process_state import Identity
from core.processes import is_alive, own_identity

_FOLDER = "hermes-console/locks"
_SIZE_LIMIT_BYTES = 4096
_RETRY_S = 15.0


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Who connects with an account. platform: name of the connection in its home. at: UTC seconds."""

    process: Identity
    home: str
    platform: str
    at: float


_owners = msgspec.json.Decoder(Owner)


def lock_folder(environ: Mapping[str, str]) -> Path:
    """Where the locks of all homes of this user are: below XDG_STATE_HOME, or the user's own folder."""
    state = environ.get("XDG_STATE_HOME", "")
    base = Path(state) if os.path.isabs(state) else Path("~/.local/state").expanduser()  # noqa: PTH117 - "" is none
    return base / _FOLDER


def lock_name(kind: str, identity: str) -> str:
    """The file of an account. Nobody can read the identity from it."""
    digest = hashlib.sha256(b"\0".join((kind.encode(), identity.encode()))).hexdigest()
    return f"{kind}-{digest[:32]}.lock"


class CredentialLocks:
    """Takes and returns the locks of one core. folder: None is the usual one."""

    def __init__(self, home: Path, clock: Clock, *, folder: Path | None = None) -> None:
        self._home = str(home.absolute())
        self._clock = clock
        self._folder = folder

    @asynccontextmanager
    async def lease(self, name: PlatformName) -> AsyncGenerator["Lease"]:
        """The lock of a connection for the time of a block: taken when it is first asked for, kept until the end."""
        lease = Lease(self, name)
        try:
            yield lease
        finally:
            if lease.was_asked:
                await asyncio.to_thread(lease.end)

    def take(self, name: PlatformName, kind: str, identity: str) -> IO[bytes]:
        """Take a lock, held while its file is open. Blocks.

        Raises PlatformError that names the holder, or says why none can be had.
        """
        folder = self._folder or lock_folder(os.environ)
        path = folder / lock_name(kind, identity)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            stream = os.fdopen(handle, "r+b")
            try:
                self._make_ours(stream, name, kind)
            except BaseException:
                stream.close()
                raise
        except OSError as error:
            raise PlatformError(
                PlatformErrorKind.RETRY_AFTER,
                f"no lock on the account: {path}: {error.strerror}; "
                "give yourself the right to write there, or set XDG_STATE_HOME",
                retry_after_s=_RETRY_S,
            ) from error
        return stream

    def _make_ours(self, stream: IO[bytes], name: PlatformName, kind: str) -> None:
        # The system lets go of it with the process. It also holds against a process that cannot be seen from here,
        # as one in another container.
        is_free = _locked(stream)
        owner = _owner(stream)
        if owner is not None and (not is_free or self._is_kept_by(owner, name)):
            raise _taken(owner, kind, self._home)
        if not is_free:
            raise PlatformError(
                PlatformErrorKind.RETRY_AFTER, "another core takes the account's lock right now", retry_after_s=1.0
            )
        mine = Owner(process=own_identity(), home=self._home, platform=name, at=self._clock.now())
        _write(stream, msgspec.json.encode(mine) + b"\n")

    def _is_kept_by(self, owner: Owner, name: PlatformName) -> bool:
        """Whether an owner is another one and alive: what a crash left behind, or an earlier boot, is nobody's."""
        is_own = owner.home == self._home and owner.platform == name and owner.process.pid == os.getpid()
        return not is_own and is_alive(owner.process)


class Lease:
    """The right of one connection to its account. was_asked: whether it may have the lock."""

    def __init__(self, locks: CredentialLocks, name: PlatformName) -> None:
        self._locks = locks
        self._name = name
        self._held: IO[bytes] | None = None
        self._is_over = False
        # Whoever takes it in a thread cannot be cancelled there, and may be late.
        self._is_free = threading.Lock()
        self.was_asked = False

    async def take(self, platform: Platform) -> None:
        """Have the lock from now on; nothing for an account that may be used many times. Raises PlatformError."""
        if self._held is None and isinstance(platform, HasCredential):
            self.was_asked = True
            await asyncio.to_thread(self._take, *platform.credential)

    def _take(self, kind: str, identity: str) -> None:
        with self._is_free:
            if not self._is_over:
                self._held = self._locks.take(self._name, kind, identity)

    def end(self) -> None:
        """Let it go for good. Blocks."""
        with self._is_free:
            self._is_over = True
            if self._held is not None:
                _give_back(self._held)


def _taken(owner: Owner, kind: str, home: str) -> PlatformError:
    where = f"connection {owner.platform} of this home" if owner.home == home else f"{owner.home} ({owner.platform})"
    return PlatformError(
        PlatformErrorKind.RETRY_AFTER,
        f"this {kind} account is in use by process {owner.process.pid} of {where}; stop that one first",
        retry_after_s=_RETRY_S,
        is_conflict=True,
        holder=f"process {owner.process.pid} of {where}",
    )


def _locked(stream: IO[bytes]) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _give_back(stream: IO[bytes]) -> None:
    """Let a lock go."""
    # The file stays: to remove it would let two hold two files of the same name. What cannot be emptied is
    # nobody's once this process has ended.
    with contextlib.suppress(OSError), stream:
        _write(stream, b"")


def _owner(stream: IO[bytes]) -> Owner | None:
    stream.seek(0)
    try:
        return _owners.decode(stream.read(_SIZE_LIMIT_BYTES))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _write(stream: IO[bytes], body: bytes) -> None:
    stream.seek(0)
    stream.truncate(0)
    stream.write(body)
    stream.flush()
