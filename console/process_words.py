"""A core's process and the wait of a stop in words (pure)."""

from collections.abc import Iterator

from console.text import age, clean, counted, stamp
from core.api.processes import DrainView, FailedStart, HolderView, ProcessStanding, ProcessView

ALIVE = frozenset({ProcessStanding.STARTING, ProcessStanding.RUNNING, ProcessStanding.DRAINING})
"""States in which a process is there and shows life."""


def process_facts(view: ProcessView) -> Iterator[tuple[str, str]]:
    """What can be said of a core without asking it, the most important first."""
    yield "state", view.state.value + (f": {view.reason}" if view.reason else "")
    if view.safe_mode:
        yield "safe mode", view.safe_mode
    if view.pid:
        yield "pid", f"{view.pid}" + ("" if view.state in ALIVE or view.state is ProcessStanding.HUNG else ", gone")
    if view.step and view.state is ProcessStanding.STARTING:
        yield "starting", view.step
    if view.version:
        yield "version", view.version
    yield "home", view.home
    if view.started_at:
        yield "started", f"{age(view.age_s)} ago, {stamp(view.started_at)}"
    if view.heartbeat_at:
        yield "heartbeat", f"{age(view.heartbeat_age_s)} ago, every {view.interval_s:g} s"
    if view.drain is not None and view.state is ProcessStanding.DRAINING:
        yield from drain_facts(view.drain)
    for failed in view.failed_starts:
        yield "failed start", failed_words(failed)
    if view.log:
        yield "log", view.log


def drain_facts(drain: DrainView) -> Iterator[tuple[str, str]]:
    """What a stop waits for."""
    yield "drain", drain_words(drain)
    for holder in drain.holders:
        yield "holder", holder_words(holder)


def drain_words(drain: DrainView) -> str:
    """One line: how many, and until when."""
    who = f"waits for {counted(drain.holder_count, 'run')}" if drain.holder_count else "waits for no run"
    left = "" if drain.deadline is None else f", deadline {in_words(drain.deadline.mono - drain.now.mono)}"
    queued = f"; {counted(drain.queued_count, 'queued message')} kept" if drain.queued_count else ""
    return f"{who}{left}{queued}"


def in_words(left_s: float) -> str:
    """How long it is to an instant, or how long it is past."""
    return f"in {age(left_s)}" if left_s >= 0 else "passed"


def holder_words(holder: HolderView) -> str:
    """A run that holds a stop up: which session, what it does, since when."""
    return f"{clean(holder.session_id)}  {holder.phase} {age(holder.age_s)}  {clean(holder.run_id)}"


def failed_words(failed: FailedStart) -> str:
    """A start that failed: when, where, why."""
    part = f" while starting {failed.part}" if failed.part and failed.code != "crashed" else ""
    fix = f" - try: {failed.fix}" if failed.fix and failed.fix not in failed.message else ""
    return clean(f"{stamp(failed.at)}{part}: {failed.message}{fix}")
