"""All facts of a task, its runs and attempts as label, value and tone; and its place in the tree (pure)."""

from collections.abc import Iterable, Iterator, Mapping

from console import text
from console.glyphs import badge
from console.session_facts import Age, Fact, usage_words
from console.session_words import exact
from core.api.base import Mark
from core.api.runs import Usage
from core.api.tasks import AttemptView, TaskRunView, TaskState, TaskView

RETRYABLE = frozenset({TaskState.ERROR, TaskState.DROPPED, TaskState.IDLE})
_EXCERPT = 200
_DEPTH_LIMIT = 16


def title(task: TaskView) -> str:
    """What a list shows of what was asked."""
    words = " ".join(text.clean(task.text).split())
    return f"{text.clean(task.label)}: {words}" if task.label else words


def next_words(task: TaskView, age: Age) -> str:
    """What happens next, or why it is over."""
    if task.retry is not None and task.state is TaskState.QUEUED:
        return f"again in {text.age(max(0.0, -age(task.retry)))}"
    if task.state is TaskState.QUEUED:
        return "waits in its session" if task.message_id else "waits to be handed over"
    if task.dropped_reason is not None and task.state is TaskState.DROPPED:
        return task.dropped_reason.value.replace("_", " ")
    if task.error and task.state.is_over:
        return " ".join(text.clean(task.error).split())
    if task.state is TaskState.WAITING:
        return "waits for a decision"
    return " ".join(text.clean(task.answer).split())


def since(task: TaskView) -> Mark:
    """The instant that its age is counted from: its end, its last change, or its coming."""
    return task.ended or task.changed or task.accepted


def task_peek(task: TaskView, age: Age, *, use_ascii: bool) -> list[Fact]:
    """The few facts that the list shows of the task under its cursor."""
    sign = badge(task.state, use_ascii=use_ascii)
    facts: list[Fact] = [
        (f"-- {text.clean(task.id)}", "", ""),
        ("state", f"{sign.text}   for {text.age(age(since(task)))}", sign.tone),
        ("next", next_words(task, age) or "-", "failing" if task.error else "plain"),
        ("asked", text.clipped(" ".join(text.clean(task.text).split()), _EXCERPT), "plain"),
        ("agent", f"{text.clean(task.agent)}   attempt {task.attempt_count} of {task.max_attempts}", "plain"),
        ("session", text.clean(task.session_id), "plain"),
    ]
    if task.spawned_by or task.parent_id:
        facts.append(("made by", text.clean(task.spawned_by or str(task.parent_id)), "plain"))
    return facts


def task_facts(task: TaskView, age: Age, *, use_ascii: bool) -> list[Fact]:
    """Everything about a task."""
    routing = {name: getattr(task.routing, name) for name in task.routing.__struct_fields__}
    origin = {name: getattr(task.provenance, name) for name in task.provenance.__struct_fields__}
    marks = {"accepted": task.accepted, "handed over": task.dispatched, "changed": task.changed, "ended": task.ended}
    archived = f"   archived {text.age(age(task.archived))} ago" if task.archived else ""
    return [
        *task_peek(task, age, use_ascii=use_ascii),
        ("kind", f"{task.kind.value}{archived}", "plain"),
        ("taken as", f"{task.queue_mode.value}{f'   lane {text.clean(task.lane)}' if task.lane else ''}", "plain"),
        ("key", text.clean(task.idempotency_key) or "-", "quiet"),
        ("model", text.clean(task.model) or "the agent's own", "plain"),
        ("time limit", f"{task.timeout_ms / 1000:g} s" if task.timeout_ms else "the profile's", "plain"),
        ("profile", f"as it was: {task.profile_fingerprint or '-'}", "quiet"),
        ("policy", f"{task.policy.security.value}, {task.policy.ask.value}", "plain"),
        ("run", str(task.target_run_id or "-"), "plain"),
        *_usage(task.usage),
        *_pairs("routing", routing),
        *_pairs("came from", origin),
        ("delivered", "to its route as well" if task.deliver else "no", "plain"),
        ("attached", text.counted(len(task.attachments), "item") if task.attachments else "nothing", "plain"),
        *((name, exact(at, age), "plain") for name, at in marks.items() if at),
        ("", "", ""),
        ("-- asked", "", ""),
        *(("", line, "plain") for line in text.clean(task.text, keep_newlines=True).split("\n")),
        *_answered(task),
    ]


def _usage(usage: Usage) -> Iterator[Fact]:
    if usage.input_tokens or usage.output_tokens or usage.cost_usd:
        yield ("usage", usage_words(usage), "plain")


def _pairs(label: str, found: Mapping[str, object]) -> Iterator[Fact]:
    given = [f"{name}={text.clean(str(value))}" for name, value in found.items() if value]
    if given:
        yield (label, "   ".join(given), "plain")


def _answered(task: TaskView) -> Iterator[Fact]:
    if task.answer:
        yield ("", "", "")
        yield ("-- answer", "", "")
        for line in text.clean(task.answer, keep_newlines=True).split("\n"):
            yield ("", line, "plain")


def run_facts(run: TaskRunView, attempts: Iterable[AttemptView], age: Age, *, use_ascii: bool) -> list[Fact]:
    """A run and its tries."""
    sign = badge(run.state, use_ascii=use_ascii)
    stop = f"   {run.stop.value.replace('_', ' ')}" if run.stop else ""
    facts: list[Fact] = [
        (f"-- run {text.clean(run.id)}", "", ""),
        ("state", f"{sign.text}{stop}", sign.tone),
        ("error", text.clean(f"{run.code}: {run.error}") if run.error else "-", "failing" if run.error else "quiet"),
        ("runner", f"{run.runner}   {text.clean(run.model)}", "plain"),
        ("lease", f"start {run.boot}, token {run.token}", "plain"),
        ("accepted", f"{text.age(age(run.accepted))} ago", "plain"),
        *_usage(run.usage),
    ]
    for item in attempts:
        mark = badge(item.state, use_ascii=use_ascii)
        code = f"   exit code {item.exit_code}" if item.exit_code is not None else ""
        why = f"   {text.clean(item.error)}" if item.error else ""
        facts.append((f"try {item.number}", f"{mark.text}   {item.strategy}{code}{why}", mark.tone))
    return facts


def tree(root: str, tasks: Mapping[str, TaskView]) -> list[tuple[int, TaskView]]:
    """A task, those above it up to the first, and all below, each with its depth; the oldest first."""
    top = root
    for _ in range(_DEPTH_LIMIT):
        parent = tasks[top].parent_id if top in tasks else None
        if parent is None or parent not in tasks or parent == root:
            break
        top = str(parent)
    below: dict[str, list[TaskView]] = {}
    for task in sorted(tasks.values(), key=lambda item: str(item.id)):
        if task.parent_id is not None:
            below.setdefault(str(task.parent_id), []).append(task)
    found: list[tuple[int, TaskView]] = []
    seen: set[str] = set()

    def walk(key: str, depth: int) -> None:
        if key in tasks and key not in seen and depth <= _DEPTH_LIMIT:
            seen.add(key)
            found.append((depth, tasks[key]))
            for child in below.get(key, ()):
                walk(str(child.id), depth + 1)

    walk(top, 0)
    return found
