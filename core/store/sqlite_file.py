"""Opening a store's file: looked at first without a touch, then owned by one program; made whole or not at all."""

import contextlib
import errno
import fcntl
import os
from pathlib import Path
from stat import S_ISREG
from urllib.parse import quote

import apsw

from core.api.errors import StoreError
from core.store.sqlite_errors import from_apsw, from_os, store_error
from core.store.sqlite_schema import APPLICATION, MIGRATIONS, READ_SCHEMA, SCHEMA, TABLES
from core.store.sqlite_statement import number, run

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_OPENING_BUSY_MS = 1000
_WORKING_BUSY_MS = 5000
_PRAGMAS = ("PRAGMA synchronous=FULL", "PRAGMA wal_autocheckpoint=250", "PRAGMA temp_store=MEMORY")


class OwnedFile:
    """The file of a store while this process owns it; a second owner is refused, also in this process."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    def connect(self) -> apsw.Connection:
        """The connection that writes; closed without more, it leaves log and file as they are. Raises StoreError."""
        connection: apsw.Connection | None = None
        try:
            connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE)
            _try_to_write(connection)
        except apsw.Error as error:
            raise _refused(self.path, error, connection) from error
        return connection

    def connect_reader(self) -> apsw.Connection:
        """A connection that only reads: SQLite's log lets it see a whole state while the other writes."""
        connection: apsw.Connection | None = None
        try:
            connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
            connection.set_busy_timeout(_WORKING_BUSY_MS)
            run(connection, "PRAGMA temp_store=MEMORY")
            run(connection, READ_SCHEMA)
        except apsw.Error as error:
            raise _refused(self.path, error, connection) from error
        return connection

    def beside(self, ending: str) -> Path:
        """The path of something that belongs to the file."""
        return _beside(self.path, ending)

    def size_bytes(self) -> int:
        """Of the file and its log."""
        size = 0
        for path in (self.path, _beside(self.path, "-wal")):
            with contextlib.suppress(OSError):
                size += path.stat().st_size
        return size

    def release(self) -> None:
        """Let another owner in. Connections must be closed before."""
        if self._lock >= 0:
            _beside(self.path, ".lock").unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = -1


def own_file(path: Path) -> OwnedFile:
    """Own a store's file, made anew when there is none.

    Raises StoreError (locked, unreadable, corrupt, full, newer_schema) and leaves the file as it was.
    """
    try:
        if not path.parent.is_dir():
            raise store_error(path, "unreadable", "its folder does not exist")
        owned = OwnedFile(path, _lock(path))
        try:
            _prepare(path)
        except BaseException:
            owned.release()
            raise
    except OSError as error:
        raise from_os(path, error) from error
    return owned


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _lock(path: Path) -> int:
    beside = _beside(path, ".lock")
    while True:
        lock = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if error.errno == errno.EWOULDBLOCK:
                raise store_error(path, "locked", "another core uses it") from error
            raise
        # Its last owner may have removed the file between our two calls: then this lock binds nobody.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), beside.stat()):
                return lock
        os.close(lock)


def _prepare(path: Path) -> None:
    if not path.exists():
        if _size(_beside(path, "-wal")):
            raise store_error(path, "corrupt", "the file is gone, but its log is there")
        _make(path)
        return
    if not S_ISREG(path.stat().st_mode):
        raise store_error(path, "unreadable", "it is not a file")
    if not os.access(path, os.R_OK | os.W_OK):
        raise store_error(path, "unreadable", "this user may not read and write it")
    _check_header(path)
    if _check_schema(path) < SCHEMA:
        _migrate(path)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _check_header(path: Path) -> None:
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    size = path.stat().st_size
    if header[: len(_MAGIC)] != _MAGIC[: len(header)] or not header:
        raise store_error(path, "corrupt", "it is empty" if not size else "it is not a database")
    if len(header) < _HEADER_BYTES:
        raise store_error(path, "corrupt", f"it is cut off after {size} bytes")
    page_bytes = int.from_bytes(header[16:18], "big")
    page_bytes = 65536 if page_bytes == 1 else page_bytes
    expected = page_bytes * int.from_bytes(header[28:32], "big")
    # With a log beside it the file may rightly be shorter: a checkpoint was under way.
    if size < expected and not _size(_beside(path, "-wal")):
        raise store_error(path, "corrupt", f"it is cut off after {size} of {expected} bytes")


def _check_schema(path: Path) -> int:
    application, schema = _look(path)
    if application != APPLICATION:
        raise store_error(path, "unreadable", "it is the database of another program")
    if not isinstance(schema, int) or schema < 1:
        raise store_error(path, "corrupt", "it does not say which version its tables have")
    if schema > SCHEMA:
        raise store_error(
            path, "newer_schema", f"its tables have version {schema}, known is {SCHEMA}", found=schema, known=SCHEMA
        )
    return schema


def _migrate(path: Path) -> None:
    """Give older tables the form of ours, all in one step or not at all."""
    connection: apsw.Connection | None = None
    try:
        connection = _untouching(path)
        _try_to_write(connection)
        with connection:
            for schema in range(number(connection, READ_SCHEMA), SCHEMA):
                for statement in MIGRATIONS[schema]:
                    run(connection, statement)
    except apsw.Error as error:
        raise _refused(path, error, connection) from error
    connection.close(True)


def _look(path: Path) -> tuple[object, object]:
    """Application and schema of the file, read so that neither it nor its log changes and nothing is left beside it."""
    connection: apsw.Connection | None = None
    try:
        if not _size(_beside(path, "-wal")):
            flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
            connection = apsw.Connection(f"file:{quote(str(path.absolute()))}?immutable=1", flags=flags)
            return _facts(connection)
        connection = _untouching(path)
        # Alone with the file, SQLite keeps the index of the log in memory and not in a third file.
        run(connection, "PRAGMA locking_mode=EXCLUSIVE")
        try:
            return _facts(connection)
        except apsw.BusyError:
            connection.close()
            connection = _untouching(path)
            return _facts(connection)
    except apsw.Error as error:
        raise from_apsw(path, error, connection) from error
    finally:
        if connection is not None:
            connection.close()


def _untouching(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    return connection


def _facts(connection: apsw.Connection) -> tuple[object, object]:
    application = number(connection, "PRAGMA application_id")
    if application != APPLICATION:
        return application, None
    found = run(connection, READ_SCHEMA)
    return application, found[0][0] if found else None


def _make(path: Path) -> None:
    """Build the file under another name and give it its own when it is whole."""
    fresh = _beside(path, ".new")
    parts = (fresh, *(_beside(fresh, ending) for ending in ("-wal", "-shm", "-journal")))
    connection: apsw.Connection | None = None
    try:
        for part in parts:
            part.unlink(missing_ok=True)
        os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        connection = apsw.Connection(str(fresh), flags=apsw.SQLITE_OPEN_READWRITE)
        # Can be said only before there is a table: free pages may go back to the disk, in steps.
        run(connection, "PRAGMA auto_vacuum=INCREMENTAL")
        run(connection, "PRAGMA journal_mode=WAL")
        with connection:
            for statement in TABLES:
                run(connection, statement)
        run(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        fresh.rename(path)
        _sync_folder(path.parent)
    except (apsw.Error, OSError) as error:
        failure = from_os(path, error) if isinstance(error, OSError) else from_apsw(path, error, connection)
        if connection is not None:
            connection.close(True)
        for part in parts:
            part.unlink(missing_ok=True)
        raise failure from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _try_to_write(connection: apsw.Connection) -> None:
    """Set up the connection; fails where a first commit would, and writes nothing."""
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.set_busy_timeout(_OPENING_BUSY_MS)
    for pragma in _PRAGMAS:
        run(connection, pragma)
    run(connection, "BEGIN IMMEDIATE")
    run(connection, "ROLLBACK")
    connection.set_busy_timeout(_WORKING_BUSY_MS)


def _refused(path: Path, error: apsw.Error, connection: apsw.Connection | None) -> StoreError:
    failure = from_apsw(path, error, connection)
    if connection is not None:
        with contextlib.suppress(apsw.Error):
            connection.close(True)
    return failure
