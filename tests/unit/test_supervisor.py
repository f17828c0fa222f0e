"""The supervisor restarts what fails, ends what it started, and says who was left."""

import asyncio

import pytest

from core.api.errors import Refused
from core.api.system import ServiceView
from core.supervisor import Supervisor
from tests.support.clocks import FakeClock


class Watcher:
    """Takes what the supervisor tells."""

    def __init__(self) -> None:
        self.states: list[tuple[str, str, str]] = []
        self.errors: list[tuple[str, str]] = []

    def changed(self, view: ServiceView, error: str) -> None:
        """A service changed state."""
        self.states.append((view.name, view.state, error))

    def failed(self, name: str, error: Exception) -> None:
        """A job raised."""
        self.errors.append((name, str(error)))


@pytest.fixture
def watcher() -> Watcher:
    """Takes what the supervisor tells."""
    return Watcher()


async def test_a_service_that_fails_is_restarted_with_growing_waits(watcher: Watcher) -> None:
    """Half a second, then one, and each failure is told in one line."""
    clock = FakeClock()
    supervisor = Supervisor(clock, watcher.changed, watcher.failed)
    starts: list[float] = []

    async def run() -> None:
        starts.append(clock.monotonic())
        raise RuntimeError("no luck\nsecond line")

    supervisor.start("poller", run)
    await clock.advance(0)
    await clock.advance(0.5)
    await clock.advance(1.0)
    assert [round(start - starts[0], 1) for start in starts] == [0.0, 0.5, 1.5]
    assert ("poller", "restarting", "RuntimeError: no luck") in watcher.states
    assert supervisor.services[0].restart_count == 3
    assert await supervisor.stop(deadline_s=5) == []


async def test_a_service_that_returns_is_stopped_and_not_restarted(watcher: Watcher) -> None:
    """Returning is the way to say that all is done."""
    clock = FakeClock()
    supervisor = Supervisor(clock, watcher.changed, watcher.failed)

    async def run() -> None:
        await clock.sleep(1)

    supervisor.start("once", run)
    await clock.advance(0)
    await clock.advance(1)
    assert [state for _, state, _ in watcher.states] == ["starting", "running", "stopped"]
    assert await supervisor.stop(deadline_s=5) == []


async def test_what_does_not_end_in_time_is_named(watcher: Watcher) -> None:
    """The report names the task; nothing waits for ever."""
    supervisor = Supervisor(FakeClock(), watcher.changed, watcher.failed)
    may_end = asyncio.Event()

    async def stubborn() -> None:
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                continue

    supervisor.start("stubborn", stubborn)
    await asyncio.sleep(0)
    assert await supervisor.stop(deadline_s=0.01) == ["stubborn"]
    may_end.set()


async def test_services_stop_in_reverse_order(watcher: Watcher) -> None:
    """What was started last is stopped first."""
    supervisor = Supervisor(FakeClock(), watcher.changed, watcher.failed)
    ended: list[str] = []

    def service(name: str):
        async def run() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(name)

        return run

    for name in ("a", "b", "c"):
        supervisor.start(name, service(name))
    await asyncio.sleep(0)
    await supervisor.stop(deadline_s=5)
    assert ended == ["c", "b", "a"]


async def test_a_job_that_fails_is_told_unless_its_caller_is(watcher: Watcher) -> None:
    """Errors of the facade belong to whoever waits; all others are told."""
    supervisor = Supervisor(FakeClock(), watcher.changed, watcher.failed)

    async def broken() -> None:
        raise ValueError("a fault")

    async def refused() -> None:
        raise Refused("a rule")

    for name, job in (("broken", broken()), ("refused", refused())):
        await asyncio.gather(supervisor.spawn(name, job), return_exceptions=True)
    assert watcher.errors == [("broken", "a fault")]
    assert supervisor.job_count == 0


async def test_two_services_cannot_have_one_name(watcher: Watcher) -> None:
    """The second is refused."""
    supervisor = Supervisor(FakeClock(), watcher.changed, watcher.failed)
    supervisor.start("a", asyncio.Event().wait)
    with pytest.raises(ValueError, match="runs already"):
        supervisor.start("a", asyncio.Event().wait)
    await supervisor.stop(deadline_s=5)


async def test_a_service_that_does_not_let_go_holds_nobody_up(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stops it goes on after a while, and it is shown as failed."""
    monkeypatch.setattr("core.supervisor._END_LIMIT_S", 0.05)
    supervisor = Supervisor(FakeClock(), watcher.changed, watcher.failed)
    runs, go_on = asyncio.Event(), asyncio.Event()

    async def stubborn() -> None:
        runs.set()
        try:
            await asyncio.Event().wait()
        finally:
            await go_on.wait()

    supervisor.start("stubborn", stubborn)
    async with asyncio.timeout(20):
        await runs.wait()
        await supervisor.stop_service("stubborn")
    assert watcher.states[-1][:2] == ("stubborn", "failed")
    assert "did not end" in watcher.states[-1][2]
    go_on.set()


async def test_a_service_whose_cleaning_up_fails_is_not_begun_again(watcher: Watcher) -> None:
    """Its error must not hide that it was told to end."""
    supervisor = Supervisor(FakeClock(), watcher.changed, watcher.failed)
    runs: list[int] = []
    has_begun = asyncio.Event()

    async def clumsy() -> None:
        runs.append(1)
        has_begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("the other side is gone")

    supervisor.start("clumsy", clumsy)
    async with asyncio.timeout(5):
        await has_begun.wait()
        await supervisor.stop_service("clumsy")
    assert [state for _, state, _ in watcher.states] == ["starting", "running", "stopped"]
    assert len(runs) == 1


async def test_a_cancellation_that_nobody_ordered_is_a_failure_like_any_other(watcher: Watcher) -> None:
    """A library that lets its own CancelledError slip does not end a service in silence."""
    clock = FakeClock()
    supervisor = Supervisor(clock, watcher.changed, watcher.failed)
    starts: list[float] = []

    async def run() -> None:
        starts.append(clock.monotonic())
        if len(starts) == 1:
            raise asyncio.CancelledError
        await asyncio.Event().wait()

    supervisor.start("poller", run)
    await clock.advance(0)
    assert ("poller", "restarting", "CancelledError: it was cancelled, and not by the core") in watcher.states
    await clock.advance(0.5)
    assert len(starts) == 2
    assert supervisor.services[0].state == "running"
    assert await supervisor.stop(deadline_s=5) == []
    assert supervisor.services[0].state == "stopped"
