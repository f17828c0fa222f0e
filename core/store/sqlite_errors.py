"""What SQLite and the disk complain about, as errors of the facade: where, why, and what helps."""

import errno
from pathlib import Path
from typing import Any

import apsw

from core.api.errors import HermesError, StoreError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_FIXES = {
    "locked": "end the other program that uses it, or name another file in store.url",
    "unreadable": "let this user read and write the file and its folder, and look at the health of the disk",
    "corrupt": "put a backup in its place, or move it away to begin anew",
    "full": "make room on this disk; the store goes on by itself",
    "io": "look at the health of the disk; what was being written may be there or not, so read before you repeat it",
    "newer_schema": "start the newer version that wrote it",
    "closed": "open it again",
}


def store_error(path: Path, cause: str, why: str, **facts: str | float) -> StoreError:
    """An error of the store with path, cause, fix, and further facts."""
    return StoreError(f"{path}: {why}", path=str(path), cause=cause, fix=_FIXES[cause], **facts)


def closed_error(path: Path) -> StoreError:
    """Asked for after close()."""
    return store_error(path, "closed", "the store is closed")


def damaged_row(path: Path, key: object) -> StoreError:
    """A row whose checksum is wrong."""
    name = key.decode(errors="replace") if isinstance(key, bytes) else str(key)
    return store_error(path, "corrupt", f"row {name} is damaged", key=name)


def damaged_entry(path: Path, seq: object) -> StoreError:
    """A journal entry whose checksum is wrong."""
    place = seq if isinstance(seq, int) else str(seq)
    return store_error(path, "corrupt", f"journal entry {place} is damaged", seq=place)


def from_apsw(path: Path, error: Exception, connection: apsw.Connection | None = None) -> StoreError:
    """The same failure in our words. connection: the one that failed, asked for the number of the system's error."""
    number = 0
    if connection is not None and isinstance(error, apsw.IOError | apsw.CantOpenError):
        number = connection.system_errno
    return store_error(path, _cause(error, number), str(error) or type(error).__name__)


def leaves_doubt(error: Exception, failure: HermesError) -> bool:
    """Whether nobody can say if the write that failed has reached the disk."""
    if not isinstance(error, apsw.IOError):
        return False
    # A write without room did not take place; a flush without room says nothing about what came before it.
    driver: Any = error
    return failure.facts.get("cause") != "full" or driver.extendedresult != apsw.SQLITE_IOERR_WRITE


def from_os(path: Path, error: OSError) -> StoreError:
    """A failure of the system, in our words."""
    cause = "full" if error.errno in _FULL else "unreadable"
    return store_error(path, cause, error.strerror or str(error))


def _cause(error: Exception, number: int) -> str:
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return "locked"
    if isinstance(error, apsw.CorruptError | apsw.NotADBError | apsw.SQLError):
        return "corrupt"
    if isinstance(error, apsw.FullError) or number in _FULL:
        return "full"
    return "unreadable"
