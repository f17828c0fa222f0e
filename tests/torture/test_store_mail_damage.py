"""A mail log whose bytes are not what was written: what is missing or wrong is named, and nothing else suffers."""

import asyncio
import os
import random
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from core.api.errors import StoreError
from core.store import sqlite_mail
from core.store.base import Batch, Entry, Loss, Pack, Put
from tests.support.clocks import FakeClock
from tests.support.stores import FILE, mailed, opened, records_of, rested

_WAL = f"{FILE}-wal"
_FLIPS = 150
_FLIPS_LONG = 2000

# The last place that was let go of; this stands in the log, so with the log damaged the packs may be back.
_LET_GO = 2

Truth = dict[int, tuple[bytes, ...]]


async def left_open(home: Path, *, packs: int = 30) -> Truth:
    """What a killed store leaves in `home`: half of the packs in the file, half in the log, and a mark; the packs."""
    made, truth, clock = home / "made", {}, FakeClock()
    made.mkdir()
    for half in range(2):
        store = await opened("sqlite", made, clock)
        for number in range(packs // 2):
            records = [b"%d-%d-%d." % (half, number, place) * (40 + 9 * place * number) for place in range(3)]
            clock.step(2.0)
            batch = Batch([Put(f"k{number}", b"row")], [Entry("s", b"entry")], records, mail_floor=_LET_GO * half)
            truth[(await store.commit(batch)).place] = tuple(records)
        clock.step(2.0)
        await rested(store)
        if half:
            for name in (FILE, _WAL, f"{FILE}.mark"):
                await asyncio.to_thread(shutil.copy, made / name, home / name)
        await store.close()
    shutil.rmtree(made)
    return truth


def copied(home: Path, name: str) -> Path:
    """A folder beside with the same files."""
    copy = home.parent / f"{home.name}-{name}"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(home, copy)
    return copy


async def judged(home: Path, truth: Truth) -> tuple[bool, list[str]]:
    """Whether something was named, and what was wrong without being named: it should be nothing."""
    try:
        store = await opened("sqlite", home, FakeClock())
    except StoreError:
        return True, []
    try:
        packs: list[Pack] = []
        while page := await store.read_packs(after=packs[-1].place if packs else 0, limit_bytes=3000):
            packs += page
    except StoreError:
        return True, []
    finally:
        losses = store.stats().losses
        await store.close()
    faults = [
        f"wrong record {pack.place}/{at}"
        for pack in packs
        for at, record in enumerate(pack.records)
        if at not in pack.damaged and (at >= len(truth.get(pack.place, ())) or truth[pack.place][at] != record)
    ]
    faults += [
        f"short pack {pack.place}" for pack in packs if not pack.damaged and pack.records != truth.get(pack.place)
    ]
    lost = {place for loss in losses if loss.what == "mail" for place in range(loss.first, loss.last + 1)}
    seen = {pack.place for pack in packs}
    faults += [f"silent gap {place}" for place in truth if place > _LET_GO and place not in seen | lost]
    return bool(lost) or any(pack.damaged for pack in packs), faults


async def flipped(home: Path, truth: Truth, *, count: int, dice: random.Random) -> tuple[int, list[str]]:
    """Flip one bit of the file or of its log, again and again; how often that was named, and what was not."""
    named, faults = 0, []
    for number in range(count):
        name = FILE if number % 2 else _WAL
        copy = copied(home, "flipped")
        body = bytearray((copy / name).read_bytes())
        body[dice.randrange(len(body))] ^= 1 << dice.randrange(8)
        (copy / name).write_bytes(body)
        was_named, found = await judged(copy, truth)
        named += was_named
        faults += found
    return named, faults


async def test_an_undamaged_log_names_nothing(tmp_path: Path) -> None:
    """Else the other tests here would prove little."""
    (tmp_path / "home").mkdir()
    truth = await left_open(tmp_path / "home")
    assert await judged(tmp_path / "home", truth) == (False, [])


async def test_a_flipped_bit_is_named_or_harmless(tmp_path: Path) -> None:
    """Anywhere in the file or its log: never a wrong record, never a silent gap."""
    (tmp_path / "home").mkdir()
    truth = await left_open(tmp_path / "home")
    named, faults = await flipped(tmp_path / "home", truth, count=40, dice=random.Random(3))
    assert faults == []
    assert named > 10


@pytest.mark.torture
async def test_no_flipped_bit_goes_unnoticed(tmp_path: Path) -> None:
    """The same, at many places."""
    (tmp_path / "home").mkdir()
    truth = await left_open(tmp_path / "home")
    count = _FLIPS_LONG if os.environ.get("HERMES_TORTURE") == "long" else _FLIPS
    named, faults = await flipped(tmp_path / "home", truth, count=count, dice=random.Random(count))
    print(f"bits flipped {count}, named {named}, the others harmless")  # noqa: T201 -- the count is the result
    assert faults == []
    assert named > count // 4


async def test_a_log_cut_off_anywhere_is_named(tmp_path: Path) -> None:
    """At each frame and within it: what is gone is told as an exact range, and the next place is above it."""
    (tmp_path / "home").mkdir()
    truth = await left_open(tmp_path / "home", packs=12)
    whole = (tmp_path / "home" / _WAL).stat().st_size
    lost_somewhere = 0
    for frame, beyond in ((frame, beyond) for frame in range(0, (whole - 32) // 4120, 3) for beyond in (0, 2000)):
        copy = copied(tmp_path / "home", "cut")
        os.truncate(copy / _WAL, 32 + frame * 4120 + beyond)
        store = await opened("sqlite", copy, FakeClock())
        packs = {pack.place: pack.records for pack in await store.read_packs(limit_bytes=10**9)}
        losses = [loss for loss in store.stats().losses if loss.what == "mail"]
        gone = [place for place in truth if place > _LET_GO and place not in packs]
        assert packs == {place: truth[place] for place in packs}
        assert losses == ([Loss("mail", gone[0], gone[-1])] if gone else [])
        lost_somewhere += bool(gone)
        head = await store.head()
        committed = await store.commit(Batch((), [Entry("s", b"")], [b"new"]))
        assert (committed.place, committed.seqs) == (max(truth) + 1, (head + 1,))
        await store.close()
    assert lost_somewhere > 5


async def test_a_removed_log_is_named_for_journal_and_mail(tmp_path: Path) -> None:
    """Somebody tidied up: the exact ranges are told, as long as the gap is there, and nothing is used twice."""
    (tmp_path / "home").mkdir()
    await left_open(tmp_path / "home", packs=12)
    (tmp_path / "home" / _WAL).unlink()
    store = await opened("sqlite", tmp_path / "home")
    assert store.stats().losses == (Loss("mail", 7, 12), Loss("journal", 7, 12))
    assert await store.head() == 12
    committed = await store.commit(Batch((), [Entry("s", b"new")], [b"new"]))
    assert (committed.place, committed.seqs) == (13, (13,))
    await store.close()
    store = await opened("sqlite", tmp_path / "home")
    assert store.stats().losses == (Loss("mail", 7, 12),)
    assert [pack.place for pack in await store.read_packs()] == [1, 2, 3, 4, 5, 6, 13]
    await store.commit(Batch(mail_floor=12))
    await store.close()
    store = await opened("sqlite", tmp_path / "home")
    assert store.stats().losses == ()
    await store.close()


async def test_what_was_let_go_of_is_no_loss(tmp_path: Path) -> None:
    """With no pack left at all, the mark tells where the loss begins."""
    clock = FakeClock()
    await (await opened("sqlite", tmp_path, clock)).close()
    empty = (tmp_path / FILE).read_bytes()
    store = await opened("sqlite", tmp_path, clock)
    for number in range(6):
        clock.step(2.0)
        await store.commit(mailed(str(number), floor=max(0, number - 2)))
    await store.close()
    (tmp_path / FILE).write_bytes(empty)
    for _ in range(2):
        store = await opened("sqlite", tmp_path, clock)
        stats = store.stats()
        assert stats.losses == (Loss("mail", 4, 6),)
        assert (stats.mail_first, stats.mail_last) == (4, 6)
        await store.close()
    store = await opened("sqlite", tmp_path, clock)
    assert (await store.commit(mailed("new"))).place == 7
    await store.close()


async def test_a_missing_mark_is_no_error(tmp_path: Path) -> None:
    """Nor one that cannot be understood, nor that of another file."""
    (tmp_path / "home").mkdir()
    await left_open(tmp_path / "home", packs=12)
    mark = tmp_path / "home" / f"{FILE}.mark"
    whole = mark.read_bytes()
    (tmp_path / "home" / _WAL).unlink()
    for body in (b"", b"\0" * 50, whole[:-4], whole.replace(b"mark 1 ", b"mark 1 9"), None):
        copy = copied(tmp_path / "home", "marked")
        (copy / mark.name).unlink()
        if body is not None:
            (copy / mark.name).write_bytes(body)
        store = await opened("sqlite", copy)
        assert store.stats().losses == ()
        await store.close()


def change(home: Path, statement: str, *values: Any) -> None:
    """Change a closed store behind its back."""
    with sqlite3.connect(home / FILE) as connection:
        connection.execute(statement, values)
    connection.close()


async def filled(home: Path) -> None:
    """A closed store with packs 1 to 5 of three records each."""
    store = await opened("sqlite", home)
    for number in range(1, 6):
        await store.commit(mailed(*(f"{number}{letter}" for letter in "abc")))
    await store.close()


async def packs_of(home: Path) -> dict[int, Pack]:
    """All packs of a store that is opened for it."""
    store = await opened("sqlite", home)
    packs = {pack.place: pack for pack in await store.read_packs()}
    await store.close()
    return packs


async def test_a_damaged_record_costs_no_other(tmp_path: Path) -> None:
    """It is named by its index, and given as it was read."""
    await filled(tmp_path)
    change(tmp_path, "UPDATE mail SET body = ? WHERE place = 3", b"3aXX3c")
    packs = await packs_of(tmp_path)
    assert packs[3] == Pack(3, (b"3a", b"XX", b"3c"), (1,))
    assert [place for place, pack in packs.items() if pack.damaged] == [3]
    assert list(packs) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("column", "value"), [("heads", b""), ("heads", b"123"), ("heads", b"\xff" * 24), ("crc", 7), ("crc", -1)]
)
async def test_a_pack_without_its_heads_is_named_as_a_whole(tmp_path: Path, column: str, value: object) -> None:
    """Its raw bytes are its only record."""
    await filled(tmp_path)
    change(tmp_path, f"UPDATE mail SET {column} = ? WHERE place = 3", value)
    packs = await packs_of(tmp_path)
    assert packs.pop(3) == Pack(3, (b"3a3b3c",), (0,))
    assert [(pack.records[0], pack.damaged) for pack in packs.values()] == [
        (b"1a", ()), (b"2a", ()), (b"4a", ()), (b"5a", ()),
    ]  # fmt: skip


@pytest.mark.parametrize("place", [0, 77, 2**40, -5])
async def test_a_pack_at_a_wrong_place_is_named_at_its_own(tmp_path: Path, place: int) -> None:
    """The place that is missing tells whose it is; the next to be written goes above the true end."""
    await filled(tmp_path)
    change(tmp_path, "UPDATE mail SET place = ? WHERE place = 5", place)
    store = await opened("sqlite", tmp_path)
    assert store.stats().mail_last == 5
    packs = {pack.place: pack for pack in await store.read_packs()}
    lost = [loss for loss in store.stats().losses if loss.what == "mail"]
    assert lost == [Loss("mail", 5, 5)] or packs[5].damaged
    assert all(not packs[number].damaged for number in range(1, 5))
    assert (await store.commit(mailed("new"))).place == 6
    await store.close()


@pytest.mark.parametrize("value", [b"", b"\0" * 11 + b"\1", 4, "x"])
async def test_a_damaged_floor_hides_nothing(tmp_path: Path, value: object) -> None:
    """It is found again from the packs that are there."""
    await filled(tmp_path)
    store = await opened("sqlite", tmp_path)
    await store.commit(Batch(mail_floor=2))
    await store.close()
    change(tmp_path, "UPDATE meta SET v = ? WHERE k = 'mail_floor'", value)
    store = await opened("sqlite", tmp_path)
    assert (store.stats().mail_first, store.stats().mail_last, store.stats().losses) == (3, 5, ())
    assert await records_of(store) == [f"{number}{letter}" for number in (3, 4, 5) for letter in "abc"]
    await store.close()


async def test_a_hole_is_a_loss(tmp_path: Path) -> None:
    """Told as exact ranges, wherever it is."""
    await filled(tmp_path)
    change(tmp_path, "DELETE FROM mail WHERE place IN (1, 3, 5)")
    store = await opened("sqlite", tmp_path)
    assert store.stats().losses == (Loss("mail", 1, 1), Loss("mail", 3, 3), Loss("mail", 5, 5))
    assert [pack.place for pack in await store.read_packs()] == [2, 4]
    assert (await store.commit(mailed("new"))).place == 6
    await store.close()


async def test_without_checksums_the_tests_above_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that believes every byte is caught by the same judgement."""
    (tmp_path / "home").mkdir()
    truth = await left_open(tmp_path / "home")
    find_pack = sqlite_mail.find_pack

    def believe(place: int, heads: Any, body: Any, crc: Any) -> Pack | None:
        pack = find_pack(place, heads, body, crc)
        return None if pack is None else Pack(place, pack.records)

    monkeypatch.setattr(sqlite_mail, "find_pack", believe)
    _, faults = await flipped(tmp_path / "home", truth, count=60, dice=random.Random(3))
    assert any(fault.startswith("wrong record") for fault in faults)


async def test_without_a_mark_the_tests_above_fail(tmp_path: Path) -> None:
    """A store that does not know where it ended is caught by the same judgement."""
    (tmp_path / "home").mkdir()
    truth = await left_open(tmp_path / "home")
    (tmp_path / "home" / f"{FILE}.mark").unlink()
    _, faults = await flipped(tmp_path / "home", truth, count=30, dice=random.Random(3))
    assert any(fault.startswith("silent gap") for fault in faults)
