"""Checks of targets: what they look at, what they tell, and what they leave alone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from core.api.bindings import Bot
from core.api.errors import ConflictError, InvalidInput, NotFound
from core.api.relay_targets import CheckTarget, TargetChecked, TargetFinding, TargetReport, TargetStep
from core.clock import SystemClock
from core.relay.adapters.hotplex import HotplexAdapter
from core.relay.checks import Checks
from core.relay.peers import Peers
from core.relay.web import Web
from core.relay.wire import Call, Reply
from core.relay_settings import PeerSettings, RelaySettings
from core.secrets import resolve
from tests.support.binding_rig import ANN, BindingRig, binding_rig
from tests.support.far_side import FarSide, far_side, says

SETTINGS = RelaySettings(
    name="our-core",
    attempt_limit_s=10.0,
    peers={"east": PeerSettings(token="env:EAST"), "west": PeerSettings(token="env:NOT_THERE")},
)
WELCOME = b'{"name":"far","version":"2","protocol":"hotplex","peer":"us"}'


class Desk:
    """Checks over bindings of a test."""

    def __init__(self, rig: BindingRig, web: Web) -> None:
        self.rig = rig
        self.adapter: HotplexAdapter | Stubborn = HotplexAdapter(web, SETTINGS)
        self._checks = Checks(
            settings=SETTINGS,
            journal=rig.journal,
            clock=SystemClock(),
            bindings=rig.bindings,
            peers=Peers(SETTINGS, lambda name: resolve(name, home=Path(), environ={"EAST": "t0ken"})),
            adapters=lambda _: self.adapter,
        )

    async def check(self, name: str = "", bot: Bot | None = None) -> TargetReport:
        """Look."""
        report = await self._checks.commands[CheckTarget](CheckTarget(name=name, bot=bot), ANN)
        assert isinstance(report, TargetReport)
        return report


class Stubborn:
    """An adapter that keeps to no limit."""

    async def look(self, call: Call) -> tuple[Sequence[TargetFinding], str]:
        """Never come to an end."""
        await asyncio.Event().wait()
        return [], ""

    async def send(self, call: Call) -> Reply:
        """Not asked."""
        raise AssertionError("only look is asked")

    ask = cancel = send


@asynccontextmanager
async def desk() -> AsyncIterator[Desk]:
    """All of it, for as long as the block lasts."""
    web = Web(SETTINGS, SystemClock())
    try:
        yield Desk(await binding_rig(), web)
    finally:
        await web.close()


def bot_at(far: FarSide, peer: str = "") -> Bot:
    """One that may be called there."""
    return Bot(name="alpha", url=far.url, networks=("127.0.0.0/8",), peer=peer)


def steps(report: TargetReport) -> list[bool | None]:
    """What came of each step, in their order."""
    assert [finding.step for finding in report.findings] == list(TargetStep)
    return [finding.is_ok for finding in report.findings]


async def test_a_bound_bot_is_looked_at_with_its_credentials_and_no_message_is_sent() -> None:
    """The report says who is there; it is told in an event, too."""
    async with far_side(says(200, WELCOME)) as far, desk() as on:
        await on.rig.add("C1", bot_at(far, peer="east"))
        report = await on.check(name="alpha")
        assert steps(report) == [True, True, None, True, True]
        assert (report.is_ok, report.identity, report.origin) == (True, "far 2", far.url)
        assert [(heard.method, heard.headers["authorization"]) for heard in far.heard] == [("GET", "Bearer t0ken")]
        told = on.rig.told[-1]
        assert isinstance(told, TargetChecked)
        assert told.report == report


async def test_a_bot_that_is_not_bound_can_be_looked_at() -> None:
    """Its address is understood as it would be in a binding."""
    async with far_side(says(200, WELCOME)) as far, desk() as on:
        bot = msgspec.structs.replace(bot_at(far), url=f"{far.url}/relay/")
        report = await on.check(bot=bot)
        assert report.is_ok
        assert report.bot.url == far.url
        assert far.heard[0].target == "/relay"


async def test_what_fails_is_told_step_by_step() -> None:
    """What comes after it says that it was not reached."""
    async with far_side(says(401)) as far, desk() as on:
        assert steps(await on.check(bot=bot_at(far))) == [True, True, None, False, None]
        report = await on.check(bot=msgspec.structs.replace(bot_at(far), networks=()))
        assert steps(report) == [False, None, None, None, None]
        assert [finding.detail for finding in report.findings[1:]] == ["not reached"] * 4
        assert not report.is_ok


async def test_a_secret_that_is_missing_is_found() -> None:
    """The far side is looked at all the same, without it."""
    async with far_side(says(200, WELCOME)) as far, desk() as on:
        report = await on.check(bot=bot_at(far, peer="west"))
        assert steps(report) == [True, True, None, False, True]
        assert not report.is_ok
        assert "NOT_THERE" in report.findings[3].detail


async def test_what_names_no_bot_is_refused() -> None:
    """Before anybody is asked."""
    async with far_side(says(200)) as far, desk() as on:
        with pytest.raises(InvalidInput):
            await on.check()
        with pytest.raises(NotFound):
            await on.check(name="nobody")
        with pytest.raises(InvalidInput):
            await on.check(bot=Bot(name="a", url="ftp://h"))
        await on.rig.add("C1", bot_at(far))
        await on.rig.add("C2", msgspec.structs.replace(bot_at(far), url="http://127.0.0.1:1"))
        with pytest.raises(ConflictError):
            await on.check(name="alpha")
        assert far.connection_count == 0


async def test_a_check_ends_whatever_the_adapter_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a limit of its own."""
    monkeypatch.setattr("core.relay.checks._GRACE_S", -9.9)
    async with far_side(says(200)) as far, desk() as on:
        on.adapter = Stubborn()
        report = await on.check(bot=bot_at(far))
        assert not report.is_ok
        assert report.findings[1].detail == "no end of the check"
