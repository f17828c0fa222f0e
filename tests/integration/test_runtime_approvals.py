"""Runs, questions, approvals and grants of a whole core, where they meet."""

import asyncio
from pathlib import Path

from core.api.approvals import (
    AnswerApproval,
    ApprovalState,
    EndReason,
    GrantScope,
    ListGrants,
    PolicyApplied,
    RevokeGrant,
)
from core.api.base import AgentName
from core.api.profiles import CreateProfile, DeleteProfile
from core.api.session_orders import ArchiveSession
from core.api.sessions import InterruptSession, ResetSession
from core.api.streams import GetInteraction, InteractionState
from core.api.tasks import AttemptState, CancelTask, GetRun, TaskState
from core.api.transcripts import EntryKind
from tests.support.runtime_core import (
    DESK,
    OPERATOR,
    answered,
    approval,
    asked,
    core,
    entries,
    opened,
    rested,
    sent,
    session,
    some,
    started,
    task,
    until,
    was_answered,
)


async def test_an_orderly_stop_orphans_what_is_open_and_the_next_start_asks_it_again(tmp_path: Path) -> None:
    """Nobody stopped the run but the core: the question is not withdrawn, and the same one replaces it."""
    home = tmp_path / "home"
    async with core(home) as kernel:
        await opened(kernel, "!sh ls")
        first = await asked(kernel, "ls")
    async with core(home) as kernel:
        left = await approval(kernel, first, *ApprovalState)
        assert (left.state, left.ended) == (ApprovalState.ORPHANED, EndReason.RESTART)
        again = await asked(kernel, "ls")
        assert again.replaces == first.id
        await answered(kernel, again)
        await rested(kernel)
        tools = [entry for entry in await entries(kernel) if entry.kind is EntryKind.TOOL]
        assert len(tools) == 1


async def test_a_grant_for_the_session_holds_until_the_session_is_reset(tmp_path: Path) -> None:
    """The same command needs no question in that epoch, which is on record, and asks again in the next."""
    async with core(tmp_path / "home") as kernel:
        await opened(kernel, "!sh ls")
        await answered(kernel, await asked(kernel, "ls"), scope=GrantScope.SESSION)
        await rested(kernel)
        await sent(kernel, "!sh ls")
        applied = await until(kernel, PolicyApplied)
        assert (applied.verdict.rule, applied.target) == ("grant", "ls")
        await rested(kernel)
        await kernel.execute(ResetSession(session_id=DESK), actor=OPERATOR)
        await sent(kernel, "!sh ls")
        await asked(kernel, "ls")
        assert (await kernel.query(ListGrants())).grants == ()


async def test_a_grant_for_the_session_goes_when_the_session_is_put_away(tmp_path: Path) -> None:
    """Who takes it up again begins without standing permissions."""
    async with core(tmp_path / "home") as kernel:
        await opened(kernel, "!sh ls")
        await answered(kernel, await asked(kernel, "ls"), scope=GrantScope.SESSION)
        await session(kernel, lambda view: view.lane_holder is None and not view.unsent)
        assert len((await kernel.query(ListGrants())).grants) == 1
        await kernel.execute(ArchiveSession(session_id=DESK), actor=OPERATOR)
        await sent(kernel, "!sh ls")
        await asked(kernel, "ls")
        assert (await kernel.query(ListGrants())).grants == ()


async def test_a_task_that_asks_waits_and_says_so(tmp_path: Path) -> None:
    """Task, attempt and interaction tell it; the approval names the task; after the answer it goes on."""
    async with core(tmp_path / "home") as kernel:
        receipt = await started(kernel, "!sh ls")
        view = await asked(kernel, "ls", session_id=receipt.task.session_id)
        assert view.task_id == receipt.task.id
        waiting = await task(kernel, receipt.task.id, TaskState.WAITING)
        assert waiting.target_run_id is not None
        run = await kernel.query(GetRun(run_id=waiting.target_run_id))
        assert run.attempts[-1].state is AttemptState.BLOCKED
        await answered(kernel, view, scope=GrantScope.TASK)
        await task(kernel, receipt.task.id, TaskState.DONE)

        async def ended() -> bool | None:
            return None if (await kernel.query(ListGrants())).grants else True

        await some(ended)


async def test_a_task_that_is_cancelled_while_it_asks_ends_with_its_question(tmp_path: Path) -> None:
    """The question is withdrawn as stopped, and the run is over soon."""
    async with core(tmp_path / "home") as kernel:
        receipt = await started(kernel, "!sh ls")
        view = await asked(kernel, "ls", session_id=receipt.task.session_id)
        await kernel.execute(CancelTask(task_id=receipt.task.id), actor=OPERATOR)
        async with asyncio.timeout(2):
            left = await approval(kernel, view, ApprovalState.WITHDRAWN)
            await rested(kernel, receipt.task.session_id)
        assert left.ended is EndReason.STOPPED
        assert (await task(kernel, receipt.task.id)).state is TaskState.CANCELLED


async def test_a_question_of_a_task_makes_its_run_wait_for_input(tmp_path: Path) -> None:
    """Whoever talks to the run is told that it waits for words."""
    async with core(tmp_path / "home") as kernel:
        receipt = await started(kernel, "!ask Which one?")
        await asked(kernel, session_id=receipt.task.session_id)
        waiting = await task(kernel, receipt.task.id, TaskState.WAITING)
        assert waiting.target_run_id is not None
        interaction = await kernel.query(GetInteraction(run_id=waiting.target_run_id))
        assert interaction.state is InteractionState.WAITING_FOR_INPUT


async def test_the_reason_of_a_no_reaches_the_agent(tmp_path: Path) -> None:
    """And the run ends with an answer."""
    async with core(tmp_path / "home") as kernel:
        await opened(kernel, "!sh ls")
        view = await answered(kernel, await asked(kernel, "ls"), allow=False, reason="not on this host")
        assert (view.state, view.reason, view.delivery) == (ApprovalState.DENIED, "not on this host", "sent")
        ended = await rested(kernel)
        assert was_answered(ended)


async def test_a_policy_that_denies_lets_nothing_happen_and_says_so(tmp_path: Path) -> None:
    """No question, no tool; the refusal is on record."""
    config = """
http: {enabled: false}
agents:
  main: {runner: scripted, pace: 0, policy: {security: deny}}
"""
    async with core(tmp_path / "home", config) as kernel:
        await opened(kernel, "!sh ls")
        applied = await until(kernel, PolicyApplied)
        assert applied.verdict.rule == "security.deny"
        ended = await rested(kernel)
        assert was_answered(ended)
        assert not [entry for entry in await entries(kernel) if entry.kind is EntryKind.TOOL]


async def test_an_orphan_is_asked_again_by_order(tmp_path: Path) -> None:
    """A note goes to its session; what was asked is not carried out by that."""
    home = tmp_path / "home"
    async with core(home) as kernel:
        await opened(kernel, "!sh ls")
        first = await asked(kernel, "ls")
    async with core(home) as kernel:
        again = await asked(kernel, "ls")
        await kernel.execute(InterruptSession(session_id=DESK), actor=OPERATOR)
        await rested(kernel)
        assert again.replaces == first.id
        left = await approval(kernel, first, ApprovalState.ORPHANED)
        assert left.replaced_by == again.id


async def test_a_new_agent_inherits_nothing_from_a_removed_one_of_its_name(tmp_path: Path) -> None:
    """What was granted for good was granted to that agent."""
    temp, settings = AgentName("temp"), {"runner": "scripted", "pace": 0}
    async with core(tmp_path / "home") as kernel:
        await kernel.execute(CreateProfile(name=temp, settings=settings), actor=OPERATOR)
        await opened(kernel, "!sh ls", agent=temp)
        await answered(kernel, await asked(kernel, "ls"), scope=GrantScope.ALWAYS)
        await rested(kernel)
        await kernel.execute(DeleteProfile(name=temp), actor=OPERATOR)
        await kernel.execute(CreateProfile(name=temp, settings=settings), actor=OPERATOR)
        await sent(kernel, "!sh ls")
        await asked(kernel, "ls")
        assert (await kernel.query(ListGrants())).grants == ()


async def test_a_grant_for_good_outlives_reset_and_restart(tmp_path: Path) -> None:
    """Until somebody ends it; then the same is asked again."""
    home = tmp_path / "home"
    async with core(home) as kernel:
        await opened(kernel, "!sh ls")
        await answered(kernel, await asked(kernel, "ls"), scope=GrantScope.ALWAYS)
        await rested(kernel)
        await kernel.execute(ResetSession(session_id=DESK), actor=OPERATOR)
    async with core(home) as kernel:
        await sent(kernel, "!sh ls")
        ended = await session(
            kernel, lambda view: view.lane_holder is None and view.epoch == 1 and view.inbound is not None
        )
        assert was_answered(ended)
        [grant] = (await kernel.query(ListGrants())).grants
        await kernel.execute(RevokeGrant(grant_id=grant.id), actor=OPERATOR)
        await sent(kernel, "!sh ls")
        await asked(kernel, "ls")


async def test_a_no_that_is_remembered_refuses_the_same_without_a_question(tmp_path: Path) -> None:
    """In that session, for that time; the agent is told why."""
    async with core(tmp_path / "home") as kernel:
        await opened(kernel, "!sh ls")
        view = await asked(kernel, "ls")
        order = AnswerApproval(approval_id=view.id, allow=False, remember_s=600, reason="no")
        await kernel.execute(order, actor=OPERATOR)
        await rested(kernel)
        await sent(kernel, "!sh ls")
        applied = await until(kernel, PolicyApplied)
        assert applied.verdict.rule == "refusal"
        await rested(kernel)
        assert not [entry for entry in await entries(kernel) if entry.kind is EntryKind.TOOL]


async def test_a_deadline_is_nobodys_no(tmp_path: Path) -> None:
    """The limit of the profile counts; the approval expires, and the run goes on to its end."""
    config = """
http: {enabled: false}
agents:
  main: {runner: scripted, pace: 0, action_limit_s: 1}
core: {drain_s: 0}
"""
    async with core(tmp_path / "home", config) as kernel:
        await opened(kernel, "!sh ls")
        view = await asked(kernel, "ls")
        left = await approval(kernel, view, ApprovalState.EXPIRED)
        assert (left.ended, left.decided_by) == (EndReason.TIMEOUT, "core")
        ended = await rested(kernel)
        assert was_answered(ended)


async def test_a_question_is_answered_with_words(tmp_path: Path) -> None:
    """They reach the agent as they were written."""
    async with core(tmp_path / "home") as kernel:
        await opened(kernel, "!ask Which one?")
        view = await asked(kernel)
        order = AnswerApproval(approval_id=view.id, allow=True, answer="the second, please", digest=view.digest)
        await kernel.execute(order, actor=OPERATOR)
        await rested(kernel)
        assert (await entries(kernel))[-1].text == "You answered: the second, please"
