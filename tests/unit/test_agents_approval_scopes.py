"""How far an answer reaches: once, a task, a session, for good; remembered refusals; questions; many at once."""

import asyncio
from typing import Any

import pytest

from core.api.approvals import (
    ApprovalDecided,
    ApprovalState,
    ApprovalView,
    DenyApprovals,
    EndReason,
    GrantGiven,
    GrantScope,
    ListGrants,
)
from core.api.base import ApprovalId
from core.api.errors import HermesError, InvalidInput, NotFound, StoreError
from core.api.runs import ActionOption, OptionKind
from tests.support.approval_desk import ALWAYS, ANA, NO, Desk, a_question, an_action, desk, full_now

DAY_S = 86_400.0


async def grants_of(here: Desk) -> list[Any]:
    """The grants that hold."""
    return list((await here.approvals.grants.list_grants(ListGrants())).grants)


@pytest.mark.parametrize(
    ("scope", "session_id", "task_id"),
    [(GrantScope.TASK, None, "t-1"), (GrantScope.SESSION, "s", None), (GrantScope.ALWAYS, None, None)],
)
async def test_a_wider_yes_stores_the_pattern_that_was_shown(
    scope: GrantScope, session_id: str | None, task_id: str | None
) -> None:
    """With the decision, in one commit, before the agent hears of it."""
    async with desk() as here:
        view = await here.ask_of_task()
        offer = next(offer for offer in view.offers if offer.scope is scope)
        assert (offer.pattern, offer.matches) == ("exec:make deploy", ())
        before = here.store.stats().commit_count
        decided = await here.grant(view, scope)
        assert here.store.stats().commit_count == before + 2
        assert decided.scope is scope
        [grant] = await grants_of(here)
        assert (grant.scope, grant.pattern, grant.allow, grant.given_by) == (scope, offer.pattern, True, "ana")
        assert (grant.session_id, grant.task_id, grant.expires) == (session_id, task_id, None)
        events = [type(record.event) for record in await here.records()]
        assert events[1:3] == [ApprovalDecided, GrantGiven]


async def test_once_stores_nothing() -> None:
    """The least is the default."""
    async with desk() as here:
        await here.answer(await here.ask())
        assert await grants_of(here) == []


@pytest.mark.parametrize(
    ("more", "field", "fix"),
    [
        ({"scope": GrantScope.SESSION, "pattern": "exec:make *"}, "pattern", "exec:make deploy"),
        ({"scope": GrantScope.SESSION}, "pattern", "exec:make deploy"),
        ({"scope": GrantScope.TASK, "pattern": "exec:make deploy"}, "scope", "once, session, always"),
        ({"pattern": "exec:make deploy"}, "pattern", "wider scope"),
        ({"remember_s": 60.0}, "remember_s", "0"),
        ({"remember_s": float("nan")}, "remember_s", "86400"),
        ({"allow": False, "remember_s": DAY_S + 1}, "remember_s", "86400"),
        ({"allow": False, "remember_s": -1.0}, "remember_s", "86400"),
        ({"allow": False, "scope": GrantScope.ALWAYS}, "remember_s", "86400"),
        ({"allow": False, "scope": GrantScope.TASK, "remember_s": 60.0}, "scope", "session"),
    ],
)
async def test_what_was_not_offered_is_not_given(more: dict[str, Any], field: str, fix: str) -> None:
    """The error names what was; the approval stays open and no grant appears."""
    async with desk() as here:
        view = await here.ask()
        with pytest.raises(InvalidInput) as caught:
            await here.answer(view, **more)
        assert caught.value.facts["field"] == field
        assert fix in str(caught.value.facts["fix"])
        assert await here.get(view.id) == view
        assert await grants_of(here) == []


async def test_what_does_not_say_what_it_does_is_decided_once() -> None:
    """Without a tool there is nothing to remember it by, neither a yes nor a no."""
    async with desk() as here:
        view = await here.ask(an_action(tool=""))
        assert view.offers == ()
        with pytest.raises(InvalidInput, match="not offered"):
            await here.answer(view, scope=GrantScope.ALWAYS)
        with pytest.raises(InvalidInput, match="does not say"):
            await here.answer(view, allow=False, remember_s=60.0)
        assert (await here.answer(view)).state is ApprovalState.APPROVED


async def test_the_agents_own_standing_permission_needs_its_name_or_scope_always() -> None:
    """Ours is kept here and can be revoked; the agent's is the last resort."""
    async with desk() as here:
        view = await here.ask(an_action(options=(ALWAYS, NO)))
        with pytest.raises(InvalidInput, match="once"):
            await here.answer(view)
        with pytest.raises(InvalidInput, match="once"):
            await here.grant(view, GrantScope.SESSION)
        assert await grants_of(here) == []
        assert (await here.grant(view, GrantScope.ALWAYS)).option_id == "always"
        named = await here.ask(an_action(options=(ALWAYS, NO), action_id="act-2"))
        assert (await here.answer(named, option_id="always")).option_id == "always"


@pytest.mark.parametrize(
    ("scope", "kept"),
    [(GrantScope.ONCE, GrantScope.SESSION), (GrantScope.TASK, GrantScope.TASK), (GrantScope.ALWAYS, GrantScope.ALWAYS)],
)
async def test_a_no_is_remembered_for_a_time(scope: GrantScope, kept: GrantScope) -> None:
    """A day at most; for the session unless somebody says more."""
    async with desk() as here:
        await here.answer(await here.ask_of_task(), allow=False, scope=scope, remember_s=DAY_S)
        [grant] = await grants_of(here)
        assert (grant.allow, grant.scope, grant.pattern) == (False, kept, "exec:make deploy")
        assert grant.expires.mono == here.clock.monotonic() + DAY_S
        here.clock.step(DAY_S)
        assert await grants_of(here) == []


async def test_a_grant_that_cannot_be_stored_leaves_the_question_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decision and grant are one commit: neither is there."""
    async with desk() as here:
        view = await here.ask()
        monkeypatch.setattr(here.journal, "submit", full_now)
        with pytest.raises(StoreError):
            await here.grant(view, GrantScope.SESSION)
        assert (await here.get(view.id)).state is ApprovalState.OPEN
        assert await grants_of(here) == []
        assert here.told == []


async def test_a_question_is_answered_in_words() -> None:
    """They reach the agent as they were written."""
    async with desk() as here:
        view = await here.ask(a_question())
        decided = await here.answer(view, answer=" the second one\n")
        assert (decided.state, decided.answer, decided.option_id) == (ApprovalState.APPROVED, " the second one\n", "")
        [(decision, _)] = here.told
        assert (decision.allow, decision.answer) == (True, " the second one\n")


@pytest.mark.parametrize(
    "more",
    [
        {"answer": ""},
        {"answer": " \n"},
        {"answer": "x" * 20_001},
        {"answer": "x", "allow": False},
        {"answer": "x", "scope": GrantScope.SESSION, "pattern": "exec:make deploy"},
        {"allow": False, "remember_s": 60.0},
    ],
)
async def test_an_answer_that_says_nothing_or_too_much_is_refused(more: dict[str, Any]) -> None:
    """A question is answered once, in words; a no carries none."""
    async with desk() as here:
        view = await here.ask(a_question())
        with pytest.raises(InvalidInput):
            await here.answer(view, **more)
        assert await here.get(view.id) == view


async def test_a_choice_that_is_named_is_an_answer() -> None:
    """Its label is what the agent hears; the first choice is never made for somebody who only wrote."""
    options = (
        ActionOption(id="a", label="The first", kind=OptionKind.ALLOW_ONCE),
        ActionOption(id="b", label="The second", kind=OptionKind.ALLOW_ONCE),
        NO,
    )
    async with desk() as here:
        chosen = await here.answer(await here.ask(a_question(options=options)), option_id="b")
        assert (chosen.option_id, chosen.answer) == ("b", "The second")
        written = await here.answer(await here.ask(a_question(options=options)), answer="neither")
        assert (written.option_id, written.answer) == ("", "neither")


async def test_no_answer_to_a_question_is_a_denial_without_words() -> None:
    """The agent hears that it gets none."""
    async with desk() as here:
        decided = await here.answer(await here.ask(a_question()), allow=False, reason="ask me tomorrow")
        assert (decided.state, decided.answer) == (ApprovalState.DENIED, "")
        assert here.told[0][0].reason == "ask me tomorrow"


async def test_many_are_denied_in_one_commit() -> None:
    """Each agent hears its own no; what was decided meanwhile is named and stays as it is."""
    async with desk() as here:
        asked = [await here.ask(an_action(action_id=f"act-{number}")) for number in range(4)]
        await here.answer(asked[1])
        before = len(await here.records())
        groups = here.store.stats().commit_count
        ids = tuple(view.id for view in asked)
        found = await here.approvals.deny_approvals(DenyApprovals(approval_ids=(*ids, ids[0]), reason="no"), ANA)
        assert found.denied == (ids[0], ids[2], ids[3])
        assert found.too_late == (ids[1],)
        assert here.store.stats().commit_count == groups + 1 + 3
        assert len(await here.records()) == before + 6
        assert sorted(here.told_of[1:]) == ["act-0", "act-2", "act-3"]
        for place in (0, 2, 3):
            view = await here.get(ids[place])
            assert (view.state, view.ended, view.reason, view.delivery) == (
                ApprovalState.DENIED, EndReason.OPERATOR, "no", "sent"
            )  # fmt: skip
        assert (await here.get(ids[1])).state is ApprovalState.APPROVED


@pytest.mark.parametrize(
    ("ids", "reason", "error"),
    [
        ((), "", InvalidInput),
        (tuple(ApprovalId(f"x-{number}") for number in range(501)), "", InvalidInput),
        ((ApprovalId("x"),), "", NotFound),
        ((ApprovalId("x"),), "x" * 2001, InvalidInput),
    ],
)
async def test_many_are_denied_all_or_none(ids: tuple[ApprovalId, ...], reason: str, error: type[HermesError]) -> None:
    """One that is not there, none at all, too many: nothing changes."""
    async with desk() as here:
        view = await here.ask()
        with pytest.raises(error):
            await here.approvals.deny_approvals(
                DenyApprovals(approval_ids=(view.id, *ids) if ids else (), reason=reason), ANA
            )
        assert await here.get(view.id) == view


async def test_a_denial_of_many_and_an_answer_to_one_do_not_both_count() -> None:
    """Whoever is first; the agent hears one of them."""
    async with desk() as here:
        asked = [await here.ask(an_action(action_id=f"act-{number}")) for number in range(3)]
        ids = tuple(view.id for view in asked)
        answered, bulk = await asyncio.gather(
            here.answer(asked[1]), here.approvals.deny_approvals(DenyApprovals(approval_ids=ids), ANA)
        )
        assert isinstance(answered, ApprovalView)
        assert bulk.too_late == (ids[1],)
        assert sorted(here.told_of) == ["act-0", "act-1", "act-2"]
