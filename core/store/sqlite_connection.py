"""A connection that is given up when the disk fails, and opened again when it is next needed."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from core.api.errors import HermesError
from core.store.sqlite_errors import from_apsw, store_error
from core.store.sqlite_statement import run
from core.store.worker import Job

Act = Callable[[apsw.Connection], Any]
"""Something to do on a connection; its result is what the caller waits for."""

_DISTRUSTED = (apsw.IOError, apsw.CorruptError, apsw.CantOpenError)


class SqliteConnection:
    """Belongs to one thread."""

    def __init__(self, path: Path, connect: Callable[[], apsw.Connection], first: apsw.Connection) -> None:
        self._path = path
        self._connect = connect
        self._current: apsw.Connection | None = first

    def opened(self) -> apsw.Connection:
        """The connection, opened again when it was given up. Raises StoreError."""
        if self._current is None:
            self._current = self._connect()
        return self._current

    def serve(self, job: Job) -> None:
        """Do an act and note what came of it."""
        act: Act = job.work
        try:
            job.result = act(self.opened())
        except Exception as error:  # noqa: BLE001 -- the caller must hear of any fault
            job.error = self.failed(error)

    def failed(self, error: Exception) -> HermesError:
        """Undo what is open, and say what happened.

        What SQLite remembers of a file is not trusted after a failure of the disk.
        """
        current = self._current
        failure: HermesError
        if isinstance(error, HermesError):
            failure = error
        elif isinstance(error, apsw.Error):
            failure = from_apsw(self._path, error, current)
        else:
            failure = store_error(self._path, "unreadable", f"unexpected {error!r}")
        if current is not None and (isinstance(error, _DISTRUSTED) or not _is_undone(current)):
            self._current = None
            with contextlib.suppress(apsw.Error):
                current.close(True)
        return failure

    def close(self) -> None:
        """Close it if it is open. The last one of a file moves the log into it."""
        current, self._current = self._current, None
        if current is not None:
            # On a disk that fails the log stays as it is; the next to open the file reads it.
            with contextlib.suppress(apsw.Error):
                current.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
                current.close(True)


def _is_undone(connection: apsw.Connection) -> bool:
    try:
        if connection.in_transaction:
            run(connection, "ROLLBACK")
    except apsw.Error:
        return False
    return True
