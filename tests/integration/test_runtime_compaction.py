"""What becomes of what is too long for an agent: summaries, in a whole core."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.agents.runner import TurnRequest
from core.api.errors import Refused
from core.api.runs import (
    CompactionState,
    Phase,
    RunReport,
    Stop,
    TextDelta,
    TurnEnded,
)
from core.api.session_orders import CompactSession
from core.api.sessions import (
    InterruptSession,
)
from core.api.transcripts import EntryKind
from tests.support.puppets import Puppet, Puppeteer
from tests.support.runtime_core import (
    DESK,
    OPERATOR,
    core,
    desk,
    entries,
    opened,
    rested,
    sent,
    session,
    was_answered,
)

COMPACTING = """
http: {enabled: false}
agents:
  main: {runner: scripted, pace: 0, scenario: builtin:echo, compaction: {max_tokens: 100, keep_tail: 1}}
core: {drain_s: 0}
"""


async def test_a_run_that_is_interrupted_while_it_makes_a_summary_ends_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was answered and nothing summed up; the next message is answered by another runner."""
    begun, calls = asyncio.Event(), 0
    puppets = Puppeteer(monkeypatch)

    async def said(puppet: Puppet, request: TurnRequest) -> AsyncIterator[RunReport]:
        del puppet
        yield TextDelta(text=f"{len(request.history)} " + "long " * 200)
        yield TurnEnded(stop=Stop.END_TURN)

    async def hang(self: Puppet, text: str, *, model: str) -> str:
        del self, text, model
        nonlocal calls
        calls += 1
        begun.set()
        if calls == 1:
            await asyncio.Event().wait()
        return "short"

    puppets.turn = said
    monkeypatch.setattr(Puppet, "summarize", hang)
    monkeypatch.setattr(Puppet, "capabilities", type(Puppet.capabilities)(approvals=True, steer=True, summarizes=True))
    async with core(tmp_path / "home", COMPACTING) as kernel:
        await opened(kernel, "one " * 300)
        await rested(kernel)
        await sent(kernel, "two")
        async with asyncio.timeout(20):
            await begun.wait()
        phase = (await session(kernel, lambda view: view.phase is not None)).phase
        assert phase is not None
        assert phase[0] is Phase.COMPACTION
        async with asyncio.timeout(2):
            await kernel.execute(InterruptSession(session_id=DESK), actor=OPERATOR)
        view = (await desk(kernel)).session
        assert view.last_outcome is not None
        assert view.last_outcome.stop is Stop.CANCELLED
        assert view.compaction is None
        await sent(kernel, "three")
        ended = await session(kernel, lambda item: item.lane_holder is None and item.compaction is not None)
        assert was_answered(ended)
        assert ended.compaction is not None
        assert ended.compaction.state is CompactionState.DONE
        assert len(puppets.made) == 2


async def test_a_summary_that_helps_nothing_is_tried_twice_and_never_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the session says so; what was said stays as it was."""
    puppets = Puppeteer(monkeypatch)

    async def said(puppet: Puppet, request: TurnRequest) -> AsyncIterator[RunReport]:
        puppet.summary = "no help " * 5_000
        yield TextDelta(text=f"answer to {request.messages[0].text[:5]}")
        yield TurnEnded(stop=Stop.END_TURN)

    puppets.turn = said
    monkeypatch.setattr(Puppet, "capabilities", type(Puppet.capabilities)(approvals=True, steer=True, summarizes=True))
    async with core(tmp_path / "home", COMPACTING) as kernel:
        await opened(kernel, "one " * 300)
        await rested(kernel)
        for number in range(5):
            await sent(kernel, f"{number} " * 300)
            await rested(kernel)
        assert sum(len(puppet.summarized) for puppet in puppets.made) == 2
        view = (await desk(kernel)).session
        assert view.compaction is not None
        assert view.compaction.state is CompactionState.INEFFECTIVE
        said_all = [
            entry for entry in await entries(kernel) if entry.kind in {EntryKind.USER, EntryKind.NOTE, EntryKind.AGENT}
        ]
        assert len(said_all) == 12
        assert not [entry for entry in await entries(kernel) if entry.kind is EntryKind.SUMMARY]


async def test_messages_that_come_while_an_operator_has_a_summary_made_are_answered_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the summary in front of them."""
    gate, begun = asyncio.Event(), asyncio.Event()
    puppets = Puppeteer(monkeypatch)
    seen: list[list[str]] = []

    async def said(puppet: Puppet, request: TurnRequest) -> AsyncIterator[RunReport]:
        del puppet
        seen.append([entry.kind.value for entry in request.history])
        yield TextDelta(text="yes")
        yield TurnEnded(stop=Stop.END_TURN)

    async def slow(self: Puppet, text: str, *, model: str) -> str:
        del self, text, model
        begun.set()
        await gate.wait()
        return "in short"

    puppets.turn = said
    monkeypatch.setattr(Puppet, "summarize", slow)
    monkeypatch.setattr(Puppet, "capabilities", type(Puppet.capabilities)(approvals=True, steer=True, summarizes=True))
    config = COMPACTING.replace("max_tokens: 100", "max_tokens: -1")
    async with core(tmp_path / "home", config) as kernel:
        await opened(kernel, "one " * 300)
        await rested(kernel)
        order = kernel.supervisor.spawn("test", kernel.execute(CompactSession(session_id=DESK), actor=OPERATOR))
        async with asyncio.timeout(20):
            await begun.wait()
        await sent(kernel, "two")
        assert (await desk(kernel)).session.queue_depth == 1
        gate.set()
        receipt = await order
        assert receipt.session.compaction is not None
        assert receipt.session.compaction.state is CompactionState.DONE
        await rested(kernel)
        assert seen[-1][0] == "summary"


async def test_what_cannot_be_shortened_is_refused_and_leaves_no_trace(tmp_path: Path) -> None:
    """A refusal is no failed try."""
    async with core(tmp_path / "home") as kernel:
        await opened(kernel, "hello")
        await rested(kernel)
        with pytest.raises(Refused, match="nothing can be shortened"):
            await kernel.execute(CompactSession(session_id=DESK), actor=OPERATOR)
        assert (await desk(kernel)).session.compaction is None
