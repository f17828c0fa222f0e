"""What the Matrix adapter does at any homeserver: invitations, groups, gaps, encryption, signing in, several accounts.

`tests/unit` has the fake one, `tests/platforms` a real one.
"""

import asyncio
from typing import Any, Protocol

import pytest

from core.api.sessions import ChatKind, Source
from core.gateway.adapters.matrix import MatrixPlatform
from core.gateway.platform import Button, PlatformError, PlatformErrorKind
from tests.support.matrix_human import C, Human
from tests.support.platform_rig import LIMIT_S, NAME, RigInbox, outbound, running
from tests.support.rig_loopback import LoopbackRig

ENCRYPTION = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}


class Scene(Protocol):
    """A homeserver. tokens: of its users by their id."""

    tokens: dict[str, str]

    async def user(self, name: str) -> Human:
        """A new user; the name is made unique."""
        ...

    def adapter(self, bot: Human, **settings: Any) -> MatrixPlatform:
        """Our adapter for a user, by token unless a password is named."""
        ...


class Counts(Protocol):
    """What is told of what went through."""

    def add(self, **counts: int) -> None:
        """Count."""
        ...

    def numbered(self, sent: list[str], came: list[str], way: str) -> None:
        """Count numbered messages; fails unless all came once, in order."""
        ...


def to(room_id: str) -> Source:
    """A room as a place to send to."""
    return Source(platform=NAME, kind=ChatKind.GROUP, chat=room_id)


class MatrixScenarios:
    """Each with users of its own."""

    async def test_a_direct_invitation_is_followed_and_what_was_said_before_is_heard(
        self, scene: Scene, tally: Counts
    ) -> None:
        """A person writes at once; older messages of a room stay where they are."""
        ana, bo, bot = await scene.user("ana"), await scene.user("bo"), await scene.user("bot")
        inbox = RigInbox()
        async with running(scene.adapter(bot), inbox):
            room_id = await ana.create_room(bo.user_id, is_direct=False)
            await ana.say(room_id, "long before the bot")
            await ana.call(
                "PUT",
                f"{C}/rooms/{room_id}/state/m.room.member/{bot.user_id}",
                json={"membership": "invite", "is_direct": True},
            )
            await ana.say(room_id, "hello bot")
            await inbox.until(lambda: bool(inbox.received))
        (inbound,) = inbox.received
        assert inbound.text == "hello bot"
        assert inbound.source.chat == room_id
        assert inbound.sender_id == ana.user_id
        assert inbound.sender_name.startswith("Ana")
        tally.numbered(["hello bot"], inbox.texts, "in_")

    async def test_an_invitation_into_a_group_by_a_stranger_is_left_alone(self, scene: Scene) -> None:
        """Unless the configuration lists them."""
        ana, bot = await scene.user("ana"), await scene.user("bot")
        adapter = scene.adapter(bot)
        inbox = RigInbox()
        async with running(adapter, inbox):
            room_id = await ana.create_room(bot.user_id, is_direct=False)
            direct = await ana.create_room(bot.user_id)
            await ana.say(direct, "hello")
            await inbox.until(lambda: bool(inbox.received))
            assert [chat.source.chat for chat in await adapter.chats()] == [direct]
        listed = scene.adapter(bot, allowed_users=(ana.user_id,))
        async with running(listed, RigInbox()):
            # An invitation is told of until it is answered, to whoever begins to read anew.
            async with asyncio.timeout(LIMIT_S):
                while len(await listed.chats()) < 2:  # noqa: ASYNC110 - what the server did has no event here
                    await asyncio.sleep(0.05)
            assert {chat.source.chat for chat in await listed.chats()} == {direct, room_id}

    async def test_in_a_group_only_what_names_the_bot_is_addressed(self, scene: Scene, tally: Counts) -> None:
        """By its id, its name, a mention, or an answer to it; our name before an order is taken off."""
        ana, bo, bot = await scene.user("ana"), await scene.user("bo"), await scene.user("bot")
        room_id = await ana.create_room(bo.user_id, bot.user_id, is_direct=False, name="the office")
        await bo.join(room_id)
        await bot.join(room_id)
        adapter, inbox = scene.adapter(bot), RigInbox()
        name = bot.user_id[1:].partition(":")[0].capitalize()
        async with running(adapter, inbox):
            ours = await adapter.send(outbound(LoopbackRig(), "anything else?", 1, source=to(room_id)))
            await ana.say(room_id, "just talking", mentions=[])
            await ana.say(room_id, f"{name}: /stop", mentions=[bot.user_id])
            await ana.say(room_id, f"ask {name} about it")
            await bo.say(room_id, "no thanks", reply_to=ours)
            await bo.say(room_id, f"{name}like words")
            await bo.say(room_id, "under ours", thread=ours)
            await inbox.until(lambda: len(inbox.received) >= 6)
        assert [(item.text, item.is_addressed) for item in inbox.received] == [
            ("just talking", False),
            ("/stop", True),
            (f"ask {name} about it", True),
            ("no thanks", True),
            (f"{name}like words", False),
            ("under ours", True),
        ]
        assert {item.source.kind for item in inbox.received} == {ChatKind.GROUP}
        assert {item.source.chat_name for item in inbox.received} == {"the office"}
        assert [item.quoted for item in inbox.received[3:]] == ["anything else?", "", ""]
        tally.add(in_=6, out=1, replies=1, threads=1)

    async def test_more_than_one_batch_holds_is_read_back(self, scene: Scene, tally: Counts) -> None:
        """What was said while we were away comes in whole and in order, however much it is."""
        ana, bot = await scene.user("ana"), await scene.user("bot")
        room_id = await ana.create_room(bot.user_id)
        await bot.join(room_id)
        inbox = RigInbox()
        async with running(scene.adapter(bot), inbox):
            await ana.say(room_id, "first")
            await inbox.until(lambda: bool(inbox.received))
        texts = [f"away {number}" for number in range(230)]
        for text in texts:
            await ana.say(room_id, text)
        async with running(scene.adapter(bot), inbox):
            await inbox.until(lambda: len(inbox.received) >= 231)
            await ana.say(room_id, "last")
            await inbox.until(lambda: len(inbox.received) >= 232)
        tally.numbered(["first", *texts, "last"], inbox.texts, "in_")

    async def test_an_encrypted_room_is_refused_where_everybody_sees_it(self, scene: Scene) -> None:
        """One notice in the room, over a restart too; a problem for the operator; nothing is sent in the clear."""
        ana, bot = await scene.user("ana"), await scene.user("bot")
        inbox = RigInbox()
        async with running(scene.adapter(bot), inbox):
            room_id = await ana.create_room(bot.user_id, initial_state=[ENCRYPTION])
            await inbox.until(lambda: room_id in inbox.problem)
            await ana.send(room_id, {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x"}, "m.room.encrypted")
            await ana.say(room_id, "in the clear")
            plain = await ana.create_room(bot.user_id)
            await ana.say(plain, "hello")
            await inbox.until(lambda: bool(inbox.received))
        adapter = scene.adapter(bot)
        async with running(adapter, inbox):
            assert "1 encrypted room" in inbox.problem
            await ana.send(room_id, {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x"}, "m.room.encrypted")
            await ana.say(plain, "again")
            await inbox.until(lambda: len(inbox.received) >= 2)
            with pytest.raises(PlatformError) as caught:
                await adapter.send(outbound(LoopbackRig(), "secret", 1, source=to(room_id)))
        assert caught.value.kind is PlatformErrorKind.REFUSED
        assert inbox.texts == ["hello", "again"]
        (notice,) = await ana.bodies(room_id, bot.user_id)
        assert "encrypted" in notice

    async def test_a_password_signs_in_again_when_the_session_is_ended(self, scene: Scene, tally: Counts) -> None:
        """The device is the same, so a delivery that is sent again is known; nothing that was said is lost."""
        ana, bot = await scene.user("ana"), await scene.user("bot")
        room_id = await ana.create_room(bot.user_id)
        await bot.join(room_id)
        adapter, inbox = scene.adapter(bot, password="env:PASSWORD"), RigInbox()
        async with running(adapter, inbox):
            await ana.say(room_id, "one")
            await inbox.until(lambda: len(inbox.received) >= 1)
            first = await adapter.send(outbound(LoopbackRig(), "answer", 1, source=to(room_id)))
            await bot.call("POST", f"{C}/logout/all", json={})
            assert await adapter.send(outbound(LoopbackRig(), "answer", 2, source=to(room_id))) != first
            await ana.say(room_id, "two")
            await inbox.until(lambda: len(inbox.received) >= 2)
        assert await ana.bodies(room_id, bot.user_id) == ["answer", "answer"]
        tally.numbered(["one", "two"], inbox.texts, "in_")
        tally.add(out=2, reconnects=1)

    async def test_a_wrong_password_is_said_to_be_wrong(self, scene: Scene) -> None:
        """Without the password in the words."""
        bot = await scene.user("bot")
        scene.tokens[bot.user_id] = "not the password"
        adapter = scene.adapter(bot, password="env:TOKEN")
        with pytest.raises(PlatformError) as caught:
            await adapter.probe()
        assert caught.value.kind is PlatformErrorKind.UNAUTHORISED
        assert "not the password" not in caught.value.message

    async def test_two_accounts_stand_side_by_side(self, scene: Scene, tally: Counts) -> None:
        """Each hears what is said to it, in a room of both as well."""
        ana, first, second = await scene.user("ana"), await scene.user("bot"), await scene.user("bot")
        rooms = {bot.user_id: await ana.create_room(bot.user_id) for bot in (first, second)}
        for bot in (first, second):
            await bot.join(rooms[bot.user_id])
        boxes = {first.user_id: RigInbox(), second.user_id: RigInbox()}
        one, two = scene.adapter(first), scene.adapter(second)
        assert one.credential != two.credential
        async with running(one, boxes[first.user_id]), running(two, boxes[second.user_id]):
            for number in range(10):
                for user_id, room_id in rooms.items():
                    await ana.say(room_id, f"{user_id} {number}")
            for user_id, inbox in boxes.items():
                await inbox.until(lambda inbox=inbox: len(inbox.received) >= 10)
                tally.numbered([f"{user_id} {number}" for number in range(10)], inbox.texts, "in_")

    async def test_a_place_that_the_server_does_not_know_is_said_to_be_lost(self, scene: Scene) -> None:
        """Reading begins anew and an operator is told; old messages are not replayed."""
        ana, bot = await scene.user("ana"), await scene.user("bot")
        room_id = await ana.create_room(bot.user_id)
        await bot.join(room_id)
        await ana.say(room_id, "old")
        inbox = RigInbox()
        inbox.kept_cursor = '{"since": "of-another-server"}'
        async with running(scene.adapter(bot), inbox):
            await inbox.until(lambda: "may have been missed" in inbox.problem)
            await ana.say(room_id, "new")
            await inbox.until(lambda: bool(inbox.received))
        assert inbox.texts == ["new"]

    async def test_a_sign_counts_only_under_our_own_messages(self, scene: Scene) -> None:
        """Nor do our own count; pressed() may have a word for who used it."""
        ana, bot = await scene.user("ana"), await scene.user("bot")
        room_id = await ana.create_room(bot.user_id)
        await bot.join(room_id)
        adapter, inbox = scene.adapter(bot), RigInbox()
        button = Button(token="t", label="Yes", sign="✅")
        async with running(adapter, inbox):
            theirs = await ana.say(room_id, "mine")
            await ana.react(room_id, theirs, "✅")
            ours = await adapter.send(outbound(LoopbackRig(), "may it?", 1, source=to(room_id), buttons=(button,)))
            await ana.react(room_id, ours, "✅")
            await inbox.until(lambda: bool(inbox.presses))
            async with asyncio.timeout(LIMIT_S):
                while "taken" not in await ana.bodies(room_id, bot.user_id):  # noqa: ASYNC110 - nor here
                    await asyncio.sleep(0.05)
        assert [(press.answers, press.sign) for press in inbox.presses] == [(ours, "✅")]
