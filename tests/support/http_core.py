"""The HTTP side of a core on a real socket: server, probes, API and webhooks, with a fake inbox behind them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from core.api.base import PlatformName
from core.clock import SystemClock
from core.gateway.adapters import api_server, webhook
from core.gateway.platform import Platform, PlatformContext
from core.http.server import HttpServer
from core.ids import IdSource
from core.platform_settings import ApiServerSettings, WebhookRoute, WebhookSettings
from core.secrets import Secret
from core.settings import HttpSettings
from tests.support.api_rig import ROUTE_SECRET
from tests.support.fake_inbox import FakeInbox
from tests.support.http_calls import KEY, serving


class HttpCore:
    """What a test can reach."""

    def __init__(self, server: HttpServer, inbox: FakeInbox) -> None:
        self.server = server
        self.inbox = inbox

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.server.url


@asynccontextmanager
async def http_core(
    inbox: FakeInbox, *, keepalive_s: float = 15.0, log: list[str] | None = None
) -> AsyncIterator[HttpCore]:
    """All of it, on a free port, for as long as the block lasts."""
    clock = SystemClock()
    async with serving(HttpSettings(port=0), log=log) as server:
        context = PlatformContext(
            clock=clock,
            ids=IdSource(clock),
            http=server,
            secret=lambda _: ROUTE_SECRET,
            api_key=Secret(KEY),
            agents=lambda: ["main", "coder"],
        )
        hooks = WebhookSettings(routes={"alerts": WebhookRoute(secret="env:HOOK")})
        platforms: list[Platform] = [
            api_server.create(PlatformName("api"), ApiServerSettings(keepalive_s=keepalive_s), context),
            webhook.create(PlatformName("hooks"), hooks, context),
        ]
        async with asyncio.TaskGroup() as group:
            runs = []
            for platform in platforms:
                inbox.stood.clear()
                runs.append(group.create_task(platform.run(inbox)))
                await inbox.stood.wait()
            try:
                yield HttpCore(server, inbox)
            finally:
                for run in runs:
                    run.cancel()
