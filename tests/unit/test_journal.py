"""The journal: rows and events in one commit, told in order, readable by every version."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.api.base import Actor, ActorKind, Mark, Record, Seq
from core.api.errors import ConflictError
from core.api.system import ShutdownStarted, UnknownEvent
from core.journal import Journal, Subscription
from core.store.base import Batch, Entry, Put, Row, Store
from core.waits import breathe
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


# ---------------------------------------------------------------- commit and read


async def test_a_commit_writes_rows_and_events(journal: Journal, store: Store, clock: FakeClock) -> None:
    """Together, with time, actor, subject and cause."""
    committed = await journal.commit(
        [Put("k", b"v")], [("k", said("a")), ("j", ShutdownStarted(reason="b"))], actor=ANA, correlation="m1"
    )
    assert (committed.seqs, committed.revisions) == ((1, 2), (1,))
    assert await store.get("k") == Row("k", 1, b"v")
    assert await journal.read() == [
        Record(Seq(1), clock.now(), ANA, "k", said("a"), durable=True, correlation="m1"),
        Record(Seq(2), clock.now(), ANA, "j", ShutdownStarted(reason="b"), durable=True, correlation="m1"),
    ]
    assert await journal.head() == 2


async def test_a_commit_that_conflicts_is_not_told(journal: Journal) -> None:
    """Neither to readers of the journal nor to subscribers; the next one is."""
    subscription = journal.subscribe(after=Seq(0))
    with pytest.raises(ConflictError):
        await journal.commit([Put("k", b"v", expect=3)], [("s", said("never"))])
    await tell(journal, "then")
    assert await taken(subscription, 1) == ["then"]
    assert [text_of(record) for record in await journal.read()] == ["then"]


@pytest.mark.parametrize("is_shielded", [False, True])
@pytest.mark.parametrize("rounds", range(8))
async def test_the_head_is_no_further_than_what_writers_have_in_memory(
    journal: Journal, rounds: int, is_shielded: bool
) -> None:
    """Whoever asks for it while something is written, reads memory and then subscribes after it, misses nothing."""
    known: list[str] = []

    async def write(text: str) -> None:
        what = journal.commit([], [("s", said(text))])
        await (asyncio.shield(what) if is_shielded else what)
        known.append(text)

    for number in range(20):
        writing = asyncio.ensure_future(write(str(number)))
        for _ in range(rounds):
            await breathe()
        # The store may be done already, in a thread of its own, while the loop has not heard of it.
        time.sleep(0.002)  # noqa: ASYNC251
        head = await journal.head()
        assert len(known) >= head
        await writing


async def test_who_stored_a_fact_knows_it_before_any_reader_hears_of_it(journal: Journal) -> None:
    """A reader that looks at once finds in memory what it was told."""
    subscription = journal.subscribe(after=Seq(0))
    known: list[str] = []

    async def read() -> None:
        known.extend(await taken(subscription, 1))

    reading = asyncio.ensure_future(read())
    await until_idle()
    stored = journal.submit([Put("k", b"v")], [("s", said("a"))])
    stored.add_done_callback(lambda _: known.append("stored"))
    await reading
    assert known == ["stored", "a"]


async def test_a_cancelled_caller_does_not_silence_its_records(journal: Journal, store: Store) -> None:
    """What was asked for is written and told, in its place."""
    subscription = journal.subscribe(after=Seq(0))
    task = asyncio.ensure_future(journal.commit([Put("k", b"v")], [("s", said("a"))]))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await tell(journal, "b")
    assert await taken(subscription, 2) == ["a", "b"]
    assert await store.get("k") == Row("k", 1, b"v")


async def test_a_cancelled_caller_of_a_failing_commit_leaves_no_noise(journal: Journal) -> None:
    """Nobody asks for its error, and nobody is told of one."""
    noise: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
    task = asyncio.ensure_future(journal.commit([Put("k", b"v", expect=3)], ()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await tell(journal, "a")
    assert noise == []


async def test_the_record_is_told_before_the_caller_goes_on(journal: Journal) -> None:
    """So what it publishes next comes behind what it stored."""
    subscription = journal.subscribe(after=Seq(0))
    await journal.commit((), [("s", said("stored"))])
    journal.publish("s", said("live"))
    records = [await anext(subscription), await anext(subscription)]
    assert [(text_of(record), record.seq, record.durable) for record in records] == [
        ("stored", 1, True),
        ("live", 1, False),
    ]


async def test_the_last_commit_has_a_mark(journal: Journal, clock: FakeClock) -> None:
    """None before the first; a commit that fails does not count."""
    assert journal.last_commit is None
    await journal.commit([Put("k", b"v")], ())
    assert journal.last_commit == Mark(clock.now(), clock.monotonic())
    former = journal.last_commit
    clock.step(5)
    with pytest.raises(ConflictError):
        await journal.commit([Put("k", b"v", expect=3)], ())
    assert journal.last_commit == former


async def test_reading_a_page(journal: Journal) -> None:
    """By place, by subject, from either end."""
    await tell(journal, "1", "2", "3")
    await tell(journal, "4", subject="t")
    await tell(journal, "5")
    assert [text_of(record) for record in await journal.read(after=Seq(1), limit=2)] == ["2", "3"]
    assert [text_of(record) for record in await journal.read(before=Seq(5), limit=2)] == ["3", "4"]
    assert [text_of(record) for record in await journal.read(subject="s", limit=2)] == ["3", "5"]


# ---------------------------------------------------------------- observers and strangers


async def test_a_failing_observer_costs_nobody_a_record(journal: Journal) -> None:
    """The others and the subscribers get it; the failure is reported to the loop."""
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    seen: list[str] = []

    def fail(_: Record) -> None:
        raise ValueError("played")

    journal.on_record(fail)
    journal.on_record(lambda record: seen.append(text_of(record)))
    subscription = journal.subscribe(after=Seq(0))
    await tell(journal, "1")
    assert seen == ["1"]
    assert await taken(subscription, 1) == ["1"]
    assert [str(error) for error in reported] == ["played"]


async def test_an_observer_hears_of_the_kinds_that_it_names_only(journal: Journal) -> None:
    """Also of those that were told before it came; without a kind it hears of all."""
    seen: list[str] = []
    journal.publish("core", ShutdownStarted(reason="drain"))
    journal.on_record(lambda record: seen.append(type(record.event).__name__), ShutdownStarted)
    await tell(journal, "1")
    journal.publish("core", ShutdownStarted(reason="drain"))
    journal.on_record(lambda _: seen.append("any"))
    await tell(journal, "2")
    assert seen == ["ShutdownStarted", "any"]


@pytest.mark.parametrize(
    ("body", "name", "at", "actor"),
    [
        (
            b'{"at":5.0,"actor":{"kind":"operator","name":"ana"},"event":{"type":"FromTheFuture","x":[1]}}',
            "FromTheFuture",
            5.0,
            "ana",
        ),
        (b'{"at":5.0,"event":{"type":"AlarmRaised","unheard_of":1}}', "AlarmRaised", 5.0, ""),
        (b'{"at":"soon"}', "", 0.0, ""),
        (b"\xff\xfe nonsense", "", 0.0, ""),
        (b"", "", 0.0, ""),
    ],
)
async def test_an_event_of_another_version_does_not_stop_reading(
    journal: Journal, store: Store, body: bytes, name: str, at: float, actor: str
) -> None:
    """It is shown as unknown, as it was stored; those behind it are read."""
    await store.commit(Batch((), [Entry("s", body)]))
    await tell(journal, "then")
    for record, following in (
        await journal.read(),
        [record async for record in _first(journal.subscribe(after=Seq(0)), 2)],
    ):
        assert record.event == UnknownEvent(name=name, body=body.decode(errors="replace"))
        assert (record.seq, record.subject, record.at, record.actor.name) == (1, "s", at, actor)
        assert text_of(following) == "then"


async def _first(subscription: Subscription, count: int) -> AsyncIterator[Record]:
    for _ in range(count):
        yield await anext(subscription)
