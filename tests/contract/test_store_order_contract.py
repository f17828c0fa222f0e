"""What every store does with its journal and with many callers, whatever its medium."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.api.base import Seq
from core.api.errors import ConflictError, Lagged
from core.store.base import MUST_NOT_EXIST, Batch, Entry, Put, Row, Store, StoredEntry
from tests.support.stores import URLS, opened, put, puts, told


@pytest.fixture(params=sorted(URLS))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """One store of each kind in turn, empty."""
    made = await opened(request.param, tmp_path)
    yield made
    await made.close()


# ---------------------------------------------------------------- journal


async def test_entries_get_rising_places_in_their_order(store: Store) -> None:
    """Within a batch and over batches; `head` is the last."""
    assert await store.head() == 0
    assert (await store.commit(told("a", "b"))).seqs == (1, 2)
    assert (await store.commit(puts(k="x"))).seqs == ()
    assert (await store.commit(told("c", subject="t"))).seqs == (3,)
    assert await store.head() == 3
    assert store.stats().head == 3
    assert await store.read() == [
        StoredEntry(Seq(1), "s", b"a"),
        StoredEntry(Seq(2), "s", b"b"),
        StoredEntry(Seq(3), "t", b"c"),
    ]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, [6, 7, 8, 9, 10]),
        ({"after": 0}, [1, 2, 3, 4, 5]),
        ({"after": 7}, [8, 9, 10]),
        ({"after": 10}, []),
        ({"after": 10**20}, []),
        ({"before": 4}, [1, 2, 3]),
        ({"before": 9}, [4, 5, 6, 7, 8]),
        ({"before": 1}, []),
        ({"before": 10**20}, [6, 7, 8, 9, 10]),
        ({"after": 2, "before": 5}, [3, 4]),
        ({"after": 1, "before": 10}, [2, 3, 4, 5, 6]),
        ({"subject": "odd"}, [1, 3, 5, 7, 9]),
        ({"subject": "even", "after": 3}, [4, 6, 8, 10]),
        ({"subject": "odd", "before": 6}, [1, 3, 5]),
        ({"subject": "none"}, []),
    ],
)
async def test_reading_from_either_end(store: Store, asked: dict[str, object], expected: list[int]) -> None:
    """With `after` the first ones beyond it, otherwise the last ones; always in order."""
    await store.commit(
        Batch((), [Entry("odd" if number % 2 else "even", str(number).encode()) for number in range(1, 11)])
    )
    found = await store.read(**asked, limit=5)  # type: ignore[arg-type]  # one dict for all kinds of arguments
    assert [entry.seq for entry in found] == expected
    assert [int(entry.body) for entry in found] == expected


async def test_a_trim_keeps_the_newest(store: Store) -> None:
    """What is left reads as before; who asks for what is gone is told so."""
    for number in range(1, 11):
        await store.commit(told(str(number), subject="odd" if number % 2 else "even"))
    assert await store.trim(20) == 0
    assert await store.trim(4) == 6
    assert await store.trim(4) == 0
    assert [entry.seq for entry in await store.read()] == [7, 8, 9, 10]
    assert [entry.seq for entry in await store.read(after=Seq(6))] == [7, 8, 9, 10]
    assert [entry.seq for entry in await store.read(subject="even")] == [8, 10]
    assert await store.read(before=Seq(6)) == []
    for asked in (0, 5):
        with pytest.raises(Lagged):
            await store.read(after=Seq(asked))
    with pytest.raises(Lagged):
        await store.read(after=Seq(5), subject="even")


async def test_places_are_never_used_again(store: Store) -> None:
    """Also when nothing is left of the journal."""
    await store.commit(told("a", "b", "c"))
    assert await store.trim(0) == 3
    assert await store.head() == 3
    assert await store.read() == []
    assert (await store.commit(told("d"))).seqs == (4,)
    assert await store.read(after=Seq(3)) == [StoredEntry(Seq(4), "s", b"d")]


async def test_a_long_trim_goes_on_beside_commits(store: Store) -> None:
    """Thousands of entries go while others come, and none that should stay is lost."""
    await store.commit(Batch((), [Entry("s", str(number).encode()) for number in range(1, 4001)]))
    async with asyncio.TaskGroup() as group:
        trim = group.create_task(store.trim(100))
        for number in range(4001, 4011):
            await store.commit(told(str(number)))
    assert trim.result() >= 3900
    left = await store.read(after=Seq(3910), limit=200)
    assert [int(entry.body) for entry in left] == list(range(3911, 4011))


# ---------------------------------------------------------------- many at a time


async def test_commits_are_written_in_the_order_of_asking(store: Store) -> None:
    """Places and the ends of the futures follow the requests."""
    ended: list[int] = []
    futures = [store.submit(Batch([Put("k", b"")], [Entry("s", str(number).encode())])) for number in range(300)]
    for number, future in enumerate(futures):
        future.add_done_callback(lambda _, number=number: ended.append(number))
    done = await asyncio.gather(*futures)
    assert [committed.seqs for committed in done] == [(number,) for number in range(1, 301)]
    assert [committed.revisions for committed in done] == [(number,) for number in range(1, 301)]
    assert ended == list(range(300))
    assert [int(entry.body) for entry in await store.read(limit=1000)] == list(range(300))


async def test_writers_that_compare_and_set_lose_no_count(store: Store) -> None:
    """Twelve writers raise one number, each trying again after a conflict: every raise is there."""
    conflicts = 0

    async def raise_it() -> None:
        nonlocal conflicts
        row = await store.get("n")
        while True:
            number, revision = (0, 0) if row is None else (int(row.body), row.revision)
            await asyncio.sleep(0)
            try:
                await store.commit(put("n", str(number + 1), expect=revision))
            except ConflictError:
                conflicts += 1
                row = await store.get("n")
            else:
                return

    async def writer() -> None:
        for _ in range(15):
            await raise_it()

    await asyncio.gather(*(writer() for _ in range(12)))
    assert await store.get("n") == Row("n", 180, b"180")
    assert conflicts > 0


async def test_a_conflict_leaves_its_neighbours_alone(store: Store) -> None:
    """Asked for in one breath, each batch stands for itself and sees those before it."""
    await store.commit(puts(k="0"))
    asked = [
        store.submit(put("k", "1", expect=1)),
        store.submit(Batch([Put("k", b"x", expect=1), Put("other", b"x")], [Entry("s", b"x")])),
        store.submit(Batch([Put("k", b"2", expect=2)], [Entry("s", b"2")])),
        store.submit(put("k", None, expect=3)),
        store.submit(put("k", "new", expect=MUST_NOT_EXIST)),
    ]
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(result).__name__ for result in done] == ["Committed", "ConflictError"] + ["Committed"] * 3
    assert await store.scan("") == [Row("k", 1, b"new")]
    assert [entry.body for entry in await store.read()] == [b"2"]


async def test_a_cancelled_commit_is_written_all_the_same(store: Store) -> None:
    """Who stops waiting takes nothing back."""
    task = asyncio.ensure_future(store.commit(Batch([Put("k", b"v")], [Entry("s", b"e")])))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.commit(told("next"))
    assert await store.get("k") == Row("k", 1, b"v")
    assert [entry.body for entry in await store.read()] == [b"e", b"next"]


async def test_reads_see_what_was_committed_before(store: Store) -> None:
    """A commit that has returned is in every answer; a get sees also one that is only asked for."""
    for number in range(1, 31):
        await store.commit(Batch([Put(f"k{number:02d}", b"v")], [Entry("s", b"e")]))
        assert await store.count("k") == number
        assert len(await store.scan("k")) == number
        assert len(await store.read()) == number
        asked = store.submit(put("last", str(number)))
        assert await store.get("last") == Row("last", number, str(number).encode())
        await asked
