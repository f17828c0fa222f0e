"""People and bots at a real homeserver, and our adapter for a bot."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from core.clock import SystemClock
from core.gateway.adapters.matrix import MatrixPlatform, create
from core.gateway.platform import PlatformContext
from core.ids import IdSource
from core.platform_settings import MatrixSettings
from core.secrets import Secret
from tests.platforms.synapse import Synapse
from tests.support.matrix_human import Human
from tests.support.no_http import NoHttp
from tests.support.platform_rig import NAME

PASSWORD = "a password"
_numbers = itertools.count(1)


class Stage:
    """A homeserver with users of one test."""

    def __init__(self, synapse: Synapse, stack: AsyncExitStack) -> None:
        self.synapse = synapse
        self.tokens: dict[str, str] = {}
        self._stack = stack

    async def user(self, name: str) -> Human:
        """A new user; the name is made unique."""
        name = f"{name}{next(_numbers)}"
        user_id = f"@{name}:test.local"
        self.tokens[user_id] = await asyncio.to_thread(self.synapse.register, name, PASSWORD)
        human = Human(self.synapse.url, user_id, self.tokens[user_id])
        self._stack.push_async_callback(human.aclose)
        return human

    def adapter(self, bot: Human, *, url: str = "", **settings: Any) -> MatrixPlatform:
        """Our adapter for a user, by token unless a password is named."""
        credential = {} if "password" in settings else {"token": "env:TOKEN"}
        made = MatrixSettings(
            homeserver=url or self.synapse.url,
            user_id=bot.user_id,
            **{"sync_timeout_s": 2.0, **credential, **settings},
        )
        secrets = {"env:TOKEN": self.tokens[bot.user_id], "env:PASSWORD": PASSWORD}
        clock = SystemClock()
        context = PlatformContext(
            clock=clock, ids=IdSource(clock), http=NoHttp(), secret=lambda name: Secret(secrets[name])
        )
        return create(NAME, made, context)


@asynccontextmanager
async def stage(synapse: Synapse) -> AsyncIterator[Stage]:
    """A stage; its users go with the block."""
    async with AsyncExitStack() as stack:
        yield Stage(synapse, stack)
