"""A thousand turns that stream at once through a real core: how late its loop is, and whether an event is missing.

The core lives on a thread of its own, as in the program; one subscriber on another thread reads every record. Each
agent writes a word now and then until all of them write at the same time, and for a while after that. Runs inside a
process of its own: `python bench/streams.py SESSIONS WORDS PAUSE_S FOLDER`.
"""

import asyncio
import gc
import json
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.report import percentile
from core.api.base import Actor, ActorKind, PlatformName, RunId
from core.api.port import Hermes
from core.api.sessions import OpenSession, RunEnded, RunOutput, RunStarted
from core.api.system import GetHealth
from core.config import load
from core.home import prepare
from core.kernel import Kernel
from core.threaded import ThreadedHermes

_LOOK_S = 0.005
_SENDER = Actor(ActorKind.SENDER, "ana")
_CONFIG = """\
http: {enabled: false}
agents:
  main: {runner: scripted, scenario: stream.yaml, concurrency: 4096}
"""
_SCENARIO = """\
about: Writes for a while.
word_pause_s: %g
rules:
  - steps:
      - text: "%s"
"""


class Reader:
    """What one subscriber heard of runs. text: of each run so far; gaps: pieces that did not follow the one before.

    ends: of each run. peak: runs that had written and not ended at the same time.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self.text: dict[RunId, list[str]] = {}
        self.length: Counter[RunId] = Counter()
        self.ends: Counter[RunId] = Counter()
        self.answers: dict[RunId, str] = {}
        self.gaps = self.pieces = self.peak = self.started = 0
        self.before_start = self.after_end = 0
        self._known: set[RunId] = set()
        self._writing: set[RunId] = set()
        self.all_write = asyncio.Event()

    async def read(self, hermes: Hermes) -> None:
        """Until every run has ended."""
        async for record in hermes.subscribe(after=(await hermes.query(GetHealth())).seq):
            event = record.event
            if isinstance(event, RunOutput):
                self._take(event)
            elif isinstance(event, RunStarted) and event.session.run is not None:
                self.started += 1
                self._known.add(event.session.run.id)
            elif isinstance(event, RunEnded):
                run_id = event.outcome.run_id
                self.ends[run_id] += 1
                self._writing.discard(run_id)
                self.answers[run_id] = "".join(entry.text for entry in event.entries)
                if len(self.ends) == self._count:
                    return

    def _take(self, event: RunOutput) -> None:
        run_id = event.run_id
        self.pieces += 1
        self.before_start += run_id not in self._known
        self.after_end += run_id in self.ends
        self.gaps += event.offset != self.length[run_id]
        self.text.setdefault(run_id, []).append(event.text)
        self.length[run_id] = event.offset + len(event.text)
        self._writing.add(run_id)
        self.peak = max(self.peak, len(self._writing))
        if len(self._writing) == self._count:
            self.all_write.set()

    def faults(self) -> dict[str, int]:
        """What is lost, doubled or in another order, by kind; all zero when nothing is."""
        return {
            "pieces that do not follow": self.gaps,
            "runs that ended more than once": sum(count > 1 for count in self.ends.values()),
            "runs without an end": self._count - len(self.ends),
            "runs without a start": self._count - self.started,
            "texts that differ from the stored answer": sum(
                "".join(text).strip() != self.answers.get(run_id) for run_id, text in self.text.items()
            ),
            "pieces before the start or after the end": self.before_start + self.after_end,
        }


async def _lags(lags_s: list[float]) -> None:
    """How much later than asked the loop comes back, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        before = loop.time()
        await asyncio.sleep(_LOOK_S)
        lags_s.append(max(0.0, loop.time() - before - _LOOK_S))


async def _opened(home: Path, lags_s: list[float]) -> Hermes:
    kernel = await Kernel.open(home, load(home, {}))
    kernel.supervisor.spawn("bench lag", _lags(lags_s))
    return kernel


async def run(hermes: ThreadedHermes, count: int, lags_s: list[float]) -> dict[str, float]:
    """All turns, and what was seen of them."""
    reader = Reader(count)
    reading = asyncio.get_running_loop().create_task(reader.read(hermes))
    await asyncio.sleep(0.2)

    async def opened(number: int) -> None:
        opening = OpenSession(platform=PlatformName("local"), chat=f"c{number}", text="go")
        await hermes.execute(opening, actor=_SENDER)

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(opened(number))
    async with asyncio.timeout(60):
        await reader.all_write.wait()
    began, first, cpu = time.perf_counter(), len(lags_s), time.process_time()
    before = reader.pieces
    # From the moment at which all of them write until the first of them has ended.
    while not reader.ends:  # noqa: ASYNC110 - another thread decides when
        await asyncio.sleep(_LOOK_S)
    taken, last = time.perf_counter() - began, len(lags_s)
    busy, pieces = time.process_time() - cpu, reader.pieces - before
    async with asyncio.timeout(120):
        await reading
    faults = reader.faults()
    for what, number in faults.items():
        if number:
            print(f"{number} {what}", file=sys.stderr)
    return {
        "p99_s": percentile(lags_s[first:last], 0.99),
        "max_s": max(lags_s[first:last]),
        "whole_p99_s": percentile(lags_s, 0.99),
        "looks": last - first,
        "pieces_per_s": pieces / taken,
        "cpu_share": busy / taken,
        "streaming_s": taken,
        "peak": reader.peak,
        "pieces": reader.pieces,
        "faults": sum(faults.values()),
    }


def main() -> None:
    """Print the figures of one run as JSON."""
    count, words, pause_s, home = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4])
    # As the program itself sets it.
    gc.set_threshold(50_000, 50, 100)
    prepare(home)
    (home / "config.yaml").write_text(_CONFIG, encoding="utf-8")
    text = " ".join(f"word{number}" for number in range(words))
    (home / "stream.yaml").write_text(_SCENARIO % (pause_s, text), encoding="utf-8")
    lags_s: list[float] = []
    hermes = ThreadedHermes.start(lambda: _opened(home, lags_s))
    try:
        print(json.dumps(asyncio.run(run(hermes, count, lags_s))))
    finally:
        hermes.stop()


if __name__ == "__main__":
    main()
