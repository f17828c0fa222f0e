"""Admission keeps its promises in any history of runs, failures, orders and time."""

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from core.agents.admission import Ended, Rules
from core.agents.pool import WAIT_CAP_S, Pool
from core.api.base import AgentName, RunId
from core.api.profiles import PoolState

A = AgentName("a")
LANES = ("", "main", "cron")
LANE_LIMITS = {"main": 2, "cron": 1}
CONFIGURED = 3
RUNNERS = 4
FAILURES = 2
# Rare things must be frequent enough here for their consequences to be met.
ENDS = (Ended.FAILED, Ended.FAILED, Ended.FAILED, Ended.OK, Ended.NEUTRAL)
ORDERS = ("resume", "resume", "resume", "enable", "enable", "pause", "disable")


class PoolHistory(RuleBasedStateMachine):
    """One agent; the test keeps its own books of who came when, who has a slot and who was let in."""

    def __init__(self) -> None:
        super().__init__()
        rules = Rules(limit=CONFIGURED, lanes=LANE_LIMITS, runner_limit=RUNNERS, failure_limit=FAILURES)
        self.pool = Pool()
        self.pool.put(A, rules, 0.0)
        self.now = 0.0
        self.count = 0
        self.limit = CONFIGURED
        self.waiting: dict[RunId, str] = {}
        self.busy: dict[RunId, str] = {}
        self.probe: RunId | None = None
        self.failures = 0

    def let_in(self, runs: tuple[RunId, ...]) -> None:
        """Look at who got a slot: the longest waiting of those whose lane has room, and one alone while it is tried."""
        if self.state is PoolState.PROBING and self.probe in self.busy:
            assert runs == ()
        for run_id in runs:
            assert run_id == next(other for other, lane in self.waiting.items() if self.has_room_in(lane))
            self.busy[run_id] = self.waiting.pop(run_id)
        assert not runs or self.state not in {PoolState.PAUSED, PoolState.DISABLED, PoolState.DEGRADED}
        assert not runs or len(self.busy) <= min(self.limit, RUNNERS)
        if self.state is not PoolState.PROBING:
            self.probe = None
        elif runs:
            (self.probe,) = runs

    def has_room_in(self, lane: str) -> bool:
        """Whether a further run of the lane may start."""
        return sum(other == lane for other in self.busy.values()) < LANE_LIMITS.get(lane, CONFIGURED + RUNNERS)

    @property
    def state(self) -> PoolState:
        """Of the agent."""
        return self.pool.load(A).state

    @rule(lanes=st.lists(st.sampled_from(LANES), min_size=1, max_size=4))
    def runs_come(self, lanes: list[str]) -> None:
        """Several at a time."""
        for lane in lanes:
            self.run_comes(lane)

    def run_comes(self, lane: str) -> None:
        """It gets a slot or a place, the same when it asks again."""
        self.count += 1
        run_id = RunId(f"r{self.count}")
        self.waiting[run_id] = lane
        if self.pool.join(A, run_id, self.now, lane=lane):
            self.let_in((run_id,))
        assert self.pool.join(A, run_id, self.now, lane=lane) == (run_id in self.busy)

    @precondition(lambda self: self.busy)
    @rule(number=st.integers(0, 100), ended=st.sampled_from(ENDS))
    def run_ends(self, number: int, ended: Ended) -> None:
        """Well, badly, or neither."""
        self.end(list(self.busy)[number % len(self.busy)], ended)

    @precondition(lambda self: self.probe is not None)
    @rule(ended=st.sampled_from(Ended))
    def try_ends(self, ended: Ended) -> None:
        """The run that tries a degraded agent."""
        assert self.probe is not None
        self.end(self.probe, ended)

    def end(self, run_id: RunId, ended: Ended) -> None:
        """Look at what follows from the end of a run."""
        before = self.state
        del self.busy[run_id]
        runs = self.pool.leave(A, run_id, ended, self.now)
        self.failures = {Ended.OK: 0, Ended.FAILED: self.failures + 1}.get(ended, self.failures)
        self.let_in(runs)
        if ended is Ended.OK:
            assert self.state not in {PoolState.DEGRADED, PoolState.PROBING}
        elif before is PoolState.READY:
            assert (self.state is PoolState.DEGRADED) == (ended is Ended.FAILED and self.failures >= FAILURES)

    @precondition(lambda self: self.waiting)
    @rule(number=st.integers(0, 100))
    def run_gives_up(self, number: int) -> None:
        """Whoever waits may go."""
        run_id = list(self.waiting)[number % len(self.waiting)]
        del self.waiting[run_id]
        self.let_in(self.pool.leave(A, run_id, Ended.NEUTRAL, self.now))

    @rule(seconds=st.sampled_from([0.5, 10.0, 31.0, 700.0]))
    def time_goes_on(self, seconds: float) -> None:
        """By a little or much."""
        self.time_passes(seconds)

    def time_passes(self, seconds: float) -> None:
        """A degraded agent is tried again in ten minutes at the latest."""
        self.now += seconds
        before = self.state
        self.let_in(self.pool.tick(self.now))
        if seconds > WAIT_CAP_S and before is PoolState.DEGRADED and self.may_start():
            assert self.state is PoolState.PROBING

    @precondition(lambda self: self.state is PoolState.DEGRADED)
    @rule()
    def wait_is_over(self) -> None:
        """Two come, and time passes: one of them tries, the other does not."""
        self.run_comes("")
        self.run_comes("")
        self.time_passes(WAIT_CAP_S + 1.0)

    @rule(order=st.sampled_from(ORDERS))
    def operator_orders(self, order: str) -> None:
        """To stop and to go on, in any order."""
        runs: tuple[RunId, ...] = ()
        match order:
            case "pause":
                self.pool.pause(A)
            case "disable":
                self.pool.disable(A)
            case "resume":
                self.failures = 0
                runs = self.pool.resume(A, self.now)
            case _:
                self.failures *= self.state is not PoolState.DISABLED
                runs = self.pool.enable(A, self.now)
        self.let_in(runs)

    @rule(limit=st.integers(0, 6))
    def operator_limits(self, limit: int) -> None:
        """0 is what is configured."""
        self.limit = limit or CONFIGURED
        self.let_in(self.pool.set_limit(A, limit, self.now))

    def may_start(self) -> bool:
        """Whether somebody waits who could be let in but for the agent's state."""
        return len(self.busy) < min(self.limit, RUNNERS) and any(map(self.has_room_in, self.waiting.values()))

    @invariant()
    def books_agree(self) -> None:
        """Who has a slot and who waits; in which order is seen by who is let in."""
        load = self.pool.load(A)
        assert (load.busy, load.waiting) == (len(self.busy), len(self.waiting))
        assert (self.pool.busy_count(), self.pool.waiting_count()) == (len(self.busy), len(self.waiting))

    @invariant()
    def one_run_tries(self) -> None:
        """An agent is being tried as long as the run that tries it goes on."""
        assert (self.state is PoolState.PROBING) == (self.probe in self.busy)

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        """While the agent is ready and there is room, no run that would fit waits."""
        if self.state is PoolState.READY:
            assert not self.may_start()

    @invariant()
    def a_reason_is_given(self) -> None:
        """Everybody who waits is told why, and only those."""
        for run_id in self.waiting:
            assert self.pool.find_reason(A, run_id, self.now) is not None
        for run_id in self.busy:
            assert self.pool.find_reason(A, run_id, self.now) is None


TestPoolHistory = PoolHistory.TestCase
