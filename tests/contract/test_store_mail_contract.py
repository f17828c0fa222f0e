"""What every store does with its mail log, whatever its medium."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.api.errors import ConflictError, InvalidInput, StoreError
from core.store.base import Batch, Entry, Pack, Put, Store
from core.store.batch import PACK_BYTES
from tests.support.stores import URLS, mailed, opened, records_of


@pytest.fixture(params=sorted(URLS))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """One store of each kind in turn, empty."""
    made = await opened(request.param, tmp_path)
    yield made
    await made.close()


async def test_an_empty_log_has_no_pack(store: Store) -> None:
    """And its range is empty."""
    assert await store.read_packs() == []
    stats = store.stats()
    assert (stats.mail_first, stats.mail_last, stats.losses, stats.is_full) == (1, 0, (), False)


async def test_places_begin_at_1_and_grow_by_one(store: Store) -> None:
    """One commit after the other, each is a pack; a batch without mail takes no place."""
    assert (await store.commit(mailed("a", "b"))).place == 1
    assert (await store.commit(Batch([Put("k", b"")], [Entry("s", b"e")]))).place == 0
    assert (await store.commit(mailed("c"))).place == 2
    assert await store.read_packs() == [Pack(1, (b"a", b"b")), Pack(2, (b"c",))]
    stats = store.stats()
    assert (stats.mail_first, stats.mail_last) == (1, 2)


async def test_rows_entries_and_mail_are_one_change(store: Store) -> None:
    """All are there, or after a conflict none, and the place goes to the next one."""
    await store.commit(Batch([Put("k", b"1")], [Entry("s", b"1")], [b"m1"]))
    with pytest.raises(ConflictError):
        await store.commit(Batch([Put("k", b"2", expect=7)], [Entry("s", b"2")], [b"m2"], mail_floor=1))
    assert (await store.commit(mailed("m3"))).place == 2
    assert await records_of(store) == ["m1", "m3"]
    assert await store.head() == 1


async def test_mail_asked_for_together_is_found_at_its_places(store: Store) -> None:
    """In the order of the requests, conflicts left out, each batch in the pack that was named to it."""
    batches = [
        Batch([Put("k", b"", expect=9)], mail=[b"never"]) if number % 10 == 3 else mailed(f"{number}a", f"{number}b")
        for number in range(100)
    ]
    done = await asyncio.gather(*map(store.submit, batches), return_exceptions=True)
    packs = {pack.place: list(pack.records) for pack in await store.read_packs()}
    for batch, committed in zip(batches, done, strict=True):
        if isinstance(committed, ConflictError):
            continue
        assert not isinstance(committed, BaseException)
        records = packs[committed.place]
        assert records[:2] == list(batch.mail)
        del records[:2]
    assert not any(packs.values())
    assert sorted(packs) == list(range(1, max(packs) + 1))


@pytest.mark.parametrize(
    "records",
    [[b""], [b"", b"", b"x"], [bytes(range(256))], [b"\0" * 5000, b"\xff"], [b"x" * 2_000_000, b"y"]],
    ids=["none", "several", "all", "zeros", "big"],
)
async def test_records_come_back_as_they_were(store: Store, records: list[bytes]) -> None:
    """Any bytes, from none to megabytes, each with its own ends."""
    await store.commit(Batch(mail=records))
    assert await store.read_packs() == [Pack(1, tuple(records))]


async def test_one_batch_is_never_split(store: Store) -> None:
    """Neither one that is larger than a pack should be, nor what stands beside it."""
    large = [bytes([number]) * (PACK_BYTES // 4) for number in range(6)]
    asked = [store.submit(batch) for batch in (mailed("a"), Batch(mail=large), mailed("b"))]
    places = [(await future).place for future in asked]
    assert places == sorted(places)
    packs = {pack.place: pack.records for pack in await store.read_packs(limit_bytes=100 * PACK_BYTES)}
    assert packs[places[1]][-6:] == tuple(large) or packs[places[1]][:6] == tuple(large)
    assert [record for pack in packs.values() for record in pack] == [b"a", *large, b"b"]


async def test_a_pack_takes_no_more_than_it_should(store: Store) -> None:
    """Batches that come together and are large in sum go into several packs."""
    third = PACK_BYTES // 3
    asked = [store.submit(Batch(mail=[bytes([number]) * third])) for number in range(8)]
    places = [(await future).place for future in asked]
    assert places == sorted(places)
    packs = await store.read_packs(limit_bytes=100 * PACK_BYTES)
    assert [pack.place for pack in packs] == sorted(set(places))
    assert max(sum(map(len, pack.records)) for pack in packs) <= PACK_BYTES


async def test_pages_of_packs_put_together_are_the_log(store: Store) -> None:
    """At least one pack a page, never more bytes than asked for otherwise, nothing missing, nothing twice."""
    texts = ["x" * (1 + 37 * number % 400) for number in range(60)]
    for text in texts:
        await store.commit(mailed(text))
    for limit_bytes in (0, 1, 300, 1000, 10**6):
        seen: list[Pack] = []
        while page := await store.read_packs(after=seen[-1].place if seen else 0, limit_bytes=limit_bytes):
            assert len(page) == 1 or sum(len(record) for pack in page for record in pack.records) <= limit_bytes
            seen += page
        assert [pack.place for pack in seen] == list(range(1, 61))
        assert [record.decode() for pack in seen for record in pack.records] == texts
    assert await store.read_packs(after=60) == []
    assert await store.read_packs(after=10**18) == []


async def test_the_floor_lets_packs_go(store: Store) -> None:
    """Those up to it, at once with the mail of the same batch; the range begins behind it."""
    for text in "abcd":
        await store.commit(mailed(text))
    assert (await store.commit(Batch(mail=[b"e"], mail_floor=2))).place == 5
    assert await records_of(store) == ["c", "d", "e"]
    stats = store.stats()
    assert (stats.mail_first, stats.mail_last, stats.losses) == (3, 5, ())
    await store.commit(Batch(mail_floor=1))
    assert await records_of(store) == ["c", "d", "e"]
    assert store.stats().mail_first == 3


async def test_places_are_not_used_again(store: Store) -> None:
    """Also when everything was let go of, and the floor asked for was beyond the end."""
    await store.commit(mailed("a"))
    await store.commit(mailed("b"))
    await store.commit(Batch(mail_floor=10**12))
    assert await store.read_packs() == []
    stats = store.stats()
    assert (stats.mail_first, stats.mail_last) == (3, 2)
    assert (await store.commit(mailed("c"))).place == 3
    assert await store.read_packs() == [Pack(3, (b"c",))]


async def test_a_floor_spares_what_the_same_batch_brings(store: Store) -> None:
    """It can only mean what was there before."""
    await store.commit(mailed("a"))
    await store.commit(Batch(mail=[b"b"], mail_floor=10**12))
    assert await store.read_packs() == [Pack(2, (b"b",))]


async def test_relief_is_like_any_other_batch_while_there_is_room(store: Store) -> None:
    """The mark changes neither order nor result."""
    asked = [store.submit(Batch(mail=[str(number).encode()], is_relief=number % 2 == 0)) for number in range(20)]
    places = [(await future).place for future in asked]
    assert all(one <= other for one, other in itertools.pairwise(places))
    assert await records_of(store) == [str(number) for number in range(20)]
    with pytest.raises(ConflictError):
        await store.commit(Batch([Put("k", b"", expect=3)], mail=[b"never"], is_relief=True))
    assert not store.stats().is_full


async def test_mail_that_cannot_be_is_refused(store: Store) -> None:
    """Negative places and sizes, by name."""
    with pytest.raises(InvalidInput) as caught:
        await store.commit(Batch(mail_floor=-1))
    assert caught.value.facts["field"] == "mail_floor"
    for question in (store.read_packs(after=-1), store.read_packs(limit_bytes=-1)):
        with pytest.raises(InvalidInput):
            await question


async def test_a_closed_store_reads_no_mail(store: Store) -> None:
    """It says that it is closed."""
    await store.close()
    with pytest.raises(StoreError) as caught:
        await store.read_packs()
    assert caught.value.facts["cause"] == "closed"


async def test_mail_counts_as_size(store: Store) -> None:
    """What is written makes the store larger."""
    before = store.stats().size_bytes
    for _ in range(70):
        await store.commit(Batch(mail=[b"x" * 10_000]))
    assert store.stats().size_bytes > before + 300_000
