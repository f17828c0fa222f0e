"""A store whose machine loses power: what was acknowledged is there, and what is missing below the mark is named."""

import asyncio
import contextlib
import os
import random
from pathlib import Path

import msgspec
import pytest

from core.api.base import Seq
from core.api.errors import StoreError
from core.clock import SystemClock
from core.store import sqlite_file
from core.store.base import Batch, Committed, Entry, Put, Store
from core.store.watermark import decode_mark
from tests.support.disks import Disk, in_force
from tests.support.stores import FILE, opened

_WRITERS = 4
_EACH = 8
_POINTS = 60
_POINTS_LONG = 300


class HastyClock(SystemClock):
    """A second passes in a millisecond, so that the mark is written often."""

    def monotonic(self) -> float:
        """Seconds that only grow, and fast."""
        return super().monotonic() * 1000


class Acknowledged(msgspec.Struct):
    """One commit: the row that it raised to `revision`, its entry, its two mail records; `floor`: what it let go."""

    key: str
    revision: int
    committed: Committed
    floor: int


def _batch(key: str, revision: int, floor: int) -> Batch:
    token = f"{key} {revision} "
    body = token.encode() + b"." * 5000
    records = [token.encode() + b"a" * 4500, token.encode() + b"b" * 4500]
    return Batch([Put(key, body, expect=revision - 1)], [Entry(key, body)], records, floor)


async def _write(store: Store, key: str, done: list[Acknowledged]) -> None:
    row = await store.get(key)
    first = 1 if row is None else row.revision + 1
    for revision in range(first, first + _EACH):
        floor = max(0, store.stats().mail_last - 10) if revision % 3 == 0 else 0
        committed = await store.commit(_batch(key, revision, floor))
        done.append(Acknowledged(key, revision, committed, floor))


async def _work(home: Path, done: list[Acknowledged]) -> None:
    """Write from several sides, close, open, write again, close: until the power is gone."""
    for _ in range(2):
        store = await opened("sqlite", home, HastyClock())
        try:
            await asyncio.gather(*(_write(store, f"k{name}", done) for name in range(_WRITERS)), return_exceptions=True)
        finally:
            await store.close()


async def _found(home: Path) -> tuple[dict[str, int], dict[int, str], dict[int, set[str]], set[int]]:
    """Rows, entries by place, mail tokens by place, and places that are named as lost. Raises StoreError."""
    store = await opened("sqlite", home)
    try:
        rows = {row.key: row.revision for row in await store.scan("k")}
        entries = {int(entry.seq): _token(entry.body) for entry in await store.read(after=Seq(0), limit=10**6)}
        packs = await store.read_packs(limit_bytes=10**9)
        assert [pack for pack in packs if pack.damaged] == []
        mail = {pack.place: {_token(record) + chr(record[-1]) for record in pack.records} for pack in packs}
        losses = store.stats().losses
        named = {place for loss in losses if loss.what == "mail" for place in range(loss.first, loss.last + 1)}
        _check_whole(rows, entries, mail, floor=store.stats().mail_first - 1)
        # Also what came back goes on: above all that was there.
        committed = await store.commit(Batch((), [Entry("s", b"after")], [b"after"]))
        assert committed.place > max(mail, default=0)
        assert committed.seqs[0] > max(entries, default=0)
        return rows, entries, mail, named
    finally:
        await store.close()


def _token(body: bytes) -> str:
    key, revision, _ = body.decode().split(" ", 2)
    return f"{key} {revision}"


def _check_whole(rows: dict[str, int], entries: dict[int, str], mail: dict[int, set[str]], floor: int) -> None:
    """A batch is there with all its parts or with none."""
    tokens = sorted(f"{key} {number}" for key, revision in rows.items() for number in range(1, revision + 1))
    assert sorted(entries.values()) == tokens
    records = set().union(*mail.values())
    for token in {record[:-1] for record in records}:
        assert {f"{token}a", f"{token}b"} <= records
        assert token in tokens
    if not floor:
        assert {record[:-1] for record in records} == set(tokens)


async def lost_at(home: Path, crash_at: int, *, points: int) -> int:
    """Lose power at one moment of the work; how many acknowledged commits are not there any more."""
    before, after = home / "before", home / "after"
    for folder in (before, after):
        folder.mkdir(parents=True)
    await (await opened("sqlite", before)).close()
    done: list[Acknowledged] = []
    dice = random.Random(crash_at * 7919 + points)
    with in_force(Disk(crash_at=crash_at, dice=dice)) as disk:
        with contextlib.suppress(StoreError):
            await _work(before, done)
        assert disk.wreck is not None
        disk.lay_out(after)
    mark = decode_mark(disk.wreck.get(f"{FILE}.mark", b""))
    rows, entries, mail, named = await _found(after)
    if mark is not None:
        assert set(range(max(mark.first, min(mail, default=mark.first)), mark.last + 1)) <= set(mail) | named
    floor = max((each.floor for each in done), default=0)
    return sum(not _is_there(each, rows, entries, mail, floor) for each in done)


def _is_there(
    each: Acknowledged, rows: dict[str, int], entries: dict[int, str], mail: dict[int, set[str]], floor: int
) -> bool:
    token = f"{each.key} {each.revision}"
    records = mail.get(each.committed.place, set())
    is_mail_there = {f"{token}a", f"{token}b"} <= records or each.committed.place <= floor
    return rows.get(each.key, 0) >= each.revision and entries.get(each.committed.seqs[0]) == token and is_mail_there


async def acts_of_the_work(home: Path) -> int:
    """How many writes, flushes, cuts and removals the work takes when nothing happens."""
    await asyncio.to_thread(home.mkdir)
    await (await opened("sqlite", home)).close()
    done: list[Acknowledged] = []
    with in_force(Disk()) as disk:
        await _work(home, done)
    assert len(done) == 2 * _WRITERS * _EACH
    return disk.count


async def lose_power_often(home: Path, points: int) -> list[int]:
    """How many acknowledged commits were lost at each of so many moments, spread over the whole work."""
    total = await acts_of_the_work(home / "whole")
    dice = random.Random(points)
    moments = [dice.randrange(2, total) for _ in range(points)]
    return [await lost_at(home / str(number), moment, points=points) for number, moment in enumerate(moments)]


async def test_a_power_loss_takes_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """At a few moments."""
    assert sum(await lose_power_often(tmp_path, 8)) == 0


@pytest.mark.torture
async def test_no_power_loss_takes_anything_that_was_acknowledged(tmp_path: Path) -> None:
    """At many moments: no loss, no half batch, no false alarm about one."""
    points = _POINTS_LONG if os.environ.get("HERMES_TORTURE") == "long" else _POINTS
    losses = await lose_power_often(tmp_path, points)
    print(f"power lost {points} times, commits lost {sum(losses)}")  # noqa: T201 -- the count is the result
    assert sum(losses) == 0


async def test_without_waiting_for_the_disk_commits_are_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same test sees loss where there must be some, so it can see it; what is missing below the mark is named."""
    easy = tuple(pragma.replace("synchronous=FULL", "synchronous=NORMAL") for pragma in sqlite_file._PRAGMAS)
    assert easy != sqlite_file._PRAGMAS
    monkeypatch.setattr(sqlite_file, "_PRAGMAS", easy)
    losses = await lose_power_often(tmp_path, 12)
    assert sum(losses) > 0
