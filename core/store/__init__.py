"""Stores: one protocol, several media; `open_store` picks one by its URL."""

from pathlib import Path

from core.api.errors import InvalidInput
from core.clock import Clock
from core.store.ballast import BALLAST_BYTES
from core.store.base import Store


async def open_store(url: str, *, home: Path, clock: Clock, ballast_bytes: int = BALLAST_BYTES) -> Store:
    """Open `memory:`, or `sqlite:PATH` with PATH relative to the home.

    ballast_bytes: room that a store on disk holds back, so that batches of relief can be written
    when the disk is full; 0 for none. Only the medium that is asked for is imported. Raises
    InvalidInput for any other URL, StoreError when the medium cannot be opened; then nothing of
    it has changed.
    """
    if url == "memory:":
        from core.store.memory import MemoryStore

        return MemoryStore()
    scheme, _, place = url.partition(":")
    if scheme == "sqlite" and place and "\0" not in place:
        from core.store.sqlite import open_sqlite

        return await open_sqlite(url, home / place, clock, ballast_bytes)
    raise InvalidInput(
        f"no store is called {url!r}", field="store.url", value=url, fix="use sqlite:PATH (a file) or memory:"
    )
