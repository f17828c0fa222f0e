"""Messages of sessions wait in one mailbox: what becomes of them there as they are queued, run and answered."""

import asyncio

import pytest

from core.api.base import Actor, ActorKind, MailId
from core.api.errors import StoreError
from core.api.mail import DeadReason, MailState, RedriveMail
from core.api.mailboxes import MailboxTally
from core.api.platforms import PlatformConnected
from core.api.session_queue import DropMessage
from core.api.sessions import MessageQueued, MessageSteered, Mode, ResetSession, RunEnded
from core.api.transcripts import ReadTranscript
from core.gateway.unanswered import MAILBOX, STOPPED
from core.letters import Letter
from core.store.base import Batch, Committed
from core.store.memory import MemoryStore
from tests.support.fake_agents import FakeAgents
from tests.support.gateway import SESSION, Gateway, gateway, inbound

ANA = Actor(ActorKind.OPERATOR, "ana")


def letters(built: Gateway) -> list[tuple[MailState, int]]:
    """State and attempts of each letter, by id."""
    return [(letter.state, letter.attempt) for letter in built.mail.letters(MAILBOX)]


def letter(built: Gateway) -> Letter:
    """The only letter."""
    (found,) = built.mail.letters(MAILBOX)
    return found


def tally(built: Gateway) -> MailboxTally:
    """Where the letters of this start went."""
    return built.mail.boxes.get(MAILBOX).tally()


async def said(built: Gateway) -> list[tuple[str, str]]:
    """The transcript."""
    page = await built.inspection.read_transcript(ReadTranscript(session_id=SESSION))
    return [(entry.kind.value, entry.text) for entry in page.entries]


class FailingStore(MemoryStore):
    """A store that refuses the next commits, or lets a few more pass first."""

    failures = 0
    passes = 0

    def submit(self, batch: Batch) -> "asyncio.Future[Committed]":
        """Refuse while there are failures left."""
        if self.passes:
            self.passes -= 1
        elif self.failures:
            self.failures -= 1
            refused: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
            refused.set_exception(StoreError("the disk is full", path="x", cause="full", fix="make room"))
            return refused
        return super().submit(batch)


async def test_a_running_message_is_in_flight_and_those_behind_it_wait() -> None:
    """In flight is what runs, depth is all that is not answered, and the answer settles it."""
    async with gateway() as built:
        await built.sessions.receive(inbound("one"))
        await built.agents.begun(1)
        await built.sessions.receive(inbound("two"))
        assert letters(built) == [(MailState.IN_FLIGHT, 1), (MailState.QUEUED, 0)]
        assert {letter.order_key for letter in built.mail.letters(MAILBOX)} == {SESSION}
        built.agents.runs[0].answer("first")
        (await built.agents.begun(2)).answer("second")
        await built.until(RunEnded, 2)
        await built.settled()
        assert letters(built) == []
        assert (tally(built).accepted, tally(built).done) == (2, 2)


async def test_a_turn_takes_two_commits() -> None:
    """The message with the beginning of its run is one, the end of the run with its answer the other."""
    store = MemoryStore()
    async with gateway(store) as built:
        await built.until(PlatformConnected)
        await built.deliveries.open_outbox(inbound("").platform)
        before = store.stats().commit_count
        await built.sessions.receive(inbound("one"))
        run = await built.agents.begun(1)
        assert store.stats().commit_count == before + 1
        await built.mail.stop(0)
        run.answer("first")
        (ended,) = await built.until(RunEnded)
        assert isinstance(ended, RunEnded)
        assert ended.outcome.answered
        assert store.stats().commit_count == before + 2


async def test_a_steered_message_is_done_and_a_dropped_one_is_dropped() -> None:
    """The counts of the mailbox tell them apart."""
    async with gateway() as built:
        await built.sessions.receive(inbound("one"))
        run = await built.agents.begun(1)
        await built.sessions.receive(inbound("more", mode=Mode.STEER))
        await built.until(MessageSteered)
        await built.settled_but_runs()
        dropped = await built.sessions.receive(inbound("never mind"))
        await built.operations.drop_message(DropMessage(session_id=SESSION, message_id=dropped.message_id), ANA)
        assert letters(built) == [(MailState.IN_FLIGHT, 1)]
        assert (tally(built).done, tally(built).dropped) == (1, 1)
        run.answer("fine")
        await built.until(RunEnded)
        await built.settled()
        assert tally(built).done == 2


async def test_a_reset_that_drops_the_queue_takes_it_out_of_the_mailbox() -> None:
    """Nothing of it comes back with the next start."""
    async with gateway() as built:
        await built.sessions.receive(inbound("one"))
        await built.agents.begun(1)
        await built.sessions.receive(inbound("two"))
        await built.operations.reset_session(ResetSession(session_id=SESSION, drop_queue=True), ANA)
        assert letters(built) == []


async def test_what_cannot_be_stored_leaves_the_mailbox_as_it_was() -> None:
    """A refused message is not there; a run whose end cannot be stored still holds its message, the next one waits."""
    store = FailingStore()
    async with gateway(store) as built:
        await built.until(PlatformConnected)
        store.failures = 1
        with pytest.raises(StoreError):
            await built.sessions.receive(inbound("refused"))
        assert letters(built) == []
        await built.sessions.receive(inbound("one"))
        run = await built.agents.begun(1)
        await built.sessions.receive(inbound("two"))
        store.failures = 10**6
        run.answer("first")
        while not built.turns.problem:  # noqa: ASYNC110 - a problem has no event of its own
            await asyncio.sleep(0)
        assert letters(built) == [(MailState.IN_FLIGHT, 1), (MailState.QUEUED, 0)]
        store.failures = 0


async def test_a_message_that_an_orderly_stop_puts_back_keeps_its_place_and_its_attempts() -> None:
    """Its letter says what happened; the next start answers it first, and it stands in the transcript once."""
    store = MemoryStore()
    async with gateway(store) as built:
        await built.sessions.receive(inbound("one"))
        await built.agents.begun(1)
        await built.sessions.receive(inbound("two"))
        await built.restart.drain(0)
        first, second = built.mail.letters(MAILBOX)
        assert (first.state, first.attempt, first.error) == (MailState.QUEUED, 0, STOPPED)
        assert (second.attempt, second.error) == (0, "")
    async with gateway(store, FakeAgents(instant=True), boot=2) as built:
        await built.restart.recover()
        await built.restart.resume()
        await built.until(RunEnded, 3)
        assert await said(built) == [("user", "one"), ("agent", "one"), ("user", "two"), ("agent", "two")]


async def _given_up(store: MemoryStore) -> None:
    """A store on which the core died under its only message."""
    async with gateway(store, max_attempts=1) as built:
        await built.sessions.receive(inbound("poison"))
        await built.agents.begun(1)


async def test_a_message_that_is_given_up_is_a_dead_letter() -> None:
    """The transcript tells it once, at the start that gave up, and not again at later ones."""
    store = MemoryStore()
    await _given_up(store)
    for boot in (2, 3):
        async with gateway(store, boot=boot, max_attempts=1) as built:
            recovered = await built.restart.recover()
            assert (recovered.cut_off, recovered.given_up, recovered.queued) == ((1, 1, 0) if boot == 2 else (0, 0, 0))
            (dead,) = (built.mail.boxes.get(MAILBOX).dead or {}).values()
            assert dead.reason is DeadReason.POISON
            entries = await said(built)
            assert [kind for kind, _ in entries] == ["user", "system"]
            ended = [event for event in await built.events() if isinstance(event, RunEnded)]
            assert [event.outcome.code for event in ended] == ["orphaned"]


async def test_a_start_that_died_before_it_told_is_caught_up_by_the_next() -> None:
    """The mailbox buried the message, the session had not heard of it: the next start says so."""
    store = FailingStore()
    await _given_up(store)
    async with gateway(store, boot=2, max_attempts=1) as built:
        await built.until(PlatformConnected)
        await built.mail.boxes.log.flushed()
        store.failures = 1
        with pytest.raises(StoreError):
            await built.restart.recover()
    async with gateway(store, boot=3, max_attempts=1) as built:
        recovered = await built.restart.recover()
        assert (recovered.cut_off, recovered.given_up) == (1, 1)
        assert "gave up" in (await said(built))[-1][1]


async def _redriven(built: Gateway) -> None:
    receipt = await built.mail.operations.commands[RedriveMail](RedriveMail(mailbox=MAILBOX), ANA)
    assert receipt.changed == 1


async def test_a_dead_letter_that_is_redriven_is_answered_by_its_session() -> None:
    """It goes through the queue like any other, with fresh attempts, and is not said twice."""
    store = MemoryStore()
    await _given_up(store)
    async with gateway(store, boot=2, max_attempts=1) as built:
        await built.restart.recover()
        await _redriven(built)
        run = await built.agents.begun(1)
        assert [(message.text, message.attempt) for message in run.messages] == [("poison", 1)]
        assert (letter(built).state, letter(built).replays) == (MailState.IN_FLIGHT, 1)
        run.answer("after all")
        await built.until(RunEnded, 2)
        await built.settled()
        assert [kind for kind, _ in await said(built)] == ["user", "system", "agent"]
        assert letters(built) == []


async def test_a_redriven_message_waits_behind_all_others() -> None:
    """One run at a time, in the order in which they came in again."""
    store = MemoryStore()
    await _given_up(store)
    async with gateway(store, FakeAgents(), boot=2, max_attempts=1) as built:
        await built.restart.recover()
        await built.sessions.receive(inbound("new"))
        run = await built.agents.begun(1)
        await built.sessions.receive(inbound("newer"))
        await _redriven(built)
        await built.until(MessageQueued, 4)
        assert [state for state, _ in letters(built)] == [MailState.IN_FLIGHT, MailState.QUEUED, MailState.QUEUED]
        run.answer("fine")
        (await built.agents.begun(2)).answer("fine too")
        last = await built.agents.begun(3)
        assert [run.messages[0].text for run in built.agents.runs] == ["new", "newer", "poison"]
        last.answer("after all")
        await built.until(RunEnded, 4)


async def test_a_redriven_message_is_queued_although_the_store_fails_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again until the session knows of it."""
    monkeypatch.setattr("core.gateway.revivals._STORE_RETRY_S", 0.01)
    store = FailingStore()
    await _given_up(store)
    async with gateway(store, boot=2, max_attempts=1) as built:
        await built.until(PlatformConnected)
        await built.restart.recover()
        store.passes, store.failures = 1, 2
        await _redriven(built)
        (await built.agents.begun(1)).answer("after all")
        await built.until(RunEnded, 2)


async def test_a_redriven_message_survives_a_crash_before_its_session_heard_of_it() -> None:
    """The mailbox has it: the next start queues it."""
    store = FailingStore()
    await _given_up(store)
    async with gateway(store, boot=2, max_attempts=1) as built:
        await built.until(PlatformConnected)
        await built.restart.recover()
        store.passes, store.failures = 1, 10**6
        await _redriven(built)
        await asyncio.sleep(0)
        await built.mail.stop(0)
    store.failures = 0
    async with gateway(store, boot=3, max_attempts=1) as built:
        recovered = await built.restart.recover()
        assert (recovered.queued, recovered.cut_off) == (1, 0)
        await built.restart.resume()
        (await built.agents.begun(1)).answer("after all")
        await built.until(RunEnded, 2)


async def test_a_letter_that_no_session_can_answer_is_buried(monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds no message, or its session is not there: the start goes on, and an operator sees it."""
    store = MemoryStore()
    async with gateway(store, FakeAgents(instant=True)) as built:
        await built.sessions.receive(inbound("one"))
        await built.until(RunEnded)
        with built.lanes.mail() as mail:
            mail.post(MAILBOX, {"text": "hello"}, sender="ana", order_key=SESSION)
            mail.post(MAILBOX, {"text": "hello"}, sender="ana", order_key="local:dm:nobody")
            await mail.commit((), ())
    async with gateway(store, boot=2) as built:
        recovered = await built.restart.recover()
        assert recovered.queued == 0
        dead = built.mail.boxes.get(MAILBOX).dead or {}
        assert [mail.reason for mail in dead.values()] == [DeadReason.CORRUPT] * 2
        assert MailId(0) not in dead


async def test_more_attempts_than_before_do_not_hide_what_died_by_the_old_rule() -> None:
    """The mailbox goes by the rules of the start that wrote them: its dead letter is told, and can be redriven."""
    store = MemoryStore()
    await _given_up(store)
    async with gateway(store, boot=2, max_attempts=5) as built:
        recovered = await built.restart.recover()
        assert (recovered.cut_off, recovered.given_up, recovered.queued) == (1, 1, 0)
        assert built.mail.boxes.get(MAILBOX).policy.max_crashes == 5


async def test_fewer_attempts_than_before_count_for_what_was_cut_off() -> None:
    """A message that has had its runs by the new rule is given up at once."""
    store = MemoryStore()
    for boot in (1, 2):
        async with gateway(store, boot=boot, max_attempts=5) as built:
            if boot == 1:
                await built.sessions.receive(inbound("poison"))
            else:
                await built.restart.recover()
                await built.restart.resume()
            await built.agents.begun(1)
    async with gateway(store, boot=3, max_attempts=2) as built:
        recovered = await built.restart.recover()
        assert (recovered.given_up, recovered.queued) == (1, 0)
        assert letter(built).state is MailState.DEAD
