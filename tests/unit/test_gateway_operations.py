"""What an operator does to a session, and what is said about it."""

import pytest

from core.api.base import PlatformName, RunId, SessionId
from core.api.errors import ConflictError, InvalidInput, NotFound, Refused, Unavailable
from core.api.session_queue import DropMessage
from core.api.sessions import (
    GetSession,
    InterruptSession,
    ListSessions,
    OpenSession,
    ResetSession,
    RunEnded,
    SendMessage,
    SessionState,
    Voice,
)
from core.api.transcripts import EntryKind, EntryView, ReadTranscript
from tests.support.fake_agents import FakeAgents
from tests.support.gateway import SESSION, Gateway, gateway, inbound
from tests.support.outbox import LOCAL, OPERATOR


async def _transcript(built: Gateway, session: SessionId = SESSION) -> list[EntryView]:
    page = await built.inspection.read_transcript(ReadTranscript(session_id=session))
    return list(page.entries)


async def _said(built: Gateway) -> list[tuple[str, str]]:
    return [(entry.kind.value, entry.text) for entry in await _transcript(built)]


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


async def test_a_draining_gateway_takes_nothing_in() -> None:
    """The sender may try again."""
    async with gateway() as built:
        built.sessions.is_draining = True
        with pytest.raises(Unavailable):
            await built.sessions.receive(inbound("one"))
