"""Stores for tests, short forms of what is written to them, and programs that a test can kill or starve.

`python -m tests.support.stores ACT HOME` works on the store of that home and reports on stdout:

- commit: 20 tasks commit until the program is killed. Each commit raises the number in one row and tells
  of it in the journal and by mail; once it is acknowledged it says "KEY REVISION SEQ".
- fill: commits until its files may grow no more, twice, says so, and goes on when they may grow again.
- open: opens the store while no file may grow.
"""

import asyncio
import hashlib
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from core.api.errors import StoreError
from core.clock import Clock, SystemClock
from core.store import open_store
from core.store.base import Batch, Entry, Put, Store
from tests.support.tree import ROOT

URLS = {"memory": "memory:", "sqlite": "sqlite:core.db"}
FILE = "core.db"

AT_REST = [FILE, f"{FILE}.mark"]
"""Names of the files of a closed store that was written to and holds no room back."""

_WRITERS = 20
_SMALL_DISK_BYTES = 400_000


async def opened(kind: str, home: Path, clock: Clock | None = None, *, ballast_bytes: int = 0) -> Store:
    """A store of that kind ("memory" or "sqlite"); the second has its file in `home`."""
    return await open_store(URLS[kind], home=home, clock=clock or SystemClock(), ballast_bytes=ballast_bytes)


def puts(**rows: str | None) -> Batch:
    """A batch that sets rows to texts, or deletes them, whatever they are now."""
    return Batch([Put(key, None if text is None else text.encode()) for key, text in rows.items()])


def put(key: str, text: str | None, expect: int | None = None) -> Batch:
    """A batch with one change of one row."""
    return Batch([Put(key, None if text is None else text.encode(), expect)])


def told(*texts: str, subject: str = "s") -> Batch:
    """A batch of journal entries about one subject."""
    return Batch((), [Entry(subject, text.encode()) for text in texts])


def mailed(*texts: str, floor: int = 0, is_relief: bool = False) -> Batch:
    """A batch of mail records."""
    return Batch(mail=[text.encode() for text in texts], mail_floor=floor, is_relief=is_relief)


async def records_of(store: Store) -> list[str]:
    """All mail records as text, in order; none is damaged."""
    texts: list[str] = []
    place = 0
    while packs := await store.read_packs(after=place):
        assert [pack.damaged for pack in packs if pack.damaged] == []
        texts += [record.decode() for pack in packs for record in pack.records]
        place = packs[-1].place
    return texts


async def rested(store: Store) -> None:
    """Once the writer has done what is due between jobs, at the present time."""
    for _ in range(2):
        await store.get("k")


async def fill(store: Store, keys: Sequence[str]) -> None:
    """One row for each key; its body is the key."""
    await store.commit(Batch([Put(key, key.encode(errors="surrogatepass")) for key in keys]))


async def keys_of(
    store: Store, prefix: str, *, after: str = "", limit: int | None = None, newest_first: bool = False
) -> list[str]:
    """The keys that a scan gives."""
    return [row.key for row in await store.scan(prefix, after=after, limit=limit, newest_first=newest_first)]


def files_in(home: Path) -> dict[str, str]:
    """Name and SHA-256 of every file in a folder."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(home.iterdir())}


def start_program(act: str, home: Path) -> "subprocess.Popen[bytes]":
    """Start this file's program; its stdout can be read."""
    command = [sys.executable, "-m", "tests.support.stores", act, str(home)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)


def _say(line: str) -> None:
    # One write for one line, so that a kill leaves no half line behind a whole one.
    os.write(1, f"{line}\n".encode())


async def _write(store: Store, key: str) -> None:
    row = await store.get(key)
    revision = 0 if row is None else row.revision
    while True:
        text = str(revision + 1).encode()
        mail = f"{key} {revision + 1}".encode()
        committed = await store.commit(Batch([Put(key, text, expect=revision)], [Entry(key, text)], [mail]))
        revision = committed.revisions[0]
        _say(f"{key} {revision} {committed.seqs[0]}")


async def _commit_until_killed(home: Path) -> None:
    store = await opened("sqlite", home)
    async with asyncio.TaskGroup() as writers:
        for number in range(_WRITERS):
            writers.create_task(_write(store, f"row/{number:02d}"))


def _limit_files(limit_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, resource.RLIM_INFINITY))


async def _fill_until_full(home: Path) -> None:
    store = await opened("sqlite", home)
    count = 0

    async def commit() -> None:
        nonlocal count
        text = str(count).encode()
        await store.commit(Batch([Put(f"k{count:04d}", b"x" * 4000, expect=0)], [Entry("s", text)], [text]))
        count += 1

    _limit_files(_SMALL_DISK_BYTES)
    for _ in range(2):
        try:
            while True:
                await commit()
        except StoreError as error:
            _say(f"full {count} {error.facts['cause']} {await store.count('k')} {await store.head()}")
    _limit_files(resource.RLIM_INFINITY)
    for _ in range(10):
        await commit()
    _say(f"went on {count} {await store.count('k')} {(await records_of(store)) == list(map(str, range(count)))}")
    await store.close()


async def _open_on_full_disk(home: Path) -> None:
    _limit_files(0)
    try:
        await opened("sqlite", home)
    except StoreError as error:
        _say(f"refused {error.facts['cause']}")
    else:
        _say("opened")


_ACTS = {"commit": _commit_until_killed, "fill": _fill_until_full, "open": _open_on_full_disk}

if __name__ == "__main__":
    asyncio.run(_ACTS[sys.argv[1]](Path(sys.argv[2])))
