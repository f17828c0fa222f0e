"""Connections in a whole core: paused from a chat and over a restart, and what comes again after a reconnect."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.api.base import Actor, ActorKind, PlatformName
from core.api.platforms import (
    ListPlatforms,
    PausePlatform,
    PlatformPaused,
    PlatformState,
    PlatformView,
    ReconnectPlatform,
    ResumePlatform,
)
from core.api.sessions import ChatKind, MessageQueued, Source
from core.gateway.adapters.loopback import LoopbackPlatform
from core.gateway.platform import Inbound, Limits
from core.kernel import Kernel
from tests.integration.test_chat_in_a_core import Desk
from tests.support.runtime_core import core, some, until

OPERATOR = Actor(ActorKind.OPERATOR, "ana")
OTHER = PlatformName("other")
CONFIG = """
http: {enabled: false}
agents:
  main: {runner: scripted, scenario: builtin:echo, pace: 0}
platforms:
  local: {kind: loopback}
  other: {kind: loopback}
core: {drain_s: 0}
"""


async def view_of(kernel: Kernel, name: PlatformName) -> PlatformView:
    """How a connection stands."""
    views = (await kernel.query(ListPlatforms())).platforms
    return next(view for view in views if view.name == name)


async def is_state(kernel: Kernel, name: PlatformName, state: PlatformState) -> None:
    """Wait for a state."""

    async def found() -> bool | None:
        return (await view_of(kernel, name)).state is state or None

    await some(found)


@asynccontextmanager
async def desk(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """A core with two connections, and a person at the first."""
    monkeypatch.setattr(LoopbackPlatform, "limits", Limits())
    async with core(home, CONFIG) as kernel:
        yield Desk(kernel)


async def test_an_admin_pauses_another_connection_from_a_chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the one that the chat is on, which could not resume it; what is asked wrongly is answered."""
    async with desk(tmp_path / "home", monkeypatch) as at:
        assert "other is paused" in await at.reply("/platform pause other moving the server")
        view = await view_of(at.kernel, OTHER)
        assert view.state is PlatformState.PAUSED
        assert view.pause is not None
        assert (view.pause.by, view.pause.reason) == ("local:bo", "moving the server")
        record = await until(at.kernel, PlatformPaused)
        assert record.platform.pause == view.pause
        listed = await at.reply("/platform list")
        assert "other (loopback): paused for 0 s, by local:bo: moving the server" in listed
        assert "already" in (await at.reply("/platform pause other")).lower()
        assert "other goes on" in await at.reply("/platform resume other")
        await is_state(at.kernel, OTHER, PlatformState.CONNECTED)
        assert "use the console" in await at.reply("/platform pause local")
        assert "did you mean other" in await at.reply("/platform pause othr")
        assert "do not know what to make" in await at.reply("/platform pause")
        at.gate.admins = {"ada"}
        assert "You may not use /platform" in await at.reply("/platform pause other")
        assert (await view_of(at.kernel, OTHER)).state is PlatformState.CONNECTED


async def test_a_pause_lasts_until_somebody_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new start of the core knows who paused it and why; what is in the store holds no more than that."""
    home = tmp_path / "home"
    async with desk(home, monkeypatch) as at:
        await at.kernel.execute(PausePlatform(platform=OTHER, reason="spam"), actor=OPERATOR)
        row = await at.kernel._store.get("pause/other")
        assert row is not None
        assert set(json.loads(row.body)) == {"type", "by", "reason", "at"}
    async with desk(home, monkeypatch) as at:
        view = await view_of(at.kernel, OTHER)
        assert view.pause is not None
        assert (view.state, view.pause.by, view.pause.reason) == (PlatformState.PAUSED, "ana", "spam")
        # What an operator wanted is no problem of the core.
        assert at.kernel._problems() == []
        await at.kernel.execute(ResumePlatform(platform=OTHER), actor=OPERATOR)
        await is_state(at.kernel, OTHER, PlatformState.CONNECTED)
    async with desk(home, monkeypatch) as at:
        await is_state(at.kernel, OTHER, PlatformState.CONNECTED)


async def _delivered_again(kernel: Kernel, count: int) -> PlatformView:
    """The platform brings messages that have ids of its own, as after a reconnect."""
    platforms = kernel.gateway.platforms
    inbox = platforms.connections._inbox_for(platforms._links[OTHER])
    source = Source(platform=OTHER, kind=ChatKind.DM, chat="8841")
    for number in range(count):
        await inbox.receive(
            Inbound(
                platform=OTHER,
                source=source,
                sender_id="bo",
                sender_name="Bo",
                text=f"message {number}",
                native_id=f"n{number}",
            )
        )
    return await view_of(kernel, OTHER)


async def _taken_in(kernel: Kernel) -> int:
    """How many messages were ever queued."""
    return sum(isinstance(record.event, MessageQueued) for record in await kernel.journal.read(limit=5000))


async def test_what_comes_again_is_counted_and_begins_nothing(tmp_path: Path) -> None:
    """Twenty messages after a reconnect, and once more after a restart: no new run, and the counter shows it."""
    home = tmp_path / "home"
    async with core(home, CONFIG) as kernel:
        assert (await _delivered_again(kernel, 20)).inbound_count == 20
        await kernel.execute(ReconnectPlatform(platform=OTHER), actor=OPERATOR)
        view = await _delivered_again(kernel, 20)
        assert (view.inbound_count, view.duplicate_count) == (20, 20)
        assert await _taken_in(kernel) == 20
    async with core(home, CONFIG) as kernel:
        view = await _delivered_again(kernel, 20)
        assert (view.inbound_count, view.duplicate_count) == (0, 20)
        assert await _taken_in(kernel) == 20
