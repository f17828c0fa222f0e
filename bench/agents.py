"""The agent runtime under load: streams, memory, finding a session among many, tasks and approvals.

Each figure is taken in a process of its own. Memory is what Python holds (tracemalloc), so what the store and the
allocator keep besides is left out; idle sessions are in memory, as after a turn. A session is found cold: its row is
read and decoded. `python bench/agents.py` prints the table. The folders lie in TMPDIR, which must be on a disk.
"""

import argparse
import asyncio
import gc
import json
import random
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import tasks
from bench.gateway import SENDER, answers, chat_id, fill
from bench.report import Figure, as_markdown, median, number
from core.agents.runner import Decision
from core.api.approvals import AnswerApproval, ApprovalView
from core.api.base import Actor, ActorKind, AgentName, PlatformName, RunId, Seq, SessionId
from core.api.profiles import ResetRunners
from core.api.runs import ActionOption, ActionRequested, OptionKind, ToolKind
from core.api.sessions import GetSession, OpenSession, RunEnded, RunOutput
from core.config import load
from core.home import prepare
from core.kernel import Kernel

STREAMS = Path(__file__).with_name("streams.py")
_OPERATOR = Actor(ActorKind.OPERATOR, "bench")
_RUN_LIMIT_S = 300.0
_CALLERS = 50
_SETTLED_S = 0.5
_CONFIG = """\
http: {enabled: false}
core: {drain_s: 0}
agents:
  main: {runner: scripted, scenario: "builtin:assistant", pace: 0, concurrency: 4096, action_limit_s: 600}
"""
_OPTIONS = (
    ActionOption(id="allow", label="Run it", kind=OptionKind.ALLOW_ONCE),
    ActionOption(id="deny", label="Do not run it", kind=OptionKind.REJECT_ONCE),
)

Run = dict[str, float]


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[Kernel]:
    """A core on a home, which is made when it is not there."""
    await asyncio.to_thread(_made, home)
    kernel = await Kernel.open(home, load(home, {}))
    try:
        yield kernel
    finally:
        await kernel.close()


def _made(home: Path) -> None:
    if home.exists():
        return
    prepare(home)
    (home / "config.yaml").write_text(_CONFIG, encoding="utf-8")


class Counted:
    """Counts runs as the journal tells of them."""

    def __init__(self, kernel: Kernel) -> None:
        self.writing: set[RunId] = set()
        self.ended = 0
        self._changed = asyncio.Event()
        self._records = kernel.subscribe(after=Seq(0))
        self._reading = asyncio.get_running_loop().create_task(self._read())

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for a state of the counts."""
        async with asyncio.timeout(120):
            while not is_so():
                self._changed.clear()
                await self._changed.wait()

    async def _read(self) -> None:
        async for record in self._records:
            if isinstance(record.event, RunOutput):
                self.writing.add(record.event.run_id)
            elif isinstance(record.event, RunEnded):
                self.ended += 1
            self._changed.set()

    def close(self) -> None:
        """Count no more."""
        self._reading.cancel()


# -- memory


async def memory(count: int, home: Path) -> Run:
    """Bytes of an idle session, with and without its runner, and what a runner in a turn takes besides."""
    async with opened(home) as kernel:
        counted = Counted(kernel)

        async def send(text: str, first: int, last: int) -> None:
            orders = [
                OpenSession(platform=PlatformName("local"), chat=f"c{place}", text=text) for place in range(first, last)
            ]
            for some in range(0, len(orders), _CALLERS):
                sending = (kernel.execute(order, actor=SENDER) for order in orders[some : some + _CALLERS])
                await asyncio.gather(*sending)

        # What is kept of the last events of all sessions together is full by then. The first answer makes the mailbox
        # of the platform, alone.
        warm = 2 * count
        await send("hello", 0, 1)
        await counted.until(lambda: counted.ended == 1)
        await send("hello", 1, warm)
        await counted.until(lambda: counted.ended == warm)
        await _reset(kernel)
        tracemalloc.start()
        await asyncio.sleep(_SETTLED_S)
        before = _held()
        first, last = warm, warm + count
        await send("hello", first, last)
        await counted.until(lambda: counted.ended == warm + count)
        await asyncio.sleep(_SETTLED_S)
        with_runners = _held()
        await _reset(kernel)
        await asyncio.sleep(_SETTLED_S)
        idle = _held()
        counted.writing.clear()
        # Says a word, then nothing more.
        await send("!hang", first, last)
        await counted.until(lambda: len(counted.writing) == count)
        await asyncio.sleep(_SETTLED_S)
        turning = _held()
        tracemalloc.stop()
        counted.close()
    return {
        "session": (idle - before) / count,
        "runner": (with_runners - idle) / count,
        "turning": (turning - idle) / count,
    }


async def _reset(kernel: Kernel) -> None:
    await kernel.execute(ResetRunners(agent=AgentName("main")), actor=_OPERATOR)


def _held() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


# -- finding a session


async def resolve(few: int, many: int, rounds: int, folder: Path) -> Run:
    """Seconds to find a session that is not in memory, in two cores in turn: one holds few, the other many."""
    homes = {few: folder / "few", many: folder / "many"}
    with answers() as answered:
        for count, home in homes.items():
            await asyncio.to_thread(_made, home)
            await fill(home, count, answered)
    taken: dict[int, list[float]] = {few: [], many: []}
    rng = random.Random(5)
    for _ in range(rounds):
        async with AsyncExitStack() as stack:
            cores = {count: await stack.enter_async_context(opened(home)) for count, home in homes.items()}
            wanted = {count: rng.sample(range(count), few) for count in homes}
            for place in range(few):
                for count, kernel in cores.items():
                    query = GetSession(session_id=chat_id(wanted[count][place]))
                    began = time.perf_counter()
                    await kernel.query(query)
                    taken[count].append(time.perf_counter() - began)
    return {"few_s": median(taken[few]), "many_s": median(taken[many])}


# -- approvals


async def approvals(seconds: float, home: Path) -> Run:
    """Questions asked and answered, both stored, by callers who each wait for their answer to arrive."""
    async with opened(home) as kernel:
        count = 0
        began = time.perf_counter()

        async def caller(place: int) -> None:
            nonlocal count
            turn = 0
            while time.perf_counter() - began < seconds:
                turn += 1
                await _asked_and_answered(kernel, place, turn)
                count += 1

        async with asyncio.TaskGroup() as group:
            for place in range(_CALLERS):
                group.create_task(caller(place))
        return {"rate": count / (time.perf_counter() - began), "count": count}


async def _asked_and_answered(kernel: Kernel, place: int, turn: int) -> None:
    arrived = asyncio.Event()

    async def deliver(decision: Decision, view: ApprovalView) -> bool:
        del view
        arrived.set()
        return decision.allow

    command = f"systemctl restart worker-{place}-{turn}"
    view = await kernel.agents.approvals.ask(
        ActionRequested(
            action_id=f"act-{turn}",
            title=f"run: {command}",
            detail=command,
            kind=ToolKind.EXECUTE,
            options=_OPTIONS,
            tool="exec",
            target=command,
        ),
        session_id=SessionId(f"local:dm:c{place}"),
        agent=AgentName("main"),
        run_id=RunId(f"run-{place}-{turn}"),
        limit_s=600.0,
        deliver=deliver,
    )
    await kernel.execute(AnswerApproval(approval_id=view.id, allow=True, digest=view.digest), actor=_OPERATOR)
    await arrived.wait()


# -- all of it


def _apart(command: list[str], what: str) -> Run:
    with tempfile.TemporaryDirectory(prefix="agents-bench-") as folder:
        done = subprocess.run(
            [sys.executable, *command, folder],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_RUN_LIMIT_S,
            check=False,
        )
    if done.returncode or not done.stdout.strip():
        raise RuntimeError(f"{what}: {(done.stderr.strip().splitlines() or ['no answer'])[-1][:160]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def _inside(*words: object) -> Run:
    return _apart([__file__, "--inside", *map(str, words)], str(words[0]))


def _streams(*, is_short: bool) -> list[Figure]:
    count, words, rounds = (1_000, 30, 1) if is_short else (1_000, 60, 3)
    runs = [_apart([str(STREAMS), str(count), str(words), "0.2"], "streams") for _ in range(rounds)]
    rate, share = (median([run[key] for run in runs]) for key in ("pieces_per_s", "cpu_share"))
    peak, pieces = (min(int(run[key]) for run in runs) for key in ("peak", "pieces"))
    p99_ms, max_ms = (1e3 * median([run[key] for run in runs]) for key in ("p99_s", "max_s"))
    return [
        Figure(
            f"core loop lag p99, {peak:,} turns stream at once",
            p99_ms,
            "ms",
            target=50.0,
            note=f"max {number(max_ms)} ms; {number(rate)} pieces/s at {share:.0%} of a core",
        ),
        Figure("the same while they begin and end as well", 1e3 * median([run["whole_p99_s"] for run in runs]), "ms"),
        Figure(
            "events lost, doubled or out of order",
            sum(run["faults"] for run in runs),
            target=0,
            note=f"{pieces:,} pieces by offset, {count:,} starts and ends; texts as stored",
        ),
    ]


def _memory(*, is_short: bool) -> list[Figure]:
    run = _inside("memory", 100 if is_short else 2_000)
    return [
        Figure("an idle session in memory", run["session"] / 1e3, "kB", target=20.0),
        Figure(
            "a live scripted runner, in a turn",
            run["turning"] / 1e3,
            "kB",
            target=100.0,
            note=f"idle: {number(run['runner'] / 1e3)} kB",
        ),
    ]


def _resolve(*, is_short: bool) -> list[Figure]:
    few, many, rounds = (100, 10_000, 2) if is_short else (100, 100_000, 10)
    run = _inside("resolve", few, many, rounds)
    us = {key: 1e6 * run[key] for key in ("few_s", "many_s")}
    return [
        Figure(f"a session found cold among {few:,}", us["few_s"], "us"),
        Figure(f"a session found cold among {many:,}", us["many_s"], "us"),
        Figure("the one / the other", us["many_s"] / us["few_s"], "x", target=1.3, note="flat is 1"),
    ]


def _approvals(*, is_short: bool) -> list[Figure]:
    run = _inside("approvals", 1.0 if is_short else 5.0)
    note = f"{_CALLERS} callers, {int(run['count']):,} of them kept, all synced"
    return [Figure("approvals asked, answered and delivered", run["rate"], "/s", note=note)]


def measure(*, is_short: bool) -> list[Figure]:
    """All figures; those of tasks as bench/tasks.py has them."""
    return [
        *_streams(is_short=is_short),
        *_memory(is_short=is_short),
        *_resolve(is_short=is_short),
        *tasks.measure(is_short=is_short),
        *_approvals(is_short=is_short),
    ]


async def _one(words: list[str]) -> Run:
    what, *given, folder = words
    if what == "memory":
        return await memory(int(given[0]), Path(folder) / "home")
    if what == "resolve":
        return await resolve(int(given[0]), int(given[1]), int(given[2]), Path(folder))
    return await approvals(float(given[0]), Path(folder) / "home")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="few and small runs")
    parser.add_argument("--inside", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        # As the program itself sets it.
        gc.set_threshold(50_000, 50, 100)
        print(json.dumps(asyncio.run(_one(options.inside))))
        return 0
    print(as_markdown(measure(is_short=options.short)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
