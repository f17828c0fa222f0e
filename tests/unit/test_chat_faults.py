"""Orders from a chat at their worst moments: odd numbers, a closed outbox, a question that is over, two at once."""

import asyncio
from typing import Any

import msgspec
import pytest

from core.agents.approvals.approval import ApprovalStep, Ending
from core.api.approvals import EndReason
from core.api.base import SessionId
from core.api.chat_commands import ChatCommandUsed, CommandOutcome
from core.api.errors import MailboxClosed
from core.api.sessions import ChatKind, SessionState
from core.gateway.asks import Asks
from core.gateway.command_ports import Call
from core.gateway.command_work import Rights
from core.gateway.commands import PENDING
from core.gateway.lane import Lane
from core.gateway.platform import Limits
from core.store.base import Committed
from core.store.memory import MemoryStore
from tests.support.approval_desk import a_question, an_action
from tests.support.chat_rig import PEOPLE, Chat, chat, first, said, until

GROUP = ChatKind.GROUP
DIGITS = "9" * 5_000


@pytest.mark.parametrize("order", ["/undo", "/resume", "/commands"])
async def test_a_number_beyond_all_measure_is_no_fault_of_ours(monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    """It is answered like any other that is too large."""
    async with chat(monkeypatch) as built:
        await _talked(built)
        assert "met a fault" not in await built.reply(f"{order} {DIGITS}")


@pytest.mark.parametrize("order", ["/help", "/approve", "/platform pause", "/resume", "/undo", "/cron run", "/title"])
async def test_what_was_typed_is_not_sent_back_whole(monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    """One long word makes no flood of messages."""
    async with chat(monkeypatch) as built:
        await _talked(built)
        assert len(await built.reply(f"{order} {'x' * 20_000}")) < 2_000


async def test_a_choice_beyond_all_measure_is_an_answer_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Digits are words, too."""
    async with chat(monkeypatch) as built:
        await built.ask(a_question())
        assert "answered by people:bo: 999" in await built.reply(f"/answer {DIGITS}")


async def test_a_button_that_nobody_made_is_no_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a changed program of a sender presses may hold anything."""
    async with chat(monkeypatch) as built:
        view = await built.ask()
        await built.named(view.id)
        stem = (await built.sent(1)).buttons[0].token.partition(".")[0] + "."
        for code in ("²", DIGITS, "x", "٣", ""):
            assert await built.press(stem + code) == ""


async def test_a_reaction_to_an_ordinary_message_is_only_a_reaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is told anything, and nothing is on record."""
    async with chat(monkeypatch) as built:
        await _talked(built)
        assert await built.press("", answers="1", sign="👍") == ""
        assert await built.uses() == []


async def test_no_to_all_decides_all_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question of somebody else's is not theirs; what was not decided is told of when it ends."""
    async with chat(monkeypatch, limits=Limits(), per_user_in_groups=False) as built:
        built.gate.admins = {"ada"}
        await built.say("plan", kind=GROUP)
        await built.agents.begun(1)
        session_id = SessionId(f"{PEOPLE}:group:8841")
        first = await built.ask(an_action("make one", action_id="a-1"), session_id)
        question = await built.ask(a_question(action_id="q-1"), session_id)
        for view in (first, question):
            await built.named(view.id)
        answer = await built.reply("/deny all", by="cy", kind=GROUP)
        assert "for whoever the agent works for" in answer
        assert built.told == []
        assert built.chat.asks._told == set()
        answer = await built.reply("/deny all", kind=GROUP)
        assert answer.startswith("Denied:")
        assert len(built.told) == 2


async def test_a_closed_outbox_does_not_stop_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was cut off cannot be told; it is on record, and the gateway is there."""
    store = MemoryStore()
    async with chat(monkeypatch, store=store) as built:
        stuck = asyncio.Event()
        monkeypatch.setattr("core.gateway.commands.INLINE_LIMIT_S", 0.01)
        built.chat.commands._handlers = {**built.chat.commands._handlers, "status": lambda _: stuck.wait()}
        await built.say("/status", native_id="50")
        assert len(await store.scan(PENDING)) == 1

    def closed(*_: object) -> None:
        raise MailboxClosed("the outbox takes nothing", mailbox="outbox.people")

    with monkeypatch.context() as patch:
        patch.setattr("core.gateway.deliveries.Deliveries.post", closed)
        async with chat(monkeypatch, store=store, boot=2) as built:
            used = await first(built, ChatCommandUsed)
            assert isinstance(used, ChatCommandUsed)
            assert used.outcome is CommandOutcome.CUT_OFF
            assert await store.scan(PENDING) == []


async def test_words_after_a_question_that_is_over_go_to_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also before its message says so: they are lost to nobody."""
    async with chat(monkeypatch) as built:
        await built.say("plan")
        run = await built.agents.begun(1)
        view = await built.ask(a_question())
        await built.named(view.id)
        late = asyncio.Event()
        monkeypatch.setattr(Asks, "close", lambda *_: late.wait())
        await built.approvals.end(view.id, Ending(step=ApprovalStep.WITHDRAW, ended=EndReason.STOPPED))
        accepted = await built.say("north, please")
        assert accepted.command == ""
        run.answer("ok")
        assert [item.text for item in (await built.agents.begun(2)).messages] == ["north, please"]
        built.agents.runs[1].answer("going north")
        await until(lambda: "going north" in built.texts)


@pytest.mark.parametrize("text", ["hello", "/whoami"])
async def test_a_name_that_is_no_text_loses_no_message(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """What cannot be written of it is replaced."""
    async with chat(monkeypatch) as built:
        odd = msgspec.structs.replace(said(text, native_id="5"), sender_name="Bo\ud800")
        await built.intake.receive(odd)
        if text == "hello":
            assert (await built.agents.begun(1)).messages[0].sender == "Bo?"
            built.agents.runs[0].answer("hi")
        await built.sent(1)


async def test_an_order_for_another_bot_is_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where everything is heard that is said in a shared chat."""
    async with chat(monkeypatch, per_user_in_groups=False) as built:
        monkeypatch.setattr(built.intake, "_hears_all", lambda _: True)
        await built.say("work", kind=GROUP)
        run = await built.agents.begun(1)
        await built.say("/stop@other_bot", kind=GROUP, is_addressed=False)
        assert run.reason is None
        assert await built.uses() == []
        assert "Stopped" in await built.reply("/stop@ours", kind=GROUP)


async def test_a_new_conversation_of_one_member_stops_no_turn_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also not one that begins at that very moment."""
    async with chat(monkeypatch, per_user_in_groups=False) as built:
        built.gate.admins = {"ada"}
        session_id = SessionId(f"{PEOPLE}:group:8841")
        await _talked(built, kind=GROUP)
        drop = Rights.drop

        async def meanwhile(rights: Rights, call: Call, lane: Lane) -> int:
            dropped = await drop(rights, call, lane)
            await built.say("bo's", kind=GROUP)
            await built.agents.begun(2)
            return dropped

        monkeypatch.setattr(Rights, "drop", meanwhile)
        answer = await built.reply("/new", by="cy", kind=GROUP)
        assert "somebody else's" in answer
        assert built.agents.runs[1].reason is None
        assert built.view(session_id).state is SessionState.RUNNING
        assert built.view(session_id).epoch == 0
        built.agents.runs[1].answer("done")
        await until(lambda: "done" in built.texts)


async def test_an_order_is_carried_out_though_its_connection_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of it would be refused, so nobody else would ever do it."""
    async with chat(monkeypatch) as built:
        await built.say("work")
        run = await built.agents.begun(1)
        asked = asyncio.Event()
        submit = built.journal.submit

        def noticed(*given: Any, **more: Any) -> asyncio.Future[Committed]:
            asked.set()
            return submit(*given, **more)

        monkeypatch.setattr(built.journal, "submit", noticed)
        caller = asyncio.create_task(built.say("/stop", native_id="9"))
        await asked.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await until(lambda: run.reason is not None and "Stopped." in built.texts)
        assert (await built.say("/stop", native_id="9")).is_duplicate


async def test_a_title_is_one_line_wherever_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with /title."""
    async with chat(monkeypatch) as built:
        await _talked(built)
        await built.reply("/branch a plan\n  for tea")
        assert built.view(SessionId(f"{PEOPLE}:dm:8841")).title == "a plan for tea"


async def _talked(built: Chat, kind: ChatKind = ChatKind.DM) -> None:
    """One message and its answer."""
    await built.say("hello", kind=kind)
    (await built.agents.begun(1)).answer("hi")
    await built.sent(1)
    lane = built.lanes.in_memory()[0]
    await until(lambda: lane.guard.run_id is None and not lane.unsent)
