"""From the key to the changed screen, on a real pseudo-terminal: idle, and with a full load under it.

The same program runs twice in turn: 100,000 sessions and nothing happening, then the same with 10,000 journal events a
second. The cursor of the session table is moved up and down at random gaps of 50 to 120 ms; the time is from the write
of the key to the arrival of the piece of output that draws the cursor in the row where it has to be.
"""

import json
import random
import re
import tempfile
import time
from pathlib import Path

from bench.pseudo_terminal import Program, python
from bench.report import Figure, median, percentile

LOAD_APP = str(Path(__file__).with_name("load_app.py"))
CURSOR = re.compile(r"\x1b\[(\d+);1H(?:\x1b\[[0-9;]*m)*>")
LIVE = re.compile(r"mlive \d")
SESSIONS_KEY, IDLE_KEY = "2", "i"


def started(home: Path, *, sessions: int, rate: int, stats: Path | None = None) -> Program:
    """The console over a load, on its session table, with every session loaded."""
    argv = python(LOAD_APP, "--sessions", str(sessions), "--rate", str(rate), "--home", str(home))
    program = Program(argv + (["--stats", str(stats)] if stats else []), home)
    program.until(lambda text: bool(LIVE.search(text)), deadline_s=60.0)
    program.press(SESSIONS_KEY)
    program.until(lambda text: bool(CURSOR.search(text)), deadline_s=20.0)
    program.press(IDLE_KEY)
    settle(program, 2.0)
    return program


def settle(program: Program, seconds: float) -> None:
    """Read for a while, whatever comes."""
    heard(program, seconds)


def heard(program: Program, seconds: float) -> str:
    """What is written in a while."""
    end, text = time.perf_counter() + seconds, ""
    while time.perf_counter() < end:
        text += program.read(0.05)[0]
    return text


def latencies_s(program: Program, presses: int, seed: int = 1) -> list[float]:
    """Seconds from each key to its effect."""
    gaps = random.Random(seed)
    row = drawn_row(program)
    taken: list[float] = []
    for number in range(presses):
        settle(program, gaps.uniform(0.05, 0.12))
        key, wanted = ("j", row + 1) if number % 2 == 0 else ("k", row)
        began = program.press(key)
        seen = program.until(
            lambda text, wanted=wanted: any(int(found) == wanted for found in CURSOR.findall(text)), deadline_s=10.0
        )
        taken.append(seen - began)
    return taken


def drawn_row(program: Program) -> int:
    """The line on which the cursor of the table is drawn: it is moved down and up again to see it."""
    program.press("g")
    settle(program, 0.5)
    row = 0
    for key in ("j", "k"):
        program.press(key)
        # An age that ticks draws the cursor too, where it was before: only the last place is where it stays.
        text = heard(program, 0.5)
        row = int(CURSOR.findall(text)[-1])
    return row


def core_lags_s(stats: Path, *, skip_s: float) -> list[float]:
    """What the core's own loop saw, without the first seconds."""
    lines = [json.loads(line) for line in stats.read_text(encoding="utf-8").splitlines()]
    begin = lines[0]["at"] + skip_s
    return [lag for line in lines if line["at"] >= begin for lag in line["lags_s"]]


def measure(*, is_short: bool) -> list[Figure]:
    """p99 with and without load, their ratio, and how late the core was meanwhile."""
    rounds, presses, sessions, rate = (1, 20, 2_000, 1_000) if is_short else (3, 120, 100_000, 10_000)
    idle: list[list[float]] = []
    busy: list[list[float]] = []
    lags: list[float] = []
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            for rate_now, into in ((0, idle), (rate, busy)):
                stats = Path(folder) / f"stats-{rate_now}.jsonl"
                program = started(Path(folder), sessions=sessions, rate=rate_now, stats=stats)
                try:
                    into.append(latencies_s(program, presses, seed=number))
                finally:
                    program.close()
                if rate_now:
                    lags += core_lags_s(stats, skip_s=4.0)
    p99_idle, p99_busy = (median([percentile(run, 0.99) for run in runs]) for runs in (idle, busy))
    p50_idle, p50_busy = (median([median(run) for run in runs]) for runs in (idle, busy))
    ratio = median([percentile(b, 0.99) / percentile(i, 0.99) for i, b in zip(idle, busy, strict=True)])
    load = f"{sessions:,} sessions, {rate:,} events/s"
    return [
        Figure(
            "key to screen, idle, p50",
            p50_idle * 1e3,
            "ms",
            note=f"{sessions:,} sessions, {presses} keys, {rounds} rounds",
        ),
        Figure("key to screen, idle, p99", p99_idle * 1e3, "ms"),
        Figure("key to screen, loaded, p50", p50_busy * 1e3, "ms", note=load),
        Figure("key to screen, loaded, p99", p99_busy * 1e3, "ms", note=load),
        Figure("key to screen, p99 loaded / idle", ratio, "x", target=2.5, note="median of the rounds"),
        Figure("core loop lag p99 under that load", percentile(lags, 0.99) * 1e3, "ms", target=5.0),
    ]
