"""Messages from bot to bot: against a bare loop of POSTs, and beside a hundred far sides that never answer.

The far side is another process on loopback; every message is stored in a synced commit before its first byte leaves
and in another when it was taken. What is compared is run in turn, as often first as second; ratios are the median of
the pairs.
"""

import asyncio
import gc
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, cast

import httpx

from bench.report import Figure, median, percentile
from core.api.base import SYSTEM, Record
from core.api.bindings import AddBinding, Bot
from core.api.breakers import BreakerState, BreakerView
from core.api.relay_tasks import RelayEnded, SendRelay
from core.breaker_book import BreakerBook
from core.clock import SystemClock
from core.ids import IdSource
from core.journal import Journal
from core.mailroom import Mailroom
from core.relay.message import RelayMessage, write_for_peer
from core.relay_settings import RelaySettings
from core.relay_side import RelaySide
from core.settings import Settings
from core.store import open_store
from core.supervisor import Supervisor
from tests.support.no_http import NoHttp, no_secret

SENDERS = 100
TARGETS, HOLES = 1_000, 100
_NETWORKS = ("127.0.0.0/8",)
_TEXT = "Is anything wrong with the last change? " * 5
_CHECKS = 100_000
_FAILURES = RelaySettings().breaker_failures


class Relay:
    """A relay over a store on disk. sent: puts a message on its way and returns when it was taken."""

    def __init__(self, side: RelaySide, journal: Journal) -> None:
        self.side = side
        self._ended: dict[str, asyncio.Future[None]] = {}
        journal.on_record(self._told)

    async def bind(self, urls: Sequence[str]) -> list[str]:
        """Bots at these addresses, by name."""
        names = [f"bot{number}" for number in range(len(urls))]
        for first in range(0, len(urls), 100):
            bots = tuple(
                Bot(name=name, url=url, networks=_NETWORKS)
                for name, url in zip(names[first : first + 100], urls[first : first + 100], strict=True)
            )
            add = self.side.bindings.commands[AddBinding]
            await add(AddBinding(platform="bench", chat=f"C{first}", bots=bots), SYSTEM)
        return names

    async def send(self, name: str) -> None:
        """To its end."""
        receipt = await self.side.outbound.commands[SendRelay](SendRelay(to=(name,), text=_TEXT), SYSTEM)
        task = receipt.tasks[0]
        if not task.state.is_over:
            ended = self._ended[task.id] = asyncio.get_running_loop().create_future()
            await ended

    def _told(self, record: Record) -> None:
        if isinstance(record.event, RelayEnded):
            ended = self._ended.pop(record.event.task.id, None)
            if ended is not None and not ended.done():
                ended.set_result(None)


@asynccontextmanager
async def _relay(urls: Sequence[str], **rules: Any) -> AsyncIterator[tuple[Relay, list[str]]]:
    clock = SystemClock()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        store = await open_store("sqlite:core.db", home=home, clock=clock)
        journal = Journal(store, clock)
        supervisor = Supervisor(clock, lambda *_: None, lambda *_: None)
        mail = Mailroom(journal=journal, store=store, clock=clock, supervisor=supervisor, boot=1, random=random.random)
        await mail.open()
        side = RelaySide(
            settings=Settings(relay=RelaySettings(**rules)),
            store=store,
            journal=journal,
            mail=mail,
            clock=clock,
            ids=IdSource(clock),
            supervisor=supervisor,
            http=cast("Any", NoHttp()),
            secret=no_secret,
            workers=cast("Any", None),
            askers=cast("Any", None),
            breakers=BreakerBook(journal),
            random=random.random,
            on_fault=lambda *_: None,
        )
        await side.open()
        await side.outbound.start()
        relay = Relay(side, journal)
        try:
            yield relay, await relay.bind(urls)
        finally:
            await side.web.close()
            await mail.stop(0.1)
            await supervisor.stop(deadline_s=5)
            await mail.close()
            await store.close()


@contextmanager
def _far() -> Iterator[tuple[int, int]]:
    program = Path(__file__).with_name("relay_far.py")
    with subprocess.Popen([sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as far:
        assert far.stdout is not None
        port, hole = far.stdout.readline().split()
        try:
            yield int(port), int(hole)
        finally:
            assert far.stdin is not None
            far.stdin.close()


async def _at_once(send: Callable[[], Coroutine[Any, Any, object]], count: int) -> float:
    """Messages a second of so many senders, each of which begins when its last one was taken."""
    each = count // SENDERS

    async def sender() -> None:
        for _ in range(each):
            await send()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(SENDERS):
            group.create_task(sender())
    return each * SENDERS / (time.perf_counter() - began)


async def relayed_per_s(port: int, count: int) -> float:
    """Through the relay: stored, sent, answered, stored."""
    async with _relay([f"http://127.0.0.1:{port}"], in_flight=SENDERS) as (relay, (name,)):
        await _at_once(lambda: relay.send(name), SENDERS)
        return await _at_once(lambda: relay.send(name), count)


async def bare_per_s(port: int, count: int) -> float:
    """The same documents by an HTTP client alone."""
    body = write_for_peer(RelayMessage(task_id="8d1f4c52-0a3e-4b7c-9f6e-2b1a7c3d4e5f", to="bot0", content=_TEXT))
    limits = httpx.Limits(max_connections=SENDERS, max_keepalive_connections=SENDERS)
    async with httpx.AsyncClient(limits=limits, trust_env=False) as client:

        async def send() -> None:
            answer = await client.post(
                f"http://127.0.0.1:{port}/relay", content=body, headers={"content-type": "application/json"}
            )
            assert answer.is_success

        await _at_once(send, SENDERS)
        return await _at_once(send, count)


async def healthy_p99_s(
    port: int, hole: int, *, healthy: int, holes: int, seconds: float, per_s: float, are_known: bool = False
) -> float:
    """The 99th percentile of messages to the healthy that are sent at an even pace.

    holes: further targets that take a connection and never answer; each is sent as many messages. are_known: they have
    been for a while, so that their breakers are open; if not, that is found out meanwhile.
    """
    urls = [f"http://127.1.{number // 250}.{number % 250 + 1}:{port}" for number in range(healthy)]
    urls += [f"http://127.2.0.{number + 1}:{hole}" for number in range(holes)]
    taken: list[float] = []
    async with _relay(urls, attempt_limit_s=2.0) as (relay, names), asyncio.TaskGroup() as group:
        for first in range(0, healthy, SENDERS):
            await asyncio.gather(*(relay.send(name) for name in names[first : min(first + SENDERS, healthy)]))
        waiting = [group.create_task(relay.send(name)) for name in names[healthy:] * (_FAILURES if are_known else 0)]
        while waiting and not all(  # noqa: ASYNC110 - it is before what is measured
            view.state is BreakerState.OPEN for view in _breakers(relay, hole)
        ):
            await asyncio.sleep(0.1)

        # What stands now is the same in both; to look through it again is no work of a message.
        gc.collect()
        gc.freeze()

        async def timed(name: str) -> None:
            began = time.perf_counter()
            await relay.send(name)
            taken.append(time.perf_counter() - began)

        healthy_ones: list[asyncio.Task[None]] = []
        began, count, to_holes = time.perf_counter(), 0, 0.0
        while (now := time.perf_counter()) - began < seconds:
            for _ in range(int((now - began) * per_s) - count):
                healthy_ones.append(group.create_task(timed(names[count % healthy])))
                count += 1
                to_holes += holes / healthy
                if to_holes >= 1:
                    to_holes -= 1
                    waiting.append(group.create_task(relay.send(random.choice(names[healthy:]))))
            await asyncio.sleep(0.005)
        await asyncio.gather(*healthy_ones)
        for task in waiting:
            task.cancel()
    return percentile(taken, 0.99)


def _breakers(relay: Relay, port: int) -> list[BreakerView]:
    return [view for view in relay.side.targets.breakers.breaker_views() if view.name.endswith(f":{port}")]


async def check_us() -> float:
    """Microseconds until it is known whether a far side may be called."""
    async with _relay(["http://127.0.0.1:1"]) as (relay, _):
        gate = relay.side.targets.gate("http://127.0.0.1:1")
        best = float("inf")
        for _ in range(5):
            began = time.perf_counter()
            for _ in range(_CHECKS):
                gate.wait_s()
            best = min(best, (time.perf_counter() - began) / _CHECKS)
        return best * 1_000_000


def measure(*, is_short: bool) -> list[Figure]:
    """Throughput against the bare loop, the healthy beside black holes, and the check alone."""
    count, pairs, seconds, per_s = (300, 2, 3.0, 60.0) if is_short else (2_000, 5, 10.0, 150.0)
    targets, holes = (TARGETS // 5, HOLES // 5) if is_short else (TARGETS, HOLES)
    healthy = targets - holes
    relayed: list[float] = []
    bare: list[float] = []
    alone: list[float] = []
    beside: list[float] = []
    known: list[float] = []
    with _far() as (port, hole):
        for number in range(pairs):
            for is_ours in (False, True) if number % 2 else (True, False):
                gc.collect()
                one = relayed_per_s(port, count) if is_ours else bare_per_s(port, count)
                (relayed if is_ours else bare).append(asyncio.run(one))
        for number in range(pairs):
            rounds = [(alone, 0, False), (known, holes, True), (beside, holes, False)]
            for taken, dead, are_known in rounds if number % 2 else reversed(rounds):
                gc.collect()
                one = healthy_p99_s(
                    port, hole, healthy=healthy, holes=dead, seconds=seconds, per_s=per_s, are_known=are_known
                )
                taken.append(asyncio.run(one))
                gc.unfreeze()
    checked = asyncio.run(check_us())
    what = f"{SENDERS} senders at once"
    ratio = median([ours / theirs for ours, theirs in zip(relayed, bare, strict=True)])
    slower = median([with_holes / without for without, with_holes in zip(alone, known, strict=True)])
    at_first = median([with_holes / without for without, with_holes in zip(alone, beside, strict=True)])
    return [
        Figure(f"relay, {what}: stored, sent, stored", median(relayed), "/s", note="loopback, no agent"),
        Figure(f"bare httpx loop, {what}", median(bare), "/s", note="the same documents"),
        Figure("relay / bare loop", ratio, "x", target=0.5, at_most=False, note="in turn"),
        Figure(f"{healthy} targets: p99 alone", median(alone) * 1000, "ms", note=f"{per_s:g} messages/s"),
        Figure(f"the same beside {holes} black holes", median(known) * 1000, "ms", note="their breakers are open"),
        Figure("beside / alone of the relay", slower, "x", target=1.2, note="in turn"),
        Figure("the same while they are found out", median(beside) * 1000, "ms", note="each is tried and tried again"),
        Figure("beside / alone at first", at_first, "x", target=1.2, note="in turn"),
        Figure("check of a breaker", checked, "us", target=2.0),
    ]
