"""Admission of runs."""

from core.agents.pool import Pool
from core.api.base import AgentName, RunId

A, B = AgentName("a"), AgentName("b")
R = [RunId(f"r{number}") for number in range(6)]


def test_runs_beyond_the_limit_wait_in_the_order_in_which_they_came() -> None:
    """First in, first out; a slot that comes free goes to the longest waiting."""
    pool = Pool({A: 2})
    assert [pool.join(A, run) for run in R[:4]] == [True, True, False, False]
    assert [pool.find_position(A, run) for run in R[:4]] == [None, None, 0, 1]
    assert pool.leave(A, R[0]) == (R[2],)
    assert pool.find_position(A, R[3]) == 0
    assert pool.leave(A, R[2]) == (R[3],)
    assert (pool.busy_count(A), pool.waiting_count(A)) == (2, 0)


def test_one_that_gives_up_waiting_lets_the_next_move_up() -> None:
    """Leaving the queue takes no slot from anybody."""
    pool = Pool({A: 1})
    for run in R[:3]:
        pool.join(A, run)
    assert pool.leave(A, R[1]) == ()
    assert pool.leave(A, R[0]) == (R[2],)


def test_asking_twice_counts_once() -> None:
    """The same run holds one slot or one place, and leaving twice frees nothing twice."""
    pool = Pool({A: 1})
    assert pool.join(A, R[0])
    assert pool.join(A, R[0])
    assert not pool.join(A, R[1])
    assert not pool.join(A, R[1])
    assert (pool.busy_count(), pool.waiting_count()) == (1, 1)
    pool.leave(A, R[0])
    assert pool.leave(A, R[0]) == ()
    assert pool.busy_count(A) == 1


def test_agents_do_not_share_slots() -> None:
    """A busy agent holds up only its own runs."""
    pool = Pool({A: 1, B: 1})
    assert pool.join(A, R[0])
    assert pool.join(B, R[1])
    assert (pool.busy_count(), pool.limit(A)) == (2, 1)
