"""Decisions about approvals: what is asked, until when, and which answer fits."""

import msgspec
import pytest

from core.agents.approval import SIZE_LIMIT_BYTES, choose_option, digest, is_too_large, wait_s
from core.api.errors import InvalidInput
from core.api.runs import ActionOption, ActionRequested, OptionKind, ToolKind

ONCE = ActionOption(id="once", label="Yes", kind=OptionKind.ALLOW_ONCE)
ALWAYS = ActionOption(id="always", label="Yes, always", kind=OptionKind.ALLOW_ALWAYS)
NO = ActionOption(id="no", label="No", kind=OptionKind.REJECT_ONCE)
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
    """Where only `always` is offered, a plain yes is refused and names what to say."""
    with pytest.raises(InvalidInput, match="once") as caught:
        choose_option([ALWAYS, NO], allow=True)
    assert caught.value.facts["fix"] == "name one of: always, no"
    assert choose_option([ALWAYS, NO], allow=True, option_id="always") == "always"


@pytest.mark.parametrize(("allow", "option_id"), [(True, "no"), (False, "once"), (True, "other"), (False, "other")])
def test_an_option_that_contradicts_or_is_not_offered_is_refused(allow: bool, option_id: str) -> None:
    """The error names the field and a way out."""
    with pytest.raises(InvalidInput) as caught:
        choose_option([ONCE, NO], allow=allow, option_id=option_id)
    assert caught.value.facts["field"] == "option_id"
    assert caught.value.facts["fix"]


def test_the_digest_changes_with_everything_that_is_shown() -> None:
    """Title, detail, kind and each option; 16 hex letters."""
    seen = {
        digest("t", "d", ToolKind.EDIT, (ONCE, NO)),
        digest("t2", "d", ToolKind.EDIT, (ONCE, NO)),
        digest("t", "d2", ToolKind.EDIT, (ONCE, NO)),
        digest("t", "d", ToolKind.DELETE, (ONCE, NO)),
        digest("t", "d", ToolKind.EDIT, (ONCE,)),
        digest("td", "", ToolKind.EDIT, (ONCE, NO)),
        digest("t", "d", ToolKind.EDIT, (msgspec.structs.replace(ONCE, label="y"), NO)),
    }
    assert len(seen) == 7
    assert all(len(item) == 16 and int(item, 16) >= 0 for item in seen)
    assert digest("t", "d", ToolKind.EDIT, (ONCE,)) == digest("t", "d", ToolKind.EDIT, [ONCE])


@pytest.mark.parametrize(
    ("own_s", "limit_s", "expected"),
    [(None, 3600.0, 3600.0), (60.0, 3600.0, 55.0), (60.0, 30.0, 30.0), (5.0, 3600.0, 5.0), (10.0, 3600.0, 10.0)],
)
def test_an_answer_in_the_last_moment_still_reaches_the_agent(
    own_s: float | None, limit_s: float, expected: float
) -> None:
    """Five seconds are kept from the agent's own deadline, unless it is too short for that."""
    assert wait_s(own_s, limit_s) == expected


def test_what_cannot_be_shown_whole_is_too_large() -> None:
    """The limit counts everything that would be shown."""
    action = ActionRequested(action_id="a", title="t", detail="d", kind=ToolKind.EDIT, options=(ONCE, NO))
    assert not is_too_large(action)
    assert is_too_large(msgspec.structs.replace(action, detail="x" * SIZE_LIMIT_BYTES))
