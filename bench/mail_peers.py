"""One run of one peer, inside the environment that holds it: prints one JSON line.

    python mail_peers.py NAME enqueue|cycle SECONDS FOLDER [BINARY]

The queues in a file are called from a hundred threads, which is faster for them than awaiting them on a loop; where
one worker behind the loop is faster still, that is taken. None of them can be told to flush several messages at once.
"""

import asyncio
import importlib
import json
import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.mail_load import BODY, awaited, awaited_cycle, threaded, threaded_cycle
from bench.mail_servers import run_nats, run_redis

_LIMIT_EXTRA_S = 30

Put = Callable[[], Any]
Pop = Callable[[], bool]


def stdlib(folder: str) -> tuple[Put, Pop]:
    """The standard library's sqlite3, one transaction for each step, synchronous FULL."""
    database = sqlite3.connect(f"{folder}/queue.db", isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE mail(seq INTEGER PRIMARY KEY, attempt INTEGER, body BLOB)")
    turn = threading.Lock()
    lease = (
        "UPDATE mail SET attempt = 1 WHERE seq = (SELECT seq FROM mail WHERE attempt = 0 ORDER BY seq LIMIT 1)"
        " RETURNING seq"
    )

    def put() -> None:
        with turn:
            database.execute("INSERT INTO mail(attempt, body) VALUES (0, ?)", (BODY,))

    def pop() -> bool:
        with turn:
            taken = database.execute(lease).fetchall()
        if not taken:
            return False
        with turn:
            database.execute("DELETE FROM mail WHERE seq = ?", taken[0])
        return True

    return put, pop


def litequeue(folder: str, *, flushes: bool) -> tuple[Put, Pop]:
    """Its default is synchronous NORMAL, which does not flush; FULL is set on its connection."""
    queue = importlib.import_module("litequeue").LiteQueue(f"{folder}/queue.db")
    if flushes:
        queue.conn.execute("PRAGMA synchronous=FULL")
    body = BODY.decode()
    turn = threading.Lock()

    def put() -> None:
        with turn:
            queue.put(body)

    def pop() -> bool:
        with turn:
            message = queue.pop()
        if message is None:
            return False
        with turn:
            queue.done(message.message_id)
        return True

    return put, pop


def persistqueue(folder: str) -> tuple[Put, Pop]:
    """SQLiteAckQueue; its connections keep SQLite's default, FULL."""
    module = importlib.import_module("persistqueue")
    queue = module.SQLiteAckQueue(folder, multithreading=True, auto_commit=True)

    def pop() -> bool:
        try:
            item = queue.get(block=False, raw=True)
        except module.Empty:
            return False
        queue.ack(item)
        return True

    return lambda: queue.put(BODY), pop


def huey(folder: str) -> tuple[Put, Pop]:
    """Its SQLite storage with fsync. Taking a message removes it: there is no acknowledgement."""
    storage = importlib.import_module("huey.storage").SqliteStorage(filename=f"{folder}/queue.db", fsync=True)
    return lambda: storage.enqueue(BODY), lambda: storage.dequeue() is not None


FILES: dict[str, Callable[[str], tuple[Put, Pop]]] = {
    "stdlib": stdlib,
    "litequeue": lambda folder: litequeue(folder, flushes=False),
    "litequeue-full": lambda folder: litequeue(folder, flushes=True),
    "persist-queue": persistqueue,
    "huey": huey,
}
_FASTER_BY_ONE_WORKER = {("persist-queue", "cycle"), ("litequeue-full", "cycle")}


def run_file(name: str, case: str, seconds: float, folder: str) -> dict[str, float]:
    """A queue in a file."""
    put, pop = FILES[name](folder)
    if (name, case) in _FASTER_BY_ONE_WORKER:
        return asyncio.run(_by_one_worker(case, seconds, put, pop))
    return threaded_cycle(seconds, put, pop) if case == "cycle" else threaded(seconds, put)


async def _by_one_worker(case: str, seconds: float, put: Put, pop: Pop) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as worker:

        async def send(_: int) -> None:
            await loop.run_in_executor(worker, put)

        async def take(_: int) -> int:
            return int(await loop.run_in_executor(worker, pop))

        return await (awaited_cycle(seconds, send, take) if case == "cycle" else awaited(seconds, send))


async def run_server(name: str, case: str, seconds: float, folder: str, binary: str) -> dict[str, float]:
    """A queue behind a server."""
    kind, sync, *shape = name.split("-")
    async with asyncio.timeout(seconds + _LIMIT_EXTRA_S):
        if kind == "redis":
            return await run_redis(case, seconds, folder, sync=sync, binary=binary, shape=shape[0] if shape else "list")
        return await run_nats(case, seconds, folder, sync=sync, binary=binary)


def main(name: str, case: str, seconds: str, folder: str, binary: str = "") -> None:
    """One line on the output."""
    if name in FILES:
        result = run_file(name, case, float(seconds), folder)
    else:
        result = asyncio.run(run_server(name, case, float(seconds), folder, binary))
    print(json.dumps(result), flush=True)
    os._exit(0)  # Threads of a peer must not keep the process.


if __name__ == "__main__":
    main(*sys.argv[1:])
