"""Instants as Go writes them in JSON: RFC 3339, nine digits after the second at most, with a zone (pure)."""

import re

import msgspec

from core.api.errors import InvalidInput

_FORM = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)
_SECOND_NS = 1_000_000_000
_DAY_S = 86_400
_HOURS, _MINUTES = 24, 60
_FIRST_YEAR, _LAST_YEAR = 1, 9999
_SHOWN = 60


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970 of a date. The year is taken to begin in March, so that the odd day is its last."""
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)  # noqa: PLR2004 - February
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 1 - 719_468


class Moment(msgspec.Struct, frozen=True):
    """An instant. ns: nanoseconds since 1970 UTC. zone_min: minutes east of UTC, of the clock that it is written in."""

    ns: int
    zone_min: int = 0

    @classmethod
    def of(cls, at: float) -> "Moment":
        """The instant of UTC seconds, to the microsecond."""
        return cls(round(at * 1_000_000) * 1000)

    @property
    def at(self) -> float | None:
        """UTC seconds; None for one that was never set."""
        return None if self.ns < _SET_NS else self.ns / _SECOND_NS


UNSET = Moment(_days(_FIRST_YEAR, 1, 1) * _DAY_S * _SECOND_NS)
"""What Go writes for a time that nobody set: the first second of the year 1."""

_SET_NS = _days(_FIRST_YEAR + 1, 1, 1) * _DAY_S * _SECOND_NS
_PAST_NS = _days(_LAST_YEAR + 1, 1, 1) * _DAY_S * _SECOND_NS


def write(moment: Moment) -> str:
    """RFC 3339 without zeros at the end of the fraction. What is beyond the years 1 to 9999 is written as UNSET."""
    local_ns = moment.ns + moment.zone_min * 60 * _SECOND_NS
    if not UNSET.ns <= local_ns < _PAST_NS:
        return write(UNSET)
    seconds, fraction_ns = divmod(local_ns, _SECOND_NS)
    days, rest_s = divmod(seconds, _DAY_S)
    year, month, day = _date(days)
    fraction = f".{fraction_ns:09d}".rstrip("0") if fraction_ns else ""
    clock = f"{rest_s // 3600:02d}:{rest_s // 60 % 60:02d}:{rest_s % 60:02d}"
    return f"{year:04d}-{month:02d}-{day:02d}T{clock}{fraction}{_zone(moment)}"


def read(text: str, field: str) -> Moment:
    """The instant of a text; UNSET for the years 0 and 1, digits beyond nanoseconds are cut. Raises InvalidInput."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise _invalid(text, field)
    year, month, day, hour, minute, second = (int(found[number]) for number in range(1, 7))
    zone_hour, zone_minute = int(found[9] or 0), int(found[10] or 0)
    if hour >= _HOURS or minute >= _MINUTES or second >= _MINUTES or zone_hour >= _HOURS or zone_minute >= _MINUTES:
        raise _invalid(text, field)
    days = _days(year, month, day)
    if _date(days) != (year, month, day):
        raise _invalid(text, field)
    if year <= _FIRST_YEAR:
        return UNSET
    zone_min = (zone_hour * 60 + zone_minute) * (-1 if found[8] == "-" else 1)
    seconds = days * _DAY_S + hour * 3600 + (minute - zone_min) * 60 + second
    return Moment(seconds * _SECOND_NS + int((found[7] or "")[:9].ljust(9, "0")), zone_min)


def _date(days: int) -> tuple[int, int, int]:
    """Year, month and day of days since 1970."""
    days += 719_468
    era, rest = divmod(days, 146_097)
    year = (rest - rest // 1460 + rest // 36_524 - rest // 146_096) // 365
    rest -= 365 * year + year // 4 - year // 100
    month = (5 * rest + 2) // 153
    day = rest - (153 * month + 2) // 5 + 1
    return year + era * 400 + (month > 9), month + 3 if month < 10 else month - 9, day  # noqa: PLR2004 - January


def _zone(moment: Moment) -> str:
    if not moment.zone_min:
        return "Z"
    hours, minutes = divmod(abs(moment.zone_min), 60)
    return f"{'-' if moment.zone_min < 0 else '+'}{hours:02d}:{minutes:02d}"


def _invalid(text: str, field: str) -> InvalidInput:
    shown = text[:_SHOWN]
    return InvalidInput(
        f"{field} is {shown!r}, not a time", field=field, value=shown, fix="RFC 3339, such as 2026-03-22T15:04:05Z"
    )
