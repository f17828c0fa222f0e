"""Events about hooks and jobs of the clock as one short line for people (pure)."""

from collections.abc import Callable
from typing import Any

from console.text import clipped, counted
from core.api import hooks, jobs
from core.api.base import Event
from core.api.hooks import HookState
from core.api.jobs import JobRunState

Words = tuple[str, str, str]


def _loaded(event: hooks.HooksLoaded) -> Words:
    broken = sum(view.state is HookState.BROKEN for view in event.hooks)
    return ("fail" if broken else "info"), "hooks read", f"{counted(len(event.hooks), 'hook')}, {broken} broken"


def _answered(event: hooks.HookAnswered) -> Words:
    return "info", "hook answered", f"{event.hook.name}: {event.hook.last_event}"


def _failed(event: hooks.HookFailed) -> Words:
    view = event.hook
    return "fail", "hook failed", f"{view.name}, {view.failures_in_row} in a row: {clipped(view.last_error)}"


def _paused(event: hooks.HookPaused) -> Words:
    view = event.hook
    level = "fail" if view.failures_in_row else "warn"
    return level, "hook paused", f"{view.name}: {clipped(view.paused_reason) or 'no reason given'}"


def _resumed(event: hooks.HookResumed) -> Words:
    return "good", "hook resumed", event.hook.name


def _job(level: str, kind: str) -> Callable[[Any], Words]:
    def words(event: Any) -> Words:
        view = event.job
        why = f" ({clipped(view.paused_reason)})" if view.paused_reason else ""
        return level, kind, f"{view.name}: {view.state.value}, {clipped(view.words)}{why}"

    return words


def _started(event: jobs.JobStarted) -> Words:
    run = event.job.running
    late = f", {run.late_s:.0f} s late" if run is not None and run.late_s >= 1 else ""
    return "info", "job started", f"{event.job.name}{late}"


def _ended(event: jobs.JobEnded) -> Words:
    run = event.job.last
    if run is None:
        return "info", "job ended", event.job.name
    level = "fail" if run.state is JobRunState.FAILED else "good"
    error = f": {clipped(run.error)}" if run.error else ""
    return level, f"job {run.state.value}", f"{event.job.name} after {run.duration_s:.1f} s{error}"


def _missed(event: jobs.JobMissed) -> Words:
    return "warn", "job missed", f"{event.job.name}: {clipped(event.why)}"


AUTOMATION_WORDS: dict[type[Event], Callable[[Any], Words]] = {
    hooks.HooksLoaded: _loaded,
    hooks.HookAnswered: _answered,
    hooks.HookFailed: _failed,
    hooks.HookPaused: _paused,
    hooks.HookResumed: _resumed,
    jobs.JobChanged: _job("info", "job"),
    jobs.JobRemoved: lambda event: ("warn", "job removed", event.name),
    jobs.JobStarted: _started,
    jobs.JobEnded: _ended,
    jobs.JobMissed: _missed,
}
