"""Earlier entries stand as a summary for the agent; the transcript itself is never changed."""

import asyncio

import pytest

from core.api.errors import ConflictError, Refused, Unavailable
from core.api.runs import Compacted, CompactionState
from core.api.session_orders import ArchiveSession, CompactSession, SessionCompacted, UnarchiveSession
from core.api.sessions import ResetSession, RunEnded, SessionView
from core.api.transcripts import EntryKind, EntryView, ReadTranscript
from core.store.memory import MemoryStore
from tests.support.fake_agents import FakeAgents, FakeRun
from tests.support.gateway import SESSION, Gateway, gateway, inbound
from tests.support.outbox import OPERATOR


async def answered(built: Gateway, text: str, *before: Compacted) -> FakeRun:
    """A turn of the session; what it reports before its answer."""
    count = len(built.agents.runs)
    await built.sessions.receive(inbound(text))
    run = await built.agents.begun(count + 1)
    run.report(*before)
    run.answer(f"to {text}")
    await built.lanes.lane(SESSION).run_ended(run.run_id)
    await built.settled()
    return run


async def entries(built: Gateway) -> list[EntryView]:
    """The transcript."""
    page = await built.inspection.read_transcript(ReadTranscript(session_id=SESSION))
    return list(page.entries)


def given(run: FakeRun) -> list[str]:
    """What the agent was told of before."""
    return [entry.text for entry in run.history]


def summary(covered: EntryView, text: str = "in short") -> Compacted:
    """A summary of everything up to an entry."""
    return Compacted(
        state=CompactionState.DONE, summary=text, covers_until=covered.id, before_tokens=90, after_tokens=9
    )


def view_of(built: Gateway) -> SessionView:
    """The session."""
    return built.lanes.view(built.lanes.lane(SESSION))


async def test_a_summary_stands_for_what_came_before_it() -> None:
    """From the next turn on, and after a restart; the transcript keeps everything, the summary included."""
    store = MemoryStore()
    async with gateway(store) as built:
        await answered(built, "one")
        covered = (await entries(built))[-1]
        await answered(built, "two", summary(covered))
        assert given(await answered(built, "three")) == ["in short", "two", "to two"]
        (event,) = await built.until(SessionCompacted)
        assert isinstance(event, SessionCompacted)
        assert event.entry is not None
        assert (event.entry.kind, event.entry.covers_until) == (EntryKind.SUMMARY, covered.id)
        assert event.session.compaction is not None
        assert (event.session.compaction.state, event.session.compaction.summary) == (CompactionState.DONE, "")
        assert [entry.text for entry in await entries(built)][:4] == ["one", "to one", "two", "in short"]
    async with gateway(store, boot=2) as built:
        run = await answered(built, "four")
        assert given(run) == ["in short", "two", "to two", "three", "to three"]
        assert run.history[0].kind is EntryKind.SUMMARY


async def test_a_later_summary_takes_the_place_of_the_one_before() -> None:
    """Only the last one is given."""
    async with gateway() as built:
        await answered(built, "one")
        await answered(built, "two", summary((await entries(built))[-1], "first"))
        await answered(built, "three", summary((await entries(built))[-1], "second"))
        assert given(await answered(built, "four")) == ["second", "three", "to three"]


async def test_the_limit_of_the_history_counts_what_comes_after_the_summary() -> None:
    """The summary is given however far back it stands, also after a restart; the message itself counts as one."""
    store = MemoryStore()
    async with gateway(store, history_limit=4) as built:
        await answered(built, "one")
        await answered(built, "two", summary((await entries(built))[-1]))
        for name in ("three", "four", "five"):
            run = await answered(built, name)
        assert given(run) == ["in short", "to three", "four", "to four"]
    async with gateway(store, boot=2, history_limit=4) as built:
        assert given(await answered(built, "six")) == ["in short", "to four", "five", "to five"]


@pytest.mark.parametrize("state", [CompactionState.FAILED, CompactionState.INEFFECTIVE])
async def test_a_try_that_did_not_help_is_told_and_changes_nothing_else(state: CompactionState) -> None:
    """The session says what happened; what the agent is given stays whole."""
    async with gateway() as built:
        await answered(built, "one")
        await answered(built, "two", Compacted(state=state, tries=1, error="no room"))
        assert given(await answered(built, "three")) == ["one", "to one", "two", "to two"]
        (event,) = await built.until(SessionCompacted)
        assert isinstance(event, SessionCompacted)
        assert event.entry is None
        assert event.session.compaction == Compacted(state=state, tries=1, error="no room")


@pytest.mark.parametrize("text", ["", "  "])
async def test_a_summary_that_says_nothing_is_a_failure(text: str) -> None:
    """It would only hide what was said."""
    async with gateway() as built:
        await answered(built, "one")
        await answered(built, "two", summary((await entries(built))[-1], text))
        found = view_of(built).compaction
        assert found is not None
        assert found.state is CompactionState.FAILED
        assert given(await answered(built, "three")) == ["one", "to one", "two", "to two"]


async def test_the_estimate_follows_what_the_agent_is_given() -> None:
    """A token for every four bytes of each entry; it goes down with a summary and begins anew with an epoch."""
    store = MemoryStore()
    async with gateway(store) as built:
        await answered(built, "é" * 20)
        assert view_of(built).context_tokens == 10 + 11
        await answered(built, "x" * 400)
        assert view_of(built).context_tokens == 21 + 100 + 101
        before = await entries(built)
        await answered(built, "yy", summary(before[-1]))
        assert view_of(built).context_tokens == 2 + 1 + 2
    async with gateway(store, boot=2) as built:
        await answered(built, "zz")
        assert view_of(built).context_tokens == 5 + 1 + 2
        await built.operations.reset_session(ResetSession(session_id=SESSION), OPERATOR)
        assert view_of(built).context_tokens == 0


async def test_the_estimate_forgets_what_the_limit_leaves_out() -> None:
    """Entries that the agent is no longer given cost nothing."""
    async with gateway(history_limit=2) as built:
        await answered(built, "x" * 400)
        await answered(built, "yy")
        assert view_of(built).context_tokens == 1 + 2


async def test_an_operator_has_a_session_compacted() -> None:
    """The agent is asked with what it would be given; messages that come meanwhile wait."""
    agents = FakeAgents()
    async with gateway(agents=agents) as built:
        await answered(built, "one")
        agents.compaction = summary((await entries(built))[-1])
        may_end, asked = asyncio.Event(), asyncio.Event()

        async def slowly() -> None:
            asked.set()
            await may_end.wait()

        agents.compacting = slowly
        order = asyncio.get_running_loop().create_task(built.order(CompactSession(session_id=SESSION)))
        await asked.wait()
        with pytest.raises(ConflictError):
            await built.order(CompactSession(session_id=SESSION))
        await built.sessions.receive(inbound("two"))
        assert len(agents.runs) == 1
        may_end.set()
        receipt = await order
        assert receipt.session.compaction is not None
        assert receipt.session.compaction.state is CompactionState.DONE
        assert [[entry.text for entry in history] for history in agents.compacted] == [["one", "to one"]]
        run = await agents.begun(2)
        assert given(run) == ["in short"]
        run.answer("ok")
        await built.until(RunEnded, 2)


async def test_a_session_is_not_compacted_under_a_run_or_while_it_is_put_away() -> None:
    """Nothing is asked of the agent."""
    async with gateway() as built:
        await built.sessions.receive(inbound("one"))
        run = await built.agents.begun(1)
        with pytest.raises(Refused):
            await built.order(CompactSession(session_id=SESSION))
        run.answer("ok")
        await built.until(RunEnded)
        await built.sent()
        await built.order(ArchiveSession(session_id=SESSION))
        with pytest.raises(Refused):
            await built.order(CompactSession(session_id=SESSION))
        assert built.agents.compacted == []


async def test_a_summary_that_cannot_be_had_is_a_failure_on_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the agent says no or nothing at all; the session goes on."""
    monkeypatch.setattr("core.gateway.compaction_orders.COMPACT_LIMIT_S", 0.01)
    async with gateway() as built:
        await answered(built, "one")

        async def refuses() -> None:
            raise Unavailable("the model is away")

        built.agents.compacting = refuses
        first = (await built.order(CompactSession(session_id=SESSION))).session.compaction
        assert first is not None
        assert (first.state, first.error, first.tries) == (CompactionState.FAILED, "the model is away", 1)
        built.agents.compacting = asyncio.Event().wait
        second = (await built.order(CompactSession(session_id=SESSION))).session.compaction
        assert second is not None
        assert second.tries == 2
        assert given(await answered(built, "two")) == ["one", "to one"]


async def test_a_summary_of_what_was_left_behind_meanwhile_is_let_go() -> None:
    """The session began anew while it was made."""
    async with gateway() as built:
        await answered(built, "one")
        built.agents.compaction = summary((await entries(built))[-1])

        async def resets() -> None:
            await built.operations.reset_session(ResetSession(session_id=SESSION), OPERATOR)

        built.agents.compacting = resets
        with pytest.raises(ConflictError):
            await built.order(CompactSession(session_id=SESSION))
        assert given(await answered(built, "two")) == []


async def test_each_epoch_has_its_own_summary() -> None:
    """One that is taken up again is given with the summary that it had."""
    async with gateway() as built:
        await answered(built, "one")
        await answered(built, "two", summary((await entries(built))[-1]))
        await built.operations.reset_session(ResetSession(session_id=SESSION), OPERATOR)
        assert given(await answered(built, "new")) == []
        receipt = await built.order(UnarchiveSession(session_id=SESSION, epoch=0))
        assert receipt.session.context_tokens == 2 + 1 + 2
        assert given(await answered(built, "three")) == ["in short", "two", "to two"]
