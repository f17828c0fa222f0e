"""Full disks, crashes and stops: nothing that was accepted is lost or answered twice."""

import asyncio

import pytest

from core.api.base import SessionId
from core.api.errors import StoreError
from core.api.platforms import PlatformConnected
from core.api.sessions import (
    RunEnded,
)
from core.api.transcripts import EntryView, ReadTranscript
from core.store.base import Batch, Committed
from core.store.memory import MemoryStore
from tests.support.fake_agents import FakeAgents
from tests.support.gateway import SESSION, Gateway, gateway, inbound


async def _transcript(built: Gateway, session: SessionId = SESSION) -> list[EntryView]:
    page = await built.inspection.read_transcript(ReadTranscript(session_id=session))
    return list(page.entries)


async def _said(built: Gateway) -> list[tuple[str, str]]:
    return [(entry.kind.value, entry.text) for entry in await _transcript(built)]


async def test_a_caller_who_hangs_up_leaves_nothing_half_done() -> None:
    """The message is stored and answered although nobody waits for the receipt."""
    async with gateway(agents=FakeAgents(instant=True)) as built:
        task = asyncio.get_running_loop().create_task(built.sessions.receive(inbound("one")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await built.until(RunEnded)
        assert await _said(built) == [("user", "one"), ("agent", "one")]


class FailingStore(MemoryStore):
    """A store that refuses the next commits."""

    failures = 0

    def submit(self, batch: Batch) -> "asyncio.Future[Committed]":
        """Refuse while there are failures left."""
        if self.failures:
            self.failures -= 1
            refused: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
            refused.set_exception(StoreError("the disk is full", path="x", cause="full", fix="make room"))
            return refused
        return super().submit(batch)


async def test_a_message_that_cannot_be_stored_is_refused_and_leaves_no_trace() -> None:
    """After the disk has room again, the next message runs as if nothing had been."""
    store = FailingStore()
    async with gateway(store, FakeAgents(instant=True)) as built:
        await built.until(PlatformConnected)
        store.failures = 1
        with pytest.raises(StoreError):
            await built.sessions.receive(inbound("lost and said so"))
        assert built.inspection.counts()[1:] == (0, 0)
        await built.sessions.receive(inbound("kept"))
        await built.until(RunEnded)
        assert await _said(built) == [("user", "kept"), ("agent", "kept")]


async def test_an_answer_that_cannot_be_stored_yet_is_kept_until_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lane stays held, the problem is said, and the answer is stored once."""
    monkeypatch.setattr("core.gateway.turns._STORE_RETRY_S", 0.01)
    store = FailingStore()
    async with gateway(store) as built:
        await built.sessions.receive(inbound("one"))
        run = await built.agents.begun(1)
        store.failures = 1
        run.answer("kept")
        await built.until(RunEnded)
        await built.settled()
        assert await _said(built) == [("user", "one"), ("agent", "kept")]
        assert built.turns.problem == ""


async def test_after_a_crash_what_was_accepted_is_answered_once_in_order() -> None:
    """The run that was cut off is closed as orphaned, its message runs again, the rest follows."""
    store = MemoryStore()
    async with gateway(store) as first:
        await first.sessions.receive(inbound("one"))
        await first.agents.begun(1)
        await first.sessions.receive(inbound("two"))
    async with gateway(store, boot=2) as second:
        recovered = await second.restart.recover()
        assert (recovered.cut_off, recovered.queued) == (1, 2)
        await second.restart.resume()
        (await second.agents.begun(1)).answer("first")
        (await second.agents.begun(2)).answer("second")
        ended = await second.until(RunEnded, 3)
        assert ended[0].outcome.code == "orphaned"
        assert await _said(second) == [("user", "one"), ("agent", "first"), ("user", "two"), ("agent", "second")]


async def test_a_message_under_which_the_core_keeps_dying_is_given_up() -> None:
    """After max_attempts it no longer runs, and the transcript says so."""
    store = MemoryStore()
    async with gateway(store, max_attempts=2) as built:
        await built.sessions.receive(inbound("poison"))
        await built.agents.begun(1)
    async with gateway(store, boot=2, max_attempts=2) as built:
        await built.restart.recover()
        await built.restart.resume()
        await built.agents.begun(1)
    async with gateway(store, boot=3, max_attempts=2) as built:
        recovered = await built.restart.recover()
        assert recovered.given_up == 1
        await built.restart.resume()
        assert built.agents.runs == []
        said = await _said(built)
        assert said[0] == ("user", "poison")
        assert "gave up" in said[-1][1]


async def test_an_orderly_stop_puts_the_running_message_back_and_counts_no_attempt() -> None:
    """The next start answers it; nothing was orphaned."""
    store = MemoryStore()
    async with gateway(store) as built:
        await built.sessions.receive(inbound("one"))
        await built.agents.begun(1)
        assert await built.restart.drain(0) == 1
    async with gateway(store, boot=2) as built:
        recovered = await built.restart.recover()
        assert (recovered.cut_off, recovered.queued) == (0, 1)
        await built.restart.resume()
        run = await built.agents.begun(1)
        assert run.messages[0].attempt == 1
        run.answer("after all")
        await built.until(RunEnded, 2)
        assert await _said(built) == [("user", "one"), ("agent", "after all")]


async def test_a_drain_lets_a_run_end_in_time() -> None:
    """Nothing is cut off, and nothing new begins."""
    async with gateway() as built:
        await built.sessions.receive(inbound("one"))
        run = await built.agents.begun(1)
        await built.sessions.receive(inbound("two"))
        drained = asyncio.get_running_loop().create_task(built.restart.drain(30))
        run.answer("in time")
        assert await drained == 0
        assert len(built.agents.runs) == 1
        assert built.inspection.counts()[1] == 1


async def test_while_the_core_stops_nobody_waits_for_a_session_to_begin_what_waits() -> None:
    """The look for lanes that could go on leaves them all alone, and a run that ends takes nothing up."""
    async with gateway() as built:
        await built.sessions.receive(inbound("one"))
        await built.agents.begun(1)
        await built.sessions.receive(inbound("two"))
        assert await built.restart.drain(0) == 1
        await built.settled()
        lane = await built.lanes.existing(SESSION)
        assert (lane.guard.run_id, len(lane.guard.queue)) == (None, 2)
        async with lane.lock, asyncio.timeout(5):
            await built.restart.resume()
        await built.restart.resume()
        assert len(built.agents.runs) == 1


async def test_a_fault_of_ours_ends_the_run_and_frees_the_lane() -> None:
    """The session says that it failed, the fault is told, and the next message is answered."""
    agents = FakeAgents()
    agents.fault = TypeError("a bug")
    async with gateway(agents=agents) as built:
        await built.sessions.receive(inbound("one"))
        (ended,) = await built.until(RunEnded)
        assert ended.outcome.code == "core_fault"
        assert "TypeError" in ended.outcome.error
        assert [str(error) for _, error in built.faults] == ["a bug"]
        agents.fault = None
        await built.sessions.receive(inbound("two"))
        (await agents.begun(1)).answer("fine")
        await built.until(RunEnded, 2)


async def test_a_lane_that_could_not_begin_is_nudged_when_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a full disk nobody has to write again for what waits to go on."""
    monkeypatch.setattr("core.gateway.restart._NUDGE_EVERY_S", 0.01)
    store = FailingStore()
    async with gateway(store) as built:
        await built.sessions.receive(inbound("one"))
        await built.agents.begun(1)
        await built.restart.drain(0)
    async with gateway(store, boot=2) as built:
        await built.until(PlatformConnected)
        await built.restart.recover()
        store.failures = 2
        with pytest.raises(StoreError):
            await built.restart.resume()
        built.supervisor.start("nudge", built.restart.nudge)
        (await built.agents.begun(1)).answer("at last")
        await built.until(RunEnded, 2)
        assert await _said(built) == [("user", "one"), ("agent", "at last")]
