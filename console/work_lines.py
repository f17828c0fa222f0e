"""Events about agents, tasks, decisions and queues as one short line for people (pure)."""

from collections.abc import Callable
from typing import Any

from console.text import clipped, counted
from core.api import approvals, profiles, session_orders, tasks
from core.api.base import Event
from core.api.runs import CompactionState
from core.api.tasks import TaskState

Words = tuple[str, str, str]


def _task(level: str, kind: str) -> Callable[[Any], Words]:
    def words(event: Any) -> Words:
        task = event.task
        return level, kind, f"{task.agent}: {clipped(task.label or task.text)}"

    return words


def _task_ended(event: tasks.TaskEnded) -> Words:
    task = event.task
    level = {TaskState.DONE: "good", TaskState.IDLE: "good", TaskState.CANCELLED: "warn"}.get(task.state, "fail")
    reason = task.error or (task.dropped_reason.value.replace("_", " ") if task.dropped_reason else "")
    why = f": {clipped(reason)}" if reason else ""
    return level, f"task {task.state.value}", f"{task.agent}: {clipped(task.label or task.text)}{why}"


def _archived(event: tasks.TaskArchived) -> Words:
    what = "archived" if event.task.archived else "taken out of the archive"
    return "info", "task " + what, clipped(event.task.label or event.task.text)


def _orphaned(event: approvals.ApprovalOrphaned) -> Words:
    again = ", asked again" if event.approval.replaced_by else ""
    return "warn", "approval orphaned", f"{clipped(event.approval.title)}{again}"


def _noted(event: approvals.ApprovalNoted) -> Words:
    surfaces = ", ".join(surface.name for surface in event.approval.surfaces)
    return "info", "approval shown", f"{clipped(event.approval.title)} on {clipped(surfaces)}"


def _policy(event: approvals.PolicyApplied) -> Words:
    level = "warn" if event.verdict.kind.value == "deny" else "info"
    return level, f"policy {event.verdict.kind.value}", f"{event.tool} {clipped(event.target)} ({event.verdict.rule})"


def _grant(level: str, kind: str) -> Callable[[Any], Words]:
    def words(event: Any) -> Words:
        grant = event.grant
        return level, kind, f"{grant.agent} {'may' if grant.allow else 'may not'} {clipped(grant.pattern)}"

    return words


def _profile(event: profiles.ProfileChanged) -> Words:
    problem = f": {clipped(event.profile.problem)}" if event.profile.problem else ""
    return "fail" if problem else "info", "agent " + event.what, f"{event.profile.name}{problem}"


def _pool(event: profiles.PoolChanged) -> Words:
    pool = event.profile.pool
    state = pool.state.value if pool else "changed"
    level = {"ready": "good", "degraded": "fail"}.get(state, "warn")
    why = f": {clipped(event.reason)}" if event.reason else ""
    return level, "agent " + state, f"{event.profile.name}{why}"


def _runners(event: profiles.RunnersReset) -> Words:
    report = event.report
    return "warn", "runners reset", f"{event.scope}: {report.replaced} gone, {report.marked} after their turn"


def _queue(event: session_orders.QueueChanged) -> Words:
    return "info", "queue changed", counted(len(event.messages), "message")


def _compacted(event: session_orders.SessionCompacted) -> Words:
    found = event.compaction
    if found.state is CompactionState.DONE:
        return "info", "compacted", f"{found.before_tokens:,} to {found.after_tokens:,} tokens"
    figures = f"{found.before_tokens:,} to {found.after_tokens:,} tokens, limit {found.limit_tokens:,}"
    return "warn", f"compaction {found.state.value}", clipped(found.error) or figures


def _lease(event: session_orders.LeaseReleased) -> Words:
    how = "by force" if event.is_forced else "its holder was gone"
    return "warn", "lease released", f"{how} {clipped(event.reason)}".rstrip()


WORK_WORDS: dict[type[Event], Callable[[Any], Words]] = {
    tasks.TaskQueued: _task("info", "task queued"),
    tasks.TaskStarted: _task("info", "task started"),
    tasks.TaskWaiting: _task("warn", "task waiting"),
    tasks.TaskEnded: _task_ended,
    tasks.TaskArchived: _archived,
    approvals.ApprovalOrphaned: _orphaned,
    approvals.ApprovalNoted: _noted,
    approvals.PolicyApplied: _policy,
    approvals.GrantGiven: _grant("good", "grant given"),
    approvals.GrantUsed: _grant("info", "grant used"),
    approvals.GrantRevoked: _grant("warn", "grant revoked"),
    profiles.ProfileChanged: _profile,
    profiles.ProfileDeleted: lambda event: ("warn", "agent removed", str(event.name)),
    profiles.PoolChanged: _pool,
    profiles.RunnersReset: _runners,
    session_orders.QueueChanged: _queue,
    session_orders.SessionArchived: lambda event: ("info", "session archived", clipped(event.reason)),
    session_orders.SessionUnarchived: lambda event: ("good", "session taken up", f"epoch {event.session.epoch}"),
    session_orders.SessionCompacted: _compacted,
    session_orders.LeaseReleased: _lease,
}
