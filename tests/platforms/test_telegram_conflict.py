"""Two programs on one bot: the conflict is shown for what it is, and the other bot goes on."""

import asyncio
from pathlib import Path

import httpx
import pytest

from core.api.base import Actor, ActorKind
from core.api.platforms import ListPlatforms, PlatformDisconnected, PlatformState, PlatformView, ReconnectPlatform
from core.kernel import Kernel
from tests.support.fake_telegram import FakeTelegram
from tests.support.rig_telegram import TOKEN
from tests.support.runtime_core import core, until

OPERATOR = Actor(ActorKind.OPERATOR, "ana")
SECOND = "42:second-bot-with-a-token-of-its-own"
LIMIT_S = 30.0
CONFIG = """
http: {{enabled: false}}
platforms:
  tg: {{kind: telegram, token: "env:TG", base_url: "{url}", poll_s: 5, allow_all: true}}
  tg2: {{kind: telegram, token: "env:TG2", base_url: "{url}", poll_s: 5, allow_all: true}}
core: {{drain_s: 0}}
"""


async def view_of(kernel: Kernel, name: str) -> PlatformView:
    """How a connection stands."""
    views = (await kernel.query(ListPlatforms())).platforms
    return next(view for view in views if view.name == name)


async def seen(kernel: Kernel, name: str, state: PlatformState) -> PlatformView:
    """A connection, once it is in a state."""
    async with asyncio.timeout(LIMIT_S):
        view = await view_of(kernel, name)
        while view.state is not state:
            await asyncio.sleep(0.02)
            view = await view_of(kernel, name)
    return view


async def test_a_second_reader_of_one_bot_is_an_identity_conflict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never shown as connected meanwhile, nor right after an order to connect anew; the other bot is not touched."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TG", TOKEN)
    monkeypatch.setenv("TG2", SECOND)
    async with FakeTelegram() as server:
        server.world.add_bot(TOKEN, "helper_bot")
        server.world.add_bot(SECOND, "second_bot")
        async with core(tmp_path, CONFIG.format(url=server.url)) as kernel:
            assert (await seen(kernel, "tg", PlatformState.CONNECTED)).identity == "@helper_bot"
            before = await seen(kernel, "tg2", PlatformState.CONNECTED)
            async with httpx.AsyncClient() as other:
                answer = await other.post(f"{server.url}/bot{TOKEN}/getUpdates", json={"timeout": 0})
            assert answer.status_code == 200
            event = await until(kernel, PlatformDisconnected)
            assert event.platform.state is PlatformState.CONFLICT
            view = await view_of(kernel, "tg")
            assert view.state is PlatformState.CONFLICT
            assert view.last_error.startswith("identity conflict: another program reads the updates of this bot")
            assert view.next_try is not None

            await kernel.execute(ReconnectPlatform(platform=view.name), actor=OPERATOR)
            view = await seen(kernel, "tg", PlatformState.CONFLICT)
            assert "it reads again, and counts as settled after 60 s alone" in view.last_error
            after = await view_of(kernel, "tg2")
            assert (after.state, after.since, after.restart_count) == (before.state, before.since, 0)
