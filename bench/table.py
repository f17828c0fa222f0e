"""The session table at 100,000 rows, in the running program: filter, sort, scroll; and what updates and idling cost.

Times are from the key to the output that shows its effect. CPU is that of the screen's own thread, read from the
system before and after ten seconds: the load under it runs on another thread and is not counted.
"""

import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.keys import CURSOR, settle, started
from bench.pseudo_terminal import Program
from bench.report import Figure, median

ROWS, FIRST_ROW = 40, 4
ORDERS = ("wait", "id", "agent", "who", "platform")


def screen_cpu_s(pid: int) -> float:
    """Seconds of CPU that the main thread of the program has used; its thread id is the pid."""
    nanoseconds = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text(encoding="ascii").split()[0]
    return int(nanoseconds) / 1e9


def cpu_share(program: Program, seconds: float) -> float:
    """Per cent of one core over that time, while everything written is read."""
    settle(program, 2.0)
    used, began = screen_cpu_s(program.pid), time.perf_counter()
    settle(program, seconds)
    return 100.0 * (screen_cpu_s(program.pid) - used) / (time.perf_counter() - began)


def timed_ms(program: Program, keys: str, shows: Callable[[str], bool]) -> float:
    """Milliseconds from the key to what it shows."""
    settle(program, 0.5)
    began = program.press(keys)
    return 1e3 * (program.until(shows, deadline_s=20.0) - began)


def filter_ms(program: Program) -> float:
    """One more letter of a filter, which leaves one row of all."""
    program.press("/")
    settle(program, 0.5)
    program.press("person-00177")
    taken = timed_ms(program, "7", lambda text: re.search(r"(?<!\d)1 of \d", text) is not None)
    program.press("\x1b")
    settle(program, 0.5)
    return taken


def scroll_ms(program: Program) -> float:
    """To the last row and back: the cursor is drawn far down, then at the top."""
    down = timed_ms(program, "G", lambda text: any(int(row) > ROWS // 2 for row in CURSOR.findall(text)))
    up = timed_ms(program, "g", lambda text: any(int(row) <= FIRST_ROW for row in CURSOR.findall(text)))
    return (down + up) / 2


def sort_ms(program: Program, order: str) -> float:
    """Another order over all rows; `o` goes from one to the next."""
    return timed_ms(program, "o", lambda text: f"sort {order}" in text)


def measure(*, is_short: bool) -> list[Figure]:
    """Filter, sort, scroll, 1,000 updates a second, idle."""
    rounds, sessions, seconds = (1, 2_000, 2.0) if is_short else (5, 100_000, 10.0)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        program = started(home, sessions=sessions, rate=0)
        try:
            idle = cpu_share(program, seconds)
            scrolled = median([scroll_ms(program) for _ in range(rounds)])
            filtered = median([filter_ms(program) for _ in range(rounds)])
            ordered = median([sort_ms(program, order) for order in ORDERS])
        finally:
            program.close()
        program = started(home, sessions=sessions, rate=1_000)
        try:
            updating = cpu_share(program, seconds)
        finally:
            program.close()
    rows = f"{sessions:,} rows"
    return [
        Figure("filter, one more letter to rows shown", filtered, "ms", note=rows),
        Figure("sort by the next column", ordered, "ms", note=rows),
        Figure("first or last row shown", scrolled, "ms", note=rows),
        Figure("screen thread at 1,000 updates/s", updating, "% of a core", target=15.0, note=rows),
        Figure("screen thread idle, ages ticking", idle, "% of a core", target=1.0, note=rows),
    ]
