"""Changes of messages that wait: what the sender wrote is changed, and nothing else of the message."""

import asyncio
from typing import Any

import pytest

from core.api.base import MessageId
from core.api.errors import InvalidInput
from core.gateway.lane import Waiting
from core.gateway.offer import edited_text, surroundings
from core.gateway.platform import FileKind, Inbound, InboundEdit, InboundFile
from core.store.base import Committed
from core.store.memory import MemoryStore
from tests.support.chat_rig import Chat, chat, said
from tests.support.gateway import SESSION, Gateway, gateway, inbound
from tests.support.views import message


def changed(words: str, native_id: str = "n-2", sender: str = "bo") -> InboundEdit:
    """A change of the second message."""
    whole = inbound("x")
    return InboundEdit(platform=whole.platform, source=whole.source, sender_id=sender, native_id=native_id, text=words)


async def waits(built: Gateway, second: Inbound) -> MessageId:
    """A session in which a run goes on, and this message waits."""
    await built.intake.receive(inbound("first"))
    await built.agents.begun(1)
    return (await built.intake.receive(second)).message_id


async def taken(built: Gateway) -> str:
    """What the agent is given of the second message."""
    (await built.agents.begun(1)).answer("ok")
    run = await built.agents.begun(2)
    run.answer("ok")
    await built.settled()
    return run.messages[0].text


async def test_a_changed_answer_keeps_what_it_answers() -> None:
    """The words above it were quoted by us and not written by the sender."""
    async with gateway() as built:
        await waits(built, inbound("yes", native_id="n-2", quoted="tea?\nor coffee?"))
        await built.intake.edited(changed("no"))
        assert await taken(built) == "> tea?\n> or coffee?\n\nno"


@pytest.mark.parametrize(("caption", "after"), [("look", "better"), ("", "better")])
async def test_a_changed_caption_keeps_its_files(caption: str, after: str) -> None:
    """Also when there was no caption before; and when it is changed twice."""
    async with gateway() as built:
        photo = InboundFile(kind=FileKind.PHOTO, ref="r", name="cat.png")
        await waits(built, inbound(caption, native_id="n-2", files=(photo,)))
        await built.intake.edited(changed("in between"))
        await built.intake.edited(changed(after))
        text = await taken(built)
        assert text.startswith(f"{after}\n\n[photo cat.png is not here")
        assert "in between" not in text


def test_whatever_surrounds_it_stays() -> None:
    """The frame of a message is what it says without the sender's own words."""
    quoted = inbound("a\n\n[file]", quoted="q")
    assert surroundings(quoted, "a") == ("> q\n\n", "\n\n[file]")
    assert surroundings(inbound("hello"), "hello") is None
    around = Waiting(message("> q\n\na\n\n[file]"), around=("> q\n\n", "\n\n[file]"))
    assert edited_text(around, "z") == "> q\n\nz\n\n[file]"
    assert edited_text(Waiting(message("[file]"), around=("", "[file]")), "z") == "z\n\n[file]"


@pytest.mark.parametrize("words", ["half a \ud800", "x" * 101])
async def test_a_change_that_could_not_be_said_is_refused_as_a_message_would_be(words: str) -> None:
    """Named by its field, and the message stays as it was."""
    async with gateway(text_limit=100) as built:
        await waits(built, inbound("second", native_id="n-2"))
        with pytest.raises(InvalidInput) as caught:
            await built.intake.edited(changed(words))
        assert caught.value.facts["field"] == "text"
        assert await taken(built) == "second"


async def test_what_stands_in_the_transcript_is_not_changed() -> None:
    """A message whose run died with the core was read by an agent."""
    store = MemoryStore()
    async with gateway(store) as built:
        await built.intake.receive(inbound("first", native_id="n-2"))
        await built.agents.begun(1)
    async with gateway(store, boot=2) as built:
        await built.restart.recover()
        assert built.lanes.find(SESSION) is not None
        await built.intake.edited(changed("other"))
        await built.restart.resume()
        run = await built.agents.begun(1)
        assert [item.text for item in run.messages] == ["first"]
        run.answer("ok")
        await built.settled()


async def test_a_change_of_a_command_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was carried out, and there may be no session at all."""
    async with chat(monkeypatch) as built:
        await built.reply("/version", native_id="7")
        await _edit(built, "7")
        assert built.lanes.session_count == 0
        assert len(await built.uses()) == 1


async def test_a_caller_who_goes_away_meanwhile_leaves_no_session_half_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a connection does that is paused at that moment."""
    async with gateway() as built:
        await waits(built, inbound("second", native_id="n-2"))
        asked = asyncio.Event()
        submit = built.journal.submit

        def noticed(*given: Any, **more: Any) -> asyncio.Future[Committed]:
            asked.set()
            return submit(*given, **more)

        monkeypatch.setattr(built.journal, "submit", noticed)
        caller = asyncio.create_task(built.intake.edited(changed("better")))
        await asked.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert await taken(built) == "better"


async def _edit(built: Chat, native_id: str) -> None:
    source = said("x")
    await built.intake.edited(
        InboundEdit(platform=source.platform, source=source.source, sender_id="bo", native_id=native_id, text="new")
    )
