"""The one connection that writes: all batches that wait become one transaction, and one flush of the disk."""

from collections import deque

import apsw

from core.api.base import Seq
from core.api.errors import HermesError, StoreError
from core.clock import Clock
from core.store.base import Batch
from core.store.batch import Group
from core.store.sqlite_connection import SqliteConnection
from core.store.sqlite_file import OwnedFile
from core.store.sqlite_schema import (
    DROP_ROWS,
    PUT_ENTRIES,
    PUT_ROWS,
    READ_HEAD,
    READ_REVISIONS,
    entry_crc,
    row_crc,
    strides,
)
from core.store.sqlite_statement import number, run
from core.store.worker import Job

_WAITS_KEPT = 1000
_SIZE_EVERY_GROUPS = 64


class SqliteWriter:
    """Serves batches, and acts that must see every commit asked for before them.

    Works on one thread; its figures may be read from any.
    """

    def __init__(self, file: OwnedFile, connection: apsw.Connection, clock: Clock) -> None:
        self._file = file
        self._connection = SqliteConnection(file.path, file.connect, connection)
        self._clock = clock
        self.head = Seq(number(connection, READ_HEAD))
        # Runs ahead of `head` after a failed group: places that may have reached the disk are not used again.
        self._issued = self.head
        self.waits_s: deque[float] = deque(maxlen=_WAITS_KEPT)
        self.commit_count = 0
        self.group_count = 0
        self.size_bytes = file.size_bytes()

    def serve(self, jobs: list[Job]) -> None:
        """Do all jobs: first the batches in one transaction, then the acts."""
        batches = [job for job in jobs if isinstance(job.work, Batch)]
        if batches:
            self._serve_batches(batches)
        for job in jobs:
            if not isinstance(job.work, Batch):
                self._connection.serve(job)

    def end(self) -> None:
        """Close the connection, which moves the log into the file, and let go of the file."""
        try:
            self._connection.close()
        finally:
            self._file.release()

    def _serve_batches(self, jobs: list[Job]) -> None:
        try:
            self._write(jobs)
        except Exception as error:  # noqa: BLE001 -- every caller must hear of any fault
            failure = self._connection.failed(error)
            for job in jobs:
                # One error each: an exception collects the traces of all who raise it.
                job.error = StoreError(failure.message, **failure.facts)
            return
        now = self._clock.monotonic()
        self.waits_s.extend([now - job.asked_at for job in jobs[-_WAITS_KEPT:]])
        self.group_count += 1
        if self.group_count % _SIZE_EVERY_GROUPS == 1:
            self.size_bytes = self._file.size_bytes()

    def _write(self, jobs: list[Job]) -> None:
        connection = self._connection.opened()
        run(connection, "BEGIN IMMEDIATE")
        group = Group(_revisions(connection, jobs), self._issued)
        written = 0
        for job in jobs:
            try:
                job.result = group.add(job.work)
                written += 1
            except HermesError as error:
                job.error = error
        self._issued = group.head
        _write_rows(connection, group)
        _write_entries(connection, group)
        run(connection, "COMMIT")
        self.commit_count += written
        if group.entries:
            self.head = group.head


def _revisions(connection: apsw.Connection, jobs: list[Job]) -> dict[str, int]:
    keys = list({put.key: None for job in jobs for put in job.work.puts})
    found: dict[str, int] = {}
    for some in strides(keys):
        found.update((key, revision) for key, revision in run(connection, READ_REVISIONS[len(some)], some))
    return found


def _write_rows(connection: apsw.Connection, group: Group) -> None:
    gone: list[str] = []
    rows: list[tuple[str, int, bytes, int]] = []
    for key, (revision, body) in group.rows.items():
        if body is None:
            gone.append(key)
        else:
            rows.append((key, revision, body, row_crc(key.encode(), revision, body)))
    for keys in strides(gone):
        run(connection, DROP_ROWS[len(keys)], keys)
    for some in strides(rows):
        run(connection, PUT_ROWS[len(some)], [value for row in some for value in row])


def _write_entries(connection: apsw.Connection, group: Group) -> None:
    for some in strides(group.entries):
        values: list[int | str | bytes] = []
        for seq, subject, body in some:
            values += (seq, subject, body, entry_crc(seq, subject.encode(), body))
        run(connection, PUT_ENTRIES[len(some)], values)
