"""Chat commands about a conversation: each goes on in an epoch of its own, and what was said stays."""

import asyncio

import pytest

from core.api.base import SessionId
from core.api.chat_commands import ChatCommandUsed
from core.api.runs import Compacted, CompactionState
from core.api.sessions import ChatKind
from core.api.transcripts import EntryKind
from core.platform_settings import ChatSettings
from core.store.memory import MemoryStore
from tests.support.chat_rig import PEOPLE, Chat, chat, until
from tests.support.fake_agents import FakeAgents

GROUP = ChatKind.GROUP


async def test_new_begins_an_epoch_that_resume_can_leave_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was said before is listed with its first words, and goes on where it was."""
    async with chat(monkeypatch, agents=FakeAgents(instant=True)) as built:
        await built.say("the harvest")
        await built.sent(1)
        await _idle(built)
        assert "/resume 1" in await built.reply("/new A second one")
        assert built.view(_session()).title == "A second one"
        await built.say("the winter")
        await built.sent(3)
        await _idle(built)
        listed = await built.reply("/resume")
        assert "2. 1 message" in listed
        assert "the harvest" in listed
        assert (await built.reply("/resume 1")).startswith("Conversation 1 goes on: the harvest")
        await built.say("and then")
        await built.sent(6)
        assert [entry.text for entry in built.agents.runs[-1].history] == ["the harvest", "the harvest"]
        assert "no conversation 9" in await built.reply("/resume 9")


async def test_branch_goes_on_in_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent is given the same, and what follows is not in the old one."""
    async with chat(monkeypatch, agents=FakeAgents(instant=True)) as built:
        await built.say("one")
        await built.sent(1)
        await _idle(built)
        assert "a copy of 2 entries" in await built.reply("/branch Another way")
        await built.say("two")
        await built.sent(3)
        assert [entry.text for entry in built.agents.runs[-1].history] == ["one", "one"]
        await _idle(built)
        await built.reply("/resume 1")
        await built.say("three")
        await built.sent(5)
        assert [entry.text for entry in built.agents.runs[-1].history] == ["one", "one"]


async def test_undo_and_retry_leave_the_turn_out_of_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is undone stays on record in its epoch."""
    async with chat(monkeypatch, agents=FakeAgents(instant=True)) as built:
        for number, text in enumerate(("one", "two", "three"), 1):
            await built.say(text)
            await built.sent(number)
            await _idle(built)
        assert "- two\n- three" in await built.reply("/undo 2")
        await built.say("four")
        await built.sent(5)
        assert [entry.text for entry in built.agents.runs[-1].history] == ["one", "one"]
        await _idle(built)
        before = len(built.people.sent)
        await built.say("/retry", native_id="r-1")
        await built.sent(before + 2)
        run = built.agents.runs[-1]
        assert [message.text for message in run.messages] == ["four"]
        assert [entry.text for entry in run.history] == ["one", "one"]
        await _idle(built)
        assert "only 2 turns" in (await built.reply("/undo 9")).lower()
        assert "from 1 to 50" in await built.reply("/undo many")
        stored = [entry.text for entry in await built.lanes.entries(_session(), None, 100)]
        assert stored[:6] == ["one", "one", "two", "two", "three", "three"]


@pytest.mark.parametrize("text", ["/undo", "/retry", "/branch", "/resume 1", "/compress"])
async def test_what_needs_a_free_session_says_so(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """While a turn goes on nothing is changed."""
    async with chat(monkeypatch) as built:
        await built.say("one")
        (await built.agents.begun(1)).answer("first")
        await built.sent(1)
        await _idle(built)
        await built.reply("/new")
        await built.say("two")
        await built.agents.begun(2)
        before = built.view(_session())
        assert "turn" in await built.reply(text) or "run goes on" in built.texts[-1]
        assert (await built.uses())[-1][1] == "failed"
        assert built.view(_session()).epoch == before.epoch
        assert built.agents.runs[1].reason is None
        built.agents.runs[1].answer("second")
        await until(lambda: "second" in built.texts)


async def test_compress_answers_at_once_and_again_when_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection does not wait for a summary."""
    agents = FakeAgents(instant=True)
    async with chat(monkeypatch, agents=agents) as built:
        await built.say("one")
        await built.sent(1)
        await _idle(built)
        let = asyncio.Event()
        agents.compacting = let.wait  # type: ignore[assignment]  # what it gives is not looked at
        last = (await built.lanes.entries(_session(), None, 1))[0].id
        agents.compaction = Compacted(state=CompactionState.DONE, summary="They said one.", covers_until=last)
        assert await built.reply("/compact") == "A summary is being made."
        let.set()
        assert (await built.sent(3)).text.startswith("A summary stands for")
        kinds = [entry.kind for entry in await built.lanes.entries(_session(), None, 10)]
        assert kinds[-1] is EntryKind.SUMMARY
        assert "a copy of 1 entries" in await built.reply("/branch")
        await built.say("two")
        await built.sent(5)
        assert [entry.text for entry in agents.runs[-1].history] == ["They said one."]


async def test_queue_waits_and_steer_goes_into_the_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the mode of the session is; the text becomes a message, the command does not."""
    async with chat(monkeypatch) as built:
        await built.say("one")
        run = await built.agents.begun(1)
        assert await built.reply("/queue two\nlines", native_id="5") == "It waits behind 1 other."
        assert await built.reply("/steer more", native_id="6") == "It was put into the turn that goes on."
        assert run.steered == ["more"]
        assert (await built.say("/q two\nlines", native_id="5")).is_duplicate
        assert built.view(_session()).queue_depth == 1
        run.answer("first")
        second = await built.agents.begun(2)
        assert [message.text for message in second.messages] == ["two\nlines"]
        second.answer("second")
        await until(lambda: "second" in built.texts)
        assert built.people.sent[-1].reply_to == "5"
        assert [use.arguments for use in await built.events(ChatCommandUsed)] == ["", ""]
        assert (await built.reply("/queue")).startswith("What? Use it as /queue text")


async def test_the_model_of_a_chat_holds_until_it_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a restart, too."""
    store = MemoryStore()
    async with chat(monkeypatch, store=store, agents=FakeAgents(instant=True)) as built:
        await built.reply("/model swift-2")
        await built.say("one")
        await built.sent(2)
        assert built.agents.runs[-1].messages[0].model == "swift-2"
    async with chat(monkeypatch, store=store, agents=FakeAgents(instant=True), boot=2) as built:
        assert "swift-2" in await built.reply("/model")
        await built.reply("/model default")
        await built.say("two")
        await built.sent(3)
        assert built.agents.runs[-1].messages[0].model == ""


async def test_the_home_chat_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a restart; off goes back to what is configured."""
    store = MemoryStore()
    async with chat(monkeypatch, store=store) as built:
        assert "home of people" in await built.reply("/set_home")
    async with chat(monkeypatch, store=store, boot=2, settings=ChatSettings(home_chat="99")) as built:
        home = built.chat.homes.find(PEOPLE)
        assert home is not None
        assert home.chat == "8841"
        assert [source.chat for source in built.delivering.sending.sources("people")] == ["8841"]
        assert "99, as configured" in await built.reply("/sethome off")


def _session() -> SessionId:
    return SessionId(f"{PEOPLE}:dm:8841")


async def _idle(built: Chat) -> None:
    """Wait until the session is free: its answer is sent a moment before."""
    await until(lambda: built.view(_session()).lane_holder is None and not built.view(_session()).unsent)
