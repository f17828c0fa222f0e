"""Approvals as they are kept: stored first, answered once, ended with their run."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest

from core.agents import approvals as shell
from core.agents.approvals import Approvals
from core.agents.runner import Decision
from core.api.approvals import (
    AnswerApproval,
    ApprovalAsked,
    ApprovalDecided,
    ApprovalExpired,
    ApprovalState,
    ApprovalView,
    ApprovalWithdrawn,
    GetApproval,
    ListApprovals,
)
from core.api.base import Actor, ActorKind, AgentName, ApprovalId, Record, RunId, SessionId
from core.api.errors import AlreadyDecided, ConflictError, HermesError, InvalidInput, NotFound, StoreError
from core.api.runs import ActionOption, ActionRequested, OptionKind, ToolKind
from core.ids import IdSource
from core.journal import Journal
from core.store.base import Put
from core.store.memory import MemoryStore
from core.supervisor import Supervisor
from tests.support.clocks import FakeClock

ANA = Actor(ActorKind.OPERATOR, "ana")
BO = Actor(ActorKind.OPERATOR, "bo")
OPTIONS = (
    ActionOption(id="yes", label="Yes", kind=OptionKind.ALLOW_ONCE),
    ActionOption(id="no", label="No", kind=OptionKind.REJECT_ONCE),
)


def action(deadline_s: float | None = None, title: str = "Restart") -> ActionRequested:
    """A question of an agent."""
    return ActionRequested(
        action_id="act-1",
        title=title,
        detail="systemctl restart",
        kind=ToolKind.EXECUTE,
        options=OPTIONS,
        deadline_s=deadline_s,
    )


class Desk:
    """Approvals over a store in memory, and an agent that notes what it is told. takes: whether it still listens."""

    def __init__(self, store: MemoryStore, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.journal = Journal(store, clock)
        self.supervisor = Supervisor(clock, lambda *_: None, lambda *_: None)
        self.approvals = Approvals(
            journal=self.journal,
            store=store,
            clock=clock,
            ids=IdSource(clock),
            supervisor=self.supervisor,
            limit_s=3600.0,
        )
        self.told: list[tuple[Decision, ApprovalState]] = []
        self.stored_when_told: list[ApprovalState] = []
        self.takes: Callable[[], bool] = lambda: True

    async def deliver(self, decision: Decision, outcome: ApprovalState) -> bool:
        """What the run of the agent does with a decision."""
        self.told.append((decision, outcome))
        rows = await self.store.scan("approval/")
        self.stored_when_told = [msgspec.json.decode(row.body, type=ApprovalView).state for row in rows]
        return self.takes()

    async def ask(self, deadline_s: float | None = None, *, run: str = "r-1", limit_s: float = 600.0) -> ApprovalView:
        """Have the agent ask."""
        return await self.approvals.ask(
            action(deadline_s),
            session_id=SessionId("s"),
            agent=AgentName("main"),
            run_id=RunId(run),
            limit_s=limit_s,
            deliver=self.deliver,
            correlation="m-1",
        )

    async def answer(self, view: ApprovalView, *, allow: bool = True, actor: Actor = ANA, **more: str) -> ApprovalView:
        """Have an operator answer."""
        return await self.approvals.answer_approval(AnswerApproval(approval_id=view.id, allow=allow, **more), actor)

    async def get(self, approval_id: ApprovalId) -> ApprovalView:
        """The approval as it is now."""
        return await self.approvals.get_approval(GetApproval(approval_id=approval_id))

    async def records(self) -> list[Record]:
        """All that is in the journal."""
        return await self.journal.read(limit=5000)

    async def advance(self, seconds: float) -> None:
        """Let time pass and everything that is due happen."""
        await self.clock.advance(seconds)
        for _ in range(5):
            await self.clock.advance(0.0)


@asynccontextmanager
async def desk(store: MemoryStore | None = None) -> AsyncIterator[Desk]:
    """A desk that leaves no job behind."""
    made = Desk(store or MemoryStore(), FakeClock())
    try:
        yield made
    finally:
        await made.approvals.close()
        assert await made.supervisor.stop(deadline_s=5.0) == []


async def test_a_question_is_stored_before_anybody_sees_it() -> None:
    """Row, event and view are the same; the deadline leaves a margin to the agent's own."""
    async with desk() as here:
        view = await here.ask(60.0)
        [row] = await here.store.scan("approval/")
        assert msgspec.json.decode(row.body, type=ApprovalView) == view
        [record] = await here.records()
        assert record.event == ApprovalAsked(approval=view)
        assert (record.subject, record.actor.name, record.correlation) == ("s", "main", "m-1")
        assert here.approvals.open_count == 1
        assert view.deadline is not None
        assert view.deadline.mono == here.clock.monotonic() + 55.0


async def test_a_question_that_cannot_be_stored_was_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store writes, nobody can see it; the run that wanted to ask gets the error."""
    async with desk() as here:

        async def full(*_: object, **__: object) -> None:
            assert here.approvals.open_count == 0
            assert not (await here.approvals.list_approvals(ListApprovals())).approvals
            raise StoreError("disk full", cause="full")

        monkeypatch.setattr(here.journal, "commit", full)
        with pytest.raises(StoreError):
            await here.ask()
        assert here.approvals.open_count == 0


async def test_an_answer_is_stored_before_the_agent_hears_it() -> None:
    """The view says who, when, what and that it arrived."""
    async with desk() as here:
        view = await here.ask()
        decided = await here.answer(view, reason="go on", digest=view.digest)
        assert here.stored_when_told == [ApprovalState.APPROVED]
        assert here.told == [(Decision(allow=True, option_id="yes", reason="go on"), ApprovalState.APPROVED)]
        assert (decided.state, decided.decided_by, decided.option_id, decided.reason, decided.delivery) == (
            ApprovalState.APPROVED, "ana", "yes", "go on", "sent"
        )  # fmt: skip
        assert decided == await here.get(view.id)
        events = [record.event for record in await here.records()]
        assert [type(event) for event in events] == [ApprovalAsked, ApprovalDecided, ApprovalDecided]
        assert [event.approval.version for event in events] == [1, 2, 3]  # type: ignore[attr-defined]  # each has one
        assert here.approvals.open_count == 0


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
        assert late.facts == {"by": "bo", "at": here.clock.now(), "outcome": "denied"}
        assert len(here.told) == 1


async def test_an_answer_that_arrives_too_late_is_on_record_as_such() -> None:
    """The agent gave up without a word: the decision stands, and so does that nobody heard it."""
    async with desk() as here:
        view = await here.ask()
        here.takes = lambda: False
        assert (await here.answer(view)).delivery == "refused_late"
        records = await here.records()
        last = records[-1].event
        assert isinstance(last, ApprovalDecided)
        assert last.approval.delivery == "refused_late"
        [row] = await here.store.scan("approval/")
        assert msgspec.json.decode(row.body, type=ApprovalView) == last.approval


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
    ],
)
async def test_an_answer_that_does_not_fit_changes_nothing(more: dict[str, str], error: type[HermesError]) -> None:
    """It stays open for a better one."""
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
            await here.approvals.answer_approval(AnswerApproval(approval_id=ApprovalId("x"), allow=True), ANA)
        with pytest.raises(NotFound):
            await here.get(ApprovalId("x"))


@pytest.mark.parametrize(
    ("own_s", "limit_s", "expires_s"), [(60.0, 600.0, 55.0), (None, 30.0, 30.0), (8.0, 600.0, 8.0)]
)
async def test_nobody_answering_is_a_no_that_the_agent_hears(
    own_s: float | None, limit_s: float, expires_s: float
) -> None:
    """At the deadline: before the agent's own one, and never beyond what is left of the run."""
    async with desk() as here:
        view = await here.ask(own_s, limit_s=limit_s)
        await here.advance(expires_s - 1)
        assert (await here.get(view.id)).state is ApprovalState.OPEN
        await here.advance(1.5)
        expired = await here.get(view.id)
        assert (expired.state, expired.decided_by, expired.delivery) == (ApprovalState.EXPIRED, "core", "sent")
        [(decision, outcome)] = here.told
        assert (decision.allow, decision.option_id, outcome) == (False, "no", ApprovalState.EXPIRED)
        with pytest.raises(AlreadyDecided, match="expired"):
            await here.answer(view)


async def test_a_wall_clock_that_jumps_expires_nothing() -> None:
    """Deadlines are measured on the clock that only grows."""
    async with desk() as here:
        view = await here.ask(limit_s=100.0)
        here.clock.jump(86_400.0)
        await here.advance(50.0)
        assert (await here.get(view.id)).state is ApprovalState.OPEN


@pytest.mark.parametrize("outcome", [ApprovalState.EXPIRED, ApprovalState.WITHDRAWN])
async def test_the_end_of_a_run_closes_what_it_asked(outcome: ApprovalState) -> None:
    """Only its own; the agent is told nothing, since it is gone."""
    async with desk() as here:
        mine, other = await here.ask(run="r-1"), await here.ask(run="r-2")
        await here.approvals.end_run(RunId("r-1"), outcome, "gone")
        assert ((await here.get(mine.id)).state, (await here.get(mine.id)).reason) == (outcome, "gone")
        assert (await here.get(other.id)).state is ApprovalState.OPEN
        assert here.told == []
        kind = ApprovalExpired if outcome is ApprovalState.EXPIRED else ApprovalWithdrawn
        assert isinstance((await here.records())[-1].event, kind)


async def test_what_could_not_be_closed_is_closed_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk at the end of a run leaves nothing open for ever."""
    async with desk() as here:
        view = await here.ask()
        commit = here.journal.commit

        async def full(*_: object, **__: object) -> None:
            raise StoreError("disk full", cause="full")

        monkeypatch.setattr(here.journal, "commit", full)
        with pytest.raises(StoreError):
            await here.approvals.end_run(RunId("r-1"), ApprovalState.WITHDRAWN, "gone")
        assert (await here.get(view.id)).state is ApprovalState.OPEN
        monkeypatch.setattr(here.journal, "commit", commit)
        await here.advance(1.0)
        assert (await here.get(view.id)).state is ApprovalState.EXPIRED


async def test_a_new_start_of_the_core_expires_what_was_open() -> None:
    """Nobody is there any more to hear an answer; decided ones are as they were."""
    store = MemoryStore()
    async with desk(store) as before:
        left = await before.ask()
        done = await before.answer(await before.ask(), allow=False)
    async with desk(store) as after:
        assert await after.approvals.recover() == 1
        assert after.approvals.open_count == 0
        expired = await after.get(left.id)
        assert (expired.state, expired.version) == (ApprovalState.EXPIRED, 2)
        assert (await after.get(done.id)).state is ApprovalState.DENIED
        assert await after.approvals.recover() == 0
        with pytest.raises(AlreadyDecided):
            await after.answer(left)


async def test_a_row_that_cannot_be_read_is_named() -> None:
    """The start fails with the key of the row, and changes nothing."""
    store = MemoryStore()
    async with desk(store) as here:
        await here.journal.commit([Put("approval/x", b"{")], [])
        with pytest.raises(StoreError, match="approval/x"):
            await here.approvals.recover()


async def test_lists_have_the_open_ones_first() -> None:
    """The longest waiting on top, then the decided ones, the latest on top; the place in the journal fits."""
    async with desk() as here:
        asked: list[ApprovalView] = []
        for _ in range(4):
            asked.append(await here.ask())
            await here.clock.advance(0.1)
        await here.answer(asked[0])
        await here.clock.advance(0.1)
        await here.answer(asked[2])
        found = await here.approvals.list_approvals(ListApprovals())
        assert [view.id for view in found.approvals] == [asked[place].id for place in (1, 3, 2, 0)]
        assert found.seq == await here.journal.head()
        only = await here.approvals.list_approvals(ListApprovals(open_only=True, limit=1))
        assert [view.id for view in only.approvals] == [asked[1].id]
        for limit in (0, 1001):
            with pytest.raises(InvalidInput):
                await here.approvals.list_approvals(ListApprovals(limit=limit))


async def test_only_so_many_decided_ones_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go, rows and all; open ones never."""
    monkeypatch.setattr(shell, "KEPT", 3)
    async with desk() as here:
        waiting = await here.ask()
        asked = [await here.ask() for _ in range(6)]
        for view in asked:
            await here.clock.advance(0.1)
            await here.answer(view)
        rows = await here.store.scan("approval/")
        assert {row.key for row in rows} == {f"approval/{view.id}" for view in (waiting, *asked[3:])}
        with pytest.raises(NotFound):
            await here.get(asked[0].id)
