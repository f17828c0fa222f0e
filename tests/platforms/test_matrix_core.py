"""A whole core at a real homeserver: numbered messages in both directions, while servers stop and lines fall silent."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from core.api.platforms import PlatformState
from core.kernel import Kernel
from tests.platforms.conftest import Tally
from tests.platforms.matrix_stage import Stage, stage
from tests.platforms.synapse import Synapse
from tests.platforms.whole_core import view_of, whole_core
from tests.support.matrix_human import Human
from tests.support.tcp_line import tcp_line

PLATFORM = "matrix"
LIMIT_S = 90.0


@pytest.fixture
async def scene(synapse: Synapse) -> AsyncIterator[Stage]:
    """A homeserver and its users."""
    async with stage(synapse) as found:
        yield found


def section(name: str, bot: Human, url: str) -> str:
    """The configuration of an account."""
    return f"""\
  {name}:
    kind: matrix
    homeserver: {url}
    user_id: "{bot.user_id}"
    token: file:secrets/{name}
    sync_timeout_s: 2
    allow_all: true
"""


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait until the far side shows something."""
    async with asyncio.timeout(LIMIT_S):
        while not await is_so():  # noqa: ASYNC110 - what another server shows has no event here
            await asyncio.sleep(0.05)


async def answered(ana: Human, room_id: str, bot: Human, count: int) -> list[str]:
    """Wait for so many answers in a room; all of them."""

    async def is_so() -> bool:
        return len(await ana.bodies(room_id, bot.user_id)) >= count

    await until(is_so)
    return await ana.bodies(room_id, bot.user_id)


async def state_is(kernel: Kernel, name: str, *states: PlatformState) -> None:
    """Wait until a connection stands so."""

    async def is_so() -> bool:
        return (await view_of(kernel, name)).state in states

    await until(is_so)


async def joined(ana: Human, bot: Human) -> str:
    """A room of the two."""
    room_id = await ana.create_room(bot.user_id)
    await bot.join(room_id)
    return room_id


async def test_a_server_that_stops_in_the_middle_loses_nothing(scene: Stage, tmp_path: Path, tally: Tally) -> None:
    """It is ended by SIGTERM and started again between numbered messages, with answers still on their way."""
    ana, bot = await scene.user("ana"), await scene.user("bot")
    room_id = await joined(ana, bot)
    platforms = section("chat", bot, scene.synapse.url)
    async with whole_core(tmp_path / "home", platforms, {"chat": scene.tokens[bot.user_id]}) as kernel:
        await state_is(kernel, "chat", PlatformState.CONNECTED)
        for number in range(20):
            await ana.say(room_id, f"message {number}")
        await asyncio.to_thread(scene.synapse.stop)
        await state_is(kernel, "chat", PlatformState.DOWN)
        await asyncio.to_thread(scene.synapse.start)
        for number in range(20, 40):
            await ana.say(room_id, f"message {number}")
        answers = await answered(ana, room_id, bot, 40)
        view = await view_of(kernel, "chat")
    sent = [f"message {number}" for number in range(40)]
    tally.numbered(sent, answers, "out")
    tally.add(in_=view.inbound_count, reconnects=view.restart_count)
    assert view.restart_count >= 1


async def test_a_core_that_stops_in_the_middle_loses_nothing(scene: Stage, tmp_path: Path, tally: Tally) -> None:
    """What was said while it was away is answered by its next start, and nothing twice."""
    ana, bot = await scene.user("ana"), await scene.user("bot")
    room_id = await joined(ana, bot)
    platforms, secrets = section("chat", bot, scene.synapse.url), {"chat": scene.tokens[bot.user_id]}
    async with whole_core(tmp_path / "home", platforms, secrets) as kernel:
        await state_is(kernel, "chat", PlatformState.CONNECTED)
        await ana.say(room_id, "message 0")
        await answered(ana, room_id, bot, 1)
        for number in range(1, 10):
            await ana.say(room_id, f"message {number}")
    for number in range(10, 20):
        await ana.say(room_id, f"message {number}")
    async with whole_core(tmp_path / "home", platforms, secrets):
        answers = await answered(ana, room_id, bot, 20)
    tally.numbered([f"message {number}" for number in range(20)], answers, "out")
    tally.add(in_=20, reconnects=1)


async def test_a_line_that_falls_silent_is_given_up_and_made_anew(scene: Stage, tmp_path: Path, tally: Tally) -> None:
    """Nothing fails by itself: the adapter's own deadline finds out. Answers that hung are sent once."""
    ana, bot = await scene.user("ana"), await scene.user("bot")
    room_id = await joined(ana, bot)
    async with tcp_line(scene.synapse.port) as line:
        platforms = section("chat", bot, f"http://127.0.0.1:{line.port}")
        async with whole_core(tmp_path / "home", platforms, {"chat": scene.tokens[bot.user_id]}) as kernel:
            await state_is(kernel, "chat", PlatformState.CONNECTED)
            for number in range(10):
                await ana.say(room_id, f"message {number}")
            await answered(ana, room_id, bot, 3)
            line.deafen()
            for number in range(10, 20):
                await ana.say(room_id, f"message {number}")
            await state_is(kernel, "chat", PlatformState.DOWN)
            line.mend()
            answers = await answered(ana, room_id, bot, 20)
            view = await view_of(kernel, "chat")
    tally.numbered([f"message {number}" for number in range(20)], answers, "out")
    tally.add(in_=20, reconnects=view.restart_count)


async def test_two_accounts_of_one_core_answer_each_their_own(scene: Stage, tmp_path: Path, tally: Tally) -> None:
    """Side by side, each in its room."""
    ana, one, two = await scene.user("ana"), await scene.user("bot"), await scene.user("bot")
    rooms = [await joined(ana, one), await joined(ana, two)]
    platforms = section("one", one, scene.synapse.url) + section("two", two, scene.synapse.url)
    secrets = {"one": scene.tokens[one.user_id], "two": scene.tokens[two.user_id]}
    async with whole_core(tmp_path / "home", platforms, secrets) as kernel:
        for name in ("one", "two"):
            await state_is(kernel, name, PlatformState.CONNECTED)
        for number in range(10):
            for place, room_id in enumerate(rooms):
                await ana.say(room_id, f"{place}: message {number}")
        for place, (room_id, bot) in enumerate(zip(rooms, (one, two), strict=True)):
            answers = await answered(ana, room_id, bot, 10)
            tally.numbered([f"{place}: message {number}" for number in range(10)], answers, "out")
    tally.add(in_=20)


async def test_a_thread_and_what_is_beside_it_are_two_conversations(scene: Stage, tmp_path: Path, tally: Tally) -> None:
    """Each answer comes where its question was."""
    ana, bot = await scene.user("ana"), await scene.user("bot")
    room_id = await joined(ana, bot)
    platforms = section("chat", bot, scene.synapse.url)
    async with whole_core(tmp_path / "home", platforms, {"chat": scene.tokens[bot.user_id]}):
        root = await ana.say(room_id, "beside")
        inside = await ana.say(room_id, "inside", thread=root)
        await answered(ana, room_id, bot, 2)
        told = {item.text: item for item in await ana.told(room_id, bot.user_id)}
    assert told["beside"].thread is None
    assert told["inside"].thread == root
    assert told["inside"].reply_to in {"", inside}
    tally.add(in_=2, out=2, threads=1)
