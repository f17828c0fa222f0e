"""Other people's clients of Telegram against our fake of its Bot API: what they understand, our adapter may rely on."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.platforms.installed import environment
from tests.support.fake_telegram import Bot, Chat, FakeTelegram, Fault
from tests.support.fake_telegram.faults import flood
from tests.support.fake_telegram.params import METHODS

PLATFORM = "telegram"
HERE = Path(__file__).parent
TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
ANN = {"id": 8841, "is_bot": False, "first_name": "Ann", "last_name": "Lee", "username": "ann_lee"}
LIMIT_S = 60.0
CONTENT = bytes(range(256)) * 300


@pytest.fixture(scope="module")
def platforms_python() -> Path:
    """The Python that has the clients."""
    return environment("platforms") / "python"


class Client:
    """A bot of somebody else's, in a process of its own."""

    def __init__(self, server: FakeTelegram, bot: Bot, process: asyncio.subprocess.Process) -> None:
        self.server = server
        self.bot = bot
        self.chat: Chat = server.people.private(ANN)
        self._process = process

    async def seen(self, what: str) -> dict[str, Any]:
        """The next line that it prints, which must be of this kind."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        found: dict[str, Any] = json.loads(line or b'{"what": "it has ended"}')
        assert found.pop("what") == what, (what, found)
        return found

    async def told(self, text: str, what: str) -> dict[str, Any]:
        """What it prints when Ann writes something."""
        self.server.people.say(self.chat, ANN, text)
        return await self.seen(what)


@asynccontextmanager
async def client(python: Path, program: str) -> AsyncIterator[Client]:
    """A client that polls our server; on leaving it has ended, by itself or not."""
    async with FakeTelegram() as server, asyncio.timeout(LIMIT_S):
        bot = server.world.add_bot(TOKEN, "helper_bot")
        process = await asyncio.create_subprocess_exec(
            str(python), str(HERE / program), server.url, TOKEN, stdout=asyncio.subprocess.PIPE
        )
        try:
            made = Client(server, bot, process)
            assert await made.seen("me") == {"id": 110201543, "username": "helper_bot"}
            yield made
            assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def prepare_failures(made: Client) -> None:
    """A flood in Ann's chat, a chat that has blocked us, a group that has moved."""
    made.server.fail(flood(7))
    world = made.server.world
    world.add_chat(Chat(501, "private", "Bo", blocked="bot was blocked by the user"))
    world.add_chat(Chat(502, "group", "Old", moved_to=-1001234))


async def test_aiogram_understands_all_of_it(platforms_python: Path) -> None:
    """Text, marks, replies, topics, edits, buttons, files, menus, refusals, floods, webhooks."""
    async with client(platforms_python, "telegram_aiogram.py") as made:
        people = made.server.people
        assert await made.seen("stranger") == {"error": "TelegramNotFound"}
        await conversation(made)
        assert await made.told("/ask", "asked") == {
            "text": "May it & should it?",
            "kinds": ["bold"],
            "html": "<b>May</b> it &amp; should it?",
        }
        assert made.bot.typing == [(made.chat.id, "typing")]
        question = made.server.of_bots(made.chat)[-1]["message_id"]
        press = people.press(made.chat, question, "No", ANN)
        assert "query is too old" in (await made.seen("second answer"))["error"]
        pressed = await made.seen("pressed")
        assert "message is not modified" in pressed.pop("again")
        assert pressed == {"data": "t-no", "text": "It may", "buttons": False}
        assert made.bot.queries[press] == "noted"
        await refusals(made)
        people.attach(made.chat, ANN, "photo", "p.jpg", b"jpeg", caption="look")
        assert await made.seen("photo") == {"widths": [90, 1280], "caption": "look"}
        channel = made.server.world.add_chat(Chat(-100777, "channel", "News"))
        people.say(channel, ANN, "today")
        assert await made.seen("post") == {"text": "today", "by": "News"}
        assert await made.told("/menu", "menu") == {"commands": [["new", "begin anew"]]}
        await ending(made)
        assert await made.seen("webhook") == {"url": "https://bot.example.org/hook"}


async def test_python_telegram_bot_understands_it(platforms_python: Path) -> None:
    """The same with the other client."""
    async with client(platforms_python, "telegram_ptb.py") as made:
        await conversation(made)
        assert await made.told("/ask", "asked") == {"text": "May it?", "html": "<i>May</i> it?"}
        question = made.server.of_bots(made.chat)[-1]["message_id"]
        made.server.people.press(made.chat, question, "Yes", ANN)
        pressed = await made.seen("pressed")
        assert "not modified" in pressed.pop("again").lower()
        assert pressed == {"data": "t-yes", "text": "It may"}
        prepare_failures(made)
        assert await made.told("/failures", "flood") == {"wait_s": 7}
        assert "blocked" in (await made.seen("forbidden"))["error"]
        assert await made.seen("moved") == {"to": -1001234}
        assert "too long" in (await made.seen("long"))["error"]
        assert "replied not found" in (await made.seen("reply"))["error"]
        await made.told("/quit", "quit")
        assert "webhook is active" in (await made.seen("conflict"))["error"]


async def test_our_fake_knows_no_parameter_that_the_bot_api_does_not(platforms_python: Path) -> None:
    """Names, and which of them must be given, as a client has them that is generated from the Bot API."""
    process = await asyncio.create_subprocess_exec(
        str(platforms_python), str(HERE / "telegram_schema.py"), stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    known: dict[str, dict[str, bool]] = json.loads(printed)
    assert set(METHODS) <= set(known)
    for method, spec in METHODS.items():
        assert set(spec) <= set(known[method]), method
        required = {name for name, kind in spec.items() if kind.endswith("!")}
        must = {name for name, is_required in known[method].items() if is_required}
        # Messages can also be edited elsewhere, and have other contents than text: this fake has neither.
        assert required - must <= ({"chat_id", "message_id", "text"} if method.startswith("edit") else set()), method
        assert must <= required, method
    assert set(known["button"]) >= {"text", "callback_data", "style"}


async def conversation(made: Client) -> None:
    """Text, a reply, a topic, an edit and a file, as every client must see them."""
    people = made.server.people
    first = await made.told("héllo 🙂", "echo")
    assert (first["text"], first["topic"], first["back"]) == ("héllo 🙂", None, True)
    forum = made.server.world.add_chat(Chat(-1005, "supergroup", "Forum", is_forum=True, topics={42}))
    people.say(forum, ANN, "in a topic", thread=42)
    inside = await made.seen("echo")
    assert (inside["text"], inside["topic"], inside["back"]) == ("in a topic", 42, True)
    assert made.server.of_bots(forum)[-1]["message_thread_id"] == 42
    ours = made.server.of_bots(made.chat)[-1]
    people.say(made.chat, ANN, "an answer", reply_to=ours["message_id"])
    assert (await made.seen("echo")).get("answered", "héllo 🙂") == "héllo 🙂"
    people.change(made.chat, 1, "changed")
    assert (await made.seen("edited"))["text"] == "changed"
    people.attach(made.chat, ANN, "document", "notes.bin", CONTENT)
    assert await made.seen("document") == {"name": "notes.bin", "size": len(CONTENT), "back": len(CONTENT)}
    sent = made.server.of_bots(made.chat)[-1]
    assert made.server.world.files[sent["document"]["file_id"]] == ("back.bin", CONTENT[::-1])
    assert sent["caption"] == "here it is"


async def refusals(made: Client) -> None:
    """What a client may not do is refused in the words that clients look for."""
    found = await made.told("/refusals", "refusals")
    wanted = {
        "long": "message is too long",
        "longest": "ok",
        "empty": "message text is empty",
        "markup": "can't parse entities",
        "chat": "chat not found",
        "reply": "message to be replied not found",
        "topic": "message thread not found",
        "button": "BUTTON_DATA_INVALID",
        "file": "invalid file_id",
        "edit": "message can't be edited",
        "command": "BOT_COMMAND_INVALID",
        "action": "wrong parameter action",
    }
    assert {name: words for name, words in wanted.items() if not re.search(re.escape(words), found[name])} == {}


async def ending(made: Client) -> None:
    """Failures with an exception of their own, a blocked bot, an update delivered twice, and the end."""
    people = made.server.people
    prepare_failures(made)
    assert await made.told("/failures", "flood") == {"wait_s": 7}
    assert "blocked" in (await made.seen("forbidden"))["error"]
    assert await made.seen("moved") == {"to": -1001234}
    people.block(made.chat, ANN)
    assert "kicked" in (await made.seen("member"))["status"].lower()
    people.unblock(made.chat, ANN)
    assert "member" in (await made.seen("member"))["status"].lower()
    made.server.fail(Fault("status", method="getUpdates", status=502, description="Bad Gateway"))
    people.say(made.chat, ANN, "after a fault")
    assert (await made.seen("echo"))["text"] == "after a fault"
    await made.told("/quit", "quit")
    assert "webhook is active" in (await made.seen("conflict"))["error"]
