"""Our Telegram adapter as one that Telegram calls: who may, in which order, and what the configuration must hold."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from core.api.errors import ConfigError, Overloaded
from core.gateway.abilities import Probes
from core.gateway.adapters.telegram import SECRET_HEADER
from core.gateway.platform import Platform, PlatformError, PlatformErrorKind
from core.secrets import Secret
from core.settings import HttpSettings
from tests.support.fake_telegram import FakeTelegram
from tests.support.http_calls import serving
from tests.support.platform_rig import NAME, RigInbox, running
from tests.support.rig_telegram import TOKEN, TelegramRig, telegram

HOOK = Secret("hook-secret-0123456789")


@pytest.fixture
async def rig() -> AsyncIterator[TelegramRig]:
    """A bot that Ann talks to."""
    async with FakeTelegram() as server:
        yield TelegramRig(server)


def full() -> Overloaded:
    """A session whose queue is full."""
    return Overloaded("the queue is full", bound="queue", limit=1)


def hooked(server: FakeTelegram, http: Any, **settings: Any) -> Platform:
    """Our adapter as one that is called."""
    secrets = {"env:TOKEN": Secret(TOKEN), "env:HOOK": HOOK}
    given = {"webhook_url": f"{http.url}/telegram/{NAME}", "webhook_secret": "env:HOOK", **settings}
    return telegram(server, http=http, secret=secrets.__getitem__, **given)


async def test_a_webhook_takes_calls_of_telegram_alone(rig: TelegramRig) -> None:
    """One at a time, in order; what cannot be taken now comes again, and nothing is lost over a restart."""
    inbox = RigInbox()
    async with serving(HttpSettings(port=0)) as http, httpx.AsyncClient(trust_env=False) as stranger:
        url = f"{http.url}/telegram/{NAME}"
        platform = hooked(rig.server, http)
        async with running(platform, inbox):
            assert rig.bot.webhook["max_connections"] == 1
            await rig.say("one")
            await rig.say("two")
            inbox.faults.append(full())
            assert await rig.server.deliver(rig.bot) == [503]
            assert await rig.server.deliver(rig.bot) == [200, 200]
            for headers in ({}, {SECRET_HEADER: "wrong"}, {SECRET_HEADER: ""}):
                forged = await stranger.post(url, json={"update_id": 1, "message": {}}, headers=headers)
                assert (forged.status_code, forged.json()["error"]["code"]) == (401, "bad_secret")
            good = {SECRET_HEADER: HOOK.reveal()}
            assert (await stranger.post(url, content=b"{", headers=good)).status_code == 400
            assert (await stranger.get(url, headers=good)).status_code == 405
            assert (await stranger.post(url, json=[1], headers=good)).status_code == 200
            assert isinstance(platform, Probes)
            await platform.probe()
            rig.bot.webhook["url"] = "https://thief.example.org"
            with pytest.raises(PlatformError, match="somebody else"):
                await platform.probe()
            rig.bot.webhook["url"] = url
        await rig.say("three")
        assert await rig.server.deliver(rig.bot) == [404]
        async with running(platform, inbox):
            assert await rig.server.deliver(rig.bot) == [200]
    assert inbox.texts == ["one", "two", "three"]
    assert inbox.twice == []


async def test_a_webhook_that_is_taken_is_refused(rig: TelegramRig) -> None:
    """Two connections cannot be called at one address; an operator has to mend it."""
    async with serving(HttpSettings(port=0)) as http:
        http.mount(f"/telegram/{NAME}", lambda *_: None)  # type: ignore[arg-type]  # nobody calls it
        async with running(hooked(rig.server, http), RigInbox(), must_stand=False) as run:
            error = await run.failure()
    assert (error.kind, "another platform serves" in error.message) == (PlatformErrorKind.REFUSED, True)


async def test_a_webhook_needs_an_open_endpoint(rig: TelegramRig) -> None:
    """Without one nobody could call us; it is tried again."""
    secrets = {"env:TOKEN": Secret(TOKEN), "env:HOOK": HOOK}
    settings = {"webhook_url": "https://bot.example.org/x", "webhook_secret": "env:HOOK"}
    platform = telegram(rig.server, secret=secrets.__getitem__, **settings)
    async with running(platform, RigInbox(), must_stand=False) as run:
        assert "not open" in (await run.failure()).message


@pytest.mark.parametrize(
    ("token", "hook", "settings", "key"),
    [
        ("not a token", "", {}, "token"),
        ("1:a/../b", "", {}, "token"),
        (TOKEN, "", {"webhook_url": "https://x.org"}, "webhook_secret"),
        (TOKEN, "short", {"webhook_url": "https://x.org", "webhook_secret": "env:HOOK"}, "webhook_secret"),
    ],
)
def test_what_cannot_be_used_is_said_at_the_start(token: str, hook: str, settings: dict[str, Any], key: str) -> None:
    """By the name of the key, and never by its value."""
    secrets = {"env:TOKEN": Secret(token), "env:HOOK": Secret(hook)}
    with pytest.raises(ConfigError) as caught:
        telegram(FakeTelegram(), secret=secrets.__getitem__, **settings)
    assert str(caught.value.facts["key"]).endswith(key)
    assert token not in caught.value.message
