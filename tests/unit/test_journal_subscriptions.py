"""Subscriptions to the journal: the past replayed, the present live, no gap, no repeat, and an end."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.api.base import SYSTEM, Actor, ActorKind, Record, Seq
from core.api.errors import InvalidInput, Lagged, StoreError, Unavailable
from core.journal import Journal
from core.store.base import Put, Store
from tests.support.clocks import FakeClock
from tests.support.journals import said, taken, tell, text_of, until_idle
from tests.support.stores import URLS, opened

ANA = Actor(ActorKind.OPERATOR, "ana")


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture(params=sorted(URLS))
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    """One store of each kind in turn."""
    made = await opened(request.param, tmp_path, clock)
    yield made
    await made.close()


@pytest.fixture
def journal(store: Store, clock: FakeClock) -> Journal:
    """A journal on an empty store."""
    return Journal(store, clock)


# ---------------------------------------------------------------- subscriptions


async def test_replay_and_live_join_without_a_gap(journal: Journal) -> None:
    """From any place; first the stored ones, then what comes."""
    await tell(journal, "1", "2", "3")
    from_start, from_2, from_now = (journal.subscribe(after=Seq(after)) for after in (0, 2, 3))
    await tell(journal, "4")
    assert await taken(from_start, 4) == ["1", "2", "3", "4"]
    assert await taken(from_2, 2) == ["3", "4"]
    await tell(journal, "5")
    assert await taken(from_start, 1) + await taken(from_2, 1) == ["5", "5"]
    assert await taken(from_now, 2) == ["4", "5"]


async def test_a_subscription_begins_at_its_call(journal: Journal) -> None:
    """What comes before the first question is kept for it, live-only records too."""
    subscription = journal.subscribe(after=Seq(0))
    assert journal.subscriber_count == 1
    journal.publish("s", said("live"))
    await tell(journal, "stored")
    assert await taken(subscription, 2) == ["live", "stored"]


async def interleave(journal: Journal, first: Seq, dice: random.Random) -> list[list[int]]:
    """Three writers raise numbers in three rows; four subscribers come late. Which stored records each saw."""
    seen: list[list[int]] = []

    async def pause() -> None:
        for _ in range(dice.randrange(6)):
            await asyncio.sleep(0)

    async def writer(key: str) -> None:
        for number in range(1, 26):
            await journal.commit([Put(key, b"%d" % number)], [(key, said(f"{key} {number}"))] * dice.randint(1, 2))
            if dice.random() < 0.3:
                journal.publish(key, said("live"))
            await pause()

    async def reader() -> None:
        for _ in range(dice.randrange(8)):
            await pause()
        places: list[int] = []
        seen.append(places)
        subscription = journal.subscribe(after=first, buffer=dice.choice([200, 65_536]))
        async for record in subscription:
            if record.durable:
                places.append(record.seq)
            if text_of(record) == "end":
                break
            if dice.random() < 0.2:
                await pause()
        await subscription.aclose()

    async with asyncio.TaskGroup() as readers:
        for _ in range(4):
            readers.create_task(reader())
        async with asyncio.TaskGroup() as writers:
            for key in "abc":
                writers.create_task(writer(key))
        await tell(journal, "end")
    return seen


@pytest.mark.parametrize("kind", sorted(URLS))
async def test_late_subscribers_of_many_writers_see_the_same(tmp_path: Path, kind: str) -> None:
    """Fifty random interleavings: every reader has every stored record once and in order."""
    store = await opened(kind, tmp_path)
    journal = Journal(store, FakeClock())
    for seed in range(50):
        first = await store.head()
        seen = await interleave(journal, first, random.Random(seed))
        stored = [entry.seq for entry in await store.read(after=first, limit=1000)]
        assert len(stored) > 75
        assert seen == [stored] * 4
        assert journal.subscriber_count == 0
    await store.close()


async def test_a_long_replay_needs_no_room_for_what_comes_meanwhile(journal: Journal) -> None:
    """While it is behind, the store is the buffer: nothing is lost with room for three records."""
    await journal.commit((), [("s", said(str(number))) for number in range(2500)])
    subscription = journal.subscribe(after=Seq(0), buffer=3)
    got: list[str] = []
    for number in range(2500, 2560):
        got += await taken(subscription, 40)
        await tell(journal, str(number))
        journal.publish("s", said("live"))
    got += await taken(subscription, 160)
    assert got == [str(number) for number in range(2560)]


async def test_a_reader_that_falls_behind_is_told(journal: Journal) -> None:
    """One stored record too many: Lagged, then the end, and the journal has forgotten it."""
    subscription = journal.subscribe(after=Seq(0), buffer=5)
    await tell(journal, *"12345")
    assert journal.subscriber_count == 1
    await tell(journal, "6")
    assert journal.subscriber_count == 0
    with pytest.raises(Lagged):
        await anext(subscription)
    with pytest.raises(StopAsyncIteration):
        await anext(subscription)


async def test_live_records_are_dropped_for_a_full_reader(journal: Journal) -> None:
    """They are not worth a Lagged."""
    subscription = journal.subscribe(after=Seq(0), buffer=3)
    await tell(journal, "1", "2")
    for text in ("a", "b", "c"):
        journal.publish("s", said(text))
    assert await taken(subscription, 3) == ["1", "2", "a"]
    await tell(journal, "3")
    assert await taken(subscription, 1) == ["3"]


async def test_a_live_record_never_comes_behind_a_later_stored_one(journal: Journal) -> None:
    """Too late to be told in its place, it is stale and is dropped."""
    await tell(journal, "1")
    subscription = journal.subscribe(after=Seq(0))
    journal.publish("s", said("between 1 and 2"))
    await tell(journal, "2")
    journal.publish("s", said("behind 2"))
    assert await taken(subscription, 3) == ["1", "2", "behind 2"]


async def test_live_records_are_not_stored(journal: Journal, store: Store) -> None:
    """They have the place of the last stored one and are nowhere to be read."""
    seen: list[Record] = []
    journal.on_record(seen.append)
    journal.publish("s", said("before all"), actor=ANA, correlation="m")
    await tell(journal, "1")
    journal.publish("s", said("behind 1"))
    assert [(record.seq, record.durable, record.actor) for record in seen] == [
        (0, False, ANA),
        (1, True, SYSTEM),
        (1, False, SYSTEM),
    ]
    assert len(await store.read()) == 1


async def test_a_journal_goes_on_where_the_store_is(store: Store, clock: FakeClock, journal: Journal) -> None:
    """A new journal on a store that has entries begins behind them."""
    await tell(journal, "1", "2")
    later = Journal(store, clock)
    seen: list[Record] = []
    later.on_record(seen.append)
    later.publish("s", said("live"))
    assert seen[0].seq == 2


@pytest.mark.parametrize("after", [7, 100])
async def test_a_place_in_the_future_is_lagged(journal: Journal, after: int) -> None:
    """The store is not the one that the reader knew: it needs a new snapshot."""
    await tell(journal, "1")
    with pytest.raises(Lagged):
        await anext(journal.subscribe(after=Seq(after)))


async def test_a_place_that_is_gone_is_lagged(journal: Journal, store: Store) -> None:
    """Its records were trimmed away."""
    await tell(journal, *"12345")
    await store.trim(2)
    with pytest.raises(Lagged):
        await anext(journal.subscribe(after=Seq(2)))
    assert await taken(journal.subscribe(after=Seq(3)), 2) == ["4", "5"]


async def test_a_buffer_needs_room(journal: Journal) -> None:
    """None is no buffer."""
    with pytest.raises(InvalidInput):
        journal.subscribe(after=Seq(0), buffer=0)


# ---------------------------------------------------------------- ends


async def test_a_cancelled_reader_is_unsubscribed(journal: Journal) -> None:
    """While it waits for the next record."""
    subscription = journal.subscribe(after=Seq(0))
    task = asyncio.ensure_future(taken(subscription, 1))
    await until_idle()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert journal.subscriber_count == 0


async def test_a_closed_subscription_ends(journal: Journal) -> None:
    """Also for a reader that waits just then; closing again is fine."""
    subscription = journal.subscribe(after=Seq(0))
    task = asyncio.ensure_future(anext(subscription, None))
    await until_idle()
    await subscription.aclose()
    await subscription.aclose()
    assert await task is None
    assert journal.subscriber_count == 0


async def test_a_forgotten_subscription_is_unsubscribed(journal: Journal) -> None:
    """Whoever drops it need not close it."""
    subscription = journal.subscribe(after=Seq(0))
    await tell(journal, "1")
    assert await taken(subscription, 1) == ["1"]
    del subscription
    assert journal.subscriber_count == 0
    await tell(journal, "2")
    assert journal._inboxes == ()


async def test_closing_ends_readers_with_what_they_have(journal: Journal) -> None:
    """First what is buffered, then Unavailable; also for one that comes later."""
    subscription, waiting = journal.subscribe(after=Seq(0)), journal.subscribe(after=Seq(0))
    await tell(journal, "1", "2")
    assert await taken(waiting, 2) == ["1", "2"]
    task = asyncio.ensure_future(anext(waiting))
    await until_idle()
    journal.close()
    journal.close()
    assert await taken(subscription, 2) == ["1", "2"]
    for reader in (anext(subscription), task, anext(journal.subscribe(after=Seq(2)))):
        with pytest.raises(Unavailable):
            await reader
    assert journal.subscriber_count == 0


async def test_a_closed_store_ends_a_replay_with_its_error(journal: Journal, store: Store) -> None:
    """The reader hears why."""
    await tell(journal, "1")
    subscription = journal.subscribe(after=Seq(0))
    await store.close()
    with pytest.raises(StoreError):
        await anext(subscription)
    assert journal.subscriber_count == 0


async def test_reading_what_is_buffered_lets_the_loop_breathe(journal: Journal) -> None:
    """Not for every record, and not only at the end."""
    subscription = journal.subscribe(after=Seq(0))
    for number in range(4000):
        journal.publish("s", said(str(number)))
    rounds = 0

    async def others() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(others())
    await taken(subscription, 4000)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert 4 <= rounds <= 40
