"""What every connection promises, whatever it is made of: the cases of `platform_cases` over every rig there is."""

from collections.abc import AsyncIterator

import pytest

from tests.support.platform_cases import ConnectionCases, IntakeCases
from tests.support.platform_rig import PlatformRig, rigs
from tests.support.platform_send_cases import FaultCases, SendingCases

RIGS = rigs()
CHATS = sorted(set(RIGS) - {"loopback", "simulated"})
"""Those with a far side that is not the adapter itself."""


class OfAll:
    """Over every kind."""

    @pytest.fixture(params=sorted(RIGS))
    async def rig(self, request: pytest.FixtureRequest) -> AsyncIterator[PlatformRig]:
        """One connection of each kind."""
        async with RIGS[request.param]() as found:
            yield found


class OfChats:
    """Over every kind that people use."""

    @pytest.fixture(params=CHATS)
    async def rig(self, request: pytest.FixtureRequest) -> AsyncIterator[PlatformRig]:
        """One connection of each kind, with its far side."""
        async with RIGS[request.param]() as found:
            yield found


class TestConnection(OfAll, ConnectionCases):
    """Lifecycle and ids."""


class TestIntake(OfChats, IntakeCases):
    """What comes in."""


class TestSending(OfChats, SendingCases):
    """What goes out."""


class TestFaults(OfChats, FaultCases):
    """What goes wrong."""
