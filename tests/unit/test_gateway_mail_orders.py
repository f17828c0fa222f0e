"""What operators may do to the mailbox of the sessions, and what is refused because it would go past them."""

from typing import Any

import pytest

from core.api.base import Actor, ActorKind, Command, MailboxName
from core.api.errors import Refused
from core.api.mail import BulkReceipt, MailState, PostMail, PurgeMailbox, RedriveMail
from core.api.mailboxes import DeleteMailbox, MailboxPolicy, PauseMailbox, ResumeMailbox, SetMailboxPolicy
from core.api.sessions import GetSession, RunEnded, SessionState
from core.gateway.unanswered import MAILBOX
from core.store.memory import MemoryStore
from tests.support.fake_agents import FakeAgents
from tests.support.gateway import SESSION, Gateway, gateway, inbound

ANA = Actor(ActorKind.OPERATOR, "ana")
BOX = MailboxName(MAILBOX)


async def order(built: Gateway, command: Command[Any]) -> object:
    """Carry out what an operator orders."""
    return await built.mail.operations.commands[type(command)](command, ANA)


async def state(built: Gateway) -> SessionState:
    """What an operator is told."""
    return (await built.inspection.get_session(GetSession(session_id=SESSION))).session.state


async def test_no_run_begins_while_the_mailbox_is_paused_and_messages_are_taken_in() -> None:
    """The session is queued, and the problem names the mailbox."""
    async with gateway() as built:
        await order(built, PauseMailbox(mailbox=BOX, reason="upgrade"))
        receipt = await built.sessions.receive(inbound("one"))
        await built.restart.resume()
        assert receipt.position == 0
        assert built.agents.runs == []
        assert await state(built) is SessionState.QUEUED
        assert MAILBOX in built.turns.problem
        assert "paused" in built.turns.problem


async def test_a_run_that_goes_on_ends_and_the_next_waits_for_the_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits begins by itself soon after."""
    monkeypatch.setattr("core.gateway.restart._NUDGE_EVERY_S", 0.01)
    async with gateway() as built:
        built.supervisor.start("nudge", built.restart.nudge)
        await built.sessions.receive(inbound("one"))
        run = await built.agents.begun(1)
        await built.sessions.receive(inbound("two"))
        await order(built, PauseMailbox(mailbox=BOX))
        run.answer("first")
        await built.until(RunEnded)
        await built.settled()
        assert await state(built) is SessionState.QUEUED
        await order(built, ResumeMailbox(mailbox=BOX))
        (await built.agents.begun(2)).answer("second")
        await built.until(RunEnded, 2)
        assert built.turns.problem == ""


async def test_a_pause_holds_over_a_restart() -> None:
    """The next start queues what waits and begins nothing."""
    store = MemoryStore()
    async with gateway(store) as built:
        await order(built, PauseMailbox(mailbox=BOX))
        await built.sessions.receive(inbound("one"))
    async with gateway(store, boot=2) as built:
        assert (await built.restart.recover()).queued == 1
        await built.restart.resume()
        assert built.agents.runs == []


@pytest.mark.parametrize(
    ("command", "fix"),
    [
        (PostMail(mailbox=BOX, payload={"text": "hello"}), "sessions send"),
        (PurgeMailbox(mailbox=MAILBOX), "sessions drop"),
        (PurgeMailbox(mailbox=MAILBOX, dry_run=True), "sessions drop"),
        (RedriveMail(mailbox="other", target=MAILBOX), "sessions send"),
        (RedriveMail(target=MAILBOX, dry_run=True), "sessions send"),
        (SetMailboxPolicy(mailbox=BOX, policy=MailboxPolicy(ttl_s=1.0)), "configuration"),
        (DeleteMailbox(mailbox=BOX), "configuration"),
    ],
)
async def test_what_would_go_past_the_sessions_is_refused_with_the_way(command: Command[Any], fix: str) -> None:
    """Nothing has changed, and the error names what to use instead."""
    async with gateway() as built:
        await built.mail.boxes.ensure("other", MailboxPolicy())
        await built.sessions.receive(inbound("one"))
        await built.agents.begun(1)
        await built.sessions.receive(inbound("two"))
        policy = built.mail.boxes.get(MAILBOX).policy
        with pytest.raises(Refused) as caught:
            await order(built, command)
        assert fix in str(caught.value.facts["fix"])
        assert "sessions" in caught.value.message
        assert [letter.state for letter in built.mail.letters(MAILBOX)] == [MailState.IN_FLIGHT, MailState.QUEUED]
        assert built.mail.boxes.get(MAILBOX).policy == policy


async def test_dead_letters_of_sessions_can_be_purged_or_sent_elsewhere() -> None:
    """No session knows of them any more."""
    for command in (PurgeMailbox(mailbox=MAILBOX, dead=True), RedriveMail(mailbox=MAILBOX, target="other")):
        store = MemoryStore()
        async with gateway(store, max_attempts=1) as built:
            await built.sessions.receive(inbound("poison"))
            await built.agents.begun(1)
        async with gateway(store, FakeAgents(instant=True), boot=2, max_attempts=1) as built:
            await built.mail.boxes.ensure("other", MailboxPolicy())
            await built.restart.recover()
            receipt = await order(built, command)
            assert isinstance(receipt, BulkReceipt)
            assert receipt.changed == 1
            assert built.mail.letters(MAILBOX) == []
            assert built.agents.runs == []
