"""Connections: built, kept running, counted, and never in each other's way."""

import asyncio
import types
from typing import Any

import pytest

from core.api.base import PlatformName
from core.api.errors import ConfigError, Overloaded
from core.api.platforms import (
    ListPlatforms,
    PlatformActive,
    PlatformConnected,
    PlatformDisconnected,
    PlatformState,
    PlatformView,
)
from core.api.sessions import ChatKind, Source
from core.gateway.adapters import adapter_names, load_adapter
from core.gateway.platform import Inbound, Inbox, PlatformError, PlatformErrorKind
from core.platform_settings import PlatformSettings
from tests.support.outbox import LOCAL, OTHER, FakePlatform, Outbox, outbox


def message(text: str = "hello") -> Inbound:
    """A message from bo."""
    source = Source(platform=LOCAL, kind=ChatKind.DM, chat="8841")
    return Inbound(platform=LOCAL, source=source, sender_id="bo", sender_name="Bo", text=text)


async def _view(built: Outbox, name: PlatformName = LOCAL) -> PlatformView:
    listed = await built.platforms.list_platforms(ListPlatforms())
    return next(view for view in listed.platforms if view.name == name)


def _failing(error: Exception) -> Any:
    def run(inbox: Inbox) -> None:
        raise error

    return run


def _starting_with(*runs: Any) -> Any:
    """Adapters whose `local` connection does these things first."""

    def create(name: PlatformName, *_: object) -> FakePlatform:
        platform = FakePlatform(name)
        if name == LOCAL:
            platform.runs.extend(runs)
        return platform

    return create


async def test_connections_stand_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is listed by name with its address, and the journal has one event about each."""
    async with outbox(monkeypatch) as built:
        connected = await built.until(PlatformConnected, 2)
        assert {event.platform.name for event in connected} == {LOCAL, OTHER}
        listed = await built.platforms.list_platforms(ListPlatforms())
        assert [view.name for view in listed.platforms] == [LOCAL, OTHER]
        assert {view.state for view in listed.platforms} == {PlatformState.CONNECTED}
        assert (await _view(built)).address == "local.example.org"
        assert listed.seq == await built.journal.head()
        assert built.inbox.addresses == ["local.example.org", "other.example.org"]
        records = await built.journal.read(limit=10)
        assert [record.subject for record in records if isinstance(record.event, PlatformConnected)] == [LOCAL, OTHER]


@pytest.mark.parametrize("name", ["tasks", "group"])
async def test_a_name_that_is_the_cores_own_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The connection is down and says so; the other one stands."""
    monkeypatch.setattr("tests.support.outbox.OTHER", PlatformName(name))
    async with outbox(monkeypatch) as built:
        await built.until(PlatformConnected, 1)
        view = await _view(built, PlatformName(name))
        assert view.state is PlatformState.DOWN
        assert "the core's own" in view.last_error


async def test_saying_twice_that_a_connection_stands_is_one_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """An adapter may repeat itself."""
    async with outbox(monkeypatch) as built:
        await built.until(PlatformConnected, 2)
        built.platforms.note_connected(LOCAL, "local.example.org")
        await built.clock.advance(0)
        assert [type(event) for event in await built.events()].count(PlatformConnected) == 2


async def test_a_connection_that_cannot_be_built_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is down with the reason; it is neither there to send through nor to ask for its limits."""

    def create(name: PlatformName, *_: object) -> FakePlatform:
        if name == LOCAL:
            raise ConfigError("the token is missing", key="token")
        return FakePlatform(name)

    async with outbox(monkeypatch, create=create) as built:
        (connected,) = await built.until(PlatformConnected)
        assert connected.platform.name == OTHER
        down = await _view(built)
        assert (down.state, down.last_error) == (PlatformState.DOWN, "the token is missing")
        assert built.platforms.get(LOCAL) is None
        assert built.platforms.limits(LOCAL) is None
        assert built.platforms.limits(OTHER) == FakePlatform.limits


async def test_an_unexpected_fault_while_building_keeps_its_words_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only its type is shown, since its text may hold a secret."""

    def create(*_: object) -> FakePlatform:
        raise ValueError("token=abc")

    async with outbox(monkeypatch, create=create) as built:
        assert (await _view(built)).last_error == "the adapter failed with ValueError"


async def test_a_lost_connection_comes_back_after_a_growing_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Down with its reason meanwhile; one and the same reason is journaled once."""
    fault = _failing(PlatformError(PlatformErrorKind.RETRY_AFTER, "connection reset"))
    async with outbox(monkeypatch, create=_starting_with(fault, fault)) as built:
        (gone,) = await built.until(PlatformDisconnected)
        assert (gone.platform.state, gone.platform.last_error) == (PlatformState.DOWN, "connection reset")
        await built.clock.advance(1.0)
        assert built.fake().run_count == 2
        await built.clock.advance(1.9)
        assert built.fake().run_count == 2
        await built.clock.advance(0.2)
        view = await _view(built)
        assert (view.state, view.restart_count, view.last_error) == (PlatformState.CONNECTED, 2, "")
        assert [type(event) for event in await built.events()].count(PlatformDisconnected) == 1


@pytest.mark.parametrize(
    ("error", "wait_s"),
    [
        (PlatformError(PlatformErrorKind.RETRY_AFTER, "slow down", retry_after_s=40.0), 40.0),
        (PlatformError(PlatformErrorKind.UNAUTHORISED, "bad token"), 300.0),
        (PlatformError(PlatformErrorKind.REFUSED, "banned"), 300.0),
    ],
)
async def test_the_reason_decides_how_long_to_wait(
    monkeypatch: pytest.MonkeyPatch, error: PlatformError, wait_s: float
) -> None:
    """What the far side asks for is obeyed; what an operator must mend is tried slowly."""
    async with outbox(monkeypatch, create=_starting_with(_failing(error))) as built:
        await built.until(PlatformDisconnected)
        await built.clock.advance(wait_s - 0.1)
        assert built.fake().run_count == 1
        await built.clock.advance(0.2)
        assert built.fake().run_count == 2


@pytest.mark.parametrize(
    ("run", "error"),
    [
        (_failing(ValueError("token=abc")), "the adapter failed with ValueError"),
        (_failing(Overloaded("too many rows", bound="x")), "too many rows"),
        (lambda _: None, "the connection ended by itself"),
    ],
)
async def test_whatever_ends_a_connection_it_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, run: Any, error: str
) -> None:
    """A fault of a library, an error of ours, a plain return: none of them ends it for good."""
    async with outbox(monkeypatch, create=_starting_with(run)) as built:
        (gone,) = await built.until(PlatformDisconnected)
        assert gone.platform.last_error == error
        await built.clock.advance(1.0)
        assert (await _view(built)).state is PlatformState.CONNECTED


async def test_a_fault_of_the_configuration_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing changes before somebody changes the configuration."""
    fault = _failing(ConfigError("no such scenario", key="scenario"))
    async with outbox(monkeypatch, create=_starting_with(fault)) as built:
        await built.until(PlatformDisconnected)
        await built.clock.advance(10_000.0)
        view = await _view(built)
        assert (built.fake().run_count, view.state, view.last_error) == (1, PlatformState.DOWN, "no such scenario")


async def test_what_comes_in_is_counted_and_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that is taken has an age; one that is refused is counted apart, and the adapter hears why."""
    async with outbox(monkeypatch) as built:
        await built.until(PlatformConnected, 2)
        inbox = built.fake().inbox
        assert inbox is not None
        await inbox.receive(message("one"))
        built.inbox.faults.append(Overloaded("full", bound="sessions.queue_limit"))
        with pytest.raises(Overloaded):
            await inbox.receive(message("two"))
        assert await inbox.interrupt("local:dm:8841", "gone") is False
        view = await _view(built)
        assert (view.inbound_count, view.refused_count, view.outbound_count) == (1, 1, 0)
        assert view.inbound is not None
        assert [item.text for item in built.inbox.received] == ["one", "two"]


async def test_counts_are_told_once_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand messages are two live events: the first at once, the rest in one."""
    async with outbox(monkeypatch) as built:
        await built.until(PlatformConnected, 2)
        for _ in range(1000):
            built.platforms.note_inbound(LOCAL)
        await built.clock.advance(0)
        told = [event.platform.inbound_count for event in built.live if isinstance(event, PlatformActive)]
        assert told == [1]
        await built.clock.advance(1.0)
        told = [event.platform.inbound_count for event in built.live if isinstance(event, PlatformActive)]
        assert told == [1, 1000]
        await built.clock.advance(60.0)
        assert [type(event) for event in built.live].count(PlatformActive) == 2


async def test_views_of_a_connection_have_growing_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads events and live facts can tell the newest."""
    async with outbox(monkeypatch) as built:
        await built.until(PlatformConnected, 2)
        built.platforms.note_outbound(LOCAL)
        (active,) = [event for event in built.live if isinstance(event, PlatformActive)]
        await built.platforms.stop_intake()
        gone = [event.platform for event in await built.until(PlatformDisconnected, 2)]
        last = next(view for view in gone if view.name == LOCAL)
        assert active.platform.version < last.version
        assert last.outbound_count == 1


async def test_stopping_the_intake_still_lets_answers_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections are off, nothing runs them any more, and send() is still there. Twice is once."""
    async with outbox(monkeypatch) as built:
        await built.until(PlatformConnected, 2)
        await built.platforms.stop_intake()
        await built.platforms.stop_intake()
        assert {view.state for view in built.platforms.views} == {PlatformState.OFF}
        assert [type(event) for event in await built.events()].count(PlatformDisconnected) == 2
        await built.clock.advance(10_000.0)
        assert built.fake().run_count == 1
        await built.answer("last words")
        await built.clock.advance(0)
        assert [item.text for item in built.fake().sent] == ["last words"]


def test_every_kind_of_the_configuration_has_an_adapter() -> None:
    """The names that load are the kinds that can be configured, and each module can create."""
    kinds = {str(section.__struct_config__.tag) for section in PlatformSettings.__args__}
    assert set(adapter_names()) == kinds
    for name in adapter_names():
        module = load_adapter(name)
        assert isinstance(module, types.ModuleType)
        assert callable(module.create)


def test_an_unknown_kind_is_named_with_the_nearest_one() -> None:
    """A slip of the pen is told what it may have meant; no other module of the package is an adapter."""
    with pytest.raises(ConfigError) as caught:
        load_adapter("loopbak")
    assert caught.value.facts["fix"] == "did you mean loopback?"
    with pytest.raises(ConfigError):
        load_adapter("people")


class Clumsy(FakePlatform):
    """A connection whose good-bye fails."""

    async def run(self, inbox: Inbox) -> None:
        """Stand, and fail when it is told to end."""
        try:
            await super().run(inbox)
        finally:
            raise ConnectionError("the other side is gone")


async def test_a_connection_whose_good_bye_fails_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was told to end, and ends: at once, and for good."""

    def create(name: PlatformName, *_: object) -> FakePlatform:
        return Clumsy(name)

    async with outbox(monkeypatch, create=create) as built:
        await built.until(PlatformConnected, 2)
        async with asyncio.timeout(5):
            await built.platforms.stop_intake()
        assert {view.state for view in built.platforms.views} == {PlatformState.OFF}
        await built.clock.advance(10_000.0)
        assert built.fake().run_count == 1
