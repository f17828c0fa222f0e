"""Any Hermes behind an AttachServer on a socket of its own, and a RemoteHermes that talks to it."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from core.api.port import Hermes
from core.attach.client import RemoteHermes
from core.attach.server import AttachServer
from core.clock import Clock, SystemClock


@asynccontextmanager
async def served(hermes: Hermes, path: Path | None = None, **options: Any) -> AsyncIterator[AttachServer]:
    """A server that listens while the block runs. path None: a short one of its own, as sockets need."""
    with tempfile.TemporaryDirectory(prefix="hc-") as folder:
        server = AttachServer(hermes, path or Path(folder) / "core.sock", **{"version": "0.1.0", **options})
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(server.run())
            waiting = tasks.create_task(server.is_listening.wait())
            await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if running.done():
                running.result()
            try:
                yield server
            finally:
                running.cancel()


@asynccontextmanager
async def attached(hermes: Hermes, clock: Clock | None = None, **options: Any) -> AsyncIterator[RemoteHermes]:
    """A client of a served Hermes."""
    async with served(hermes) as server:
        remote = await RemoteHermes.connect(server.path, clock or SystemClock(), version="0.1.0", **options)
        try:
            yield remote
        finally:
            await remote.close()
