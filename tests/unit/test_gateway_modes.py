"""What a message does to a busy session, in every mode, and what its sender is told at once."""

import asyncio

import pytest

from core.api.base import MailboxName, TaskId
from core.api.errors import ConflictError, Refused
from core.api.mailboxes import PauseMailbox, ResumeMailbox
from core.api.runs import ModeReported, Phase, PhaseChanged, Stop, TurnEnded
from core.api.sessions import (
    GetSession,
    MessageSteered,
    Mode,
    Outcome,
    RunEnded,
    SendMessage,
    SendReceipt,
    Voice,
)
from core.gateway import rows
from core.gateway.offer import Offer
from core.gateway.unanswered import MAILBOX
from core.store.base import Put
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.fake_agents import FakeAgents, FakeRun
from tests.support.gateway import SESSION, Gateway, gateway, inbound
from tests.support.outbox import OPERATOR


def texts(run: FakeRun) -> list[str]:
    """What a run was given to answer."""
    return [message.text for message in run.messages]


async def send(built: Gateway, text: str, mode: Mode | None = None, **more: str) -> SendReceipt:
    """A message of an operator, which tells more than a platform's."""
    return await built.sessions.send_message(SendMessage(session_id=SESSION, text=text, mode=mode, **more), OPERATOR)


async def busy(built: Gateway) -> FakeRun:
    """A session whose run goes on."""
    await built.sessions.receive(inbound("first"))
    return await built.agents.begun(1)


async def test_followups_that_wait_together_are_answered_in_one_turn() -> None:
    """All are said, the run knows them all, and the answer goes to the first of them."""
    async with gateway() as built:
        run = await busy(built)
        for number in range(3):
            await built.sessions.receive(inbound(f"f{number}", mode=Mode.FOLLOWUP, native_id=f"n{number}"))
        run.answer("done")
        second = await built.agents.begun(2)
        detail = await built.inspection.get_session(GetSession(session_id=SESSION, entry_limit=10))
        assert detail.session.run is not None
        assert list(detail.session.run.message_ids) == [message.id for message in second.messages]
        assert texts(second) == ["f0", "f1", "f2"]
        assert [entry.text for entry in detail.entries] == ["first", "done", "f0", "f1", "f2"]
        assert [entry.text for entry in second.history] == ["first", "done"]
        second.answer("to all")
        await built.until(RunEnded, 2)
        await built.settled()
        assert built.lanes.lane(SESSION).waiting == {}


async def test_a_message_in_queue_mode_has_its_turn_alone() -> None:
    """It is not joined with the followups before or behind it, and the order stays."""
    async with gateway() as built:
        run = await busy(built)
        for text, mode in (("a", Mode.FOLLOWUP), ("b", Mode.QUEUE), ("c", Mode.FOLLOWUP), ("d", Mode.FOLLOWUP)):
            await send(built, text, mode)
        for number, expected in enumerate((["a"], ["b"], ["c", "d"])):
            run.answer("ok")
            run = await built.agents.begun(number + 2)
            assert texts(run) == expected
        run.answer("ok")
        await built.until(RunEnded, 4)


async def test_messages_for_another_model_or_a_task_have_turns_of_their_own() -> None:
    """Model and task reach the run; a task's message is never joined with others."""
    async with gateway() as built:
        run = await busy(built)
        await send(built, "a", Mode.FOLLOWUP)
        await send(built, "b", Mode.FOLLOWUP, model="big")
        view = built.lanes.view(built.lanes.lane(SESSION))
        offer = Offer(
            source=view.source, agent=view.agent, voice=Voice.USER, sender="ana", sender_id="ana", text="c",
            mode=Mode.FOLLOWUP, actor=OPERATOR, task_id=TaskId("t1"),
        )  # fmt: skip
        await built.sessions.take_in(offer)
        await send(built, "d", Mode.FOLLOWUP)
        found: list[tuple[list[str], str, str | None, float]] = []
        for number in range(4):
            run.answer("ok")
            run = await built.agents.begun(number + 2)
            shown = built.lanes.view(built.lanes.lane(SESSION)).run
            assert shown is not None
            found.append((texts(run), shown.model, shown.task_id, shown.total_limit_s))
        run.answer("ok")
        assert found == [
            (["a"], "", None, 600.0),
            (["b"], "big", None, 600.0),
            (["c"], "", "t1", 6000.0),
            (["d"], "", None, 600.0),
        ]
        await built.until(RunEnded, 5)


async def test_a_steered_message_is_known_to_be_taken_when_its_sender_hears_of_it() -> None:
    """The receipt says direct, and it is true."""
    async with gateway() as built:
        run = await busy(built)
        receipt = await send(built, "be brief", Mode.STEER)
        assert (receipt.outcome, receipt.effective_mode) == (Outcome.DIRECT, Mode.STEER)
        assert run.steered == ["be brief"]
        await built.until(MessageSteered)
        run.answer("ok")
        await built.until(RunEnded)
        assert len(built.agents.runs) == 1


async def test_a_message_that_the_run_did_not_take_waits_and_the_receipt_says_so() -> None:
    """It has become a followup, with the reason."""
    async with gateway() as built:
        run = await busy(built)
        built.agents.refuses_steering = True
        receipt = await send(built, "be brief", Mode.STEER)
        assert (receipt.outcome, receipt.effective_mode) == (Outcome.QUEUED, Mode.FOLLOWUP)
        assert receipt.mode_reason
        run.answer("ok")
        second = await built.agents.begun(2)
        assert texts(second) == ["be brief"]
        second.answer("ok")
        await built.until(RunEnded, 2)


async def test_an_offer_that_nobody_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender hears that the message waits; it is taken in whenever the run gets to it."""
    monkeypatch.setattr("core.gateway.sessions.OFFER_LIMIT_S", 0.01)
    async with gateway() as built:
        run = await busy(built)
        built.agents.steering = asyncio.Event()
        receipt = await send(built, "be brief", Mode.STEER)
        assert receipt.outcome is Outcome.QUEUED
        built.agents.steering.set()
        await built.until(MessageSteered)
        run.answer("ok")
        await built.until(RunEnded)
        assert len(built.agents.runs) == 1


async def test_a_backlogged_message_is_offered_and_answered_all_the_same() -> None:
    """The run hears it, and it has its turn afterwards with the followups."""
    async with gateway() as built:
        run = await busy(built)
        receipt = await send(built, "and tea", Mode.STEER_BACKLOG)
        await send(built, "and cake", Mode.FOLLOWUP)
        assert receipt.outcome is Outcome.DIRECT
        assert run.steered == ["and tea"]
        run.answer("ok")
        second = await built.agents.begun(2)
        assert texts(second) == ["and tea", "and cake"]
        second.answer("ok")
        await built.until(RunEnded, 2)


async def test_outcomes_say_what_became_of_a_message_at_once() -> None:
    """Its turn began, it waits, or the run before it was told to stop."""
    async with gateway() as built:
        run = await busy(built)
        assert (await send(built, "one", Mode.QUEUE)).outcome is Outcome.QUEUED
        assert (await send(built, "two", Mode.INTERRUPT)).outcome is Outcome.INTERRUPTED
        assert run.reason is not None
        (await built.agents.begun(2)).answer("ok")
        (await built.agents.begun(3)).answer("ok")
        await built.until(RunEnded, 3)
        await built.settled()
        assert (await send(built, "three", Mode.INTERRUPT)).outcome is Outcome.DIRECT
        (await built.agents.begun(4)).answer("ok")
        await built.until(RunEnded, 4)


async def test_collected_messages_are_answered_together_after_a_while_without_more() -> None:
    """Also when the session is idle; each new one starts the wait again, and all are due together."""
    clock = FakeClock()
    async with gateway(clock=clock, collect_s=3.0) as built:
        await built.sessions.receive(inbound("a", mode=Mode.COLLECT))
        await clock.advance(2.0)
        await built.sessions.receive(inbound("b", mode=Mode.COLLECT))
        await clock.advance(2.0)
        detail = await built.inspection.get_session(GetSession(session_id=SESSION))
        assert [message.due.mono for message in detail.messages if message.due] == [clock.monotonic() + 1.0] * 2
        assert built.agents.runs == []
        await clock.advance(1.0)
        run = await built.agents.begun(1)
        assert texts(run) == ["a", "b"]
        run.answer("ok")
        await built.until(RunEnded)
        assert not built.lanes.lane(SESSION).is_timed


async def test_what_collects_behind_a_run_waits_for_both() -> None:
    """The run's end does not cut the wait short; an older message keeps its place before it."""
    clock = FakeClock()
    async with gateway(clock=clock, collect_s=3.0) as built:
        run = await busy(built)
        await send(built, "x", Mode.QUEUE)
        await send(built, "a", Mode.COLLECT)
        run.answer("ok")
        (await built.agents.begun(2)).answer("ok")
        await built.until(RunEnded, 2)
        await built.settled()
        assert len(built.agents.runs) == 2
        await clock.advance(3.0)
        last = await built.agents.begun(3)
        assert texts(last) == ["a"]
        last.answer("ok")
        await built.until(RunEnded, 3)


async def test_what_has_collected_while_the_mailbox_is_paused_begins_when_it_goes_on() -> None:
    """Nobody looks again and again meanwhile."""
    clock, box = FakeClock(), MailboxName(MAILBOX)
    async with gateway(clock=clock, collect_s=3.0) as built:
        await built.sessions.receive(inbound("a", mode=Mode.COLLECT))
        await clock.advance(0)
        await built.mail.operations.pause_mailbox(PauseMailbox(mailbox=box), OPERATOR)
        await clock.advance(9.0)
        assert not built.lanes.lane(SESSION).is_timed
        assert built.agents.runs == []
        await built.mail.operations.resume_mailbox(ResumeMailbox(mailbox=box), OPERATOR)
        await built.restart.resume()
        (await built.agents.begun(1)).answer("ok")
        await built.until(RunEnded)


async def test_a_restart_keeps_the_time_that_is_left_to_collect() -> None:
    """It counts from when the messages came."""
    store, clock = MemoryStore(), FakeClock()
    async with gateway(store, clock=clock, collect_s=10.0) as built:
        await built.sessions.receive(inbound("a", mode=Mode.COLLECT))
    clock.step(4.0)
    async with gateway(store, clock=clock, boot=2, collect_s=10.0) as built:
        await built.restart.recover()
        await built.restart.resume()
        await clock.advance(5.9)
        assert built.agents.runs == []
        await clock.advance(0.2)
        run = await built.agents.begun(1)
        assert texts(run) == ["a"]
        run.answer("ok")
        await built.until(RunEnded)


async def test_messages_whose_shared_run_died_with_the_core_have_their_turns_alone() -> None:
    """So that one that kills the core takes no other with it; an orderly stop keeps them together."""
    store = MemoryStore()
    async with gateway(store) as built:
        run = await busy(built)
        await send(built, "a", Mode.FOLLOWUP)
        await send(built, "b", Mode.FOLLOWUP)
        run.answer("ok")
        await built.agents.begun(2)
        assert await built.restart.drain(0) == 1
    async with gateway(store, boot=2) as built:
        await built.restart.recover()
        await built.restart.resume()
        run = await built.agents.begun(1)
        assert texts(run) == ["a", "b"]
        assert [message.attempt for message in run.messages] == [1, 1]
    async with gateway(store, boot=3) as built:
        recovered = await built.restart.recover()
        assert (recovered.cut_off, recovered.queued) == (1, 2)
        await built.restart.resume()
        run = await built.agents.begun(1)
        assert texts(run) == ["a"]
        assert run.messages[0].attempt == 2
        run.answer("ok")
        second = await built.agents.begun(2)
        assert texts(second) == ["b"]
        second.answer("ok")
        await built.until(RunEnded, 5)


@pytest.mark.parametrize(
    ("asked", "agent", "platform", "expected"),
    [
        (Mode.STEER, Mode.COLLECT, Mode.INTERRUPT, Mode.STEER),
        (None, Mode.FOLLOWUP, Mode.INTERRUPT, Mode.FOLLOWUP),
        (None, None, Mode.FOLLOWUP, Mode.FOLLOWUP),
        (None, None, None, Mode.QUEUE),
    ],
)
async def test_the_mode_is_the_messages_own_or_its_agents_or_its_platforms_or_the_general_one(
    asked: Mode | None, agent: Mode | None, platform: Mode | None, expected: Mode
) -> None:
    """The nearest one that says something."""
    async with gateway(platform_mode=platform) as built:
        run = await busy(built)
        built.agents.mode = agent
        receipt = await send(built, "two", asked)
        assert receipt.mode is expected
        run.answer("ok")
        await built.settled_but_runs()
        if expected is not Mode.STEER:
            (await built.agents.begun(2)).answer("ok")
            await built.until(RunEnded, 2)


async def test_an_agent_that_takes_no_messages_refuses_them_and_nothing_is_kept() -> None:
    """As when it is disabled; the reason is passed on."""
    async with gateway() as built:
        built.agents.disabled = "main is disabled"
        with pytest.raises(Refused, match="main is disabled"):
            await built.sessions.receive(inbound("hi"))
        assert built.lanes.find(SESSION) is None


async def test_the_same_key_with_other_content_is_a_conflict() -> None:
    """With the same content it is a copy, told as what became of the first; text, mode, voice and model count."""
    async with gateway() as built:
        run = await busy(built)
        first = await send(built, "once", idempotency_key="k")
        again = await send(built, "once", idempotency_key="k")
        assert (again.message_id, again.is_duplicate, again.outcome) == (first.message_id, True, Outcome.QUEUED)
        for changed in ({"text": "other"}, {"mode": Mode.STEER}, {"voice": Voice.USER}, {"model": "big"}):
            order = SendMessage(session_id=SESSION, **{"text": "once", "idempotency_key": "k", **changed})
            with pytest.raises(ConflictError) as caught:
                await built.sessions.send_message(order, OPERATOR)
            assert caught.value.facts["key"] == "idempotency_key"
        run.answer("ok")
        (await built.agents.begun(2)).answer("ok")
        await built.until(RunEnded, 2)
        await built.settled()
        assert (await send(built, "once", idempotency_key="k")).outcome is Outcome.DIRECT
        assert len(built.agents.runs) == 2


async def test_a_key_that_an_older_version_remembered_counts_as_the_same_content() -> None:
    """It stored nothing of the content."""
    store = MemoryStore()
    async with gateway(store, FakeAgents(instant=True)) as built:
        await built.sessions.receive(inbound("hi"))
        await built.until(RunEnded)
        key = rows.dedupe_key(built.lanes.view(built.lanes.lane(SESSION)).source.platform, f"{SESSION} k")
        await built.journal.commit([Put(key, rows.body_of(("m0", SESSION, 1.0)))], [])
        receipt = await send(built, "anything", idempotency_key="k")
        assert (receipt.message_id, receipt.is_duplicate) == ("m0", True)


async def test_the_mode_that_an_agent_works_in_is_shown() -> None:
    """And that it does not ask there."""
    async with gateway() as built:
        run = await busy(built)
        run.report(ModeReported(mode="bypass", asks=False), PhaseChanged(phase=Phase.MODEL))
        while (view := built.lanes.view(built.lanes.lane(SESSION)).run) is None or not view.mode:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert (view.mode, view.asks) == ("bypass", False)
        run.report(TurnEnded(stop=Stop.CANCELLED))
        await built.until(RunEnded)


async def test_a_run_is_told_whose_session_it_is() -> None:
    """The one who began it, also when an operator speaks in it."""
    async with gateway() as built:
        run = await busy(built)
        assert run.user == "local:bo"
        run.answer("ok")
        await send(built, "note")
        second = await built.agents.begun(2)
        assert second.user == "local:bo"
        second.answer("ok")
        await built.until(RunEnded, 2)
