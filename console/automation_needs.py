"""Hooks and jobs of the clock that do not do their work, for those who look what needs them (pure)."""

from collections.abc import Iterator

from console import text
from console.automation_rows import hook_rank, job_rank
from console.mirror import Mirror
from console.need import Need
from core.api.hooks import HookState, HookView
from core.api.jobs import JobState, JobView

_SINGLE_LIMIT = 4


def automation_needs(mirror: Mirror, now: float) -> Iterator[Need]:
    """One line for each that is broken, was paused because it failed, or failed the last time; then how many more."""
    rows = mirror.work.automation
    hooks = [view for view in rows.hooks_by_trouble if _hook_is_bad(view)]
    for hook in hooks[:_SINGLE_LIMIT]:
        yield _hook(mirror, hook, now)
    yield from _more(len(hooks), "hooks", "hook")
    jobs = [view for view in rows.jobs_by_trouble if _job_is_bad(view)]
    for job in jobs[:_SINGLE_LIMIT]:
        yield _job(mirror, job, now)
    yield from _more(len(jobs), "cron", "job")


def _hook_is_bad(view: HookView) -> bool:
    """Whom an operator paused needs nobody; whom its own failures paused does."""
    return view.state is HookState.BROKEN or (view.state is HookState.PAUSED and view.failures_in_row > 0)


def _job_is_bad(view: JobView) -> bool:
    return job_rank(view) <= 1


def _hook(mirror: Mirror, view: HookView, now: float) -> Need:
    if view.state is HookState.BROKEN:
        words = f"the hook cannot be used: {text.clean(view.problem)}"
    else:
        words = f"the hook is told nothing any more: {text.clean(view.last_error) or 'it failed too often'}"
    return Need(
        id=f"hook:{view.name}",
        kind="hook",
        tone="failing" if hook_rank(view) == 0 else "needs",
        subject=text.clean(view.name),
        text=words,
        place="hooks",
        argument=view.name,
        age_s=None if view.failed is None else mirror.age_s(view.failed, now),
    )


def _job(mirror: Mirror, view: JobView, now: float) -> Need:
    run = view.last
    if view.state is JobState.BROKEN:
        words = f"the job cannot run: {text.clean(view.problem)}"
    else:
        words = f"the last run failed: {text.clean(run.error) if run and run.error else 'no reason given'}"
    ended = run.ended if run else None
    return Need(
        id=f"job:{view.name}",
        kind="job",
        tone="failing",
        subject=text.clean(view.name),
        text=words,
        place="cron",
        argument=view.name,
        age_s=None if ended is None else mirror.age_s(ended, now),
    )


def _more(count: int, place: str, kind: str) -> Iterator[Need]:
    if count > _SINGLE_LIMIT:
        yield Need(
            id=f"{kind}s:more",
            kind=kind,
            tone="failing",
            subject=f"{count - _SINGLE_LIMIT} more",
            text=f"{kind}s do not do their work",
            place=place,
        )
