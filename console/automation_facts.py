"""All facts of a hook and of a job as label, value and tone (pure)."""

from console import text
from console.glyphs import badge
from console.session_facts import Age, Fact
from core.api.base import Mark
from core.api.hooks import HookState, HookView
from core.api.jobs import JobPost, JobRunState, JobRunView, JobState, JobView

_EXCERPT = 300
_POSTS = {
    JobPost.KEPT: ("kept here", "plain"),
    JobPost.WAITING: ("not sent yet", "needs"),
    JobPost.SENT: ("sent", "well"),
    JobPost.FAILED: ("never arrived", "failing"),
}


def ago(mark: Mark | None, age: Age) -> str:
    """How long ago, in words."""
    return "never" if mark is None else f"{text.age(max(0.0, age(mark)))} ago"


def seconds(value: float) -> str:
    """A duration as a column shows it."""
    return "-" if not value else f"{value * 1000:.0f}ms" if value < 1 else text.age(value)


def hook_facts(view: HookView, age: Age, *, use_ascii: bool) -> list[Fact]:
    """Everything about a hook."""
    sign = badge(view.state, use_ascii=use_ascii)
    facts: list[Fact] = [(f"-- {text.clean(view.name)}", "", ""), ("state", sign.text, sign.tone)]
    if view.problem:
        facts.append(("problem", text.clean(view.problem), "failing"))
    if view.state is HookState.PAUSED:
        facts.append(("paused", f"by {text.clean(view.paused_by)}: {text.clean(view.paused_reason) or '-'}", "needs"))
    if view.last_error:
        facts.append(("error", f"{text.clean(view.last_error)}   {ago(view.failed, age)}", "failing"))
    count = f"{view.count} told, {view.failure_count} failed, {view.timeout_count} took too long"
    waiting = f"{view.waiting_count} wait, {view.dropped_count} dropped because too many waited"
    facts += [
        ("events", ", ".join(map(text.clean, view.events)) or "-", "plain"),
        ("since start", count, "plain"),
        ("last", f"{text.clean(view.last_event) or '-'}   {ago(view.last, age)}   {seconds(view.last_s)}", "plain"),
        ("time", f"p95 {seconds(view.p95_s)}   limit {seconds(view.timeout_s)}", "plain"),
        ("queue", waiting, "needs" if view.dropped_count else "plain"),
        ("order", f"{view.order}   {'built in' if view.is_builtin else 'of this home'}", "plain"),
    ]
    if view.description:
        facts.append(("does", text.clean(view.description), "plain"))
    facts.append(("folder", text.clean(view.folder), "quiet"))
    if view.output.strip():
        facts.append(("printed", text.clipped(" ".join(text.clean(view.output).split()), _EXCERPT), "plain"))
    return facts


def next_words(view: JobView, age: Age) -> str:
    """How long until its next time."""
    if view.next is None:
        return "-"
    left_s = -age(view.next)
    return text.age(left_s) if left_s > 0 else "now"


def run_words(run: JobRunView, age: Age) -> tuple[str, str]:
    """One run in a line, with its tone."""
    manual = " by hand" if run.is_manual else ""
    late = f", {text.age(run.late_s)} late" if run.late_s >= 1 else ""
    if run.state in {JobRunState.CLAIMED, JobRunState.RUNNING}:
        return f"{run.state.value}{manual}, began {ago(run.began, age)}{late}", "busy"
    words = f"{run.state.value}{manual} {ago(run.ended, age)}, took {seconds(run.duration_s)}{late}"
    return words, "failing" if run.state is JobRunState.FAILED else "well"


def job_facts(view: JobView, age: Age, *, use_ascii: bool) -> list[Fact]:
    """Everything about a job."""
    sign = badge(view.state, use_ascii=use_ascii)
    at = f"   {text.stamp(view.next_at)}" if view.next_at else ""
    facts: list[Fact] = [
        (f"-- {text.clean(view.name)}", "", ""),
        ("state", sign.text, sign.tone),
    ]
    if view.problem:
        facts.append(("problem", text.clean(view.problem), "failing"))
    if view.paused_by and view.state is JobState.PAUSED:
        facts.append(("paused", f"by {text.clean(view.paused_by)}: {text.clean(view.paused_reason) or '-'}", "needs"))
    facts += [("next", f"{next_words(view, age)}{at}", "plain"), ("when", text.clean(view.words), "plain")]
    facts += _run_facts(view, age)
    lost = f"{view.missed_count} missed, {view.skipped_count} left out because the run before went on"
    facts += [
        ("runs", f"{view.run_count}, {view.failed_count} failed, {view.queued} wait", "plain"),
        ("lost", lost, "needs" if view.missed_count else "plain"),
        ("rules", f"missed: {view.spec.misfire.value}   overlap: {view.spec.overlap.value}", "plain"),
        ("agent", text.clean(view.spec.agent) or "the default one", "plain"),
        ("asks", text.clipped(" ".join(text.clean(view.spec.text).split()), _EXCERPT), "plain"),
        ("deliver", f"{text.clean(view.spec.deliver) or 'nowhere'}   {view.unsent} wait to be sent", "plain"),
        ("session", text.clean(view.session_id), "plain"),
        ("written", "in config.yaml" if view.is_configured else "by command", "quiet"),
    ]
    if view.owner:
        facts.append(("time kept", f"by another core, {text.clean(view.owner)}", "needs"))
    return facts


def _run_facts(view: JobView, age: Age) -> list[Fact]:
    facts: list[Fact] = []
    if view.running is not None:
        facts.append(("running", *run_words(view.running, age)))
    run = view.last
    if run is None:
        return [*facts, ("last", "never ran", "quiet")]
    facts.append(("last", *run_words(run, age)))
    if run.error:
        facts.append(("error", text.clean(run.error), "failing"))
    if run.answer:
        facts.append(("answer", text.clipped(" ".join(text.clean(run.answer).split()), _EXCERPT), "plain"))
    if view.spec.deliver and run.state is JobRunState.OK:
        words, tone = _POSTS[run.post]
        error = f": {text.clean(run.post_error)}" if run.post_error else ""
        facts.append(("sent", f"{words}{error}", tone))
    return facts
