"""Decisions about approvals: what is asked, until when, which answer fits, and how each ends."""

from typing import Any

import msgspec
import pytest

from core.agents.approvals.approval import (
    APPROVAL,
    RESTART,
    SIZE_LIMIT_BYTES,
    SUPERSEDED,
    TIMEOUT,
    Ending,
    choose_option,
    closed,
    digest,
    ending_by_agent,
    ending_of_run,
    is_too_large,
    too_late,
    wait_s,
)
from core.agents.approvals.surface import noted
from core.api.approvals import ApprovalState, EndReason, GrantScope
from core.api.base import Mark
from core.api.errors import InvalidInput
from core.api.runs import ActionKind, ActionOption, ActionSettled, OptionKind, Stop, ToolKind, TurnEnded
from core.machine import IllegalTransition
from tests.support.approval_desk import ALWAYS, NO, an_action
from tests.support.tree import ROOT
from tests.support.views import approval

ONCE = ActionOption(id="once", label="Yes", kind=OptionKind.ALLOW_ONCE)
NEVER = ActionOption(id="never", label="Never", kind=OptionKind.REJECT_ALWAYS)


@pytest.mark.parametrize(
    ("options", "allow", "chosen"),
    [
        ([ALWAYS, ONCE, NO], True, "once"),
        ([ALWAYS, ONCE, NEVER, NO], False, "no"),
        ([ONCE, NEVER], False, "never"),
        ([ONCE], False, ""),
        ([], True, ""),
        ([], False, ""),
    ],
)
def test_an_answer_without_an_option_means_the_least_that_fits(
    options: list[ActionOption], allow: bool, chosen: str
) -> None:
    """Once before always, whatever the order in which the agent offers them."""
    assert choose_option(options, allow=allow) == chosen


def test_a_standing_permission_is_never_given_unasked() -> None:
    """Where only `always` is offered, a plain yes is refused and names what to say: the option, or scope always."""
    for scope in (GrantScope.ONCE, GrantScope.TASK, GrantScope.SESSION):
        with pytest.raises(InvalidInput, match="once") as caught:
            choose_option([ALWAYS, NO], allow=True, scope=scope)
        assert caught.value.facts["fix"] == "name one of: always, no"
    assert choose_option([ALWAYS, NO], allow=True, option_id="always") == "always"
    assert choose_option([ALWAYS, NO], allow=True, scope=GrantScope.ALWAYS) == "always"
    assert choose_option([ALWAYS, ONCE], allow=True, scope=GrantScope.ALWAYS) == "once"


@pytest.mark.parametrize(("allow", "option_id"), [(True, "no"), (False, "once"), (True, "other"), (False, "other")])
def test_an_option_that_contradicts_or_is_not_offered_is_refused(allow: bool, option_id: str) -> None:
    """The error names the field and a way out."""
    with pytest.raises(InvalidInput) as caught:
        choose_option([ONCE, NO], allow=allow, option_id=option_id)
    assert caught.value.facts["field"] == "option_id"
    assert caught.value.facts["fix"]


@pytest.mark.parametrize(
    "change",
    [
        {"title": "t2"}, {"detail": "d2"}, {"kind": ToolKind.DELETE}, {"tool": "bash"}, {"target": "make x"},
        {"cwd": "/tmp"}, {"diff": "+x"}, {"chain": ("child",)}, {"action_kind": ActionKind.QUESTION},
        {"options": (ONCE,)}, {"options": (msgspec.structs.replace(ONCE, label="y"), NO)},
        {"title": "Run itmake deploy", "detail": ""},
    ],
)  # fmt: skip
def test_the_digest_changes_with_everything_that_is_asked(change: dict[str, Any]) -> None:
    """Tool, target, folder, diff, chain and kind included; 16 hex letters."""
    before, after = digest(an_action()), digest(an_action(**change))
    assert before != after
    assert all(len(item) == 16 and int(item, 16) >= 0 for item in (before, after))


def test_the_same_asked_again_has_the_same_digest() -> None:
    """The agent's own ids and its patience are no part of the question."""
    assert digest(an_action()) == digest(an_action(action_id="x", tool_call_id="y", deadline_s=60.0))


@pytest.mark.parametrize(
    ("own_s", "limits_s", "expected"),
    [
        (None, (3600.0, 600.0), 600.0),
        (None, (30.0, 600.0), 30.0),
        (60.0, (3600.0,), 55.0),
        (60.0, (3600.0, 30.0), 30.0),
        (5.0, (3600.0,), 5.0),
        (10.0, (3600.0,), 10.0),
        (None, (-1.0, 5.0), 0.0),
    ],
)
def test_there_is_one_deadline_and_it_is_the_earliest(
    own_s: float | None, limits_s: tuple[float, ...], expected: float
) -> None:
    """Five seconds are kept from the agent's own deadline, unless it is too short for that."""
    assert wait_s(own_s, *limits_s) == expected


def test_what_cannot_be_shown_whole_is_too_large() -> None:
    """The limit counts everything that would be shown, the diff too."""
    assert not is_too_large(an_action())
    assert is_too_large(an_action(detail="x" * SIZE_LIMIT_BYTES))
    assert is_too_large(an_action(diff="x" * SIZE_LIMIT_BYTES))


@pytest.mark.parametrize(
    ("end", "state", "ended"),
    [
        (TurnEnded(stop=Stop.CANCELLED, code="interrupted"), ApprovalState.WITHDRAWN, EndReason.STOPPED),
        (TurnEnded(stop=Stop.CANCELLED, code="stopping"), ApprovalState.ORPHANED, EndReason.RESTART),
        (TurnEnded(stop=Stop.DIED, error="killed"), ApprovalState.WITHDRAWN, EndReason.DIED),
        (TurnEnded(stop=Stop.TIMEOUT), ApprovalState.EXPIRED, EndReason.TIMEOUT),
        (TurnEnded(stop=Stop.END_TURN), ApprovalState.WITHDRAWN, EndReason.AGENT),
        (TurnEnded(stop=Stop.ERROR, error="x"), ApprovalState.WITHDRAWN, EndReason.AGENT),
    ],
)
def test_every_end_of_a_run_has_a_reason_of_its_own(end: TurnEnded, state: ApprovalState, ended: EndReason) -> None:
    """None of them is a refusal by somebody."""
    view = closed(approval("a-1", state=ApprovalState.OPEN), ending_of_run(end), Mark(1.0, 2.0))
    assert (view.state, view.ended, view.decided_by) == (state, ended, "core")
    assert view.reason


@pytest.mark.parametrize(
    ("outcome", "state"),
    [("expired", ApprovalState.EXPIRED), ("withdrawn", ApprovalState.WITHDRAWN), ("denied", ApprovalState.WITHDRAWN)],
)
def test_what_the_agent_settles_itself_is_its_own_doing(outcome: str, state: ApprovalState) -> None:
    """Also when it calls its own silence a denial: nobody here denied anything."""
    ending = ending_by_agent(ActionSettled(action_id="a", outcome=outcome))
    view = closed(approval("a-1", state=ApprovalState.OPEN), ending, Mark(1.0, 2.0))
    assert (view.state, view.ended) == (state, EndReason.AGENT)


@pytest.mark.parametrize("ending", [TIMEOUT, RESTART, SUPERSEDED])
def test_what_has_ended_cannot_end_again(ending: Ending) -> None:
    """The machine refuses, whatever it is."""
    view = closed(approval("a-1", state=ApprovalState.OPEN), TIMEOUT, Mark(1.0, 2.0))
    with pytest.raises(IllegalTransition):
        closed(view, ending, Mark(1.0, 2.0))


def test_the_diagram_in_the_docs_is_the_machine() -> None:
    """Whoever reads about the states reads about these."""
    page = (ROOT / "docs" / "concepts" / "approvals.md").read_text(encoding="utf-8")
    assert APPROVAL.mermaid() in page


@pytest.mark.parametrize(
    ("state", "ended", "ago_s", "message"),
    [
        (ApprovalState.EXPIRED, EndReason.TIMEOUT, 12.4, "expired 12 s ago; not run"),
        (ApprovalState.EXPIRED, EndReason.TIMEOUT, 119.0, "expired 119 s ago; not run"),
        (ApprovalState.EXPIRED, EndReason.TIMEOUT, 120.0, "expired 2 min ago; not run"),
        (ApprovalState.ORPHANED, EndReason.RESTART, 7_200.0, "orphaned by a restart 2 h ago; not run"),
        (ApprovalState.WITHDRAWN, EndReason.STOPPED, 0.0, "withdrawn 0 s ago (stopped); not run"),
        (ApprovalState.APPROVED, EndReason.OPERATOR, 200_000.0, "already approved by bo 2 d ago"),
        (ApprovalState.DENIED, EndReason.OPERATOR, 1.0, "already denied by bo 1 s ago"),
    ],
)
def test_who_comes_too_late_is_told_what_became_of_it(
    state: ApprovalState, ended: EndReason, ago_s: float, message: str
) -> None:
    """What, by whom, how long ago on the clock that only grows, and a way out."""
    made = msgspec.structs.replace(approval("a-1", state=state), ended=ended, decided=Mark(5.0, 100.0), decided_by="bo")
    error = too_late(made, Mark(0.0, 100.0 + ago_s))
    assert error.message == message
    assert (error.facts["by"], error.facts["at"], error.facts["outcome"]) == ("bo", 5.0, state.value)
    assert error.facts["fix"]


def test_a_surface_is_noted_once_and_only_so_many_are() -> None:
    """The first times count; what was seen was delivered; a name must be one that can be shown."""
    first = noted((), "console", is_seen=False, now=Mark(1.0, 1.0))
    assert noted(first, "console", is_seen=False, now=Mark(2.0, 2.0)) is first
    seen = noted(first, "console", is_seen=True, now=Mark(3.0, 3.0))
    assert [(item.delivered.at, item.seen and item.seen.at) for item in seen] == [(1.0, 3.0)]
    assert noted(seen, "console", is_seen=True, now=Mark(4.0, 4.0)) is seen
    [at_once] = noted((), "phone", is_seen=True, now=Mark(5.0, 5.0))
    assert at_once.delivered == at_once.seen
    many = seen
    for number in range(15):
        many = noted(many, f"place-{number}", is_seen=False, now=Mark(6.0, 6.0))
    assert len(many) == 16
    assert noted(many, "one-more", is_seen=True, now=Mark(7.0, 7.0)) is many
    for name in ("", " x", "x\n", "x" * 65):
        with pytest.raises(InvalidInput, match="surface"):
            noted((), name, is_seen=True, now=Mark(1.0, 1.0))
