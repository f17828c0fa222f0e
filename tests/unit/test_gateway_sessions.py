"""Messages in, runs started, answers out: the session path of the gateway."""

import asyncio

import pytest

from core.api.base import PlatformName, RunId, Seq, SessionId
from core.api.errors import ConflictError, InvalidInput, NotFound, Overloaded, Refused, StoreError, Unavailable
from core.api.platforms import PlatformConnected
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
    DropMessage,
    EntryAdded,
    GetSession,
    InterruptSession,
    ListSessions,
    MessageQueued,
    MessageRefused,
    MessageSteered,
    Mode,
    OpenSession,
    ResetSession,
    RunEnded,
    RunStarted,
    SendMessage,
    SessionOpened,
    SessionState,
    Voice,
)
from core.api.transcripts import EntryKind, EntryView, ReadTranscript
from core.store.base import Batch, Committed
from core.store.memory import MemoryStore
from tests.support.fake_agents import FakeAgents
from tests.support.gateway import LOCAL, OPERATOR, SESSION, Gateway, gateway, inbound


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
        assert (waiting.mode, waiting.effective_mode) == (Mode.STEER, Mode.QUEUE)
        assert waiting.mode_reason
        run.answer("first")
        (await built.agents.begun(2)).answer("second")
        await built.until(RunEnded, 2)


async def test_an_interrupt_frees_the_lane_and_keeps_the_queue() -> None:
    """The receipt says that the lane was released and what still waits."""
    async with gateway() as built:
        await built.sessions.receive(inbound("one"))
        run = await built.agents.begun(1)
        await built.sessions.receive(inbound("two"))
        receipt = await built.operations.interrupt_session(
            InterruptSession(session_id=SESSION, reason="stuck", run_id=run.run_id), OPERATOR
        )
        assert receipt.run_id == run.run_id
        assert receipt.is_released
        assert run.reason == "stuck"
        (await built.agents.begun(2)).answer("second")
        await built.until(RunEnded, 2)


async def test_an_interrupt_of_another_run_than_the_one_seen_changes_nothing() -> None:
    """The queue moved on; the operator is told, and the present run goes on."""
    async with gateway() as built:
        await built.sessions.receive(inbound("one"))
        run = await built.agents.begun(1)
        with pytest.raises(ConflictError):
            await built.operations.interrupt_session(
                InterruptSession(session_id=SESSION, run_id=RunId("another")), OPERATOR
            )
        assert run.reason is None
        run.answer("fine")
        await built.until(RunEnded)


async def test_an_interrupt_of_an_idle_session_says_that_nothing_ran() -> None:
    """No run, and the lane is free."""
    async with gateway(agents=FakeAgents(instant=True)) as built:
        await built.sessions.receive(inbound("one"))
        await built.until(RunEnded)
        receipt = await built.operations.interrupt_session(InterruptSession(session_id=SESSION), OPERATOR)
        assert receipt.run_id is None
        assert receipt.is_released


async def test_an_interrupt_that_frees_nothing_does_not_claim_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that does not obey still holds the lane, and the receipt names it."""
    monkeypatch.setattr("core.gateway.operations.RELEASE_LIMIT_S", 0.01)
    agents = FakeAgents()
    agents.obeys = False
    async with gateway(agents=agents) as built:
        await built.sessions.receive(inbound("one"))
        run = await built.agents.begun(1)
        receipt = await built.operations.interrupt_session(InterruptSession(session_id=SESSION), OPERATOR)
        assert not receipt.is_released
        assert receipt.holder == run.run_id
        detail = await built.inspection.get_session(GetSession(session_id=SESSION))
        assert detail.session.state is SessionState.INTERRUPTING
        with pytest.raises(Refused):
            await built.operations.reset_session(ResetSession(session_id=SESSION), OPERATOR)
        run.answer("late")
        await built.until(RunEnded)


async def test_a_reset_begins_a_new_epoch_and_keeps_the_record() -> None:
    """The agent forgets, the transcript stays, queued messages go on unless dropped."""
    async with gateway() as built:
        await built.sessions.receive(inbound("one"))
        await built.agents.begun(1)
        await built.sessions.receive(inbound("two"))
        receipt = await built.operations.reset_session(ResetSession(session_id=SESSION, reason="muddle"), OPERATOR)
        assert (receipt.epoch, receipt.dropped) == (1, 0)
        assert receipt.interrupted is not None
        assert built.agents.forgotten == [SESSION]
        run = await built.agents.begun(2)
        assert run.history == []
        assert run.epoch == 1
        run.answer("afresh")
        await built.until(RunEnded, 2)
        assert ("user", "one") in await _said(built)


async def test_a_reset_can_drop_what_waits_and_tells_those_who_follow() -> None:
    """The count is in the receipt; a caller who waits gets an end."""
    async with gateway() as built:
        await built.sessions.receive(inbound("one"))
        await built.agents.begun(1)
        accepted = await built.sessions.receive(inbound("two"), follow=True)
        receipt = await built.operations.reset_session(ResetSession(session_id=SESSION, drop_queue=True), OPERATOR)
        assert receipt.dropped == 1
        assert accepted.reports is not None
        reports = [report async for report in accepted.reports]
        assert [getattr(report, "code", "") for report in reports] == ["dropped"]
        detail = await built.inspection.get_session(GetSession(session_id=SESSION))
        assert detail.messages == ()


async def test_a_queued_message_can_be_dropped_but_not_one_that_runs() -> None:
    """Dropping needs an interrupt for what runs."""
    async with gateway() as built:
        first = await built.sessions.receive(inbound("one"))
        run = await built.agents.begun(1)
        second = await built.sessions.receive(inbound("two"))
        await built.operations.drop_message(DropMessage(session_id=SESSION, message_id=second.message_id), OPERATOR)
        with pytest.raises(Refused):
            await built.operations.drop_message(DropMessage(session_id=SESSION, message_id=first.message_id), OPERATOR)
        with pytest.raises(NotFound):
            await built.operations.drop_message(DropMessage(session_id=SESSION, message_id=second.message_id), OPERATOR)
        run.answer("fine")
        await built.until(RunEnded)
        assert len(built.agents.runs) == 1


async def test_an_operator_injects_a_marked_note_or_speaks_as_the_user() -> None:
    """The voice is kept in the transcript with the operator's name."""
    async with gateway(agents=FakeAgents(instant=True)) as built:
        await built.sessions.receive(inbound("one"))
        await built.sessions.send_message(SendMessage(session_id=SESSION, text="be kind"), OPERATOR)
        await built.sessions.send_message(SendMessage(session_id=SESSION, text="as me", voice=Voice.USER), OPERATOR)
        await built.until(RunEnded, 3)
        kinds = [(entry.kind, entry.author) for entry in await _transcript(built) if entry.kind is not EntryKind.AGENT]
        assert kinds == [(EntryKind.USER, "Bo"), (EntryKind.NOTE, "ana"), (EntryKind.USER, "ana")]


async def test_a_message_to_a_session_that_does_not_exist_is_refused() -> None:
    """Only a platform or OpenSession begins a session."""
    async with gateway() as built:
        with pytest.raises(NotFound):
            await built.sessions.send_message(SendMessage(session_id=SESSION, text="hi"), OPERATOR)
        with pytest.raises(InvalidInput):
            await built.sessions.send_message(SendMessage(session_id=SessionId("what"), text="hi"), OPERATOR)
        assert (await built.inspection.list_sessions(ListSessions())).total == 0


async def test_an_operator_opens_a_chat_where_the_platform_lets_them() -> None:
    """The answer is sent to that chat."""
    async with gateway(agents=FakeAgents(instant=True)) as built:
        receipt = await built.sessions.open_session(OpenSession(platform=LOCAL, chat="desk", text="hi"), OPERATOR)
        await built.until(RunEnded)
        assert receipt.session_id == "local:dm:desk"
        with pytest.raises(NotFound):
            await built.sessions.open_session(OpenSession(platform=PlatformName("none"), chat="x", text="hi"), OPERATOR)


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


async def test_a_caller_who_hangs_up_leaves_nothing_half_done() -> None:
    """The message is stored and answered although nobody waits for the receipt."""
    async with gateway(agents=FakeAgents(instant=True)) as built:
        task = asyncio.get_running_loop().create_task(built.sessions.receive(inbound("one")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await built.until(RunEnded)
        assert await _said(built) == [("user", "one"), ("agent", "one")]


async def test_a_draining_gateway_takes_nothing_in() -> None:
    """The sender may try again."""
    async with gateway() as built:
        built.sessions.is_draining = True
        with pytest.raises(Unavailable):
            await built.sessions.receive(inbound("one"))


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
