"""A SQLite store that cannot be opened: refused with a name for it, and not a byte is changed."""

import asyncio
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from core.api.errors import StoreError
from core.store.base import Batch, Entry, Put, Row
from tests.support.stores import AT_REST, FILE, files_in, opened, puts, told

BODY = b"marked-body-of-this-row"
TOLD = b"marked-body-of-this-entry"


async def made(home: Path, *, count: int = 0) -> None:
    """A store with a marked row and entry, and `count` more rows, closed again."""
    store = await opened("sqlite", home)
    await store.commit(Batch([Put("k", BODY)], [Entry("subject-of-it", TOLD)]))
    for number in range(count):
        await store.commit(Batch([Put(f"n/{number:04d}", b"x" * 900)], [Entry("s", b"y" * 300)]))
    await store.close()


async def refused(home: Path, cause: str) -> StoreError:
    """Opening fails with that cause, with all facts, and changes no file."""
    before = files_in(home)
    with pytest.raises(StoreError) as caught:
        await opened("sqlite", home)
    facts = caught.value.facts
    assert facts["path"] == str(home / FILE)
    assert facts["cause"] == cause
    assert facts["fix"]
    assert files_in(home) == before
    return caught.value


# ---------------------------------------------------------------- a good file


async def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    """The file and what stands beside it have mode 0600; a closed store is one file."""
    os.umask(0o022)
    store = await opened("sqlite", tmp_path)
    await store.commit(puts(k="v"))
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in files_in(tmp_path)}
    assert modes == dict.fromkeys([FILE, f"{FILE}-shm", f"{FILE}-wal", f"{FILE}.lock"], 0o600)
    await store.close()
    assert list(files_in(tmp_path)) == [FILE]


async def test_a_store_comes_back_as_it_was(tmp_path: Path) -> None:
    """Rows, revisions, journal, head and the beginning of the journal survive closing."""
    store = await opened("sqlite", tmp_path)
    await store.commit(puts(a="1", b="1"))
    await store.commit(puts(a="2"))
    await store.commit(told("x", "y", "z"))
    await store.trim(0)
    await store.close()
    store = await opened("sqlite", tmp_path)
    assert await store.scan("") == [Row("a", 2, b"2"), Row("b", 1, b"1")]
    assert store.stats().head == 3
    assert (await store.commit(told("w"))).seqs == (4,)
    await store.close()


async def test_looking_at_a_closed_store_changes_nothing(tmp_path: Path) -> None:
    """Opened and closed without a commit, the file is byte for byte the same."""
    await made(tmp_path)
    before = files_in(tmp_path)
    store = await opened("sqlite", tmp_path)
    assert await store.count("") == 1
    await store.close()
    assert files_in(tmp_path) == before


# ---------------------------------------------------------------- refused at the door


def make_newer(path: Path) -> sqlite3.Connection:
    """Give the store a schema from the future, and stay connected."""
    connection = sqlite3.connect(path)
    connection.execute("UPDATE meta SET v = 99 WHERE k = 'schema'")
    connection.commit()
    return connection


async def test_a_newer_schema_is_refused_untouched(tmp_path: Path) -> None:
    """Nothing changes and nothing is left beside the file."""
    await made(tmp_path)
    make_newer(tmp_path / FILE).close()
    assert list(files_in(tmp_path)) == AT_REST
    error = await refused(tmp_path, "newer_schema")
    assert error.facts["found"] == 99


async def test_a_newer_schema_in_the_log_is_refused_untouched(tmp_path: Path) -> None:
    """Also when a crash left the newer version in the log only: neither log nor file changes."""
    home, after_crash = tmp_path / "home", tmp_path / "after"
    home.mkdir()
    await made(home)
    connection = make_newer(home / FILE)
    shutil.copytree(home, after_crash)
    connection.close()
    for beside in (after_crash.glob("*-shm"), after_crash.glob("*-wal")):
        assert [part.stat().st_size > 0 for part in beside] == [True]
    await refused(after_crash, "newer_schema")
    (after_crash / f"{FILE}-shm").unlink()
    await refused(after_crash, "newer_schema")


@pytest.mark.parametrize("kept", [0, 1, 15, 16, 99, 100, 4095, 4096, 8192, -4096, -1])
async def test_a_truncated_file_is_refused(tmp_path: Path, kept: int) -> None:
    """Cut off at any place, from nothing left to the last byte missing."""
    await made(tmp_path, count=20)
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[:kept])
    await refused(tmp_path, "corrupt")


@pytest.mark.parametrize("body", [b"hello\n", b"\0" * 8192, b"SQLite format 3\0" + b"\xff" * 8192])
async def test_what_is_no_database_is_refused(tmp_path: Path, body: bytes) -> None:
    """Text, zeros, or nonsense behind the right first line."""
    (tmp_path / FILE).write_bytes(body)
    await refused(tmp_path, "corrupt")


async def test_the_database_of_another_program_is_refused(tmp_path: Path) -> None:
    """It is not ours to write into."""
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("CREATE TABLE meta(k, v)")
        connection.execute("INSERT INTO meta VALUES ('schema', 1)")
    connection.close()
    await refused(tmp_path, "unreadable")


@pytest.mark.parametrize("statement", ["DROP TABLE meta", "DELETE FROM meta", "UPDATE meta SET v = 'x'"])
async def test_a_file_without_its_version_is_refused(tmp_path: Path, statement: str) -> None:
    """It is ours, and damaged."""
    await made(tmp_path)
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute(statement)
    connection.close()
    await refused(tmp_path, "corrupt")


async def test_a_log_without_its_file_is_refused(tmp_path: Path) -> None:
    """A new file would take the old log for its own."""
    await made(tmp_path)
    (tmp_path / FILE).rename(tmp_path / f"{FILE}-wal")
    await refused(tmp_path, "corrupt")


async def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    """It cannot be read as a file, whoever asks."""
    (tmp_path / FILE).mkdir()
    with pytest.raises(StoreError) as caught:
        await opened("sqlite", tmp_path)
    assert caught.value.facts["cause"] == "unreadable"
    (tmp_path / FILE).rmdir()
    assert files_in(tmp_path) == {}


async def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    """Homes are made elsewhere, with the right mode."""
    with pytest.raises(StoreError) as caught:
        await opened("sqlite", tmp_path / "nowhere")
    assert caught.value.facts["cause"] == "unreadable"
    assert files_in(tmp_path) == {}


async def test_a_file_that_may_not_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may do anything, so the system's answer is played here."""
    await made(tmp_path)
    monkeypatch.setattr(os, "access", lambda *_args: False)
    await refused(tmp_path, "unreadable")


async def test_a_second_owner_is_refused(tmp_path: Path) -> None:
    """In the same process as in another one; when the first has closed, the file is free."""
    store = await opened("sqlite", tmp_path)
    await store.commit(puts(k="v"))
    await refused(tmp_path, "locked")
    await store.commit(puts(k="w"))
    await store.close()
    store = await opened("sqlite", tmp_path)
    assert await store.get("k") == Row("k", 2, b"w")
    await store.close()


FOREIGN = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
if sys.argv[2] == "changing":
    connection.execute("UPDATE rows SET revision = 5")
print("ready", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
print("done", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("state", ["holding", "changing"])
async def test_a_file_that_another_program_writes_is_refused(tmp_path: Path, state: str) -> None:
    """A foreign tool in the middle of a change; once that is over, the store opens beside it."""
    await made(tmp_path)
    command = [sys.executable, "-c", FOREIGN, str(tmp_path / FILE), state]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    child = await asyncio.create_subprocess_exec(*command, **pipes)
    assert child.stdin is not None
    assert child.stdout is not None
    assert await child.stdout.readline() == b"ready\n"
    before = files_in(tmp_path)
    with pytest.raises(StoreError) as caught:
        await opened("sqlite", tmp_path)
    assert caught.value.facts["cause"] == "locked"
    assert files_in(tmp_path)[FILE] == before[FILE]
    child.stdin.write(b"\n")
    assert await child.stdout.readline() == b"done\n"
    store = await opened("sqlite", tmp_path)
    assert await store.get("k") == Row("k", 1, BODY)
    await store.commit(puts(k="v"))
    await child.communicate(b"\n")
    await store.close()


async def test_a_lock_that_a_dead_owner_left_binds_nobody(tmp_path: Path) -> None:
    """Only a living process holds it."""
    await made(tmp_path)
    (tmp_path / f"{FILE}.lock").touch()
    store = await opened("sqlite", tmp_path)
    await store.close()
    assert list(files_in(tmp_path)) == AT_REST


async def test_half_a_new_file_is_no_obstacle(tmp_path: Path) -> None:
    """A crash while the first file was made leaves something under another name only."""
    (tmp_path / f"{FILE}.new").write_bytes(b"half")
    (tmp_path / f"{FILE}.new-wal").write_bytes(b"half")
    store = await opened("sqlite", tmp_path)
    await store.commit(puts(k="v"))
    await store.close()
    assert list(files_in(tmp_path)) == [FILE]
