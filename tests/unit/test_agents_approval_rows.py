"""Approvals as a list: order, how long they are kept, and what bounds them."""

import pytest

from core.agents.approvals import rows as approval_rows
from core.api.approvals import ApprovalState, ApprovalView, ListApprovals
from core.api.errors import InvalidInput, NotFound, Overloaded, StoreError
from core.store.base import Put
from tests.support.approval_desk import ANA, an_action, desk


@pytest.mark.parametrize("body", [b"{", b'{"id":"\xff"}'])
async def test_a_row_that_cannot_be_read_is_named(body: bytes) -> None:
    """The start fails with the key of the row, and changes nothing."""
    async with desk() as here:
        await here.journal.commit([Put("approval/x", body)], [])
        with pytest.raises(StoreError, match="approval/x"):
            await here.approvals.recover()


async def test_lists_have_the_open_ones_first() -> None:
    """By their deadlines, then the decided ones, the latest on top; the place in the journal fits."""
    async with desk() as here:
        asked: list[ApprovalView] = []
        for number, limit_s in enumerate((40.0, 30.0, 20.0, 10.0)):
            asked.append(await here.ask(an_action(action_id=f"act-{number}"), limit_s=limit_s))
            await here.clock.advance(0.1)
        await here.answer(asked[0])
        await here.clock.advance(0.1)
        await here.answer(asked[2])
        found = await here.approvals.list_approvals(ListApprovals())
        assert [view.id for view in found.approvals] == [asked[place].id for place in (3, 1, 2, 0)]
        assert found.seq == await here.journal.head()
        only = await here.approvals.list_approvals(ListApprovals(open_only=True, limit=1))
        assert [view.id for view in only.approvals] == [asked[3].id]
        for limit in (0, 1001):
            with pytest.raises(InvalidInput):
                await here.approvals.list_approvals(ListApprovals(limit=limit))


async def test_decided_ones_stay_for_a_day_however_many_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only then does a number bound them: the oldest go, rows and all; open ones never."""
    monkeypatch.setattr(approval_rows, "KEPT", 3)
    async with desk() as here:
        waiting = await here.ask(an_action(action_id="open"), limit_s=1e9, action_limit_s=1e9)
        asked = [await here.ask(an_action(action_id=f"act-{number}")) for number in range(6)]
        for view in asked:
            await here.answer(view)
        assert len(await here.rows()) == 7
        here.clock.step(86_401.0)
        last = await here.ask(an_action(action_id="last"))
        assert {view.id for view in await here.rows()} == {view.id for view in (waiting, last, *asked[3:])}
        with pytest.raises(NotFound):
            await here.get(asked[0].id)


@pytest.mark.parametrize(("bound", "limit"), [("SESSION_LIMIT", 3), ("COUNT_LIMIT", 3), ("BYTES_LIMIT", 2400)])
async def test_an_agent_that_asks_without_end_is_refused(
    monkeypatch: pytest.MonkeyPatch, bound: str, limit: int
) -> None:
    """No decision is forgotten for its sake; what is over makes room only where open ones are counted."""
    monkeypatch.setattr(approval_rows, bound, limit)
    async with desk() as here:
        asked = [await here.ask(an_action(action_id=f"act-{number}")) for number in range(3)]
        with pytest.raises(Overloaded):
            await here.ask(an_action(action_id="one-more"))
        assert here.approvals.open_count == 3
        await here.answer(asked[0])
        if bound == "SESSION_LIMIT":
            await here.ask(an_action(action_id="again"))
        else:
            with pytest.raises(Overloaded):
                await here.ask(an_action(action_id="again"))
        assert (await here.answer(asked[1], actor=ANA)).state is ApprovalState.APPROVED
