"""What every in-process connection promises, whatever it is made of."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from core.api.base import DeliveryId, PlatformName
from core.gateway.adapters import load_adapter
from core.gateway.platform import Inbox, Limits, Platform, PlatformContext
from core.ids import IdSource
from core.settings import LoopbackSettings, SimulatedSettings
from tests.support.clocks import FakeClock
from tests.support.outbox import FakeInbox, NoHttp, no_secret, outbound_to

NAME = PlatformName("chat")
KINDS = {
    "loopback": LoopbackSettings(),
    "simulated": SimulatedSettings(people=3, rate_per_s=10.0),
}


class Connected(FakeInbox):
    """An inbox that can be waited for until the connection stands."""

    def __init__(self) -> None:
        super().__init__()
        self.stands = asyncio.Event()

    def connected(self, address: str) -> None:
        """Keep the address and say so."""
        super().connected(address)
        self.stands.set()


@pytest.fixture(params=sorted(KINDS))
def platform(request: pytest.FixtureRequest) -> Platform:
    """One connection of each kind."""
    clock = FakeClock()
    context = PlatformContext(clock=clock, ids=IdSource(clock), http=NoHttp(), secret=no_secret)
    return load_adapter(request.param).create(NAME, KINDS[request.param], context)


@asynccontextmanager
async def running(platform: Platform, inbox: Inbox) -> AsyncIterator[None]:
    """A connection that runs; on leaving it is cancelled, and its end waited for."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(platform.run(inbox))
        yield
        task.cancel()
    assert task.cancelled()


def message(number: int, **changes: Any) -> Any:
    """A message that nobody asked for."""
    return msgspec.structs.replace(
        outbound_to("8841", f"text {number}", delivery_id=DeliveryId(f"d{number}"), platform=NAME), **changes
    )


async def test_it_says_what_it_is(platform: Platform) -> None:
    """Its configured name, its kind, and what it can carry."""
    assert platform.name == NAME
    assert platform.kind in KINDS
    assert isinstance(platform.limits, Limits)
    assert platform.limits.text_limit > 0


async def test_it_says_when_it_stands_and_ends_when_cancelled(platform: Platform) -> None:
    """connected() is called once with words for people; cancelling run() is the way to stop it."""
    inbox = Connected()
    async with running(platform, inbox):
        await inbox.stands.wait()
    (address,) = inbox.addresses
    assert address
    assert "\n" not in address


async def test_it_can_be_run_again(platform: Platform) -> None:
    """A reconnect is a second call of run() on the same object."""
    for _ in range(2):
        inbox = Connected()
        async with running(platform, inbox):
            await inbox.stands.wait()


async def test_it_names_what_it_sent(platform: Platform) -> None:
    """Every message gets an id of its own."""
    inbox = Connected()
    async with running(platform, inbox):
        await inbox.stands.wait()
        ids = [await platform.send(message(number)) for number in range(5)]
    assert all(ids)
    assert len(set(ids)) == 5


async def test_a_delivery_sent_twice_has_one_effect(platform: Platform) -> None:
    """The same delivery id gives the same native id, though the text were another."""
    inbox = Connected()
    async with running(platform, inbox):
        await inbox.stands.wait()
        first = await platform.send(message(1))
        assert await platform.send(message(1, text="something else")) == first


async def test_answers_still_go_out_after_the_intake_was_stopped(platform: Platform) -> None:
    """A core that stops lets runs end, and what they answer is sent by a connection that no longer runs."""
    inbox = Connected()
    async with running(platform, inbox):
        await inbox.stands.wait()
    assert await platform.send(message(1))


async def test_many_messages_at_once_are_all_taken(platform: Platform) -> None:
    """send() may be called while other calls of it go on."""
    inbox = Connected()
    async with running(platform, inbox), asyncio.TaskGroup() as group:
        await inbox.stands.wait()
        sends = [group.create_task(platform.send(message(number))) for number in range(100)]
    assert len({send.result() for send in sends}) == 100
