"""A hundred senders at once, and a hundred who take and settle: the same load for every queue that is measured.

Needs the standard library only, so that it runs inside the environments of the peers as well. Who sends waits until
the message is acknowledged as durable before sending the next. In a cycle at most WINDOW messages are under way.
"""

import asyncio
import itertools
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

BODY = b"b" * 200
CALLERS = 100
WINDOW = 1000
_IDLE_S = 0.0005
_PATIENCE_S = 0.5

Send = Callable[[int], Awaitable[Any]]
Take = Callable[[int], Awaitable[int]]
"""Take and settle; how many, 0 when there was nothing just now."""


class Counts:
    """What was sent and settled; waits: seconds of each send."""

    def __init__(self) -> None:
        self.sent = self.settled = 0
        self.waits: list[float] = []
        self.began = time.perf_counter()

    def result(self, done: int) -> dict[str, float]:
        """Rate and waits in the words of the report."""
        taken = time.perf_counter() - self.began
        ranked = sorted(self.waits)
        return {
            "rate": done / taken,
            "p50_ms": 1e3 * ranked[len(ranked) // 2],
            "p99_ms": 1e3 * ranked[len(ranked) * 99 // 100],
            "count": done,
        }


async def awaited(seconds: float, send: Send, callers: int = CALLERS) -> dict[str, float]:
    """Rate and waits of so many callers, each of which awaits its send."""
    counts = Counts()
    until = counts.began + seconds

    async def caller(number: int) -> None:
        began = time.perf_counter()
        while began < until:
            await send(number)
            now = time.perf_counter()
            counts.waits.append(now - began)
            began = now

    await asyncio.gather(*(caller(number) for number in range(callers)))
    return counts.result(len(counts.waits))


async def awaited_cycle(seconds: float, send: Send, take: Take, callers: int = CALLERS) -> dict[str, float]:
    """Messages a second from send to settlement, with as many takers as senders."""
    counts = Counts()
    until = counts.began + seconds
    room, all_settled = asyncio.Event(), asyncio.Event()
    still_sending = callers

    async def sender(number: int) -> None:
        nonlocal still_sending
        while (began := time.perf_counter()) < until:
            while counts.sent - counts.settled >= WINDOW:
                room.clear()
                await room.wait()
            counts.sent += 1
            await send(number)
            counts.waits.append(time.perf_counter() - began)
        still_sending -= 1
        noted()

    def noted() -> None:
        if not room.is_set():
            room.set()
        if not still_sending and counts.settled >= counts.sent:
            all_settled.set()

    async def taker(number: int) -> None:
        while not all_settled.is_set():
            if settled := await take(number):
                counts.settled += settled
                noted()
            else:
                await asyncio.sleep(_IDLE_S)

    takers = [asyncio.ensure_future(taker(number)) for number in range(callers)]
    senders = [asyncio.ensure_future(sender(number)) for number in range(callers)]
    ended = asyncio.ensure_future(all_settled.wait())
    tasks: set[asyncio.Future[Any]] = {ended, *takers, *senders}
    try:
        while not ended.done():
            finished, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in finished:
                task.result()
        return counts.result(counts.settled)
    finally:
        await _cancelled(tasks)


async def _cancelled(tasks: set[asyncio.Future[Any]]) -> None:
    # A client library may swallow a cancellation, so once is not enough.
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=_PATIENCE_S)


def threaded(seconds: float, send: Callable[[], Any], threads: int = CALLERS) -> dict[str, float]:
    """The same with threads, for a queue whose calls block."""
    counts = Counts()
    until = counts.began + seconds

    def caller() -> None:
        while (began := time.perf_counter()) < until:
            send()
            counts.waits.append(time.perf_counter() - began)

    _run_all([caller] * threads)
    return counts.result(len(counts.waits))


def threaded_cycle(
    seconds: float, send: Callable[[], Any], take: Callable[[], bool], threads: int = CALLERS
) -> dict[str, float]:
    """The same cycle with threads; `take` is false when there was nothing just now."""
    counts = Counts()
    until = counts.began + seconds
    settled: list[None] = []
    sent = itertools.count(1)
    over = threading.Event()

    def sender() -> None:
        while (began := time.perf_counter()) < until:
            if counts.sent - len(settled) >= WINDOW:
                time.sleep(_IDLE_S)
                continue
            counts.sent = next(sent)
            send()
            counts.waits.append(time.perf_counter() - began)

    def taker() -> None:
        while not over.is_set():
            if take():
                settled.append(None)
            elif time.perf_counter() >= until and len(settled) >= len(counts.waits) and not senders_left():
                over.set()
            else:
                time.sleep(_IDLE_S)

    def senders_left() -> bool:
        return any(thread.is_alive() for thread in senders)

    senders = [threading.Thread(target=sender, daemon=True) for _ in range(threads)]
    takers = [threading.Thread(target=taker, daemon=True) for _ in range(threads)]
    for thread in (*senders, *takers):
        thread.start()
    for thread in (*senders, *takers):
        thread.join()
    return counts.result(len(settled))


def _run_all(acts: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=act, daemon=True) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
