"""A folder on a disk of a few megabytes: a real one where this user may mount it, otherwise a played one."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from core.store import ballast
from tests.support.disks import Disk, failed, in_force

DISK_BYTES = 8 * 1024 * 1024
_FILLER = "filler"


class SmallDisk:
    """folder: where a store can be. take() and give() make room scarce and plenty."""

    def __init__(self, folder: Path, free_bytes: Callable[[], int]) -> None:
        self.folder = folder
        self.free_bytes = free_bytes

    def take(self, *, but_bytes: int) -> None:
        """Fill it, but for so many bytes."""
        with (self.folder / _FILLER).open("wb") as file:
            file.write(bytes(max(0, self.free_bytes() - but_bytes)))

    def give(self) -> None:
        """Let go of what was taken."""
        (self.folder / _FILLER).unlink()


@contextlib.contextmanager
def mounted(folder: Path) -> Iterator[SmallDisk | None]:
    """A file system of its own; None where this user may not mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    try:
        is_mounted = subprocess.run(command, capture_output=True, check=False, timeout=10).returncode == 0
    except OSError:
        is_mounted = False
    try:
        yield SmallDisk(folder, lambda: ballast.free_bytes(folder)) if is_mounted else None
    finally:
        if is_mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True, timeout=10)


def _size(path: Path) -> int:
    # A file may be moved in place of another between the two looks.
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


@contextlib.contextmanager
def played(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallDisk]:
    """A folder that seems to have no more room, for SQLite and for who asks.

    Only the log is refused: an exception while it is moved into the file would reach a commit that has succeeded.
    """
    folder.mkdir(exist_ok=True)

    def free_bytes(_: Path = folder) -> int:
        return DISK_BYTES - sum(map(_size, folder.iterdir()))

    def refuse(what: str, path: Path, end: int) -> Exception | None:
        growth = end - path.stat().st_size if what == "write" and path.name.endswith("-wal") else 0
        return failed(apsw.SQLITE_FULL) if growth > max(0, free_bytes()) else None

    monkeypatch.setattr(ballast, "free_bytes", free_bytes)
    with in_force(Disk(fault=refuse)):
        yield SmallDisk(folder, free_bytes)
