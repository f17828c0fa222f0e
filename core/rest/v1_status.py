"""How a run stands, from its task, its attempts and the decisions that it waits for (pure)."""

from collections.abc import Sequence

from core.api.approvals import ApprovalState, ApprovalView, GrantScope
from core.api.runs import ActionKind
from core.api.tasks import RunState, TaskDetail, TaskRunView, TaskState, TaskView
from core.rest.v1_words import OVER, Pending, RunStatus, Status, name_of, run_id_of, tokens

DENY = "deny"
SCOPES = {"once": GrantScope.ONCE, "session": GrantScope.SESSION, "always": GrantScope.ALWAYS}
"""How far each yes reaches."""

_STATUSES: dict[TaskState, Status] = {
    TaskState.QUEUED: "queued",
    TaskState.RUNNING: "running",
    TaskState.WAITING: "running",
    TaskState.IDLE: "completed",
    TaskState.DONE: "completed",
    TaskState.ERROR: "failed",
    TaskState.DROPPED: "failed",
    TaskState.CANCELLED: "cancelled",
}
_GOING_ON = frozenset({RunState.ACCEPTED, RunState.RUNNING})


def status_of(task: TaskView, run: TaskRunView | None, *, is_asking: bool) -> Status:
    """One word for it. run: the last attempt; is_asking: whether a decision waits."""
    status = _STATUSES[task.state]
    if status == "running" and is_asking:
        return "waiting_for_approval"
    if status == "cancelled" and run is not None and run.state in _GOING_ON:
        return "stopping"
    return status


def choices(view: ApprovalView) -> tuple[str, ...]:
    """The answers that an approval takes."""
    offered = {offer.scope for offer in view.offers}
    wider = [name for name in ("session", "always") if SCOPES[name] in offered]
    can_allow = view.action_kind is ActionKind.QUESTION or any(option.kind.allows for option in view.options)
    return (*(("once", *wider) if can_allow else ()), DENY)


def command_of(view: ApprovalView) -> str:
    """What would be done, whole."""
    return view.detail or view.target or view.title


def of_task(approvals: Sequence[ApprovalView], detail: TaskDetail) -> list[ApprovalView]:
    """Those that belong to a task, the oldest first."""
    runs = {run.id for run in detail.runs}
    found = [view for view in approvals if view.task_id == detail.task.id or view.run_id in runs]
    return sorted(found, key=lambda view: (view.asked.at, view.id))


def run_status(detail: TaskDetail, approvals: Sequence[ApprovalView], *, output: str = "") -> RunStatus:
    """The answer of GET /v1/runs/ID. approvals: of the task; output: in place of the task's, where that was cut."""
    task = detail.task
    run = detail.runs[0] if detail.runs else None
    pending = [view for view in approvals if view.state is ApprovalState.OPEN]
    status = status_of(task, run, is_asking=bool(pending))
    updated = task.changed or task.accepted
    failed_as = "" if run is None else run.code
    return RunStatus(
        object="hermes.run",
        run_id=run_id_of(task.id),
        task_id=task.id,
        session_id=name_of(task.session_id),
        agent=task.agent,
        model=task.model or (run.model if run is not None else ""),
        status=status,
        last_event=_last_event(status),
        created_at=task.accepted.at,
        # While it waits, since when: two looks with one value are about one question.
        updated_at=pending[-1].asked.at if status == "waiting_for_approval" else updated.at,
        started_at=None if task.dispatched is None else task.dispatched.at,
        ended_at=task.ended.at if task.ended is not None and status in OVER else None,
        output=(output or task.answer) if status == "completed" else "",
        error=_error(task) if status in {"failed", "cancelled", "stopping"} else "",
        code=(failed_as or (task.dropped_reason or "")) if status == "failed" else "",
        usage=tokens(task.usage),
        attempt_count=task.attempt_count,
        pending_approvals=tuple(_pending(view) for view in pending),
    )


def _last_event(status: Status) -> str:
    if status in OVER:
        return f"run.{status}"
    return "approval.request" if status == "waiting_for_approval" else ""


def _error(task: TaskView) -> str:
    return task.error or (task.dropped_reason.value if task.dropped_reason is not None else "")


def _pending(view: ApprovalView) -> Pending:
    return Pending(
        approval_id=view.id,
        kind=view.action_kind.value,
        description=view.title,
        command=command_of(view),
        choices=choices(view),
        asked_at=view.asked.at,
        deadline_at=None if view.deadline is None else view.deadline.at,
        digest=view.digest,
    )
