"""Mailboxes in memory against bare asyncio queues, and what a million idle mailboxes weigh.

Both carry the same text from one task to another, and ours is acknowledged as well. Burst: nobody waits for room, so
a sender runs until its share is sent. Held back: at most ROOM messages wait, so both tasks take turns. A round trip
is one message there and one back, each through a queue or a mailbox of its own.
"""

import asyncio
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.mail_load import BODY
from bench.mail_ours import opened
from bench.report import Figure, median
from core.api.mailboxes import MailboxPolicy, Overflow
from core.mailbox.mailbox import Mailbox
from core.mailbox.mailboxes import Mailboxes
from core.mailbox.message import Draft

_ROOM = 64
_PAIRS = 100
_TEXT = BODY.decode()
_IDLE_TARGET_BYTES = 1024
_PAGE_BYTES = 4096

Act = Callable[[], Awaitable[object]]


async def _pairs(sends: list[Act], takes: list[Act], each: int) -> float:
    """Messages a second through pairs of tasks."""

    async def repeat(act: Act) -> None:
        for _ in range(each):
            await act()

    began = time.perf_counter()
    await asyncio.gather(*map(repeat, [*sends, *takes]))
    return len(sends) * each / (time.perf_counter() - began)


def _of_queue(room: int) -> tuple[Act, Act]:
    queue: asyncio.Queue[str] = asyncio.Queue(room)
    return (lambda: queue.put(_TEXT)), queue.get


def _of_queue_pair(room: int) -> tuple[Act, Act, Act]:
    """Sends, takes and acknowledges, and hears the acknowledgement: what a mailbox does, with two bare queues."""
    queue: asyncio.Queue[str] = asyncio.Queue(room)
    acks: asyncio.Queue[bool] = asyncio.Queue(room)

    async def take() -> None:
        await queue.get()
        await acks.put(True)

    return (lambda: queue.put(_TEXT)), take, acks.get


def _of_mailbox(box: Mailbox) -> tuple[Act, Act]:
    draft = Draft(payload=_TEXT, sender="ana")

    async def take() -> None:
        box.ack(await box.receive())

    return (lambda: box.post(draft)), take


class _Names:
    """Fresh mailboxes in memory for each run."""

    def __init__(self, boxes: Mailboxes) -> None:
        self._boxes = boxes
        self._count = 0

    def box(self, room: int = 0) -> Mailbox:
        """An empty one. room: 0 for no bound."""
        self._count += 1
        rules = MailboxPolicy(durable=False, capacity=room, overflow=Overflow.BLOCK)
        return self._boxes.in_memory(f"memory-{self._count}", rules)


async def _flow_ratio(names: _Names, pairs: int, room: int, each: int) -> tuple[float, float]:
    """Our rate, and what share it is of the queues' in the same moment."""
    queues = [_of_queue(room) for _ in range(pairs)]
    bare = await _pairs([send for send, _ in queues], [take for _, take in queues], each)
    own = await _own_rate(names, pairs, room, each)
    return own, own / bare


async def _flow_ratio_of_two(names: _Names, pairs: int, room: int, each: int) -> tuple[float, float]:
    """The same beside queues that carry the acknowledgements back as well."""
    queues = [_of_queue_pair(room) for _ in range(pairs)]
    others = [act for _, take, hear in queues for act in (take, hear)]
    bare = await _pairs([send for send, *_ in queues], others, each)
    own = await _own_rate(names, pairs, room, each)
    return own, own / bare


async def _own_rate(names: _Names, pairs: int, room: int, each: int) -> float:
    boxes = [_of_mailbox(names.box(room)) for _ in range(pairs)]
    return await _pairs([send for send, _ in boxes], [take for _, take in boxes], each)


async def _round_trips(there: tuple[Act, Act], back: tuple[Act, Act], count: int) -> float:
    async def answer() -> None:
        for _ in range(count):
            await there[1]()
            await back[0]()

    async def ask() -> None:
        for _ in range(count):
            await there[0]()
            await back[1]()

    began = time.perf_counter()
    await asyncio.gather(answer(), ask())
    return count / (time.perf_counter() - began)


async def _measured(rounds: int, scale: int) -> list[Figure]:
    cases = (
        ("one pair, burst", 1, 0, 20_000 // scale),
        ("one pair, held back", 1, _ROOM, 20_000 // scale),
        ("100 x 100, burst", _PAIRS, 0, 400 // scale),
        ("100 x 100, held back", _PAIRS, _ROOM, 400 // scale),
    )
    flows: dict[str, list[tuple[float, float]]] = {what: [] for what, *_ in cases}
    twos: dict[str, list[tuple[float, float]]] = {what: [] for what, *_ in cases}
    trips: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        async with opened(folder, "memory:") as boxes:
            names = _Names(boxes)
            for _ in range(rounds):
                for what, pairs, room, each in cases:
                    flows[what].append(await _flow_ratio(names, pairs, room, each))
                    twos[what].append(await _flow_ratio_of_two(names, pairs, room, each))
                count = 10_000 // scale
                bare = await _round_trips(_of_queue(0), _of_queue(0), count)
                own = await _round_trips(_of_mailbox(names.box()), _of_mailbox(names.box()), count)
                trips.append((own, own / bare))
    figures = [figure for what, found in flows.items() for figure in _two(f"in memory, {what}", found)]
    figures += [_ratio(f"in memory, {what} / two asyncio.Queues", found) for what, found in twos.items()]
    return figures + _two("in memory, call and reply", trips)


def _two(what: str, found: list[tuple[float, float]]) -> list[Figure]:
    rates = [rate for rate, _ in found]
    return [
        Figure(what, median(rates), "/s", note="each acknowledged"),
        _ratio(f"{what} / asyncio.Queue", found),
    ]


def _ratio(what: str, found: list[tuple[float, float]]) -> Figure:
    ratios = [ratio for _, ratio in found]
    note = f"{min(ratios):.2f} to {max(ratios):.2f}, paired"
    return Figure(what, median(ratios), "x", target=0.4, at_most=False, note=note)


async def _idle_bytes(count: int) -> float:
    rules = MailboxPolicy(durable=False)
    with tempfile.TemporaryDirectory() as folder:
        async with opened(folder, "memory:") as boxes:
            gc.collect()
            before = _resident_bytes()
            for number in range(count):
                boxes.in_memory(f"agent-{number}", rules)
            await asyncio.sleep(0)
            return (_resident_bytes() - before) / count


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES


def measure(*, is_short: bool) -> list[Figure]:
    """Pairs, round trips, and idle mailboxes; each kind in a process of its own."""
    rounds, scale, idle = (1, 4, 50_000) if is_short else (7, 1, 1_000_000)
    figures = [Figure(**line) for line in _child("flow", rounds, scale)]
    bytes_each = float(_child("idle", idle)[0]["value"])
    figures.append(
        Figure(
            "an idle mailbox", bytes_each, "bytes", target=_IDLE_TARGET_BYTES, note=f"{idle:,} made, resident memory"
        )
    )
    return figures


def _child(*words: object) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, __file__, *map(str, words)], capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-600:])
    return json.loads(done.stdout.strip().splitlines()[-1])


def main(what: str, *numbers: str) -> None:
    """What a child does: one line of JSON."""
    if what == "idle":
        print(json.dumps([{"value": asyncio.run(_idle_bytes(int(numbers[0])))}]))
    else:
        figures = asyncio.run(_measured(*map(int, numbers)))
        print(json.dumps([vars(figure) for figure in figures]))


if __name__ == "__main__":
    main(*sys.argv[1:])
