"""The core's answers about hooks and jobs in words and their tone (pure)."""

from console import text
from core.api.hooks import HookList, HookState, HookTrial, HookView
from core.api.jobs import JobState, JobView


def hook_words(view: HookView) -> tuple[str, str]:
    """How a hook stands now."""
    name = text.clean(view.name)
    if view.state is HookState.BROKEN:
        return f"{name} cannot be used: {text.clean(view.problem)}", "failing"
    if view.state is HookState.PAUSED:
        return f"{name} is paused: it is told nothing until somebody resumes it", "needs"
    return f"{name} is {view.state.value}", "well"


def loaded_words(found: HookList) -> tuple[str, str]:
    """What was found in the folders."""
    broken = [view.name for view in found.hooks if view.state is HookState.BROKEN]
    if broken:
        names = ", ".join(text.clean(name) for name in broken)
        return f"read: {text.counted(len(found.hooks), 'hook')}; broken: {names}", "failing"
    return f"read: {text.counted(len(found.hooks), 'hook')}", "well"


def trial_words(trial: HookTrial) -> tuple[str, str]:
    """What a hook did with a made-up event."""
    took = f"{text.clean(trial.event_type)} in {trial.duration_s:.2f} s"
    said = next((line for line in reversed(trial.output.splitlines()) if line.strip()), "")
    printed = f", printed: {text.cut(text.clean(said), 120)}" if said else ""
    if trial.is_ok:
        return f"{text.clean(trial.name)} answered {took}{printed}", "well"
    return f"{text.clean(trial.name)} failed at {took}: {text.clean(trial.error)}", "failing"


def job_words(view: JobView) -> tuple[str, str]:
    """How a job stands now."""
    name = text.clean(view.name)
    if view.state is JobState.BROKEN:
        return f"{name} cannot be used: {text.clean(view.problem)}", "failing"
    if view.state is JobState.PAUSED:
        return f"{name} is paused: its times go by without a run", "needs"
    if view.state is JobState.RUNNING:
        return f"{name} runs; {view.queued} after it", "well"
    if view.next_at is None:
        return f"{name}: {text.counted(view.queued, 'run')} to come, no further time", "well"
    return f"{name}: {text.clean(view.words)}, next {text.stamp(view.next_at)}", "well"


def ordered_words(view: JobView) -> tuple[str, str]:
    """A run that was asked for."""
    return f"{text.clean(view.name)}: a run is asked for, {view.queued - 1 if view.queued else 0} before it", "well"


def removed_words(view: JobView) -> tuple[str, str]:
    """A job that is gone."""
    return f"removed: {text.clean(view.name)}", "well"
