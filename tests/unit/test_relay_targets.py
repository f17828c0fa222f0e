"""Targets of the relay: attempts are what counts, our own doing does not, and each stands for itself."""

import math

import pytest

from core.api.breakers import BreakerChanged, BreakerState
from core.api.relay_targets import TargetActive, TargetHeld
from core.api.relay_tasks import AttemptResult
from core.relay.target import RETRY_AFTER_CAP_S
from core.relay.targets import Tally, Way
from core.relay.wire import Reply
from core.store.memory import MemoryStore
from tests.support.relay_targets import (
    HERE,
    OPERATOR,
    THERE,
    arrived,
    bot,
    cut_off,
    limited,
    refused_connection,
    targets,
)

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


async def test_five_failed_attempts_in_a_row_open_the_breaker_and_no_other() -> None:
    """The countdown is in the view, and the gate lets nothing through until it is over."""
    async with targets(bot(), bot("other", THERE)) as rig:
        rig.send(*[refused_connection()] * 4, arrived(), *[refused_connection()] * 4)
        assert rig.targets.view(HERE).breaker.state is CLOSED
        rig.send(refused_connection())
        view = rig.targets.view(HERE)
        assert (view.breaker.state, view.last_error) == (OPEN, "connection refused")
        assert view.breaker.next_probe is not None
        assert view.breaker.next_probe.mono == rig.clock.monotonic() + 30.0
        assert rig.targets.gate(HERE).wait_s() == 30.0
        assert not rig.targets.gate(HERE).admit()
        assert rig.targets.view(THERE).breaker.state is CLOSED
        assert rig.targets.gate(THERE).wait_s() == 0.0


async def test_five_cancellations_leave_the_breaker_closed() -> None:
    """What we break off ourselves says nothing about the far side, and is no sample of its health."""
    async with targets() as rig:
        rig.send(*[refused_connection()] * 4, *[cut_off()] * 5)
        view = rig.targets.view(HERE)
        assert (view.breaker.state, view.breaker.failures, view.sample_count) == (CLOSED, 4, 4)
        rig.send(*[Reply(result=AttemptResult.REFUSED, error="10.0.0.7 may not be called")] * 5)
        view = rig.targets.view(HERE)
        assert (view.breaker.state, view.sample_count) == (CLOSED, 4)
        assert view.last_error == "10.0.0.7 may not be called"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 422, 501, 301])
async def test_a_final_answer_shows_that_the_far_side_lives(status: int) -> None:
    """It breaks a row of failures; in the health it is an answer, and no success."""
    async with targets() as rig:
        refused = Reply(result=AttemptResult.REFUSED, status=status, error="no", is_gone=status == 410)
        rig.send(*[refused_connection()] * 4, refused)
        view = rig.targets.view(HERE)
        assert (view.breaker.failures, view.last_status, view.success_rate) == (0, status, 0.0)
        assert view.p50_s == 0.0
        assert view.last_ok is None


async def test_one_healthy_target_is_not_touched_by_a_hundred_dead_ones() -> None:
    """It is neither held up nor shown, nor is its mailbox woken, however the others fail."""
    dead = [f"http://10.0.1.{number}:8080" for number in range(100)]
    async with targets(bot(), *[bot(f"b{number}", url) for number, url in enumerate(dead)]) as rig:
        await rig.clock.advance(0)
        for origin in dead:
            rig.trip(origin)
        await rig.clock.advance(2.0)
        assert not rig.was_woken(HERE)
        assert {rig.targets.view(origin).breaker.state for origin in dead} == {OPEN}
        assert not [event for event in rig.live if isinstance(event, TargetActive) and event.target.origin == HERE]
        assert rig.targets.gate(HERE).wait_s() == 0.0
        rig.send(arrived())
        assert rig.targets.view(HERE).success_rate == 1.0


async def test_a_far_side_that_asks_for_time_is_left_alone_that_long() -> None:
    """Told once, shown with its end, and its gate opens by itself then."""
    async with targets() as rig:
        rig.send(limited(40.0))
        view = rig.targets.view(HERE)
        assert view.held is not None
        assert (view.held.mono, view.held_why) == (rig.clock.monotonic() + 40.0, "too many requests")
        assert rig.targets.gate(HERE).wait_s() == 40.0
        await rig.clock.advance(0)
        assert [type(event) for event in rig.stored] == [TargetHeld]
        await rig.clock.advance(40.0)
        assert rig.targets.gate(HERE).wait_s() == 0.0
        await rig.clock.advance(1.0)
        last = [event.target for event in rig.live if isinstance(event, TargetActive)][-1]
        assert (last.held, last.breaker.failures) == (None, 1)


async def test_what_a_far_side_asks_for_has_an_upper_limit_and_can_be_nonsense() -> None:
    """An hour at most; no number and less than nothing ask for nothing; less than before changes nothing."""
    async with targets() as rig:
        for odd in (None, 0.0, -5.0, math.nan):
            rig.send(limited(odd), arrived())
        assert rig.targets.view(HERE).held is None
        first, second = rig.way(), rig.way()
        rig.targets.settle(first, limited(1e12))
        rig.targets.settle(second, limited(3.0))
        assert rig.targets.gate(HERE).wait_s() == RETRY_AFTER_CAP_S


async def test_only_so_many_messages_are_out_at_a_time() -> None:
    """The next goes when one has ended, and a place that is not used is free again."""
    async with targets(in_flight=2) as rig:
        gate = rig.targets.gate(HERE)
        first, _second = rig.way(), rig.way()
        assert gate.wait_s() == math.inf
        assert not gate.admit()
        rig.was_woken()
        rig.targets.settle(first, arrived())
        assert rig.was_woken()
        assert gate.admit()
        assert gate.wait_s() == math.inf
        rig.targets.not_used(HERE)
        assert gate.wait_s() == 0.0
        assert gate.admit()
        rig.targets.vacated(HERE)
        assert gate.wait_s() == 0.0


async def test_a_place_is_worth_nothing_once_the_breaker_has_opened() -> None:
    """Of eight messages that had a place the first failures keep the others back; none of them is an attempt."""
    async with targets(in_flight=20) as rig:
        gate = rig.targets.gate(HERE)
        for _ in range(8):
            assert gate.admit()
        out = [rig.targets.begin(HERE) for _ in range(5)]
        for way in out:
            assert isinstance(way, Way)
            rig.targets.settle(way, refused_connection())
        assert [rig.targets.begin(HERE) for _ in range(3)] == [0.0, 0.0, 0.0]
        assert rig.targets.view(HERE).sample_count == 5


async def test_one_probe_goes_and_its_success_closes_the_breaker() -> None:
    """Its time is shown while it is out; the others wait for it, and go when it came back."""
    async with targets() as rig:
        rig.tallies[HERE] = Tally(waiting=3)
        rig.trip()
        gate = rig.targets.gate(HERE)
        await rig.clock.advance(30.1)
        assert rig.targets.view(HERE).breaker.state is HALF_OPEN
        probe = rig.way()
        breaker = rig.targets.view(HERE).breaker
        assert breaker.probe_began is not None
        assert (breaker.probe_began.mono, breaker.probe_limit_s) == (rig.clock.monotonic(), 40.0)
        assert gate.wait_s() == pytest.approx(40.0)
        assert not gate.admit()
        assert rig.targets.view(HERE).breaker.refused == 1
        rig.was_woken()
        rig.targets.settle(probe, arrived())
        assert rig.was_woken()
        assert gate.wait_s() == 0.0
        await rig.clock.advance(0)
        states = [event.breaker.state for event in rig.stored if isinstance(event, BreakerChanged)]
        assert states == [OPEN, HALF_OPEN, CLOSED]
        causes = [item.cause for item in rig.targets.view(HERE).breaker.transitions]
        assert causes == ["5 failures in a row: connection refused", "the open time is over", "the probe succeeded"]


async def test_a_probe_that_is_cut_off_leaves_its_place_to_the_next() -> None:
    """Nothing is known of the far side, so another may go at once."""
    async with targets() as rig:
        rig.trip()
        await rig.clock.advance(30.1)
        rig.targets.settle(rig.way(), cut_off())
        assert rig.was_woken()
        assert rig.targets.view(HERE).breaker.state is HALF_OPEN
        rig.send(arrived())
        assert rig.targets.view(HERE).breaker.state is CLOSED


async def test_questions_take_no_place_of_messages_but_ask_the_breaker() -> None:
    """While it is open they are told for how long, and are counted as refused; the health is that of messages."""
    async with targets(in_flight=1) as rig:
        message = rig.way()
        question = rig.targets.ask(HERE)
        assert isinstance(question, Way)
        rig.targets.settle(question, arrived())
        rig.targets.settle(message, refused_connection())
        for _ in range(4):
            asked = rig.targets.ask(HERE)
            assert isinstance(asked, Way)
            rig.targets.settle(asked, refused_connection())
        assert rig.targets.ask(HERE) == 30.0
        view = rig.targets.view(HERE)
        assert (view.breaker.state, view.breaker.refused, view.sample_count) == (OPEN, 1, 1)
        await rig.targets.breakers.hold_breaker(HERE, "maintenance", OPERATOR)
        assert rig.targets.ask(HERE) == math.inf


async def test_health_is_of_the_last_two_hundred_attempts() -> None:
    """Part that arrived, and the latencies of what was answered."""
    async with targets() as rig:
        rig.send(*[refused_connection(), arrived()] * 10)
        for number in range(200):
            way = rig.way()
            rig.clock.step((number % 100 + 1) / 100)
            rig.targets.settle(way, arrived() if number % 4 else Reply(result=AttemptResult.UNKNOWN, status=502))
        view = rig.targets.view(HERE)
        assert (view.sample_count, view.success_rate, view.last_status) == (200, 0.75, 202)
        assert view.p50_s == pytest.approx(0.51, abs=0.011)
        assert view.p95_s == pytest.approx(0.96, abs=0.011)
        assert view.last_ok is not None
        assert view.last_ok.mono == rig.clock.monotonic()


async def test_a_target_is_shown_at_most_once_a_second() -> None:
    """However much happens; and the last state is shown in the end."""
    async with targets() as rig:
        for _ in range(50):
            rig.send(arrived())
            await rig.clock.advance(0.05)
        await rig.clock.advance(1.0)
        shown = [event.target for event in rig.live if isinstance(event, TargetActive)]
        assert 3 <= len(shown) <= 4
        assert shown[-1].sample_count == 50
        assert [view.version for view in shown] == sorted({view.version for view in shown})
        count = len(rig.live)
        await rig.clock.advance(60.0)
        assert len(rig.live) == count
        assert rig.supervisor.job_count == 0


async def test_a_wall_clock_that_jumps_while_it_runs_changes_no_wait() -> None:
    """Only the monotonic clock counts."""
    async with targets() as rig:
        rig.trip()
        rig.clock.jump(-1e6)
        assert rig.targets.gate(HERE).wait_s() == 30.0
        rig.clock.jump(5e6)
        assert rig.targets.gate(HERE).wait_s() == 30.0


async def test_targets_that_nothing_happens_to_cost_nothing() -> None:
    """A thousand of them: no job, no event, no row, however long."""
    store = MemoryStore()
    crowd = [bot(f"b{number}", f"http://10.1.{number // 250}.{number % 250}") for number in range(1000)]
    async with targets(*crowd, store=store) as rig:
        rows, head = len(await store.scan("relay_target/", limit=2000)), await rig.journal.head()
        await rig.clock.advance(86_400.0)
        assert len(rig.targets.names()) == 1000
        assert (rig.supervisor.job_count, rig.live, rig.mail.woken) == (0, [], [])
        assert (len(await store.scan("relay_target/", limit=2000)), await rig.journal.head()) == (rows, head)


async def test_nothing_goes_out_while_the_relay_is_paused() -> None:
    """Neither messages nor questions; a place that was given before is not used."""
    async with targets() as rig:
        gate = rig.targets.gate(HERE)
        assert gate.admit()
        rig.pausing.is_paused = True
        assert (gate.wait_s(), gate.admit(), rig.targets.begin(HERE)) == (math.inf, False, 0.0)
        assert rig.targets.ask(HERE) == math.inf
        rig.pausing.is_paused = False
        assert gate.wait_s() == 0.0
        rig.send(arrived())
