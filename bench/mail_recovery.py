"""A store full of mail: how soon it accepts again after kill -9, and whether a message costs more when many are stored.

A child fills a mailbox with the mail of a thousand senders and is killed when all of it is acknowledged. Another one
opens the store: it accepts when the first new message is durable, and is indexed when it would give mail out; both
count from the moment it begins to open the store, with its modules loaded. Then it and a child with few messages take
turns: enqueue into, and post, receive and ack on, the very mailbox that is full.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.mail_load import BODY, awaited
from bench.mail_ours import drafts, opened
from bench.report import Figure, median
from core.api.mailboxes import MailboxPolicy
from core.mailbox.mailbox import Mailbox
from core.mailbox.message import Draft

_GROUP = 4000
_SENDERS = 1000
_FEW = 1_000
_BREATH_S = 0.01
_NAME = "full"
_TEXT = BODY.decode()


async def _fill(home: str, count: int) -> None:
    async with opened(home) as boxes:
        box = await boxes.ensure(_NAME, MailboxPolicy())
        given = [Draft(payload=_TEXT, sender=f"sender-{number}") for number in range(_SENDERS)]
        for first in range(0, count, _GROUP):
            numbers = range(first, min(first + _GROUP, count))
            await asyncio.gather(*(box.post(given[number % _SENDERS]) for number in numbers))
        print(json.dumps({"stored": box.depth}), flush=True)
        await asyncio.Event().wait()


async def _serve(home: str, stored: int) -> None:
    began = time.perf_counter()
    async with opened(home) as boxes:
        box = boxes.get(_NAME)
        await box.post(Draft(payload=_TEXT, sender="first"))
        accepts_ms = 1e3 * (time.perf_counter() - began)
        await boxes.indexed()
        indexed_s = time.perf_counter() - began
        if box.depth != stored + 1:
            raise RuntimeError(f"{stored + 1} messages should be there, and {box.depth} are")
        print(json.dumps({"accepts_ms": accepts_ms, "indexed_s": indexed_s}), flush=True)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            case, seconds = line.split()
            print(json.dumps(await _load(box, case, float(seconds))), flush=True)


async def _load(box: Mailbox, case: str, seconds: float) -> dict[str, float]:
    given = drafts()

    async def enqueue(number: int) -> None:
        await box.post(given[number])

    async def cycle(number: int) -> None:
        await box.post(given[number])
        box.ack(await box.receive())

    before = box.depth
    result = await awaited(seconds, cycle if case == "cycle" else enqueue)
    # The next run must find as many as this one did.
    while box.depth > before:
        for _ in range(min(_GROUP, box.depth - before)):
            box.ack(await box.receive())
        await asyncio.sleep(_BREATH_S)
    return result


class _Child:
    """This file in a process of its own, which answers with lines of JSON."""

    def __init__(self, *words: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def answer(self) -> dict[str, Any]:
        """The next line."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the child ended with {self._process.wait()}")
        return json.loads(line)

    def ask(self, line: str) -> dict[str, Any]:
        """What it answers to a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self.answer()

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def _filled(home: Path, count: int) -> None:
    home.mkdir(mode=0o700)
    child = _Child("fill", home, count)
    try:
        child.answer()
    finally:
        child.kill()


def _started(home: Path, stored: int) -> tuple[_Child, dict[str, Any]]:
    child = _Child("serve", home, stored)
    try:
        return child, child.answer()
    except BaseException:
        child.kill()
        raise


def _starts(home: Path, count: int, rounds: int) -> tuple[list[dict[str, Any]], _Child]:
    """What each start took, each but the last ended by a kill; and the child of the last."""
    found: list[dict[str, Any]] = []
    # Each start leaves one more message behind.
    for stored in range(count, count + rounds - 1):
        child, taken = _started(home, stored)
        child.kill()
        found.append(taken)
    child, taken = _started(home, count + rounds - 1)
    return [*found, taken], child


def measure(*, is_short: bool) -> list[Figure]:
    """Start after a kill, and the cost of a message."""
    many, starts, rounds, seconds = (20_000, 1, 1, 0.3) if is_short else (1_000_000, 3, 7, 1.0)
    ratios: dict[str, list[float]] = {"enqueue": [], "cycle": []}
    with tempfile.TemporaryDirectory() as folder:
        homes = Path(folder) / "few", Path(folder) / "many"
        _filled(homes[0], _FEW)
        _filled(homes[1], many)
        taken, full = _starts(homes[1], many, starts)
        try:
            light, _ = _started(homes[0], _FEW)
            try:
                for case, found in ratios.items():
                    for _ in range(rounds):
                        rates = [child.ask(f"{case} {seconds}")["rate"] for child in (light, full)]
                        found.append(rates[0] / rates[1])
            finally:
                light.kill()
        finally:
            full.kill()
    after = f"{many:,} stored, after kill -9"
    figures = [
        Figure("accepts again", median([start["accepts_ms"] for start in taken]), "ms", target=100.0, note=after),
        Figure(
            "gives out again, all indexed",
            median([start["indexed_s"] for start in taken]),
            "s",
            target=2.0,
            note=f"{after}; none lost",
        ),
    ]
    for case, found in ratios.items():
        note = f"{min(found):.2f} to {max(found):.2f}, paired; flat is 1"
        what = f"cost of one {case}, {many:,} stored / {_FEW:,}"
        figures.append(Figure(what, median(found), "x", target=1.2, note=note))
    return figures


def main(what: str, home: str, count: str) -> None:
    """What a child does."""
    asyncio.run(_fill(home, int(count)) if what == "fill" else _serve(home, int(count)))


if __name__ == "__main__":
    main(*sys.argv[1:])
