"""Approvals as they are kept: stored first, answered once, ended with their run."""

import asyncio
from typing import Any

import pytest

from core.agents.approvals.approval import Ending, ending_of_run
from core.agents.runner import Decision
from core.api.approvals import (
    ApprovalAsked,
    ApprovalDecided,
    ApprovalExpired,
    ApprovalState,
    ApprovalView,
    ApprovalWithdrawn,
    EndReason,
    ListApprovals,
    NoteApproval,
)
from core.api.base import Actor, ActorKind, ApprovalId, RunId
from core.api.errors import (
    AlreadyDecided,
    ConflictError,
    HermesError,
    InvalidInput,
    NotFound,
    Refused,
    StoreError,
)
from core.api.runs import Stop, TurnEnded
from tests.support.approval_desk import ANA, BO, RUN, an_action, desk, full_now

STOPPED = ending_of_run(TurnEnded(stop=Stop.CANCELLED, error="enough", code="interrupted"))
LATE = ending_of_run(TurnEnded(stop=Stop.TIMEOUT))
SECOND = an_action("make clean", action_id="act-2")


async def test_a_question_is_stored_before_anybody_sees_it() -> None:
    """Row, event and view are the same, in one commit; the deadline leaves a margin to the agent's own."""
    async with desk() as here:
        before = here.store.stats().commit_count
        view = await here.ask(an_action(deadline_s=60.0, chain=("child",)), generation=3, requester="bo", why_asked="w")
        assert here.store.stats().commit_count == before + 1
        assert await here.rows() == [view]
        [record] = await here.records()
        assert record.event == ApprovalAsked(approval=view)
        assert (record.subject, record.actor.name, record.correlation) == ("s", "main", "m-1")
        assert here.approvals.open_count == 1
        assert view.deadline is not None
        assert view.deadline.mono == here.clock.monotonic() + 55.0
        assert (view.generation, view.session_id, view.run_id, view.action_id) == (3, "s", "r-1", "act-1")
        assert (view.tool, view.target, view.chain) == ("exec", "make deploy", ("child",))
        assert (view.requester, view.why_asked) == ("bo", "w")


async def test_a_question_that_cannot_be_stored_was_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store writes, nobody can see it; the run that wanted to ask gets the error, however it comes."""
    async with desk() as here:

        async def late() -> None:
            assert here.approvals.open_count == 0
            assert not (await here.approvals.list_approvals(ListApprovals())).approvals
            full_now()

        def submit(*_: object, **__: object) -> asyncio.Future[Any]:
            return asyncio.ensure_future(late())

        for broken in (full_now, submit):
            monkeypatch.setattr(here.journal, "submit", broken)
            with pytest.raises(StoreError):
                await here.ask()
            assert here.approvals.open_count == 0
            assert not (await here.approvals.list_approvals(ListApprovals())).approvals
            assert here.approvals._rows.views == here.approvals._rows.waiting == {}


async def test_a_run_that_is_cut_off_while_it_asks_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store writes the question all the same; the end of the run finds and closes it."""
    async with desk() as here:
        submitted = asyncio.Event()
        submit = here.journal.submit

        def noted(*puts: Any, **more: Any) -> asyncio.Future[Any]:
            submitted.set()
            return submit(*puts, **more)

        monkeypatch.setattr(here.journal, "submit", noted)
        asking = asyncio.ensure_future(here.ask())
        await submitted.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert asking.cancelled()
        await here.approvals.end_run(RUN, STOPPED)
        [row] = await here.rows()
        assert (row.state, row.ended) == (ApprovalState.WITHDRAWN, EndReason.STOPPED)
        assert await here.get(row.id) == row
        assert here.approvals.open_count == 0


async def test_an_answer_is_stored_before_the_agent_hears_it() -> None:
    """The view says who, when, what and that it arrived."""
    async with desk() as here:
        view = await here.ask()
        decided = await here.answer(view, reason="go on", digest=view.digest)
        assert here.stored_when_told == [ApprovalState.APPROVED]
        assert here.told == [(Decision(allow=True, option_id="yes", reason="go on"), ApprovalState.APPROVED)]
        assert (decided.state, decided.ended, decided.decided_by, decided.option_id, decided.reason) == (
            ApprovalState.APPROVED, EndReason.OPERATOR, "ana", "yes", "go on"
        )  # fmt: skip
        assert decided.delivery == "sent"
        assert decided == await here.get(view.id)
        assert await here.rows() == [decided]
        events = [record.event for record in await here.records()]
        assert [type(event) for event in events] == [ApprovalAsked, ApprovalDecided, ApprovalDecided]
        assert [event.approval.version for event in events] == [1, 2, 3]  # type: ignore[attr-defined]  # each has one
        assert here.approvals.open_count == 0


async def test_the_answer_to_one_decides_nothing_about_another() -> None:
    """Two wait on one session: the second approved runs the second alone, and the digest is of what was shown."""
    async with desk() as here:
        first, second = await here.ask(), await here.ask(SECOND)
        assert first.digest != second.digest
        with pytest.raises(ConflictError):
            await here.answer(second, digest=first.digest)
        decided = await here.answer(second, digest=second.digest)
        assert here.told_of == ["act-2"]
        assert (decided.digest, decided.target) == (second.digest, "make clean")
        assert await here.get(first.id) == first
        assert here.approvals.has_open(first.session_id)
        await here.answer(first, allow=False)
        assert here.told_of == ["act-2", "act-1"]
        assert not here.approvals.has_open(first.session_id)


async def test_the_first_answer_wins() -> None:
    """The second is told who, when and what; the agent hears one."""
    async with desk() as here:
        view = await here.ask()
        answers = await asyncio.gather(
            here.answer(view, allow=False, actor=BO), here.answer(view), return_exceptions=True
        )
        assert isinstance(answers[0], ApprovalView)
        assert answers[0].state is ApprovalState.DENIED
        late = answers[1]
        assert isinstance(late, AlreadyDecided)
        assert {name: late.facts[name] for name in ("by", "at", "outcome")} == {
            "by": "bo", "at": here.clock.now(), "outcome": "denied"
        }  # fmt: skip
        assert len(here.told) == 1


async def test_the_first_answer_wins_also_behind_something_else_that_is_written() -> None:
    """Two wait for a note to be stored: one of them decides."""
    async with desk() as here:
        view = await here.ask()
        note = here.approvals.notes.note_approval(NoteApproval(approval_id=view.id, surface="console"), ANA)
        *answers, _ = await asyncio.gather(
            here.answer(view, actor=BO), here.answer(view, allow=False), here.answer(view), note, return_exceptions=True
        )
        assert [isinstance(item, AlreadyDecided) for item in answers] == [False, True, True]
        assert [(row.state, row.decided_by, len(row.surfaces)) for row in await here.rows()] == [
            (ApprovalState.APPROVED, "bo", 1)
        ]
        assert len(here.told) == 1


async def test_who_is_late_hears_that_first() -> None:
    """Not what else would have been wrong with the answer."""
    async with desk() as here:
        view = await here.answer(await here.ask())
        with pytest.raises(AlreadyDecided):
            await here.answer(view, option_id="other", digest="0" * 16)


async def test_an_operator_who_leaves_in_the_middle_has_still_decided() -> None:
    """A connection that breaks after the click must not leave a decision stored and never sent."""
    async with desk() as here:
        view = await here.ask()
        records = here.journal.subscribe(after=await here.journal.head())
        asking = asyncio.ensure_future(here.answer(view))
        async with asyncio.timeout(5):
            await anext(records)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await here.advance(0.0)
        assert here.told_of == ["act-1"]
        assert (await here.get(view.id)).delivery == "sent"


async def test_an_answer_that_arrives_too_late_is_on_record_as_such() -> None:
    """The agent gave up without a word: the decision stands, and so does that nobody heard it."""
    async with desk() as here:
        view = await here.ask()
        here.takes = lambda: False
        told = await here.answer(view)
        assert told.delivery == "refused_late"
        assert (await here.records())[-1].event == ApprovalDecided(approval=told)
        assert await here.rows() == [told]


async def test_a_runner_that_fails_on_an_answer_fails_nothing_else() -> None:
    """The decision is stored with delivery `failed`."""
    async with desk() as here:
        view = await here.ask()

        def broken() -> bool:
            raise OSError("pipe")

        here.takes = broken
        assert (await here.answer(view)).delivery == "failed"


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"digest": "0" * 16}, ConflictError),
        ({"option_id": "no"}, InvalidInput),
        ({"option_id": "other"}, InvalidInput),
        ({"reason": "x" * 2001}, InvalidInput),
        ({"answer": "blue"}, InvalidInput),
        ({"actor": Actor(ActorKind.AGENT, "main")}, Refused),
    ],
)
async def test_an_answer_that_does_not_fit_changes_nothing(more: dict[str, Any], error: type[HermesError]) -> None:
    """It stays open for a better one; and no agent decides about what an agent asks."""
    async with desk() as here:
        view = await here.ask()
        with pytest.raises(error):
            await here.answer(view, **more)
        assert await here.get(view.id) == view
        assert here.told == []


async def test_what_nobody_asked_cannot_be_answered() -> None:
    """Neither answered nor looked at."""
    async with desk() as here:
        with pytest.raises(NotFound):
            await here.get(ApprovalId("x"))
        gone = await here.ask()
        with pytest.raises(NotFound):
            await here.answer(approval_of(gone, "x"))


def approval_of(view: ApprovalView, approval_id: str) -> ApprovalView:
    """The same under another id."""
    return ApprovalView(**{**{name: getattr(view, name) for name in view.__struct_fields__}, "id": approval_id})


@pytest.mark.parametrize(
    ("own_s", "more", "expires_s"),
    [
        (60.0, {}, 55.0),
        (None, {"limit_s": 30.0}, 30.0),
        (8.0, {}, 8.0),
        (None, {"limit_s": 9000.0}, 3600.0),
        (None, {"action_limit_s": 20.0}, 20.0),
        (None, {"action_limit_s": 5000.0, "limit_s": 9000.0}, 5000.0),
    ],
)
async def test_nobody_answering_is_a_no_that_the_agent_hears(
    own_s: float | None, more: dict[str, float], expires_s: float
) -> None:
    """At the one deadline: the agent's own, the profile's or the core's, what is left of the run; never a denial."""
    async with desk() as here:
        view = await here.ask(an_action(deadline_s=own_s), **more)
        await here.advance(expires_s - 1)
        assert (await here.get(view.id)).state is ApprovalState.OPEN
        await here.advance(1.5)
        expired = await here.get(view.id)
        assert (expired.state, expired.ended, expired.decided_by) == (ApprovalState.EXPIRED, EndReason.TIMEOUT, "core")
        assert expired.delivery == "sent"
        [(decision, outcome)] = here.told
        assert (decision.allow, decision.option_id, outcome) == (False, "no", ApprovalState.EXPIRED)
        assert view.id in decision.reason
        assert "nobody refused" in decision.reason
        await here.advance(12.0)
        with pytest.raises(AlreadyDecided, match=r"expired 1[12] s ago; not run"):
            await here.answer(view)


async def test_a_deadline_counts_from_its_moment_and_not_from_when_somebody_looks() -> None:
    """An answer between the deadline and the next look at the clock is too late."""
    async with desk() as here:
        view = await here.ask(limit_s=100.0)
        here.clock.step(100.0)
        with pytest.raises(AlreadyDecided, match="expired 0 s ago"):
            await here.answer(view)
        assert [(decision.allow, outcome) for decision, outcome in here.told] == [(False, ApprovalState.EXPIRED)]


async def test_a_wall_clock_that_jumps_expires_nothing() -> None:
    """Deadlines are measured on the clock that only grows."""
    async with desk() as here:
        view = await here.ask(limit_s=100.0)
        here.clock.jump(86_400.0)
        await here.advance(50.0)
        assert (await here.get(view.id)).state is ApprovalState.OPEN


@pytest.mark.parametrize("ending", [STOPPED, LATE])
async def test_the_end_of_a_run_closes_what_it_asked(ending: Ending) -> None:
    """Only its own, in one commit; the agent is told nothing, since it is gone; the reason is the run's."""
    async with desk() as here:
        mine, also = await here.ask(), await here.ask(SECOND)
        other = await here.ask(run_id=RunId("r-2"))
        before = here.store.stats().commit_count
        await here.approvals.end_run(RUN, ending)
        assert here.store.stats().commit_count == before + 1
        for view in (mine, also):
            assert ((await here.get(view.id)).ended, (await here.get(view.id)).reason) == (ending.ended, ending.reason)
        assert (await here.get(other.id)).state is ApprovalState.OPEN
        assert here.told == []
        kind = ApprovalExpired if ending is LATE else ApprovalWithdrawn
        assert isinstance((await here.records())[-1].event, kind)
        with pytest.raises(AlreadyDecided):
            await here.answer(mine)


async def test_what_could_not_be_closed_is_closed_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk at the end of a run leaves nothing open for ever, and does not make a stop a timeout."""
    async with desk() as here:
        view = await here.ask()
        submit = here.journal.submit
        monkeypatch.setattr(here.journal, "submit", full_now)
        with pytest.raises(StoreError):
            await here.approvals.end_run(RUN, STOPPED)
        assert (await here.get(view.id)).state is ApprovalState.OPEN
        monkeypatch.setattr(here.journal, "submit", submit)
        await here.advance(6.0)
        ended = await here.get(view.id)
        assert (ended.state, ended.ended) == (ApprovalState.WITHDRAWN, EndReason.STOPPED)
        assert here.told == []
        assert here.approvals._rows._of_run == {}


async def test_a_yes_after_the_run_was_told_to_stop_is_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while the stop itself cannot be stored: nothing is approved for a run that is over."""
    async with desk() as here:
        view = await here.ask()
        submit = here.journal.submit
        monkeypatch.setattr(here.journal, "submit", full_now)
        with pytest.raises(StoreError):
            await here.approvals.end_run(RUN, STOPPED)
        with pytest.raises(StoreError):
            await here.answer(view)
        monkeypatch.setattr(here.journal, "submit", submit)
        with pytest.raises(AlreadyDecided, match="stopped"):
            await here.answer(view)
        assert here.told == []


@pytest.mark.parametrize(
    ("again", "is_told"),
    [
        ({"action_id": "act-9", "tool_call_id": "call-1"}, True),
        ({"tool_call_id": "call-1"}, False),
        ({"tool_call_id": "call-2"}, False),
    ],
)
async def test_a_newer_request_of_the_same_call_takes_the_place_of_the_older(
    again: dict[str, str], is_told: bool
) -> None:
    """Withdrawn in the same commit, with that reason; a runner that waits for both hears about the older one."""
    async with desk() as here:
        old = await here.ask(an_action(tool_call_id="call-1"))
        before = here.store.stats().commit_count
        new = await here.ask(an_action("make other", **again))
        assert here.store.stats().commit_count == before + 1
        gone = await here.get(old.id)
        assert (gone.state, gone.ended) == (ApprovalState.WITHDRAWN, EndReason.SUPERSEDED)
        assert here.approvals.open_count == 1
        await here.advance(0.0)
        assert here.told_of == (["act-1"] if is_told else [])
        with pytest.raises(AlreadyDecided, match="superseded"):
            await here.answer(old)
        assert (await here.answer(new)).state is ApprovalState.APPROVED


async def test_calls_of_other_runs_and_other_calls_are_left_alone() -> None:
    """The same names in another run mean something else."""
    async with desk() as here:
        await here.ask(an_action(tool_call_id="call-1"))
        await here.ask(an_action(tool_call_id="call-1"), run_id=RunId("r-2"))
        await here.ask(an_action(action_id="act-2", tool_call_id="call-2"))
        await here.ask(an_action(action_id="act-3"))
        assert here.approvals.open_count == 4
