"""Standing permissions and remembered refusals: counted, ended, kept over a restart; and why something would ask."""

from typing import Any

import msgspec
import pytest

from core.agents.approvals import grants as shell
from core.agents.approvals.approvals import Approvals
from core.api.approvals import (
    GrantGiven,
    GrantList,
    GrantRevoked,
    GrantScope,
    GrantUsed,
    GrantView,
    ListGrants,
    PolicyApplied,
    RevokeGrant,
)
from core.api.base import AgentName, GrantId, Mark, SessionId, TaskId
from core.api.errors import InvalidInput, NotFound, Overloaded, StoreError
from core.api.policies import Ask, ExecutionPolicy, ExplainPolicy, PolicyVerdict, Security, VerdictKind
from core.api.tasks import TaskEnded, TaskState
from core.store.base import Put
from core.store.memory import MemoryStore
from tests.support.approval_desk import ANA, HERE, MAIN, RUN, Desk, an_action, desk, full, full_now
from tests.support.clocks import FakeClock
from tests.support.fake_work import task


async def listed(here: Desk, agent: AgentName | None = None) -> tuple[GrantView, ...]:
    """The grants that hold."""
    found: GrantList = await here.approvals.grants.list_grants(ListGrants(agent=agent))
    return found.grants


async def given(here: Desk, scope: GrantScope = GrantScope.SESSION, target: str = "make deploy") -> GrantView:
    """A grant that an operator gave."""
    before = {grant.id for grant in await listed(here)}
    await here.grant(await here.ask_of_task(an_action(target)), scope)
    [grant] = [grant for grant in await listed(here) if grant.id not in before]
    return grant


def judged(approvals: Approvals, target: str = "make deploy", **more: Any) -> PolicyVerdict:
    """What would become of a command."""
    place: dict[str, Any] = {"agent": MAIN, "session_id": HERE, "task_id": TaskId("t-1")}
    return approvals.rulings.judge(ExecutionPolicy(), an_action(target), **{**place, **more})


async def use(here: Desk) -> None:
    """Let a command through by what holds."""
    ruling = judged(here.approvals)
    await here.approvals.rulings.record(ruling, an_action(), agent=MAIN, session_id=HERE, run_id=RUN)


async def test_a_grant_lets_exactly_its_command_through_where_it_holds() -> None:
    """Not another command, session, task or agent."""
    async with desk() as here:
        for scope in (GrantScope.TASK, GrantScope.SESSION, GrantScope.ALWAYS):
            grant = await given(here, scope)
            assert judged(here.approvals).grant_id == grant.id
            assert judged(here.approvals, "make deploy; rm -rf /").kind is VerdictKind.ASK
            assert judged(here.approvals, agent=AgentName("other")).kind is VerdictKind.ASK
            elsewhere = judged(here.approvals, session_id=SessionId("s-2"), task_id=TaskId("t-2"))
            assert (elsewhere.kind is VerdictKind.ALLOW) is (scope is GrantScope.ALWAYS)
            await here.approvals.grants.revoke_grant(RevokeGrant(grant_id=grant.id), ANA)


async def test_uses_are_told_at_once_and_stored_now_and_then() -> None:
    """An event that is not stored with each use; the row at most every ten seconds, and when the core stops."""
    store = MemoryStore()
    async with desk(store) as here:
        grant = await given(here)
        await here.advance(shell.FLUSH_S)
        before = here.store.stats().commit_count
        for _ in range(3):
            await use(here)
        assert here.store.stats().commit_count == before + 3
        used = [event.grant for event in here.live if isinstance(event, GrantUsed)]
        assert [item.used_count for item in used] == [1, 2, 3]
        [row] = await store.scan("grant/")
        assert msgspec.json.decode(row.body, type=GrantView).used_count == 0
        await here.advance(shell.FLUSH_S)
        [row] = await store.scan("grant/")
        assert msgspec.json.decode(row.body, type=GrantView).used_count == 3
        assert here.store.stats().commit_count == before + 4
        await here.advance(shell.FLUSH_S)
        assert here.store.stats().commit_count == before + 4
        await use(here)
    [row] = await store.scan("grant/")
    kept = msgspec.json.decode(row.body, type=GrantView)
    assert (kept.used_count, kept.id) == (4, grant.id)


async def test_uses_that_cannot_be_stored_are_stored_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk costs neither the count nor the deadlines of approvals."""
    async with desk() as here:
        await given(here)
        await here.advance(shell.FLUSH_S)
        await use(here)
        commit = here.journal.commit
        monkeypatch.setattr(here.journal, "commit", full)
        with pytest.raises(StoreError):
            await here.approvals.grants.tick(is_last=True)
        await here.advance(shell.FLUSH_S)
        monkeypatch.setattr(here.journal, "commit", commit)
        view = await here.ask(limit_s=1.0)
        await here.advance(shell.FLUSH_S + 1)
        assert not here.approvals.is_open(view.id)
        [row] = await here.store.scan("grant/")
        assert msgspec.json.decode(row.body, type=GrantView).used_count == 1


async def test_a_revoked_grant_lets_nothing_through_any_more() -> None:
    """From the call on; row gone, event with who did it; a second time there is nothing to revoke."""
    async with desk() as here:
        grant = await given(here)
        revoked = await here.approvals.grants.revoke_grant(RevokeGrant(grant_id=grant.id), ANA)
        assert (revoked.id, revoked.revoked is not None, revoked.version) == (grant.id, True, grant.version + 1)
        assert judged(here.approvals).kind is VerdictKind.ASK
        assert await here.store.scan("grant/") == []
        last = (await here.records())[-1]
        assert (last.event, last.actor) == (GrantRevoked(grant=revoked), ANA)
        with pytest.raises(NotFound):
            await here.approvals.grants.revoke_grant(RevokeGrant(grant_id=grant.id), ANA)


async def test_a_revocation_that_cannot_be_stored_has_not_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    """The grant holds again, and the operator gets the error."""
    async with desk() as here:
        grant = await given(here)
        monkeypatch.setattr(here.journal, "commit", full)
        with pytest.raises(StoreError):
            await here.approvals.grants.revoke_grant(RevokeGrant(grant_id=grant.id), ANA)
        assert judged(here.approvals).grant_id == grant.id


async def test_grants_end_with_what_they_were_given_for() -> None:
    """Those of a task with the task, those of a session with the session, and no others."""
    async with desk() as here:
        task, session, always = [
            await given(here, scope, f"make {scope.value}")
            for scope in (GrantScope.TASK, GrantScope.SESSION, GrantScope.ALWAYS)
        ]
        await here.approvals.grants.end_task(TaskId("t-2"))
        assert len(await listed(here)) == 3
        await here.approvals.grants.end_task(TaskId("t-1"))
        assert {grant.id for grant in await listed(here)} == {session.id, always.id}
        event = (await here.records())[-1].event
        assert isinstance(event, GrantRevoked)
        assert event.grant.id == task.id
        await here.approvals.grants.end_session(HERE)
        assert [grant.id for grant in await listed(here)] == [always.id]
        assert len(await here.store.scan("grant/")) == 1


@pytest.mark.parametrize(
    ("state", "is_over"),
    [
        (TaskState.DONE, True),
        (TaskState.ERROR, True),
        (TaskState.CANCELLED, True),
        (TaskState.DROPPED, True),
        (TaskState.IDLE, False),
    ],
)
async def test_the_end_of_a_task_ends_what_was_granted_for_it(state: TaskState, is_over: bool) -> None:
    """Whoever ends it need not think of that; one that can go on keeps what it has."""
    async with desk() as here:
        await given(here, GrantScope.TASK)
        for task_id in ("t-2", "t-1"):
            ended = TaskEnded(task=task(task_id, state=state))
            await here.journal.commit([], [(task_id, ended)])
            await here.advance(0.0)
            assert (len(await listed(here)) == 0) is (is_over and task_id == "t-1")


async def test_a_remembered_no_refuses_until_its_time_is_over() -> None:
    """Then it is asked again, and the row goes with an event."""
    async with desk() as here:
        await here.answer(await here.ask(), allow=False, remember_s=600.0)
        refused = judged(here.approvals)
        assert (refused.kind, refused.rule) == (VerdictKind.DENY, "refusal")
        here.clock.step(600.0)
        assert judged(here.approvals).kind is VerdictKind.ASK
        assert await listed(here) == ()
        await here.advance(1.0)
        assert await here.store.scan("grant/") == []
        assert isinstance((await here.records())[-1].event, GrantRevoked)


async def test_the_later_word_counts() -> None:
    """A yes for good ends a remembered no about the same; a no on top of a yes wins while it lasts."""
    async with desk() as here:
        first, second = await here.ask(), await here.ask(an_action(action_id="act-2"))
        await here.answer(first, allow=False, remember_s=600.0)
        await here.grant(second, GrantScope.ALWAYS)
        assert judged(here.approvals).rule == "grant"
        assert len(await listed(here)) == 1
        await here.answer(await here.ask(), allow=False, remember_s=600.0)
        assert judged(here.approvals).rule == "refusal"
        here.clock.step(600.0)
        assert judged(here.approvals).rule == "grant"


async def test_the_same_again_is_the_same_grant() -> None:
    """Given twice it is there once, and a no lasts as long as the longer of the two."""
    async with desk() as here:
        grant = await given(here)
        await here.grant(await here.ask_of_task(), GrantScope.SESSION)
        assert [item.id for item in await listed(here)] == [grant.id]
        async with desk() as there:
            for seconds in (600.0, 60.0):
                await there.answer(await there.ask(), allow=False, remember_s=seconds)
            [no] = await listed(there)
            assert no.expires is not None
            assert no.expires.mono == there.clock.monotonic() + 600.0


async def test_grants_are_there_after_a_restart_and_expire_in_time() -> None:
    """Times are measured on the new clock; what was over meanwhile is over."""
    store = MemoryStore()
    async with desk(store) as before:
        grant = await given(before, GrantScope.ALWAYS)
        await before.answer(await before.ask(an_action("rm x")), allow=False, remember_s=600.0)
        await before.answer(await before.ask(an_action("rm y")), allow=False, remember_s=30.0)
        given_at = before.clock.now()
    async with desk(store, FakeClock(now=given_at + 100.0, monotonic=3.0)) as after:
        await after.approvals.recover()
        assert judged(after.approvals).grant_id == grant.id
        assert judged(after.approvals, "rm x").rule == "refusal"
        assert judged(after.approvals, "rm y").kind is VerdictKind.ASK
        after.clock.step(500.0)
        assert judged(after.approvals, "rm x").kind is VerdictKind.ASK
        await after.advance(0.0)
        await after.approvals.grants.tick(is_last=True)
        assert len(await store.scan("grant/")) == 1


@pytest.mark.parametrize("body", [b"{", b'{"id":"\xff"}'])
async def test_a_grant_that_cannot_be_read_is_named(body: bytes) -> None:
    """The start fails with the key of the row."""
    async with desk() as here:
        await here.journal.commit([Put("grant/x", body)], [])
        with pytest.raises(StoreError, match="grant/x"):
            await here.approvals.recover()


async def test_grants_with_wildcards_and_unreadable_patterns_are_looked_at_too() -> None:
    """A row that a later version wrote lets through what it says; one that nobody can read lets nothing through."""
    async with desk() as here:
        wide = GrantView(
            id=GrantId("g-1"), version=1, agent=MAIN, scope=GrantScope.ALWAYS, pattern="exec:make *", allow=True,
            given=Mark(0.0, 0.0), given_by="ana",
        )  # fmt: skip
        odd = msgspec.structs.replace(wide, id=GrantId("g-2"), pattern="exec:[")
        await here.journal.commit([Put(f"grant/{item.id}", msgspec.json.encode(item)) for item in (wide, odd)], [])
        await here.approvals.recover()
        assert judged(here.approvals).grant_id == "g-1"
        assert judged(here.approvals, "[").kind is VerdictKind.ASK
        await here.approvals.grants.revoke_grant(RevokeGrant(grant_id=GrantId("g-1")), ANA)
        assert judged(here.approvals).kind is VerdictKind.ASK


async def test_grants_are_listed_by_their_last_use_and_by_agent() -> None:
    """What nobody used counts from when it was given."""
    async with desk() as here:
        first = await given(here)
        await here.clock.advance(1.0)
        second = await given(here, target="make other")
        assert [grant.id for grant in await listed(here)] == [second.id, first.id]
        await here.clock.advance(1.0)
        await use(here)
        assert [grant.id for grant in await listed(here, MAIN)] == [first.id, second.id]
        assert await listed(here, AgentName("other")) == ()


async def test_there_are_only_so_many_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is refused, and the approval stays open for a narrower one."""
    monkeypatch.setattr(shell, "COUNT_LIMIT", 1)
    async with desk() as here:
        await given(here)
        view = await here.ask(an_action("make x"))
        with pytest.raises(Overloaded):
            await here.grant(view, GrantScope.SESSION)
        assert here.approvals.is_open(view.id)
        await here.answer(view)


async def test_every_automatic_decision_is_on_record_and_counted() -> None:
    """Before anybody hears of it; only what ran without a question is counted; long commands are cut."""
    async with desk() as here:
        rulings = here.approvals.rulings
        open_policy = ExecutionPolicy(security=Security.FULL, ask=Ask.OFF)
        place: dict[str, Any] = {"agent": MAIN, "session_id": HERE}
        for policy in (open_policy, ExecutionPolicy(ask=Ask.OFF)):
            action = an_action("x" * 600)
            ruling = rulings.judge(policy, action, task_id=None, **place)
            await rulings.record(ruling, action, run_id=RUN, correlation="m-1", **place)
        events = [record.event for record in await here.records()]
        assert [event.verdict.rule for event in events if isinstance(event, PolicyApplied)] == [
            "security.full",
            "ask.off",
        ]
        assert all(isinstance(event, PolicyApplied) and event.target == "x" * 500 for event in events)
        assert (await here.records())[0].actor.name == "main"
        assert here.approvals.unasked_count(MAIN) == 1
        assert here.approvals.unasked_count(AgentName("other")) == 0


async def test_what_cannot_be_recorded_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as run nor as a use of the grant."""
    async with desk() as here:
        await given(here)
        monkeypatch.setattr(here.journal, "commit", full)
        with pytest.raises(StoreError):
            await use(here)
        assert here.approvals.unasked_count(MAIN) == 0
        assert (await listed(here))[0].used_count == 0


async def test_why_something_would_ask_can_be_asked() -> None:
    """With the policy of the agent and the grants of the place; asking changes nothing."""
    async with desk() as here:
        here.policies[MAIN] = ExecutionPolicy(allow=("exec:git *",))
        explain = here.orders.queries[ExplainPolicy]

        async def why(target: str, **more: Any) -> PolicyVerdict:
            found: PolicyVerdict = await explain(ExplainPolicy(agent=MAIN, tool="exec", target=target, **more))
            return found

        assert (await why("git log")).pattern == "exec:git *"
        assert (await why("git log; rm x")).rule == "ask.on-miss"
        grant = await given(here)
        assert (await why("make deploy")).rule == "ask.on-miss"
        assert (await why("make deploy", session_id=HERE)).grant_id == grant.id
        assert (await listed(here))[0].used_count == 0
        with pytest.raises(NotFound):
            await explain(ExplainPolicy(agent=AgentName("other"), tool="exec", target="x"))


async def test_orders_and_questions_have_one_handler_each() -> None:
    """The kernel adds them in one line."""
    async with desk() as here:
        assert {word.__name__ for word in here.orders.commands} == {
            "AnswerApproval", "DenyApprovals", "ReaskApproval", "NoteApproval", "RevokeGrant"
        }  # fmt: skip
        assert {word.__name__ for word in here.orders.queries} == {
            "ListApprovals", "GetApproval", "ListGrants", "ExplainPolicy"
        }  # fmt: skip


async def test_a_grant_is_told_with_the_decision_that_gave_it() -> None:
    """A subscriber who reads in order sees the yes first, then what it stored."""
    async with desk() as here:
        grant = await given(here)
        events = [record.event for record in await here.records()]
        assert [event.grant.id for event in events if isinstance(event, GrantGiven)] == [grant.id]


@pytest.mark.parametrize("how", ["at once", "later"])
async def test_no_grant_is_left_of_a_commit_that_failed(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """However the store says so."""
    async with desk() as here:
        view = await here.ask()
        if how == "at once":
            monkeypatch.setattr(here.journal, "submit", full_now)
        else:
            await here.store.close()
        with pytest.raises(StoreError):
            await here.grant(view, GrantScope.SESSION)
        assert judged(here.approvals).kind is VerdictKind.ASK
        with pytest.raises(InvalidInput):
            await here.answer(view, scope=GrantScope.SESSION)
