"""Agents that are held back, tasks that failed of late and decisions that a restart left behind, as needs (pure)."""

from collections.abc import Iterable, Iterator

from console import text
from console.agent_facts import why_words
from console.mirror import Mirror
from console.need import Need
from core.api.approvals import ApprovalState, ApprovalView
from core.api.profiles import PoolState, ProfileView
from core.api.tasks import TaskState, TaskView

_SINGLE_LIMIT = 3
_LATELY_S = 3600.0


def agent_needs(mirror: Mirror, now: float) -> Iterator[Need]:
    """Agents whose runs do not begin, one line for each, the first few."""
    held = sorted(mirror.work.troubled, key=lambda view: (_is_paused(view), view.name))
    for view in held[:_SINGLE_LIMIT]:
        yield Need(
            id=f"agent:{view.name}",
            kind="agent",
            tone="needs" if _is_paused(view) else "failing",
            subject=text.clean(view.name),
            text=_held(mirror, view, now),
            place="agent",
            argument=str(view.name),
        )
    if len(held) > _SINGLE_LIMIT:
        yield Need(
            id="agent:more",
            kind="agent",
            tone="needs",
            subject=text.counted(len(held) - _SINGLE_LIMIT, "more agent"),
            text="held back too",
            place="agents",
        )


def _is_paused(view: ProfileView) -> bool:
    return not view.problem and view.pool is not None and view.pool.state is PoolState.PAUSED


def _held(mirror: Mirror, view: ProfileView, now: float) -> str:
    pool = view.pool
    if view.problem or pool is None:
        return f"faulty: {text.redact(text.clean(view.problem))}"
    words = [text.redact(why_words(pool))]
    if pool.state is not PoolState.PAUSED:
        words = [f"{pool.state.value}: {words[0]}"]
    if pool.retry is not None and pool.state is PoolState.DEGRADED:
        words.append(f"next try in {text.age(max(0.0, -mirror.age_s(pool.retry, now)))}")
    if pool.waiting:
        words.append(f"{pool.waiting} wait")
    return "  ".join(words)


def orphan_needs(mirror: Mirror, now: float) -> Iterator[Need]:
    """Decisions that nobody made before the core was stopped, and that were not asked again."""
    left = [view for view in mirror.approvals.values() if _is_orphan(view)]
    left.sort(key=lambda view: (view.asked.at, view.id))
    for view in left[:_SINGLE_LIMIT]:
        yield Need(
            id=f"orphan:{view.id}",
            kind="orphan",
            tone="needs",
            subject=str(view.session_id),
            text=f"a restart left it undecided: {text.clean(view.title)}",
            place="approvals",
            argument=str(view.id),
            age_s=mirror.age_s(view.asked, now),
            key="R",
        )
    if len(left) > _SINGLE_LIMIT:
        yield Need(
            id="orphan:more",
            kind="orphan",
            tone="needs",
            subject=f"{len(left) - _SINGLE_LIMIT} more",
            text="left undecided by a restart",
            place="approvals",
            argument="orphaned",
        )


def _is_orphan(view: ApprovalView) -> bool:
    return view.state is ApprovalState.ORPHANED and view.replaced_by is None and view.reasked is None


def task_needs(mirror: Mirror, now: float) -> Iterator[Need]:
    """Tasks that failed or were dropped within the hour, those of one cause in one line."""
    causes: dict[str, list[TaskView]] = {}
    for task in mirror.work.tasks.values():
        is_failed = task.state in {TaskState.ERROR, TaskState.DROPPED} and task.archived is None
        if is_failed and task.ended is not None and mirror.age_s(task.ended, now) <= _LATELY_S:
            causes.setdefault(_cause(task), []).append(task)
    ranked = sorted(causes.items(), key=lambda item: (-len(item[1]), item[0]))
    for cause, tasks in ranked[:_SINGLE_LIMIT]:
        yield _task_need(mirror, cause, tasks, now)
    rest = [task for _, tasks in ranked[_SINGLE_LIMIT:] for task in tasks]
    if rest:
        yield _many(
            "task:more", text.counted(len(rest), "more task"), "failed for other reasons", _age(mirror, rest, now)
        )


def _task_need(mirror: Mirror, cause: str, tasks: list[TaskView], now: float) -> Need:
    if len(tasks) > 1:
        subject = text.counted(len(tasks), "task")
        return _many(f"task:{cause}", subject, f"one cause: {cause}", _age(mirror, tasks, now))
    task = tasks[0]
    return Need(
        id=f"task:{task.id}",
        kind="task",
        tone="failing",
        subject=" ".join(text.clean(task.label or task.text).split()),
        text=f"{task.state.value}: {cause}",
        place="task",
        argument=str(task.id),
        age_s=_age(mirror, tasks, now),
    )


def _many(need_id: str, subject: str, words: str, age_s: float | None) -> Need:
    return Need(
        id=need_id, kind="task", tone="failing", subject=subject, text=words, place="tasks", argument="", age_s=age_s
    )


def _cause(task: TaskView) -> str:
    if task.state is TaskState.DROPPED and task.dropped_reason is not None:
        return task.dropped_reason.value.replace("_", " ")
    return " ".join(text.redact(text.clean(task.error)).split()) or task.state.value


def _age(mirror: Mirror, tasks: Iterable[TaskView], now: float) -> float | None:
    ages = [mirror.age_s(task.ended, now) for task in tasks if task.ended is not None]
    return min(ages, default=None)
