"""A SQLite store whose bytes, room or disk fail while it is used: an error with its cause, never wrong bytes."""

import asyncio
import random
import threading
from pathlib import Path
from typing import Any

import apsw
import pytest

from core.api.base import Seq
from core.api.errors import StoreError
from core.store.base import Batch, Entry, Put, Row, Store
from core.store.sqlite import SqliteStore
from tests.support.stores import AT_REST, FILE, files_in, fill, keys_of, opened, put, puts, start_program, told

BODY = b"marked-body-of-this-row"
TOLD = b"marked-body-of-this-entry"


async def made(home: Path, *, count: int = 0) -> None:
    """A store with a marked row and entry, and `count` more rows, closed again."""
    store = await opened("sqlite", home)
    await store.commit(Batch([Put("k", BODY)], [Entry("subject-of-it", TOLD)]))
    for number in range(count):
        await store.commit(Batch([Put(f"n/{number:04d}", b"x" * 900)], [Entry("s", b"y" * 300)]))
    await store.close()


def flip(path: Path, marked: bytes, bit: int = 1) -> None:
    """Flip one bit in the middle of some bytes, where they first stand in the file: tables come before their index."""
    body = bytearray(path.read_bytes())
    body[body.index(marked) + len(marked) // 2] ^= bit
    path.write_bytes(body)


# ---------------------------------------------------------------- damage inside


@pytest.mark.parametrize("bit", [1, 128])
async def test_a_damaged_row_is_named(tmp_path: Path, bit: int) -> None:
    """Neither get nor scan gives wrong bytes; other rows can be read."""
    await made(tmp_path, count=3)
    flip(tmp_path / FILE, BODY, bit)
    store = await opened("sqlite", tmp_path)
    for question in (store.get("k"), store.scan("k")):
        with pytest.raises(StoreError) as caught:
            await question
        assert (caught.value.facts["cause"], caught.value.facts["key"]) == ("corrupt", "k")
    assert await keys_of(store, "n/") == ["n/0000", "n/0001", "n/0002"]
    await store.commit(put("k", "mended"))
    assert await store.get("k") == Row("k", 2, b"mended")
    await store.close()


@pytest.mark.parametrize("marked", [TOLD, b"subject-of-it"])
@pytest.mark.parametrize("bit", [1, 128])
async def test_a_damaged_entry_is_named(tmp_path: Path, marked: bytes, bit: int) -> None:
    """In its body or in its subject, where half a character may be the result; later ones can be read."""
    await made(tmp_path, count=3)
    flip(tmp_path / FILE, marked, bit)
    store = await opened("sqlite", tmp_path)
    with pytest.raises(StoreError) as caught:
        await store.read(after=Seq(0))
    assert (caught.value.facts["cause"], caught.value.facts["seq"]) == ("corrupt", 1)
    assert [entry.seq for entry in await store.read(after=Seq(1))] == [2, 3, 4]
    await store.close()


async def test_no_flipped_bit_gives_wrong_bytes(tmp_path: Path) -> None:
    """Wherever it is: an error, or what was written."""
    await made(tmp_path, count=30)
    store = await opened("sqlite", tmp_path)
    rows, entries = await store.scan(""), await store.read(after=Seq(0))
    await store.close()
    whole = (tmp_path / FILE).read_bytes()
    dice = random.Random(7)
    errors = 0
    for _ in range(120):
        spoiled = bytearray(whole)
        spoiled[dice.randrange(len(whole))] ^= 1 << dice.randrange(8)
        (tmp_path / FILE).write_bytes(spoiled)
        try:
            store = await opened("sqlite", tmp_path)
        except StoreError:
            errors += 1
            continue
        for question, truth in ((store.scan(""), rows), (store.read(after=Seq(0)), entries)):
            try:
                assert [found for found in await question if found not in truth] == []
            except StoreError:
                errors += 1
        await store.close()
    assert errors > 30


# ---------------------------------------------------------------- a full disk


async def on_writer(store: Store, statement: str) -> Any:
    """Run SQL on the connection that writes."""

    def act(connection: apsw.Connection) -> Any:
        return connection.execute(statement).fetchall()[0][0]

    assert isinstance(store, SqliteStore)
    return await store._ask(store._writes, act)


async def test_a_full_file_stops_commits_until_there_is_room(tmp_path: Path) -> None:
    """SQLite's own bound plays the full disk: the group fails, reads go on, and so do commits when it is lifted."""
    store = await opened("sqlite", tmp_path)
    await fill(store, ["a", "b"])
    pages = await on_writer(store, "PRAGMA page_count")
    await on_writer(store, f"PRAGMA max_page_count={pages + 4}")
    asked = [store.submit(Batch([Put(f"k{number}", b"x" * 3000)], [Entry("s", b"")])) for number in range(20)]
    asked.append(store.submit(put("a", "new", expect=7)))
    for future in asked:
        with pytest.raises(StoreError) as caught:
            await future
        assert caught.value.facts["cause"] == "full"
        assert caught.value.facts["path"] == str(tmp_path / FILE)
    assert await keys_of(store, "") == ["a", "b"]
    assert await store.head() == 0
    assert await store.read() == []
    await store.commit(puts(small="fits"))
    assert await store.head() == 0
    await on_writer(store, "PRAGMA max_page_count=1000000")
    committed = await store.commit(Batch([Put("k", b"x" * 30_000)], [Entry("s", b"e")]))
    assert [entry.seq for entry in await store.read()] == list(committed.seqs)
    await store.close()
    store = await opened("sqlite", tmp_path)
    assert await keys_of(store, "") == ["a", "b", "k", "small"]
    await store.close()


def said(act: str, home: Path) -> list[str]:
    """What one of the programs said until its end."""
    child = start_program(act, home)
    speech, _ = child.communicate(timeout=50)
    assert child.returncode == 0
    return speech.decode().splitlines()


def test_a_disk_that_fills_up_loses_nothing(tmp_path: Path) -> None:
    """What was acknowledged is there, the error says why, and the service goes on when there is room."""
    first, second, last = said("fill", tmp_path)
    _, count, cause, there, head = first.split()
    assert cause == "full"
    assert int(count) > 10
    assert count == there == head
    assert second.split()[1:4] == [count, cause, count]
    assert last == f"went on {int(count) + 10} {int(count) + 10} True"
    assert list(files_in(tmp_path)) == AT_REST


async def test_no_room_for_a_new_file(tmp_path: Path) -> None:
    """Nothing half made is left."""
    assert said("open", tmp_path) == ["refused full"]
    assert files_in(tmp_path) == {}


async def test_no_room_beside_a_file(tmp_path: Path) -> None:
    """The file that is there stays as it is, and opens when there is room."""
    await made(tmp_path, count=5)
    before = files_in(tmp_path)
    assert said("open", tmp_path) == ["refused full"]
    assert files_in(tmp_path)[FILE] == before[FILE]
    store = await opened("sqlite", tmp_path)
    assert await store.count("") == 6
    await store.close()


# ---------------------------------------------------------------- a failing disk


async def test_after_a_failure_of_the_disk_the_file_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group that met it fails, the connection is not trusted any more, the next group succeeds."""
    store = await opened("sqlite", tmp_path)
    await store.commit(told("before"))

    def fail(connection: apsw.Connection) -> None:
        raise apsw.IOError("played")

    assert isinstance(store, SqliteStore)
    former = store._writer._connection._current
    with pytest.raises(StoreError) as caught:
        await store._ask(store._writes, fail)
    assert caught.value.facts["cause"] in {"unreadable", "full"}
    assert (await store.commit(told("after"))).seqs == (2,)
    assert store._writer._connection._current is not former
    with pytest.raises(StoreError):
        await store._ask(store._reads, fail)
    assert [entry.body for entry in await store.read()] == [b"before", b"after"]
    await store.close()
    assert list(files_in(tmp_path)) == AT_REST


# ---------------------------------------------------------------- how it works


async def test_every_commit_waits_for_the_disk(tmp_path: Path) -> None:
    """The settings that keep an acknowledged commit over a power cut are in force, also after opening again."""
    await made(tmp_path)
    store = await opened("sqlite", tmp_path)
    assert await on_writer(store, "PRAGMA synchronous") == 2
    assert await on_writer(store, "PRAGMA journal_mode") == "wal"
    await store.close()


async def test_a_long_scan_stalls_no_change(tmp_path: Path) -> None:
    """While the reading thread is busy, rows are loaded and commits are written."""
    store = await opened("sqlite", tmp_path)
    assert isinstance(store, SqliteStore)
    is_enough = threading.Event()
    busy = store._ask(store._reads, lambda _: is_enough.wait(30))
    waiting = asyncio.ensure_future(store.scan(""))
    await store.commit(puts(k="1"))
    assert await store.get("k") == Row("k", 1, b"1")
    await store.commit(puts(k="2"))
    assert not waiting.done()
    is_enough.set()
    assert await busy
    assert await waiting == [Row("k", 2, b"2")]
    await store.close()
