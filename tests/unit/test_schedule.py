"""When a job is due: what is understood, what is refused, and what happens where clocks are put forward or back."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from core.api.errors import InvalidInput
from core.schedule import ENUMERATED, Kind, between, following, parsed, words

VIENNA = "Europe/Vienna"


def at(text: str, zone: str = "UTC") -> float:
    """The instant of a local time."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def times(schedule: str, zone: str, after: str, count: int) -> list[str]:
    """The next local times, with their offset."""
    understood, found, moment = parsed(schedule, zone), list[str](), at(after, zone)
    for _ in range(count):
        following_at = following(understood, moment)
        assert following_at is not None
        moment = following_at
        found.append(datetime.fromtimestamp(moment, ZoneInfo(zone)).strftime("%m-%d %H:%M%z"))
    return found


def test_a_time_that_does_not_exist_is_taken_at_the_end_of_the_gap() -> None:
    """In the night in which 02:30 does not come, the job of 02:30 runs at 03:00, once."""
    assert times("30 2 * * *", VIENNA, "2026-03-28T20:00", 2) == ["03-29 03:00+0200", "03-30 02:30+0200"]
    assert times("*/15 2 * * *", VIENNA, "2026-03-29T01:00", 2) == ["03-29 03:00+0200", "03-30 02:00+0200"]


def test_a_time_that_comes_twice_is_taken_the_first_time() -> None:
    """In the night in which 02:30 comes twice, the job of 02:30 runs once."""
    assert times("30 2 * * *", VIENNA, "2026-10-25T01:00", 2) == ["10-25 02:30+0200", "10-26 02:30+0100"]


def test_every_hour_means_every_hour_that_passes() -> None:
    """A job of each half hour leaves the gap out and runs in both passes of the hour that comes twice."""
    assert times("*/30 * * * *", VIENNA, "2026-03-29T01:00", 3) == [
        "03-29 01:30+0100",
        "03-29 03:00+0200",
        "03-29 03:30+0200",
    ]
    assert times("0 * * * *", VIENNA, "2026-10-25T01:30", 3) == [
        "10-25 02:00+0200",
        "10-25 02:00+0100",
        "10-25 03:00+0100",
    ]


def test_a_half_hour_of_an_island_is_a_gap_too() -> None:
    """Lord Howe puts its clocks forward by thirty minutes."""
    assert times("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", 1) == ["10-04 02:30+1100"]


def test_a_period_is_counted_from_its_anchor() -> None:
    """The first time is the anchor, then one each period; a clock that jumps moves none of them."""
    schedule = parsed("every 90m")
    assert following(schedule, 500.0, anchor=1000.0) == 1000.0
    assert following(schedule, 1000.0, anchor=1000.0) == 6400.0
    assert following(schedule, 6399.9, anchor=1000.0) == 6400.0


def test_one_instant_comes_once() -> None:
    """With an offset it is that instant; without one it is the local time of the zone."""
    summer = parsed("2026-07-01T12:00", VIENNA)
    assert summer.at == at("2026-07-01T10:00")
    assert following(summer, summer.at - 1) == summer.at
    assert following(summer, summer.at) is None
    assert parsed("2026-07-01T12:00+02:00").at == summer.at
    assert parsed("2026-03-29T02:30", VIENNA).at == at("2026-03-29T01:00")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "61 * * * *",
        "0 0 31 2 *",
        "* * * * * *",
        "@daily",
        "r * * * *",
        "h * * * *",
        "every 0s",
        "every 400d",
        "every",
        "2026-13-01",
        "0 9 * * mon-",
        "a" * 500,
    ],
)
def test_what_cannot_be_a_schedule_names_field_value_and_fix(text: str) -> None:
    """Nothing that means two things, never comes, or is up to chance is taken."""
    with pytest.raises(InvalidInput) as caught:
        parsed(text)
    assert caught.value.facts["field"] == "schedule"
    assert caught.value.facts["fix"]


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "", "../etc/passwd", "/etc/localtime"])
def test_an_unknown_zone_is_refused(zone: str) -> None:
    """A zone is a name of the database and no path."""
    with pytest.raises(InvalidInput) as caught:
        parsed("0 9 * * *", zone)
    assert caught.value.facts["field"] == "timezone"


def test_a_long_pause_is_counted_and_its_newest_times_are_known() -> None:
    """Beyond some hundreds the count is a lower bound; the newest time is exact all the same."""
    minutes = parsed("* * * * *")
    found = between(minutes, 0.0, 86_400.0 * 3, keep=2)
    assert found.is_more
    assert found.count >= ENUMERATED
    assert found.latest == (86_400.0 * 3 - 60, 86_400.0 * 3)
    periods = between(parsed("every 1s"), 0.0, 1e6, keep=2)
    assert (periods.count, periods.latest, periods.is_more) == (1_000_000, (999_999.0, 1_000_000.0), False)
    assert between(minutes, 0.0, 59.0).count == 0


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("every 30m", "every 30m"),
        ("0 9 * * mon-fri", "on mon-fri at 09:00 UTC"),
        ("30 4 * * *", "daily at 04:30 UTC"),
        ("0 0 1 * *", "on day 1 at 00:00 UTC"),
        ("5 * * * *", "hourly at :05"),
        ("*/10 * * * *", "every 10 minutes"),
        ("* * * * *", "every minute"),
        ("0 9-17 * * *", "cron 0 9-17 * * * UTC"),
        ("2026-12-24T18:00", "once, 2026-12-24 18:00 UTC"),
    ],
)
def test_a_schedule_is_said_in_words(schedule: str, said: str) -> None:
    """Common ones read as a person would say them, others as they were written."""
    assert words(parsed(schedule)) == said


def test_text_is_read_without_regard_to_case_and_blanks() -> None:
    """As people type it."""
    assert parsed("  Every  30M ").kind is Kind.EVERY
    assert parsed("0 9 * * MON").text == "0 9 * * mon"
    assert timedelta(seconds=parsed("every 2h").every_s) == timedelta(hours=2)
    assert datetime.fromtimestamp(parsed("2026-12-24").at, UTC).isoformat() == "2026-12-24T00:00:00+00:00"
