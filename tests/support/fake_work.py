"""Agents, tasks, runners and grants of a FakeHermes: views in the open, questions about them, orders to them."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from core.api import approvals, policies, profiles, session_orders, streams, tasks
from core.api.approvals import ApprovalState, ApprovalView, GrantScope, GrantView
from core.api.base import AgentName, Event, GrantId, Mark, RunId, Seq, SessionId, TaskId
from core.api.errors import AlreadyDecided, ConflictError, NotFound, Refused
from core.api.profiles import PoolState, PoolView, ProfileView
from core.api.runs import RunnerState, RunnerView
from core.api.sessions import MessageView, SessionView
from core.api.tasks import AttemptState, AttemptView, RunState, TaskKind, TaskRunView, TaskState, TaskView
from tests.support.views import NOW, ago

Emit = Callable[..., Any]
_FINAL = frozenset({TaskState.DONE, TaskState.CANCELLED})


def task(task_id: str = "task-1", **changes: Any) -> TaskView:
    """A task that waits."""
    values: dict[str, Any] = {
        "id": TaskId(task_id),
        "version": 1,
        "agent": AgentName("main"),
        "kind": TaskKind.AGENT_COMMAND,
        "state": TaskState.QUEUED,
        "session_id": SessionId("tasks:dm:task-1"),
        "text": "tidy the logs",
        "accepted": ago(60),
        "label": "nightly",
    }
    return TaskView(**{**values, **changes})


def task_run(run_id: str = "run-1", **changes: Any) -> TaskRunView:
    """A run that goes on."""
    values: dict[str, Any] = {
        "id": RunId(run_id),
        "version": 1,
        "session_id": SessionId("tasks:dm:task-1"),
        "agent": AgentName("main"),
        "state": RunState.RUNNING,
        "accepted": ago(50),
        "started": ago(50),
        "task_id": TaskId("task-1"),
        "attempt_count": 1,
        "model": "builtin:assistant",
        "runner": "scripted",
    }
    return TaskRunView(**{**values, **changes})


def attempt(run_id: str = "run-1", number: int = 1, **changes: Any) -> AttemptView:
    """A first try that goes on."""
    values: dict[str, Any] = {
        "run_id": RunId(run_id),
        "number": number,
        "state": AttemptState.RUNNING,
        "strategy": "primary" if number == 1 else "retry",
        "began": ago(50),
    }
    return AttemptView(**{**values, **changes})


def pool(**changes: Any) -> PoolView:
    """An agent that is ready and idle."""
    values: dict[str, Any] = {
        "state": PoolState.READY,
        "limit": 8,
        "configured_limit": 8,
        "busy": 0,
        "waiting": 0,
    }
    return PoolView(**{**values, **changes})


def runner(session_id: str = "local:dm:ana", **changes: Any) -> RunnerView:
    """A runner that nobody uses at the moment."""
    values: dict[str, Any] = {
        "session_id": SessionId(session_id),
        "agent": AgentName("main"),
        "kind": "scripted",
        "state": RunnerState.IDLE,
        "generation": 1,
        "since": ago(120),
        "active": ago(30),
        "user": "local:ana",
    }
    return RunnerView(**{**values, **changes})


def grant(grant_id: str = "grant-1", **changes: Any) -> GrantView:
    """A permission for good."""
    values: dict[str, Any] = {
        "id": GrantId(grant_id),
        "version": 1,
        "agent": AgentName("main"),
        "scope": GrantScope.ALWAYS,
        "pattern": "exec:git status",
        "allow": True,
        "given": ago(3600),
        "given_by": "ana",
    }
    return GrantView(**{**values, **changes})


class FakeWork:
    """What is held. deadline questions are answered at once."""

    def __init__(
        self,
        *,
        held_tasks: Iterable[TaskView] = (),
        runs: Iterable[TaskRunView] = (),
        attempts: Iterable[AttemptView] = (),
        runners: Iterable[RunnerView] = (),
        grants: Iterable[GrantView] = (),
    ) -> None:
        self.tasks = {view.id: view for view in held_tasks}
        self.runs = {view.id: view for view in runs}
        self.attempts = list(attempts)
        self.runners = list(runners)
        self.grants = {view.id: view for view in grants}
        self.stream: list[streams.StreamItem] = []
        self.verdict = policies.PolicyVerdict(
            kind=policies.VerdictKind.ASK, rule="ask.on-miss", reason="nothing allows it"
        )

    def keep(self, event: Event) -> None:
        """Take in the views that an event carries."""
        if isinstance(view := getattr(event, "task", None), TaskView):
            self.tasks[view.id] = view
        if isinstance(given := getattr(event, "grant", None), GrantView):
            self.grants[given.id] = given

    def answer(self, query: Any, seq: Seq) -> Any:  # noqa: PLR0911 - one line for each query
        """The answer to a query of these nouns; None for any other."""
        match query:
            case tasks.ListTasks():
                return self._page(query, seq)
            case tasks.GetTask():
                return self._detail(self._task(query.task_id), seq)
            case tasks.ListRuns():
                runs = [run for run in self.runs.values() if query.only.task_id in {None, run.task_id}]
                return tasks.RunPage(runs=tuple(runs[: query.limit]), cursor="", has_more=False, seq=seq)
            case tasks.GetRun():
                run = self._run(query.run_id)
                tries = tuple(item for item in self.attempts if item.run_id == run.id)
                return tasks.RunDetail(run=run, attempts=tries, snapshots=(), seq=seq)
            case streams.GetInteraction():
                state = streams.InteractionState.WORKING
                return streams.Interaction(run_id=query.run_id, state=state, pending=())
            case streams.ReadStream():
                items = [item for item in self.stream if item.number > query.after][: query.limit]
                last = items[-1].number if items else query.after
                held = self.tasks.get(query.task_id) if query.task_id else None
                return streams.StreamBatch(items=tuple(items), next_after=last, has_gap=False, task=held)
            case profiles.ListRunners():
                found = [item for item in self.runners if query.agent in {None, item.agent}]
                return profiles.RunnerList(runners=tuple(found), seq=seq)
            case profiles.GetDefaultProfile():
                settings = {"runner": query.runner or "scripted", "scenario": "builtin:assistant"}
                return profiles.ProfileDefaults(name=query.name, settings=settings)
            case approvals.ListGrants():
                return approvals.GrantList(grants=tuple(self.grants.values()), seq=seq)
            case policies.ExplainPolicy():
                return self.verdict
            case policies.ListRuntimes():
                return policies.RuntimeList(
                    runtimes=(policies.RuntimeView(runtime=policies.Runtime.BWRAP, is_there=True, found="0.8.0"),)
                )
            case _:
                return None

    def carry_out(self, command: Any, actor: Any, state: Any, emit: Emit) -> Any:
        """What follows from an order to these nouns; None for any other. state: the FakeState around it."""
        for each in (self._to_task, self._to_agent, self._to_approval, self._to_session):
            receipt = each(command, actor, state, emit)
            if receipt is not None:
                return receipt
        return None

    def _to_task(self, command: Any, actor: Any, _state: Any, emit: Emit) -> Any:
        match command:
            case tasks.StartTask():
                made = task(
                    f"task-{len(self.tasks) + 1}",
                    text=command.text,
                    agent=command.agent or AgentName("main"),
                    label=command.label,
                    accepted=NOW,
                )
                emit(tasks.TaskQueued(task=made), actor=actor)
                return tasks.TaskReceipt(task=made)
            case tasks.CancelTask() | tasks.RetryTask() | tasks.ArchiveTask() | tasks.UnarchiveTask():
                return self._changed_task(command, actor, emit)
            case tasks.SendInput() | tasks.CancelRun():
                run = self._run(command.run_id)
                return tasks.TaskReceipt(task=self._task(run.task_id), run_id=run.id)
            case _:
                return None

    def _changed_task(self, command: Any, actor: Any, emit: Emit) -> tasks.TaskReceipt:
        view = self._task(command.task_id)
        match command:
            case tasks.CancelTask():
                if view.state in _FINAL:
                    raise Refused(f"it is {view.state.value} already", rule="task")
                after = _next(view, state=TaskState.CANCELLED, ended=NOW)
                emit(tasks.TaskEnded(task=after), actor=actor)
            case tasks.RetryTask():
                after = _next(view, state=TaskState.QUEUED, error="", ended=None)
                emit(tasks.TaskQueued(task=after), actor=actor)
            case _:
                archived = NOW if isinstance(command, tasks.ArchiveTask) else None
                after = _next(view, archived=archived)
                emit(tasks.TaskArchived(task=after), actor=actor)
        return tasks.TaskReceipt(task=after)

    def _to_agent(self, command: Any, actor: Any, state: Any, emit: Emit) -> Any:
        if isinstance(command, profiles.ResetRunners):
            report = profiles.ResetReport(replaced=len(self.runners), marked=0, stopped=0)
            emit(profiles.RunnersReset(scope="all", report=report, reason=command.reason), actor=actor)
            return report
        if isinstance(command, profiles.CreateProfile):
            if command.name in state.profiles:
                raise ConflictError(f"there is an agent {command.name}", key="name")
            made = ProfileView(
                name=command.name,
                runner=str(command.settings.get("runner", "scripted")),
                model="",
                is_default=False,
                approvals=True,
                steer=True,
                isolation="",
                settings=command.settings,
                origin=profiles.ProfileOrigin.STORED,
            )
            return _put_profile(made, "created", actor, state, emit)
        what = {
            profiles.UpdateProfile: "updated",
            profiles.EnableProfile: "enabled",
            profiles.DisableProfile: "disabled",
            profiles.SyncProfile: "synced",
            profiles.PauseAgent: "paused",
            profiles.ResumeAgent: "resumed",
            profiles.LimitAgent: "limited",
            profiles.DeleteProfile: "deleted",
        }.get(type(command))
        if what is None:
            return None
        view = state.profiles.get(command.name)
        if view is None:
            raise NotFound(f"no agent {command.name}", noun="agent", id=command.name)
        if what == "deleted":
            del state.profiles[command.name]
            emit(profiles.ProfileDeleted(name=command.name), actor=actor)
            return profiles.DeleteReceipt(name=command.name, stopped=0)
        return _put_profile(_changed_profile(view, command, actor.name), what, actor, state, emit)

    def _to_approval(self, command: Any, actor: Any, state: Any, emit: Emit) -> Any:
        match command:
            case approvals.DenyApprovals():
                denied = [key for key in command.approval_ids if state.approvals[key].state is ApprovalState.OPEN]
                for key in denied:
                    done = _next(state.approvals[key], state=ApprovalState.DENIED, decided=NOW, decided_by=actor.name)
                    emit(approvals.ApprovalDecided(approval=done), actor=actor)
                late = tuple(key for key in command.approval_ids if key not in denied)
                return approvals.BulkDenial(denied=tuple(denied), too_late=late)
            case approvals.ReaskApproval():
                view: ApprovalView = state.approvals[command.approval_id]
                if view.state is not ApprovalState.ORPHANED:
                    raise AlreadyDecided("it is not orphaned", by=view.decided_by, outcome=view.state.value)
                return view
            case approvals.NoteApproval():
                view = state.approvals[command.approval_id]
                surface = approvals.Surface(name=command.surface, delivered=NOW, seen=NOW if command.is_seen else None)
                others = tuple(item for item in view.surfaces if item.name != command.surface)
                noted = _next(view, surfaces=(*others, surface))
                emit(approvals.ApprovalNoted(approval=noted), actor=actor)
                return noted
            case approvals.RevokeGrant():
                revoked = _next(self.grants[command.grant_id], revoked=NOW)
                emit(approvals.GrantRevoked(grant=revoked), actor=actor)
                return revoked
            case _:
                return None

    def _to_session(self, command: Any, actor: Any, state: Any, emit: Emit) -> Any:
        match command:
            case session_orders.MoveMessage() | session_orders.SetMessageMode():
                return self._changed_queue(command, actor, state, emit)
            case session_orders.ArchiveSession():
                after = _next(state.get_session(command.session_id), is_archived=True)
                emit(session_orders.SessionArchived(session=after, reason=command.reason), actor=actor)
                return session_orders.SessionReceipt(session=after)
            case session_orders.UnarchiveSession() | session_orders.CompactSession():
                after = _next(state.get_session(command.session_id), is_archived=False)
                emit(session_orders.SessionUnarchived(session=after), actor=actor)
                return session_orders.SessionReceipt(session=after)
            case session_orders.ReleaseLease():
                view: SessionView = state.get_session(command.session_id)
                return session_orders.LeaseReceipt(
                    session_id=view.id,
                    run_id=view.lane_holder,
                    is_released=command.is_forced,
                    why="the holder is alive",
                )
            case _:
                return None

    def _changed_queue(self, command: Any, actor: Any, state: Any, emit: Emit) -> session_orders.QueueReceipt:
        mine: list[MessageView] = [item for item in state.messages if item.session_id == command.session_id]
        found = next((item for item in mine if item.id == command.message_id), None)
        if found is None:
            raise NotFound("no such message waits", noun="message", id=command.message_id)
        place = mine.index(found)
        mine.remove(found)
        if isinstance(command, session_orders.MoveMessage):
            mine.insert(command.position, found)
        else:
            mine.insert(place, msgspec.structs.replace(found, mode=command.mode, effective_mode=command.mode))
        state.messages = [item for item in state.messages if item.session_id != command.session_id] + mine
        after = _next(state.get_session(command.session_id))
        emit(session_orders.QueueChanged(session=after, messages=tuple(mine)), actor=actor)
        return session_orders.QueueReceipt(session_id=command.session_id, messages=tuple(mine))

    def _page(self, query: tasks.ListTasks, seq: Seq) -> tasks.TaskPage:
        only = query.only
        found = [
            view
            for view in sorted(self.tasks.values(), key=lambda item: str(item.id), reverse=True)
            if (not only.states or view.state in only.states)
            and only.agent in {None, view.agent}
            and (only.archived is None or only.archived == (view.archived is not None))
            and (not only.label or only.label == view.label)
        ]
        counts: dict[str, int] = {}
        for view in found:
            counts[view.state.value] = counts.get(view.state.value, 0) + 1
        page = tuple(found[: query.limit])
        return tasks.TaskPage(tasks=page, cursor="", has_more=len(found) > len(page), seq=seq, counts=counts)

    def _detail(self, view: TaskView, seq: Seq) -> tasks.TaskDetail:
        runs = tuple(run for run in self.runs.values() if run.task_id == view.id)
        ids = {run.id for run in runs}
        return tasks.TaskDetail(
            task=view,
            runs=runs,
            attempts=tuple(item for item in self.attempts if item.run_id in ids),
            children=tuple(item for item in self.tasks.values() if item.parent_id == view.id),
            seq=seq,
        )

    def _task(self, task_id: TaskId | None) -> TaskView:
        if task_id is None or task_id not in self.tasks:
            raise NotFound(f"no task {task_id}", noun="task", id=task_id)
        return self.tasks[task_id]

    def _run(self, run_id: RunId) -> TaskRunView:
        if run_id not in self.runs:
            raise NotFound(f"no run {run_id}", noun="run", id=run_id)
        return self.runs[run_id]


def _put_profile(view: ProfileView, what: str, actor: Any, state: Any, emit: Emit) -> ProfileView:
    state.profiles[view.name] = view
    emit(profiles.ProfileChanged(profile=view, what=what), actor=actor)
    return view


def _changed_profile(view: ProfileView, command: Any, who: str) -> ProfileView:
    held = view.pool or pool()
    match command:
        case profiles.PauseAgent():
            return _next(view, pool=_plain(held, state=PoolState.PAUSED, reason=command.reason, changed_by=who))
        case profiles.ResumeAgent():
            return _next(view, pool=_plain(held, state=PoolState.READY, reason=""))
        case profiles.LimitAgent():
            return _next(view, pool=_plain(held, limit=command.limit or held.configured_limit))
        case profiles.EnableProfile() | profiles.DisableProfile():
            return _next(view, is_enabled=isinstance(command, profiles.EnableProfile))
        case profiles.UpdateProfile():
            return _next(view, settings={**view.settings, **command.settings})
        case _:
            return _next(view, synced=Mark(NOW.at, NOW.mono))


def _next(view: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(view, version=view.version + 1, **changes)


def _plain(view: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(view, **changes)
