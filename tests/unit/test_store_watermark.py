"""The mark beside a store: whole or nothing, never more than what is on disk, and not written for nothing."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.store.base import Store
from core.store.watermark import Watermark, WatermarkFile, decode_mark, encode_mark
from tests.support.clocks import FakeClock
from tests.support.stores import FILE, mailed, opened, puts, rested, told

NUMBERS = st.integers(0, 2**62)


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_a_mark_is_read_as_it_was_written(epoch: int, seq: int, first: int, last: int) -> None:
    """For all places that a store can have."""
    mark = Watermark(epoch, seq, first, last)
    assert decode_mark(encode_mark(mark)) == mark


@given(st.data())
def test_a_damaged_mark_says_nothing(data: st.DataObject) -> None:
    """Cut off or with other bytes in it, it is no mark at all."""
    line = encode_mark(Watermark(7, 123, 45, 678))
    place = data.draw(st.integers(0, len(line) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != line[place]))
    assert decode_mark(line[:place]) is None
    assert decode_mark(line[:place] + bytes([other]) + line[place + 1 :]) is None


@given(st.binary(max_size=80))
def test_what_is_no_mark_is_none(line: bytes) -> None:
    """Whatever the bytes are."""
    assert decode_mark(line) is None


def test_a_mark_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    """It is tried again later; nothing half made is left."""
    mark = Watermark(1, 2, 3, 4)
    assert not WatermarkFile(tmp_path / "nowhere" / "mark").write(mark)
    (tmp_path / "mark").mkdir()
    assert not WatermarkFile(tmp_path / "mark").write(mark)
    assert [path.name for path in tmp_path.iterdir()] == ["mark"]
    assert WatermarkFile(tmp_path / "mark").read() is None


@pytest.fixture
def clock() -> FakeClock:
    """Time in the hands of the test."""
    return FakeClock()


async def marked(home: Path, store: Store | None = None) -> Watermark | None:
    """What the mark says once the writer has rested after the last commit."""
    if store is not None:
        await rested(store)
    return await asyncio.to_thread(WatermarkFile(home / f"{FILE}.mark").read)


async def test_the_mark_follows_about_once_a_second(tmp_path: Path, clock: FakeClock) -> None:
    """Not after each commit; and at the end it says all."""
    store = await opened("sqlite", tmp_path, clock)
    await store.commit(told("a"))
    first = await marked(tmp_path, store)
    assert first is not None
    assert (first.seq, first.first, first.last) == (1, 1, 0)
    await store.commit(mailed("m"))
    await store.commit(told("b"))
    assert await marked(tmp_path, store) == first
    clock.step(1.0)
    assert await marked(tmp_path, store) == Watermark(first.epoch, 2, 1, 1)
    await store.commit(mailed("n", floor=1))
    await store.close()
    assert await marked(tmp_path) == Watermark(first.epoch, 2, 2, 2)


async def test_a_mark_that_says_nothing_new_is_not_written(tmp_path: Path, clock: FakeClock) -> None:
    """Rows leave no mark, and a store that is only read keeps its own as it is."""
    store = await opened("sqlite", tmp_path, clock)
    await store.commit(puts(k="v"))
    await store.close()
    assert await marked(tmp_path) is None
    store = await opened("sqlite", tmp_path, clock)
    await store.commit(mailed("m"))
    await store.close()
    number = (tmp_path / f"{FILE}.mark").stat().st_ino
    store = await opened("sqlite", tmp_path, clock)
    clock.step(5.0)
    await store.commit(puts(k="w"))
    await store.close()
    assert (tmp_path / f"{FILE}.mark").stat().st_ino == number


async def test_a_mark_of_another_file_is_not_believed(tmp_path: Path, clock: FakeClock) -> None:
    """Who moves the file away to begin anew has lost nothing."""
    store = await opened("sqlite", tmp_path, clock)
    await store.commit(mailed("m"))
    await store.commit(told("a", "b"))
    await store.close()
    (tmp_path / FILE).unlink()
    store = await opened("sqlite", tmp_path, clock)
    assert store.stats().losses == ()
    assert (await store.commit(mailed("new"))).place == 1
    assert (await store.commit(told("new"))).seqs == (1,)
    await store.close()
    mark = await marked(tmp_path)
    assert mark is not None
    assert (mark.seq, mark.last) == (1, 1)


async def test_an_older_copy_of_the_file_is_named(tmp_path: Path, clock: FakeClock) -> None:
    """A backup that was put back lacks what came after it."""
    store = await opened("sqlite", tmp_path, clock)
    await store.commit(mailed("m"))
    await store.close()
    older = (tmp_path / FILE).read_bytes()
    store = await opened("sqlite", tmp_path, clock)
    await store.commit(mailed("n"))
    await store.commit(told("a"))
    await store.close()
    (tmp_path / FILE).write_bytes(older)
    store = await opened("sqlite", tmp_path, clock)
    assert [(loss.what, loss.first, loss.last) for loss in store.stats().losses] == [("mail", 2, 2), ("journal", 1, 1)]
    assert await store.head() == 1
    assert await store.read() == []
    assert (await store.commit(told("b"))).seqs == (2,)
    await store.close()
