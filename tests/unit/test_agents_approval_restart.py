"""Approvals over a restart, asked again under a new id; what is noted on them besides."""

from typing import Any

import pytest

from core.agents.approvals import approvals as shell
from core.agents.approvals.approval import ending_of_run
from core.agents.approvals.orders import note_text
from core.api.approvals import (
    ApprovalNoted,
    ApprovalOrphaned,
    ApprovalState,
    ApprovalView,
    EndReason,
    NoteApproval,
    ReaskApproval,
)
from core.api.base import RunId, SessionId
from core.api.errors import AlreadyDecided, ConflictError, HermesError, NotFound, Unavailable
from core.api.runs import Stop, TurnEnded
from core.store.base import Put
from core.store.memory import MemoryStore
from tests.support.approval_desk import ANA, RUN, Desk, an_action, desk
from tests.support.clocks import FakeClock

LATER_S = 100.0


async def orphaned(store: MemoryStore) -> ApprovalView:
    """Asked by a core that is gone."""
    async with desk(store) as before:
        return await before.ask()


def later() -> FakeClock:
    """The clock of the next start: some time has passed, and the other clock began anew."""
    return FakeClock(now=1_700_000_000.0 + LATER_S, monotonic=7.0)


async def reask(here: Desk, view: ApprovalView) -> ApprovalView:
    """Have it asked again."""
    return await here.orders.reask_approval(ReaskApproval(approval_id=view.id), ANA)


async def test_a_new_start_orphans_what_was_open() -> None:
    """Nobody decided, and nothing is run; decided ones are as they were. A second start changes nothing more."""
    store = MemoryStore()
    async with desk(store) as before:
        left = await before.ask()
        done = await before.answer(await before.ask(an_action(action_id="act-2")), allow=False)
    async with desk(store, later()) as after:
        assert await after.approvals.recover() == 1
        assert after.approvals.open_count == 0
        orphan = await after.get(left.id)
        assert (orphan.state, orphan.ended, orphan.version) == (ApprovalState.ORPHANED, EndReason.RESTART, 2)
        assert (orphan.asked.mono, orphan.deadline and orphan.deadline.mono) == (7.0 - LATER_S, 7.0 - LATER_S + 600.0)
        assert (await after.records())[-1].event == ApprovalOrphaned(approval=orphan)
        assert (await after.get(done.id)).state is ApprovalState.DENIED
        assert after.told == []
    async with desk(store, later()) as again:
        assert await again.approvals.recover() == 0
        for allow in (True, False):
            with pytest.raises(AlreadyDecided, match="orphaned by a restart") as caught:
                await again.answer(left, allow=allow)
            assert "ask again" in str(caught.value.facts["fix"])
        assert again.told == []


async def test_a_thousand_orphans_are_taken_up_in_bites(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit holds only so many; each is orphaned once."""
    monkeypatch.setattr(shell, "_ORPHANS_AT_ONCE", 2)
    store = MemoryStore()
    async with desk(store) as before:
        for number in range(5):
            await before.ask(an_action(action_id=f"act-{number}"))
    async with desk(store, later()) as after:
        start = store.stats().commit_count
        assert await after.approvals.recover() == 5
        assert store.stats().commit_count == start + 3
        assert {(row.state, row.version) for row in await after.rows()} == {(ApprovalState.ORPHANED, 2)}
        assert len(await after.records()) == 5 + 5


async def test_a_decision_of_which_nobody_knows_whether_it_arrived_says_so() -> None:
    """The core was killed between the answer and the agent: nothing is sent again."""
    store = MemoryStore()
    async with desk(store) as before:
        view = await before.answer(await before.ask())
        [row] = await store.scan("approval/")
        cut = row.body.replace(b'"delivery":"sent"', b'"delivery":""')
        assert cut != row.body
        await before.journal.commit([Put(row.key, cut)], [])
    async with desk(store, later()) as after:
        assert await after.approvals.recover() == 0
        found = await after.get(view.id)
        assert (found.state, found.delivery) == (ApprovalState.APPROVED, "unknown")
        assert after.told == []


async def test_asking_again_puts_a_note_to_the_session() -> None:
    """The agent is told what was cut off, and that nothing was done; what it then asks has an id of its own."""
    store = MemoryStore()
    left = await orphaned(store)
    async with desk(store, later()) as here:
        await here.approvals.recover()
        marked = await reask(here, left)
        assert here.notes == [("s", note_text(marked))]
        assert "make deploy" in here.notes[0][1]
        assert left.id in here.notes[0][1]
        assert (marked.state, marked.reasked and marked.reasked.mono) == (ApprovalState.ORPHANED, 7.0)
        assert "ana" in marked.reason
        assert (await here.records())[-1].event == ApprovalOrphaned(approval=marked)
        with pytest.raises(AlreadyDecided, match="asked again"):
            await reask(here, left)
        here.clock.step(60.0)
        await reask(here, left)
        assert len(here.notes) == 2
        assert here.told == []


async def test_a_note_that_cannot_be_put_marks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator gets the error and can try again."""
    store = MemoryStore()
    left = await orphaned(store)
    async with desk(store, later()) as here:
        await here.approvals.recover()

        async def stopping(*_: object) -> None:
            raise Unavailable("the core stops")

        monkeypatch.setattr(here.orders, "_note", stopping)
        with pytest.raises(Unavailable):
            await reask(here, left)
        assert (await here.get(left.id)).reasked is None


@pytest.mark.parametrize(("kind", "error"), [("open", ConflictError), ("done", AlreadyDecided), ("none", NotFound)])
async def test_only_an_orphan_is_asked_again(kind: str, error: type[HermesError]) -> None:
    """What is open is to be answered, what is decided is decided."""
    async with desk() as here:
        view = await here.ask()
        if kind == "done":
            await here.answer(view)
        asked = ApprovalView(**{**{name: getattr(view, name) for name in view.__struct_fields__}, "id": "x"})
        with pytest.raises(error):
            await reask(here, asked if kind == "none" else view)
        assert here.notes == []


async def test_the_same_question_after_a_restart_takes_the_place_of_the_orphan() -> None:
    """Both in one commit; the old one is not approved by it, and cannot be asked again."""
    store = MemoryStore()
    left = await orphaned(store)
    async with desk(store, later()) as here:
        await here.approvals.recover()
        before = here.store.stats().commit_count
        new = await here.ask(an_action(action_id="act-77"), run_id=RunId("r-2"))
        assert here.store.stats().commit_count == before + 1
        assert new.replaces == left.id
        old = await here.get(left.id)
        assert (old.state, old.replaced_by) == (ApprovalState.ORPHANED, new.id)
        with pytest.raises(AlreadyDecided, match=str(new.id)):
            await reask(here, left)
        await here.answer(new)
        assert here.told_of == ["act-77"]
        assert (await here.get(left.id)).state is ApprovalState.ORPHANED
        assert (await here.ask(an_action(action_id="act-78"), run_id=RunId("r-3"))).replaces is None


@pytest.mark.parametrize(
    ("action", "session", "after_s"),
    [("make other", "s", 0.0), ("make deploy", "s-2", 0.0), ("make deploy", "s", 86_401.0)],
)
async def test_another_question_session_or_day_has_nothing_to_do_with_an_orphan(
    action: str, session: str, after_s: float
) -> None:
    """It stays as it is."""
    store = MemoryStore()
    left = await orphaned(store)
    async with desk(store, later()) as here:
        await here.approvals.recover()
        here.clock.step(after_s)
        assert (await here.ask(an_action(action), session_id=SessionId(session))).replaces is None
        assert (await here.get(left.id)).replaced_by is None


async def test_where_it_was_shown_and_seen_is_kept() -> None:
    """Per surface, the first time of each, in the row and as an event; nothing changes when nothing is new."""
    async with desk() as here:
        view = await here.ask()

        async def note(surface: str, *, is_seen: bool = False) -> ApprovalView:
            command = NoteApproval(approval_id=view.id, surface=surface, is_seen=is_seen)
            return await here.approvals.notes.note_approval(command, ANA)

        noted = await note("console")
        assert (await here.records())[-1].event == ApprovalNoted(approval=noted)
        await note("telegram")
        seen = await note("console", is_seen=True)
        assert [(item.name, item.seen is not None) for item in seen.surfaces] == [
            ("console", True),
            ("telegram", False),
        ]
        assert await here.rows() == [seen]
        count = len(await here.records())
        assert await note("console", is_seen=True) == seen
        decided = await here.answer(view)
        assert decided.surfaces == seen.surfaces
        assert await note("late") == decided
        assert len(await here.records()) == count + 2


async def test_what_became_of_an_approved_call_is_kept() -> None:
    """The first report of the call's end, cut; nothing for a call that nobody approved."""
    async with desk() as here:
        yes = await here.ask(an_action(tool_call_id="call-1"))
        no = await here.ask(an_action(action_id="act-2", tool_call_id="call-2"))
        note = here.approvals.note_result
        assert not await note(RUN, "call-1", "too early")
        await here.answer(yes)
        await here.answer(no, allow=False)
        assert await note(RUN, "call-1", "x" * 3000)
        assert (await here.get(yes.id)).result == "x" * 2000
        assert (await here.get(yes.id)).delivery == "sent"
        assert [view.result for view in await here.rows()] == ["x" * 2000, ""]
        for run, call in ((RUN, "call-1"), (RUN, "call-2"), (RUN, ""), (RunId("r-2"), "call-1")):
            assert not await note(run, call, "again")


async def test_a_result_that_comes_while_the_answer_is_on_its_way_is_not_lost() -> None:
    """An agent is quick: its call is over before we have noted that it heard the answer."""
    async with desk() as here:
        view = await here.ask(an_action(tool_call_id="call-1"))

        async def quick(*_: Any) -> bool:
            assert await here.approvals.note_result(RUN, "call-1", "completed")
            return True

        here.approvals._rows.waiting[view.id].deliver = quick
        decided = await here.answer(view)
        assert (decided.result, decided.delivery) == ("completed", "sent")


async def test_nothing_is_kept_of_the_calls_of_a_run_that_is_over() -> None:
    """A thousand runs a minute must not fill the memory."""
    async with desk() as here:
        await here.answer(await here.ask(an_action(tool_call_id="call-1")))
        await here.ask(an_action(action_id="act-2", tool_call_id="call-2"))
        await here.approvals.end_run(RUN, ending_of_run(TurnEnded(stop=Stop.END_TURN)))
        assert here.approvals._rows._of_run == {}
        assert here.approvals._rows._over == set()
        assert here.approvals._rows._of_session == {}
