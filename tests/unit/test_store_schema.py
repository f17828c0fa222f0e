"""A store of an older version is given the present tables, with everything that is in it."""

import sqlite3
from pathlib import Path

import apsw
import pytest

from core.api.base import Seq
from core.api.errors import StoreError
from core.store import sqlite_file, sqlite_statement
from core.store.base import Batch, Entry, Put, Row
from core.store.sqlite_schema import SCHEMA, entry_crc, row_crc
from tests.support.stores import FILE, mailed, opened, records_of

FIRST = """
PRAGMA application_id=1213353299;
PRAGMA journal_mode=WAL;
CREATE TABLE meta(k TEXT PRIMARY KEY, v ANY) STRICT, WITHOUT ROWID;
CREATE TABLE rows(
    key TEXT PRIMARY KEY, revision INTEGER NOT NULL, body BLOB NOT NULL, crc INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE journal(
    seq INTEGER PRIMARY KEY, subject TEXT NOT NULL, body BLOB NOT NULL, crc INTEGER NOT NULL
) STRICT;
CREATE INDEX journal_subject ON journal(subject);
INSERT INTO meta VALUES ('schema', 1), ('floor', 2);
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a store as the first version left it: 40 rows, and entries 3 to 20."""
    connection = sqlite3.connect(tmp_path / FILE)
    connection.executescript(FIRST)
    for number in range(40):
        key, body = f"k{number:02d}", b"row %d" % number
        connection.execute("INSERT INTO rows VALUES (?, ?, ?, ?)", (key, 7, body, row_crc(key.encode(), 7, body)))
    for seq in range(3, 21):
        body = b"entry %d" % seq
        connection.execute("INSERT INTO journal VALUES (?, ?, ?, ?)", (seq, "s", body, entry_crc(seq, b"s", body)))
    connection.commit()
    connection.close()
    return tmp_path


def schema_of(home: Path) -> int:
    """The version that the file says of itself."""
    connection = sqlite3.connect(home / FILE)
    found: int = connection.execute("SELECT v FROM meta WHERE k = 'schema'").fetchone()[0]
    connection.close()
    return found


async def test_an_older_store_keeps_everything(home: Path) -> None:
    """Rows with their revisions, the journal with its places and its beginning; mail can be written."""
    assert schema_of(home) == 1
    for _ in range(2):
        store = await opened("sqlite", home)
        assert await store.scan("") == [Row(f"k{number:02d}", 7, b"row %d" % number) for number in range(40)]
        entries = await store.read(after=Seq(2))
        assert [(entry.seq, entry.body) for entry in entries] == [(seq, b"entry %d" % seq) for seq in range(3, 21)]
        assert await store.head() == 20
        assert (store.stats().mail_last, store.stats().losses) == (0, ())
        await store.close()
        assert schema_of(home) == SCHEMA
    store = await opened("sqlite", home)
    committed = await store.commit(Batch([Put("k00", b"new", expect=7)], [Entry("s", b"new")], [b"mail"]))
    assert (committed.revisions, committed.seqs, committed.place) == ((8,), (21,), 1)
    await store.close()
    store = await opened("sqlite", home)
    assert await records_of(store) == ["mail"]
    await store.close()


async def test_a_migration_happens_as_a_whole_or_not_at_all(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that fails half way leaves the old tables, and the next one succeeds."""
    run = sqlite_statement.run

    def fail_late(connection: apsw.Connection, statement: str) -> object:
        if statement.startswith("UPDATE meta"):
            raise apsw.FullError("played")
        return run(connection, statement)

    monkeypatch.setattr(sqlite_file, "run", fail_late)
    with pytest.raises(StoreError) as caught:
        await opened("sqlite", home)
    assert caught.value.facts["cause"] == "full"
    monkeypatch.undo()
    assert schema_of(home) == 1
    store = await opened("sqlite", home)
    assert await store.count("") == 40
    await store.commit(mailed("m"))
    await store.close()


async def test_two_new_stores_are_told_apart(tmp_path: Path) -> None:
    """Each has an epoch of its own, so that the mark of one is not believed of the other."""
    found: set[int] = set()
    for name in "abc":
        (tmp_path / name).mkdir()
        await (await opened("sqlite", tmp_path / name)).close()
        connection = sqlite3.connect(tmp_path / name / FILE)
        found.add(connection.execute("SELECT v FROM meta WHERE k = 'epoch'").fetchone()[0])
        connection.close()
    assert len(found) == 3
    assert all(0 <= epoch < 2**63 for epoch in found)
