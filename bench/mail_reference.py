"""The raw group commit that our mailboxes are held against: what SQLite and asyncio give when nothing is kept in order.

One thread owns one apsw connection with synchronous FULL. Callers append a row and a future and wait; the thread
takes all that is there, writes it as multi-row VALUES of few sizes, and wakes the loop once for each commit. A
message is twelve columns and one line of an append-only list of idempotency keys. No envelope is encoded, no checksum
or id made, no mailbox kept. A lease is an update of the attempt count and a settlement is a delete; both ride along
without being awaited.
"""

import asyncio
import threading
from collections import deque
from typing import Any

import apsw

from bench.mail_load import BODY, awaited, awaited_cycle

_STRIDES = (256, 64, 16, 4, 1)
_GROUP_LIMIT = 4096
_SWITCH_S = 0.0005
_TABLES = """
    PRAGMA journal_mode=WAL;
    PRAGMA synchronous=FULL;
    PRAGMA wal_autocheckpoint=250;
    PRAGMA temp_store=MEMORY;
    CREATE TABLE msg(seq INTEGER PRIMARY KEY, box, src, prio, due, exp, att, st, mid BLOB, kind, hdr BLOB, body BLOB);
    CREATE TABLE dedupe(n INTEGER PRIMARY KEY, box, khash BLOB, seq, exp);
"""
_KEY = b"k" * 16


def _rows(places: str, count: int) -> str:
    return ",".join([places] * count)


_PUT = {n: f"INSERT INTO msg VALUES {_rows('(?,1,?,1,0,0,0,0,?,1,?,?)', n)}" for n in _STRIDES}
_NOTE = {n: f"INSERT INTO dedupe(box, khash, seq, exp) VALUES {_rows('(1,?,?,0)', n)}" for n in _STRIDES}
_LEASE = {n: f"UPDATE msg SET att = att + 1 WHERE seq IN ({_rows('?', n)})" for n in _STRIDES}
_DROP = {n: f"DELETE FROM msg WHERE seq IN ({_rows('?', n)})" for n in _STRIDES}


class RawWriter:
    """The thread, its connection, and what waits for it."""

    def __init__(self, folder: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._database = apsw.Connection(f"{folder}/raw.db")
        for _ in self._database.execute(_TABLES):
            pass
        self._waiting: deque[tuple[str, int, Any]] = deque()
        self._work = threading.Event()
        self._is_over = False
        self._seq = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def put(self, sender: int) -> asyncio.Future[int]:
        """Write a message; the future holds its number once it is durable."""
        self._seq += 1
        future: asyncio.Future[int] = self._loop.create_future()
        self._waiting.append(("put", self._seq, (sender, future)))
        if not self._work.is_set():
            self._work.set()
        return future

    def note(self, what: str, seq: int) -> None:
        """A lease or a drop; nobody waits for it."""
        self._waiting.append((what, seq, None))
        if not self._work.is_set():
            self._work.set()

    def close(self) -> None:
        """Write what waits, and stop."""
        self._is_over = True
        self._work.set()
        self._thread.join()
        self._database.close()

    def _serve(self) -> None:
        while not (self._is_over and not self._waiting):
            self._work.wait()
            self._work.clear()
            while self._waiting:
                count = min(len(self._waiting), _GROUP_LIMIT)
                self._commit([self._waiting.popleft() for _ in range(count)])

    def _commit(self, group: list[tuple[str, int, Any]]) -> None:
        puts = [(seq, more) for what, seq, more in group if what == "put"]
        self._run("BEGIN IMMEDIATE")
        for place, stride in _pieces(len(puts)):
            some = puts[place : place + stride]
            self._run(_PUT[stride], [v for seq, (src, _) in some for v in (seq, src, _KEY, b"", BODY)])
            self._run(_NOTE[stride], [value for seq, _ in some for value in (_KEY, seq)])
        for texts, wanted in ((_LEASE, "lease"), (_DROP, "drop")):
            seqs = [seq for what, seq, _ in group if what == wanted]
            for place, stride in _pieces(len(seqs)):
                self._run(texts[stride], seqs[place : place + stride])
        self._run("COMMIT")
        if puts:
            self._loop.call_soon_threadsafe(_settle, puts)

    def _run(self, text: str, values: list[Any] | None = None) -> None:
        for _ in self._database.execute(text, values):
            pass


def _pieces(count: int) -> list[tuple[int, int]]:
    pieces: list[tuple[int, int]] = []
    place = 0
    for stride in _STRIDES:
        while count - place >= stride:
            pieces.append((place, stride))
            place += stride
    return pieces


def _settle(puts: list[tuple[int, Any]]) -> None:
    for seq, (_, future) in puts:
        if not future.done():
            future.set_result(seq)


async def raw(case: str, seconds: float, folder: str) -> dict[str, float]:
    """One run: `enqueue` or `cycle`."""
    writer = RawWriter(folder)
    try:
        if case == "enqueue":
            return await awaited(seconds, writer.put)
        ready: asyncio.Queue[int] = asyncio.Queue()

        async def send(sender: int) -> None:
            ready.put_nowait(await writer.put(sender))

        async def take(_: int) -> int:
            seq = await ready.get()
            writer.note("lease", seq)
            await asyncio.sleep(0)
            writer.note("drop", seq)
            return 1

        return await awaited_cycle(seconds, send, take)
    finally:
        writer.close()
