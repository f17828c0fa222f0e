"""Whatever the zone and the fields: the next time is later, none comes twice, and nothing is left out."""

from datetime import datetime
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from core.schedule import Schedule, between, following, parsed

ZONES = st.sampled_from(
    ["UTC", "Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo"]
)
CRON = st.builds(
    "{} {} {} {} {}".format,
    st.sampled_from(["*", "*/5", "0", "30", "7,37", "0-10/3"]),
    st.sampled_from(["*", "*/2", "0", "2", "1-3", "23"]),
    st.sampled_from(["*", "1", "*/3", "28-31"]),
    st.sampled_from(["*", "3", "10-11", "mar,oct"]),
    st.sampled_from(["*", "sun", "mon-fri"]),
)
EVERY = st.integers(1, 10_000).map("every {}s".format)
SCHEDULES = st.builds(parsed, CRON | EVERY, ZONES)
# The years from 2001 to 2037, with a preference for the nights in which clocks change.
CHANGES = [1_774_746_000.0, 1_792_890_000.0, 1_772_953_200.0, 1_793_512_800.0, 1_791_041_400.0, 1_775_314_800.0]
MOMENTS = st.floats(1e9, 2.1e9) | st.builds(
    lambda near, by: near + by, st.sampled_from(CHANGES), st.floats(-10_000.0, 10_000.0)
)


@given(SCHEDULES, MOMENTS)
def test_the_next_time_is_strictly_later(schedule: Schedule, moment: float) -> None:
    """So a loop over them always gets on."""
    found = following(schedule, moment, anchor=1e9)
    assert found is not None
    assert found > moment


@given(SCHEDULES, MOMENTS)
def test_no_time_lies_between_a_moment_and_the_next_time(schedule: Schedule, moment: float) -> None:
    """Whoever asks at any moment before gets the same answer: none is left out, none comes twice."""
    found = following(schedule, moment, anchor=1e9)
    assert found is not None
    middle = (moment + found) / 2
    if moment < middle < found:
        assert following(schedule, middle, anchor=1e9) == found


@given(SCHEDULES, MOMENTS, st.integers(1, 40))
def test_times_between_two_moments_are_those_of_the_steps(schedule: Schedule, moment: float, count: int) -> None:
    """Counting a stretch at once is the same as going through it."""
    steps = [moment]
    for _ in range(count):
        found = following(schedule, steps[-1], anchor=1e9)
        assert found is not None
        steps.append(found)
    whole = between(schedule, moment, steps[-1], anchor=1e9, keep=3)
    assert whole.count == count
    assert list(whole.latest) == steps[1:][-3:]


@settings(max_examples=60)
@given(st.integers(0, 59), st.integers(0, 23), ZONES, MOMENTS)
def test_a_daily_time_comes_on_each_day_exactly_once(minute: int, hour: int, zone: str, moment: float) -> None:
    """Also on the days on which clocks change."""
    schedule = parsed(f"{minute} {hour} * * *", zone)
    days = []
    for _ in range(5):
        found = following(schedule, moment)
        assert found is not None
        moment = found
        days.append(datetime.fromtimestamp(moment, ZoneInfo(zone)).date().toordinal())
    assert days == list(range(days[0], days[0] + 5))
