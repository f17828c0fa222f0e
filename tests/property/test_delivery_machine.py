"""Whatever happens to a delivery, its attempts stay within the policy and its end stays the end."""

from hypothesis import given
from hypothesis import strategies as st

from core.api.base import DeliveryId, Mark
from core.api.deliveries import DeliveryState
from core.gateway.delivery import (
    DELIVERY,
    LONGEST_WAIT_S,
    WAITING,
    DeliveryStep,
    Failure,
    asked_again,
    begun,
    next_attempt,
    queued,
)
from core.gateway.platform import PlatformErrorKind
from core.machine import IllegalTransition
from core.settings import DeliverySettings
from tests.support.outbox import outbound_to

SETTINGS = st.builds(
    DeliverySettings,
    max_attempts=st.integers(1, 12),
    base_s=st.floats(0.001, 100),
    cap_s=st.floats(0.001, LONGEST_WAIT_S),
)
FAILURES = st.builds(
    Failure,
    kind=st.sampled_from(PlatformErrorKind),
    error=st.text(max_size=400),
    retry_after_s=st.none() | st.floats(allow_nan=True, allow_infinity=True),
)
STEPS = st.lists(st.sampled_from(["begin", "ask again", "sent"]) | FAILURES, max_size=60)


@given(settings=SETTINGS, steps=STEPS, random=st.floats(0, 1, exclude_max=True))
def test_no_history_leads_out_of_the_policy(
    settings: DeliverySettings, steps: list[str | Failure], random: float
) -> None:
    """Attempts never exceed the policy; sent stays sent; dead ends only by an operator; waits are bounded."""
    now = Mark(1_700_000_000.0, 50.0)
    view = queued(outbound_to("8841", "hi", delivery_id=DeliveryId("d1")), now).view
    for step in steps:
        before = view
        try:
            if step == "begin":
                view = begun(view)
            elif step == "ask again":
                view = asked_again(view)
            else:
                outcome = step if isinstance(step, Failure) else None
                view = next_attempt(view, outcome, now, settings, lambda: random)
        except IllegalTransition:
            assert view is before
            continue
        assert before.state is not DeliveryState.SENT
        assert before.state is not DeliveryState.DEAD or step == "ask again"
        assert view.attempt <= settings.max_attempts
        assert view.version == before.version + 1
        assert (view.next_try is not None) == (view.state is DeliveryState.RETRYING)
        if view.next_try is not None:
            assert now.mono <= view.next_try.mono <= now.mono + LONGEST_WAIT_S
        assert len(view.error) <= 300
        assert "\n" not in view.error


@given(state=st.sampled_from(DeliveryState), step=st.sampled_from(DeliveryStep))
def test_only_an_operator_leads_out_of_an_end(state: DeliveryState, step: DeliveryStep) -> None:
    """From a state in which nothing is tried, the only step is to ask again, and never from sent."""
    if state not in WAITING and step in DELIVERY.table[state]:
        assert (state, step) == (DeliveryState.DEAD, DeliveryStep.ASK_AGAIN)
    assert DELIVERY.is_final(state) == (state is DeliveryState.SENT)
