"""The one connection that writes: all batches that wait become one transaction, and one flush of the disk."""

import contextlib
from collections import deque

import apsw

from core.api.base import Seq
from core.api.errors import HermesError, StoreError
from core.clock import Clock
from core.store.ballast import Ballast
from core.store.base import Batch, Loss
from core.store.batch import Group
from core.store.sqlite_connection import SqliteConnection
from core.store.sqlite_errors import leaves_doubt, store_error
from core.store.sqlite_file import OwnedFile
from core.store.sqlite_group import read_revisions, write_group
from core.store.sqlite_rest import Rest
from core.store.sqlite_statement import run
from core.store.sqlite_stock import Stock, check_whole, take_stock
from core.store.watermark import Watermark, WatermarkFile
from core.store.worker import Job

_WAITS_KEPT = 1000
_SIZE_EVERY_GROUPS = 64


class SqliteWriter:
    """Serves batches, and acts that must see every commit asked for before them.

    Works on one thread; its figures may be read from any. head, mail_floor, mail_last: what is known to be
    on disk. lost: what was not there any more when the file was opened.
    """

    def __init__(self, file: OwnedFile, connection: apsw.Connection, clock: Clock, ballast: Ballast) -> None:
        self._file = file
        self._connection = SqliteConnection(file.path, file.connect, connection)
        self._clock = clock
        self._ballast = ballast
        mark_file = WatermarkFile(file.beside(".mark"))
        found = mark_file.read()
        self._epoch = 0
        self.head = Seq(0)
        self.mail_floor: int = 0
        self.mail_last = 0
        self.lost: tuple[Loss, ...] = ()
        self._take_over(take_stock(connection, found))
        self._is_in_doubt = False
        self._has_failed_full = False
        self._rest = Rest(mark_file, ballast, found or Watermark(self._epoch), clock.monotonic())
        self.waits_s: deque[float] = deque(maxlen=_WAITS_KEPT)
        self.commit_count = 0
        self.group_count = 0
        self.size_bytes = file.size_bytes()

    @property
    def is_full(self) -> bool:
        """Whether the disk had no room when it was last tried."""
        return self._ballast.is_full or self._has_failed_full

    @property
    def mark(self) -> Watermark:
        """What is known to be on disk."""
        return Watermark(self._epoch, self.head, self.mail_floor + 1, self.mail_last)

    def serve(self, jobs: list[Job]) -> None:
        """Do all jobs: first the batches in one transaction, then the acts."""
        batches = [job for job in jobs if isinstance(job.work, Batch)]
        if batches:
            self._serve_batches(batches)
        for job in jobs:
            if not isinstance(job.work, Batch):
                self._connection.serve(job)
        self._rest.is_due = True

    def rest(self) -> float | None:
        """What is done between jobs. Gives the seconds until there is more of it, None when there is none."""
        # What a doubtful group left behind is looked at when somebody asks next.
        connection = None if self._is_in_doubt else self._connection
        return self._rest.take(self._clock.monotonic(), self.mark, connection)

    def end(self) -> None:
        """Close the connection, which moves the log into the file, and let go of the file."""
        try:
            self._connection.close()
            self._rest.write_mark(self.mark)
        finally:
            self._file.release()

    def _serve_batches(self, jobs: list[Job]) -> None:
        self._ballast.look(self._clock.monotonic())
        if self._ballast.is_full:
            jobs = self._only_relief(jobs, store_error(self._file.path, "full", "the disk is full"))
        if not jobs:
            return
        was_in_doubt = self._is_in_doubt
        failure = self._try_to_write(jobs)
        if failure is not None and failure.facts["cause"] == "full":
            self._has_failed_full = True
            self._ballast.release(self._clock.monotonic())
            jobs = self._only_relief(jobs, failure)
            failure = self._try_to_write(jobs) if jobs else None
        if failure is not None:
            _fail(jobs, failure)
        if self._is_in_doubt and not was_in_doubt:
            # Whoever writes next tries again, and hears of it.
            with contextlib.suppress(StoreError):
                self._resolve_doubt()

    def _only_relief(self, jobs: list[Job], failure: StoreError) -> list[Job]:
        _fail([job for job in jobs if not job.work.is_relief], failure)
        return [job for job in jobs if job.work.is_relief]

    def _try_to_write(self, jobs: list[Job]) -> StoreError | None:
        try:
            self._write(jobs)
        except Exception as error:  # noqa: BLE001 -- every caller must hear of any fault
            failure = self._connection.failed(error)
            if leaves_doubt(error, failure):
                self._is_in_doubt = True
                failure = store_error(self._file.path, "io", failure.message.removeprefix(f"{self._file.path}: "))
            return StoreError(failure.message, **failure.facts)
        now = self._clock.monotonic()
        self.waits_s.extend([now - job.asked_at for job in jobs[-_WAITS_KEPT:]])
        self.group_count += 1
        if self.group_count % _SIZE_EVERY_GROUPS == 1:
            self.size_bytes = self._file.size_bytes()
        return None

    def _write(self, jobs: list[Job]) -> None:
        if self._is_in_doubt:
            self._resolve_doubt()
        connection = self._connection.opened()
        run(connection, "BEGIN IMMEDIATE")
        revisions = read_revisions(connection, [job.work for job in jobs])
        group = Group(revisions, self.head, self.mail_last, self.mail_floor)
        written = 0
        for job in jobs:
            job.error = None
            try:
                job.result = group.add(job.work)
                written += 1
            except HermesError as error:
                job.error = error
        write_group(connection, group)
        run(connection, "COMMIT")
        self.commit_count += written
        self.head = group.head
        self.mail_last = group.place
        self.mail_floor = group.mail_floor
        self._has_failed_full = self._ballast.is_full

    def _resolve_doubt(self) -> None:
        """Look at what has reached the file: it counts, and the next group goes above it. Raises StoreError."""
        try:
            connection = self._connection.opened()
            check_whole(self._file.path, connection)
            self._take_over(take_stock(connection, self.mark))
        except apsw.Error as error:
            raise self._connection.failed(error) from error
        self._is_in_doubt = False

    def _take_over(self, stock: Stock) -> None:
        self._epoch = stock.epoch
        self.head = stock.head
        self.mail_floor = stock.mail_floor
        self.mail_last = stock.mail_last
        self.lost += tuple(loss for loss in stock.lost if loss not in self.lost)


def _fail(jobs: list[Job], failure: StoreError) -> None:
    for job in jobs:
        # One error each: an exception collects the traces of all who raise it.
        job.error = StoreError(failure.message, **failure.facts)
