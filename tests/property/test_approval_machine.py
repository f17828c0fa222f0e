"""The approval machine under every history of events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agents.approval import APPROVAL, ApprovalStep
from core.api.approvals import ApprovalState
from core.machine import IllegalTransition


@given(st.lists(st.sampled_from(ApprovalStep), min_size=1, max_size=12))
def test_only_the_first_thing_that_happens_counts(steps: list[ApprovalStep]) -> None:
    """Whatever follows the first step is refused and changes nothing."""
    first = APPROVAL.step(ApprovalState.OPEN, steps[0])
    assert first is not ApprovalState.OPEN
    assert APPROVAL.is_final(first)
    for step in steps[1:]:
        with pytest.raises(IllegalTransition):
            APPROVAL.step(first, step)


def test_every_step_leads_to_a_state_of_its_own() -> None:
    """All states but `open` are final, and each can be reached."""
    reached = {APPROVAL.step(ApprovalState.OPEN, step) for step in ApprovalStep}
    assert reached == set(ApprovalState) - {ApprovalState.OPEN}
    assert [state for state in ApprovalState if not APPROVAL.is_final(state)] == [ApprovalState.OPEN]
