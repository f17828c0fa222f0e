"""Whether a core is idle, and what is left in it that should not be: lanes, slots, runs, tasks, mail, approvals."""

from core.api.approvals import ListApprovals
from core.api.base import AgentName
from core.api.mailboxes import ListMailboxes
from core.api.profiles import GetProfile
from core.api.runs import RunnerState
from core.api.sessions import ListSessions
from core.api.tasks import ListRuns, ListTasks, RunState, TaskFilter, TaskState
from core.kernel import Kernel

_GOING = (TaskState.QUEUED, TaskState.RUNNING)


async def unsettled(kernel: Kernel) -> list[str]:
    """What still goes on or waits, in words."""
    sessions = (await kernel.query(ListSessions(limit=5000))).sessions
    busy = [view for view in sessions if view.lane_holder or view.queue_depth]
    going = (await kernel.query(ListTasks(only=TaskFilter(states=_GOING), limit=200))).tasks
    # One that waits for an input has no message.
    asking = (await kernel.query(ListTasks(only=TaskFilter(states=(TaskState.WAITING,)), limit=200))).tasks
    asked = (await kernel.query(ListApprovals(open_only=True))).approvals
    boxes = (await kernel.query(ListMailboxes())).mailboxes
    found = [f"session {view.id}: {view.state} {view.queue_depth} {view.run and view.run.waits_for}" for view in busy]
    found += [f"task {view.id}: {view.state} {view.error}" for view in going]
    found += [f"task {view.id}: {view.state}" for view in asking if view.message_id is not None]
    found += [f"approval {view.id}: {view.title}" for view in asked]
    found += [
        f"mailbox {box.name}: {box.tally}"
        for box in boxes
        if box.name in {"sessions", "tasks"} and (box.tally.queued or box.tally.in_flight)
    ]
    if kernel.agents.runs.running_count:
        found.append(f"{kernel.agents.runs.running_count} runs")
    return found


async def leaks(kernel: Kernel, agents: tuple[AgentName, ...]) -> list[str]:
    """What an idle core holds although nothing goes on, in words."""
    return [*await _books(kernel), *_tasks(kernel), *await _agents(kernel, agents), *_lanes(kernel)]


async def _books(kernel: Kernel) -> list[str]:
    runs = (await kernel.query(ListRuns(limit=200))).runs
    found = [f"run {run.id} is {run.state}" for run in runs if run.state in {RunState.RUNNING, RunState.ACCEPTED}]
    boxes = (await kernel.query(ListMailboxes())).mailboxes
    found += [f"mailbox {box.name} differs: {box.tally}" for box in boxes if box.tally.difference]
    return found


def _tasks(kernel: Kernel) -> list[str]:
    register = kernel.agents.tasking.register
    found = [f"run {run_id} is in the book" for run_id in register.active]
    found += [f"lane {lane} counts {count}" for lane, count in register.busy.items() if count]
    for task_id, entry in register.entries.items():
        if entry.writing or entry.starting or entry.is_handed or entry.mail_id is not None:
            found.append(f"task {task_id}: {entry.writing} {entry.starting} {entry.is_handed} {entry.mail_id}")
    return found


async def _agents(kernel: Kernel, agents: tuple[AgentName, ...]) -> list[str]:
    found: list[str] = []
    for name in agents:
        pool = (await kernel.query(GetProfile(name=name))).pool
        if pool is not None and (pool.busy or pool.waiting):
            found.append(f"agent {name}: {pool.busy} have a slot, {pool.waiting} wait")
    busy = [view for view in kernel.agents.runners.views() if view.state is RunnerState.BUSY]
    found += [f"the runner of {view.session_id} is busy" for view in busy]
    runs = kernel.agents.runs
    if runs._flights or runs._last_of:
        found.append(f"flights: {list(runs._flights)} {list(runs._last_of)}")
    rows = kernel.agents.approvals._rows
    if rows._of_run or rows._of_session or rows.waiting or rows._over:
        found.append(f"approvals: {rows._of_run} {rows._of_session} {rows.waiting} {rows._over}")
    return found


def _lanes(kernel: Kernel) -> list[str]:
    return [
        f"lane {lane.session_id}: {lane.open_approvals} {lane.hold_count} {lane.live} {len(lane.followers)}"
        for lane in kernel.gateway.lanes.in_memory()
        if lane.open_approvals or lane.hold_count or lane.live or lane.followers
    ]
