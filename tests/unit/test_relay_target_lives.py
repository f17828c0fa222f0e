"""What lasts of targets of the relay: over restarts, orders of operators, and changes of the bindings."""

import asyncio
import math

import pytest

from core.api.breakers import BreakerMode, BreakerState
from core.api.errors import ConflictError, NotFound, StoreError
from core.api.relay_targets import TargetGone
from core.api.relay_tasks import AttemptResult
from core.relay.targets import Tally
from core.store.base import Batch, Committed, Put
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.outbox import FullStore, SlowStore
from tests.support.relay_targets import (
    HERE,
    OPERATOR,
    THERE,
    arrived,
    attempted,
    bot,
    limited,
    refused_connection,
    targets,
)

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


async def test_breakers_and_waits_outlast_a_restart() -> None:
    """With their countdown, their causes and who holds them; the time between counts."""
    store, clock = MemoryStore(), FakeClock()
    async with targets(bot(), bot("b", THERE), store=store, clock=clock) as rig:
        rig.trip()
        rig.send(limited(600.0), origin=THERE)
        await rig.clock.advance(0)
    later = FakeClock(now=clock.now() + 10.0, monotonic=5.0)
    async with targets(bot(), bot("b", THERE), store=store, clock=later) as rig:
        assert rig.targets.gate(HERE).wait_s() == pytest.approx(20.0)
        assert rig.targets.gate(THERE).wait_s() == pytest.approx(590.0)
        breaker = rig.targets.view(HERE).breaker
        assert (breaker.state, breaker.trip_count, breaker.last_error) == (OPEN, 1, "connection refused")
        assert breaker.transitions[0].cause == "5 failures in a row: connection refused"
        await rig.clock.advance(20.1)
        assert rig.targets.view(HERE).breaker.state is HALF_OPEN


@pytest.mark.parametrize("jump_s", [-86_400.0, -1.0, 86_400.0])
async def test_a_clock_that_jumps_between_starts_makes_no_wait_longer(jump_s: float) -> None:
    """Put back, a wait is at most what it was; put forward, it is over."""
    store, clock = MemoryStore(), FakeClock()
    async with targets(bot(), bot("b", THERE), store=store, clock=clock) as rig:
        rig.trip()
        rig.send(limited(600.0), origin=THERE)
        await rig.clock.advance(0)
    later = FakeClock(now=clock.now() + jump_s, monotonic=5.0)
    async with targets(bot(), bot("b", THERE), store=store, clock=later) as rig:
        assert rig.targets.gate(HERE).wait_s() <= 30.0
        assert rig.targets.gate(THERE).wait_s() <= 600.0
        assert (rig.targets.gate(THERE).wait_s() > 0) == (jump_s < 0)


async def test_rows_that_cannot_be_read_are_left_out() -> None:
    """The target begins afresh."""
    store = MemoryStore()
    async with targets(store=store) as rig:
        rig.trip()
        await rig.clock.advance(0)
        (row,) = await store.scan("relay_target/")
        await rig.journal.commit([Put(row.key, b"{")], [])
    async with targets(store=store) as rig:
        assert rig.targets.view(HERE).breaker.state is CLOSED


async def test_a_credential_has_an_age_that_outlasts_a_restart() -> None:
    """Until it is another one."""
    store, clock = MemoryStore(), FakeClock()
    async with targets(bot(peer="hq"), store=store, clock=clock) as rig:
        view = rig.targets.view(HERE)
        assert (view.peer, view.fingerprint) == ("hq", "ab12cd34")
        assert view.fingerprint_since is not None
        began = view.fingerprint_since.at
    clock.step(3600.0)
    async with targets(bot(peer="hq"), store=store, clock=clock) as rig:
        view = rig.targets.view(HERE)
        assert view.fingerprint_since is not None
        assert view.fingerprint_since.at == began
        rig.peers.fingerprints["hq"] = "ffffffff"
        rig.bindings.become(bot(peer="hq"), bot("b", THERE))
        await rig.clock.advance(0)
        view = rig.targets.view(HERE)
        assert view.fingerprint == "ffffffff"
        assert view.fingerprint_since is not None
        assert view.fingerprint_since.at == began + 3600.0


async def test_targets_come_and_go_with_the_bindings() -> None:
    """One that is not bound any more fades when nothing is under way to it, and its row with it."""
    store = MemoryStore()
    async with targets(bot(), store=store) as rig:
        rig.bindings.become(bot("b", THERE), bot("c", THERE))
        rig.tallies[HERE] = Tally(waiting=1)
        await rig.clock.advance(0)
        assert rig.targets.names() == [HERE, THERE]
        assert (rig.targets.view(HERE).is_bound, rig.targets.view(THERE).bots) == (False, ("b", "c"))
        rig.trip()
        rig.tallies.clear()
        rig.targets.counts_changed(HERE)
        await rig.clock.advance(1.1)
        assert rig.targets.names() == [THERE]
        assert TargetGone(origin=HERE) in rig.live
        assert [row.key for row in await store.scan("relay_target/")] == [f"relay_target/{THERE}"]


async def test_a_hold_of_an_operator_keeps_a_target_that_nothing_is_bound_to() -> None:
    """Whoever binds it again finds it held."""
    store = MemoryStore()
    async with targets(store=store) as rig:
        await rig.targets.breakers.hold_breaker(HERE, "stolen laptop", OPERATOR)
        rig.bindings.become()
        await rig.clock.advance(2.0)
        assert rig.targets.names() == [HERE]
    async with targets(bot("b", THERE), store=store) as rig:
        assert rig.targets.view(HERE).breaker.mode is BreakerMode.HELD
        await rig.targets.breakers.release_breaker(HERE, OPERATOR)
        await rig.clock.advance(2.0)
        assert rig.targets.names() == [THERE]


async def test_what_nobody_is_bound_to_is_forgotten_at_a_start() -> None:
    """Unless messages are under way there."""
    store = MemoryStore()
    async with targets(store=store) as rig:
        rig.trip()
        await rig.clock.advance(0)
    async with targets(bot("b", THERE), store=store) as rig:
        assert rig.targets.names() == [THERE]
        assert len(await store.scan("relay_target/")) == 1


async def test_operators_hold_release_reset_disable_and_probe() -> None:
    """Each is stored with its reason before it is answered, and its gate is asked again."""
    async with targets() as rig:
        orders = rig.targets.breakers
        gate = rig.targets.gate(HERE)
        held = await orders.hold_breaker(HERE, "maintenance", OPERATOR)
        assert (held.state, held.mode, held.reason) == (OPEN, BreakerMode.HELD, "maintenance")
        assert (gate.wait_s(), rig.was_woken()) == (math.inf, True)
        with pytest.raises(ConflictError, match="held by an operator"):
            await orders.probe_breaker(HERE, OPERATOR)
        released = await orders.release_breaker(HERE, OPERATOR)
        assert (released.state, released.mode, gate.wait_s()) == (CLOSED, BreakerMode.AUTOMATIC, 0.0)
        with pytest.raises(ConflictError, match="nobody holds"):
            await orders.release_breaker(HERE, OPERATOR)
        with pytest.raises(ConflictError, match="is closed"):
            await orders.probe_breaker(HERE, OPERATOR)
        rig.trip()
        probed = await orders.probe_breaker(HERE, OPERATOR)
        assert (probed.state, gate.wait_s()) == (HALF_OPEN, 0.0)
        assert probed.transitions[-1].cause == "an operator asked for a probe"
        rig.send(refused_connection())
        assert rig.targets.view(HERE).breaker.state is OPEN
        disabled = await orders.disable_breaker(HERE, "it must go out", OPERATOR)
        assert (disabled.state, disabled.mode) == (CLOSED, BreakerMode.DISABLED)
        rig.send(*[refused_connection()] * 20)
        assert rig.targets.view(HERE).breaker.state is CLOSED
        reset = await orders.reset_breaker(HERE, "watched again", OPERATOR)
        assert (reset.mode, reset.failures) == (BreakerMode.AUTOMATIC, 0)
        rig.trip()
        with pytest.raises(NotFound):
            await orders.reset_breaker("http://nowhere", "", OPERATOR)
        actors = {record.actor.name for record in await rig.journal.read(limit=100) if record.actor == OPERATOR}
        assert actors == {"ana"}


async def test_reset_and_probe_end_what_the_far_side_asked_for() -> None:
    """The operator's word counts more."""
    async with targets() as rig:
        rig.send(limited(600.0))
        await rig.targets.breakers.reset_breaker(HERE, "they called", OPERATOR)
        assert rig.targets.gate(HERE).wait_s() == 0.0
        rig.send(*[refused_connection()] * 4, limited(600.0))
        await rig.targets.breakers.probe_breaker(HERE, OPERATOR)
        assert rig.targets.gate(HERE).wait_s() == 0.0


async def test_an_order_that_cannot_be_stored_changes_nothing() -> None:
    """Neither the breaker nor the wait."""
    store = FullStore()
    async with targets(store=store) as rig:
        rig.send(limited(600.0))
        await rig.clock.advance(0)
        store.is_full = True
        with pytest.raises(StoreError):
            await rig.targets.breakers.reset_breaker(HERE, "", OPERATOR)
        assert rig.targets.gate(HERE).wait_s() == 600.0
        with pytest.raises(StoreError):
            await rig.targets.breakers.hold_breaker(HERE, "", OPERATOR)
        assert rig.targets.view(HERE).breaker.mode is BreakerMode.AUTOMATIC
        await rig.clock.advance(600.1)
        rig.send(*[refused_connection()] * 4)
        assert rig.targets.view(HERE).breaker.state is OPEN
        await rig.clock.advance(0)


class LastReserve(MemoryStore):
    """A store that takes only what makes room or ends work."""

    def submit(self, batch: Batch) -> asyncio.Future[Committed]:
        """Refuse everything else."""
        if not batch.is_relief:
            raise StoreError("the disk is full", cause="full")
        return super().submit(batch)


async def test_a_breaker_can_be_held_when_the_disk_is_almost_full() -> None:
    """Whoever wants a far side left alone is not told to clean up first."""
    async with targets(store=LastReserve()) as rig:
        await rig.targets.breakers.hold_breaker(HERE, "it answers nonsense", OPERATOR)
        assert rig.targets.gate(HERE).wait_s() == math.inf


async def test_a_start_that_finds_all_as_it_was_writes_nothing() -> None:
    """A thousand targets are no thousand rows at each start; a credential that is another one is noted."""
    store = MemoryStore()
    async with targets(bot(peer="hq"), bot("b", THERE), store=store):
        pass
    before = await store.scan("relay_target/")
    async with targets(bot(peer="hq"), bot("b", THERE), store=store):
        pass
    assert await store.scan("relay_target/") == before
    async with targets(bot(), bot("b", THERE), store=store):
        pass
    after = await store.scan("relay_target/")
    assert [row.key for row, other in zip(before, after, strict=True) if row != other] == [f"relay_target/{HERE}"]


async def test_the_health_of_before_a_restart_is_taken_up_from_the_books() -> None:
    """Attempts as they went, in their order; what we broke off ourselves is none; breakers know their own."""
    clock = FakeClock(monotonic=50.0)
    now = clock.now()
    books = [
        attempted(HERE, now - 10.0, AttemptResult.UNDELIVERED, status=503, error="busy"),
        attempted(HERE, now - 300.0, AttemptResult.DELIVERED, status=202, latency_s=0.25),
        attempted(HERE, now - 200.0, AttemptResult.UNDELIVERED, error="connection refused", latency_s=9.0),
        attempted(HERE, now - 5.0, AttemptResult.CUT_OFF, error="canceled"),
        attempted(THERE, now - 2.0, AttemptResult.DELIVERED, status=200),
    ]
    async with targets(clock=clock, books=books) as rig:
        view = rig.targets.view(HERE)
        assert (view.sample_count, view.success_rate, view.p95_s) == (3, 0.3333, 0.25)
        assert view.last_ok is not None
        assert (view.last_ok.at, view.last_ok.mono) == pytest.approx((now - 299.75, 50.0 - 299.75))
        assert (view.last_status, view.last_error, view.breaker.failures) == (503, "busy", 0)
        assert rig.targets.names() == [HERE]


async def test_when_a_target_was_last_well_is_known_after_a_restart_to_some_minutes() -> None:
    """Also when the books have forgotten it, and its breaker has not moved for long; it is stored now and then."""
    store, clock = MemoryStore(), FakeClock()
    async with targets(store=store, clock=clock) as rig:
        for _ in range(100):
            rig.send(arrived())
            await rig.clock.advance(60.0)
        last = clock.now() - 60.0
    async with targets(store=store, clock=clock, books=[attempted(HERE, last - 9e4, AttemptResult.DELIVERED)]) as rig:
        view = rig.targets.view(HERE)
        assert view.last_ok is not None
        assert last - 660.0 <= view.last_ok.at <= last


async def test_rows_of_targets_that_are_busy_are_not_written_with_each_message() -> None:
    """Once in ten minutes each."""
    store, clock = MemoryStore(), FakeClock()
    async with targets(store=store, clock=clock) as rig:
        (first,) = await store.scan("relay_target/")
        for _ in range(3000):
            rig.send(arrived())
            await rig.clock.advance(1.0)
        (last,) = await store.scan("relay_target/")
        assert 4 <= last.revision - first.revision <= 5


async def test_of_two_orders_at_once_that_cannot_be_stored_none_is_left() -> None:
    """The second must not go back to what the first only wanted."""
    store = SlowStore()
    async with targets(store=store) as rig:
        orders = rig.targets.breakers
        store.hold_up()
        loop = asyncio.get_running_loop()
        held = loop.create_task(orders.hold_breaker(HERE, "one", OPERATOR))
        disabled = loop.create_task(orders.disable_breaker(HERE, "two", OPERATOR))
        await rig.clock.advance(0)
        store.give_up()
        await rig.clock.advance(0)
        store.give_up()
        async with asyncio.timeout(5):
            found = await asyncio.gather(held, disabled, return_exceptions=True)
        assert isinstance(found[0], StoreError)
        mode = BreakerMode.AUTOMATIC if isinstance(found[1], StoreError) else BreakerMode.DISABLED
        assert rig.targets.view(HERE).breaker.mode is mode


async def test_dead_messages_bring_no_target_back_that_nobody_is_bound_to() -> None:
    """A start counts them for each origin there ever was; nobody is told of one that comes and goes at once."""
    async with targets() as rig:
        rig.tallies[THERE] = Tally(dead=3)
        rig.targets.counts_changed(THERE)
        await rig.clock.advance(2.0)
        assert rig.targets.names() == [HERE]
        assert not [event for event in rig.live if isinstance(event, TargetGone)]
        rig.tallies[THERE] = Tally(waiting=1, dead=2)
        rig.targets.counts_changed(THERE)
        assert rig.targets.names() == [HERE, THERE]
