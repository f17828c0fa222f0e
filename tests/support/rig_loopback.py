"""The console's own chat under the contract of platforms: it has no far side but the console."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from core.gateway.adapters.loopback import LoopbackPlatform
from core.gateway.platform import Platform
from tests.support.platform_rig import NAME, PlatformRig, Told


class LoopbackRig(PlatformRig):
    """What was sent is kept by the adapter itself."""

    kind = "loopback"

    def __init__(self) -> None:
        self.platform = self._own = LoopbackPlatform(NAME)

    def restarted(self) -> Platform:
        """One that knows nothing."""
        self.platform = self._own = LoopbackPlatform(NAME)
        return self.platform

    async def told(self) -> Sequence[Told]:
        """As the adapter keeps it."""
        kept = self._own.sent_to(self.source.chat)
        return [Told(native_id=message.delivery_id, text=message.text) for message in kept]


@asynccontextmanager
async def rig() -> AsyncIterator[PlatformRig]:
    """The console's own chat."""
    yield LoopbackRig()
