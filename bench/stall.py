"""A terminal that is not read for 15 s: does the core notice? Its own loop says how long it ever stood still."""

import json
import tempfile
import time
from pathlib import Path

from bench.keys import settle, started
from bench.report import Figure


def gaps_s(stats: Path, since: float) -> tuple[float, int]:
    """The longest standstill of the core's loop after that monotonic instant, and the events it emitted."""
    lines = [json.loads(line) for line in stats.read_text(encoding="utf-8").splitlines()]
    late = [line for line in lines if line["at"] >= since]
    return max((line["gap_s"] for line in late), default=float("inf")), sum(line["emitted"] for line in late)


def measure(*, is_short: bool) -> list[Figure]:
    """The longest gap while nobody reads, and whether the screen comes back."""
    stall_s, sessions, rate = (3.0, 2_000, 1_000) if is_short else (15.0, 20_000, 2_000)
    with tempfile.TemporaryDirectory() as folder:
        stats = Path(folder) / "stats.jsonl"
        program = started(Path(folder), sessions=sessions, rate=rate, stats=stats)
        try:
            began = time.monotonic()
            time.sleep(stall_s)
            gap_s, emitted = gaps_s(stats, began)
            woke = time.perf_counter()
            settle(program, 1.0)
            pressed = program.press("1")
            back_s = program.until_text("verview", deadline_s=20.0) - pressed
        finally:
            program.close()
    note = f"{rate:,} events/s, {emitted:,} emitted meanwhile"
    return [
        Figure(f"core standstill while the terminal stalls {stall_s:.0f} s", gap_s, "s", target=0.5, note=note),
        Figure(
            "screen answers a key after the stall", back_s, "s", note=f"{pressed - woke:.0f} s after reading begins"
        ),
    ]
