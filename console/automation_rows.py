"""Hooks and jobs of the clock as the core last showed them (pure). An older view never replaces a newer one."""

from console.changes import Changes
from core.api import hooks, jobs
from core.api.base import Event, Record
from core.api.hooks import HookState, HookView
from core.api.jobs import JobRunState, JobState, JobView

_ABOUT_A_HOOK = (hooks.HookAnswered, hooks.HookFailed, hooks.HookPaused, hooks.HookResumed)
_ABOUT_A_JOB = (jobs.JobChanged, jobs.JobStarted, jobs.JobEnded, jobs.JobMissed)

HANDLED: frozenset[type[Event]] = frozenset({*_ABOUT_A_HOOK, *_ABOUT_A_JOB, hooks.HooksLoaded, jobs.JobRemoved})

_HOOK_RANK = {HookState.BROKEN: 0, HookState.PAUSED: 1, HookState.READY: 3, HookState.OFF: 4}
_JOB_RANK = {JobState.BROKEN: 0, JobState.RUNNING: 2, JobState.WAITING: 3, JobState.PAUSED: 4, JobState.DONE: 5}


class AutomationRows:
    """Views by name."""

    def __init__(self) -> None:
        self.hooks: dict[str, HookView] = {}
        self.jobs: dict[str, JobView] = {}

    @property
    def hooks_by_trouble(self) -> list[HookView]:
        """Those that need somebody first, then in the order in which they are told."""
        return sorted(self.hooks.values(), key=lambda view: (hook_rank(view), view.order, view.name))

    @property
    def jobs_by_trouble(self) -> list[JobView]:
        """Those that failed first, then by their next time."""
        return sorted(self.jobs.values(), key=lambda view: (job_rank(view), view.next_at or float("inf"), view.name))

    def apply(self, record: Record, changes: Changes) -> bool:
        """Take an event in; False when it is not about any of these."""
        event = record.event
        if isinstance(event, _ABOUT_A_HOOK):
            self._put_hook(event.hook, changes)
        elif isinstance(event, _ABOUT_A_JOB):
            self._put_job(event.job, changes)
        elif isinstance(event, hooks.HooksLoaded):
            self._load_hooks(event, changes)
        elif isinstance(event, jobs.JobRemoved):
            self.jobs.pop(event.name, None)
            changes.jobs.add(event.name)
        else:
            return False
        return True

    def _load_hooks(self, event: hooks.HooksLoaded, changes: Changes) -> None:
        for name in self.hooks.keys() - {view.name for view in event.hooks}:
            del self.hooks[name]
            changes.hooks.add(name)
        for view in event.hooks:
            self._put_hook(view, changes)

    def _put_hook(self, view: HookView, changes: Changes) -> None:
        before = self.hooks.get(view.name)
        if before is None or before.version <= view.version:
            self.hooks[view.name] = view
            changes.hooks.add(view.name)

    def _put_job(self, view: JobView, changes: Changes) -> None:
        before = self.jobs.get(view.name)
        if before is None or before.version <= view.version:
            self.jobs[view.name] = view
            changes.jobs.add(view.name)


def hook_rank(view: HookView) -> int:
    """How much a hook needs somebody; small is much."""
    return 2 if view.failures_in_row and view.state is HookState.READY else _HOOK_RANK[view.state]


def job_rank(view: JobView) -> int:
    """How much a job needs somebody; small is much."""
    failed = view.last is not None and view.last.state is JobRunState.FAILED
    return 1 if failed and view.state is JobState.WAITING else _JOB_RANK[view.state]
