"""The store in one SQLite file: one thread writes in groups, a second one reads.

`get` goes to the writing thread, in order with the commits: what is loaded, decided and
committed never waits behind a list. Lists, counts and the journal are read on a connection of
their own, which sees one moment of the file while the writer goes on; so the longest scan stalls
no commit. A commit that has returned is seen by every read asked for after it.
"""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import apsw

from core.api.base import Seq
from core.clock import Clock
from core.store.ballast import Ballast
from core.store.base import Batch, Committed, Pack, Row, StoredEntry, StoreStats
from core.store.batch import check_batch, check_not_negative, check_text, key_range
from core.store.sqlite_connection import Act, SqliteConnection
from core.store.sqlite_errors import closed_error, from_apsw
from core.store.sqlite_file import own_file
from core.store.sqlite_mail import read_packs
from core.store.sqlite_reads import TRIM_STEP, count_rows, find_cutoff, get_row, read_entries, scan_rows, trim_step
from core.store.sqlite_writer import SqliteWriter
from core.store.worker import Job, Worker

_PERCENTILE = 0.99


async def open_sqlite(url: str, path: Path, clock: Clock, ballast_bytes: int) -> "SqliteStore":
    """Open the file, or make it. Raises StoreError, and then not a byte of it has changed."""
    ballast = Ballast(path.with_name(f"{path.name}.ballast"), ballast_bytes)
    writer, reader = await asyncio.to_thread(_open, path, clock, ballast)
    store = SqliteStore(url, path, writer, reader, clock)
    # In the background: a disk that cannot reserve room at once takes its time.
    store.reserve(ballast)
    return store


class SqliteStore:
    """Rows and a journal in one file with mode 0600; owned by one process at a time."""

    def __init__(self, url: str, path: Path, writer: SqliteWriter, reader: SqliteConnection, clock: Clock) -> None:
        self.url = url
        self._path = path
        self._clock = clock
        self._writer = writer
        self._reader = reader
        self._writes = Worker("store-writer", writer.serve, writer.end, writer.rest)
        self._reads = Worker("store-reader", self._serve_reads, self._reader.close)
        self._is_closed = False

    def reserve(self, ballast: Ballast) -> None:
        """Have the ballast put in place; nobody waits for it."""
        self._ask(self._reads, lambda _: ballast.put())

    async def get(self, key: str) -> Row | None:
        """The row, or None when there is none."""
        check_text(key, "key")
        row: Row | None = await self._ask(self._writes, get_row(self._path, key))
        return row

    async def scan(
        self, prefix: str, *, after: str = "", limit: int | None = None, newest_first: bool = False
    ) -> list[Row]:
        """Rows whose key starts with `prefix`, in the order of their keys' code points."""
        check_not_negative(limit, "limit")
        span = key_range(prefix, after, newest_first=newest_first)
        act = scan_rows(self._path, span, limit, newest_first=newest_first)
        rows: list[Row] = await self._ask(self._reads, act)
        return rows

    async def count(self, prefix: str) -> int:
        """How many rows have a key that starts with `prefix`."""
        number: int = await self._ask(self._reads, count_rows(key_range(prefix, "", newest_first=False)))
        return number

    def submit(self, batch: Batch) -> asyncio.Future[Committed]:
        """Ask for a commit now; the future ends when it is durable."""
        check_batch(batch)
        return self._ask(self._writes, batch)

    async def commit(self, batch: Batch) -> Committed:
        """Write all or nothing; returns when it is durable."""
        return await self.submit(batch)

    async def read(
        self,
        *,
        after: Seq | None = None,
        before: Seq | None = None,
        subject: str = "",
        limit: int = 500,
    ) -> list[StoredEntry]:
        """Journal entries in order."""
        check_not_negative(limit, "limit")
        check_text(subject, "subject")
        entries: list[StoredEntry] = await self._ask(
            self._reads, read_entries(self._path, after, before, subject, limit)
        )
        return entries

    async def head(self) -> Seq:
        """Place of the last entry; 0 when there is none."""
        self._check_open()
        return self._writer.head

    async def trim(self, keep: int) -> int:
        """Let go of all but the newest `keep` entries, in small steps between commits."""
        check_not_negative(keep, "keep")
        cutoff: int = await self._ask(self._reads, find_cutoff(keep))
        total, removed = 0, TRIM_STEP
        while removed == TRIM_STEP:
            removed = await self._ask(self._writes, trim_step(cutoff))
            total += removed
        return total

    async def read_packs(self, *, after: int = 0, limit_bytes: int = 1_048_576) -> list[Pack]:
        """Packs of the mail log beyond a place, in order."""
        check_not_negative(after, "after")
        check_not_negative(limit_bytes, "limit_bytes")
        act = read_packs(after, self._writer.mail_last, self._writer.lost, limit_bytes)
        packs: list[Pack] = await self._ask(self._reads, act)
        return packs

    def stats(self) -> StoreStats:
        """Counts since opening. size_bytes is as of one of the last groups."""
        self._check_open()
        waits_s = sorted(self._writer.waits_s.copy())
        return StoreStats(
            commit_count=self._writer.commit_count,
            group_count=self._writer.group_count,
            commit_p99_s=waits_s[int(len(waits_s) * _PERCENTILE)] if waits_s else 0.0,
            size_bytes=self._writer.size_bytes,
            head=self._writer.head,
            mail_first=self._writer.mail_floor + 1,
            mail_last=self._writer.mail_last,
            is_full=self._writer.is_full,
            losses=self._writer.lost,
        )

    async def close(self) -> None:
        """Finish what was asked for, then let go of the file. May be called twice."""
        self._is_closed = True
        # The writer last: only the last connection to close moves the log into the file.
        try:
            await self._reads.close()
        finally:
            await self._writes.close()

    def _ask(self, worker: Worker, work: Batch | Act) -> asyncio.Future[Any]:
        self._check_open()
        return worker.ask(work, self._clock.monotonic())

    def _check_open(self) -> None:
        if self._is_closed:
            raise closed_error(self._path)

    def _serve_reads(self, jobs: list[Job]) -> None:
        for job in jobs:
            self._reader.serve(job)


def _open(path: Path, clock: Clock, ballast: Ballast) -> tuple[SqliteWriter, SqliteConnection]:
    with contextlib.ExitStack() as undo:
        file = own_file(path)
        undo.callback(file.release)
        writing = file.connect()
        undo.callback(writing.close, True)
        reading = file.connect_reader()
        undo.callback(reading.close, True)
        try:
            writer = SqliteWriter(file, writing, clock, ballast)
        except apsw.Error as error:
            raise from_apsw(path, error, writing) from error
        undo.pop_all()
    return writer, SqliteConnection(path, file.connect_reader, reading)
