"""Rates, depths and durations of a mailbox."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mailbox.meter import DEPTHS, Meter, average_and_p99


def test_a_new_meter_knows_nothing() -> None:
    """No rates and no depths before the first look."""
    meter = Meter(100.0, 5, 5)
    assert meter.rates() == (0.0, 0.0)
    assert meter.depths == ()
    assert not meter.is_idle


def test_rates_count_from_where_the_meter_was_made() -> None:
    """What earlier starts left in the counters is no traffic."""
    meter = Meter(100.0, 1000, 900)
    meter.sample(101.0, 1010, 905, 105)
    assert meter.rates() == (10.0, 5.0)
    meter.sample(102.0, 1010, 909, 101)
    assert meter.rates() == (5.0, 4.5)
    assert meter.depths == (105, 101)


def test_rates_are_of_the_last_minute() -> None:
    """A burst leaves them when a minute is over."""
    meter = Meter(0.0)
    meter.sample(1.0, 600, 0, 600)
    for second in range(2, 61):
        meter.sample(float(second), 600, 0, 600)
    assert meter.rates() == (10.0, 0.0)
    meter.sample(61.0, 600, 600, 0)
    assert meter.rates() == (0.0, 10.0)


def test_a_gap_between_looks_is_part_of_the_span() -> None:
    """A core that was held up for five minutes reports the average over them."""
    meter = Meter(0.0)
    meter.sample(1.0, 1, 1, 0)
    meter.sample(301.0, 3001, 1, 3000)
    assert meter.rates() == (10.0, 0.0)


def test_two_looks_at_one_instant_do_no_harm() -> None:
    """Nothing is divided by nothing."""
    meter = Meter(5.0)
    meter.sample(5.0, 7, 7, 0)
    assert meter.rates() == (0.0, 0.0)


def test_depths_are_those_of_the_last_minute() -> None:
    """One a second, the newest last."""
    meter = Meter(0.0)
    for second in range(1, 101):
        meter.sample(float(second), second, 0, second)
    assert meter.depths == tuple(range(41, 101))


def test_a_meter_is_idle_after_a_minute_without_change() -> None:
    """Then it can be let go; any movement before keeps it."""
    meter = Meter(0.0)
    meter.sample(1.0, 3, 1, 2)
    for second in range(2, 61):
        meter.sample(float(second), 3, 1, 2)
        assert not meter.is_idle
    meter.sample(61.0, 3, 1, 2)
    assert meter.is_idle
    meter.sample(62.0, 4, 2, 2)
    assert not meter.is_idle


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 50), st.integers(0, 50)), max_size=300))
def test_a_meter_stays_small_and_never_negative(steps: list[tuple[float, int, int]]) -> None:
    """However often it is fed, and whatever the counters do."""
    meter = Meter(0.0)
    now = 0.0
    for step_s, accepted, settled in steps:
        now += step_s
        meter.sample(now, accepted, settled, accepted)
        assert min(meter.rates()) >= 0
    assert len(meter.depths) == min(len(steps), DEPTHS)
    assert len(meter._at) <= DEPTHS + 1


@pytest.mark.parametrize(
    ("samples", "average", "p99"),
    [
        (None, 0.0, 0.0),
        ([], 0.0, 0.0),
        ([2.0], 2.0, 2.0),
        ([3.0, 1.0], 2.0, 3.0),
        ([*[1.0] * 99, 101.0], 2.0, 1.0),
        ([*[1.0] * 98, 51.0, 51.0], 2.0, 51.0),
    ],
)
def test_average_and_p99_of_a_few_seconds(samples: list[float] | None, average: float, p99: float) -> None:
    """The p99 is a value that was seen, and 99 of 100 do not pass it."""
    assert average_and_p99(samples) == pytest.approx((average, p99))
