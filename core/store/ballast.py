"""Room held back on the disk, so that work can still be ended when nothing else can be written any more."""

import contextlib
import os
import threading
from pathlib import Path

BALLAST_BYTES = 16 * 1024 * 1024
"""What a store holds back unless it is told otherwise."""

PROBE_EVERY_S = 2.0
"""How often a full disk is looked at."""


class Ballast:
    """A file of a fixed size. `is_full` once it had to go, until it could be put back.

    size_bytes: 0 for none; then a full disk is nothing but an error for those who meet it.
    put() may be called on another thread than the rest.
    """

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path
        self._size_bytes = size_bytes
        self._lock = threading.Lock()
        self._looked_at = 0.0
        self.is_full = False

    def put(self) -> bool:
        """Take the room, if at least as much again stays free. Says whether it is held."""
        with self._lock:
            return not self.is_full and self._put()

    def release(self, now: float) -> bool:
        """Give the room away; from then on it is_full. False when there is none to be held at all."""
        if not self._size_bytes:
            return False
        with self._lock:
            self.is_full = True
            self._looked_at = now
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
        return True

    def look(self, now: float) -> None:
        """Once in a while, see whether the disk has room again; then take it back and end is_full."""
        if self.is_full and now - self._looked_at >= PROBE_EVERY_S:
            self._looked_at = now
            with self._lock:
                self.is_full = not self._put()

    def _put(self) -> bool:
        fresh = self._path.with_name(self._path.name + ".new")
        try:
            if self._is_held():
                return True
            self._path.unlink(missing_ok=True)
            if not self._size_bytes or free_bytes(self._path.parent) < 2 * self._size_bytes:
                return False
            fresh.unlink(missing_ok=True)
            _reserve(fresh, self._size_bytes)
            fresh.rename(self._path)
        except OSError:
            with contextlib.suppress(OSError):
                fresh.unlink()
            return False
        return True

    def _is_held(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            found = self._path.stat()
            # A copied file may have the size and hold no room.
            return found.st_size == self._size_bytes and found.st_blocks * 512 >= self._size_bytes > 0
        return False


def free_bytes(folder: Path) -> int:
    """Room on the disk of a folder."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _reserve(path: Path, size_bytes: int) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size_bytes)
    finally:
        os.close(descriptor)
