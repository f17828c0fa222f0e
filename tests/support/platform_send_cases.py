"""The contract of platforms as cases over a rig: what goes out, and what goes wrong."""

from pathlib import Path

import pytest

from core.gateway.abilities import ListsChats, Probes, Types
from core.gateway.platform import FileKind, OutboundFile, PlatformError, PlatformErrorKind
from tests.support.platform_cases import CONTENT, NO, YES, needs, size_of
from tests.support.platform_rig import Can, PlatformRig, RigInbox, outbound, running


class SendingCases:
    """What goes out: all of it, once, as it was meant."""

    async def test_what_is_sent_is_read(self, rig: PlatformRig) -> None:
        """Text of any script, in order."""
        needs(rig, Can.SAY)
        texts = ["plain", "ünïcödé 你好 🙂", "two\nlines", "<b>&amp;</b> [x]"]
        async with running(rig.platform, RigInbox()):
            for number, text in enumerate(texts):
                await rig.platform.send(outbound(rig, text, number))
            assert [told.text.strip() for told in await rig.told()] == texts

    async def test_a_delivery_is_sent_once_over_a_new_start(self, rig: PlatformRig) -> None:
        """The far side knows its id, since the new adapter object cannot."""
        needs(rig, Can.SAY, Can.IDEMPOTENT)
        async with running(rig.platform, RigInbox()):
            first = await rig.platform.send(outbound(rig, "once", 1))
        async with running(rig.restarted(), RigInbox()):
            assert await rig.platform.send(outbound(rig, "once", 1)) == first
            assert [told.text for told in await rig.told()] == ["once"]

    @pytest.mark.parametrize("letter", ["a", "é", "🙂"])
    async def test_a_text_of_the_longest_length_is_taken(self, rig: PlatformRig, letter: str) -> None:
        """In the platform's own unit, whatever the script."""
        needs(rig, Can.SAY)
        limits = rig.platform.limits
        text = letter * (limits.text_limit // size_of(letter, limits.text_unit))
        async with running(rig.platform, RigInbox()):
            await rig.platform.send(outbound(rig, text, 1))
            assert [told.text.strip() for told in await rig.told()] == [text]

    async def test_an_answer_is_shown_as_one(self, rig: PlatformRig) -> None:
        """It names the message that it answers."""
        needs(rig, Can.SAY, Can.REPLIES)
        inbox = RigInbox()
        async with running(rig.platform, inbox):
            theirs = await rig.say("a question")
            await inbox.until(lambda: bool(inbox.received))
            await rig.platform.send(outbound(rig, "an answer", 1, reply_to=theirs))
            assert [(told.text, told.reply_to) for told in await rig.told()] == [("an answer", theirs)]

    async def test_an_edit_replaces_what_was_sent(self, rig: PlatformRig) -> None:
        """The far side shows one message, with the new text."""
        needs(rig, Can.SAY, Can.EDITS_OUT)
        assert rig.platform.limits.can_edit
        async with running(rig.platform, RigInbox()):
            ours = await rig.platform.send(outbound(rig, "half", 1))
            await rig.platform.send(outbound(rig, "whole", 2, edits=ours))
            await rig.platform.send(outbound(rig, "whole", 2, edits=ours))
            assert [(told.native_id, told.text) for told in await rig.told()] == [(ours, "whole")]

    async def test_it_is_sent_into_its_thread(self, rig: PlatformRig) -> None:
        """And not beside it."""
        needs(rig, Can.SAY, Can.THREADS)
        assert rig.platform.limits.has_threads
        inbox = RigInbox()
        async with running(rig.platform, inbox):
            root = await rig.say("beside")
            await rig.say("inside", thread=root)
            await inbox.until(lambda: len(inbox.received) >= 2)
            await rig.platform.send(outbound(rig, "answer", 1, source=inbox.received[1].source))
            assert [(told.text, told.thread) for told in await rig.told()] == [("answer", root)]

    async def test_a_file_is_sent(self, rig: PlatformRig, tmp_path: Path) -> None:
        """Byte for byte, under its name, with the text that goes with it."""
        needs(rig, Can.SAY, Can.FILES_OUT)
        path = tmp_path / "kept"
        path.write_bytes(CONTENT)
        file = OutboundFile(
            kind=FileKind.DOCUMENT,
            name="report.bin",
            mime="application/octet-stream",
            path=str(path),
            size_bytes=len(CONTENT),
        )
        assert rig.platform.limits.file_bytes >= len(CONTENT)
        async with running(rig.platform, RigInbox()):
            await rig.platform.send(outbound(rig, "see here", 1, files=(file,)))
            told = await rig.told()
        assert [item for message in told for item in message.files] == [("report.bin", CONTENT)]
        assert "see here" in [message.text for message in told]

    async def test_buttons_are_shown_and_taken_away(self, rig: PlatformRig) -> None:
        """An edit without buttons takes those of the message away."""
        needs(rig, Can.SAY, Can.BUTTONS)
        assert rig.platform.limits.buttons >= 2
        async with running(rig.platform, RigInbox()):
            ours = await rig.platform.send(outbound(rig, "may it?", 1, buttons=(YES, NO)))
            (told,) = await rig.told()
            assert set(told.buttons) in ({YES.sign, NO.sign}, {YES.label, NO.label})
            if Can.EDITS_OUT in rig.can:
                await rig.platform.send(outbound(rig, "it may", 2, edits=ours))
                (told,) = await rig.told()
                assert (told.text, told.buttons) == ("it may", ())

    async def test_it_can_be_seen_to_write(self, rig: PlatformRig) -> None:
        """The sign comes and goes."""
        needs(rig, Can.SAY, Can.TYPING)
        assert isinstance(rig.platform, Types)
        assert rig.platform.limits.typing_s > 0
        async with running(rig.platform, RigInbox()):
            await rig.platform.typing(rig.source, is_on=True)
            assert await rig.is_typing()
            await rig.platform.typing(rig.source, is_on=False)

    async def test_its_chats_are_listed(self, rig: PlatformRig) -> None:
        """The chat of the rig is among them, with a name."""
        needs(rig, Can.SAY)
        if not isinstance(rig.platform, ListsChats):
            pytest.skip(f"{rig.kind}: knows no list of its chats")
        async with running(rig.platform, RigInbox()):
            chats = {chat.source.chat: chat for chat in await rig.platform.chats()}
        assert chats[rig.source.chat].name
        assert chats[rig.source.chat].source.kind is rig.source.kind

    async def test_a_chat_that_is_not_there_is_an_end(self, rig: PlatformRig) -> None:
        """Nobody tries such a message again."""
        needs(rig, Can.SAY)
        async with running(rig.platform, RigInbox()):
            with pytest.raises(PlatformError) as caught:
                await rig.platform.send(outbound(rig, "text", 1, source=rig.gone))
        assert caught.value.kind in {PlatformErrorKind.GONE, PlatformErrorKind.REFUSED}


class FaultCases:
    """Lines that break or fall silent, credentials that are taken away, limits."""

    async def test_a_line_that_is_cut_is_noticed_and_nothing_is_lost(self, rig: PlatformRig) -> None:
        """run() ends with an error that asks to try again, or goes on by itself; all comes in, once."""
        needs(rig, Can.SAY, Can.CUT, Can.MISS)
        inbox = RigInbox()
        async with running(rig.platform, inbox) as run:
            await rig.say("before")
            await inbox.until(lambda: bool(inbox.received))
            await rig.cut()
            assert (await run.failure()).kind is PlatformErrorKind.RETRY_AFTER
        with pytest.raises(PlatformError) as caught:
            await rig.platform.send(outbound(rig, "text", 1))
        assert caught.value.kind is PlatformErrorKind.RETRY_AFTER
        await rig.mend()
        await rig.say("after")
        async with running(rig.platform, inbox):
            await inbox.until(lambda: len(inbox.received) >= 2)
            await rig.platform.send(outbound(rig, "text", 1))
            assert [told.text for told in await rig.told()] == ["text"]
        assert inbox.texts == ["before", "after"]

    async def test_a_line_that_fell_silent_is_noticed(self, rig: PlatformRig) -> None:
        """By the adapter's own deadline, though nothing ever fails."""
        needs(rig, Can.SAY, Can.DEAFEN, Can.MISS)
        inbox = RigInbox()
        async with running(rig.platform, inbox) as run:
            await rig.say("before")
            await inbox.until(lambda: bool(inbox.received))
            await rig.deafen()
            assert (await run.failure()).kind is PlatformErrorKind.RETRY_AFTER
        await rig.mend()
        await rig.say("after")
        async with running(rig.platform, inbox):
            await inbox.until(lambda: len(inbox.received) >= 2)
        assert inbox.texts == ["before", "after"]

    async def test_a_credential_that_was_taken_away_is_said_to_be(self, rig: PlatformRig) -> None:
        """By run(), send() and probe(); an operator has to mend it."""
        needs(rig, Can.REVOKE)
        await rig.revoke()
        platform = rig.platform
        async with running(platform, RigInbox(), must_stand=False) as run:
            assert (await run.failure()).kind is PlatformErrorKind.UNAUTHORISED
        with pytest.raises(PlatformError) as caught:
            await platform.send(outbound(rig, "text", 1))
        assert caught.value.kind is PlatformErrorKind.UNAUTHORISED
        if isinstance(platform, Probes):
            with pytest.raises(PlatformError) as caught:
                await platform.probe()
            assert caught.value.kind is PlatformErrorKind.UNAUTHORISED

    async def test_a_probe_answers_when_all_is_well(self, rig: PlatformRig) -> None:
        """And fails when the line is cut."""
        if not isinstance(rig.platform, Probes):
            pytest.skip(f"{rig.kind}: no probe")
        await rig.platform.probe()
        needs(rig, Can.CUT)
        await rig.cut()
        with pytest.raises(PlatformError) as caught:
            await rig.platform.probe()
        assert caught.value.kind is PlatformErrorKind.RETRY_AFTER
        await rig.mend()

    async def test_a_wish_to_wait_is_passed_on(self, rig: PlatformRig) -> None:
        """With the seconds that the far side named."""
        needs(rig, Can.LIMIT)
        async with running(rig.platform, RigInbox()):
            await rig.limit(7.0)
            with pytest.raises(PlatformError) as caught:
                await rig.platform.send(outbound(rig, "text", 1))
            assert (caught.value.kind, caught.value.retry_after_s) == (PlatformErrorKind.RETRY_AFTER, 7.0)
            assert await rig.platform.send(outbound(rig, "text", 1))
