"""When a day began, by the wall clock of a place (pure)."""

from datetime import datetime, timedelta, tzinfo


def day_began(hour: int, now_at: float, zone: tzinfo | None) -> float:
    """UTC seconds of the last time that it was that hour. zone: None is that of the machine."""
    # Without a zone it stays one of the machine, which knows of summer time where a fixed offset does not.
    now = datetime.fromtimestamp(now_at, zone)
    boundary = _instant(now, hour)
    return boundary if boundary <= now_at else _instant(now - timedelta(days=1), hour)


def _instant(day: datetime, hour: int) -> float:
    return day.replace(hour=hour, minute=0, second=0, microsecond=0, fold=0).timestamp()
