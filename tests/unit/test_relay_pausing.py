"""The pause of the relay: it lasts, cuts nothing off, says what still goes on, and wakes everybody when it ends."""

import asyncio
import math

import pytest

from core.api.errors import ConflictError, StoreError
from core.api.relay_targets import PauseRelay, RelayPaused, RelayResumed, ResumeRelay
from core.store.base import Put
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.outbox import FullStore, SlowStore
from tests.support.relay_targets import HERE, OPERATOR, THERE, arrived, bot, targets


async def test_a_pause_lets_nothing_new_go_and_cuts_nothing_off() -> None:
    """What is being sent is settled as ever; the view says what goes on."""
    async with targets() as rig:
        way = rig.way()
        view = await rig.pausing.pause(PauseRelay(reason="strange\nanswers"), OPERATOR)
        assert (view.is_paused, view.by, view.reason) == (True, "ana", "strange answers")
        assert view.since is not None
        assert view.since.at == rig.clock.now()
        assert (view.sending, view.working, view.running, view.waiting) == (1, 2, 3, 4)
        assert rig.targets.gate(HERE).wait_s() == math.inf
        rig.targets.settle(way, arrived())
        assert rig.targets.view(HERE).success_rate == 1.0
        assert rig.pausing.why == "the relay is paused by ana: strange answers"


async def test_resuming_asks_all_gates_again() -> None:
    """And says so in the journal, with who did it."""
    async with targets(bot(), bot("b", THERE)) as rig:
        await rig.pausing.pause(PauseRelay(), OPERATOR)
        rig.mail.woken.clear()
        view = await rig.pausing.resume(ResumeRelay(), OPERATOR)
        assert (view.is_paused, view.since, rig.pausing.why) == (False, None, "")
        assert len(set(rig.mail.woken)) == 2
        assert rig.targets.gate(HERE).wait_s() == 0.0
        records = await rig.journal.read(limit=10)
        assert [(type(record.event), record.actor.name) for record in records] == [
            (RelayPaused, "ana"),
            (RelayResumed, "ana"),
        ]


async def test_a_second_pause_changes_nothing_and_a_second_resume_is_refused() -> None:
    """The reason and the time of the first stand."""
    async with targets() as rig:
        first = await rig.pausing.pause(PauseRelay(reason="one"), OPERATOR)
        rig.clock.step(5.0)
        assert await rig.pausing.pause(PauseRelay(reason="two"), OPERATOR) == first
        await rig.pausing.resume(ResumeRelay(), OPERATOR)
        with pytest.raises(ConflictError):
            await rig.pausing.resume(ResumeRelay(), OPERATOR)


async def test_a_pause_outlasts_a_restart() -> None:
    """With its age, and with a version that goes on; a resumed relay stays resumed."""
    store, clock = MemoryStore(), FakeClock()
    async with targets(store=store, clock=clock) as rig:
        await rig.pausing.pause(PauseRelay(reason="night"), OPERATOR)
    later = FakeClock(now=clock.now() + 60.0, monotonic=9.0)
    async with targets(store=store, clock=later) as rig:
        view = rig.pausing.view()
        assert (view.is_paused, view.reason, view.version) == (True, "night", 2)
        assert view.since is not None
        assert view.since.mono == 9.0 - 60.0
        assert rig.targets.gate(HERE).wait_s() == math.inf
        await rig.pausing.resume(ResumeRelay(), OPERATOR)
    async with targets(store=store) as rig:
        assert not rig.pausing.is_paused
        assert rig.pausing.view().version == 3


async def test_a_pause_that_cannot_be_read_is_one() -> None:
    """To send against an operator's will is worse than to wait for their word."""
    store = MemoryStore()
    async with targets(store=store) as rig:
        await rig.journal.commit([Put("relay_pause", b"\xff{")], [])
    async with targets(store=store) as rig:
        assert rig.pausing.is_paused
        assert "cannot be read" in rig.pausing.view().reason
        await rig.pausing.resume(ResumeRelay(), OPERATOR)
        assert not rig.pausing.is_paused


async def test_a_pause_that_cannot_be_stored_is_none() -> None:
    """It goes on, and the gates are asked again; a resume that cannot be stored leaves it paused."""
    store = FullStore()
    async with targets(store=store) as rig:
        store.is_full = True
        with pytest.raises(StoreError):
            await rig.pausing.pause(PauseRelay(), OPERATOR)
        assert not rig.pausing.is_paused
        assert rig.was_woken()
        store.is_full = False
        await rig.pausing.pause(PauseRelay(), OPERATOR)
        store.is_full = True
        with pytest.raises(StoreError):
            await rig.pausing.resume(ResumeRelay(), OPERATOR)
        assert rig.pausing.is_paused


async def test_whoever_gives_up_waiting_for_the_store_takes_nothing_back() -> None:
    """What was asked for is written, so it counts."""
    async with targets() as rig:
        asked = asyncio.get_running_loop().create_task(rig.pausing.pause(PauseRelay(), OPERATOR))
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await rig.clock.advance(0)
        assert rig.pausing.is_paused
        assert rig.pausing.view().is_paused


async def test_an_order_waits_for_what_came_of_the_one_before() -> None:
    """Else whoever pauses is told that it is paused, by a pause that a resume under way is about to end."""
    store = SlowStore()
    async with targets(store=store) as rig:
        await rig.pausing.pause(PauseRelay(reason="one"), OPERATOR)
        loop = asyncio.get_running_loop()
        store.hold_up()
        given_up = loop.create_task(rig.pausing.resume(ResumeRelay(), OPERATOR))
        await asyncio.sleep(0)
        given_up.cancel()
        again = loop.create_task(rig.pausing.pause(PauseRelay(reason="two"), OPERATOR))
        await asyncio.sleep(0)
        store.go_on()
        async with asyncio.timeout(5):
            view = await again
        await rig.clock.advance(0)
        assert (view.is_paused, view.reason, rig.pausing.is_paused) == (True, "two", True)
        assert given_up.cancelled()


async def test_whoever_pauses_twice_is_told_that_it_is_paused() -> None:
    """Also when the first order is still being written, and nobody waits for it; and no two views have one version."""
    store = SlowStore()
    async with targets(store=store) as rig:
        loop = asyncio.get_running_loop()
        store.hold_up()
        given_up = loop.create_task(rig.pausing.pause(PauseRelay(), OPERATOR))
        await asyncio.sleep(0)
        given_up.cancel()
        again = loop.create_task(rig.pausing.pause(PauseRelay(), OPERATOR))
        resumed = loop.create_task(rig.pausing.resume(ResumeRelay(), OPERATOR))
        await asyncio.sleep(0)
        store.go_on()
        async with asyncio.timeout(5):
            first, second = await again, await resumed
        assert (first.is_paused, second.is_paused) == (True, False)
        assert second.version == first.version + 1
