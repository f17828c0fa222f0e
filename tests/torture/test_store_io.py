"""A store whose disk fails at some write or flush: that group's fate is unknown, and the service goes on."""

import asyncio
import os
import random
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from core.api.base import Seq
from core.api.errors import StoreError
from core.store import sqlite_statement, sqlite_stock, sqlite_writer
from core.store.base import Batch, Committed, Entry, Put, Store
from tests.support.clocks import FakeClock
from tests.support.disks import Disk, failed, in_force
from tests.support.stores import mailed, opened, records_of

_COMMITS = 24


@pytest.fixture
def disk() -> Iterator[Disk]:
    """A disk that fails when it is told to."""
    with in_force(Disk()) as made:
        yield made


def _batch(number: int) -> Batch:
    body = f"{number} ".encode() + b"." * 9000
    return Batch([Put("k", body), Put(f"k/{number:03d}", body)], [Entry("s", body)], [body])


def _number(body: bytes) -> int:
    return int(body.split(b" ", 1)[0])


async def _write(store: Store) -> tuple[dict[int, Committed], dict[int, str]]:
    """Commit one after the other; what was acknowledged, and the causes of what failed."""
    done: dict[int, Committed] = {}
    causes: dict[int, str] = {}
    for number in range(1, _COMMITS + 1):
        asked = store.submit(_batch(number))
        await asyncio.wait([asked])
        failure = asked.exception()
        if failure is None:
            done[number] = asked.result()
        else:
            assert isinstance(failure, StoreError)
            causes[number] = str(failure.facts["cause"])
    return done, causes


async def _check(home: Path, done: dict[int, Committed], causes: dict[int, str]) -> None:
    """All that was acknowledged is there, at its place; what failed is there as a whole or not at all."""
    store = await opened("sqlite", home, FakeClock())
    rows = {_number(row.body) for row in await store.scan("k/")}
    entries = {entry.seq: _number(entry.body) for entry in await store.read(after=Seq(0), limit=10**6)}
    packs = await store.read_packs(limit_bytes=10**9)
    mail = {pack.place: [_number(record) for record in pack.records] for pack in packs}
    assert [pack for pack in packs if pack.damaged] == []
    assert store.stats().losses == ()
    assert set(done) <= rows <= set(done) | set(causes)
    assert sorted(entries.values()) == sorted(rows)
    assert sorted(number for numbers in mail.values() for number in numbers) == sorted(rows)
    assert sorted(mail) == list(range(1, len(mail) + 1))
    for number, committed in done.items():
        assert entries[committed.seqs[0]] == number
        assert mail[committed.place] == [number]
    await store.close()


async def fail_at(home: Path, act: str, moment: int, *, is_power_cut: bool) -> dict[int, str]:
    """Let the `moment`-th act of a kind fail once during the work; the causes of what failed."""
    left = moment
    code = {"sync": apsw.SQLITE_IOERR_FSYNC, "write": apsw.SQLITE_IOERR_WRITE, "cut": apsw.SQLITE_IOERR_TRUNCATE}[act]

    def fault(what: str, _path: Path, _end: int) -> Exception | None:
        nonlocal left
        left -= what == act
        return failed(code) if what == act and left == 0 else None

    before, after = home / "before", home / "after"
    for folder in (before, after):
        folder.mkdir(parents=True)
    await (await opened("sqlite", before, FakeClock())).close()
    with in_force(Disk(dice=random.Random(moment))) as disk:
        store = await opened("sqlite", before, FakeClock())
        disk.fault = fault
        done, causes = await _write(store)
        if is_power_cut:
            disk.cut_power()
            disk.lay_out(after)
        await store.close()
        assert left <= 0 or is_power_cut
    assert len(causes) <= 1
    assert set(causes.values()) <= {"io"}
    await _check(after if is_power_cut else before, done, causes)
    return causes


@pytest.mark.parametrize("is_power_cut", [False, True], ids=["closed", "power cut"])
async def test_one_failure_of_the_disk_costs_one_group_at_most(tmp_path: Path, *, is_power_cut: bool) -> None:
    """At several flushes and writes, also when the power goes before the store is closed."""
    causes: list[str] = []
    for act, moment in [
        ("sync", 1),
        ("sync", 2),
        ("sync", 9),
        ("sync", 25),
        ("write", 1),
        ("write", 40),
        ("write", 99),
    ]:
        found = await fail_at(tmp_path / f"{act}{moment}", act, moment, is_power_cut=is_power_cut)
        causes += found.values()
    assert len(causes) >= 4


@pytest.mark.torture
@pytest.mark.parametrize("act", ["sync", "write"])
async def test_a_failure_at_any_moment_costs_one_group_at_most(tmp_path: Path, act: str) -> None:
    """At each flush, and at each write or every fifth one, with and without a power cut."""
    is_long = os.environ.get("HERMES_TORTURE") == "long"
    moments = range(1, 30) if act == "sync" else range(1, 220, 1 if is_long else 5)
    count = 0
    for moment in moments:
        for is_power_cut in (False, True):
            home = tmp_path / f"{moment}{is_power_cut}"
            count += len(await fail_at(home, act, moment, is_power_cut=is_power_cut))
    assert count > len(moments) // 2


async def test_a_failing_group_fails_as_a_whole_and_is_not_tried_again(tmp_path: Path, disk: Disk) -> None:
    """Everybody in it hears of unknown fate; the next group finds a store that was looked at anew."""
    store = await opened("sqlite", tmp_path, FakeClock())
    await store.commit(mailed("before"))
    disk.fault = lambda what, _path, _end: failed(apsw.SQLITE_IOERR_FSYNC) if what == "sync" else None
    asked = [store.submit(mailed(f"lost {number}")) for number in range(5)]
    for future in asked:
        with pytest.raises(StoreError) as caught:
            await future
        assert caught.value.facts["cause"] == "io"
        assert "read before you repeat it" in str(caught.value.facts["fix"])
    disk.fault = None
    assert (await store.commit(mailed("after"))).place == 2
    assert await records_of(store) == ["before", "after"]
    assert store.stats().losses == ()
    await store.close()


async def test_a_group_that_reached_the_disk_counts(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failure comes after the commit: what is there stays, and what follows goes above it."""
    store = await opened("sqlite", tmp_path, FakeClock())
    await store.commit(Batch((), [Entry("s", b"1")], [b"1"]))
    run = sqlite_statement.run

    def fail_late(connection: apsw.Connection, statement: str) -> object:
        found = run(connection, statement)
        if statement == "COMMIT":
            monkeypatch.undo()
            raise failed(apsw.SQLITE_IOERR_FSYNC)
        return found

    monkeypatch.setattr(sqlite_writer, "run", fail_late)
    with pytest.raises(StoreError) as caught:
        await store.commit(Batch((), [Entry("s", b"2")], [b"2"]))
    assert caught.value.facts["cause"] == "io"
    committed = await store.commit(Batch((), [Entry("s", b"3")], [b"3"]))
    assert (committed.seqs, committed.place) == ((3,), 3)
    assert await records_of(store) == ["1", "2", "3"]
    assert await store.head() == 3
    await store.close()


async def test_a_dead_disk_is_an_error_until_it_is_back(tmp_path: Path, disk: Disk) -> None:
    """Every commit says so; then all goes on, with what was acknowledged before."""
    store = await opened("sqlite", tmp_path, FakeClock())
    await store.commit(mailed("before"))
    disk.fault = lambda what, _path, _end: failed(apsw.SQLITE_IOERR_WRITE) if what == "write" else None
    for _ in range(4):
        with pytest.raises(StoreError) as caught:
            await store.commit(mailed("x"))
        assert caught.value.facts["cause"] in {"io", "unreadable"}
    disk.fault = None
    assert (await store.commit(mailed("after"))).place == 2
    assert await records_of(store) == ["before", "after"]
    await store.close()


async def test_a_file_found_damaged_after_a_failure_takes_no_more(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check of its structure stands between a failure and the next commit."""
    store = await opened("sqlite", tmp_path, FakeClock())
    await store.commit(mailed("before"))
    run = sqlite_statement.run
    checked: list[str] = []

    def find_damage(connection: apsw.Connection, statement: str, values: tuple[int, ...] = ()) -> object:
        if "quick_check" not in statement:
            return run(connection, statement, values)
        checked.append(statement)
        return [("row 1 missing from index",)]

    monkeypatch.setattr(sqlite_stock, "run", find_damage)
    disk.fault = lambda what, _path, _end: failed(apsw.SQLITE_IOERR_FSYNC) if what == "sync" else None
    with pytest.raises(StoreError):
        await store.commit(mailed("x"))
    disk.fault = None
    with pytest.raises(StoreError) as caught:
        await store.commit(mailed("y"))
    assert caught.value.facts["cause"] == "corrupt"
    assert len(checked) == 2
    monkeypatch.undo()
    await store.commit(mailed("after"))
    assert await records_of(store) == ["before", "after"]
    await store.close()
