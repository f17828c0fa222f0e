"""One access decision with 10,000 paired senders: of ours, and of hermes-agent in the same run.

Ours is the whole way that a message takes: the gate with its limits, its rules and its roll. The peer's is its check of
a sender with its pairing store; both decide about somebody who is paired.
"""

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from bench.peer_hermes import ready_python
from bench.report import Figure, median
from core.api.base import PlatformName
from core.api.sessions import ChatKind, Source
from core.gateway.access import Access, AccountRules, Roll
from core.gateway.gate import AccessGate
from core.gateway.platform import Inbound, Limits

PAIRED = 10_000
TARGET = 100.0
_PEER_LIMIT_S = 120
PLATFORM = PlatformName("telegram")


class _Rows:
    """What the gate looks at of the stored rows."""

    def __init__(self, paired: int) -> None:
        self.roll = Roll()
        for number in range(paired):
            self.roll.put(PLATFORM, str(number), is_approved=True, is_blocked=False)


def our_decision_s(*, paired: int, rounds: int, repeats: int) -> float:
    """Seconds for one decision, the median of the repeats."""
    rules = AccountRules(platform=PLATFORM, kind="telegram", users={"7": "config.yaml:9"}, asks=True)
    limits = Limits()
    rows, nothing = _Rows(paired), object()
    gate = AccessGate(
        access=Access({PLATFORM: rules}),
        rows=rows,  # type: ignore[arg-type]
        requests=nothing,  # type: ignore[arg-type]
        limits=lambda _: limits,
        journal=nothing,  # type: ignore[arg-type]
    )
    inbound = Inbound(
        platform=PLATFORM,
        source=Source(platform=PLATFORM, kind=ChatKind.DM, chat="5"),
        sender_id=str(paired - 1),
        sender_name="",
        text="hello",
    )
    assert gate.verdict(inbound).is_admitted
    taken: list[float] = []
    for _ in range(repeats):
        began = time.perf_counter()
        for _ in range(rounds):
            gate.verdict(inbound)
        taken.append((time.perf_counter() - began) / rounds)
    return median(taken)


def peer_decision_s(*, paired: int, rounds: int) -> float:
    """The peer's, in an environment and a home of its own."""
    root = Path(__file__).resolve().parent.parent
    folder = Path(os.environ.get("HERMES_BENCH_DIR") or root / ".bench-venv").resolve() / "hermes-agent-0.19.0"
    script = Path(__file__).with_name("peer_access.py").resolve()
    with tempfile.TemporaryDirectory(prefix="peer-home-") as home:
        # -P: the files beside that one must not stand in for modules of the peer.
        argv = [str(ready_python(folder)), "-P", str(script), "--paired", str(paired), "--rounds", str(rounds)]
        done = subprocess.run(
            argv,
            env={"PATH": os.environ.get("PATH", ""), "HOME": home, "HERMES_HOME": home},
            cwd=home,
            capture_output=True,
            timeout=_PEER_LIMIT_S,
            check=False,
        )
    lines = done.stdout.decode().strip().splitlines()
    if done.returncode or not lines:
        raise RuntimeError(f"the peer could not be measured: {done.stderr.decode()[-300:]}")
    found: float = json.loads(lines[-1])["decision_s"]
    return found


def measure(*, is_short: bool) -> list[Figure]:
    """Ours with few and with many paired senders, and how many of ours the peer's takes."""
    rounds, repeats = (2_000, 5) if is_short else (20_000, 15)
    few = our_decision_s(paired=10, rounds=rounds, repeats=repeats)
    ours = our_decision_s(paired=PAIRED, rounds=rounds, repeats=repeats)
    theirs = peer_decision_s(paired=PAIRED, rounds=10 if is_short else 50)
    note = f"{PAIRED:,} paired senders; one who is paired; medians"
    return [
        Figure("access decision", ours * 1e6, "µs", note=note),
        Figure("access decision, 10,000 paired against 10", ours / few, "x", 1.5, note="flat: a look-up"),
        Figure("access decision of hermes-agent", theirs * 1e6, "µs", note=f"{note}; it reads its file each time"),
        Figure("access decision, hermes-agent against ours", theirs / ours, "x", TARGET, at_most=False, note=note),
    ]
