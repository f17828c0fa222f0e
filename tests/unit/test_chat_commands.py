"""Chat commands over a whole gateway: each does what it says, once, and whoever may not changes nothing."""

import asyncio

import pytest

from core.api.base import SessionId
from core.api.chat_commands import ChatCommandUsed, CommandOutcome
from core.api.errors import InvalidInput, MailboxClosed, Refused, StoreError, Unauthorised
from core.api.sessions import ChatKind, SessionInterrupted, SessionState
from core.gateway.command import TABLE
from core.gateway.commands import PENDING
from core.gateway.platform import Limits
from core.platform_settings import ChatSettings
from core.store.memory import MemoryStore
from tests.support.chat_rig import PEOPLE, Chat, chat, said, until
from tests.support.fake_agents import FakeAgents

GROUP = ChatKind.GROUP


@pytest.mark.parametrize("text", ["/stpo", "/s", "/nonsense foo", "/stop_it"])
@pytest.mark.parametrize("is_busy", [False, True])
async def test_a_mistyped_command_is_answered_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, text: str, *, is_busy: bool
) -> None:
    """Idle or busy: it reaches neither the agent nor the run."""
    async with chat(monkeypatch) as built:
        if is_busy:
            await built.say("work")
            run = await built.agents.begun(1)
        answer = await built.reply(text, native_id="9")
        assert answer.startswith(("There is no command", "/s can be"))
        assert "/stop" in answer or text == "/nonsense foo"
        assert (await built.uses())[0][1] in {"unknown", "ambiguous"}
        assert built.people.sent[0].reply_to == "9"
        if is_busy:
            assert built.view(_session()).state is SessionState.RUNNING
            assert built.view(_session()).queue_depth == 0
            assert (run.steered, run.reason) == ([], None)
            run.answer("done")
            await built.sent(2)
        assert len(built.agents.runs) == is_busy


async def test_every_command_of_the_table_has_somebody_who_carries_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Table and handlers name the same."""
    async with chat(monkeypatch) as built:
        assert set(built.chat.commands._handlers) == {command.name for command in TABLE}


async def test_a_command_leaves_nothing_in_the_transcript_and_begins_no_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Asking what there is, is no conversation."""
    async with chat(monkeypatch) as built:
        for text in ("/help", "/whoami", "/status", "/commands", "/version", "/stop", "/new", "/model"):
            assert await built.reply(text)
        assert built.lanes.session_count == 0
        assert await built.store.scan("session/") == []
        assert await built.store.scan("entry/") == []
        assert await built.store.scan(PENDING) == []


async def test_a_command_that_comes_twice_is_carried_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A /stop that a platform hands in again after a reconnect stops nothing that has begun since."""
    async with chat(monkeypatch) as built:
        await built.say("first")
        await built.agents.begun(1)
        await built.reply("/stop", native_id="77")
        await built.say("second")
        await built.agents.begun(2)
        again = await built.say("/stop", native_id="77")
        assert (again.is_duplicate, again.command) == (True, "stop")
        assert built.view(_session()).state is SessionState.RUNNING
        assert len(await built.events(SessionInterrupted)) == 1
        assert await built.uses() == [("stop", "done")]
        built.agents.runs[1].answer("here")
        await built.sent(2)


async def test_stop_stops_the_turn_and_lets_go_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it runs after the next message."""
    async with chat(monkeypatch) as built:
        await built.say("one")
        await built.agents.begun(1)
        for text in ("two", "three"):
            await built.say(text)
        assert await built.reply("/stop") == "Stopped. 2 waiting messages were let go."
        await until(lambda: built.view(_session()).state is SessionState.IDLE)
        assert len(built.agents.runs) == 1
        assert await built.reply("/stop") == "Nothing ran."


async def test_stop_turn_leaves_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next message has its turn at once."""
    async with chat(monkeypatch) as built:
        await built.say("one")
        await built.agents.begun(1)
        await built.say("two")
        assert (await built.reply("/stop turn")).startswith("Stopped. 1 message still waits.")
        run = await built.agents.begun(2)
        run.answer("second")
        assert (await built.sent(2)).text == "second"


async def test_a_stranger_in_a_shared_session_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stranger orders is turned away before anything of it happens."""
    async with chat(monkeypatch, per_user_in_groups=False) as built:
        built.gate.strangers = {"eve"}
        await built.say("work", kind=GROUP)
        run = await built.agents.begun(1)
        for text in ("/stop", "/new", "/stpo", "/queue x"):
            with pytest.raises(Unauthorised):
                await built.say(text, by="eve", kind=GROUP)
        assert run.reason is None
        assert await built.uses() == []
        assert built.people.sent == []
        run.answer("done")
        assert (await built.sent(1)).text == "done"


async def test_in_a_shared_session_only_the_owner_or_an_admin_stops_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another member is told so, and lets go only own messages; the owner and an admin may."""
    async with chat(monkeypatch, per_user_in_groups=False) as built:
        built.gate.admins = {"ada"}
        await built.say("work", kind=GROUP)
        await built.agents.begun(1)
        for text in ("/stop", "/new"):
            assert "somebody else's" in await built.reply(text, by="cy", kind=GROUP)
        assert built.agents.runs[0].reason is None
        await built.say("mine", by="cy", kind=GROUP)
        await built.say("also bo's", kind=GROUP)
        answer = await built.reply("/stop", kind=GROUP)
        assert answer == "Stopped. 1 waiting message was let go. 1 message still waits."
        run = await built.agents.begun(2)
        assert [message.text for message in run.messages] == ["mine"]
        assert await built.reply("/stop", by="ada", kind=GROUP) == "Stopped."
        outcomes = [use.outcome for use in await built.events(ChatCommandUsed)]
        assert outcomes == [CommandOutcome.REFUSED, CommandOutcome.REFUSED, CommandOutcome.DONE, CommandOutcome.DONE]


async def test_tiers_come_from_the_real_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is listed is let in; who is named an admin may use what is for admins; nobody else is heard."""
    settings = ChatSettings(allowed_users=("bo", "ada"), admins=("ada",))
    async with chat(monkeypatch, settings=settings) as built:
        built.intake._gate = built.access.gate
        assert "as user" in await built.reply("/whoami")
        assert "You may not use /platform" in await built.reply("/platform")
        assert "people (" in await built.reply("/platform", by="ada")
        with pytest.raises(Refused):
            await built.say("/stop", by="eve", kind=GROUP)
        view = await built.ask()
        shown = await until_shown(built, view.id)
        with pytest.raises(Refused):
            await built.press(shown, by="eve")
        assert "approved by people:ada" in await built.press(shown, by="ada")


async def until_shown(built: Chat, approval_id: str) -> str:
    """The first button of the message that shows an approval."""
    await built.named(approval_id)
    return next(message for message in built.people.sent if message.buttons).buttons[0].token


async def test_a_user_gets_what_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything else is refused by name, and changes nothing."""
    settings = ChatSettings(user_commands=("stop",))
    async with chat(monkeypatch, settings=settings) as built:
        built.gate.admins = {"ada"}
        await built.say("work")
        run = await built.agents.begun(1)
        for text in ("/new", "/queue more", "/sethome", "/platform"):
            assert (await built.reply(text)).startswith("You may not use /")
        assert "/stop" in await built.reply("/whoami")
        assert "config.yaml" not in built.texts[-1]
        assert built.view(_session()).epoch == 0
        assert built.view(_session()).queue_depth == 0
        assert await built.reply("/stop") == "Stopped."
        assert run.reason


async def test_looking_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Status and its like leave version and last message of a session as they were."""
    async with chat(monkeypatch, agents=FakeAgents(instant=True)) as built:
        await built.say("one")
        await built.sent(1)
        await _idle(built)
        row = (await built.store.scan("session/"))[0].body
        for text in ("/status", "/sessions", "/usage", "/resume", "/whoami", "/agents", "/model", "/title"):
            assert await built.reply(text)
        assert (await built.store.scan("session/"))[0].body == row


async def test_a_command_that_was_cut_off_is_told_of_and_not_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next start finds it begun and not ended."""
    store = MemoryStore()
    agents = FakeAgents()
    async with chat(monkeypatch, store=store, agents=agents) as built:
        await built.say("one")
        (await built.agents.begun(1)).answer("first")
        await built.sent(1)
        await _idle(built)
        stuck = asyncio.Event()
        monkeypatch.setattr(built.chat.commands._handlers["branch"].__self__._branching, "branch", stuck.wait)
        monkeypatch.setattr("core.gateway.commands.INLINE_LIMIT_S", 0.01)
        built.chat.commands._handlers = {**built.chat.commands._handlers, "branch": lambda _: stuck.wait()}
        await built.say("/branch", native_id="50")
        assert len(await store.scan(PENDING)) == 1
    async with chat(monkeypatch, store=store, boot=2) as built:
        told = await built.sent(1)
        assert told.text.startswith("The gateway was stopped while it did /branch.")
        assert told.reply_to == "50"
        assert (await built.uses())[-1] == ("branch", "cut_off")
        assert (await built.say("/branch", native_id="50")).is_duplicate
        assert await store.scan(PENDING) == []


async def test_a_fault_in_a_command_is_answered_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for an answer that never comes."""
    async with chat(monkeypatch) as built:

        async def broken(_: object) -> None:
            raise ValueError("of ours")

        built.chat.commands._handlers = {**built.chat.commands._handlers, "status": broken}
        assert "met a fault" in await built.reply("/status")
        assert [name for name, _ in built.faults] == ["command status"]
        built.faults.clear()


async def test_a_store_that_refuses_leaves_the_command_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The platform may hand it in again."""
    async with chat(monkeypatch) as built:
        await built.say("one")
        await built.agents.begun(1)

        async def refuse(*_: object, **__: object) -> None:
            raise StoreError("the disk is full", cause="full")

        with monkeypatch.context() as patch:
            patch.setattr(built.chat.commands._replies, "commit", refuse)
            with pytest.raises(StoreError):
                await built.say("/stop", native_id="8")
        assert built.agents.runs[0].reason is None
        assert await built.reply("/stop", native_id="8") == "Stopped."


async def test_what_is_no_text_at_all_is_refused_like_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a character after a slash is no command."""
    async with chat(monkeypatch) as built:
        with pytest.raises(InvalidInput) as caught:
            await built.say("/stop\ud800")
        assert caught.value.facts["field"] == "text"
        assert await built.uses() == []


async def test_a_command_counts_also_when_its_answer_cannot_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outbox that an operator has closed takes no answer; what happened is on record all the same."""
    async with chat(monkeypatch) as built:
        await built.say("work")
        run = await built.agents.begun(1)

        def closed(*_: object) -> None:
            raise MailboxClosed("the outbox takes nothing", mailbox="outbox.people")

        monkeypatch.setattr(built.deliveries, "post", closed)
        await built.say("/stop")
        assert run.reason is not None
        assert await built.uses() == [("stop", "done")]
        assert await built.store.scan(PENDING) == []


async def test_a_caller_that_follows_reads_the_answer_of_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it would read a run."""
    async with chat(monkeypatch) as built:
        accepted = await built.intake.receive(said("/version"), follow=True)
        assert accepted.reports is not None
        reports = [report async for report in accepted.reports]
        assert len(reports) == 2
        await built.sent(1)


async def test_text_where_no_commands_are_taken_goes_to_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    """An adapter can say that a slash is only a slash."""
    async with chat(monkeypatch, agents=FakeAgents(instant=True)) as built:
        await built.say("/stop", may_command=False)
        assert (await built.sent(1)).text == "/stop"
        await built.say("/etc/hosts is wrong")
        assert (await built.sent(2)).text == "/etc/hosts is wrong"


async def test_known_secrets_are_masked_in_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody types by mistake is not kept."""
    async with chat(monkeypatch) as built:
        built.chat.commands._masked = lambda text: text.replace("hunter-2-long", "***")
        await built.reply("/help hunter-2-long " + "x" * 500)
        [use] = await built.events(ChatCommandUsed)
        assert use.arguments.startswith("*** xxx")
        assert len(use.arguments) == 200
        assert "hunter" not in use.reason


async def test_a_connection_is_given_its_menu_when_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """What users may order, where some are no admins; everything that is there, where all are."""
    async with chat(monkeypatch) as built:
        await until(lambda: bool(built.people.menus))
        names = {hint.name for hint in built.people.menus[0]}
        assert {"stop", "sethome", "help"} <= names
        assert "cron" not in names
    async with chat(monkeypatch, settings=ChatSettings(admins=("ada",), user_commands=("stop",))) as built:
        await until(lambda: bool(built.people.menus))
        assert {hint.name for hint in built.people.menus[0]} == {
            "stop", "answer", "start", "help", "commands", "whoami", "status",
        }  # fmt: skip


async def test_a_platform_that_cannot_be_answered_is_answered_by_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is carried out all the same."""
    async with chat(monkeypatch, limits=Limits(sends_answers=False)) as built:
        await built.say("work")
        run = await built.agents.begun(1)
        await built.say("/stop")
        await until(lambda: run.reason is not None)
        assert built.people.sent == []
        assert await built.uses() == [("stop", "done")]


def _session() -> SessionId:
    return SessionId(f"{PEOPLE}:dm:8841")


async def _idle(built: Chat) -> None:
    """Wait until the session is free: its answer is sent a moment before."""
    await until(lambda: built.view(_session()).lane_holder is None and not built.view(_session()).unsent)
