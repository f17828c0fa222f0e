"""The circuit breaker: the golden trace of the model it follows, and what an operator adds to it."""

import math

import msgspec
import pytest

from core.api.base import Mark
from core.api.errors import InvalidInput
from core.breaker import (
    BREAKER,
    Breaker,
    BreakerMode,
    BreakerState,
    BreakerStep,
    Counts,
    Outcome,
    Refusal,
    Ticket,
    admitted,
    disabled,
    fresh,
    half_opened,
    held_open,
    is_flapping,
    next_probe_s,
    refreshed,
    reset,
    restored,
    settled,
    wait_s,
)
from core.breaker_settings import GUARDED, BreakerSettings

PLAIN = BreakerSettings()
CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


class Bench:
    """One breaker with a clock in the hands of the test."""

    def __init__(self, settings: BreakerSettings = PLAIN, *, luck: float = 0.0) -> None:
        self.settings = settings
        self.now = 1000.0
        self.luck = luck
        self.breaker = fresh(self.now, settings)

    def ask(self) -> Ticket | Refusal:
        """A call wants through."""
        self.breaker, answer = admitted(self.breaker, self.now, self.settings)
        return answer

    def ticket(self) -> Ticket:
        """A call that gets through."""
        answer = self.ask()
        assert isinstance(answer, Ticket)
        return answer

    def tell(self, ticket: Ticket, outcome: Outcome, error: str = "") -> None:
        """What came of it."""
        self.breaker = settled(self.breaker, ticket, outcome, self.now, self.settings, lambda: self.luck, error=error)

    def fail(self, count: int = 1) -> None:
        """Calls that fail one after the other."""
        for _ in range(count):
            self.tell(self.ticket(), Outcome.FAILURE, "connection refused")

    def succeed(self) -> None:
        """A call that succeeds."""
        self.tell(self.ticket(), Outcome.SUCCESS)

    def trip(self) -> None:
        """Open it."""
        self.fail(self.settings.failures)
        assert self.breaker.state is OPEN

    def to_probe(self) -> None:
        """Wait until an open one lets a probe through."""
        assert self.breaker.expires is not None
        self.now = self.breaker.expires + 0.125

    @property
    def at(self) -> tuple[BreakerState, int, Counts]:
        """State, generation and counts."""
        return self.breaker.state, self.breaker.generation, self.breaker.counts


def test_the_golden_trace_is_followed_step_by_step() -> None:
    """Five failures, thirty seconds and not a moment less, one probe, a wedge, a reopening, a recovery."""
    bench = Bench()
    first = bench.ticket()
    bench.tell(first, Outcome.FAILURE)
    bench.fail(3)
    assert bench.at == (CLOSED, 1, Counts(4, 0, 4, 0, 4))
    bench.fail()
    assert bench.at == (OPEN, 2, Counts())
    assert bench.ask() is Refusal.OPEN
    bench.now += 30.0
    assert bench.ask() is Refusal.OPEN
    assert bench.at == (OPEN, 2, Counts())
    bench.now += 0.001
    probe = bench.ticket()
    assert probe.generation == 3
    assert bench.at == (HALF_OPEN, 3, Counts(1, 0, 0, 0, 0))
    assert bench.ask() is Refusal.PROBING
    bench.now += 3600.0
    assert bench.ask() is Refusal.PROBING
    assert bench.at == (HALF_OPEN, 3, Counts(1, 0, 0, 0, 0))
    bench.tell(probe, Outcome.FAILURE)
    assert bench.at == (OPEN, 4, Counts())
    assert next_probe_s(bench.breaker, bench.now) == 30.0
    bench.now += 30.001
    bench.breaker = refreshed(bench.breaker, bench.now, PLAIN)
    assert bench.at == (HALF_OPEN, 5, Counts())
    bench.succeed()
    assert bench.at == (CLOSED, 6, Counts())
    bench.fail(4)
    bench.succeed()
    bench.fail(4)
    assert bench.at == (CLOSED, 6, Counts(9, 1, 8, 0, 4))
    before = bench.breaker
    bench.tell(first, Outcome.FAILURE)
    assert bench.breaker == before


def test_refusals_say_what_the_model_says() -> None:
    """The texts that callers may know."""
    assert [Refusal.OPEN.value, Refusal.PROBING.value] == ["circuit breaker is open", "too many requests"]


@pytest.mark.parametrize("state", BreakerState)
def test_an_operator_may_act_in_every_state(state: BreakerState) -> None:
    """Reset and disable close, hold opens, wherever the machine stands."""
    row = BREAKER.table[state]
    assert (row[BreakerStep.RESET], row[BreakerStep.HOLD], row[BreakerStep.DISABLE]) == (CLOSED, OPEN, CLOSED)


def test_only_time_leads_from_open_to_half_open() -> None:
    """No answer of a call does."""
    automatic = {step: to for step, to in BREAKER.table[OPEN].items() if to is HALF_OPEN}
    assert automatic == {BreakerStep.TIME_OVER: HALF_OPEN}
    assert set(BREAKER.table[CLOSED].values()) == {OPEN, CLOSED}


def test_a_probe_that_never_answers_frees_its_place() -> None:
    """After its deadline another may go, and its own late answer changes nothing."""
    bench = Bench(BreakerSettings(probe_deadline_s=60.0))
    bench.trip()
    bench.to_probe()
    lost = bench.ticket()
    assert wait_s(bench.breaker, bench.now, bench.settings) == pytest.approx(60.0)
    bench.now += 60.0
    assert bench.ask() is Refusal.PROBING
    bench.now += 0.001
    second = bench.ticket()
    assert len(bench.breaker.probing) == 1
    before = bench.breaker
    bench.tell(lost, Outcome.SUCCESS)
    assert bench.breaker == before
    assert bench.breaker.transitions[-1].step is BreakerStep.PROBE_LOST
    bench.tell(second, Outcome.SUCCESS)
    assert bench.breaker.state is CLOSED


def test_neutral_outcomes_count_as_if_nobody_had_asked() -> None:
    """Five cancellations leave it closed, and a cancelled probe leaves its place to the next."""
    bench = Bench()
    bench.fail(4)
    for _ in range(5):
        bench.tell(bench.ticket(), Outcome.NEUTRAL)
    assert bench.at == (CLOSED, 1, Counts(4, 0, 4, 0, 4))
    bench.fail()
    bench.to_probe()
    bench.tell(bench.ticket(), Outcome.NEUTRAL)
    assert bench.at == (HALF_OPEN, 3, Counts())
    bench.succeed()
    assert bench.breaker.state is CLOSED


def test_the_open_time_grows_to_its_cap_and_starts_afresh_after_calm() -> None:
    """Thirty seconds, sixty, and so on to three hundred; five minutes without trouble forget it."""
    bench = Bench(BreakerSettings(growth=2.0))
    bench.trip()
    lengths: list[float | None] = []
    for _ in range(6):
        lengths.append(next_probe_s(bench.breaker, bench.now))
        bench.to_probe()
        bench.fail()
    assert lengths == [30.0, 60.0, 120.0, 240.0, 300.0, 300.0]
    bench.to_probe()
    bench.succeed()
    bench.now += 299.0
    bench.trip()
    assert next_probe_s(bench.breaker, bench.now) == 300.0
    bench.to_probe()
    bench.succeed()
    bench.now += 301.0
    bench.trip()
    assert next_probe_s(bench.breaker, bench.now) == 30.0


def test_jitter_shortens_and_never_goes_over_the_cap() -> None:
    """The lot draws from the given part of the open time."""
    assert [
        next_probe_s(bench.breaker, bench.now)
        for luck in (0.0, 0.5)
        for bench in [Bench(BreakerSettings(jitter=0.2), luck=luck)]
        if bench.trip() is None
    ] == [30.0, 27.0]


def test_held_open_lets_nothing_through_until_it_is_reset() -> None:
    """No time ends it; the reason stays to be read, and late answers change nothing."""
    bench = Bench()
    ticket = bench.ticket()
    bench.breaker = held_open(bench.breaker, bench.now, PLAIN, "ana: maintenance\nuntil six")
    bench.now += 1e6
    assert bench.ask() is Refusal.HELD
    assert (bench.breaker.mode, bench.breaker.reason) == (BreakerMode.HELD, "ana: maintenance until six")
    assert (next_probe_s(bench.breaker, bench.now), wait_s(bench.breaker, bench.now, PLAIN)) == (None, math.inf)
    bench.tell(ticket, Outcome.SUCCESS)
    assert bench.breaker.state is OPEN
    bench.breaker = reset(bench.breaker, bench.now, PLAIN, "bo: done")
    assert isinstance(bench.ask(), Ticket)
    assert (bench.breaker.mode, bench.breaker.reason, bench.breaker.refused) == (BreakerMode.AUTOMATIC, "", 1)


def test_disabled_lets_everything_through_and_goes_on_counting() -> None:
    """Any number of failures leaves it closed; a reset lets five open it again."""
    bench = Bench()
    bench.trip()
    bench.breaker = disabled(bench.breaker, bench.now, PLAIN, "ana: it must go out")
    bench.fail(20)
    assert bench.at == (CLOSED, 3, Counts(20, 0, 20, 0, 20))
    bench.breaker = reset(bench.breaker, bench.now, PLAIN, "ana: watched again")
    bench.trip()


def test_transitions_are_kept_with_their_cause_and_bounded() -> None:
    """The last twenty, each with when, from where, to where and why."""
    bench = Bench()
    bench.trip()
    last = bench.breaker.transitions[-1]
    assert (last.at, last.before, last.after, last.generation) == (1000.0, CLOSED, OPEN, 2)
    assert last.cause == "5 failures in a row: connection refused"
    assert bench.breaker.last_error == "connection refused"
    for _ in range(30):
        bench.to_probe()
        bench.fail()
    assert len(bench.breaker.transitions) == 20
    assert bench.breaker.transitions[-1].cause == "the probe failed: connection refused"


def test_flapping_is_opening_often_with_recoveries_between() -> None:
    """Three trips in ten minutes are; a far side that stays down is not, and it passes."""
    bench = Bench()
    bench.trip()
    for _ in range(10):
        bench.to_probe()
        bench.fail()
    assert not is_flapping(bench.breaker, bench.now, PLAIN)
    for _ in range(3):
        bench.to_probe()
        bench.succeed()
        bench.trip()
    assert is_flapping(bench.breaker, bench.now, PLAIN)
    assert not is_flapping(bench.breaker, bench.now + 600.0, PLAIN)


def test_one_that_flaps_is_left_alone_longer_and_longer() -> None:
    """Also when it was well for longer than would make an opening a first one; one that is calm begins afresh."""
    bench = Bench(BreakerSettings(growth=2.0, calm_s=60.0, flap_window_s=600.0))
    lengths: list[float | None] = []
    for _ in range(4):
        bench.trip()
        lengths.append(next_probe_s(bench.breaker, bench.now))
        bench.to_probe()
        bench.succeed()
        bench.now += 61.0
    assert lengths == [30.0, 30.0, 60.0, 120.0]
    assert bench.breaker.trip_count == 4
    bench.now += 600.0
    bench.trip()
    assert (next_probe_s(bench.breaker, bench.now), bench.breaker.trip_count) == (30.0, 5)


def test_an_operator_ends_the_open_time_of_one_that_decides_by_itself() -> None:
    """One probe may go then; one that is closed, held or tries already has no open time to end."""
    bench = Bench(BreakerSettings(probe_deadline_s=60.0))
    assert half_opened(bench.breaker, bench.now, bench.settings) is None
    bench.trip()
    opened = half_opened(bench.breaker, bench.now, bench.settings)
    assert opened is not None
    bench.breaker = opened
    assert bench.at == (HALF_OPEN, 3, Counts())
    assert bench.breaker.transitions[-1].cause == "an operator asked for a probe"
    bench.now += 5.0
    bench.ticket()
    assert bench.ask() is Refusal.PROBING
    assert bench.breaker.probing[0].began == bench.now
    assert half_opened(bench.breaker, bench.now, bench.settings) is None
    held = held_open(bench.breaker, bench.now, bench.settings, "ana: moving")
    assert half_opened(held, bench.now, bench.settings) is None


def test_it_survives_a_restart_with_its_countdown() -> None:
    """Stored and read back on another clock, the time between counts, and the old calls do not."""
    bench = Bench(GUARDED)
    old = bench.ticket()
    bench.trip()
    stored = msgspec.json.encode(bench.breaker)
    decoded = msgspec.json.decode(stored, type=Breaker)
    assert decoded == bench.breaker
    back = restored(decoded, Mark(5_000.0, bench.now), Mark(5_010.0, 7.0))
    assert (back.state, next_probe_s(back, 7.0), is_flapping(back, 7.0, GUARDED)) == (OPEN, 20.0, False)
    assert settled(back, old, Outcome.SUCCESS, 7.0, GUARDED, lambda: 0.0) == back
    assert (back.transitions[0].at, back.streak) == (-3.0, 1)


def test_a_clock_put_back_between_starts_makes_no_wait_longer() -> None:
    """The countdown is at most what it was."""
    bench = Bench()
    bench.trip()
    back = restored(bench.breaker, Mark(5_000.0, bench.now), Mark(1_000.0, 7.0))
    assert next_probe_s(back, 7.0) == 30.0


def test_a_probe_of_an_earlier_start_holds_no_place() -> None:
    """Half-open again, with all places free."""
    bench = Bench()
    bench.trip()
    bench.to_probe()
    old = bench.ticket()
    back = restored(bench.breaker, Mark(5_000.0, bench.now), Mark(5_001.0, 7.0))
    assert (back.state, back.counts, back.probing) == (HALF_OPEN, Counts(), ())
    after, answer = admitted(back, 8.0, PLAIN)
    assert isinstance(answer, Ticket)
    assert settled(after, old, Outcome.FAILURE, 8.0, PLAIN, lambda: 0.0) == after


@pytest.mark.parametrize(
    ("field", "value"), [("failures", 0), ("open_s", 0.0), ("probes", 0), ("jitter", 1.5), ("growth", 0.5)]
)
def test_settings_that_cannot_be_are_refused_by_name(field: str, value: float) -> None:
    """The error names field, value and fix."""
    with pytest.raises(InvalidInput) as caught:
        BreakerSettings(**{field: value})  # type: ignore[arg-type]  # the point of the test
    assert caught.value.facts["field"] == field
    assert caught.value.facts["fix"]
