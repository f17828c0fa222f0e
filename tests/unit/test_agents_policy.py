"""What the policy says to one action: the whole table, and what goes before it."""

import itertools

import msgspec
import pytest

from core.agents.policy.policy import holds_at, is_live, verdict
from core.api.approvals import GrantScope, GrantView
from core.api.base import GrantId, Mark, SessionId, TaskId
from core.api.policies import Ask, ExecutionPolicy, Security, VerdictKind
from tests.support.approval_desk import HERE, MAIN, a_question, an_action

NOW = Mark(1_000.0, 10.0)
HIT, MISS = an_action("git log"), an_action("git push")


def policy(security: Security, ask: Ask) -> ExecutionPolicy:
    """A policy whose allowlist has one command."""
    return ExecutionPolicy(security=security, ask=ask, allow=("exec:git log",))


def grant(*, allow: bool = True, scope: GrantScope = GrantScope.ALWAYS, pattern: str = "exec:git push") -> GrantView:
    """A standing yes or no."""
    return GrantView(
        id=GrantId(f"g-{allow}"), version=1, agent=MAIN, scope=scope, pattern=pattern, allow=allow, given=NOW,
        given_by="ana", session_id=HERE if scope is GrantScope.SESSION else None,
        task_id=TaskId("t-1") if scope is GrantScope.TASK else None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("security", "ask", "hit", "miss"),
    [
        (Security.DENY, Ask.OFF, "deny security.deny", "deny security.deny"),
        (Security.DENY, Ask.ON_MISS, "deny security.deny", "deny security.deny"),
        (Security.DENY, Ask.ALWAYS, "deny security.deny", "deny security.deny"),
        (Security.ALLOWLIST, Ask.OFF, "allow allow", "deny ask.off"),
        (Security.ALLOWLIST, Ask.ON_MISS, "allow allow", "ask ask.on-miss"),
        (Security.ALLOWLIST, Ask.ALWAYS, "ask ask.always", "ask ask.always"),
        (Security.FULL, Ask.OFF, "allow security.full", "allow security.full"),
        (Security.FULL, Ask.ON_MISS, "allow security.full", "allow security.full"),
        (Security.FULL, Ask.ALWAYS, "ask ask.always", "ask ask.always"),
    ],
)
def test_the_table_of_security_and_ask(security: Security, ask: Ask, hit: str, miss: str) -> None:
    """Every cell, for what the allowlist names and for what it does not; each with a reason for people."""
    for action, expected in ((HIT, hit), (MISS, miss)):
        found = verdict(policy(security, ask), action, [], NOW)
        assert f"{found.kind.value} {found.rule}" == expected
        assert found.reason
        assert found.pattern == ("exec:git log" if found.rule == "allow" else "")
        assert found.grant_id is None


@pytest.mark.parametrize(("security", "ask"), itertools.product(Security, Ask))
def test_a_question_always_reaches_a_person(security: Security, ask: Ask) -> None:
    """No policy and no grant can know the answer."""
    action = a_question(tool="exec", target="git push")
    found = verdict(policy(security, ask), action, [grant(), grant(allow=False)], NOW)
    assert (found.kind, found.rule) == (VerdictKind.ASK, "question")


@pytest.mark.parametrize("ask", Ask)
def test_a_grant_lets_through_and_a_remembered_no_wins(ask: Ask) -> None:
    """Both go before the table; nothing goes before a policy that denies everything."""
    here = policy(Security.ALLOWLIST, ask)
    allowed = verdict(here, MISS, [grant()], NOW)
    assert (allowed.kind, allowed.rule, allowed.grant_id) == (VerdictKind.ALLOW, "grant", "g-True")
    refused = verdict(here, MISS, [grant(), grant(allow=False)], NOW)
    assert (refused.kind, refused.rule, refused.grant_id) == (VerdictKind.DENY, "refusal", "g-False")
    assert "ana" in refused.reason
    refused = verdict(policy(Security.FULL, ask), MISS, [grant(allow=False)], NOW)
    assert refused.rule == "refusal"
    denied = verdict(policy(Security.DENY, ask), MISS, [grant()], NOW)
    assert denied.rule == "security.deny"


def test_a_grant_is_only_about_what_it_names_and_only_while_it_stands() -> None:
    """Another command, a revoked one and one whose time is over do not count."""
    here = policy(Security.ALLOWLIST, Ask.ON_MISS)
    over = msgspec.structs.replace(grant(), expires=NOW)
    gone = msgspec.structs.replace(grant(), revoked=NOW)
    for found in (grant(pattern="exec:git pull"), over, gone):
        assert verdict(here, MISS, [found], NOW).rule == "ask.on-miss"
    assert is_live(msgspec.structs.replace(grant(), expires=Mark(0.0, 10.1)), NOW)


def test_what_does_not_say_what_it_does_is_not_on_the_allowlist() -> None:
    """The reason says so, since the list may name everything."""
    here = ExecutionPolicy(allow=("*:*",))
    for action in (an_action(tool=""), an_action(target="")):
        found = verdict(here, action, [], NOW)
        assert found.kind is VerdictKind.ASK
        assert "does not say" in found.reason


def test_a_grant_reaches_as_far_as_its_scope() -> None:
    """The agent for good, one session, one task; never another agent."""
    elsewhere, other = SessionId("s-2"), TaskId("t-2")
    cases = [
        (GrantScope.ALWAYS, HERE, None, True),
        (GrantScope.ALWAYS, elsewhere, other, True),
        (GrantScope.SESSION, HERE, other, True),
        (GrantScope.SESSION, elsewhere, None, False),
        (GrantScope.SESSION, None, None, False),
        (GrantScope.TASK, HERE, TaskId("t-1"), True),
        (GrantScope.TASK, HERE, other, False),
        (GrantScope.TASK, HERE, None, False),
        (GrantScope.ONCE, HERE, TaskId("t-1"), False),
    ]
    for scope, session_id, task_id, expected in cases:
        assert holds_at(grant(scope=scope), MAIN, session_id, task_id) is expected
    assert not holds_at(msgspec.structs.replace(grant(), agent="b"), MAIN, HERE, None)
