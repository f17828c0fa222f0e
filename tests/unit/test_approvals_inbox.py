"""The inbox of decisions: order, who has seen what, many at once, orphaned ones, standing permissions."""

from typing import Any, TypeVar

from core.api.approvals import (
    ApprovalAsked,
    ApprovalState,
    DenyApprovals,
    EndReason,
    ReaskApproval,
    RevokeGrant,
    Surface,
)
from core.api.base import ApprovalId, Command, GrantId
from core.api.runs import ActionKind, ToolKind
from tests.support.console_desk import Desk, desk
from tests.support.fake_hermes import FakeHermes, ago, approval
from tests.support.fake_work import FakeWork, grant

C = TypeVar("C", bound=Command[Any])


def waiting() -> FakeHermes:
    """Five open ones, two of them twins, and one that a restart has orphaned."""
    return FakeHermes(
        approvals=[
            approval("a-1", title="rm -rf build", deadline=ago(-300), digest="aaaaaaaaaaaaaaaa"),
            approval("a-2", title="git push", deadline=ago(-60), digest="bbbbbbbbbbbbbbbb", kind=ToolKind.FETCH),
            approval("a-3", title="git pull", deadline=ago(-200), digest="cccccccccccccccc"),
            approval("a-4", title="git pull", deadline=ago(-250), digest="cccccccccccccccc"),
            approval(
                "q-1",
                title="which repo?",
                deadline=ago(-900),
                digest="dddddddddddddddd",
                action_kind=ActionKind.QUESTION,
            ),
            approval(
                "o-1",
                title="make clean",
                state=ApprovalState.ORPHANED,
                ended=EndReason.RESTART,
                decided=ago(10),
                digest="eeeeeeeeeeeeeeee",
            ),
        ],
        work=FakeWork(
            grants=[grant("g-1", used_count=41, last_used=ago(5)), grant("g-2", allow=False, pattern="exec:rm *")]
        ),
    )


def sent(seen: Desk, kind: type[C]) -> list[C]:
    """The commands of one kind, in order."""
    return [command for command in seen.hermes.commands if isinstance(command, kind)]


async def test_the_nearest_deadline_is_first() -> None:
    """Whatever session it is of; the same request several times says so."""
    async with desk(waiting(), (140, 40)) as seen:
        await seen.press("3")
        order = []
        for _ in range(5):
            order.append(seen.app.desk.table.cursor_id)
            await seen.press("j")
        assert order == ["a-2", "a-3", "a-4", "a-1", "q-1"]
        assert "x2 git pull" in seen.text
        assert "▲ orphaned" in seen.text


async def test_what_no_surface_shows_says_nobody() -> None:
    """Until somebody looks, it is only shown."""
    hermes = waiting()
    seen_one = approval("a-2", version=2, surfaces=(Surface(name="console:raj", delivered=ago(3), seen=ago(1)),))
    hermes.approvals[seen_one.id] = seen_one
    async with desk(hermes, (140, 40)) as seen:
        await seen.press("3")
        assert "nobody" in seen.text
        assert "raj" in seen.text


async def test_a_decision_that_is_opened_is_noted_as_seen_once() -> None:
    """The core learns which surface showed it."""
    async with desk(waiting()) as seen:
        await seen.press("3", "A", "escape")
        await seen.press("A", "escape")
        (note,) = [note for note in seen.hermes.notes if note.is_seen]
        assert note.approval_id == "a-2"
        assert note.surface.startswith("console:")


async def test_what_is_on_the_screen_is_noted_as_shown_once() -> None:
    """On the first page and in the inbox; a page that shows no decisions says nothing."""
    hermes = waiting()
    async with desk(hermes, (140, 40)) as seen:
        await seen.press("2")
        before = list(hermes.notes)
        late = approval("a-9", deadline=ago(-400), digest="9999999999999999")
        hermes.emit(ApprovalAsked(approval=late))
        await seen.settle()
        assert hermes.notes == before
        await seen.press("3")
        await seen.press("1")
        shown = [note.approval_id for note in hermes.notes if not note.is_seen]
        assert sorted(shown) == ["a-1", "a-2", "a-3", "a-4", "a-9", "q-1"]


async def test_many_are_denied_with_one_reason_and_never_allowed() -> None:
    """What was marked stays meant although rows move."""
    hermes = waiting()
    async with desk(hermes, (140, 40)) as seen:
        await seen.press("3", "j", "space", "space")
        hermes.emit(ApprovalAsked(approval=approval("a-0", deadline=ago(-5), digest="ffffffffffffffff")))
        await seen.settle()
        assert "2 marked" in seen.text
        await seen.press("D", "shift+tab", *"no", "tab", "right", "enter")
        assert sent(seen, DenyApprovals) == [
            DenyApprovals(approval_ids=(ApprovalId("a-3"), ApprovalId("a-4")), reason="no")
        ]
        assert "denied 2 requests" in seen.text


async def test_an_orphaned_one_cannot_be_approved_but_asked_again() -> None:
    """The key for a decision says why it does nothing."""
    async with desk(waiting(), (140, 40)) as seen:
        await seen.press("3", "G", "A")
        assert "R asks again" in seen.text
        await seen.press("R")
        assert "nothing was run" in seen.text
        await seen.press("right", "enter")
        assert sent(seen, ReaskApproval) == [ReaskApproval(approval_id=ApprovalId("o-1"))]


async def test_standing_permissions_are_listed_and_revoked() -> None:
    """With how often they were used; a remembered no is loud."""
    async with desk(waiting(), (140, 40)) as seen:
        await seen.press("3", "s")
        for words in ("exec:git status", "41", "1 remembered no", "may not"):
            assert words in seen.text
        await seen.press("X", "right", "enter")
        assert sent(seen, RevokeGrant) == [RevokeGrant(grant_id=GrantId("g-1"))]


async def test_a_new_request_takes_neither_focus_nor_cursor() -> None:
    """While the operator types a filter, every letter stays a letter."""
    hermes = waiting()
    async with desk(hermes) as seen:
        await seen.press("3", "slash", "g", "i")
        hermes.emit(ApprovalAsked(approval=approval("a-0", title="give", deadline=ago(-5), digest="ffffffffffffffff")))
        await seen.settle()
        await seen.press("t", "a", "d", "enter")
        assert seen.app.navigator.view.filter_text == "gitad"
        assert sent(seen, DenyApprovals) == []
        assert hermes.commands == []
