"""Decisions from a shell: all that is asked, wider permissions, many at once, orphaned ones, standing permissions."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.api.approvals import (
    AnswerApproval,
    DenyApprovals,
    GrantOffer,
    GrantScope,
    ReaskApproval,
    RevokeGrant,
)
from core.api.base import ApprovalId, GrantId
from tests.support.fake_hermes import FakeHermes, approval
from tests.support.shell import Shell, shell_on
from tests.unit.test_approvals_inbox import waiting

A1 = ApprovalId("a-1")


@pytest.fixture
def hermes() -> FakeHermes:
    """Decisions of every kind, and two permissions."""
    found = waiting()
    offer = GrantOffer(scope=GrantScope.ALWAYS, pattern="exec:rm -rf *", matches=("rm -rf /",))
    asked = approval(
        "a-1", version=3, offers=(offer,), warnings=("a recursive deletion",), chain=("coder",), cwd="/srv"
    )
    found.approvals[A1] = asked
    return found


@pytest.fixture
def shell(hermes: FakeHermes) -> Iterator[Shell]:
    """A shell on that core."""
    with tempfile.TemporaryDirectory(prefix="hc-") as folder, shell_on(hermes, Path(folder)) as opened:
        yield opened


def test_one_is_shown_with_warnings_chain_and_what_a_wider_yes_would_let_through(shell: Shell) -> None:
    """Everything that the screen shows."""
    said = shell.run("approvals show a-1")
    for words in ("a recursive deletion", "main > coder", "/srv", "--pattern exec:rm -rf *", "rm -rf /", "no surface"):
        assert words in said.out


def test_a_wider_yes_names_its_scope_and_pattern(shell: Shell, hermes: FakeHermes) -> None:
    """And a no may be remembered, a question answered in words."""
    assert shell.run("approvals approve a-1 --scope always --pattern 'exec:rm -rf *' --reason ok").code == 0
    assert shell.run("approvals deny a-2 --remember-s 60").code == 0
    assert shell.run("approvals approve q-1 --answer 'the second'").code == 0
    assert hermes.commands == [
        AnswerApproval(approval_id=A1, allow=True, reason="ok", scope=GrantScope.ALWAYS, pattern="exec:rm -rf *"),
        AnswerApproval(approval_id=ApprovalId("a-2"), allow=False, remember_s=60.0),
        AnswerApproval(approval_id=ApprovalId("q-1"), allow=True, answer="the second"),
    ]


def test_many_are_denied_at_once(shell: Shell, hermes: FakeHermes) -> None:
    """Those that were decided meanwhile are named."""
    said = shell.run("approvals deny-all a-3 a-4 o-1 --reason no")
    assert "denied 2 requests" in said.out
    assert "no longer open: o-1" in said.out
    assert hermes.commands == [
        DenyApprovals(approval_ids=(ApprovalId("a-3"), ApprovalId("a-4"), ApprovalId("o-1")), reason="no")
    ]


def test_an_orphaned_one_is_asked_again(shell: Shell, hermes: FakeHermes) -> None:
    """Another one is refused with its own exit code."""
    assert shell.run("approvals reask o-1").code == 0
    assert shell.run("approvals reask a-2").code == 6
    assert hermes.commands[0] == ReaskApproval(approval_id=ApprovalId("o-1"))


def test_a_pager_says_that_it_shows_one(shell: Shell, hermes: FakeHermes) -> None:
    """So that an operator knows who could have seen it."""
    assert "pager" in shell.run("approvals note a-2 pager --seen").out
    assert [(note.surface, note.is_seen) for note in hermes.notes] == [("pager", True)]


def test_standing_permissions_are_listed_and_revoked(shell: Shell, hermes: FakeHermes) -> None:
    """A remembered no as well."""
    said = shell.run("approvals grants --plain")
    assert "exec:git status" in said.out
    assert "may not" in said.out
    assert "revoked: main exec:git status" in shell.run("approvals revoke g-1").out
    assert hermes.commands == [RevokeGrant(grant_id=GrantId("g-1"))]
