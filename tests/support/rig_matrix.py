"""Matrix under the contract of platforms, at the fake homeserver; `tests/platforms` has a real one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from core.platform_settings import MatrixSettings
from tests.support.fake_matrix import FakeLine, FakeMatrix, MatrixFault
from tests.support.matrix_human import Human
from tests.support.matrix_rig import ALL, MatrixRig
from tests.support.platform_rig import PlatformRig

URL = "http://matrix.test"
BOT = "@bot:test.local"
ANA = "@ana:test.local"


class FakeMatrixRig(MatrixRig):
    """Everything can be done here."""

    can = ALL

    def __init__(self, server: FakeMatrix, human: Human, room_id: str, token: str) -> None:
        self.server = server
        self.line = FakeLine(server.handle)
        made = MatrixSettings(homeserver=URL, user_id=BOT, token="env:TOKEN", sync_timeout_s=1.0)
        super().__init__(human, room_id, made, token, self.line)

    async def cut(self) -> None:
        """Of our line; Ana has her own."""
        self.line.set(is_cut=True)

    async def deafen(self) -> None:
        """Of our line."""
        self.line.set(is_deaf=True)

    async def mend(self) -> None:
        """Of our line."""
        self.line.set()

    async def revoke(self) -> None:
        """All tokens of the bot."""
        self.server.tokens = {token: user for token, user in self.server.tokens.items() if user != BOT}

    async def limit(self, wait_s: float) -> None:
        """As servers say it: in milliseconds."""
        self.server.faults.append(MatrixFault(429, "M_LIMIT_EXCEEDED", retry_after_ms=int(wait_s * 1000)))


@asynccontextmanager
async def matrix_rig() -> AsyncIterator[FakeMatrixRig]:
    """The bot and Ana in a room of theirs."""
    server = FakeMatrix()
    token = server.register(BOT)
    ana = Human(URL, ANA, server.register(ANA), transport=httpx.MockTransport(server.handle))
    bot = Human(URL, BOT, token, transport=httpx.MockTransport(server.handle))
    room_id = await ana.create_room(BOT)
    await bot.join(room_id)
    await bot.aclose()
    yield FakeMatrixRig(server, ana, room_id, token)
    await ana.aclose()


@asynccontextmanager
async def rig() -> AsyncIterator[PlatformRig]:
    """The same, as the contract finds it."""
    async with matrix_rig() as found:
        yield found
