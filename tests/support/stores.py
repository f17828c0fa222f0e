"""Stores for tests, short forms of what is written to them, and a program that commits until it is killed.

`python -m tests.support.stores HOME` opens the store of that home and commits from 20 tasks. Each
commit raises the number in one row and tells of it in the journal; once it is acknowledged, one line
"KEY REVISION SEQ" goes to stdout.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from core.clock import Clock, SystemClock
from core.store import open_store
from core.store.base import Batch, Entry, Put, Store

URLS = {"memory": "memory:", "sqlite": "sqlite:core.db"}
FILE = "core.db"

_WRITERS = 20
_SPEAKER = 1


async def opened(kind: str, home: Path, clock: Clock | None = None) -> Store:
    """A store of that kind ("memory" or "sqlite"); the second has its file in `home`."""
    return await open_store(URLS[kind], home=home, clock=clock or SystemClock())


def puts(**rows: str | None) -> Batch:
    """A batch that sets rows to texts, or deletes them, whatever they are now."""
    return Batch([Put(key, None if text is None else text.encode()) for key, text in rows.items()])


def put(key: str, text: str | None, expect: int | None = None) -> Batch:
    """A batch with one change of one row."""
    return Batch([Put(key, None if text is None else text.encode(), expect)])


def told(*texts: str, subject: str = "s") -> Batch:
    """A batch of journal entries about one subject."""
    return Batch((), [Entry(subject, text.encode()) for text in texts])


async def fill(store: Store, keys: Sequence[str]) -> None:
    """One row for each key; its body is the key."""
    await store.commit(Batch([Put(key, key.encode(errors="surrogatepass")) for key in keys]))


async def keys_of(
    store: Store, prefix: str, *, after: str = "", limit: int | None = None, newest_first: bool = False
) -> list[str]:
    """The keys that a scan gives."""
    return [row.key for row in await store.scan(prefix, after=after, limit=limit, newest_first=newest_first)]


async def _write(store: Store, key: str) -> None:
    row = await store.get(key)
    revision = 0 if row is None else row.revision
    while True:
        text = str(revision + 1).encode()
        committed = await store.commit(Batch([Put(key, text, expect=revision)], [Entry(key, text)]))
        revision = committed.revisions[0]
        # One write for one line, so that a kill leaves no half line behind a whole one.
        os.write(_SPEAKER, f"{key} {revision} {committed.seqs[0]}\n".encode())


async def _commit_until_killed(home: Path) -> None:
    store = await opened("sqlite", home)
    async with asyncio.TaskGroup() as writers:
        for number in range(_WRITERS):
            writers.create_task(_write(store, f"row/{number:02d}"))


if __name__ == "__main__":
    asyncio.run(_commit_until_killed(Path(sys.argv[1])))
