"""When a job is due: five fields of cron in a time zone, a period, or one instant (pure).

Clocks are put forward and back. A time of day that does not exist is taken at the first moment after the gap, once;
one that exists twice is taken the first time. Fields whose hour begins with * mean every hour that passes, so they go
by elapsed time: nothing in the gap, both passes of the hour that comes twice.
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from core.api.errors import InvalidInput

ENUMERATED = 500
"""Times that are counted one by one; beyond that a count is a lower bound."""

_FIELDS = 5
_FIELD_HOUR = 1
_LONGEST_S = 366 * 86_400
_OVERLAP_S = 3 * 3600
_RECENT_S = 6 * 3600
_LAST_YEAR = 2900
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_EVERY = re.compile(r"every\s+([1-9][0-9]{0,8})\s*([smhd])", re.IGNORECASE)
_FIELD = re.compile(r"[0-9a-z*/,\-#?]+")
_WORD = re.compile(r"[a-z]+")
_NAMES = frozenset(
    "jan feb mar apr may jun jul aug sep oct nov dec sun mon tue wed thu fri sat l".split()  # noqa: SIM905
)
_FIX = "five fields of cron such as 0 9 * * mon-fri, or every 30m, or an instant such as 2026-12-24T18:00"


class Kind(StrEnum):
    """What a schedule is made of."""

    CRON = "cron"
    EVERY = "every"
    ONCE = "once"


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule that was understood. every_s: the period; at: the one instant, UTC seconds."""

    kind: Kind
    text: str
    timezone: str
    every_s: int = 0
    at: float = 0.0

    @property
    def is_rolling(self) -> bool:
        """Whether its hours go by elapsed time and not by the time of day."""
        return self.text.split()[_FIELD_HOUR].startswith("*")


class Instants(msgspec.Struct, frozen=True):
    """Times between two instants. latest: the newest of them, in order. is_more: there are more than `count`."""

    count: int
    latest: tuple[float, ...]
    is_more: bool = False


@lru_cache(maxsize=1024)
def parsed(text: str, timezone: str = "UTC") -> Schedule:
    """What a schedule means. Raises InvalidInput, which names the field, schedule or timezone.

    Reads the description of the time zone: the first time for a zone off the loop.
    """
    zone = _zone(timezone)
    plain = " ".join(text.strip().lower().split())
    if found := _EVERY.fullmatch(plain):
        every_s = int(found[1]) * _UNITS[found[2].lower()]
        if every_s > _LONGEST_S:
            raise _refused(text, "is longer than a year")
        return Schedule(kind=Kind.EVERY, text=plain, timezone=timezone, every_s=every_s)
    if len(plain.split(" ")) == _FIELDS:
        schedule = Schedule(kind=Kind.CRON, text=plain, timezone=timezone)
        _check_fields(schedule, text)
        return schedule
    return Schedule(kind=Kind.ONCE, text=plain, timezone=timezone, at=_instant(text.strip(), zone))


def following(schedule: Schedule, after: float, *, anchor: float = 0.0) -> float | None:
    """The first time strictly after an instant, UTC seconds; None when there is none any more.

    anchor: from which the periods of `every` are counted; its own time is the first of them.
    """
    if schedule.kind is Kind.ONCE:
        return schedule.at if schedule.at > after else None
    if schedule.kind is Kind.EVERY:
        if after < anchor:
            return anchor
        passed = int((after - anchor) // schedule.every_s)
        found = anchor + (passed + 1) * schedule.every_s
        # Division of large numbers may round a whole period.
        return found if found > after else found + schedule.every_s
    return _cron_after(schedule, after)


def between(schedule: Schedule, after: float, until: float, *, anchor: float = 0.0, keep: int = 1) -> Instants:
    """Times strictly after one instant and up to another. keep: how many of the newest are told."""
    if schedule.kind is Kind.EVERY:
        return _periods(schedule, after, until, anchor, keep)
    found: list[float] = []
    for at in _times(schedule, after, until, anchor):
        found.append(at)
        if len(found) > ENUMERATED:
            break
    else:
        return Instants(len(found), tuple(found[-keep:]))
    # So much went by that only the newest are worth finding.
    newest = list(_times(schedule, max(found[-1], until - _RECENT_S), until, anchor))
    return Instants(len(found) + len(newest), tuple([*found, *newest][-keep:]), is_more=True)


def words(schedule: Schedule) -> str:
    """The schedule for people."""
    if schedule.kind is Kind.EVERY:
        return schedule.text
    zone = schedule.timezone
    if schedule.kind is Kind.ONCE:
        local = datetime.fromtimestamp(schedule.at, _zone(zone))
        return f"once, {local:%Y-%m-%d %H:%M} {zone}"
    minute, hour, day, month, weekday = schedule.text.split()
    date = _date_words(day, month, weekday)
    if date and hour.isdecimal() and minute.isdecimal():
        return f"{date} at {int(hour):02d}:{int(minute):02d} {zone}"
    every = _every_words(minute) if (date, hour) == ("daily", "*") else ""
    return every or f"cron {schedule.text} {zone}"


def _every_words(minute: str) -> str:
    if minute == "*":
        return "every minute"
    if minute.startswith("*/") and minute[2:].isdecimal():
        return f"every {int(minute[2:])} minutes"
    return f"hourly at :{int(minute):02d}" if minute.isdecimal() else ""


def _date_words(day: str, month: str, weekday: str) -> str:
    if month != "*":
        return ""
    if day == "*":
        return "daily" if weekday == "*" else f"on {weekday}"
    return f"on day {day}" if weekday == "*" and day.isdecimal() else ""


def _times(schedule: Schedule, after: float, until: float, anchor: float) -> Iterator[float]:
    at = following(schedule, after, anchor=anchor)
    while at is not None and at <= until:
        yield at
        at = following(schedule, at, anchor=anchor)


def _periods(schedule: Schedule, after: float, until: float, anchor: float, keep: int) -> Instants:
    first = following(schedule, after, anchor=anchor)
    if first is None or first > until:
        return Instants(0, ())
    count = int((until - first) // schedule.every_s) + 1
    latest = tuple(first + schedule.every_s * number for number in range(max(0, count - keep), count))
    return Instants(count, latest)


# -- cron


def _check_fields(schedule: Schedule, text: str) -> None:
    for field in schedule.text.split():
        if not _FIELD.fullmatch(field) or set(_WORD.findall(field)) - _NAMES:
            raise _refused(text, f"has a field that means nothing: {field[:40]}")
    try:
        following(schedule, 0.0)
    except ValueError as error:
        raise _refused(text, f"never comes round or means nothing: {str(error)[:100]}") from error


def _cron_after(schedule: Schedule, after: float) -> float | None:
    """Walk over the times of day in their order and find the first instant that one of them is."""
    from croniter import croniter

    zone = _zone(schedule.timezone)
    local = datetime.fromtimestamp(after, zone)
    # Before clocks go back, an earlier time of day comes once more.
    ahead = datetime.fromtimestamp(after + _OVERLAP_S, zone)
    back = max(timedelta(0), (local.utcoffset() or timedelta(0)) - (ahead.utcoffset() or timedelta(0)))
    steps: Any = croniter(schedule.text, local.replace(tzinfo=None) - back)
    best: float | None = None
    while True:
        wall: datetime = steps.get_next(datetime)
        if wall.year > _LAST_YEAR:
            return best
        later = [at for at in _instants(wall, zone, is_rolling=schedule.is_rolling) if at > after]
        best = min([best, *later]) if best is not None else min(later, default=None)
        if best is not None and wall.replace(tzinfo=zone).timestamp() > after:
            return best


def _instants(wall: datetime, zone: ZoneInfo, *, is_rolling: bool) -> tuple[float, ...]:
    """When it is that time of day: once, twice where clocks go back, never where they go forward."""
    first = wall.replace(tzinfo=zone, fold=0).timestamp()
    second = wall.replace(tzinfo=zone, fold=1).timestamp()
    if first == second:
        return (first,)
    if first < second:
        return (first, second) if is_rolling else (first,)
    return () if is_rolling else (_gap_end(second, first, zone),)


def _gap_end(before: float, after: float, zone: ZoneInfo) -> float:
    """The moment at which clocks were put forward, between two instants."""
    low, high = int(before), int(after)
    offset = datetime.fromtimestamp(high, zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return float(high)


# -- one instant, zones


def _instant(text: str, zone: ZoneInfo) -> float:
    try:
        given = datetime.fromisoformat(text)
    except ValueError as error:
        raise _refused(text, "is no schedule") from error
    if given.tzinfo is not None:
        return given.timestamp()
    return _instants(given, zone, is_rolling=False)[0]


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput(
            f"no time zone is called {name[:60]!r}",
            field="timezone",
            value=name[:60],
            fix="a name of the time zone database, such as Europe/Vienna or UTC",
        ) from error


def _refused(text: str, what: str) -> InvalidInput:
    shown = text.strip()[:80]
    return InvalidInput(f"{shown!r} {what}", field="schedule", value=shown, fix=_FIX)
