"""What an attempt to send means for the next one."""

import math

import pytest

from core.api.base import DeliveryId, Mark
from core.api.deliveries import DeliveryState, DeliveryView
from core.gateway.delivery import (
    LONGEST_WAIT_S,
    Failure,
    asked_again,
    begun,
    next_attempt,
    one_line,
    outbound_of,
    queued,
    recovered,
)
from core.gateway.platform import PlatformErrorKind
from core.machine import IllegalTransition
from core.settings import DeliverySettings
from tests.support.outbox import outbound_to

NOW = Mark(1_700_000_000.0, 1000.0)
SETTINGS = DeliverySettings(max_attempts=3, base_s=2.0, cap_s=60.0)


def sending(attempt: int = 1) -> DeliveryView:
    """A delivery in its attempt of that number."""
    view = queued(outbound_to("8841", "hi", delivery_id=DeliveryId("d1")), NOW).view
    for _ in range(attempt - 1):
        view = next_attempt(begun(view), failure(), NOW, SETTINGS, lambda: 0.0)
    return begun(view)


def failure(
    kind: PlatformErrorKind = PlatformErrorKind.RETRY_AFTER, error: str = "busy", retry_after_s: float | None = None
) -> Failure:
    """A failure to send."""
    return Failure(kind, error, retry_after_s)


def after(view: DeliveryView, outcome: Failure | None, random: float = 1.0) -> DeliveryView:
    """The next state."""
    return next_attempt(view, outcome, NOW, SETTINGS, lambda: random)


def test_what_is_stored_can_be_sent_again_as_it_was() -> None:
    """The row gives back the very message, id included."""
    outbound = outbound_to("8841", "hi", delivery_id=DeliveryId("d1"), reply_to="m7")
    assert outbound_of(queued(outbound, NOW)) == outbound


def test_a_success_is_final() -> None:
    """A sent delivery has no error, no next try, and cannot begin again."""
    sent = after(sending(2), None)
    assert (sent.state, sent.error, sent.next_try) == (DeliveryState.SENT, "", None)
    for move in (begun, asked_again):
        with pytest.raises(IllegalTransition):
            move(sent)


def test_a_busy_platform_is_tried_again_with_backoff() -> None:
    """The wait is drawn below a ceiling that doubles with each attempt; both clocks say when."""
    first, second = after(sending(1), failure(), 0.5), after(sending(2), failure(), 0.5)
    assert (first.state, first.error) == (DeliveryState.RETRYING, "busy")
    assert first.next_try == Mark(NOW.at + 1.0, NOW.mono + 1.0)
    assert second.next_try == Mark(NOW.at + 2.0, NOW.mono + 2.0)


@pytest.mark.parametrize(
    ("asked_s", "waited_s"),
    [(17.0, 17.0), (0.0, 0.0), (500.0, 500.0), (-4.0, 0.0), (1e12, LONGEST_WAIT_S), (math.inf, LONGEST_WAIT_S)],
)
def test_what_the_far_side_asks_for_wins_over_the_backoff(asked_s: float, waited_s: float) -> None:
    """Also beyond our own cap, but never below zero or beyond a day."""
    view = after(sending(), failure(retry_after_s=asked_s))
    assert view.next_try == Mark(NOW.at + waited_s, NOW.mono + waited_s)


def test_a_wait_that_is_no_number_leaves_it_to_the_backoff() -> None:
    """Not-a-number from a far side changes nothing."""
    view = after(sending(), failure(retry_after_s=math.nan), 0.5)
    assert view.next_try == Mark(NOW.at + 1.0, NOW.mono + 1.0)


def test_a_wrong_credential_is_tried_slowly() -> None:
    """An operator has to mend it, so the wait is the longest one at once."""
    view = after(sending(), failure(PlatformErrorKind.UNAUTHORISED, "bad token"), 0.0)
    assert view.state is DeliveryState.RETRYING
    assert view.next_try == Mark(NOW.at + SETTINGS.cap_s, NOW.mono + SETTINGS.cap_s)


@pytest.mark.parametrize("kind", [PlatformErrorKind.REFUSED, PlatformErrorKind.GONE])
def test_a_refusal_is_the_end_at_the_first_attempt(kind: PlatformErrorKind) -> None:
    """A blocked bot or a chat that is gone will not change by asking again."""
    view = after(sending(), failure(kind, "blocked", 5.0))
    assert (view.state, view.error, view.next_try, view.attempt) == (DeliveryState.DEAD, "blocked", None, 1)


@pytest.mark.parametrize("kind", [PlatformErrorKind.RETRY_AFTER, PlatformErrorKind.UNAUTHORISED])
def test_the_last_attempt_is_the_end(kind: PlatformErrorKind) -> None:
    """After max_attempts failures a delivery is dead, whatever the far side asks for."""
    view = after(sending(3), failure(kind, "busy", 5.0))
    assert (view.state, view.attempt) == (DeliveryState.DEAD, 3)


def test_an_operator_brings_a_dead_one_back_with_all_its_attempts() -> None:
    """Asked for again, it is queued and counts from zero, and keeps what went wrong last."""
    view = asked_again(after(sending(3), failure()))
    assert (view.state, view.attempt, view.error) == (DeliveryState.QUEUED, 0, "busy")


def test_what_is_being_sent_cannot_be_asked_for_again() -> None:
    """Only a dead or waiting one can."""
    with pytest.raises(IllegalTransition):
        asked_again(sending())


def test_an_error_is_one_bounded_line() -> None:
    """Whatever an adapter says, a table row can show it."""
    assert one_line("  a\nb\t c ") == "a b c"
    assert len(after(sending(), failure(error="x\n" * 5000)).error) == 300


def test_every_change_has_a_version_of_its_own() -> None:
    """The newest view can be told from the older ones."""
    view = queued(outbound_to("8841", "hi", delivery_id=DeliveryId("d1")), NOW).view
    seen = [view.version]
    for step in (begun, lambda item: after(item, failure()), begun, lambda item: after(item, None)):
        view = step(view)
        seen.append(view.version)
    assert seen == [1, 2, 3, 4, 5]


def test_a_wait_goes_on_over_a_restart() -> None:
    """The rest of it is counted on the wall clock, since the other one began anew."""
    waiting = after(sending(), failure(retry_after_s=100.0))
    taken_up = recovered(waiting, NOW, Mark(NOW.at + 40.0, 7.0))
    assert taken_up.next_try == Mark(NOW.at + 100.0, 67.0)
    overdue = recovered(waiting, NOW, Mark(NOW.at + 400.0, 7.0))
    assert overdue.next_try == Mark(NOW.at + 400.0, 7.0)


def test_a_clock_that_was_set_back_holds_nothing_up_for_more_than_a_day() -> None:
    """A stored instant far ahead is cut to the longest wait."""
    waiting = after(sending(), failure(retry_after_s=10.0))
    taken_up = recovered(waiting, NOW, Mark(0.0, 7.0))
    assert taken_up.next_try == Mark(LONGEST_WAIT_S, 7.0 + LONGEST_WAIT_S)
