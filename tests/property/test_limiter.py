"""Token buckets against a plain count of what was let through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.errors import InvalidInput
from core.limiter import Bucket, Rate, given_back, taken, tokens, wait_s

RATES = st.builds(Rate, st.floats(0.01, 1000), st.integers(1, 50))
PAUSES = st.lists(st.floats(0, 20), min_size=1, max_size=60)


@given(rate=RATES, pauses=PAUSES)
def test_no_window_lets_more_through_than_burst_and_rate(rate: Rate, pauses: list[float]) -> None:
    """However calls are spread, any stretch of time has at most its burst and what came back meanwhile."""
    now, bucket = 1000.0, Bucket()
    calls: list[float] = []
    for pause in pauses:
        now += pause
        while (after := taken(bucket, rate, now)) is not None and len(calls) < 500:
            bucket = after
            calls.append(now)
    for first, begin in enumerate(calls):
        for last in range(first, len(calls)):
            assert last - first + 1 <= rate.burst + (calls[last] - begin) * rate.per_s + 1e-3


@given(rate=RATES, pauses=PAUSES)
def test_after_the_wait_a_call_may_be_made_and_not_before(rate: Rate, pauses: list[float]) -> None:
    """The countdown that is shown is true."""
    now, bucket = 1000.0, Bucket()
    for pause in pauses:
        now += pause
        left_s = wait_s(bucket, rate, now)
        assert (left_s == 0) == (taken(bucket, rate, now) is not None)
        if left_s:
            assert taken(bucket, rate, now + left_s * 0.99 - 1e-6) is None
            now += left_s
        after = taken(bucket, rate, now)
        assert after is not None
        bucket = after


@given(rate=RATES, calls=st.integers(0, 50), pause=st.floats(0, 100))
def test_tokens_stay_between_nothing_and_the_burst(rate: Rate, calls: int, pause: float) -> None:
    """An idle bucket gathers no more than its burst."""
    bucket = Bucket()
    for _ in range(min(calls, rate.burst)):
        after = taken(bucket, rate, 1000.0)
        assert after is not None
        bucket = after
    assert -1e-6 <= tokens(bucket, rate, 1000.0 + pause) <= rate.burst


@given(rate=RATES)
def test_a_call_that_was_not_made_is_given_back(rate: Rate) -> None:
    """Then another may be made in its place."""
    bucket = Bucket()
    for _ in range(rate.burst):
        after = taken(bucket, rate, 1000.0)
        assert after is not None
        bucket = after
    assert taken(bucket, rate, 1000.0) is None
    assert taken(given_back(bucket, rate), rate, 1000.0) is not None


def test_without_a_rate_nothing_is_limited() -> None:
    """Zero is any number."""
    rate, bucket = Rate(), Bucket()
    assert all(taken(bucket, rate, 1.0) is bucket for _ in range(100))
    assert (wait_s(bucket, rate, 1.0), given_back(bucket, rate)) == (0.0, bucket)


@pytest.mark.parametrize(("field", "value"), [("per_s", -1.0), ("burst", 0), ("per_s", float("nan"))])
def test_a_limit_that_cannot_be_is_refused(field: str, value: float) -> None:
    """The error names field, value and bounds."""
    with pytest.raises(InvalidInput) as caught:
        Rate(**{field: value})
    assert caught.value.facts["field"] == field
