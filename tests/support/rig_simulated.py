"""The made-up platform under the contract of platforms: its people answer to themselves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from core.gateway.adapters import load_adapter
from core.gateway.platform import Platform, PlatformContext
from core.ids import IdSource
from core.platform_settings import SimulatedSettings
from tests.support.clocks import FakeClock
from tests.support.no_http import NoHttp, no_secret
from tests.support.platform_rig import NAME, PlatformRig


class SimulatedRig(PlatformRig):
    """Three people on a clock that stands still."""

    kind = "simulated"

    def __init__(self) -> None:
        self.platform = self.restarted()

    def restarted(self) -> Platform:
        """New people."""
        clock = FakeClock()
        context = PlatformContext(clock=clock, ids=IdSource(clock), http=NoHttp(), secret=no_secret)
        self.platform = load_adapter(self.kind).create(NAME, SimulatedSettings(people=3, rate_per_s=10.0), context)
        return self.platform


@asynccontextmanager
async def rig() -> AsyncIterator[PlatformRig]:
    """The made-up platform."""
    yield SimulatedRig()
