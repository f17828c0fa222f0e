"""The contract of platforms, with our Matrix adapter at a real homeserver."""

from collections.abc import AsyncIterator

import pytest

from core.platform_settings import MatrixSettings
from tests.platforms.conftest import Tally, counted
from tests.platforms.matrix_stage import stage
from tests.platforms.synapse import Synapse
from tests.support.matrix_human import C, Human
from tests.support.matrix_rig import MatrixRig
from tests.support.platform_cases import ConnectionCases, IntakeCases
from tests.support.platform_rig import Can, PlatformRig
from tests.support.platform_send_cases import FaultCases, SendingCases
from tests.support.tcp_line import TcpLine, tcp_line

PLATFORM = "matrix"


class LineRig(MatrixRig):
    """The same over a line of the test, at a server whose limits cannot be changed while it runs."""

    can = frozenset(Can) - {Can.LIMIT}

    def __init__(
        self, human: Human, room_id: str, settings: MatrixSettings, token: str, line: TcpLine, bot: Human
    ) -> None:
        super().__init__(human, room_id, settings, token, None)
        self.line = line
        self._bot = bot

    async def cut(self) -> None:
        """Of our line; Ana has her own."""
        self.line.cut()

    async def deafen(self) -> None:
        """Of our line."""
        self.line.deafen()

    async def mend(self) -> None:
        """Of our line."""
        self.line.mend()

    async def revoke(self) -> None:
        """Sign the bot out."""
        await self._bot.call("POST", f"{C}/logout", json={})


@pytest.fixture
async def rig(synapse: Synapse, tally: Tally) -> AsyncIterator[PlatformRig]:
    """A new bot and a new person in a room of theirs."""
    async with stage(synapse) as scene, tcp_line(synapse.port) as line:
        bot, ana = await scene.user("bot"), await scene.user("ana")
        room_id = await ana.create_room(bot.user_id)
        await bot.join(room_id)
        settings = MatrixSettings(
            homeserver=f"http://127.0.0.1:{line.port}", user_id=bot.user_id, token="env:TOKEN", sync_timeout_s=1.0
        )
        yield counted(LineRig(ana, room_id, settings, scene.tokens[bot.user_id], line, bot), tally)


class TestConnection(ConnectionCases):
    """Lifecycle and ids."""


class TestIntake(IntakeCases):
    """What comes in."""


class TestSending(SendingCases):
    """What goes out."""


class TestFaults(FaultCases):
    """What goes wrong."""
