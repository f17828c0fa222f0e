"""One at a time for each name, with nothing kept of names that nobody uses."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class Locks:
    """A lock for each name that is wanted."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    def __len__(self) -> int:
        return len(self._locks)

    @asynccontextmanager
    async def alone(self, name: str) -> AsyncGenerator[None]:
        """Wait for whoever has it."""
        lock, count = self._locks.get(name) or (asyncio.Lock(), 0)
        self._locks[name] = (lock, count + 1)
        try:
            async with lock:
                yield
        finally:
            lock, count = self._locks.pop(name)
            if count > 1:
                self._locks[name] = (lock, count - 1)
