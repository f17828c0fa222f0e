"""What is asked of the SQLite store besides commits, as acts on a connection; nothing damaged is handed out."""

from pathlib import Path
from typing import Any

import apsw

from core.api.base import Seq
from core.api.errors import Lagged
from core.store.base import Row, StoredEntry
from core.store.batch import KeyRange
from core.store.sqlite_connection import Act
from core.store.sqlite_errors import damaged_entry, damaged_row
from core.store.sqlite_schema import READ_FLOOR, WRITE_FLOOR, find_entry, find_row
from core.store.sqlite_statement import number, run

TRIM_STEP = 500
"""Entries that one step of a trim removes."""

# Text as bytes: damaged text could not be read at all, and then nothing would say where it stands.
_ROW = "SELECT CAST(key AS BLOB), revision, body, crc FROM rows"
_ENTRY = "SELECT seq, CAST(subject AS BLOB), body, crc FROM journal"

_NO_LIMIT = -1
_GREATEST = 2**63 - 1


def _limit(limit: int | None) -> int:
    return _NO_LIMIT if limit is None else min(limit, _GREATEST)


def get_row(path: Path, key: str) -> Act:
    """The row of a key, or None."""

    def act(connection: apsw.Connection) -> Row | None:
        found = run(connection, f"{_ROW} WHERE key = ?", (key,))
        return _row(path, *found[0]) if found else None

    return act


def scan_rows(path: Path, span: KeyRange, limit: int | None, *, newest_first: bool) -> Act:
    """The rows of a range of keys, all of one moment."""
    where, values = _where(span)
    order = "DESC" if newest_first else "ASC"
    query = f"{_ROW} WHERE {where} ORDER BY key {order} LIMIT ?"

    def act(connection: apsw.Connection) -> list[Row]:
        return [_row(path, *found) for found in run(connection, query, (*values, _limit(limit)))]

    return act


def count_rows(span: KeyRange) -> Act:
    """How many rows there are in a range of keys."""
    where, values = _where(span)

    def act(connection: apsw.Connection) -> int:
        return number(connection, f"SELECT count(*) FROM rows WHERE {where}", values)  # noqa: S608

    return act


def read_entries(path: Path, after: Seq | None, before: Seq | None, subject: str, limit: int) -> Act:
    """Journal entries in order."""
    wheres = ["seq > ?"] if after is not None else []
    values: list[int | str] = [_bounded(after)] if after is not None else []
    if before is not None:
        wheres.append("seq < ?")
        values.append(_bounded(before))
    if subject:
        wheres.append("subject = ?")
        values.append(subject)
    where = " AND ".join(wheres) or "true"
    order = "DESC" if after is None else "ASC"
    query = f"{_ENTRY} WHERE {where} ORDER BY seq {order} LIMIT ?"

    def act(connection: apsw.Connection) -> list[StoredEntry]:
        # One transaction, so that no trim comes between the question of what is kept and the reading.
        run(connection, "BEGIN")
        if after is not None:
            _check_kept(connection, after)
        found = run(connection, query, (*values, _limit(limit)))
        run(connection, "COMMIT")
        if after is None:
            found.reverse()
        return [_entry(path, *entry) for entry in found]

    return act


def find_cutoff(keep: int) -> Act:
    """Place of the newest entry that is not among the newest `keep`; 0 when all are."""

    def act(connection: apsw.Connection) -> int:
        query = "SELECT coalesce((SELECT seq FROM journal ORDER BY seq DESC LIMIT 1 OFFSET ?), 0)"
        return number(connection, query, (_limit(keep),))

    return act


def trim_step(cutoff: int) -> Act:
    """Remove up to TRIM_STEP of the oldest entries, none beyond the cutoff. Gives how many went."""

    def act(connection: apsw.Connection) -> int:
        oldest = "SELECT seq FROM journal WHERE seq <= ? ORDER BY seq LIMIT ?"
        run(connection, "BEGIN IMMEDIATE")
        last = number(connection, f"SELECT coalesce(max(seq), 0) FROM ({oldest})", (cutoff, TRIM_STEP))  # noqa: S608
        run(connection, "DELETE FROM journal WHERE seq <= ?", (last,))
        removed = connection.changes()
        if removed:
            run(connection, WRITE_FLOOR, (last,))
        run(connection, "COMMIT")
        return removed

    return act


def _where(span: KeyRange) -> tuple[str, tuple[str, ...]]:
    low = "key >= ?" if span.is_low_included else "key > ?"
    if span.high is None:
        return low, (span.low,)
    return f"{low} AND key < ?", (span.low, span.high)


def _bounded(seq: Seq) -> int:
    return max(-_GREATEST, min(seq, _GREATEST))


def _check_kept(connection: apsw.Connection, after: Seq) -> None:
    floor = number(connection, READ_FLOOR)
    if after < floor:
        raise Lagged(f"the journal begins behind {floor}, not {after}", after=after, floor=floor)


def _row(path: Path, key: Any, revision: Any, body: Any, crc: Any) -> Row:
    row = find_row(key, revision, body, crc)
    if row is None:
        raise damaged_row(path, key)
    return row


def _entry(path: Path, seq: Any, subject: Any, body: Any, crc: Any) -> StoredEntry:
    entry = find_entry(seq, subject, body, crc)
    if entry is None:
        raise damaged_entry(path, seq)
    return entry
