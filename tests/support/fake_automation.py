"""Hooks and jobs of a FakeHermes: views in the open, questions about them, orders to them."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from core.api import hooks, jobs
from core.api.base import Mark, SessionId, TaskId
from core.api.errors import InvalidInput, NotFound, Refused
from core.api.hooks import HookState, HookTrial, HookView
from core.api.jobs import JobPost, JobRunState, JobRunView, JobSpec, JobState, JobView
from core.api.tasks import TaskState
from tests.support.views import NOW, ago

Emit = Callable[..., Any]


def hook(name: str = "audit", **changes: Any) -> HookView:
    """A hook that answers quickly."""
    values: dict[str, Any] = {
        "name": name,
        "version": 1,
        "state": HookState.READY,
        "folder": f"/home/ana/.hermes-console/hooks/{name}",
        "events": ("agent:end",),
        "timeout_s": 10.0,
        "count": 1204,
        "last": ago(12),
        "last_event": "agent:end",
        "last_s": 0.012,
        "p95_s": 0.031,
    }
    return HookView(**{**values, **changes})


def job_run(**changes: Any) -> JobRunView:
    """A run that ended well an hour ago."""
    values: dict[str, Any] = {
        "key": "report@1",
        "due_at": NOW.at - 3600,
        "state": JobRunState.OK,
        "claimed": ago(3600),
        "began": ago(3600),
        "ended": ago(3560),
        "duration_s": 40.0,
        "task_id": TaskId("task-1"),
        "outcome": TaskState.DONE,
        "answer": "All is well: two alarms, both closed.",
    }
    return JobRunView(**{**values, **changes})


def job(name: str = "report", *, next_s: float | None = 900.0, **changes: Any) -> JobView:
    """A job that comes in a quarter of an hour."""
    values: dict[str, Any] = {
        "name": name,
        "version": 1,
        "state": JobState.WAITING,
        "spec": JobSpec(schedule="0 9 * * mon-fri", text="Summarise the alarms of the last day.", deliver="home"),
        "words": "on mon-fri at 09:00 UTC",
        "is_configured": True,
        "session_id": SessionId(f"cron:dm:{name}"),
        "next_at": None if next_s is None else NOW.at + next_s,
        "next": None if next_s is None else Mark(NOW.at + next_s, NOW.mono + next_s),
        "last": job_run(post=JobPost.SENT),
        "run_count": 41,
    }
    return JobView(**{**values, **changes})


def busy_automation() -> "FakeAutomation":
    """One of each kind of trouble."""
    return FakeAutomation(
        hooks=[
            hook(),
            hook("event_lines", state=HookState.OFF, is_builtin=True, events=("*",), count=0, last=None, p95_s=0.0),
            hook(
                "notify",
                state=HookState.PAUSED,
                failure_count=5,
                timeout_count=5,
                failures_in_row=5,
                paused_by="core",
                paused_reason="5 failures in a row",
                last_error="took longer than 10 s and was ended",
                failed=ago(200),
                output="connecting to mail.example ..\n",
            ),
            hook(
                "pager",
                state=HookState.BROKEN,
                events=(),
                count=0,
                last=None,
                problem="pager/HOOK.yaml:2: events must be a list (write events: [agent:end])",
            ),
            hook("slow", p95_s=2.1, last_s=1.9, waiting_count=14, dropped_count=3),
        ],
        jobs=[
            job(),
            job(
                "backup",
                state=JobState.RUNNING,
                next_s=3.0,
                spec=JobSpec(schedule="every 1m", text="Back up.", agent="ops"),
                words="every 1m",
                running=job_run(state=JobRunState.RUNNING, ended=None, began=ago(57), late_s=0.2),
                queued=1,
                skipped_count=4,
            ),
            job(
                "digest",
                next_s=120.0,
                is_configured=False,
                failed_count=2,
                missed_count=3,
                last=job_run(state=JobRunState.FAILED, error="provider answered 529: overloaded", answer=""),
            ),
            job("holiday", state=JobState.PAUSED, next_s=None, paused_by="ana", paused_reason="deploy freeze"),
            job(
                "launch",
                state=JobState.DONE,
                next_s=None,
                words="once, 2023-11-14 20:00 UTC",
                last=job_run(post=JobPost.FAILED, post_error="no chat 7"),
            ),
        ],
    )


class FakeAutomation:
    """Does what a core does, without its rules."""

    def __init__(self, hooks: Iterable[HookView] = (), jobs: Iterable[JobView] = ()) -> None:
        self.hooks = {view.name: view for view in hooks}
        self.jobs = {view.name: view for view in jobs}

    def keep(self, event: Any) -> None:
        """Take up what an event says."""
        if isinstance(view := getattr(event, "hook", None), HookView):
            self.hooks[view.name] = view
        if isinstance(made := getattr(event, "job", None), JobView):
            self.jobs[made.name] = made
        if isinstance(event, jobs.JobRemoved):
            self.jobs.pop(event.name, None)

    def answer(self, query: Any, seq: Any) -> Any:
        """The answer; None when the question is not about these."""
        match query:
            case hooks.ListHooks():
                return hooks.HookList(hooks=tuple(self.hooks.values()), seq=seq)
            case jobs.ListJobs():
                return jobs.JobList(jobs=tuple(self.jobs.values()), seq=seq)
            case jobs.PreviewSchedule():
                if query.schedule == "nonsense":
                    raise InvalidInput("'nonsense' is no schedule", field="schedule", fix="five fields of cron")
                times = tuple(NOW.at + 3600 * number for number in range(1, query.count + 1))
                return jobs.ScheduleView(
                    schedule=query.schedule, timezone=query.timezone, words="hourly at :13", times_at=times
                )
            case _:
                return None

    def carry_out(self, command: Any, actor: Any, emit: Emit) -> Any:
        """The receipt; None when the order is not about these."""
        match command:
            case hooks.ReloadHooks():
                emit(hooks.HooksLoaded(hooks=tuple(self.hooks.values())), actor=actor)
                return hooks.HookList(hooks=tuple(self.hooks.values()))
            case hooks.TestHook():
                self._get(self.hooks, command.name, "hook")
                is_ok = command.name != "notify"
                return HookTrial(
                    name=command.name,
                    event_type=command.event_type or "agent:end",
                    payload='{"response":"hello back"}',
                    is_ok=is_ok,
                    duration_s=0.02,
                    error="" if is_ok else "took longer than 10 s and was ended",
                    output="written\n",
                )
            case hooks.PauseHook() | hooks.ResumeHook():
                return self._hold_hook(command, actor, emit)
            case jobs.AddJob():
                made = job(command.name, spec=command.spec, is_configured=False, last=None, run_count=0)
                emit(jobs.JobChanged(job=made), actor=actor)
                return made
            case jobs.RemoveJob() | jobs.PauseJob() | jobs.ResumeJob() | jobs.RunJob():
                return self._change_job(command, actor, emit)
            case _:
                return None

    def _hold_hook(self, command: Any, actor: Any, emit: Emit) -> HookView:
        view = self._get(self.hooks, command.name, "hook")
        is_pause = isinstance(command, hooks.PauseHook)
        after: HookView = msgspec.structs.replace(
            view,
            version=view.version + 1,
            state=HookState.PAUSED if is_pause else HookState.READY,
            paused_by=actor.name if is_pause else "",
            paused_reason=command.reason if isinstance(command, hooks.PauseHook) else "",
        )
        emit(hooks.HookPaused(hook=after) if is_pause else hooks.HookResumed(hook=after), actor=actor)
        return after

    def _change_job(self, command: Any, actor: Any, emit: Emit) -> JobView:
        view = self._get(self.jobs, command.name, "job")
        changes: dict[str, Any] = {"version": view.version + 1}
        match command:
            case jobs.RemoveJob():
                if view.is_configured:
                    raise Refused("it is written in config.yaml", rule="configured")
                emit(jobs.JobRemoved(name=view.name), actor=actor)
                found: JobView = view
                return found
            case jobs.PauseJob():
                changes |= {"state": JobState.PAUSED, "paused_by": actor.name, "paused_reason": command.reason}
                changes |= {"next": None, "next_at": None}
            case jobs.ResumeJob():
                changes |= {"state": JobState.WAITING, "paused_by": "", "paused_reason": ""}
            case _:
                changes |= {"queued": view.queued + 1}
        after: JobView = msgspec.structs.replace(view, **changes)
        emit(jobs.JobChanged(job=after), actor=actor)
        return after

    @staticmethod
    def _get(views: dict[str, Any], name: str, noun: str) -> Any:
        if name not in views:
            raise NotFound(f"no {noun} {name}", noun=noun, id=name)
        return views[name]
