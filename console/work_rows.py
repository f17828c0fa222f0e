"""Tasks, agents and standing permissions as the core last showed them (pure).

An older view never takes the place of a newer one; a task that is over is kept as long as there is room.
"""

from collections import Counter

from console.automation_rows import HANDLED as AUTOMATION_HANDLED
from console.automation_rows import AutomationRows
from console.changes import Changes
from console.gateway_rows import HANDLED as GATEWAY_HANDLED
from console.gateway_rows import GatewayRows
from console.outbox_rows import HANDLED as OUTBOX_HANDLED
from console.outbox_rows import OutboxRows
from console.relay_rows import HANDLED as RELAY_HANDLED
from console.relay_rows import RelayRows
from core.api import approvals, profiles, tasks
from core.api.approvals import GrantList, GrantView, PolicyApplied
from core.api.base import Event, Record
from core.api.profiles import PoolState, ProfileList, ProfileView
from core.api.tasks import TaskPage, TaskState, TaskView

TASK_LIMIT = 5_000
_APPLIED_LIMIT = 200

HANDLED: frozenset[type[Event]] = frozenset(
    {
        tasks.TaskQueued,
        tasks.TaskStarted,
        tasks.TaskWaiting,
        tasks.TaskEnded,
        tasks.TaskArchived,
        profiles.ProfileChanged,
        profiles.ProfileDeleted,
        profiles.PoolChanged,
        profiles.RunnersReset,
        approvals.GrantGiven,
        approvals.GrantUsed,
        approvals.GrantRevoked,
        approvals.PolicyApplied,
        *GATEWAY_HANDLED,
        *OUTBOX_HANDLED,
        *AUTOMATION_HANDLED,
        *RELAY_HANDLED,
    }
)


class WorkRows:
    """Views by id. applied: what the policy decided by itself, the newest last. gateway: senders and what else is
    the gateway's.
    """

    def __init__(self) -> None:
        self.tasks: dict[str, TaskView] = {}
        self.profiles: dict[str, ProfileView] = {}
        self.grants: dict[str, GrantView] = {}
        self.applied: list[PolicyApplied] = []
        self.is_whole = False
        self.gateway = GatewayRows()
        self.outboxes = OutboxRows()
        self.automation = AutomationRows()
        self.relay = RelayRows()
        self._below: Counter[str] = Counter()

    @property
    def counts(self) -> dict[TaskState, int]:
        """Tasks by state, of those that are at hand."""
        found = dict.fromkeys(TaskState, 0)
        for task in self.tasks.values():
            found[task.state] += 1
        return found

    @property
    def troubled(self) -> list[ProfileView]:
        """Agents that cannot do their work: a fault in the profile, paused, or degraded."""
        return [view for view in self.profiles.values() if _is_troubled(view)]

    def children(self, task_id: str) -> list[TaskView]:
        """Tasks that a task made, the oldest first."""
        return sorted(
            (task for task in self.tasks.values() if task.parent_id == task_id), key=lambda task: str(task.id)
        )

    def below(self, task_id: str) -> int:
        """How many tasks a task made, of those that are at hand."""
        return self._below[task_id]

    def load_tasks(self, page: TaskPage, changes: Changes) -> None:
        """The newest tasks."""
        self.is_whole = not page.has_more
        for task in page.tasks:
            self._put_task(task, changes)

    def load_profiles(self, view: ProfileList, changes: Changes) -> None:
        """All agents; one that is not named any more is gone."""
        self.profiles = {str(profile.name): profile for profile in view.profiles}
        changes.has_agents = True
        changes.has_health = True

    def load_grants(self, view: GrantList, changes: Changes) -> None:
        """All that hold."""
        self.grants = {str(grant.id): grant for grant in view.grants}
        changes.has_grants = True

    def apply(self, record: Record, changes: Changes) -> bool:
        """Take an event in; False when it is not about any of these."""
        event = record.event
        match event:
            case (
                tasks.TaskQueued()
                | tasks.TaskStarted()
                | tasks.TaskWaiting()
                | tasks.TaskEnded()
                | tasks.TaskArchived()
            ):
                self._put_task(event.task, changes)
            case profiles.ProfileChanged() | profiles.PoolChanged():
                self._put_profile(event.profile)
                changes.has_agents = True
            case profiles.ProfileDeleted():
                self.profiles.pop(str(event.name), None)
                changes.has_agents = True
            case profiles.RunnersReset():
                changes.has_agents = True
            case approvals.GrantGiven() | approvals.GrantUsed() | approvals.GrantRevoked():
                self._put_grant(event.grant)
                changes.has_grants = True
            case PolicyApplied():
                self.applied.append(event)
                del self.applied[:-_APPLIED_LIMIT]
                changes.has_grants = True
            case _:
                # The relay goes first: a breaker of its own is not one of an outbox.
                rows = (self.relay, self.gateway, self.automation, self.outboxes)
                return any(each.apply(record, changes) for each in rows)
        return True

    def _put_task(self, view: TaskView, changes: Changes) -> None:
        key = str(view.id)
        before = self.tasks.get(key)
        if before is not None and before.version >= view.version:
            return
        if before is not None:
            self._count(before, -1)
        self._count(view, 1)
        self.tasks[key] = view
        changes.tasks.add(key)
        if len(self.tasks) > TASK_LIMIT:
            self._forget_oldest(changes)

    def _forget_oldest(self, changes: Changes) -> None:
        over = sorted(key for key, task in self.tasks.items() if task.state.is_over)
        for key in over[: len(self.tasks) - TASK_LIMIT]:
            self._count(self.tasks.pop(key), -1)
            changes.tasks.add(key)

    def _count(self, task: TaskView, by: int) -> None:
        if task.parent_id is not None:
            parent = str(task.parent_id)
            self._below[parent] += by
            if not self._below[parent]:
                del self._below[parent]

    def _put_profile(self, view: ProfileView) -> None:
        before = self.profiles.get(str(view.name))
        if before is None or before.version <= view.version:
            self.profiles[str(view.name)] = view

    def _put_grant(self, view: GrantView) -> None:
        before = self.grants.get(str(view.id))
        if before is not None and before.version > view.version:
            return
        if view.revoked is not None:
            self.grants.pop(str(view.id), None)
        else:
            self.grants[str(view.id)] = view


def _is_troubled(view: ProfileView) -> bool:
    if view.problem:
        return True
    return view.pool is not None and view.pool.state in {PoolState.PAUSED, PoolState.DEGRADED, PoolState.PROBING}
