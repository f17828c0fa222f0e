"""Tables of the SQLite store, and the checksums that its rows and entries carry."""

from collections.abc import Iterator
from typing import Any, TypeVar
from zlib import crc32

from core.api.base import Seq
from core.store.base import Row, StoredEntry

SCHEMA = 2
"""Version of the tables. A file with a greater one is refused."""

APPLICATION = 0x48524D53
"""Marks the file as one of ours."""

_MAIL = (
    """CREATE TABLE mail(
        place INTEGER PRIMARY KEY, heads BLOB NOT NULL, body BLOB NOT NULL, crc INTEGER NOT NULL
    ) STRICT""",
    # The epoch tells this file from any other that had or will have its name.
    "INSERT INTO meta VALUES ('mail_floor', x'000000000000000000000000'), ('epoch', random() & 0x7fffffffffff)",
)

TABLES = (
    f"PRAGMA application_id={APPLICATION}",
    "CREATE TABLE meta(k TEXT PRIMARY KEY, v ANY) STRICT, WITHOUT ROWID",
    """CREATE TABLE rows(
        key TEXT PRIMARY KEY, revision INTEGER NOT NULL, body BLOB NOT NULL, crc INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE journal(
        seq INTEGER PRIMARY KEY, subject TEXT NOT NULL, body BLOB NOT NULL, crc INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX journal_subject ON journal(subject)",
    f"INSERT INTO meta VALUES ('schema', {SCHEMA}), ('floor', 0)",  # noqa: S608
    *_MAIL,
)

MIGRATIONS = {1: (*_MAIL, "UPDATE meta SET v = 2 WHERE k = 'schema'")}
"""What takes tables of one version to the next one."""

READ_SCHEMA = "SELECT v FROM meta WHERE k = 'schema'"
READ_FLOOR = "SELECT v FROM meta WHERE k = 'floor'"
WRITE_FLOOR = "UPDATE meta SET v = ? WHERE k = 'floor'"
READ_HEAD = "SELECT max(coalesce((SELECT max(seq) FROM journal), 0), v) FROM meta WHERE k = 'floor'"

READ_EPOCH = "SELECT v FROM meta WHERE k = 'epoch'"

STRIDES = (256, 64, 16, 4, 1)
"""How many rows one statement writes: few different texts, so that each stays prepared."""

_Item = TypeVar("_Item")
_WORD = 0xFFFFFFFF


def _places(count: int, one: str) -> str:
    return ",".join([one] * count)


PUT_ROWS = {n: f"INSERT OR REPLACE INTO rows VALUES {_places(n, '(?,?,?,?)')}" for n in STRIDES}  # noqa: S608
PUT_ENTRIES = {n: f"INSERT INTO journal VALUES {_places(n, '(?,?,?,?)')}" for n in STRIDES}  # noqa: S608
DROP_ROWS = {n: f"DELETE FROM rows WHERE key IN ({_places(n, '?')})" for n in STRIDES}  # noqa: S608
READ_REVISIONS = {n: f"SELECT key, revision FROM rows WHERE key IN ({_places(n, '?')})" for n in STRIDES}  # noqa: S608


def strides(items: list[_Item]) -> Iterator[list[_Item]]:
    """The items in pieces whose lengths are all in STRIDES."""
    place = 0
    for stride in STRIDES:
        while len(items) - place >= stride:
            yield items[place : place + stride]
            place += stride


def row_crc(key: bytes, revision: int, body: bytes) -> int:
    """Checksum over all that a row says."""
    return crc32(body, crc32(key, revision & _WORD))


def entry_crc(seq: int, subject: bytes, body: bytes) -> int:
    """Checksum over all that an entry says."""
    return crc32(body, crc32(subject, seq & _WORD))


def find_row(key: Any, revision: Any, body: Any, crc: Any) -> Row | None:
    """The row, or None when what was read is not what was written."""
    # A damaged header may turn a value into one of another type.
    if type(key) is bytes and type(revision) is int and type(body) is bytes and crc == row_crc(key, revision, body):
        return Row(key.decode(), revision, body)
    return None


def find_entry(seq: Any, subject: Any, body: Any, crc: Any) -> StoredEntry | None:
    """The entry, or None when what was read is not what was written."""
    if type(subject) is bytes and type(body) is bytes and crc == entry_crc(seq, subject, body):
        return StoredEntry(Seq(seq), subject.decode(), body)
    return None
