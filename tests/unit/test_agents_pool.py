"""Admission of runs."""

import pytest

from core.agents.admission import POOL, Ended, PoolStep, Rules, WaitReason
from core.agents.pool import Pool
from core.api.base import AgentName, RunId
from core.api.errors import NotFound
from core.api.profiles import PoolState
from core.machine import IllegalTransition

A, B = AgentName("a"), AgentName("b")
R = [RunId(f"r{number}") for number in range(12)]


def pool_of(limit: int, **more: object) -> Pool:
    """A pool with one agent."""
    pool = Pool()
    pool.put(A, Rules(limit=limit, **more), 0.0)  # type: ignore[arg-type]  # the rest is as the test says
    return pool


def failed(pool: Pool, count: int, now: float = 0.0) -> None:
    """That many runs that come one after the other and fail."""
    for number in range(count):
        run = RunId(f"bad-{now}-{number}")
        assert pool.join(A, run, now)
        pool.leave(A, run, Ended.FAILED, now)


def state(pool: Pool) -> PoolState:
    """Of the one agent."""
    return pool.load(A).state


def test_runs_beyond_the_limit_wait_in_the_order_in_which_they_came() -> None:
    """First in, first out; a slot that comes free goes to the longest waiting."""
    pool = pool_of(2)
    assert [pool.join(A, run, 0.0) for run in R[:4]] == [True, True, False, False]
    assert [pool.find_reason(A, run, 0.0) for run in R[:4]] == [None, None, WaitReason.LIMIT, WaitReason.LIMIT]
    assert pool.leave(A, R[0], Ended.OK, 0.0) == (R[2],)
    assert [pool.find_reason(A, run, 0.0) for run in R[2:4]] == [None, WaitReason.LIMIT]
    assert pool.leave(A, R[2], Ended.OK, 0.0) == (R[3],)
    assert (pool.load(A).busy, pool.load(A).waiting) == (2, 0)


def test_one_that_gives_up_waiting_lets_the_next_move_up() -> None:
    """Leaving the queue takes no slot from anybody."""
    pool = pool_of(1)
    for run in R[:3]:
        pool.join(A, run, 0.0)
    assert pool.leave(A, R[1], Ended.NEUTRAL, 0.0) == ()
    assert pool.leave(A, R[0], Ended.OK, 0.0) == (R[2],)


def test_asking_twice_counts_once() -> None:
    """The same run holds one slot or one place, and leaving twice frees nothing twice."""
    pool = pool_of(1)
    assert pool.join(A, R[0], 0.0)
    assert pool.join(A, R[0], 0.0)
    assert not pool.join(A, R[1], 0.0)
    assert not pool.join(A, R[1], 0.0)
    assert (pool.busy_count(), pool.waiting_count()) == (1, 1)
    pool.leave(A, R[0], Ended.OK, 0.0)
    assert pool.leave(A, R[0], Ended.OK, 0.0) == ()
    assert pool.load(A).busy == 1


def test_agents_do_not_share_slots() -> None:
    """A busy agent holds up only its own runs."""
    pool = pool_of(1)
    pool.put(B, Rules(limit=1), 0.0)
    assert pool.join(A, R[0], 0.0)
    assert pool.join(B, R[1], 0.0)
    assert pool.busy_count() == 2
    assert not pool.join(A, R[2], 0.0)


def test_a_full_lane_lets_other_lanes_pass() -> None:
    """Its runs wait for the lane and not for the agent, and keep their order within it."""
    pool = pool_of(3, lanes={"cron": 1})
    assert pool.join(A, R[0], 0.0, lane="cron")
    assert [pool.join(A, run, 0.0, lane="cron") for run in R[1:3]] == [False, False]
    assert pool.join(A, R[3], 0.0)
    assert pool.find_reason(A, R[2], 0.0) is WaitReason.LANE
    assert pool.leave(A, R[0], Ended.OK, 0.0) == (R[1],)
    assert pool.leave(A, R[1], Ended.OK, 0.0) == (R[2],)


def test_a_freed_lane_gives_its_slot_to_the_longest_waiting_of_all() -> None:
    """A run of another lane that came later does not pass the one that waited for the lane."""
    pool = pool_of(1, lanes={"cron": 1})
    assert pool.join(A, R[0], 0.0, lane="cron")
    assert not pool.join(A, R[1], 0.0, lane="cron")
    assert not pool.join(A, R[2], 0.0)
    assert pool.leave(A, R[0], Ended.OK, 0.0) == (R[1],)
    assert pool.leave(A, R[1], Ended.OK, 0.0) == (R[2],)


def test_no_more_runs_start_than_runners_may_be_kept() -> None:
    """And who waits for that is told so."""
    pool = pool_of(5, runner_limit=2)
    assert [pool.join(A, run, 0.0) for run in R[:3]] == [True, True, False]
    assert pool.find_reason(A, R[2], 0.0) is WaitReason.RUNNERS
    assert not any(pool.join(A, run, 0.0) for run in R[3:6])
    # The limit is what it was: without a bound of runners it lets five go on.
    assert pool.put(A, Rules(limit=5), 0.0) == (R[2], R[3], R[4])
    assert pool.find_reason(A, R[5], 0.0) is WaitReason.LIMIT


def test_a_higher_limit_starts_those_who_wait() -> None:
    """An operator's counts until it is taken back; a lower one takes no slot from anybody."""
    pool = pool_of(1)
    for run in R[:5]:
        pool.join(A, run, 0.0)
    assert pool.set_limit(A, 3, 0.0) == (R[1], R[2])
    assert pool.find_reason(A, R[3], 0.0) is WaitReason.LIMIT
    assert pool.set_limit(A, 0, 0.0) == ()
    assert pool.load(A).busy == 3
    assert pool.find_reason(A, R[3], 0.0) is WaitReason.LIMIT
    assert pool.put(A, Rules(limit=4), 0.0) == (R[3],)
    # What is configured counts again, not the operator's three.
    assert pool.put(A, Rules(limit=1), 0.0) == ()
    assert [pool.leave(A, run, Ended.OK, 0.0) for run in R[:4]] == [(), (), (), (R[4],)]


def test_a_paused_agent_starts_nothing_and_forgets_nobody() -> None:
    """What waits keeps its place, what goes on ends, and resuming starts as many as fit."""
    pool = pool_of(1)
    pool.join(A, R[0], 0.0)
    pool.join(A, R[1], 0.0)
    pool.pause(A)
    pool.pause(A)
    assert pool.leave(A, R[0], Ended.OK, 0.0) == ()
    assert not pool.join(A, R[2], 0.0)
    assert pool.find_reason(A, R[1], 0.0) is WaitReason.PAUSED
    assert pool.resume(A, 0.0) == (R[1],)
    assert state(pool) is PoolState.READY


def test_a_disabled_agent_that_was_paused_is_paused_still() -> None:
    """Two orders of two kinds: enabling takes back one of them."""
    pool = pool_of(1)
    pool.pause(A)
    pool.disable(A)
    pool.join(A, R[0], 0.0)
    assert pool.find_reason(A, R[0], 0.0) is WaitReason.DISABLED
    assert pool.enable(A, 0.0) == ()
    assert state(pool) is PoolState.PAUSED
    pool.disable(A)
    assert pool.resume(A, 0.0) == ()
    assert state(pool) is PoolState.DISABLED
    assert pool.enable(A, 0.0) == (R[0],)


def test_failures_in_a_row_hold_an_agent_back() -> None:
    """As many as its rules say; a success in between clears the count, a run that was stopped does not touch it."""
    pool = pool_of(2, failure_limit=3)
    failed(pool, 2)
    pool.join(A, R[0], 0.0)
    pool.leave(A, R[0], Ended.OK, 0.0)
    assert pool.load(A).failure_count == 0
    failed(pool, 2)
    pool.join(A, R[1], 0.0)
    pool.leave(A, R[1], Ended.NEUTRAL, 0.0)
    assert (state(pool), pool.load(A).failure_count) == (PoolState.READY, 2)
    failed(pool, 1)
    assert (state(pool), pool.load(A).retry_at) == (PoolState.DEGRADED, 30.0)
    assert not pool.join(A, R[2], 29.9)
    assert (pool.find_reason(A, R[2], 29.9), pool.load(A).retry_at) == (WaitReason.DEGRADED, 30.0)
    assert pool.tick(29.9) == ()


def test_after_a_while_one_run_alone_tries_a_degraded_agent() -> None:
    """Its success opens the agent for all who wait."""
    pool = pool_of(3, failure_limit=1)
    failed(pool, 1)
    for run in R[:3]:
        assert not pool.join(A, run, 1.0)
    assert pool.tick(30.0) == (R[0],)
    assert pool.tick(31.0) == ()
    assert state(pool) is PoolState.PROBING
    assert pool.find_reason(A, R[1], 31.0) is WaitReason.PROBING
    assert pool.leave(A, R[0], Ended.OK, 32.0) == (R[1], R[2])
    assert (state(pool), pool.load(A).failure_count) == (PoolState.READY, 0)


def test_who_comes_after_the_wait_does_not_pass_who_waited() -> None:
    """The first in the queue tries; the newcomer stands behind it until somebody lets time pass."""
    pool = pool_of(1, failure_limit=1)
    failed(pool, 1)
    pool.join(A, R[0], 1.0)
    assert not pool.join(A, R[1], 40.0)
    assert (pool.find_reason(A, R[0], 40.0), pool.load(A).retry_at) == (WaitReason.DEGRADED, 30.0)
    assert pool.join(A, R[0], 40.0)
    assert state(pool) is PoolState.PROBING


def test_each_try_that_fails_doubles_the_wait_up_to_ten_minutes() -> None:
    """A success begins it anew."""
    pool = pool_of(1, failure_limit=1, recovery_s=100.0)
    now, waits = 0.0, []
    failed(pool, 1)
    for number in range(5):
        retry_at = pool.load(A).retry_at
        assert retry_at is not None
        waits.append(retry_at - now)
        now = retry_at
        assert pool.join(A, R[number], now)
        pool.leave(A, R[number], Ended.FAILED, now)
    assert waits == [100.0, 200.0, 400.0, 600.0, 600.0]
    now += 600.0
    pool.join(A, R[6], now)
    pool.leave(A, R[6], Ended.OK, now)
    failed(pool, 1, now)
    assert pool.load(A).retry_at == now + 100.0


def test_a_try_that_was_stopped_says_nothing_and_the_next_may_try_at_once() -> None:
    """Neither better nor worse: the wait is not doubled."""
    pool = pool_of(1, failure_limit=1)
    failed(pool, 1)
    pool.join(A, R[0], 1.0)
    pool.join(A, R[1], 1.0)
    assert pool.tick(30.0) == (R[0],)
    assert pool.leave(A, R[0], Ended.NEUTRAL, 33.0) == (R[1],)
    assert state(pool) is PoolState.PROBING
    pool.leave(A, R[1], Ended.FAILED, 34.0)
    assert pool.load(A).retry_at == 34.0 + 60.0


def test_a_run_from_before_that_succeeds_ends_the_wait() -> None:
    """The agent works; one from before that fails does not prolong it."""
    pool = pool_of(3, failure_limit=1)
    pool.join(A, R[0], 0.0)
    pool.join(A, R[1], 0.0)
    failed(pool, 1)
    pool.join(A, R[2], 1.0)
    assert pool.leave(A, R[0], Ended.FAILED, 20.0) == ()
    assert pool.load(A).retry_at == 30.0
    assert pool.leave(A, R[1], Ended.OK, 21.0) == (R[2],)
    assert state(pool) is PoolState.READY


def test_resuming_a_degraded_agent_does_not_wait() -> None:
    """An operator knows that it is mended."""
    pool = pool_of(1, failure_limit=2)
    failed(pool, 2)
    pool.join(A, R[0], 1.0)
    assert pool.resume(A, 1.0) == (R[0],)
    assert (state(pool), pool.load(A).failure_count) == (PoolState.READY, 0)


def test_an_agent_can_go_while_its_runs_do_not() -> None:
    """Those who wait are given back, those with a slot count until they leave, also for the next of that name."""
    pool = pool_of(2)
    for run in R[:4]:
        pool.join(A, run, 0.0)
    assert pool.remove(A) == (R[2], R[3], R[0], R[1])
    assert not pool.has(A)
    with pytest.raises(NotFound):
        pool.join(A, R[5], 0.0)
    pool.put(A, Rules(limit=2), 0.0)
    assert not pool.join(A, R[6], 0.0)
    assert pool.leave(A, R[0], Ended.FAILED, 0.0) == (R[6],)
    pool.remove(A)
    for run in (R[1], R[6]):
        assert pool.leave(A, run, Ended.OK, 0.0) == ()
    assert (pool.busy_count(), pool.waiting_count()) == (0, 0)
    assert pool.leave(A, R[0], Ended.OK, 0.0) == ()
    assert pool.remove(A) == ()


def test_a_change_of_state_is_told_once() -> None:
    """Who publishes it asks for what changed since."""
    pool = pool_of(1, failure_limit=1)
    pool.join(A, R[0], 0.0)
    assert pool.take_changed() == ()
    pool.leave(A, R[0], Ended.FAILED, 0.0)
    assert pool.take_changed() == (A,)
    assert pool.take_changed() == ()


def test_an_event_without_a_row_is_refused() -> None:
    """A disabled agent cannot be tried."""
    with pytest.raises(IllegalTransition):
        POOL.step(PoolState.DISABLED, PoolStep.TRY)
