"""The approval machine under every history of events, and the digest under every question."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agents.approvals.approval import APPROVAL, ApprovalStep, Ending, closed, digest
from core.api.approvals import ApprovalState, EndReason
from core.api.base import Mark
from core.api.runs import ActionKind, ActionOption, ActionRequested, OptionKind, ToolKind
from core.machine import IllegalTransition
from tests.support.views import approval

WORDS = st.text(max_size=8)
OPTION = st.builds(ActionOption, id=WORDS, label=WORDS, kind=st.sampled_from(OptionKind))
ASKED = st.fixed_dictionaries(
    {
        "title": WORDS,
        "detail": WORDS,
        "kind": st.sampled_from(ToolKind),
        "options": st.lists(OPTION, max_size=3).map(tuple),
        "action_kind": st.sampled_from(ActionKind),
        "tool": WORDS,
        "target": WORDS,
        "cwd": WORDS,
        "diff": WORDS,
        "chain": st.lists(WORDS, max_size=3).map(tuple),
    }
)
OWN = st.fixed_dictionaries({"action_id": WORDS, "tool_call_id": WORDS, "deadline_s": st.none() | st.floats(0, 100)})


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


@given(st.sampled_from(ApprovalStep), st.sampled_from(EndReason), WORDS, WORDS)
def test_an_end_changes_the_decision_and_nothing_of_what_was_asked(
    step: ApprovalStep, ended: EndReason, reason: str, by: str
) -> None:
    """One version more; digest, ids and text are as they were shown."""
    before = approval("a-1", state=ApprovalState.OPEN)
    after = closed(before, Ending(step=step, ended=ended, reason=reason, by=by), Mark(9.0, 9.0))
    assert (after.version, after.ended, after.reason, after.decided_by) == (before.version + 1, ended, reason, by)
    for name in ("id", "session_id", "run_id", "action_id", "digest", "title", "detail", "options", "asked"):
        assert getattr(after, name) == getattr(before, name)


@given(ASKED, ASKED, OWN, OWN)
def test_digests_are_equal_when_the_questions_are(
    first: dict[str, Any], second: dict[str, Any], own: dict[str, Any], other: dict[str, Any]
) -> None:
    """And only then; the agent's own ids and deadline are no part of the question."""
    assert digest(ActionRequested(**first, **own)) == digest(ActionRequested(**first, **other))
    assert (digest(ActionRequested(**first, **own)) == digest(ActionRequested(**second, **own))) is (first == second)
