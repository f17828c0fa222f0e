"""What an attempt means, for every status and every way to fail."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.relay_tasks import AttemptResult, RelayReason
from core.breaker import Outcome
from core.relay import outcome
from core.relay.wire import Reply

FAILURES = {408, 425, 429, *range(500, 600)} - {501}


@pytest.mark.parametrize("status", range(200, 600))
def test_every_status_means_one_thing(status: int) -> None:
    """2xx is delivered; 408, 425, 429 and 5xx but 501 fail and are tried again; all else is final."""
    reply = outcome.refusal_of(status, "no", retry_after_s=5.0)
    if status < 300:
        assert (reply.result, outcome.outcome_of(reply)) == (AttemptResult.DELIVERED, Outcome.SUCCESS)
    elif status in FAILURES:
        assert reply.result in {AttemptResult.UNDELIVERED, AttemptResult.UNKNOWN}
        assert outcome.outcome_of(reply) is Outcome.FAILURE
    else:
        assert (reply.result, outcome.outcome_of(reply)) == (AttemptResult.REFUSED, Outcome.SUCCESS)
        assert outcome.reason_of(reply) is RelayReason.REFUSED
    assert outcome.is_retried(reply) is (status in FAILURES)
    assert outcome.is_terminal(reply) is not outcome.is_retried(reply)
    assert (reply.retry_after_s is None) is (status not in FAILURES)
    assert reply.is_gone is (status == 410)


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (429, AttemptResult.UNDELIVERED),
        (503, AttemptResult.UNDELIVERED),
        (500, AttemptResult.UNKNOWN),
        (502, AttemptResult.UNKNOWN),
        (504, AttemptResult.UNKNOWN),
        (501, AttemptResult.REFUSED),
        (307, AttemptResult.REFUSED),
        (0, AttemptResult.UNKNOWN),
        (999, AttemptResult.UNKNOWN),
    ],
)
def test_a_failure_says_whether_the_far_side_may_have_it(status: int, result: AttemptResult) -> None:
    """One that says "later" has not; one that broke may have."""
    assert outcome.result_of(status) is result


def test_our_own_doing_says_nothing_about_the_far_side() -> None:
    """Five cancellations, or five addresses that may not be called, leave a breaker closed."""
    cut_off = Reply(result=AttemptResult.CUT_OFF, error="stopped")
    forbidden = outcome.reply_of("127.0.0.1 is private", AttemptResult.UNDELIVERED, is_ours=True)
    assert outcome.outcome_of(cut_off) is outcome.outcome_of(forbidden) is Outcome.NEUTRAL
    assert outcome.reason_of(forbidden) is RelayReason.POLICY
    assert outcome.is_terminal(forbidden)
    assert not outcome.is_retried(cut_off)


@pytest.mark.parametrize("result", [AttemptResult.UNDELIVERED, AttemptResult.UNKNOWN])
def test_a_line_that_fails_is_a_failure_that_is_tried_again(result: AttemptResult) -> None:
    """Whether the request left or not."""
    reply = outcome.reply_of("connection reset", result, is_ours=False)
    assert outcome.outcome_of(reply) is Outcome.FAILURE
    assert outcome.is_retried(reply)
    assert outcome.reason_of(reply).value == result.value


@given(st.builds(Reply, result=st.sampled_from(AttemptResult), status=st.integers(0, 999), is_gone=st.booleans()))
def test_every_reply_has_one_meaning(reply: Reply) -> None:
    """Only a failure is tried again, and nothing is tried again that is final."""
    assert not (outcome.is_retried(reply) and outcome.is_terminal(reply))
    assert outcome.is_retried(reply) is (outcome.outcome_of(reply) is Outcome.FAILURE)
    assert (outcome.reason_of(reply) is RelayReason.NONE) is (reply.result is AttemptResult.DELIVERED)
