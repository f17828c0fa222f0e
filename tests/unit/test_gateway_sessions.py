"""Messages in, runs started, answers out: the session path of the gateway."""

import asyncio

import pytest

from core.api.base import Seq, SessionId
from core.api.errors import InvalidInput, NotFound, Overloaded
from core.api.runs import (
    ActionOption,
    ActionRequested,
    ActionSettled,
    OptionKind,
    Phase,
    PhaseChanged,
    Stop,
    TextDelta,
    ThoughtDelta,
    ToolCall,
    ToolKind,
    ToolReported,
    ToolStatus,
    TurnEnded,
    Usage,
)
from core.api.sessions import (
    EntryAdded,
    GetSession,
    ListSessions,
    MessageQueued,
    MessageRefused,
    MessageSteered,
    Mode,
    RunEnded,
    RunStarted,
    SessionOpened,
    SessionState,
)
from core.api.transcripts import EntryKind, EntryView, ReadTranscript
from core.store.memory import MemoryStore
from tests.support.fake_agents import FakeAgents
from tests.support.gateway import SESSION, Gateway, gateway, inbound


async def _transcript(built: Gateway, session: SessionId = SESSION) -> list[EntryView]:
    page = await built.inspection.read_transcript(ReadTranscript(session_id=session))
    return list(page.entries)


async def _said(built: Gateway) -> list[tuple[str, str]]:
    return [(entry.kind.value, entry.text) for entry in await _transcript(built)]


async def test_a_message_opens_a_session_runs_and_is_answered() -> None:
    """The whole path leaves a true history, a transcript and an idle session."""
    async with gateway() as built:
        accepted = await built.sessions.receive(inbound("hello"))
        run = await built.agents.begun(1)
        run.answer("hi there")
        (ended,) = await built.until(RunEnded)
        kinds = [type(event).__name__ for event in await built.events()]
        assert [kind for kind in kinds if kind in {"SessionOpened", "MessageQueued", "RunStarted", "RunEnded"}] == [
            "SessionOpened",
            "MessageQueued",
            "RunStarted",
            "RunEnded",
        ]
        assert accepted.session_id == SESSION
        assert accepted.position == 0
        assert await _said(built) == [("user", "hello"), ("agent", "hi there")]
        assert ended.session.state is SessionState.IDLE
        assert ended.outcome.answered
        detail = await built.inspection.get_session(GetSession(session_id=SESSION))
        assert detail.messages == ()
        assert detail.session.title == "hello"
        assert {"created", "inbound", "last_outcome"} <= set(detail.ages_s)


async def test_messages_to_a_busy_session_wait_in_order_and_are_each_answered_once() -> None:
    """Five messages, one run at a time, in the order of arrival."""
    async with gateway() as built:
        for number in range(5):
            accepted = await built.sessions.receive(inbound(f"m{number}"))
            assert accepted.position == number
        for number in range(5):
            run = await built.agents.begun(number + 1)
            assert [message.text for message in run.messages] == [f"m{number}"]
            run.answer(f"a{number}")
        await built.until(RunEnded, 5)
        assert await _said(built) == [pair for n in range(5) for pair in (("user", f"m{n}"), ("agent", f"a{n}"))]


async def test_a_run_sees_what_was_said_before_and_not_its_own_message_twice() -> None:
    """History holds earlier turns of the epoch only."""
    async with gateway() as built:
        await built.sessions.receive(inbound("one"))
        (await built.agents.begun(1)).answer("first")
        await built.sessions.receive(inbound("two"))
        run = await built.agents.begun(2)
        assert [(entry.kind, entry.text) for entry in run.history] == [
            (EntryKind.USER, "one"),
            (EntryKind.AGENT, "first"),
        ]
        run.answer("second")
        await built.until(RunEnded, 2)


async def test_a_native_id_is_taken_in_once() -> None:
    """The second copy of a platform's message names the first and starts nothing."""
    async with gateway(agents=FakeAgents(instant=True)) as built:
        first = await built.sessions.receive(inbound("hello", native_id="n1"))
        again = await built.sessions.receive(inbound("hello", native_id="n1"))
        await built.until(RunEnded)
        assert again.is_duplicate
        assert again.message_id == first.message_id
        assert len(built.agents.runs) == 1


async def test_a_proof_is_used_once_whatever_id_comes_with_it() -> None:
    """Also after a restart: a captured request under another id starts nothing."""
    store = MemoryStore()
    async with gateway(store, FakeAgents(instant=True)) as built:
        first = await built.sessions.receive(inbound("hello", native_id="n1", proof_id="signature"))
        await built.until(RunEnded)
    async with gateway(store, FakeAgents(instant=True), boot=2) as built:
        replayed = await built.sessions.receive(inbound("hello", native_id="n2", proof_id="signature"))
        assert replayed.is_duplicate
        assert replayed.message_id == first.message_id
        same = await built.sessions.receive(inbound("hello", native_id="n1", proof_id="n1"))
        assert same.message_id == first.message_id
        assert built.agents.runs == []


async def test_copies_that_arrive_together_are_taken_in_once() -> None:
    """Ten at the same moment, one run."""
    async with gateway(agents=FakeAgents(instant=True)) as built:
        results = await asyncio.gather(*(built.sessions.receive(inbound("hi", native_id="n1")) for _ in range(10)))
        await built.until(RunEnded)
        assert sum(not result.is_duplicate for result in results) == 1
        assert len({result.message_id for result in results}) == 1


async def test_a_full_queue_refuses_and_keeps_nothing_of_the_message() -> None:
    """The bound is named; what was accepted stays."""
    async with gateway(queue_limit=2) as built:
        for number in range(3):
            await built.sessions.receive(inbound(f"m{number}"))
        with pytest.raises(Overloaded) as caught:
            await built.sessions.receive(inbound("too much"))
        assert caught.value.facts["limit"] == 2
        assert caught.value.retryable
        detail = await built.inspection.get_session(GetSession(session_id=SESSION))
        assert [message.text for message in detail.messages] == ["m0", "m1", "m2"]


@pytest.mark.parametrize("text", ["", "   \n", "x" * 101, "\ud800"])
async def test_text_that_cannot_be_taken_in_is_refused_by_name(text: str) -> None:
    """The field is named and no session appears."""
    async with gateway(text_limit=100) as built:
        with pytest.raises(InvalidInput) as caught:
            await built.sessions.receive(inbound(text))
        assert caught.value.facts["field"] == "text"
        page = await built.inspection.list_sessions(ListSessions())
        assert page.sessions == ()
        assert page.total == 0


async def test_a_message_for_an_unknown_agent_is_refused() -> None:
    """Nothing runs under another agent instead."""
    async with gateway() as built:
        with pytest.raises(NotFound):
            await built.sessions.receive(inbound("hi", agent="nobody"))


async def test_an_interrupting_message_stops_the_run_and_keeps_its_place() -> None:
    """What the run wrote is kept as partial; the messages before it are answered first."""
    async with gateway() as built:
        await built.sessions.receive(inbound("one"))
        run = await built.agents.begun(1)
        run.report(TextDelta(text="half an ans"))
        await built.sessions.receive(inbound("two"))
        accepted = await built.sessions.receive(inbound("stop that", mode=Mode.INTERRUPT))
        assert accepted.position == 2
        (await built.agents.begun(2)).answer("to two")
        (await built.agents.begun(3)).answer("to three")
        await built.until(RunEnded, 3)
        entries = await _transcript(built)
        assert [(entry.text, entry.is_partial) for entry in entries if entry.kind is EntryKind.AGENT] == [
            ("half an ans", True),
            ("to two", False),
            ("to three", False),
        ]


async def test_a_steered_message_goes_into_the_run_and_is_not_run_again() -> None:
    """It stands in the transcript with the run it went into."""
    async with gateway() as built:
        await built.sessions.receive(inbound("one"))
        run = await built.agents.begun(1)
        await built.sessions.receive(inbound("and be brief", mode=Mode.STEER))
        (steered,) = await built.until(MessageSteered)
        run.answer("briefly")
        await built.until(RunEnded)
        assert run.steered == ["and be brief"]
        assert steered.message.run_id == run.run_id
        assert await _said(built) == [("user", "one"), ("user", "and be brief"), ("agent", "briefly")]
        assert len(built.agents.runs) == 1


async def test_a_message_that_cannot_be_steered_waits_and_says_why() -> None:
    """The mode that was done differs from the one asked for, with a reason."""
    agents = FakeAgents()
    agents.takes_steering = False
    async with gateway(agents=agents) as built:
        await built.sessions.receive(inbound("one"))
        run = await built.agents.begun(1)
        await built.sessions.receive(inbound("two", mode=Mode.STEER))
        detail = await built.inspection.get_session(GetSession(session_id=SESSION))
        waiting = detail.messages[1]
        assert (waiting.mode, waiting.effective_mode) == (Mode.STEER, Mode.FOLLOWUP)
        assert waiting.mode_reason
        run.answer("first")
        (await built.agents.begun(2)).answer("second")
        await built.until(RunEnded, 2)


async def test_tools_and_decisions_stand_in_the_transcript_as_they_finish() -> None:
    """Text before a tool call is an entry of its own; the answer is the whole of it."""
    call = ToolCall(id="t1", title="web.fetch", kind=ToolKind.FETCH, status=ToolStatus.IN_PROGRESS)
    done = ToolCall(id="t1", title="web.fetch", kind=ToolKind.FETCH, status=ToolStatus.COMPLETED, output="ok")
    option = ActionOption(id="y", label="yes", kind=OptionKind.ALLOW_ONCE)
    async with gateway() as built:
        accepted = await built.sessions.receive(inbound("go"), follow=True)
        run = await built.agents.begun(1)
        run.report(
            ThoughtDelta(text="hm"),
            TextDelta(text="Looking."),
            PhaseChanged(phase=Phase.TOOL, tool="web.fetch"),
            ToolReported(call=call),
            ToolReported(call=done),
            ActionRequested(action_id="a1", title="rm x", detail="rm x", kind=ToolKind.EXECUTE, options=(option,)),
            ActionSettled(action_id="a1", outcome="approved"),
            TextDelta(text="Done."),
            TurnEnded(stop=Stop.END_TURN, usage=Usage(input_tokens=5, output_tokens=7)),
        )
        (ended,) = await built.until(RunEnded)
        assert accepted.reports is not None
        followed = [report async for report in accepted.reports]
        assert "".join(report.text for report in followed if isinstance(report, TextDelta)) == "Looking.\n\nDone."
        assert isinstance(followed[-1], TurnEnded)
        assert [kind for kind, _ in await _said(built)] == ["user", "agent", "tool", "approval", "thought", "agent"]
        assert (ended.session.input_tokens, ended.session.output_tokens) == (5, 7)
        assert ended.session.open_approvals == 0
        await built.until(EntryAdded, 3)


async def test_a_failed_run_is_never_stored_as_an_answer() -> None:
    """The text is partial, the reason is an entry, the session is failed until something better follows."""
    async with gateway() as built:
        await built.sessions.receive(inbound("one"))
        run = await built.agents.begun(1)
        run.report(TextDelta(text="I was ab"), TurnEnded(stop=Stop.TIMEOUT, error="silent for 120 s", code="stalled"))
        (ended,) = await built.until(RunEnded)
        assert ended.session.state is SessionState.FAILED
        assert not ended.outcome.answered
        entries = await _transcript(built)
        assert [(entry.kind, entry.is_partial) for entry in entries[1:]] == [
            (EntryKind.AGENT, True),
            (EntryKind.SYSTEM, False),
        ]
        await built.settled()
        assert built.inspection.counts()[0]["failed"] == 1
        await built.sessions.receive(inbound("two"))
        (await built.agents.begun(2)).answer("better")
        events = await built.until(RunEnded, 2)
        assert events[-1].session.state is SessionState.IDLE
        await built.settled()
        assert built.inspection.counts()[0]["failed"] == 0


async def test_an_end_without_any_text_is_an_error_that_is_shown() -> None:
    """Silence is not an answer."""
    async with gateway() as built:
        await built.sessions.receive(inbound("one"))
        (await built.agents.begun(1)).report(TurnEnded(stop=Stop.END_TURN))
        (ended,) = await built.until(RunEnded)
        assert ended.outcome.code == "empty_answer"
        assert ended.session.state is SessionState.FAILED


async def test_sessions_are_listed_by_page_with_a_place_in_the_journal() -> None:
    """Pages join without gap or repeat; the total counts all."""
    async with gateway(agents=FakeAgents(instant=True)) as built:
        for number in range(7):
            await built.sessions.receive(inbound("hi", chat=f"c{number}"))
        await built.until(RunEnded, 7)
        seen: list[str] = []
        cursor = ""
        while True:
            page = await built.inspection.list_sessions(ListSessions(after=cursor, limit=3))
            seen += [view.id for view in page.sessions]
            assert page.total == 7
            assert page.seq > Seq(0)
            cursor = page.cursor
            if not cursor:
                break
        assert seen == [f"local:dm:c{number}" for number in range(7)]


async def test_a_transcript_is_read_backwards_by_page() -> None:
    """The newest first page, then what is before it."""
    async with gateway(agents=FakeAgents(instant=True)) as built:
        for number in range(4):
            await built.sessions.receive(inbound(f"m{number}"))
        await built.until(RunEnded, 4)
        last = await built.inspection.read_transcript(ReadTranscript(session_id=SESSION, limit=3))
        assert last.has_earlier
        before = await built.inspection.read_transcript(
            ReadTranscript(session_id=SESSION, limit=100, before=last.entries[0].id)
        )
        assert not before.has_earlier
        assert len(before.entries) + len(last.entries) == 8
        with pytest.raises(InvalidInput):
            await built.inspection.read_transcript(ReadTranscript(session_id=SESSION, limit=0))


async def test_a_session_is_shown_with_as_much_of_its_transcript_as_is_asked_for() -> None:
    """The newest entries; none unless asked; a limit that is none is refused."""
    async with gateway(agents=FakeAgents(instant=True)) as built:
        for number in range(2):
            await built.sessions.receive(inbound(f"m{number}"))
        await built.until(RunEnded, 2)
        detail = await built.inspection.get_session(GetSession(session_id=SESSION, entry_limit=3))
        assert [entry.text for entry in detail.entries] == ["m0", "m1", "m1"]
        assert (await built.inspection.get_session(GetSession(session_id=SESSION))).entries == ()
        with pytest.raises(InvalidInput):
            await built.inspection.get_session(GetSession(session_id=SESSION, entry_limit=-1))


async def test_turns_brought_along_begin_a_new_session_only() -> None:
    """They are marked, and the agent sees them as history."""
    async with gateway() as built:
        brought = (("user", "earlier"), ("assistant", "indeed"))
        await built.sessions.receive(inbound("now", imported=brought))
        run = await built.agents.begun(1)
        assert [entry.text for entry in run.history] == ["earlier", "indeed"]
        assert all(entry.is_imported for entry in run.history)
        run.answer("ok")
        await built.sessions.receive(inbound("again", imported=brought))
        (await built.agents.begun(2)).answer("ok")
        await built.until(RunEnded, 2)
        assert sum(entry.is_imported for entry in await _transcript(built)) == 2


async def test_a_refusal_is_shown_live_and_not_stored() -> None:
    """Operators see that something was turned away."""
    async with gateway(queue_limit=1) as built:
        await built.sessions.receive(inbound("one"))
        await built.sessions.receive(inbound("two"))
        head = await built.journal.head()
        stream = built.journal.subscribe(after=head)
        with pytest.raises(Overloaded):
            await built.sessions.receive(inbound("three"))
        async for record in stream:
            if isinstance(record.event, MessageRefused):
                assert not record.durable
                assert record.event.code == "overloaded"
                break
        assert await built.journal.head() == head


async def test_every_stored_event_of_a_session_carries_a_newer_view() -> None:
    """Versions only grow along the journal."""
    async with gateway(agents=FakeAgents(instant=True)) as built:
        for number in range(3):
            await built.sessions.receive(inbound(f"m{number}"))
        await built.until(RunEnded, 3)
        versions = [
            event.session.version
            for event in await built.events()
            if isinstance(event, SessionOpened | MessageQueued | RunStarted | RunEnded)
        ]
        assert versions == sorted(versions)


async def test_an_id_that_is_used_in_another_chat_is_another_message() -> None:
    """Where senders choose the ids of their messages, nobody can use up that of somebody else."""
    async with gateway() as built:
        first = await built.sessions.receive(inbound("one", chat="a", native_id="chosen"))
        other = await built.sessions.receive(inbound("two", chat="b", native_id="chosen"))
        again = await built.sessions.receive(inbound("one", chat="a", native_id="chosen"))
        assert (first.is_duplicate, other.is_duplicate, again.is_duplicate) == (False, False, True)
        for number in (1, 2):
            (await built.agents.begun(number)).answer("ok")
        await built.settled()
