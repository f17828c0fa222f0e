"""Commits a second of the SQLite store, each one row and one journal entry, every group synced to disk.

One transaction for each commit is the same store and the same callers, let in one at a time; it runs in turn with the
grouped form, and the ratio is the median over the pairs. A lone caller is timed from request to acknowledgement.
While the file is scanned again and again, commits must go on: their share of the undisturbed rate is shown.
"""

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from bench.report import Figure, median, percentile
from core.api.base import Seq
from core.api.system import AlarmRaised
from core.clock import SystemClock
from core.journal import Journal
from core.store import open_store
from core.store.base import Batch, Entry, Put, Store

_CALLERS = 100
_BODY = os.urandom(300)


@contextlib.asynccontextmanager
async def _opened() -> AsyncIterator[Store]:
    with tempfile.TemporaryDirectory() as home:
        store = await open_store("sqlite:bench.db", home=Path(home), clock=SystemClock())
        try:
            yield store
        finally:
            await store.close()


async def _rate(store: Store, callers: int, each: int, gate: contextlib.AbstractAsyncContextManager[object]) -> float:
    async def caller(name: int) -> None:
        for number in range(each):
            batch = Batch([Put(f"row/{name:03d}/{number % 50:02d}", _BODY)], [Entry(f"s{name}", _BODY)])
            async with gate:
                await store.commit(batch)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for name in range(callers):
            group.create_task(caller(name))
    return callers * each / (time.perf_counter() - began)


async def _lone_ms(store: Store, count: int) -> list[float]:
    waits = []
    for number in range(count):
        began = time.perf_counter()
        await store.commit(Batch([Put(f"lone/{number % 50}", _BODY)], [Entry("lone", _BODY)]))
        waits.append(1e3 * (time.perf_counter() - began))
    return waits


async def _scanned_rate(store: Store, each: int) -> float:
    async def scan() -> None:
        while True:
            await store.scan("")

    task = asyncio.create_task(scan())
    rate = await _rate(store, _CALLERS, each, contextlib.nullcontext())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return rate


async def _replay_rate(store: Store, count: int) -> float:
    journal = Journal(store, SystemClock())
    first = await journal.head()
    for _ in range(count // 1000):
        await journal.commit((), [("s", AlarmRaised(what="bench", error="x" * 100))] * 1000)
    subscription = journal.subscribe(after=Seq(first))
    began = time.perf_counter()
    for _ in range(count):
        await anext(subscription)
    return count / (time.perf_counter() - began)


async def _measured(*, is_short: bool) -> list[Figure]:
    rounds, each = (1, 20) if is_short else (5, 200)
    grouped, ratios, shares, lone = [], [], [], []
    async with _opened() as store:
        for _ in range(rounds):
            single = await _rate(store, _CALLERS, max(1, each // 10), asyncio.Lock())
            grouped.append(await _rate(store, _CALLERS, each, contextlib.nullcontext()))
            ratios.append(grouped[-1] / single)
            shares.append(await _scanned_rate(store, each) / grouped[-1])
            lone += await _lone_ms(store, each)
        replay = await _replay_rate(store, 1000 * rounds * (1 if is_short else 10))
    return [
        Figure("store: commits, 100 callers", median(grouped), "/s", 15_000, at_most=False, note="row and entry, FULL"),
        Figure("store: against one transaction each", median(ratios), "x", note="paired"),
        Figure("store: rate while scanned without end", median(shares), "x", note="of the undisturbed, paired"),
        Figure("store: a lone commit, p50", percentile(lone, 0.5), "ms", 1.0),
        Figure("store: a lone commit, p99", percentile(lone, 0.99), "ms"),
        Figure("journal: replay", replay, "/s", note="decoded records of 100 letters"),
    ]


def measure(*, is_short: bool) -> list[Figure]:
    """Grouped and single commits, a lone caller, commits beside scans, replay."""
    return asyncio.run(_measured(is_short=is_short))
