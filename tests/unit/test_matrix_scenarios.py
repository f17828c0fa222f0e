"""Our Matrix adapter at the fake homeserver; `tests/platforms` has the same at a real one."""

import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from core.clock import SystemClock
from core.gateway.adapters.matrix import MatrixPlatform, web_client
from core.gateway.platform import PlatformContext
from core.ids import IdSource
from core.platform_settings import MatrixSettings
from core.secrets import Secret
from tests.support.fake_matrix import FakeLine, FakeMatrix
from tests.support.matrix_human import Human
from tests.support.matrix_scenarios import MatrixScenarios
from tests.support.no_http import NoHttp
from tests.support.platform_rig import NAME
from tests.support.rig_matrix import URL

PASSWORD = "a password"


class FakeScene:
    """The fake homeserver."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.server = FakeMatrix()
        self.tokens: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self._stack = stack

    async def user(self, name: str) -> Human:
        """A new user; the name is made unique."""
        user_id = f"@{name}{next(self._numbers)}:test.local"
        self.tokens[user_id] = self.server.register(user_id, PASSWORD)
        transport = httpx.MockTransport(self.server.handle)
        human = Human(URL, user_id, self.tokens[user_id], transport=transport)
        self._stack.push_async_callback(human.aclose)
        return human

    def adapter(self, bot: Human, **settings: Any) -> MatrixPlatform:
        """Our adapter for a user, by token unless a password is named."""
        credential = {} if "password" in settings else {"token": "env:TOKEN"}
        made = MatrixSettings(homeserver=URL, user_id=bot.user_id, **{"sync_timeout_s": 2.0, **credential, **settings})
        secrets = {"env:TOKEN": self.tokens[bot.user_id], "env:PASSWORD": PASSWORD}
        clock = SystemClock()
        context = PlatformContext(
            clock=clock, ids=IdSource(clock), http=NoHttp(), secret=lambda name: Secret(secrets[name])
        )
        web = web_client(made, context, transport=FakeLine(self.server.handle))
        return MatrixPlatform(NAME, made, context, web)


class Uncounted:
    """Nothing is counted here; what was numbered is compared all the same."""

    def add(self, **counts: int) -> None:
        """Nothing."""

    def numbered(self, sent: list[str], came: list[str], way: str) -> None:
        """All came once, in order."""
        assert came == sent


@pytest.fixture
async def scene() -> AsyncIterator[FakeScene]:
    """The homeserver and users of one test."""
    async with AsyncExitStack() as stack:
        yield FakeScene(stack)


@pytest.fixture
def tally() -> Uncounted:
    """Nobody reads it."""
    return Uncounted()


class TestMatrix(MatrixScenarios):
    """At the fake."""
