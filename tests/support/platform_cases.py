"""The contract of platforms as cases over a rig: the connection, and what comes in.

`tests/contract` and `tests/platforms` say over which rigs.
"""

import asyncio

import pytest

from core.api.errors import Overloaded, Refused
from core.gateway.abilities import Fetches, HasCredential
from core.gateway.platform import (
    Button,
    ButtonStyle,
    Limits,
    TextUnit,
)
from tests.support.platform_rig import LIMIT_S, NAME, Can, PlatformRig, RigInbox, outbound, running

YES = Button(token="t-yes", label="Yes", sign="✅", style=ButtonStyle.YES)
NO = Button(token="t-no", label="No", sign="❌", style=ButtonStyle.NO)
CONTENT = bytes(range(256)) * 40


def needs(rig: PlatformRig, *wanted: Can) -> None:
    """Leave the case out where the platform cannot do it."""
    missing = [str(can) for can in wanted if can not in rig.can]
    if missing:
        pytest.skip(f"{rig.kind}: {', '.join(missing)}")


def size_of(text: str, unit: TextUnit) -> int:
    """The length of a text as the platform counts it."""
    if unit is TextUnit.BYTES:
        return len(text.encode())
    return len(text.encode("utf-16-le")) // 2 if unit is TextUnit.UTF16 else len(text)


class ConnectionCases:
    """What every connection promises, whatever it is made of."""

    async def test_it_says_what_it_is(self, rig: PlatformRig) -> None:
        """Its configured name, its kind, and what it can carry."""
        assert rig.platform.name == NAME
        assert rig.platform.kind == rig.kind
        assert isinstance(rig.platform.limits, Limits)
        assert rig.platform.limits.text_limit > 0

    async def test_it_says_when_it_stands_and_ends_when_cancelled(self, rig: PlatformRig) -> None:
        """connected() is called with words for people; cancelling run() is the way to stop it."""
        inbox = RigInbox()
        async with running(rig.platform, inbox):
            pass
        assert inbox.addresses
        assert all(address and "\n" not in address for address in inbox.addresses)

    async def test_it_can_be_run_again(self, rig: PlatformRig) -> None:
        """A reconnect is a second call of run() on the same object."""
        for _ in range(2):
            async with running(rig.platform, RigInbox()):
                pass

    async def test_it_names_what_it_sent(self, rig: PlatformRig) -> None:
        """Every message gets an id of its own."""
        async with running(rig.platform, RigInbox()):
            ids = [await rig.platform.send(outbound(rig, f"text {number}", number)) for number in range(5)]
        assert all(ids)
        assert len(set(ids)) == 5

    async def test_a_delivery_sent_twice_has_one_effect(self, rig: PlatformRig) -> None:
        """The same delivery id gives the same native id, though the text were another."""
        async with running(rig.platform, RigInbox()):
            first = await rig.platform.send(outbound(rig, "text", 1))
            assert await rig.platform.send(outbound(rig, "something else", 1)) == first

    async def test_answers_still_go_out_after_the_intake_was_stopped(self, rig: PlatformRig) -> None:
        """A core that stops lets runs end, and what they answer is sent by a connection that no longer runs."""
        async with running(rig.platform, RigInbox()):
            pass
        assert await rig.platform.send(outbound(rig, "text", 1))

    async def test_many_messages_at_once_are_all_taken(self, rig: PlatformRig) -> None:
        """send() may be called while other calls of it go on."""
        async with running(rig.platform, RigInbox()), asyncio.timeout(LIMIT_S):
            sends = [rig.platform.send(outbound(rig, f"text {number}", number)) for number in range(30)]
            assert len(set(await asyncio.gather(*sends))) == 30

    async def test_its_credential_is_named_and_not_told(self, rig: PlatformRig) -> None:
        """Two objects of one account name the same, and neither part is empty."""
        first = rig.platform
        if not isinstance(first, HasCredential):
            pytest.skip(f"{rig.kind}: no credential")
        second = rig.restarted()
        assert isinstance(second, HasCredential)
        assert first.credential == second.credential
        assert all(first.credential)


class IntakeCases:
    """What comes in: all of it, once, in order, and marked with where it came from."""

    async def test_what_is_said_comes_in_once_and_in_order(self, rig: PlatformRig) -> None:
        """With its sender, its chat and an id."""
        needs(rig, Can.SAY)
        inbox = RigInbox()
        async with running(rig.platform, inbox):
            ids = [await rig.say(f"word {number}") for number in range(5)]
            await inbox.until(lambda: len(inbox.received) >= 5)
        assert inbox.texts == [f"word {number}" for number in range(5)]
        assert [inbound.native_id for inbound in inbox.received] == ids
        assert {(item.source.chat, item.source.kind, item.source.platform) for item in inbox.received} == {
            (rig.source.chat, rig.source.kind, NAME)
        }
        assert {inbound.sender_id for inbound in inbox.received} == {rig.person_id}
        assert all(inbound.sender_name for inbound in inbox.received)
        assert inbox.heard_count > 0

    async def test_what_was_refused_for_good_holds_nothing_up(self, rig: PlatformRig) -> None:
        """It is not handed in again, and the next message comes in."""
        needs(rig, Can.SAY)
        inbox = RigInbox()
        inbox.faults.append(Refused("not you", rule="test"))
        async with running(rig.platform, inbox):
            await rig.say("first")
            await rig.say("second")
            await inbox.until(lambda: bool(inbox.received))
            await rig.say("third")
            await inbox.until(lambda: len(inbox.received) >= 2)
        assert inbox.texts == ["second", "third"]

    async def test_what_cannot_be_taken_now_comes_again_and_nothing_overtakes_it(self, rig: PlatformRig) -> None:
        """An error that is retryable asks for the same message later."""
        needs(rig, Can.SAY)
        inbox = RigInbox()
        inbox.faults.extend([Overloaded("full", bound="queue", limit=1, retry_after_s=0.01)] * 2)
        async with running(rig.platform, inbox):
            await rig.say("first")
            await rig.say("second")
            await inbox.until(lambda: len(inbox.received) >= 2)
        assert inbox.texts == ["first", "second"]

    async def test_what_was_said_while_we_were_away_comes_in(self, rig: PlatformRig) -> None:
        """After a new start of the core too; what came in before does not count twice."""
        needs(rig, Can.SAY, Can.MISS)
        inbox = RigInbox()
        async with running(rig.platform, inbox):
            await rig.say("before")
            await inbox.until(lambda: bool(inbox.received))
        for number in range(3):
            await rig.say(f"away {number}")
        async with running(rig.restarted(), inbox):
            await inbox.until(lambda: len(inbox.received) >= 4)
            await rig.say("after")
            await inbox.until(lambda: len(inbox.received) >= 5)
        assert inbox.texts == ["before", "away 0", "away 1", "away 2", "after"]

    async def test_what_was_in_hand_at_a_crash_comes_in_again(self, rig: PlatformRig) -> None:
        """A message that receive() never took is not acknowledged to the far side by anything."""
        needs(rig, Can.SAY, Can.MISS)
        inbox = RigInbox()
        inbox.faults.extend([Overloaded("full", bound="queue", limit=1, retry_after_s=3600.0)])
        async with running(rig.platform, inbox):
            await rig.say("in hand")
            async with asyncio.timeout(LIMIT_S):
                # What receive() raised has no event.
                while inbox.faults:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        assert inbox.received == []
        async with running(rig.restarted(), inbox):
            await inbox.until(lambda: bool(inbox.received))
        assert inbox.texts == ["in hand"]

    async def test_our_own_messages_do_not_come_in(self, rig: PlatformRig) -> None:
        """What we sent is not said to us."""
        needs(rig, Can.SAY)
        inbox = RigInbox()
        async with running(rig.platform, inbox):
            await rig.platform.send(outbound(rig, "ours", 1))
            await rig.say("theirs")
            await inbox.until(lambda: bool(inbox.received))
        assert inbox.texts == ["theirs"]

    async def test_an_answer_names_what_it_answers(self, rig: PlatformRig) -> None:
        """With the id of our message, and without its text before what was written."""
        needs(rig, Can.SAY, Can.REPLIES)
        inbox = RigInbox()
        async with running(rig.platform, inbox):
            ours = await rig.platform.send(outbound(rig, "a question", 1))
            await rig.say("an answer", reply_to=ours)
            await inbox.until(lambda: bool(inbox.received))
        (inbound,) = inbox.received
        assert inbound.reply_to == ours
        assert inbound.text == "an answer"

    async def test_a_correction_comes_in_as_one(self, rig: PlatformRig) -> None:
        """It names the message that it changes."""
        needs(rig, Can.SAY, Can.EDITS_IN)
        inbox = RigInbox()
        async with running(rig.platform, inbox):
            native_id = await rig.say("teh text")
            await inbox.until(lambda: bool(inbox.received))
            await rig.correct(native_id, "the text")
            await inbox.until(lambda: bool(inbox.edits))
        (edit,) = inbox.edits
        assert (edit.native_id, edit.text, edit.sender_id) == (native_id, "the text", rig.person_id)
        assert inbox.texts == ["teh text"]

    async def test_a_thread_is_part_of_where_it_was_said(self, rig: PlatformRig) -> None:
        """What is said in a thread has its thread, what is said beside it has none."""
        needs(rig, Can.SAY, Can.THREADS)
        inbox = RigInbox()
        async with running(rig.platform, inbox):
            root = await rig.say("beside")
            await rig.say("inside", thread=root)
            await inbox.until(lambda: len(inbox.received) >= 2)
        assert [(item.text, item.source.thread) for item in inbox.received] == [("beside", None), ("inside", root)]

    async def test_a_file_comes_in_and_can_be_fetched(self, rig: PlatformRig) -> None:
        """Byte for byte, with its name and size."""
        needs(rig, Can.SAY, Can.FILES_IN)
        inbox = RigInbox()
        async with running(rig.platform, inbox):
            await rig.say("see here", files=[("notes.bin", CONTENT)])
            await inbox.until(lambda: any(inbound.files for inbound in inbox.received))
            (file,) = [file for inbound in inbox.received for file in inbound.files]
            assert isinstance(rig.platform, Fetches)
            fetched = b"".join([piece async for piece in rig.platform.fetch(file.ref)])
        assert fetched == CONTENT
        assert (file.name, file.size_bytes) == ("notes.bin", len(CONTENT))

    async def test_a_button_that_is_used_comes_in(self, rig: PlatformRig) -> None:
        """As a press of the message that carries it, by whoever used it."""
        needs(rig, Can.SAY, Can.BUTTONS)
        inbox = RigInbox()
        async with running(rig.platform, inbox):
            ours = await rig.platform.send(outbound(rig, "may it?", 1, buttons=(YES, NO)))
            await rig.press(ours, NO)
            await inbox.until(lambda: bool(inbox.presses))
        (press,) = inbox.presses
        assert press.answers == ours
        assert (press.token, press.sign) in {(NO.token, ""), ("", NO.sign), (NO.token, NO.sign)}
        assert press.sender_id == rig.person_id
