"""The mailboxes against what else a Python program can queue durably with, all in one run on one machine.

Messages have 200 bytes, a hundred senders wait for the acknowledgement of each, and the peers run in turn with ours:
ours, two peers, ours, two peers, and so on; a ratio is the median over the rounds, each against the run of ours just
before. Every run has a process, a folder and a server of its own. `python bench/mailbox.py` fetches the peers that
are missing; as a part of bench/run.py it takes those that are there. The folders lie in TMPDIR, which must be on a
disk.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import mail_memory, mail_recovery
from bench.mail_setup import PEERS, Peer, Stand, stand
from bench.report import MAIL, Figure, as_markdown, median, number, record

CASES = {"enqueue": "enqueue, 100 senders", "cycle": "whole cycle, 100 senders and takers"}
_RAW = Peer("raw", "raw group commit (reference)", flushes=True)
_RUN_LIMIT_S = 90
_PEERS_IN_A_ROW = 2
_PAGE_BYTES = 4096

Run = dict[str, float]


@dataclass
class Score:
    """What the rounds gave for one peer. runs: its own; against: the run of ours before each."""

    peer: Peer
    missing: str = ""
    runs: list[Run] = field(default_factory=list)
    against: list[Run] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Ours over it."""
        return median([ours["rate"] / its["rate"] for ours, its in zip(self.against, self.runs, strict=True)])

    @property
    def rate(self) -> float:
        """Messages a second."""
        return median([run["rate"] for run in self.runs])


def _told(runs: list[Run]) -> str:
    rates = [run["rate"] for run in runs]
    p50, p99 = (median([run[key] for run in runs]) for key in ("p50_ms", "p99_ms"))
    return f"p50 {number(p50)} ms, p99 {number(p99)} ms, {number(min(rates))} to {number(max(rates))}/s"


def _line(command: list[str], seconds: float) -> Run:
    with tempfile.TemporaryDirectory(prefix="mail-bench-") as folder:
        words = [word.replace("{folder}", folder) for word in command]
        # A group of its own, so that a run that hangs takes its server with it.
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            answer, complaint = child.communicate(timeout=_RUN_LIMIT_S + seconds)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    if child.returncode or not answer.strip():
        raise RuntimeError((complaint.strip().splitlines() or ["no answer"])[-1][:160])
    return json.loads(answer.strip().splitlines()[-1])


def _own(what: str, case: str, seconds: float) -> Run:
    return _line([sys.executable, __file__, "--inside", what, case, str(seconds), "{folder}"], seconds)


def _of_peer(there: Stand, peer: Peer, case: str, seconds: float) -> Run:
    if peer is _RAW:
        return _own("raw", case, seconds)
    python, server = there.command(peer)
    script = str(Path(__file__).with_name("mail_peers.py"))
    # -P: the files beside this one must not stand in for modules of a peer.
    command = [python, "-P", "-W", "ignore", script, peer.name, case, str(seconds), "{folder}"]
    return _line([*command, server] if server else command, seconds)


def _rounds(there: Stand, case: str, count: int, seconds: float, say: Callable[[str], None]) -> list[Score]:
    scores = [Score(peer, "" if peer is _RAW else there.missing(peer)) for peer in (_RAW, *PEERS)]
    for _ in range(count):
        ours: Run = {}
        for place, score in enumerate(score for score in scores if not score.missing):
            if place % _PEERS_IN_A_ROW == 0:
                ours = _own("ours", case, seconds)
            say(f"{case}: {score.peer.name}")
            try:
                score.runs.append(_of_peer(there, score.peer, case, seconds))
                score.against.append(ours)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                score.missing = f"failed: {error}"
    return scores


def _figures_of(case: str, scores: list[Score]) -> Iterator[Figure]:
    what = CASES[case]
    there = [score for score in scores if score.runs and not score.missing]
    # A run of ours stands before two peers and counts once.
    ours = list({id(run): run for score in there for run in score.against}.values())
    yield Figure(f"{what}: ours", median([run["rate"] for run in ours]), "/s", note=_told(ours))
    if case == "enqueue":
        yield Figure(f"{what}: ours, p99", median([run["p99_ms"] for run in ours]), "ms", target=8.0)
    for score in scores:
        kind = "" if score.peer is _RAW else "flushes each, " if score.peer.flushes else "does not flush, "
        title = f"{what}: {score.peer.title}"
        if score.missing or not score.runs:
            yield Figure(title, None, note=score.missing or "not measured")
        else:
            yield Figure(title, score.rate, "/s", note=f"{kind}ours is {number(score.ratio)} x; {_told(score.runs)}")
    raw = next(score for score in scores if score.peer is _RAW)
    if raw.runs:
        target = 0.5 if case == "enqueue" else None
        yield Figure(f"{what}: ours / raw group commit", raw.ratio, "x", target=target, at_most=False)
    flushing = [score for score in there if score.peer.flushes and score.peer is not _RAW]
    if flushing:
        best = max(flushing, key=lambda score: score.rate)
        words = f"{what}: ours / best that flushes each"
        is_whole = all(score in there for score in scores if score.peer.flushes)
        note = best.peer.title if is_whole else f"{best.peer.title}; of those that are there"
        yield Figure(words, best.ratio, "x", target=10.0, at_most=False, note=note)


def measure(*, is_short: bool, installs: bool = False) -> list[Figure]:
    """Peers, memory and recovery. installs: fetch the peers that are missing first."""
    count, seconds = (1, 0.4) if is_short else (3, 1.5)
    there = stand()
    if installs:
        there.install()
    figures = [_flush_figure(200 if is_short else 2000)]
    for case in CASES:
        figures += _figures_of(case, _rounds(there, case, count, seconds, _say if installs else lambda _: None))
    figures += mail_memory.measure(is_short=is_short)
    return figures + mail_recovery.measure(is_short=is_short)


def _flush_figure(count: int) -> Figure:
    """What one flush costs on this disk: everything durable is to be read against it."""
    waits: list[float] = []
    with tempfile.TemporaryFile(buffering=0) as file:
        for _ in range(count):
            file.write(bytes(_PAGE_BYTES))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            waits.append(1e6 * (time.perf_counter() - began))
    return Figure("one flush of this disk", median(waits), "us", note="4 KiB appended, fdatasync, p50")


def _say(text: str) -> None:
    print(f"\r{text:40}", end="", file=sys.stderr, flush=True)


def _inside(what: str, case: str, seconds: str, folder: str) -> None:
    # As the program itself sets it.
    gc.set_threshold(50_000, 50, 100)
    if what == "raw":
        from bench.mail_reference import raw as run
    else:
        from bench.mail_ours import ours as run
    print(json.dumps(asyncio.run(run(case, float(seconds), folder))))


def main() -> int:
    """Fetch what is missing, measure, print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="few and small runs, with the peers that are there")
    parser.add_argument("--record", action="store_true", help="write the table of a whole run to docs/performance.md")
    parser.add_argument("--inside", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        _inside(*options.inside)
        return 0
    figures = measure(is_short=options.short, installs=not options.short)
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    _say("")
    print("\r" + machine + (", short form" if options.short else ""))
    print(as_markdown(figures))
    if options.record and not options.short:
        record(figures, f"{machine}, {time.strftime('%Y-%m-%d')}", MAIL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
