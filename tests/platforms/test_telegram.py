"""Whole cores with bots of Telegram, at the fake Bot API that other people's clients have proven."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.api.approvals import ApprovalState, ListApprovals
from core.api.deliveries import DeliveryRetrying, ListDeliveries
from core.api.platforms import ListPlatforms, PlatformState, PlatformView
from core.kernel import Kernel
from tests.platforms.conftest import Tally
from tests.support.fake_telegram import Bot, Chat, FakeTelegram, Fault
from tests.support.fake_telegram.faults import flood
from tests.support.rig_telegram import ANN, TOKEN
from tests.support.runtime_core import core, until

PLATFORM = "telegram"
BO = {"id": 5005, "is_bot": False, "first_name": "Bo"}
SECOND = "42:second-bot-with-a-token-of-its-own"
LIMIT_S = 60.0
CONFIG = """
http: {{enabled: false}}
default_agent: echo
agents:
  echo: {{runner: scripted, scenario: builtin:echo, pace: 0}}
  main: {{runner: scripted, scenario: deploy.yaml, pace: 1}}
platforms:
  tg:
    {{kind: telegram, token: "env:TG", base_url: "{url}", poll_s: 1, allow_all: true, rate_per_s: 0,
     chat_rate_per_s: 0, mode: queue, agent: {agent}}}
  tg2:
    {{kind: telegram, token: "env:TG2", base_url: "{url}", poll_s: 1, allow_all: true, rate_per_s: 0,
     chat_rate_per_s: 0, mode: queue}}
sessions: {{burst_s: 0}}
deliveries: {{base_s: 0.05, cap_s: 0.2, timeout_s: 3}}
core: {{drain_s: 0}}
"""
SCENARIO = """
about: Deploys when it may.
word_pause_s: 0
rules:
  - match: deploy
    steps:
      - approval:
          title: Deploy to production
          detail: deployctl rollout
          kind: execute
          allow: [{text: It is deployed.}]
          deny: [{text: It is not deployed.}]
  - steps:
      - tool: {title: look, kind: read, input: x, output: y, seconds: [0.5, 0.5]}
      - text: It took a while.
"""


class Stage:
    """A core, its Bot API, and the two bots of it."""

    def __init__(self, server: FakeTelegram, kernel: Kernel, bots: tuple[Bot, Bot]) -> None:
        self.server = server
        self.people = server.people
        self.kernel = kernel
        self.bot, self.second = bots
        self.ann = self.people.private(ANN)
        self.bo = self.people.private(BO)

    async def told(self, chat: Chat, count: int) -> list[str]:
        """What was written into a chat, once so many messages are there."""
        await self.until(lambda: len(self.server.texts(chat)) >= count)
        return self.server.texts(chat)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so at the far side."""
        async with asyncio.timeout(LIMIT_S):
            await self.server.until(is_so)

    async def platform(self, name: str = "tg") -> PlatformView:
        """How a connection stands."""
        views = (await self.kernel.query(ListPlatforms())).platforms
        return next(view for view in views if view.name == name)


@asynccontextmanager
async def stage(home: Path, server: FakeTelegram, *, agent: str = "echo") -> AsyncIterator[Stage]:
    """A core at a server, which both go on being there until the end."""
    bots: list[Bot] = []
    await asyncio.to_thread((home / "deploy.yaml").write_text, SCENARIO)
    for token, name in ((TOKEN, "helper_bot"), (SECOND, "second_bot")):
        bots.append(server.world.bots.get(token) or server.world.add_bot(token, name))
    async with core(home, CONFIG.format(url=server.url, agent=agent)) as kernel:
        yield Stage(server, kernel, (bots[0], bots[1]))
        async with asyncio.timeout(LIMIT_S):
            # What Telegram has taken is settled a moment later, which has no event when it went at once.
            while (await kernel.query(ListDeliveries())).deliveries:  # noqa: ASYNC110 - as said above
                await asyncio.sleep(0.01)
        told = repr(await kernel.journal.read(limit=5000)) + repr((await kernel.query(ListPlatforms())).platforms)
        assert TOKEN.partition(":")[2] not in told


@pytest.fixture(autouse=True)
def _tokens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # The locks of accounts are those of all cores on this machine, and other tests have bots of the same token.
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TG", TOKEN)
    monkeypatch.setenv("TG2", SECOND)
    # The line is given up soon after a poll should have been answered.
    monkeypatch.setattr("core.gateway.adapters.telegram._POLL_SLACK_S", 0.5)


@pytest.fixture
async def server() -> AsyncIterator[FakeTelegram]:
    """A Bot API."""
    async with FakeTelegram() as found:
        yield found


def numbers(texts: list[str]) -> list[str]:
    """The numbered messages among others."""
    return [text for text in texts if re.fullmatch(r"\w+ \d+", text)]


async def test_text_goes_both_ways_as_an_answer(tmp_path: Path, server: FakeTelegram, tally: Tally) -> None:
    """In a one-to-one chat, in a group that names us, and in a topic, each in its place."""
    group = server.world.add_chat(Chat(-100200, "supergroup", "Team", is_forum=True, topics={42}))
    async with stage(tmp_path, server) as found:
        theirs = found.people.say(found.ann, ANN, "héllo 🙂", to=found.bot)
        assert await found.told(found.ann, 1) == ["héllo 🙂"]
        assert server.of_bots(found.ann)[0]["reply_to_message"]["message_id"] == theirs["message_id"]
        found.people.say(group, BO, "not for you")
        found.people.say(group, BO, "@helper_bot in the group")
        assert await found.told(group, 1) == ["in the group"]
        found.people.say(group, BO, "@helper_bot in the topic", thread=42)
        await found.told(group, 2)
        first, second = server.of_bots(group)
        assert ("message_thread_id" in first, second["message_thread_id"]) == (False, 42)
    tally.add(in_=3, out=3, replies=3, threads=1)


async def test_a_long_answer_arrives_whole(tmp_path: Path, server: FakeTelegram, tally: Tally) -> None:
    """In parts that Telegram takes, in their order, with nothing between them lost."""
    text = " ".join(f"word{number}🙂" for number in range(900))
    async with stage(tmp_path, server) as found:
        found.people.say(found.ann, ANN, text[:4000], to=found.bot)
        found.people.say(found.bo, BO, text, to=found.bot)
        await found.told(found.ann, 1)
        words = text.split()
        await found.until(lambda: sum(len(part.split()) for part in server.texts(found.bo)) >= len(words))
        parts = server.texts(found.bo)
    assert " ".join(parts).split() == words
    assert all(len(part.encode("utf-16-le")) // 2 <= 4096 for part in parts)
    tally.add(in_=2, out=1 + len(parts))


async def test_two_accounts_at_once_keep_apart(tmp_path: Path, server: FakeTelegram, tally: Tally) -> None:
    """Each bot answers what was said to it, and nothing else, all in order."""
    wanted = {"tg": [f"first {n}" for n in range(20)], "tg2": [f"second {n}" for n in range(20)]}
    async with stage(tmp_path, server) as found:
        for one, two in zip(wanted["tg"], wanted["tg2"], strict=True):
            found.people.say(found.ann, ANN, one, to=found.bot)
            found.people.say(found.bo, BO, two, to=found.second)
        await found.told(found.ann, 20)
        await found.told(found.bo, 20)
        assert {message["from"]["id"] for message in server.of_bots(found.ann)} == {found.bot.id}
        assert {message["from"]["id"] for message in server.of_bots(found.bo)} == {found.second.id}
        tally.numbered(wanted["tg"], server.texts(found.ann), "out")
        tally.numbered(wanted["tg2"], server.texts(found.bo), "out")
    tally.add(in_=40)


async def test_lines_that_break_lose_and_repeat_nothing(tmp_path: Path, server: FakeTelegram, tally: Tally) -> None:
    """Dropped polls, half answers, a server that stops and starts, updates delivered again: all is answered once."""
    wanted = [f"word {number}" for number in range(40)]
    faults = {
        4: Fault("drop", "getUpdates"),
        8: Fault("cut", "getUpdates"),
        12: Fault("status", "sendMessage", status=503, description="Service Unavailable"),
        16: Fault("drop", "sendMessage"),
        20: Fault("garbage", "getUpdates", status=200),
        24: flood(0),
    }
    async with stage(tmp_path, server) as found:
        for number, text in enumerate(wanted):
            if number in faults:
                await found.told(found.ann, number)
                server.fail(faults[number])
            if number == 28:
                await found.told(found.ann, number)
                await server.stop()
            found.people.say(found.ann, ANN, text, to=found.bot)
            if number == 32:
                await server.start()
            if number == 36:
                await found.until(lambda: len(server.acknowledged[found.bot.id]) > 5)
                server.repeat(found.bot, 0, 3, 5)
                server.break_lines()
        await found.told(found.ann, len(wanted))
        found.people.say(found.ann, ANN, "the end", to=found.bot)
        await found.until(lambda: "the end" in server.texts(found.ann))
        tally.numbered(wanted, numbers(server.texts(found.ann)), "out")
        view = await found.platform()
        assert view.inbound_count >= len(wanted)
    tally.add(in_=len(wanted), reconnects=view.restart_count)
    assert view.restart_count >= 3


async def test_a_restart_of_the_core_loses_and_repeats_nothing(
    tmp_path: Path, server: FakeTelegram, tally: Tally
) -> None:
    """What is said meanwhile waits at Telegram; what was answered is not answered again."""
    wanted = [f"word {number}" for number in range(15)]
    for begin in (0, 5, 10):
        async with stage(tmp_path, server) as found:
            for text in wanted[begin : begin + 3]:
                found.people.say(found.ann, ANN, text, to=found.bot)
            await found.told(found.ann, begin + 3)
            bot, ann = found.bot, found.ann
        for text in wanted[begin + 3 : begin + 5]:
            server.people.say(ann, ANN, text, to=bot)
    async with stage(tmp_path, server) as found:
        await found.told(found.ann, len(wanted))
        tally.numbered(wanted, server.texts(found.ann), "out")
    tally.add(in_=len(wanted), reconnects=3)


async def test_a_poll_that_is_never_answered_is_noticed(tmp_path: Path, server: FakeTelegram, tally: Tally) -> None:
    """The connection is shown as down, with words for people, and heals by itself."""
    async with stage(tmp_path, server) as found:
        found.people.say(found.ann, ANN, "before", to=found.bot)
        await found.told(found.ann, 1)
        server.is_deaf = True
        view = await found.platform()
        async with asyncio.timeout(LIMIT_S):
            # Both ways to notice it show in the view, whose events are many.
            while view.state is not PlatformState.DOWN:
                await asyncio.sleep(0.05)
                view = await found.platform()
        assert "127.0.0.1" in view.last_error
        assert TOKEN not in view.last_error
        server.is_deaf = False
        found.people.say(found.ann, ANN, "after", to=found.bot)
        assert await found.told(found.ann, 2) == ["before", "after"]
    tally.add(in_=2, out=2, reconnects=1)


async def test_a_message_whose_answer_was_lost_may_come_twice_and_says_so(
    tmp_path: Path, server: FakeTelegram, tally: Tally
) -> None:
    """Telegram cannot tell that it has it already, and it is not to be lost."""
    async with stage(tmp_path, server) as found:
        server.fail(Fault("drop", "sendMessage", is_done=True))
        found.people.say(found.ann, ANN, "once", to=found.bot)
        event = await until(found.kernel, DeliveryRetrying)
        assert "may show it twice" in event.delivery.error
        assert await found.told(found.ann, 2) == ["once", "once"]
    # The one repetition that the line at the end shows: it is meant, and nothing else may repeat.
    tally.add(in_=1, out=1, duplicates=1)


@pytest.mark.parametrize(("place", "answer"), [(0, "It is deployed."), (-1, "It is not deployed.")])
async def test_a_question_of_an_agent_is_answered_by_a_button(
    tmp_path: Path, server: FakeTelegram, tally: Tally, place: int, answer: str
) -> None:
    """It shows buttons; the press decides, is acknowledged, and takes the buttons away."""
    async with stage(tmp_path, server, agent="main") as found:
        found.people.say(found.ann, ANN, "please deploy", to=found.bot)
        await found.until(lambda: any("reply_markup" in message for message in server.of_bots(found.ann)))
        question = next(message for message in server.of_bots(found.ann) if "reply_markup" in message)
        buttons = [button for row in question["reply_markup"]["inline_keyboard"] for button in row]
        press = found.people.press(found.ann, question["message_id"], buttons[place]["text"], ANN)
        await found.until(lambda: bool(found.bot.queries.get(press)))
        await found.until(lambda: answer in server.texts(found.ann))
        await found.until(lambda: "reply_markup" not in found.ann.messages[question["message_id"]])
        views = (await found.kernel.query(ListApprovals())).approvals
        assert [view.state for view in views if view.state is ApprovalState.OPEN] == []
        assert len(views) == 1
    tally.add(in_=1, out=2, edits=1)


def in_workspace(home: Path, path: str) -> bytes:
    """The contents of a file that its agent was told of by a path within its workspace."""
    (found,) = (home / "workspaces").rglob(path)
    return found.read_bytes()


async def test_files_go_both_ways(tmp_path: Path, server: FakeTelegram, tally: Tally) -> None:
    """What came is kept for the agent, and what an answer names is sent, byte for byte."""
    content = bytes(range(256)) * 500
    async with stage(tmp_path, server) as found:
        found.people.attach(found.ann, ANN, "document", "notes.bin", content, caption="see here", to=found.bot)
        (text,) = await found.told(found.ann, 1)
        path = text.rpartition(": ")[2].rstrip("]")
        assert (text.startswith("see here"), "notes.bin" in text) == (True, True)
        assert await asyncio.to_thread(in_workspace, tmp_path, path) == content
        found.people.say(found.ann, ANN, f"MEDIA:{path}", to=found.bot)
        await found.told(found.ann, 2)
        sent = server.of_bots(found.ann)[-1]
        name, back = server.world.files[sent["document"]["file_id"]]
        assert (name.endswith("notes.bin"), back) == (True, content)
    tally.add(in_=2, out=2, media=2)


async def test_an_album_is_one_message(tmp_path: Path, server: FakeTelegram, tally: Tally) -> None:
    """Its pictures come as messages of their own, and are answered once, all of them kept."""
    async with stage(tmp_path, server) as found:
        for name in ("one.jpg", "two.jpg"):
            more = {"media_group_id": "77", "caption": "look" if name == "one.jpg" else "", "to": found.bot}
            found.people.attach(found.ann, ANN, "photo", name, name.encode(), **more)
        (text,) = await found.told(found.ann, 1)
        found.people.say(found.ann, ANN, "the end", to=found.bot)
        await found.told(found.ann, 2)
        paths = [line.rpartition(": ")[2].rstrip("]") for line in text.split("\n") if line.startswith("[")]
        kept = [await asyncio.to_thread(in_workspace, tmp_path, path) for path in paths]
        assert (kept, server.texts(found.ann)[1:]) == ([b"one.jpg", b"two.jpg"], ["the end"])
    tally.add(in_=2, out=2, media=2)


async def test_a_run_is_seen_to_write(tmp_path: Path, server: FakeTelegram, tally: Tally) -> None:
    """From its beginning on."""
    async with stage(tmp_path, server, agent="main") as found:
        found.people.say(found.ann, ANN, "take your time", to=found.bot)
        assert await found.told(found.ann, 1) == ["It took a while."]
        assert (found.ann.id, "typing") in found.bot.typing
    tally.add(in_=1, out=1)


async def test_a_correction_reaches_what_still_waits(tmp_path: Path, server: FakeTelegram, tally: Tally) -> None:
    """The text that is answered is the one after the edit."""
    async with stage(tmp_path, server, agent="main") as found:
        found.people.say(found.ann, ANN, "take your time", to=found.bot)
        waiting = found.people.say(found.ann, ANN, "do nothing yet", to=found.bot)
        found.people.change(found.ann, waiting["message_id"], "please deploy")
        await found.until(lambda: any("reply_markup" in message for message in server.of_bots(found.ann)))
        question = next(message for message in server.of_bots(found.ann) if "reply_markup" in message)
        buttons = [button for row in question["reply_markup"]["inline_keyboard"] for button in row]
        found.people.press(found.ann, question["message_id"], buttons[0]["text"], ANN)
        await found.until(lambda: "It is deployed." in server.texts(found.ann))
    tally.add(in_=2, out=3, edits=1)
