"""Two cores on one store: one keeps the time, the other takes over, and no time becomes two tasks."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.api.base import SYSTEM
from core.api.jobs import JobSpec, PauseJob, RunJob
from core.gateway.job_lease import LEASE_S, JobLease
from core.journal import Journal
from core.store.base import Store
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.job_rig import NOON, FakeOffice, JobRig
from tests.support.stores import opened

YEARLY = JobSpec(schedule="0 0 1 1 *", text="report")
EVERY_MINUTE = JobSpec(schedule="* * * * *", text="report")


@pytest.fixture
def clock() -> FakeClock:
    """Both cores look at it."""
    return FakeClock(NOON)


@pytest.fixture
async def store(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    """One file; a store that several cores can open gives both the same rows."""
    found = await opened("sqlite", tmp_path, clock)
    yield found
    await found.close()


async def settled(*rigs: JobRig) -> None:
    """Let both run; a file is written on a thread."""
    for _ in range(2):
        for rig in rigs:
            await rig.settle()


async def test_one_of_two_cores_keeps_the_time(store: Store, clock: FakeClock) -> None:
    """The other shows what the first does and starts nothing."""
    office = FakeOffice()
    first = await JobRig(store, clock, office, is_alone=False).start(report=EVERY_MINUTE)
    await settled(first)
    second = await JobRig(store, clock, office, is_alone=False, seed=1.0).start(report=EVERY_MINUTE)
    await settled(second)
    for _ in range(3):
        clock.step(20.0)
        await settled(first, second)
    assert first.keys == [f"cron-report@{NOON + 60:.0f}"]
    clock.step(10.0)
    await settled(first, second)
    view = await second.view("report")
    assert view.owner
    assert view.running is not None
    assert (await first.view("report")).owner == ""
    await first.stop()
    await second.stop()


async def test_the_other_takes_over_when_the_first_stops(store: Store, clock: FakeClock) -> None:
    """At once, since it lets go; what was under way is looked after by the other."""
    office = FakeOffice()
    first = await JobRig(store, clock, office, is_alone=False).start(report=EVERY_MINUTE)
    await settled(first)
    second = await JobRig(store, clock, office, is_alone=False, seed=1.0).start(report=EVERY_MINUTE)
    await settled(second)
    clock.step(60.0)
    await settled(first, second)
    await first.stop()
    await second.end(f"cron-report@{NOON + 60:.0f}", answer="done")
    for _ in range(6):
        clock.step(10.0)
        await settled(second)
    assert second.keys == [f"cron-report@{NOON + 60:.0f}", f"cron-report@{NOON + 120:.0f}"]
    assert (await second.view("report")).run_count == 2
    await second.stop()


async def test_a_core_that_froze_starts_nothing_that_another_started(store: Store, clock: FakeClock) -> None:
    """Its lease ran out while it did not look; where both believe in theirs, the revision of the row decides."""
    office = FakeOffice()
    first = JobRig(store, clock, office, is_alone=False)
    await first.jobs.open({"report": (EVERY_MINUTE, True)})
    second = JobRig(store, clock, office, is_alone=False, seed=1.0)
    await second.jobs.open({"report": (EVERY_MINUTE, True)})
    clock.step(61.0)
    # Both look at the same instant, each with what it read before.
    for rig in (first, second):
        await rig.jobs._look()
        await settled(rig)
    assert first.keys == [f"cron-report@{NOON + 60:.0f}"]
    assert (await second.view("report")).run_count == 1
    assert first.faults == second.faults == []


async def test_an_order_to_the_core_that_does_not_keep_the_time_counts(store: Store, clock: FakeClock) -> None:
    """It writes the row; the one that keeps the time finds it changed and goes by it."""
    office = FakeOffice()
    first = await JobRig(store, clock, office, is_alone=False).start(report=EVERY_MINUTE)
    await settled(first)
    second = await JobRig(store, clock, office, is_alone=False, seed=1.0).start(report=EVERY_MINUTE)
    await settled(second)
    await second.jobs.orders.pause_job(PauseJob(name="report"), SYSTEM)
    for _ in range(5):
        clock.step(30.0)
        await settled(first, second)
    assert office.orders == []
    assert (await first.view("report")).paused_by == "core"
    await first.stop()
    await second.stop()


async def test_a_run_that_the_other_core_was_asked_for_is_started(store: Store, clock: FakeClock) -> None:
    """The one that keeps the time finds it at its next look."""
    office = FakeOffice()
    first = await JobRig(store, clock, office, is_alone=False).start(report=YEARLY)
    await settled(first)
    second = await JobRig(store, clock, office, is_alone=False, seed=1.0).start(report=YEARLY)
    await settled(second)
    await second.jobs.orders.run_job(RunJob(name="report"), SYSTEM)
    clock.step(30.0)
    await settled(first, second)
    assert len(office.orders) == 1
    await first.stop()
    await second.stop()


async def test_a_lease_runs_out_and_one_from_the_future_does_not_hold() -> None:
    """A core that is gone is replaced after the lease; a clock that was set back does not bar all for years."""
    clock, store = FakeClock(NOON), MemoryStore()
    journal = Journal(store, clock)
    gone = JobLease(store, journal, clock, owner="gone", is_alone=False)
    fresh = JobLease(store, journal, clock, owner="fresh", is_alone=False)
    assert await gone.hold()
    assert not await fresh.hold()
    assert fresh.other == "gone"
    clock.step(LEASE_S + 1)
    assert await fresh.hold()
    assert not gone.is_held
    clock.jump(-10 * 365 * 86_400.0)
    late = JobLease(store, journal, clock, owner="late", is_alone=False)
    assert await late.hold()


async def test_the_only_core_need_not_wait_for_the_lease_of_a_crash() -> None:
    """A store that is one core's own says that the other is gone."""
    clock, store = FakeClock(NOON), MemoryStore()
    journal = Journal(store, clock)
    assert await JobLease(store, journal, clock, owner="crashed", is_alone=False).hold()
    assert await JobLease(store, journal, clock, owner="next", is_alone=True).hold()
