"""What an attempt to send means for the next one, and how a delivery looks while its message is where it is."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api.base import DeliveryId, MailId, Mark
from core.api.deliveries import DeliveryState
from core.api.mail import DeadReason, MailState
from core.api.mailboxes import Overflow
from core.gateway.delivery import (
    LONGEST_WAIT_S,
    End,
    Failure,
    Wait,
    after_failure,
    attempt_limit_s,
    delivery_state,
    delivery_view,
    one_line,
    outbox_policy,
    stepped,
)
from core.gateway.platform import FileKind, OutboundFile, PlatformErrorKind
from core.letters import Letter
from core.settings import DeliverySettings
from tests.support.outbox import outbound_to

NOW = Mark(1_700_000_000.0, 1000.0)
SETTINGS = DeliverySettings(max_attempts=3, base_s=2.0, cap_s=60.0)
OUTBOUND = outbound_to("8841", "hi", delivery_id=DeliveryId("d1"))


def failure(
    kind: PlatformErrorKind = PlatformErrorKind.RETRY_AFTER, error: str = "busy", retry_after_s: float | None = None
) -> Failure:
    """A failure to send."""
    return Failure(kind, error, retry_after_s)


def letter(state: MailState, attempt: int = 0, *, due: Mark | None = None, error: str = "", replays: int = 0) -> Letter:
    """The message of a delivery."""
    return Letter(
        id=MailId(7),
        mailbox="outbox.local",
        state=state,
        body=b"",
        key="d1",
        order_key="local:dm:8841",
        attempt=attempt,
        created=NOW,
        due=due,
        error=error,
        replays=replays,
    )


def test_a_busy_platform_is_tried_again_with_backoff() -> None:
    """The wait is drawn below a ceiling that doubles with each attempt."""
    waits = [after_failure(attempt, failure(), SETTINGS, lambda: 0.5) for attempt in (1, 2)]
    assert waits == [Wait(1.0, "busy"), Wait(2.0, "busy")]


@pytest.mark.parametrize(
    ("asked_s", "waited_s"),
    [(17.0, 17.0), (0.0, 0.0), (500.0, 500.0), (-4.0, 0.0), (1e12, LONGEST_WAIT_S), (math.inf, LONGEST_WAIT_S)],
)
def test_what_the_far_side_asks_for_wins_over_the_backoff(asked_s: float, waited_s: float) -> None:
    """Also beyond our own cap, but never below zero or beyond a day."""
    assert after_failure(1, failure(retry_after_s=asked_s), SETTINGS, lambda: 1.0) == Wait(waited_s, "busy")


def test_a_wait_that_is_no_number_leaves_it_to_the_backoff() -> None:
    """Not-a-number from a far side changes nothing."""
    assert after_failure(1, failure(retry_after_s=math.nan), SETTINGS, lambda: 0.5) == Wait(1.0, "busy")


def test_a_wrong_credential_is_tried_slowly() -> None:
    """An operator has to mend it, so the wait is the longest one at once."""
    wrong = failure(PlatformErrorKind.UNAUTHORISED, "bad token")
    assert after_failure(1, wrong, SETTINGS, lambda: 0.0) == Wait(SETTINGS.cap_s, "bad token")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(PlatformErrorKind.REFUSED, DeadReason.REJECTED), (PlatformErrorKind.GONE, DeadReason.UNDELIVERABLE)],
)
def test_a_refusal_is_the_end_at_the_first_attempt(kind: PlatformErrorKind, reason: DeadReason) -> None:
    """A blocked bot or a chat that is gone will not change by asking again."""
    assert after_failure(1, failure(kind, "blocked", 5.0), SETTINGS, lambda: 1.0) == End(reason, "blocked")


@pytest.mark.parametrize("kind", [PlatformErrorKind.RETRY_AFTER, PlatformErrorKind.UNAUTHORISED])
def test_the_last_attempt_is_the_end(kind: PlatformErrorKind) -> None:
    """After max_attempts failures a delivery is dead, whatever the far side asks for."""
    assert after_failure(3, failure(kind, "busy", 5.0), SETTINGS, lambda: 1.0) == End(DeadReason.MAX_DELIVERIES, "busy")


@given(
    attempt=st.integers(min_value=1, max_value=50),
    kind=st.sampled_from(PlatformErrorKind),
    asked_s=st.none() | st.floats(),
    drawn=st.floats(min_value=0, max_value=1, exclude_max=True),
)
def test_every_failure_has_an_answer_within_a_day(
    attempt: int, kind: PlatformErrorKind, asked_s: float | None, drawn: float
) -> None:
    """No far side, attempt or draw leads to a wait that is negative, longer than a day, or past the last attempt."""
    verdict = after_failure(attempt, failure(kind, "x", asked_s), SETTINGS, lambda: drawn)
    if isinstance(verdict, Wait):
        assert 0 <= verdict.delay_s <= LONGEST_WAIT_S
        assert attempt < SETTINGS.max_attempts
    else:
        assert attempt >= SETTINGS.max_attempts or kind in {PlatformErrorKind.REFUSED, PlatformErrorKind.GONE}


@pytest.mark.parametrize(
    ("state", "attempt", "word"),
    [
        (MailState.QUEUED, 0, DeliveryState.QUEUED),
        (MailState.QUEUED, 2, DeliveryState.RETRYING),
        (MailState.DELAYED, 1, DeliveryState.RETRYING),
        (MailState.IN_FLIGHT, 1, DeliveryState.SENDING),
        (MailState.DEAD, 3, DeliveryState.DEAD),
    ],
)
def test_the_state_of_a_delivery_follows_from_its_message(state: MailState, attempt: int, word: DeliveryState) -> None:
    """Nothing is kept twice."""
    assert delivery_state(letter(state, attempt)) is word


def test_a_view_tells_what_the_message_knows() -> None:
    """Attempts, error and the next try; a try that is not to come is not shown."""
    due = Mark(NOW.at + 5, NOW.mono + 5)
    retrying = delivery_view(letter(MailState.DELAYED, 2, due=due, error="busy"), OUTBOUND)
    assert (retrying.id, retrying.attempt, retrying.next_try, retrying.error) == ("d1", 2, due, "busy")
    assert delivery_view(letter(MailState.IN_FLIGHT, 2, due=due), OUTBOUND).next_try is None


def test_versions_grow_through_a_life_and_a_second_one() -> None:
    """A screen that shows the newest version never falls back."""
    queued = delivery_view(letter(MailState.QUEUED), OUTBOUND)
    sending = delivery_view(letter(MailState.IN_FLIGHT, 1), OUTBOUND)
    retrying = stepped(sending, DeliveryState.RETRYING)
    again = delivery_view(letter(MailState.IN_FLIGHT, 2), OUTBOUND)
    dead = stepped(again, DeliveryState.DEAD)
    second = delivery_view(letter(MailState.QUEUED, replays=1), OUTBOUND)
    versions = [view.version for view in (queued, sending, retrying, again, dead, second)]
    assert versions == sorted(versions)
    assert len({queued.version, sending.version, retrying.version, dead.version, second.version}) == 5


def test_an_outbox_lets_nothing_go() -> None:
    """Unbounded, durable, in order, and its dead letters stay until somebody deals with them."""
    policy = outbox_policy(SETTINGS)
    assert (policy.durable, policy.ordered, policy.capacity, policy.overflow) == (True, True, 0, Overflow.REJECT)
    assert (policy.ttl_s, policy.dead_keep_count, policy.dead_keep_s) == (0, 0, 0)
    assert policy.max_deliveries == policy.max_crashes == SETTINGS.max_attempts


def test_an_error_is_one_line_of_bounded_length() -> None:
    """Whatever a far side sends."""
    assert one_line("a\n b\tc") == "a b c"
    assert len(one_line("x" * 10_000)) == 300


def test_a_large_file_may_take_longer_than_a_text() -> None:
    """The limit grows with the bytes, so that a slow line is not cut off in the middle of every attempt."""

    def a_file(size_bytes: int) -> OutboundFile:
        return OutboundFile(kind=FileKind.DOCUMENT, name="a", mime="x/y", path="/a", size_bytes=size_bytes)

    large = msgspec.structs.replace(OUTBOUND, files=(a_file(20 * 1024 * 1024), a_file(1024 * 1024)))
    assert attempt_limit_s(OUTBOUND, SETTINGS) == SETTINGS.timeout_s
    assert attempt_limit_s(large, SETTINGS) == SETTINGS.timeout_s + 21 * 16
