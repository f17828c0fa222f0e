"""Queues, steering, leases and runners of sessions, in a whole core with its scripted agent."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.agents.runner import TurnRequest
from core.api.approvals import ApprovalState, ListApprovals
from core.api.errors import Refused
from core.api.profiles import ListRunners, ResetRunners
from core.api.runs import (
    ActionOption,
    ActionRequested,
    OptionKind,
    RunReport,
    Stop,
    TextDelta,
    ToolKind,
    TurnEnded,
)
from core.api.session_orders import ArchiveSession, ReleaseLease
from core.api.session_queue import DropMessage
from core.api.sessions import InterruptSession, Mode, Outcome
from core.api.system import AlarmRaised
from core.api.transcripts import EntryKind
from tests.support.puppets import Puppet, Puppeteer
from tests.support.runtime_core import (
    DESK,
    OPERATOR,
    answered,
    approval,
    asked,
    core,
    desk,
    entries,
    opened,
    rested,
    sent,
    session,
    was_answered,
    when,
)

OPTIONS = (
    ActionOption(id="yes", label="Yes", kind=OptionKind.ALLOW_ONCE),
    ActionOption(id="no", label="No", kind=OptionKind.REJECT_ONCE),
)


def wanted(number: int) -> ActionRequested:
    """A command that a puppet wants to run."""
    return ActionRequested(
        action_id=f"a{number}",
        title=f"run {number}",
        detail=f"rm {number}",
        kind=ToolKind.EXECUTE,
        options=OPTIONS,
        tool="exec",
        target=f"rm {number}",
    )


async def both(puppet: Puppet, request: TurnRequest) -> AsyncIterator[RunReport]:
    """Asks for two at once, and runs what it is allowed."""
    del request
    for number in (1, 2):
        yield wanted(number)
    await when(lambda: len(puppet.decisions) == len((1, 2)) or puppet.cancelled.is_set())
    if puppet.cancelled.is_set():
        yield TurnEnded(stop=Stop.CANCELLED)
        return
    ran = [action_id for action_id, decision in puppet.decisions if decision.allow]
    yield TextDelta(text=f"ran {ran}")
    yield TurnEnded(stop=Stop.END_TURN)


async def test_of_two_questions_only_the_command_of_the_approved_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer reaches its own question; the session counts what is open."""
    puppets = Puppeteer(monkeypatch)
    puppets.turn = both
    async with core(tmp_path / "home") as kernel:
        await opened(kernel, "go")
        second = await asked(kernel, "rm 2")
        await session(kernel, lambda view: view.open_approvals == 2)
        await answered(kernel, second)
        await session(kernel, lambda view: view.open_approvals == 1)
        first = await asked(kernel, "rm 1")
        await answered(kernel, first, allow=False)
        await rested(kernel)
        assert (await entries(kernel))[-1].text == "ran ['a2']"
        assert [item[0] for item in puppets.made[0].decisions] == ["a2", "a1"]


async def test_a_stop_ends_both_questions_and_the_run_within_two_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are withdrawn as stopped."""
    puppets = Puppeteer(monkeypatch)
    puppets.turn = both
    async with core(tmp_path / "home") as kernel:
        await opened(kernel, "go")
        views = [await asked(kernel, f"rm {number}") for number in (1, 2)]
        async with asyncio.timeout(2):
            receipt = await kernel.execute(InterruptSession(session_id=DESK), actor=OPERATOR)
        assert receipt.is_released
        for view in views:
            left = await approval(kernel, view, ApprovalState.WITHDRAWN)
            assert left.ended is not None
            assert left.ended.value == "stopped"
        assert puppets.made[0].decisions == []


async def test_a_message_into_a_run_that_takes_it_is_answered_afterwards_too(tmp_path: Path) -> None:
    """Steer-backlog: offered to the run, and a turn of its own."""
    async with core(tmp_path / "home") as kernel:
        await opened(kernel, "!sh ls")
        view = await asked(kernel, "ls")
        receipt = await sent(kernel, "hello", mode=Mode.STEER_BACKLOG)
        assert receipt.outcome is Outcome.DIRECT
        assert (await desk(kernel)).session.queue_depth == 1
        await answered(kernel, view)
        await rested(kernel)
        said = [entry.text for entry in await entries(kernel) if entry.kind in {EntryKind.USER, EntryKind.NOTE}]
        assert said == ["!sh ls", "hello"]


async def test_collected_messages_are_answered_together_after_a_restart(tmp_path: Path) -> None:
    """What was still collecting at the stop is not lost, and shares one turn."""
    home = tmp_path / "home"
    config = """
http: {enabled: false}
agents:
  main: {runner: scripted, pace: 0, scenario: builtin:echo}
sessions: {collect_s: 3}
core: {drain_s: 0}
"""
    async with core(home, config) as kernel:
        await opened(kernel, "zero")
        await rested(kernel)
        await sent(kernel, "one", mode=Mode.COLLECT)
        await sent(kernel, "two", mode=Mode.COLLECT)
        assert (await desk(kernel)).session.queue_depth == 2
    async with core(home, config) as kernel:
        await rested(kernel)
        ended = (await desk(kernel)).session.last_outcome
        assert ended is not None
        assert ended.answered
        said = [entry for entry in await entries(kernel) if entry.kind in {EntryKind.USER, EntryKind.NOTE}]
        assert [entry.text for entry in said] == ["zero", "one", "two"]
        assert said[1].run_id == said[2].run_id


async def test_a_followup_that_is_dropped_leaves_the_others_their_turn(tmp_path: Path) -> None:
    """Dropped while it waits with others; the rest shares one turn without it."""
    async with core(tmp_path / "home") as kernel:
        await opened(kernel, "!sh ls")
        view = await asked(kernel, "ls")
        receipts = [await sent(kernel, text, mode=Mode.FOLLOWUP) for text in ("one", "two", "three")]
        drop = DropMessage(session_id=DESK, message_id=receipts[1].message_id)
        results = await asyncio.gather(
            answered(kernel, view), kernel.execute(drop, actor=OPERATOR), return_exceptions=True
        )
        assert not isinstance(results[0], BaseException)
        await rested(kernel)
        said = [entry.text for entry in await entries(kernel) if entry.kind in {EntryKind.USER, EntryKind.NOTE}]
        assert said == ["!sh ls", "one", "three"] or isinstance(results[1], Refused)


async def test_a_message_at_the_moment_of_an_archive_is_answered_all_the_same(tmp_path: Path) -> None:
    """Whoever is first: refused, or taken up again in a new epoch."""
    async with core(tmp_path / "home") as kernel:
        await opened(kernel, "hello")
        await session(kernel, lambda view: view.lane_holder is None and not view.unsent)
        order = kernel.supervisor.spawn("test", kernel.execute(ArchiveSession(session_id=DESK), actor=OPERATOR))
        await sent(kernel, "two")
        try:
            await order
        except Refused:
            is_refused = True
        else:
            is_refused = False
        ended = await rested(kernel)
        assert not ended.is_archived
        assert ended.epoch == (0 if is_refused else 1)
        assert "two" in [entry.text for entry in await entries(kernel)]


async def test_a_holder_that_lost_its_lease_by_force_writes_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its text does not appear, its question is closed, and the next message has its own run."""
    puppets = Puppeteer(monkeypatch)
    gate = asyncio.Event()

    async def deaf(puppet: Puppet, request: TurnRequest) -> AsyncIterator[RunReport]:
        del puppet
        if request.messages[0].text != "one":
            yield TextDelta(text="fresh")
            yield TurnEnded(stop=Stop.END_TURN)
            return
        yield TextDelta(text="before ")
        yield wanted(1)
        await gate.wait()
        yield TextDelta(text="late")
        yield TurnEnded(stop=Stop.END_TURN)

    puppets.turn = deaf
    puppets.is_deaf = True
    async with core(tmp_path / "home") as kernel:
        await opened(kernel, "one")
        view = await asked(kernel, "rm 1")
        run_id = view.run_id
        receipt = await kernel.execute(ReleaseLease(session_id=DESK, is_forced=True), actor=OPERATOR)
        assert receipt.is_released
        assert receipt.run_id == run_id
        await sent(kernel, "two")
        gate.set()
        await session(kernel, lambda item: item.last_outcome is not None and item.last_outcome.answered)
        texts = [entry.text for entry in await entries(kernel)]
        assert "fresh" in texts
        assert not [text for text in texts if "late" in text]
        await approval(kernel, view, ApprovalState.WITHDRAWN)
        assert (await desk(kernel)).session.open_approvals == 0


async def test_another_model_for_one_message_means_another_runner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next one has the agent's own again."""
    puppets = Puppeteer(monkeypatch)
    models: list[str] = []

    async def said(puppet: Puppet, request: TurnRequest) -> AsyncIterator[RunReport]:
        del puppet
        models.append(request.model)
        yield TextDelta(text="yes")
        yield TurnEnded(stop=Stop.END_TURN)

    puppets.turn = said
    config = """
http: {enabled: false}
agents:
  main: {runner: openai, base_url: "http://127.0.0.1:9/v1", model: own}
core: {drain_s: 0}
"""
    async with core(tmp_path / "home", config) as kernel:
        await opened(kernel, "one")
        await rested(kernel)
        await sent(kernel, "two", model="other")
        await rested(kernel)
        await sent(kernel, "three")
        await rested(kernel)
        assert models == ["", "other", ""]
        assert len(puppets.made) == 3


async def test_runners_of_one_user_are_reset_and_those_of_others_stay(tmp_path: Path) -> None:
    """The one that works is replaced after its turn; nothing it asked is lost."""
    async with core(tmp_path / "home") as kernel:
        await opened(kernel, "!sh ls")
        view = await asked(kernel, "ls")
        await opened(kernel, "hello", chat="other")
        user = (await kernel.query(ListRunners())).runners[0].user
        report = await kernel.execute(ResetRunners(user=user), actor=OPERATOR)
        assert report.marked + report.replaced >= 1
        assert (await kernel.query(ListApprovals(open_only=True))).approvals
        await answered(kernel, view)
        ended = await rested(kernel)
        assert was_answered(ended)


async def test_an_orderly_stop_of_a_run_raises_no_alarm(tmp_path: Path) -> None:
    """What it still says is no late write."""
    async with core(tmp_path / "home") as kernel:
        alarms: list[AlarmRaised] = []
        kernel.journal.on_record(
            lambda record: alarms.append(record.event) if isinstance(record.event, AlarmRaised) else None
        )
        await opened(kernel, "!sh ls")
        await asked(kernel, "ls")
    assert alarms == []


async def test_a_run_is_interrupted_at_any_moment_of_its_beginning(tmp_path: Path) -> None:
    """Also before the agent runtime has heard of it."""
    async with core(tmp_path / "home") as kernel:
        for rounds in range(25):
            chat = f"chat{rounds}"
            receipt = await opened(kernel, "!hang", chat=chat)
            for _ in range(rounds):
                await asyncio.sleep(0)
            async with asyncio.timeout(5):
                stopped = await kernel.execute(InterruptSession(session_id=receipt.session_id), actor=OPERATOR)
            assert stopped.is_released
