"""Turns a second of the real core: message accepted, stored with full sync, run by an instant agent, answer sent.

A turn is timed from the order to the core until the answer reaches the platform's send(), each commit synced to disk.
The peer is measured in the same run, on the same disk, by the same definition (peer_hermes.py), with an instant agent.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from msgspec.structs import replace

from bench.report import Figure, median
from core.api.base import Actor, ActorKind, PlatformName, SessionId
from core.api.sessions import ChatKind, OpenSession, SendMessage, Source, Voice
from core.clock import SystemClock
from core.config import load
from core.gateway import rows
from core.gateway.adapters.loopback import LoopbackPlatform
from core.gateway.platform import Outbound
from core.gateway.source import session_id
from core.home import prepare
from core.kernel import Kernel
from core.store import open_store
from core.store.base import Batch, Put

PEER = Path(__file__).with_name("peer_hermes.py")
SENDER = Actor(ActorKind.SENDER, "ana")
SENDERS = (1, 8, 50, 200)
_CONFIG = """\
http: {enabled: false}
sessions: {history_limit: 20}
agents:
  main: {runner: scripted, scenario: "builtin:echo", pace: 0, concurrency: 256}
"""


def chat_id(number: int) -> SessionId:
    """The session of one chat."""
    return session_id(Source(platform=PlatformName("local"), kind=ChatKind.DM, chat=f"c{number}"))


class Core:
    """A core on a throw-away home, and the answers that reach its platform."""

    def __init__(self, kernel: Kernel, session_count: int, answered: dict[str, Callable[[], None]]) -> None:
        self._kernel = kernel
        self._count = session_count
        self._answered = answered

    async def turn(self, number: int) -> float:
        """Seconds from the order to the answer."""
        arrived = asyncio.Event()
        self._answered[f"c{number}"] = arrived.set
        began = time.perf_counter()
        order = SendMessage(session_id=chat_id(number), text="hello", voice=Voice.USER)
        await self._kernel.execute(order, actor=SENDER)
        await arrived.wait()
        return time.perf_counter() - began

    async def rate(self, senders: int, seconds: float) -> tuple[float, list[float]]:
        """Turns a second with so many senders at once, each waiting for its answer; and each turn's seconds."""
        taken: list[float] = []
        began = time.perf_counter()

        async def sender(number: int) -> None:
            place = number
            while time.perf_counter() - began < seconds:
                taken.append(await self.turn(place))
                place = place + senders if place + senders < self._count else number

        async with asyncio.TaskGroup() as group:
            for number in range(min(senders, self._count)):
                group.create_task(sender(number))
        return len(taken) / (time.perf_counter() - began), taken


@contextmanager
def answers() -> Iterator[dict[str, Callable[[], None]]]:
    """What is to be called, by chat, when its answer reaches the platform; each once."""
    answered: dict[str, Callable[[], None]] = {}
    original = LoopbackPlatform.send

    async def send(self: LoopbackPlatform, message: Outbound) -> str:
        sent = await original(self, message)
        if arrived := answered.pop(message.source.chat, None):
            arrived()
        return sent

    LoopbackPlatform.send = send
    try:
        yield answered
    finally:
        LoopbackPlatform.send = original


@asynccontextmanager
async def core_with(session_count: int) -> AsyncIterator[Core]:
    """A core whose store holds that many sessions, all made alike."""
    with answers() as answered, tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir(mode=0o700)
        (home / "config.yaml").write_text(_CONFIG, encoding="utf-8")
        prepare(home)
        await fill(home, session_count, answered)
        kernel = await Kernel.open(home, load(home, {}))
        try:
            yield Core(kernel, session_count, answered)
        finally:
            await kernel.close()


async def fill(home: Path, count: int, answered: dict[str, Callable[[], None]]) -> None:
    """One session made by the core itself, the others as copies of its row under their own ids."""
    kernel = await Kernel.open(home, load(home, {}))
    arrived = asyncio.Event()
    answered["c0"] = arrived.set
    opening = OpenSession(platform=PlatformName("local"), chat="c0", text="hello")
    await kernel.execute(opening, actor=SENDER)
    await arrived.wait()
    await kernel.close()
    store = await open_store("sqlite:core.db", home=home, clock=SystemClock())
    row = await store.get(rows.session_key(chat_id(0)))
    assert row is not None
    view = rows.session_of(row.body)
    for first in range(1, count, 1000):
        puts: list[Put] = []
        for number in range(first, min(first + 1000, count)):
            key = chat_id(number)
            copy = replace(view, id=key, source=replace(view.source, chat=f"c{number}"))
            puts.append(Put(key=rows.session_key(key), body=rows.body_of(copy)))
        await store.commit(Batch(puts=puts))
    await store.close()


def peer_rate(seconds: float) -> float:
    """The peer's best, with 1,000 sessions loaded."""
    done = subprocess.run(
        [sys.executable, str(PEER), "--seconds", str(seconds)], capture_output=True, text=True, check=True, timeout=600
    )
    return float(json.loads(done.stdout.strip().splitlines()[-1])["turns_per_s"])


async def best_rate(session_count: int, seconds: float) -> float:
    """The best rate over the numbers of senders."""
    async with core_with(session_count) as core:
        await core.rate(8, min(1.0, seconds))
        return max([(await core.rate(senders, seconds))[0] for senders in SENDERS])


async def turn_s(session_count: int, seconds: float) -> float:
    """The median turn of a single sender who writes to one session after the other."""
    async with core_with(session_count) as core:
        await core.rate(1, min(1.0, seconds))
        return median((await core.rate(1, seconds))[1])


def measure(*, is_short: bool) -> list[Figure]:
    """Our rate against the peer's in turn, and the cost of a turn over the number of stored sessions."""
    rounds, seconds, most = (1, 0.5, 2_000) if is_short else (3, 5.0, 100_000)
    ratios: list[float] = []
    ours: list[float] = []
    for _ in range(rounds):
        ours.append(asyncio.run(best_rate(1_000, seconds)))
        if not is_short:
            ratios.append(ours[-1] / peer_rate(seconds))
    costs: dict[int, list[float]] = {1: [], 1_000: [], most: []}
    for _ in range(rounds):
        for count, taken in costs.items():
            taken.append(asyncio.run(turn_s(count, seconds)))
    flat = median([many / one for one, many in zip(costs[1], costs[most], strict=True)])
    figures = [Figure("turns with 1,000 sessions stored", median(ours), "/s", note="best of 1 to 200 senders, synced")]
    if ratios:
        figures.append(
            Figure("the same / hermes-agent 0.19.0", median(ratios), "x", target=20.0, at_most=False, note="same run")
        )
    figures += [
        Figure(f"one sender's turn, {count:,} stored", 1e3 * median(taken), "ms") for count, taken in costs.items()
    ]
    figures.append(Figure(f"turn with {most:,} stored / with 1", flat, "x", target=1.5, note="flat is 1"))
    return figures
