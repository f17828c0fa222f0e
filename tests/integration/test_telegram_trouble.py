"""Our Telegram adapter when a chat is stuck, slow or flooded, or the server repeats itself: the rest goes on."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.api.errors import HermesError, Overloaded
from core.gateway.adapters import telegram_reading
from core.gateway.adapters.telegram_reading import CROWD, Reading
from core.gateway.platform import Accepted, Inbound, InboundEdit
from tests.support.fake_inbox import FakeInbox
from tests.support.fake_telegram import FakeTelegram
from tests.support.platform_rig import LIMIT_S, RigInbox, running
from tests.support.rig_telegram import TelegramRig

BO = {"id": 5, "is_bot": False, "first_name": "Bo"}


class Trouble(RigInbox):
    """refusing: the error by text; slow: texts that are taken once the gate opens. cursors: all that were kept."""

    def __init__(self) -> None:
        super().__init__()
        self.is_full = False
        self.refusing: dict[str, Exception] = {}
        self.slow: set[str] = set()
        self.gate = asyncio.Event()
        self.cursors: list[str] = []

    async def receive(self, inbound: Inbound, *, follow: bool = False) -> Accepted:
        """Take it, unless told otherwise."""
        if inbound.text in self.refusing:
            raise self.refusing[inbound.text]
        if self.is_full and inbound.source.chat != str(BO["id"]) and not inbound.text.startswith("/"):
            raise full()
        if inbound.text in self.slow:
            await self.gate.wait()
        return await super().receive(inbound, follow=follow)

    async def keep_cursor(self, cursor: str) -> None:
        """Keep it."""
        self.cursors.append(cursor)
        await super().keep_cursor(cursor)


def full() -> HermesError:
    """A session whose queue is full."""
    return Overloaded("the queue is full", bound="queue", limit=1)


@pytest.fixture
async def rig() -> AsyncIterator[TelegramRig]:
    """A bot that Ann talks to."""
    async with FakeTelegram() as server:
        yield TelegramRig(server)


async def test_a_hundred_messages_that_wait_do_not_make_the_bot_deaf(rig: TelegramRig) -> None:
    """Telegram shows no more than that before the first is done with; they come in order once there is room."""
    inbox = Trouble()
    inbox.is_full = True
    other = rig.server.people.private(BO)
    texts = [f"word {number}" for number in range(130)]
    async with running(rig.platform, inbox):
        for text in texts:
            await rig.say(text)
        rig.server.people.say(other, BO, "elsewhere")
        await rig.say("/stop")
        await inbox.until(lambda: {"elsewhere", "/stop"} <= set(inbox.texts))
        assert len(inbox.texts) == 2
        inbox.is_full = False
        await inbox.until(lambda: len(inbox.texts) == 132)
        await inbox.until(lambda: "\n" not in inbox.kept_cursor)
    assert [text for text in inbox.texts if text.startswith("word")] == texts
    assert inbox.twice == []


async def test_what_telegram_has_forgotten_is_there_after_a_restart(rig: TelegramRig) -> None:
    """It is kept with the place where reading goes on."""
    inbox = Trouble()
    inbox.is_full = True
    texts = [f"word {number}" for number in range(CROWD + 5)]
    async with running(rig.platform, inbox):
        for text in texts:
            await rig.say(text)
        await inbox.until(lambda: f"word {CROWD + 4}" in inbox.kept_cursor)
        await rig.say("after")
        await rig.say("/stop")
        await inbox.until(lambda: inbox.texts == ["/stop"])
    inbox.is_full = False
    async with running(rig.restarted(), inbox):
        await inbox.until(lambda: "after" in inbox.texts)
        await inbox.until(lambda: "\n" not in inbox.kept_cursor)
    assert [text for text in inbox.texts if text != "/stop"] == [*texts, "after"]


async def test_what_is_too_much_to_keep_stays_with_telegram(rig: TelegramRig) -> None:
    """Nothing is forgotten there before it is kept here."""
    inbox = Trouble()
    inbox.is_full = True
    texts = [f"{number} " + "x" * 2000 for number in range(CROWD + 5)]
    for text in texts:
        await rig.say(text)
    async with running(rig.platform, inbox):
        await inbox.until(lambda: inbox.heard_count >= 3)
        assert not any("\n" in cursor for cursor in inbox.cursors)
        inbox.is_full = False
        await inbox.until(lambda: len(inbox.texts) == len(texts))
    assert inbox.texts == texts


async def test_a_message_that_takes_long_holds_no_other_chat_up(rig: TelegramRig) -> None:
    """Such as one whose file comes slowly; it is handed in once."""
    inbox = Trouble()
    inbox.slow = {"slow"}
    other = rig.server.people.private(BO)
    async with running(rig.platform, inbox):
        await rig.say("slow")
        await inbox.until(lambda: inbox.heard_count >= 2)
        rig.server.people.say(other, BO, "elsewhere")
        await inbox.until(lambda: inbox.texts == ["elsewhere"])
        inbox.gate.set()
        await inbox.until(lambda: len(inbox.texts) == 2)
    assert inbox.twice == []


async def test_how_far_reading_came_is_written_once_for_each_poll(rig: TelegramRig) -> None:
    """And not at all when nothing came."""
    inbox = Trouble()
    for number in range(60):
        await rig.say(f"word {number}")
    async with running(rig.platform, inbox):
        await inbox.until(lambda: len(inbox.texts) == 60)
        await inbox.until(lambda: inbox.heard_count >= 3)
    assert len(inbox.cursors) == 1


async def answer(press_id: str, words: str) -> None:
    """Nobody presses."""


def reading_of(rig: TelegramRig, inbox: FakeInbox, group: asyncio.TaskGroup, kept: str = "") -> Reading:
    """What reads for the bot."""
    return Reading(inbox, lambda: rig.platform._account, answer, kept, group)  # type: ignore[attr-defined]


def update(number: int, text: str) -> dict[str, Any]:
    """Ann writes."""
    who = {"id": 8841, "type": "private", "first_name": "Ann", "is_bot": False}
    return {"update_id": number, "message": {"message_id": number, "chat": who, "from": who, "text": text}}


async def test_a_server_that_shows_the_same_for_ever_is_not_asked_without_a_pause(rig: TelegramRig) -> None:
    """Nor one that shows nothing that is an update."""
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        reading = reading_of(rig, RigInbox(), group)
        assert await reading.take([update(1, "one")]) == 0.0
        assert await reading.take([update(1, "one")]) > 0
        assert await reading.take([{"no": "update"}]) > 0
        assert await reading.take([]) == 0.0


async def test_numbers_that_begin_anew_are_read(rig: TelegramRig) -> None:
    """Telegram does so after a week of silence."""
    inbox = RigInbox()
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        reading = reading_of(rig, inbox, group)
        await reading.take([update(900, "one")])
        await reading.take([update(7, "two")])
    assert (inbox.texts, reading.next_id) == (["one", "two"], 8)


async def test_a_call_that_cannot_be_handled_is_let_go_at_the_third_time(rig: TelegramRig) -> None:
    """Or Telegram would bring it for a day, and everything behind it late."""
    inbox = Trouble()
    inbox.refusing["poison"] = TypeError("a fault of the core")
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        reading = reading_of(rig, inbox, group)
        assert [await reading.take_one(update(1, "poison")) for _ in range(3)] == [False, False, True]
        assert await reading.take_one(update(2, "after"))
    assert (inbox.texts, inbox.refusals) == (["after"], ["handling an update failed with TypeError"])


@pytest.mark.parametrize("rest", ["", "nonsense", "[1]", '[{"id": 3}]', '[{"id": 3, "message": {}}]', "\ud800"])
async def test_a_place_with_odd_words_behind_it_is_still_the_place(rig: TelegramRig, rest: str) -> None:
    """What cannot be read of it is left out."""
    bot_id = rig.platform._account.id  # type: ignore[attr-defined]
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        reading = reading_of(rig, RigInbox(), group, f"{bot_id}:17\n{rest}")
        assert reading.next_id == 17
        await reading.take([])


async def test_changes_that_wait_are_kept_with_the_messages(rig: TelegramRig) -> None:
    """In their order."""
    taken: list[str] = []

    class Full(RigInbox):
        """One that takes nothing at first."""

        is_full = True

        async def receive(self, inbound: Inbound, *, follow: bool = False) -> Accepted:
            """Take it when there is room."""
            if self.is_full:
                raise full()
            taken.append(inbound.text)
            return await super().receive(inbound, follow=follow)

        async def edited(self, edit: InboundEdit) -> None:
            """Take it."""
            taken.append(f"changed to {edit.text}")

    inbox = Full()
    updates = [update(number, f"w{number}") for number in range(1, CROWD + 1)]
    updates.append({"update_id": CROWD + 1, "edited_message": {**updates[0]["message"], "text": "fresh"}})
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        reading = reading_of(rig, inbox, group)
        await reading.take(updates)
        assert reading.next_id == CROWD + 2
        inbox.is_full = False
        again = reading_of(rig, inbox, group, inbox.kept_cursor)
        assert await again.take([]) == 0.0
    assert taken == [*(f"w{number}" for number in range(1, CROWD + 1)), "changed to fresh"]
    assert "\n" not in inbox.kept_cursor


async def test_chats_that_are_closed_are_remembered_up_to_a_bound(
    rig: TelegramRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can block a bot, and be somebody new the next time."""
    monkeypatch.setattr(telegram_reading, "_CLOSED_KEPT", 3)
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        reading = reading_of(rig, RigInbox(), group)
        for number, status in enumerate(["kicked"] * 6 + ["member"], 1):
            change = {"chat": {"id": min(number, 6), "type": "private"}, "new_chat_member": {"status": status}}
            await reading.take([{"update_id": number, "my_chat_member": change}])
            assert len(reading.closed_chats) == min(number, 3) - (status == "member")
        assert "6" not in reading.closed_chats
