"""Our Telegram adapter at the fake Bot API: what is handed in, how far Telegram may forget, and who may call us."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.api.errors import HermesError, InvalidInput, Overloaded, StoreError
from core.api.sessions import ChatKind, Source
from core.gateway.abilities import CommandHint, Fetches, HasCredential, OffersCommands, Probes, Types
from core.gateway.platform import Accepted, Button, FileKind, Inbound, PlatformError, PlatformErrorKind, Press
from tests.support.fake_telegram import Bot, Chat, FakeTelegram, Fault
from tests.support.platform_rig import NAME, RigInbox, outbound, running
from tests.support.rig_telegram import ANN, TOKEN, TelegramRig, telegram

BO = {"id": 5, "is_bot": False, "first_name": "Bo"}


class Faulty(RigInbox):
    """An inbox in which one chat's messages meet errors. refusing: the error by text, as long as it is there."""

    def __init__(self) -> None:
        super().__init__()
        self.refusing: dict[str, Exception] = {}
        self.press_error: HermesError | None = None
        self.cursors: list[str] = []
        self.tried: list[str] = []
        self.store_error: StoreError | None = None

    async def receive(self, inbound: Inbound, *, follow: bool = False) -> Accepted:
        """Keep it, unless its text is refused."""
        self.tried.append(inbound.text)
        self.arrived.set()
        if inbound.text in self.refusing:
            raise self.refusing[inbound.text]
        return await super().receive(inbound, follow=follow)

    async def pressed(self, press: Press) -> str:
        """Keep it, or fail."""
        if self.press_error is not None:
            raise self.press_error
        return await super().pressed(press)

    async def keep_cursor(self, cursor: str) -> None:
        """Keep it, and all before it."""
        if self.store_error is not None:
            raise self.store_error
        self.cursors.append(cursor)
        await super().keep_cursor(cursor)


@pytest.fixture
async def rig() -> AsyncIterator[TelegramRig]:
    """A bot that Ann talks to."""
    async with FakeTelegram() as server:
        yield TelegramRig(server)


def full() -> Overloaded:
    """A session whose queue is full."""
    return Overloaded("the queue is full", bound="queue", limit=1)


def test_it_has_the_abilities_that_telegram_has(rig: TelegramRig) -> None:
    """Each is found by its protocol; a list of chats cannot be had."""
    for ability in (Types, Fetches, Probes, OffersCommands, HasCredential):
        assert isinstance(rig.platform, ability)
    assert not hasattr(rig.platform, "chats")


async def test_updates_are_forgotten_only_when_they_are_kept(rig: TelegramRig) -> None:
    """The place where reading goes on names the bot; a new start goes on there."""
    inbox = Faulty()
    async with running(rig.platform, inbox):
        await rig.say("one")
        await inbox.until(lambda: len(inbox.cursors) == 1)
        last = inbox.cursors[-1]
    assert last == "110201543:700000002"
    async with running(rig.restarted(), inbox):
        await rig.say("two")
        await inbox.until(lambda: len(inbox.cursors) == 2)
    polls = [params for method, params in rig.server.calls if method == "getUpdates"]
    assert polls[0].get("offset") is None
    assert any(str(params.get("offset")) == last.partition(":")[2] for params in polls)
    assert "message" in polls[0]["allowed_updates"]
    assert inbox.texts == ["one", "two"]
    assert inbox.twice == []


async def test_the_place_of_another_bot_is_not_ours(rig: TelegramRig) -> None:
    """Its numbers say nothing about our updates."""
    for kept in ("42:999999999999", "nonsense", "110201543:x"):
        inbox = Faulty()
        inbox.kept_cursor = kept
        text = f"after {kept}"
        await rig.say(text)
        async with running(rig.restarted(), inbox):
            await inbox.until(lambda inbox=inbox, text=text: text in inbox.texts)  # type: ignore[misc]


async def test_a_full_session_holds_no_other_chat_up(rig: TelegramRig) -> None:
    """Its message comes again until it is taken; its chat stays in order, but a command may overtake."""
    inbox = Faulty()
    inbox.refusing["stuck"] = full()
    other = rig.server.people.private(BO)
    async with running(rig.platform, inbox):
        await rig.say("stuck")
        await rig.say("behind it")
        await rig.say("/stop")
        rig.server.people.say(other, BO, "elsewhere")
        await inbox.until(lambda: inbox.tried.count("stuck") >= 2)
        assert sorted(inbox.texts) == ["/stop", "elsewhere"]
        assert inbox.kept_cursor.endswith(":700000001"), "the one that is stuck is still to come"
        inbox.refusing.clear()
        await inbox.until(lambda: inbox.kept_cursor.endswith(":700000005"))
    assert inbox.texts[2:] == ["stuck", "behind it"]
    assert inbox.tried.count("/stop") == 1


async def test_what_is_refused_for_good_is_done_with(rig: TelegramRig) -> None:
    """Telegram may forget it."""
    inbox = Faulty()
    inbox.refusing["bad"] = InvalidInput("no", field="text")
    async with running(rig.platform, inbox):
        await rig.say("bad")
        await rig.say("good")
        await inbox.until(lambda: inbox.kept_cursor.endswith(":700000003"))
    assert inbox.tried == ["bad", "good"]


async def test_an_update_that_cannot_be_handled_is_let_go_and_said(rig: TelegramRig) -> None:
    """One fault must not make the account deaf for ever."""
    inbox = Faulty()
    inbox.refusing["poison"] = TypeError("a fault of the core")
    async with running(rig.platform, inbox) as run:
        await rig.say("poison")
        error = await run.failure()
    assert (inbox.tried.count("poison"), "TypeError" in error.message) == (3, True)
    async with running(rig.platform, inbox):
        await rig.say("after")
        await inbox.until(lambda: inbox.texts == ["after"])
    assert inbox.tried.count("poison") == 3


async def test_a_place_that_cannot_be_kept_stops_nothing(rig: TelegramRig) -> None:
    """Then the same is read again after a restart, and known by its ids."""
    inbox = Faulty()
    inbox.store_error = StoreError("the disk is full", cause="full")
    async with running(rig.platform, inbox):
        await rig.say("one")
        await rig.say("two")
        await inbox.until(lambda: len(inbox.texts) == 2)
        inbox.store_error = None
        await rig.say("three")
        await inbox.until(lambda: bool(inbox.cursors))
    assert inbox.texts == ["one", "two", "three"]


async def test_what_comes_twice_out_of_order_or_broken_is_put_right(rig: TelegramRig) -> None:
    """By numbers of updates and ids of messages; what is no update is skipped."""
    inbox = Faulty()
    for number in range(3):
        await rig.say(f"word {number}")
    rig.bot.queue.reverse()
    odd: list[Any] = [{"update_id": "x"}, 5, None, {"no": "id"}, {"update_id": -1}, {"update_id": 1, "message": [1]}]
    rig.bot.queue[1:1] = [value for value in odd if isinstance(value, dict) and isinstance(value.get("update_id"), int)]
    async with running(rig.platform, inbox):
        await inbox.until(lambda: len(inbox.texts) == 3)
        await rig.server.until(lambda: len(rig.server.acknowledged.get(rig.bot.id, [])) >= 3)
        words = [n for n, item in enumerate(rig.server.acknowledged[rig.bot.id]) if "text" in item.get("message", {})]
        rig.server.repeat(rig.bot, words[0])
        await inbox.until(lambda: bool(inbox.twice))
    assert inbox.texts == ["word 0", "word 1", "word 2"]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault("status", "getUpdates", status=502, description="Bad Gateway"), PlatformErrorKind.RETRY_AFTER),
        (Fault("garbage", "getUpdates", status=200), PlatformErrorKind.RETRY_AFTER),
        (Fault("drop", "getUpdates"), PlatformErrorKind.RETRY_AFTER),
        (Fault("cut", "getUpdates"), PlatformErrorKind.RETRY_AFTER),
        (Fault("status", "getMe", status=401, description="Unauthorized"), PlatformErrorKind.UNAUTHORISED),
        (Fault("hang", "getUpdates"), PlatformErrorKind.RETRY_AFTER),
    ],
)
async def test_a_fault_ends_the_run_and_nothing_is_lost(
    rig: TelegramRig, fault: Fault, kind: PlatformErrorKind
) -> None:
    """The core runs it again; a poll that is never answered is cut by our own deadline."""
    inbox = Faulty()
    rig.server.fail(fault)
    await rig.say("one")
    async with running(rig.platform, inbox, must_stand=False) as run:
        error = await run.failure()
    assert (error.kind, TOKEN in error.message) == (kind, False)
    async with running(rig.platform, inbox):
        await inbox.until(lambda: inbox.texts == ["one"])
    assert inbox.twice == []


async def test_two_programs_with_one_token_are_told_apart(rig: TelegramRig) -> None:
    """The one that is cut off says so and waits long; it never says that it stands."""
    second = Faulty()
    rig.server.fail(Fault("status", "getUpdates", status=409, description="Conflict: terminated by other getUpdates"))
    async with running(rig.platform, second, must_stand=False) as run:
        error = await run.failure()
    assert ("another program reads" in error.message, error.retry_after_s) == (True, 30.0)
    assert second.addresses == []


async def test_an_old_webhook_is_taken_away_before_polling(rig: TelegramRig) -> None:
    """What waits for it is kept."""
    rig.bot.webhook = {"url": "https://old.example.org"}
    await rig.say("kept")
    inbox = Faulty()
    async with running(rig.platform, inbox):
        await inbox.until(lambda: inbox.texts == ["kept"])
    assert inbox.addresses == ["@helper_bot at 127.0.0.1"]


async def test_a_press_is_answered_once_with_what_the_core_says(rig: TelegramRig) -> None:
    """Also when it is refused, so that the sign of waiting goes away; it is never put off."""
    inbox = Faulty()
    button = Button(token="t", label="Yes", sign="✅")
    async with running(rig.platform, inbox):
        ours = await rig.platform.send(outbound(rig, "may it?", 1, buttons=(button,)))
        await rig.press(ours, button)
        await rig.server.until(lambda: None not in rig.bot.queries.values())
        inbox.press_error = full()
        await rig.press(ours, button)
        await rig.server.until(lambda: None not in rig.bot.queries.values())
        rig.bot.queries["odd"] = None
        rig.bot.give("callback_query", {"id": "odd", "from": ANN, "chat_instance": "1", "game_short_name": "g"})
        await rig.server.until(lambda: None not in rig.bot.queries.values())
    assert list(rig.bot.queries.values()) == ["taken", "the queue is full", ""]


async def test_a_topic_keeps_its_answers(rig: TelegramRig) -> None:
    """And the sign of typing; what is sent to a topic that was closed is an end."""
    forum = rig.server.world.add_chat(Chat(-1005, "supergroup", "Forum", is_forum=True, topics={42}))
    inbox = Faulty()
    async with running(rig.platform, inbox):
        rig.server.people.say(forum, ANN, "@helper_bot inside", thread=42)
        await inbox.until(lambda: bool(inbox.received))
        (inbound,) = inbox.received
        assert (inbound.source.kind, inbound.source.thread, inbound.text) == (ChatKind.GROUP, "42", "inside")
        await rig.platform.send(outbound(rig, "answer", 1, source=inbound.source, reply_to=inbound.native_id))
        forum.topics.clear()
        with pytest.raises(PlatformError) as caught:
            await rig.platform.send(outbound(rig, "answer", 2, source=inbound.source))
    (sent,) = rig.server.of_bots(forum)
    assert (sent["message_thread_id"], sent["reply_to_message"]["text"]) == (42, "@helper_bot inside")
    assert caught.value.kind is PlatformErrorKind.GONE


async def test_an_album_shares_its_group(rig: TelegramRig) -> None:
    """The core joins its parts; each photo is fetched in its largest size."""
    inbox = Faulty()
    async with running(rig.platform, inbox):
        for name, content in (("a.jpg", b"first"), ("b.jpg", b"second")):
            more = {"media_group_id": "77", "caption": "see" if name == "a.jpg" else ""}
            rig.server.people.attach(rig.chat, ANN, "photo", name, content, **more)
        await inbox.until(lambda: len(inbox.received) == 2)
        assert isinstance(rig.platform, Fetches)
        files = [file for inbound in inbox.received for file in inbound.files]
        contents = [b"".join([piece async for piece in rig.platform.fetch(file.ref)]) for file in files]
    assert {inbound.group_id for inbound in inbox.received} == {"8841/77"}
    assert ([file.kind for file in files], contents) == ([FileKind.PHOTO] * 2, [b"first", b"second"])
    assert inbox.texts == ["see", ""]


async def test_who_has_blocked_us_sees_no_typing_and_gets_a_clear_end(rig: TelegramRig) -> None:
    """And is written to again once unblocked."""
    inbox = Faulty()
    platform = rig.platform
    assert isinstance(platform, Types)
    async with running(platform, inbox):
        rig.server.people.block(rig.chat, ANN)
        await rig.server.until(lambda: bool(inbox.cursors))
        await platform.typing(rig.source, is_on=True)
        assert rig.bot.typing == []
        with pytest.raises(PlatformError, match="blocked by the user") as caught:
            await platform.send(outbound(rig, "x", 1))
        assert caught.value.kind is PlatformErrorKind.REFUSED
        rig.server.people.unblock(rig.chat, ANN)
        await rig.server.until(lambda: len(inbox.cursors) == 2)
        await platform.typing(rig.source, is_on=True)
        assert rig.bot.typing == [(8841, "typing")]
        await platform.send(outbound(rig, "x", 1))


async def test_commands_are_offered_under_names_that_telegram_knows(rig: TelegramRig) -> None:
    """And come back under ours."""
    platform = rig.platform
    assert isinstance(platform, OffersCommands)
    hints = [CommandHint(name="new", text="begin\nanew"), CommandHint(name="reload-hooks", text="x" * 300)]
    inbox = Faulty()
    async with running(platform, inbox):
        await platform.offer_commands([*hints, CommandHint(name="näh", text="cannot be shown")])
        await rig.say("/reload_hooks now")
        await inbox.until(lambda: bool(inbox.texts))
    assert [item["command"] for item in rig.bot.commands] == ["new", "reload_hooks"]
    assert rig.bot.commands[0]["description"] == "begin anew"
    assert inbox.texts == ["/reload-hooks now"]


async def test_a_token_of_another_bot_is_noticed(rig: TelegramRig) -> None:
    """A Bot API server that answers for somebody else is not ours."""
    rig.bot.id = 42
    async with running(rig.platform, Faulty(), must_stand=False) as run:
        assert (await run.failure()).kind is PlatformErrorKind.UNAUTHORISED


async def test_a_poll_that_brings_too_much_is_asked_for_less(rig: TelegramRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred large updates must not make us deaf."""
    inbox = Faulty()
    for number in range(4):
        await rig.say(f"{number}" + "x" * 1000)
    with monkeypatch.context() as patched:
        patched.setattr("core.gateway.adapters.telegram._BATCH_LIMIT_BYTES", 2_000)
        for _ in range(6):
            async with running(rig.platform, inbox, must_stand=False) as run:
                assert "more than 2000 bytes" in (await run.failure()).message
        async with running(rig.platform, inbox) as run:
            await inbox.until(lambda: bool(inbox.texts))
            await run.failure()
    async with running(rig.platform, inbox):
        await inbox.until(lambda: len(inbox.texts) == 4)
    limits = [params["limit"] for method, params in rig.server.calls if method == "getUpdates"]
    assert limits[:7] == [100, 50, 25, 12, 6, 3, 1]


async def test_an_answer_to_a_poll_that_is_no_list_is_a_fault(
    rig: TelegramRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no reason to believe that there is nothing."""

    async def odd(*_: object) -> dict[str, object]:
        return {}

    monkeypatch.setattr(rig.server, "_updates", odd)
    async with running(rig.platform, Faulty(), must_stand=False) as run:
        assert "no list" in (await run.failure()).message


async def test_an_update_that_cannot_be_read_is_skipped(rig: TelegramRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in reading it."""

    def broken(*_: object) -> None:
        raise ValueError

    inbox = Faulty()
    with monkeypatch.context() as patched:
        patched.setattr("core.gateway.adapters.telegram_reading.happening", broken)
        async with running(rig.platform, inbox):
            await rig.say("cannot be read")
            await inbox.until(lambda: bool(inbox.cursors))
    async with running(rig.platform, inbox):
        await rig.say("after")
        await inbox.until(lambda: inbox.texts == ["after"])


async def test_two_bots_do_not_know_each_other(rig: TelegramRig) -> None:
    """Each has its own updates, place and credential."""
    token = "42:second-bot-with-a-token-of-its-own"
    other_bot: Bot = rig.server.world.add_bot(token, "second_bot")
    other = telegram(rig.server, token=token)
    first, second = Faulty(), Faulty()
    async with running(rig.platform, first), running(other, second), asyncio.timeout(20):
        rig.server.people.say(rig.chat, ANN, "to the first", to=rig.bot)
        rig.server.people.say(rig.chat, ANN, "to the second", to=other_bot)
        await first.until(lambda: bool(first.texts))
        await second.until(lambda: bool(second.texts))
    assert (first.texts, second.texts) == (["to the first"], ["to the second"])
    assert first.kept_cursor != second.kept_cursor
    assert isinstance(rig.platform, HasCredential)
    assert isinstance(other, HasCredential)
    assert rig.platform.credential != other.credential
    assert TOKEN not in str(rig.platform.credential)


async def test_a_chat_that_is_none_of_telegram_is_refused(rig: TelegramRig) -> None:
    """Such as a target that an operator mistyped."""
    source = Source(platform=NAME, kind=ChatKind.DM, chat="not a chat")
    with pytest.raises(PlatformError) as caught:
        await rig.platform.send(outbound(rig, "x", 1, source=source))
    assert caught.value.kind is PlatformErrorKind.REFUSED
