"""What the writing thread does between jobs: small steps for good reasons, and otherwise nothing."""

import asyncio
import threading
from pathlib import Path

import apsw
import pytest

from core.api.errors import StoreError
from core.clock import SystemClock
from core.store.ballast import Ballast
from core.store.base import Batch, Put
from core.store.sqlite import SqliteStore
from core.store.sqlite_connection import SqliteConnection
from core.store.sqlite_rest import KEPT_PAGES, STEP_PAGES, Rest, give_back
from core.store.sqlite_statement import number
from core.store.watermark import Watermark, WatermarkFile
from core.store.worker import Worker
from tests.support.clocks import FakeClock
from tests.support.stores import FILE, mailed, opened, rested

_MEGABYTE = "x" * 1_000_000


async def emptied(home: Path, clock: FakeClock) -> SqliteStore:
    """A store that held twelve megabytes of mail and has let go of them."""
    store = await opened("sqlite", home, clock)
    assert isinstance(store, SqliteStore)
    for _ in range(12):
        await store.commit(mailed(_MEGABYTE))
    await store.commit(Batch([Put("k", b"row")], mail_floor=12))
    return store


async def pages(store: SqliteStore) -> tuple[int, int]:
    """How many pages the file has, and how many of them are free."""

    def act(connection: apsw.Connection) -> tuple[int, int]:
        return number(connection, "PRAGMA page_count"), number(connection, "PRAGMA freelist_count")

    count: tuple[int, int] = await store._ask(store._writes, act)
    return count


async def test_free_pages_go_back_in_small_steps(tmp_path: Path) -> None:
    """Each step takes a few; some pages stay; and what is in the file stays as it was."""
    store = await emptied(tmp_path, FakeClock())
    count, free = await pages(store)
    assert free > 2500
    steps = 0
    while await store._ask(store._writes, give_back):
        after, now_free = await pages(store)
        assert 0 < count - after <= STEP_PAGES + 2
        assert now_free < free
        count, free, steps = after, now_free, steps + 1
    assert steps > 10
    assert KEPT_PAGES - STEP_PAGES - 2 <= free <= KEPT_PAGES
    row = await store.get("k")
    assert row is not None
    assert row.body == b"row"
    assert (await store.commit(mailed("next"))).place == 13
    await store.close()
    assert (tmp_path / FILE).stat().st_size < 5_000_000


async def test_a_file_gets_smaller_by_itself(tmp_path: Path) -> None:
    """Step by step while time passes, with commits in between."""
    clock = FakeClock()
    store = await emptied(tmp_path, clock)
    clock.step(6.0)
    for _ in range(60):
        await store.commit(mailed("m"))
        clock.step(0.2)
        await rested(store)
    _, free = await pages(store)
    assert free <= KEPT_PAGES
    assert store.stats().mail_last == 72
    await store.close()


async def test_a_small_file_is_left_alone(tmp_path: Path) -> None:
    """A few free pages are soon used again."""
    store = await opened("sqlite", tmp_path)
    assert isinstance(store, SqliteStore)
    place = (await store.commit(mailed(_MEGABYTE))).place
    await store.commit(Batch(mail_floor=place))
    before = await pages(store)
    assert before[1] > 100
    assert not await store._ask(store._writes, give_back)
    assert await pages(store) == before
    await store.close()


def rest_on(home: Path, mark: Watermark) -> Rest:
    """A rest at second 100 whose mark is written."""
    return Rest(WatermarkFile(home / "mark"), Ballast(home / "ballast", 4096), mark, 100.0)


def test_a_rest_without_reason_has_no_end(tmp_path: Path) -> None:
    """An idle store wakes nobody."""
    mark = Watermark(1)
    rest = rest_on(tmp_path, mark)
    assert rest.take(100.0, mark, None) is None
    assert rest.take(900.0, mark, None) is None


def test_a_late_mark_is_written_without_another_commit(tmp_path: Path) -> None:
    """What came within a second of the last one has its turn when the second is over."""
    rest = rest_on(tmp_path, Watermark(1))
    assert rest.take(100.0, Watermark(1, 1), None) is None
    assert rest.take(100.4, Watermark(1, 2), None) == pytest.approx(0.6)
    assert rest.take(101.0, Watermark(1, 2), None) is None
    assert WatermarkFile(tmp_path / "mark").read() == Watermark(1, 2)


def test_a_full_disk_is_looked_at_without_another_commit(tmp_path: Path) -> None:
    """Who waits for room does not ask; the ballast comes back all the same."""
    ballast = Ballast(tmp_path / "ballast", 4096)
    rest = Rest(WatermarkFile(tmp_path / "mark"), ballast, Watermark(1), 100.0)
    ballast.release(100.0)
    assert rest.take(100.0, Watermark(1), None) == pytest.approx(2.0)
    assert ballast.is_full
    rest.take(102.0, Watermark(1), None)
    assert not ballast.is_full
    assert rest.take(102.0, Watermark(1), None) is None


def test_a_failing_disk_ends_the_rest_and_nothing_else(tmp_path: Path) -> None:
    """A look at the pages that fails is no reason for anything; the next one may succeed."""

    def fail() -> apsw.Connection:
        raise apsw.CantOpenError("played")

    connection = SqliteConnection(tmp_path / FILE, fail, apsw.Connection(":memory:"))
    connection.close()
    rest = rest_on(tmp_path, Watermark(1))
    rest.is_due = True
    assert rest.take(105.0, Watermark(1), connection) == pytest.approx(5.0)
    assert rest.take(105.1, Watermark(1), connection) is None


async def test_a_worker_rests_between_its_jobs() -> None:
    """It calls when the time is over, and at once when there is work."""
    rests: list[int] = []
    is_rested = threading.Event()

    def rest() -> float | None:
        rests.append(len(rests))
        if len(rests) >= 4:
            is_rested.set()
            return None
        return 0.001

    worker = Worker("test", lambda jobs: None, lambda: None, rest)
    assert await asyncio.to_thread(is_rested.wait, 20)
    await worker.ask("work", SystemClock().monotonic())
    await worker.close()
    assert len(rests) == 5


async def test_a_rest_that_fails_ends_no_thread() -> None:
    """Jobs are served after it as before."""

    def fail() -> float | None:
        raise OSError("played")

    worker = Worker("test", lambda jobs: None, lambda: None, fail)
    for _ in range(3):
        await worker.ask("work", SystemClock().monotonic())
    await worker.close()


async def test_an_end_that_fails_is_still_an_end() -> None:
    """Nobody waits for ever for a store that could not be closed well, and who closes it hears of it."""

    def fail() -> None:
        raise OSError("played")

    worker = Worker("test", lambda jobs: None, fail)
    for _ in range(2):
        with pytest.raises(StoreError) as caught:
            await worker.close()
        assert "played" in str(caught.value)
