"""A disk in memory's hands: it loses power at a chosen moment, and fails or fills up on request.

While `Disk` is in force, SQLite works through it. What was written and not yet flushed is remembered beside what is
safe; `crash_at` ends it all at that write, flush, cut or removal. `wreck` then holds what a machine would find after
power came back: unflushed writes are there, gone, or there in part, sector by sector and each for itself.
"""

import contextlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw

_SECTOR_BYTES = 512
_NAME = "tests-disk"

Fault = Callable[[str, Path, int], Exception | None]
"""What an act (write, sync, cut, remove), a file's path and the place where a write ends meet with."""


def failed(code: int) -> Exception:
    """The exception for a result code of SQLite, such as apsw.SQLITE_IOERR_FSYNC."""
    return apsw.exception_for(code)


class _Image:
    """What of a file is safe, and what was done to it since."""

    def __init__(self, body: bytes, *, is_safe: bool) -> None:
        self.safe = bytearray(body)
        self.is_safe = is_safe
        self.is_removed = False
        # A write is a place and bytes; a cut is a length and None.
        self.since: list[tuple[int, bytes | None]] = []

    def flush(self) -> None:
        for place, body in self.since:
            _apply(self.safe, place, body)
        self.since.clear()
        self.is_safe = True

    def after_power_loss(self, dice: random.Random) -> bytes | None:
        """One of the states that may be found; None: no file."""
        if not self.is_safe and dice.random() < 0.5:
            return None
        if self.is_removed and dice.random() < 0.5:
            return None
        body = bytearray(self.safe)
        for place, part in self.since:
            fate = dice.random()
            if fate < 0.4:
                _apply(body, place, part)
            elif fate < 0.7 and part is not None:
                for first in range(0, len(part), _SECTOR_BYTES):
                    if dice.random() < 0.5:
                        _apply(body, place + first, part[first : first + _SECTOR_BYTES])
        return bytes(body)


def _apply(body: bytearray, place: int, part: bytes | None) -> None:
    if part is None:
        del body[place:]
        return
    body.extend(bytes(max(0, place - len(body))))
    body[place : place + len(part)] = part


class _File(apsw.VFSFile):
    def __init__(self, disk: "Disk", name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else name
        super().__init__("unix", name, flags)
        disk.opened(self._path)

    def excepthook(self, etype: Any, evalue: Any, etraceback: Any) -> bool:
        """What is played here is no news."""
        return True

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 -- the driver's name
        self._disk.act("write", self._path, offset, bytes(data))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 -- the driver's name
        self._disk.act("cut", self._path, newsize, None)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802 -- the driver's name
        # The real disk need not be kept waiting.
        self._disk.act("sync", self._path)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 -- the driver's name
        self._disk.check_power()
        return super().xRead(amount, offset)


class Disk(apsw.VFS):
    """All files that SQLite opens while it is in force; see `in_force`."""

    def __init__(self, *, crash_at: int = 0, fault: Fault | None = None, dice: random.Random | None = None) -> None:
        super().__init__(_NAME, "unix", makedefault=True)
        self._crash_at = crash_at
        self._dice = dice or random.Random(crash_at)
        self._images: dict[str, _Image] = {}
        self.fault = fault
        self.count = 0
        self.sync_count = 0
        self.wreck: dict[str, bytes] | None = None

    def excepthook(self, etype: Any, evalue: Any, etraceback: Any) -> bool:
        """What is played here is no news."""
        return True

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 -- the driver's name
        """A file that can fail."""
        self.check_power()
        return _File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 -- the driver's name
        """Gone at once; after a power loss it may be back, unless the folder was flushed."""
        self.act("remove", filename)
        super().xDelete(filename, syncdir)
        if filename in self._images and not syncdir:
            self._images[filename].is_removed = True
        else:
            self._images.pop(filename, None)

    def opened(self, path: str) -> None:
        """A file that was there before is safe."""
        image = self._images.get(path)
        if image is None or image.is_removed:
            body = Path(path).read_bytes()
            self._images[path] = _Image(body, is_safe=bool(body))

    def check_power(self) -> None:
        """Raises when there is none any more."""
        if self.wreck is not None:
            raise failed(apsw.SQLITE_IOERR)

    def act(self, what: str, path: str, place: int = 0, body: bytes | None = None) -> None:
        """Remember an act, or let it meet its fate."""
        self.check_power()
        self.count += 1
        image = self._images.get(path)
        if self.count == self._crash_at:
            if image is not None and what in {"write", "cut"}:
                image.since.append((place, body))
            self._crash()
        error = None if self.fault is None else self.fault(what, Path(path), place + len(body or b""))
        if error is not None:
            if image is not None and what == "sync":
                # As systems do it: what could not be flushed is forgotten, and the next flush says that all is well.
                image.since.clear()
            raise error
        if what == "sync":
            self.sync_count += 1
        if image is not None and what == "sync":
            image.flush()
        elif image is not None and what in {"write", "cut"}:
            image.since.append((place, body))

    def _crash(self) -> None:
        wreck: dict[str, bytes] = {}
        for path, image in self._images.items():
            body = image.after_power_loss(self._dice)
            if body is not None:
                wreck[Path(path).name] = body
            mark = Path(f"{path}.mark")
            if mark.exists():
                wreck[mark.name] = mark.read_bytes()
        self.wreck = wreck
        self.check_power()

    def cut_power(self) -> None:
        """Now, outside of any act."""
        with contextlib.suppress(apsw.IOError):
            self._crash()

    def lay_out(self, folder: Path) -> None:
        """Put what is left after the power loss into a folder."""
        assert self.wreck is not None
        for name, body in self.wreck.items():
            (folder / name).write_bytes(body)


@contextlib.contextmanager
def in_force(disk: Disk) -> Iterator[Disk]:
    """Give the disk back at the end; all that is open on it must be closed by then."""
    try:
        yield disk
    finally:
        disk.unregister()
