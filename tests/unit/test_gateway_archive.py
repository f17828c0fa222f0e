"""Sessions are put away, taken up again where they were, and begun anew; no epoch ever comes twice."""

import pytest

from core.api.errors import InvalidInput, Refused
from core.api.mail import RedriveMail
from core.api.session_orders import ArchiveSession, SessionArchived, SessionUnarchived, UnarchiveSession
from core.api.sessions import (
    ListSessions,
    Mode,
    Outcome,
    ResetSession,
    RunEnded,
    SendMessage,
    SessionView,
)
from core.api.transcripts import ReadTranscript
from core.gateway.unanswered import MAILBOX
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.fake_agents import FakeAgents, FakeRun
from tests.support.gateway import SESSION, Gateway, gateway, inbound
from tests.support.outbox import OPERATOR


async def answered(built: Gateway, text: str) -> FakeRun:
    """A turn of the session."""
    count = len(built.agents.runs)
    await built.sessions.receive(inbound(text))
    run = await built.agents.begun(count + 1)
    run.answer(f"to {text}")
    await built.lanes.lane(SESSION).run_ended(run.run_id)
    await built.settled()
    await built.sent()
    return run


def given(run: FakeRun) -> list[str]:
    """What the agent was told of before."""
    return [entry.text for entry in run.history]


async def archived(built: Gateway) -> SessionView:
    """The session, put away."""
    return (await built.order(ArchiveSession(session_id=SESSION, reason="done"))).session


async def test_an_archived_session_keeps_its_history_and_loses_its_runner() -> None:
    """It is listed as what it is; putting it away again changes nothing."""
    async with gateway() as built:
        await answered(built, "one")
        view = await archived(built)
        assert view.is_archived
        assert built.agents.forgotten == [SESSION]
        assert (await archived(built)).version == view.version
        assert len(await built.until(SessionArchived)) == 1
        page = await built.inspection.list_sessions(ListSessions())
        assert [item.is_archived for item in page.sessions] == [True]
        entries = await built.inspection.read_transcript(ReadTranscript(session_id=SESSION))
        assert [entry.text for entry in entries.entries] == ["one", "to one"]


async def test_a_message_to_an_archived_session_begins_it_anew() -> None:
    """In one commit: a new epoch, a run that knows nothing of before, and a receipt that says so."""
    store = MemoryStore()
    async with gateway(store) as built:
        await answered(built, "one")
        await archived(built)
    async with gateway(store, boot=2) as built:
        receipt = await built.sessions.send_message(SendMessage(session_id=SESSION, text="two"), OPERATOR)
        assert receipt.outcome is Outcome.RESTARTED
        run = await built.agents.begun(1)
        assert (given(run), run.epoch) == ([], 1)
        (taken_up,) = await built.until(SessionUnarchived)
        assert isinstance(taken_up, SessionUnarchived)
        assert (taken_up.session.is_archived, taken_up.session.epoch) == (False, 1)
        run.answer("ok")
        await built.until(RunEnded, 2)


async def test_a_session_is_not_put_away_while_something_runs_waits_or_is_unsent() -> None:
    """The operator is told what is in the way, and nothing has changed."""
    async with gateway(clock=FakeClock(), collect_s=60.0) as built:
        await built.sessions.receive(inbound("one"))
        run = await built.agents.begun(1)
        with pytest.raises(Refused, match="a run goes on"):
            await archived(built)
        await built.sessions.receive(inbound("two", mode=Mode.COLLECT))
        run.answer("ok")
        await built.until(RunEnded)
        await built.sent()
        with pytest.raises(Refused, match="1 messages wait"):
            await archived(built)
    async with gateway() as built:
        await answered(built, "one")
        built.lanes.lane(SESSION).unsent = 1
        with pytest.raises(Refused, match="not sent"):
            await archived(built)
        assert built.agents.forgotten == []


async def test_an_unarchived_session_goes_on_where_it_was() -> None:
    """In the same epoch, with everything that was said in it."""
    async with gateway() as built:
        await answered(built, "one")
        await archived(built)
        receipt = await built.order(UnarchiveSession(session_id=SESSION))
        assert (receipt.session.is_archived, receipt.session.epoch) == (False, 0)
        assert given(await answered(built, "two")) == ["one", "to one"]


async def test_an_earlier_epoch_is_taken_up_again_and_goes_on() -> None:
    """Also after a restart; entries of later epochs are not seen, and its new ones are."""
    store = MemoryStore()
    async with gateway(store) as built:
        await answered(built, "zero")
        for name in ("one", "two"):
            await built.operations.reset_session(ResetSession(session_id=SESSION), OPERATOR)
            await answered(built, name)
        receipt = await built.order(UnarchiveSession(session_id=SESSION, epoch=0))
        assert (receipt.session.epoch, receipt.session.last_epoch) == (0, 2)
        assert receipt.session.context_tokens == 3
        assert given(await answered(built, "more")) == ["zero", "to zero"]
    async with gateway(store, boot=2) as built:
        assert given(await answered(built, "again")) == ["zero", "to zero", "more", "to more"]
        await built.order(UnarchiveSession(session_id=SESSION, epoch=1))
        assert given(await answered(built, "uno")) == ["one", "to one"]


async def test_a_new_epoch_is_one_that_never_was() -> None:
    """Also when an earlier one was taken up again before."""
    async with gateway() as built:
        await answered(built, "zero")
        for _ in range(2):
            await built.operations.reset_session(ResetSession(session_id=SESSION), OPERATOR)
        await built.order(UnarchiveSession(session_id=SESSION, epoch=0))
        receipt = await built.operations.reset_session(ResetSession(session_id=SESSION), OPERATOR)
        assert receipt.epoch == 3
        assert given(await answered(built, "new")) == []
        await archived(built)
        run = await answered(built, "newer")
        assert (given(run), run.epoch) == ([], 4)


@pytest.mark.parametrize("epoch", [-1, 1])
async def test_an_epoch_that_never_was_cannot_be_taken_up(epoch: int) -> None:
    """The field is named, and the session stays away."""
    async with gateway() as built:
        await answered(built, "one")
        await archived(built)
        with pytest.raises(InvalidInput) as caught:
            await built.order(UnarchiveSession(session_id=SESSION, epoch=epoch))
        assert caught.value.facts["field"] == "epoch"
        assert built.lanes.view(built.lanes.lane(SESSION)).is_archived


async def test_a_session_is_not_moved_to_another_epoch_under_a_run() -> None:
    """Nor does unarchiving one that is not archived change anything."""
    async with gateway() as built:
        await answered(built, "one")
        await built.operations.reset_session(ResetSession(session_id=SESSION), OPERATOR)
        before = built.lanes.view(built.lanes.lane(SESSION))
        assert (await built.order(UnarchiveSession(session_id=SESSION))).session == before
        await built.sessions.receive(inbound("two"))
        run = await built.agents.begun(2)
        with pytest.raises(Refused):
            await built.order(UnarchiveSession(session_id=SESSION, epoch=0))
        run.answer("ok")
        await built.until(RunEnded, 2)


async def test_a_message_that_comes_while_the_runner_goes_waits_and_is_answered() -> None:
    """It begins the new epoch at once, and its run once the runner is gone."""

    class Slow(FakeAgents):
        async def forget(self, session_id: object) -> None:
            await built.sessions.receive(inbound("two"))
            assert len(self.runs) == 1
            await super().forget(SESSION)
            assert session_id == SESSION

    async with gateway(agents=Slow()) as built:
        await answered(built, "one")
        await archived(built)
        run = await built.agents.begun(2)
        assert (given(run), run.epoch) == ([], 1)
        run.answer("ok")
        await built.until(RunEnded, 2)


async def test_a_message_that_was_given_up_and_is_sent_again_takes_an_archived_session_up() -> None:
    """In a new epoch, like any other message."""
    store = MemoryStore()
    async with gateway(store, max_attempts=1) as built:
        await built.sessions.receive(inbound("poison"))
        await built.agents.begun(1)
    async with gateway(store, boot=2, max_attempts=1) as built:
        await built.restart.recover()
        await archived(built)
        await built.mail.operations.commands[RedriveMail](RedriveMail(mailbox=MAILBOX), OPERATOR)
        run = await built.agents.begun(1)
        assert (given(run), run.epoch) == ([], 1)
        assert not built.lanes.view(built.lanes.lane(SESSION)).is_archived
        run.answer("ok")
        await built.until(RunEnded, 2)
