"""A token bucket: how many calls may be made at a rate, and how long to wait for the next (pure; `now` is an argument).

A full bucket holds `burst` tokens, a call takes one, and they come back at `per_s`. All that is kept is when the
bucket will be full again, so nothing has to be counted up while nobody calls.
"""

import msgspec

from core.api.errors import InvalidInput

_MOST_PER_S = 1_000_000.0
_MOST_BURST = 1_000_000
_INSTANT_S = 1e-6


class Rate(msgspec.Struct, frozen=True, gc=False):
    """How many calls may be made. per_s: 0 for any number, up to 1,000,000; burst: 1 to 1,000,000, at once.

    Raises InvalidInput for what cannot be.
    """

    per_s: float = 0.0
    burst: int = 1

    def __post_init__(self) -> None:
        _check("per_s", self.per_s, 0.0, _MOST_PER_S)
        _check("burst", self.burst, 1, _MOST_BURST)

    @property
    def is_limit(self) -> bool:
        """Whether it limits anything."""
        return self.per_s > 0


class Bucket(msgspec.Struct, frozen=True, gc=False):
    """A bucket as it is. full_at: monotonic seconds at which it holds its burst again; in the past, it does."""

    full_at: float = 0.0


def tokens(bucket: Bucket, rate: Rate, now: float) -> float:
    """Calls that could be made now, with fractions; the burst where nothing is limited."""
    if not rate.is_limit:
        return float(rate.burst)
    return rate.burst - max(0.0, bucket.full_at - now) * rate.per_s


def wait_s(bucket: Bucket, rate: Rate, now: float) -> float:
    """Seconds until a call may be made; 0 when one may now."""
    if not rate.is_limit:
        return 0.0
    left_s = bucket.full_at - (rate.burst - 1) / rate.per_s - now
    # What is left after a sleep of that length is only rounding.
    return left_s if left_s > _INSTANT_S else 0.0


def taken(bucket: Bucket, rate: Rate, now: float) -> Bucket | None:
    """The bucket after a call, None when none may be made now."""
    if not rate.is_limit:
        return bucket
    return None if wait_s(bucket, rate, now) else Bucket(max(bucket.full_at, now) + 1.0 / rate.per_s)


def given_back(bucket: Bucket, rate: Rate) -> Bucket:
    """The bucket as if a call that was let through had not been made after all."""
    return Bucket(bucket.full_at - 1.0 / rate.per_s) if rate.is_limit else bucket


def _check(field: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise InvalidInput(
            f"{field} of a limit is {value:g}; it can be {least:g} to {most:g}",
            field=field,
            value=value,
            fix=f"a number from {least:g} to {most:g}",
        )
