"""Upkeep writes when nobody does, and lets old events go."""

import asyncio

import pytest

from core.api.system import ShutdownStarted
from core.journal import Journal
from core.lag import LagMeter
from core.store.memory import MemoryStore
from core.upkeep import PROBE_EVERY_S, Upkeep
from tests.support.clocks import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """Time in the hands of the test."""
    return FakeClock()


async def test_an_idle_store_is_written_to_so_that_its_age_means_something(clock: FakeClock) -> None:
    """No event is made, and a store that is in use is left alone."""
    store = MemoryStore()
    journal = Journal(store, clock)
    upkeep = Upkeep(store=store, journal=journal, clock=clock, journal_keep=1000)
    task = asyncio.get_running_loop().create_task(upkeep.probe())
    await clock.advance(0)
    await clock.advance(PROBE_EVERY_S)
    assert journal.last_commit is not None
    first = journal.last_commit.mono
    await clock.advance(PROBE_EVERY_S - 1)
    await journal.commit([], [("x", ShutdownStarted(reason="busy"))])
    count = store.stats().commit_count
    await clock.advance(1)
    assert store.stats().commit_count == count
    assert journal.last_commit.mono > first
    assert await journal.head() == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_old_events_are_let_go(clock: FakeClock) -> None:
    """Only the newest stay."""
    store = MemoryStore()
    journal = Journal(store, clock)
    for number in range(5):
        await journal.commit([], [("x", ShutdownStarted(reason=str(number)))])
    task = asyncio.get_running_loop().create_task(
        Upkeep(store=store, journal=journal, clock=clock, journal_keep=2).trim()
    )
    await clock.advance(0)
    await clock.advance(60)
    assert [record.seq for record in await journal.read(limit=10)] == [4, 5]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_lag_is_how_much_later_than_asked_the_loop_woke(clock: FakeClock) -> None:
    """A late wake-up shows in the maximum; before the first measurement both are zero."""
    meter = LagMeter(clock)
    assert (meter.p99_s(), meter.max_s()) == (0.0, 0.0)
    task = asyncio.get_running_loop().create_task(meter.run())
    await clock.advance(0)
    for _ in range(200):
        await clock.advance(0.1)
    await clock.advance(0.6)
    assert meter.max_s() == pytest.approx(0.5)
    assert meter.p99_s() == pytest.approx(0.0, abs=1e-6)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
