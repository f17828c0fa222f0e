"""The made-up platform: its people write, back off, fail as configured, and read what they are answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.api.base import DeliveryId, PlatformName
from core.api.errors import ConfigError, Overloaded, Refused
from core.api.sessions import ChatKind, Source
from core.gateway.adapters.simulated import SimulatedPlatform, create, read_scenario, scenario_names
from core.gateway.platform import PlatformContext, PlatformError, PlatformErrorKind
from core.ids import IdSource
from core.platform_settings import SimulatedSettings
from tests.support.clocks import FakeClock
from tests.support.outbox import FakeInbox, NoHttp, no_secret, outbound_to

SIM = PlatformName("telegram-sim")


class Stage:
    """A made-up platform that runs, with its inbox and its clock."""

    def __init__(self, **settings: Any) -> None:
        self.clock = FakeClock()
        self.inbox = FakeInbox()
        context = PlatformContext(clock=self.clock, ids=IdSource(self.clock), http=NoHttp(), secret=no_secret)
        self.platform: SimulatedPlatform = create(SIM, SimulatedSettings(**settings), context)

    async def answer(self, place: int, text: str = "done") -> None:
        """Answer the message that came in at that place."""
        inbound = self.inbox.received[place]
        delivery = DeliveryId(f"d{place}")
        message = outbound_to(inbound.source.chat, text, delivery_id=delivery, platform=SIM, reply_to=inbound.native_id)
        await self.platform.send(message)

    async def heard(self, count: int) -> None:
        """Move the clock until so many messages came in."""
        while len(self.inbox.received) < count:
            await self.clock.advance(0.1)


@asynccontextmanager
async def stage(**settings: Any) -> AsyncIterator[Stage]:
    """A running one; on leaving it is cancelled and has ended."""
    built = Stage(**settings)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(built.platform.run(built.inbox))
        await built.inbox.arrived.wait()
        yield built
        task.cancel()


async def test_its_people_write_as_often_as_configured() -> None:
    """Each as a sender of their own, with an id for every message, on the platform's own name."""
    async with stage(people=10, rate_per_s=5.0) as built:
        await built.heard(10)
        received = built.inbox.received
        assert {item.platform for item in received} == {SIM}
        assert len({item.sender_id for item in received}) == len({item.native_id for item in received}) == 10
        assert all(item.agent is None and item.text for item in received)
        assert built.inbox.addresses == ["10 made-up people (builtin:people)"]


async def test_an_answer_is_read_and_answered() -> None:
    """Who was answered writes again; nobody else does."""
    async with stage(people=1, rate_per_s=50.0) as built:
        await built.answer(0)
        await built.heard(2)
        assert built.inbox.received[0].sender_id == built.inbox.received[1].sender_id
        await built.clock.advance(2.0)
        assert len(built.inbox.received) == 2


async def test_an_answer_that_comes_twice_is_read_once() -> None:
    """The same delivery id has one effect and one native id."""
    async with stage(people=1, rate_per_s=50.0) as built:
        inbound = built.inbox.received[0]
        message = outbound_to("u0", "done", delivery_id=DeliveryId("d1"), platform=SIM, reply_to=inbound.native_id)
        first = await built.platform.send(message)
        await built.heard(2)
        assert await built.platform.send(message) == first
        await built.clock.advance(2.0)
        assert len(built.inbox.received) == 2


async def test_it_backs_off_when_there_is_too_much() -> None:
    """What was refused for now comes again under its id, after the wait that was asked for."""
    built = Stage(people=1, rate_per_s=50.0)
    built.inbox.faults.append(Overloaded("full", bound="queue_limit", retry_after_s=30))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(built.platform.run(built.inbox))
        await built.inbox.arrived.wait()
        for _ in range(29):
            await built.clock.advance(1.0)
        assert len(built.inbox.received) == 1
        await built.heard(2)
        task.cancel()
    first, second = built.inbox.received
    assert first == second


async def test_who_is_refused_for_good_keeps_quiet() -> None:
    """Nobody insists on what a rule forbids."""
    built = Stage(people=1, rate_per_s=50.0)
    built.inbox.faults.append(Refused("not allowed", rule="access"))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(built.platform.run(built.inbox))
        await built.inbox.arrived.wait()
        for _ in range(60):
            await built.clock.advance(1.0)
        assert len(built.inbox.received) == 1
        task.cancel()


async def test_answers_fail_at_first_in_the_configured_share() -> None:
    """Each of those fails once, says when to come again, and is then taken."""
    built = Stage(people=1, rate_per_s=0.0, send_failure_ratio=0.3)
    errors: list[PlatformError] = []
    for number in range(500):
        message = outbound_to("u0", "hi", delivery_id=DeliveryId(f"d{number}"), platform=SIM)
        try:
            await built.platform.send(message)
        except PlatformError as error:
            errors.append(error)
            await built.platform.send(message)
    assert 100 < len(errors) < 200
    assert {error.kind for error in errors} == {PlatformErrorKind.RETRY_AFTER}
    assert all(error.retry_after_s is not None and 1.0 <= error.retry_after_s <= 3.0 for error in errors)


async def refusal(built: Stage, source: Source, number: int = 0) -> PlatformErrorKind | None:
    """What becomes of an answer to a chat: None when it is taken."""
    message = outbound_to("u0", "hi", delivery_id=DeliveryId(f"{source.chat} {number}"), platform=SIM)
    try:
        await built.platform.send(msgspec.structs.replace(message, source=source))
    except PlatformError as error:
        return error.kind
    return None


def chats(kind: ChatKind) -> list[Source]:
    """Two hundred chats of a kind."""
    thread = "t1" if kind is ChatKind.THREAD else None
    return [Source(platform=SIM, kind=kind, chat=f"chat {number}", thread=thread) for number in range(200)]


async def test_a_share_of_direct_chats_blocks_the_bot_for_good() -> None:
    """The same people refuse every answer; nobody blocks it in a group."""
    built = Stage(people=1, rate_per_s=0.0, blocked_ratio=0.25, seed=5)
    first = [await refusal(built, source, 1) for source in chats(ChatKind.DM)]
    second = [await refusal(built, source, 2) for source in chats(ChatKind.DM)]
    assert 30 < first.count(PlatformErrorKind.REFUSED) < 70
    assert first.count(None) + first.count(PlatformErrorKind.REFUSED) == 200
    assert first == second
    assert {await refusal(built, source) for source in chats(ChatKind.GROUP)} == {None}


@pytest.mark.parametrize("kind", list(ChatKind))
async def test_a_share_of_chats_is_gone_when_answered(kind: ChatKind) -> None:
    """In every kind of chat; another seed chooses others."""
    found: list[list[PlatformErrorKind | None]] = []
    for seed in (5, 6):
        built = Stage(people=1, rate_per_s=0.0, gone_ratio=0.25, seed=seed)
        found.append([await refusal(built, source) for source in chats(kind)])
    assert 30 < found[0].count(PlatformErrorKind.GONE) < 70
    assert set(found[0]) == {None, PlatformErrorKind.GONE}
    assert found[0] != found[1]


async def test_nobody_takes_an_answer_in_an_outage() -> None:
    """It begins and comes again as configured; the wait for the next try is left to the core."""
    built = Stage(people=1, rate_per_s=0.0, outage_s=10.0, outage_first_s=5.0, outage_every_s=30.0)
    source = chats(ChatKind.DM)[0]
    out: list[int] = []
    for second in range(70):
        if await refusal(built, source, second) is not None:
            out.append(second)
        await built.clock.advance(1.0)
    assert out == [*range(5, 15), *range(35, 45), *range(65, 70)]
    with pytest.raises(PlatformError) as caught:
        await built.platform.send(outbound_to("u0", "hi", delivery_id=DeliveryId("one more"), platform=SIM))
    assert caught.value.kind is PlatformErrorKind.RETRY_AFTER
    assert caught.value.retry_after_s is None


async def test_a_single_outage_does_not_come_again() -> None:
    """Without `outage_every_s` there is the first one only."""
    built = Stage(people=1, rate_per_s=0.0, outage_s=3.0)
    source = chats(ChatKind.DM)[0]
    out: list[int] = []
    for second in range(40):
        if await refusal(built, source, second) is not None:
            out.append(second)
        await built.clock.advance(1.0)
    assert out == [0, 1, 2]


async def test_taking_an_answer_takes_its_time() -> None:
    """At most as long as configured, and what comes twice meanwhile is taken once."""
    built = Stage(people=1, rate_per_s=0.0, send_s=4.0)
    message = outbound_to("u0", "hi", delivery_id=DeliveryId("d1"), platform=SIM)
    async with asyncio.TaskGroup() as group:
        sends = [group.create_task(built.platform.send(message)) for _ in range(2)]
        await built.clock.advance(0.0)
        assert not any(send.done() for send in sends)
        await built.clock.advance(4.0)
    first, second = (send.result() for send in sends)
    assert first == second


async def test_a_seed_tells_the_same_story_again() -> None:
    """Two platforms of one seed hear the same words from the same people."""
    stories = []
    for seed in (7, 7, 8):
        async with stage(people=12, rate_per_s=20.0, seed=seed) as built:
            await built.heard(12)
            stories.append([(item.sender_name, item.text) for item in built.inbox.received[:12]])
    assert stories[0] == stories[1] != stories[2]


async def test_people_go_on_where_they_were_after_a_reconnect() -> None:
    """Whoever waits for an answer still waits."""
    built = Stage(people=1, rate_per_s=50.0)
    for _ in range(2):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(built.platform.run(built.inbox))
            await built.inbox.arrived.wait()
            await built.clock.advance(5.0)
            task.cancel()
    assert len(built.inbox.received) == 1


@pytest.mark.parametrize("name", scenario_names())
def test_every_built_in_scenario_can_be_played(name: str) -> None:
    """Each that comes with the product is read without a fault."""
    assert read_scenario(f"builtin:{name}", Path("/")).personas


def test_the_built_in_scenarios_are_there() -> None:
    """The default of the configuration is one of them."""
    assert {"people", "ops", "devs"} <= set(scenario_names())
    assert SimulatedSettings().scenario.removeprefix("builtin:") in scenario_names()


def test_a_scenario_of_your_own_is_read_from_its_file(tmp_path: Path) -> None:
    """The form is that of the built-in ones."""
    file = tmp_path / "mine.yaml"
    file.write_text("names: [ana]\npersonas: [{name: a, openings: [hi], otherwise: [ok]}]\n", encoding="utf-8")
    assert read_scenario(str(file), Path("/")).names == ["ana"]
    assert read_scenario("mine.yaml", tmp_path).names == ["ana"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"names: [ana]\nnames: [bo]\n", "names"),
        (b"names: [ana]\n", "personas"),
        (b"names: [", "mine.yaml"),
        (b"\xff\xfe\x00", "not UTF-8 text"),
        (b"#" * 1_048_577, "bytes"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    """With what is wrong; duplicate keys, missing keys, bad syntax, other bytes, and too much of them."""
    file = tmp_path / "mine.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_scenario(str(file), tmp_path)
    assert words in caught.value.message


@pytest.mark.parametrize("reference", ["builtin:nobody", "builtin:../people", "/does/not/exist.yaml", "mine.yaml"])
def test_a_scenario_that_is_not_there_is_an_error_with_a_fix(reference: str) -> None:
    """A built-in name that there is not, a file that is missing, a relative path with nothing behind it."""
    with pytest.raises(ConfigError) as caught:
        read_scenario(reference, Path("/nowhere"))
    assert caught.value.facts["value"] == reference
    assert caught.value.facts["fix"]


async def test_a_scenario_that_is_not_there_ends_the_run() -> None:
    """With an error that is not tried again."""
    built = Stage(scenario="builtin:nobody")
    with pytest.raises(ConfigError):
        await built.platform.run(built.inbox)
    assert built.inbox.addresses == []
