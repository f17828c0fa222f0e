"""What every store does with rows and with its end, whatever its medium."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.api.base import Seq
from core.api.errors import ConflictError, InvalidInput, StoreError
from core.store import open_store
from core.store.base import MUST_NOT_EXIST, Batch, Entry, Put, Row, Store, StoredEntry
from tests.support.clocks import FakeClock
from tests.support.stores import URLS, files_in, fill, keys_of, opened, put, puts, told

LAST = "\U0010ffff"


@pytest.fixture(params=sorted(URLS))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """One store of each kind in turn, empty."""
    made = await opened(request.param, tmp_path)
    yield made
    await made.close()


# ---------------------------------------------------------------- rows


async def test_a_row_that_was_never_written_is_none(store: Store) -> None:
    """Absence is an answer and not an error."""
    assert await store.get("nothing") is None
    assert await store.scan("") == []
    assert await store.count("") == 0


async def test_revisions_begin_at_1_and_grow_by_one(store: Store) -> None:
    """Each change of a key is one revision more, and the commit says which."""
    assert (await store.commit(put("k", "a"))).revisions == (1,)
    assert (await store.commit(put("k", "b", expect=1))).revisions == (2,)
    assert (await store.commit(put("k", "b"))).revisions == (3,)
    assert await store.get("k") == Row("k", 3, b"b")


async def test_a_deleted_row_is_gone_and_begins_anew(store: Store) -> None:
    """A delete has revision 0; the next row under the key is a new one."""
    await store.commit(puts(k="a"))
    await store.commit(puts(k="b"))
    assert (await store.commit(put("k", None, expect=2))).revisions == (0,)
    assert await store.get("k") is None
    assert await store.count("k") == 0
    assert (await store.commit(put("k", "c", expect=MUST_NOT_EXIST))).revisions == (1,)


async def test_deleting_what_is_not_there_is_fine(store: Store) -> None:
    """The wish is fulfilled already."""
    assert (await store.commit(put("k", None))).revisions == (0,)
    assert (await store.commit(put("k", None, expect=MUST_NOT_EXIST))).revisions == (0,)


@pytest.mark.parametrize(("there", "expect"), [(0, 1), (0, 7), (2, 0), (2, 1), (2, 3)])
async def test_a_row_at_another_revision_conflicts(store: Store, there: int, expect: int) -> None:
    """The error names the key, what was expected and what was found; the row stays."""
    for number in range(there):
        await store.commit(put("k", str(number)))
    before = await store.get("k")
    for text in ("new", None):
        with pytest.raises(ConflictError) as caught:
            await store.commit(put("k", text, expect=expect))
        assert caught.value.facts == {"key": "k", "expected": expect, "found": there}
    assert await store.get("k") == before


async def test_a_conflict_undoes_the_whole_batch(store: Store) -> None:
    """Neither the other rows nor the entries of the batch are written."""
    await store.commit(puts(a="1", c="1"))
    batch = Batch([Put("a", b"2"), Put("b", b"2"), Put("c", b"2", expect=9)], [Entry("s", b"e")])
    with pytest.raises(ConflictError):
        await store.commit(batch)
    assert await store.scan("") == [Row("a", 1, b"1"), Row("c", 1, b"1")]
    assert await store.read() == []
    assert await store.head() == 0


async def test_a_batch_changes_many_rows_at_once(store: Store) -> None:
    """More rows and entries than any statement holds, made, changed and deleted in one commit each."""
    keys = [f"k{number:04d}" for number in range(1000)]
    await fill(store, keys)
    changed = Batch(
        [Put(key, None if place % 3 == 0 else b"x", expect=1) for place, key in enumerate(keys)],
        [Entry("s", key.encode()) for key in keys],
    )
    committed = await store.commit(changed)
    assert committed.revisions == tuple(0 if place % 3 == 0 else 2 for place in range(1000))
    assert committed.seqs == tuple(range(1, 1001))
    assert await store.count("k") == 666
    assert [entry.body.decode() for entry in await store.read(after=Seq(0), limit=1000)] == keys


async def test_an_empty_batch_is_nothing(store: Store) -> None:
    """It succeeds and takes no place."""
    committed = await store.commit(Batch())
    assert (committed.seqs, committed.revisions) == ((), ())
    assert await store.head() == 0


@pytest.mark.parametrize("body", [b"", b"\0", bytes(range(256)), b"x" * 1_000_000], ids=["none", "nul", "all", "big"])
async def test_bodies_come_back_as_they_were(store: Store, body: bytes) -> None:
    """Any bytes, from none to a megabyte, in rows and in entries."""
    await store.commit(Batch([Put("k", body)], [Entry("s", body)]))
    assert await store.get("k") == Row("k", 1, body)
    assert await store.read() == [StoredEntry(Seq(1), "s", body)]


# ---------------------------------------------------------------- scans

KEYS = [
    "\0", "\0a", "A", "a", "a\0", "a/", "a/1", "a/10", "a/2", "a/\ud7ff", "a/\ue000", "a/\uffff", "a/\U00010000",
    "a/" + LAST, "a/" + LAST + "z", "a0", "a" + LAST, "b", "é", "\ud7ff", "\ud7ffx", "\ue000", LAST, LAST + LAST,
]  # fmt: skip


async def test_scans_go_by_code_points(store: Store) -> None:
    """Neither by locale nor by UTF-16 halves nor by insertion."""
    await fill(store, KEYS[::-1])
    assert await keys_of(store, "") == sorted(KEYS)
    assert await keys_of(store, "", newest_first=True) == sorted(KEYS, reverse=True)


@pytest.mark.parametrize(
    "prefix", ["", "a", "a/", "a/1", "a" + LAST, LAST, LAST + LAST, "\ud7ff", "\0", "%", "_", "zz"]
)
async def test_a_prefix_means_what_startswith_means(store: Store, prefix: str) -> None:
    """At both ends of the range, at the surrogates' gap and for the wild cards of SQL."""
    await fill(store, KEYS)
    expected = sorted(key for key in KEYS if key.startswith(prefix))
    assert await keys_of(store, prefix) == expected
    assert await keys_of(store, prefix, newest_first=True) == expected[::-1]
    assert await store.count(prefix) == len(expected)


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("after", ["A", "a/", "a/1", "a/11", "a" + LAST, "b", "é", LAST + LAST + "z"])
@pytest.mark.parametrize("prefix", ["", "a/", "a"])
async def test_after_cuts_off_in_the_direction_of_travel(
    store: Store, prefix: str, after: str, *, newest_first: bool
) -> None:
    """Whether that key is there or not, inside the prefix or outside of it."""
    await fill(store, KEYS)
    expected = sorted(
        (key for key in KEYS if key.startswith(prefix) and (key < after if newest_first else key > after)),
        reverse=newest_first,
    )
    assert await keys_of(store, prefix, after=after, newest_first=newest_first) == expected
    assert await keys_of(store, prefix, after=after, newest_first=newest_first, limit=2) == expected[:2]


@pytest.mark.parametrize("newest_first", [False, True])
async def test_pages_put_together_are_the_whole(store: Store, *, newest_first: bool) -> None:
    """Page by page with `after` and `limit` nothing is missing and nothing comes twice."""
    await fill(store, KEYS)
    seen: list[str] = []
    while page := await keys_of(store, "a", after=seen[-1] if seen else "", limit=3, newest_first=newest_first):
        assert len(page) <= 3
        seen += page
    assert seen == await keys_of(store, "a", newest_first=newest_first)


async def test_a_limit_of_0_is_no_row(store: Store) -> None:
    """Not "no limit"."""
    await store.commit(Batch([Put("a", b"")], [Entry("s", b"")]))
    assert await store.scan("", limit=0) == []
    assert await store.read(limit=0) == []
    assert await store.read(after=Seq(0), limit=0) == []


async def test_a_scan_never_sees_half_a_batch(store: Store) -> None:
    """Rows that are always written together are always read together."""
    for number in range(40):
        texts = {f"k{place}": str(number) for place in range(50)}
        written = store.submit(puts(**texts))
        rows = await store.scan("k")
        assert len({row.body for row in rows}) <= 1
        await written
    assert {row.revision for row in await store.scan("k")} == {40}


# ---------------------------------------------------------------- edges


@pytest.mark.parametrize(
    "batch",
    [
        Batch([Put("", b"")]),
        Batch([Put("k", b"1"), Put("k", b"2")]),
        Batch([Put("\ud800", b"")]),
        Batch([Put("k", b"", expect=-1)]),
        Batch((), [Entry("\udfff", b"")]),
    ],
    ids=["no key", "a key twice", "half a character", "a negative revision", "half a character in a subject"],
)
async def test_a_batch_that_cannot_be_is_refused(store: Store, batch: Batch) -> None:
    """At once, naming the field and the fix; its neighbours are written."""
    good = store.submit(puts(good="1"))
    with pytest.raises(InvalidInput) as caught:
        await store.commit(batch)
    assert {"field", "value", "fix"} <= caught.value.facts.keys()
    await good
    assert await keys_of(store, "") == ["good"]


async def test_questions_that_cannot_be_are_refused(store: Store) -> None:
    """Negative counts and half characters."""
    for question in (
        store.scan("", limit=-1),
        store.scan("\ud800"),
        store.scan("", after="\ud800"),
        store.count("\ud800"),
        store.get("\ud800"),
        store.read(limit=-1),
        store.read(subject="\ud800"),
        store.trim(-1),
    ):
        with pytest.raises(InvalidInput):
            await question


async def test_stats_count_what_was_written(store: Store) -> None:
    """Commits that succeeded, groups, and bytes."""
    assert store.stats().commit_count == 0
    await asyncio.gather(*(store.commit(puts(**{f"k{number}": "x"})) for number in range(20)))
    with pytest.raises(ConflictError):
        await store.commit(put("k1", "y", expect=5))
    stats = store.stats()
    assert stats.commit_count == 20
    assert 1 <= stats.group_count <= 21
    assert stats.commit_p99_s >= 0
    assert stats.size_bytes > 0


async def test_closing_finishes_what_was_asked_for(store: Store) -> None:
    """Commits and reads that were asked for before get their answers."""
    await store.commit(puts(k="v"))
    commits = [store.submit(told(str(number))) for number in range(50)]
    async with asyncio.TaskGroup() as group:
        read = group.create_task(store.get("k"))
        scan = group.create_task(store.scan(""))
        closing = group.create_task(store.close())
    assert [future.result().seqs for future in commits] == [(number,) for number in range(1, 51)]
    assert read.result() == Row("k", 1, b"v")
    assert scan.result() == [Row("k", 1, b"v")]
    assert closing.done()


async def test_a_closed_store_answers_nothing(store: Store) -> None:
    """Every method says that it is closed; closing again is fine."""
    await store.close()
    await store.close()
    for question in (
        store.get("k"),
        store.scan(""),
        store.count(""),
        store.commit(puts(k="v")),
        store.read(),
        store.head(),
        store.trim(1),
    ):
        with pytest.raises(StoreError) as caught:
            await question
        assert caught.value.facts["cause"] == "closed"
    for ask in (store.stats, lambda: store.submit(puts(k="v"))):
        with pytest.raises(StoreError):
            ask()


@pytest.mark.parametrize("url", ["", "memory", "memory:x", "sqlite", "sqlite:", "sqlite:a\0b", "redis:x", "core.db"])
async def test_an_unknown_url_is_refused(tmp_path: Path, url: str) -> None:
    """With what may stand there; nothing is made."""
    with pytest.raises(InvalidInput) as caught:
        await open_store(url, home=tmp_path, clock=FakeClock())
    assert caught.value.facts["value"] == url
    assert files_in(tmp_path) == {}


@pytest.mark.parametrize("url", URLS.values())
async def test_a_store_knows_its_url(tmp_path: Path, url: str) -> None:
    """As it was given."""
    store = await open_store(url, home=tmp_path, clock=FakeClock())
    assert store.url == url
    await store.close()
