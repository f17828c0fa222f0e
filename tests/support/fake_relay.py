"""The relay of the scripted Hermes, and the plainest answer to each order."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from core.api import bindings, breakers, relay_targets, relay_tasks
from core.api.base import Seq
from core.api.bindings import BindingChange, BindingProblem, BindingView, Bot, ChangeKind
from core.api.breakers import BreakerMode, BreakerState, BreakerView
from core.api.errors import ConflictError, NotFound
from core.api.relay_targets import (
    RELAY,
    PeerView,
    RelayEdge,
    RelayGraph,
    RelayPause,
    TargetReport,
    TargetView,
)
from core.api.relay_tasks import (
    RelayAttempt,
    RelayReason,
    RelayState,
    RelayTaskView,
)
from tests.support.relay_views import a_binding, a_bot, a_message, a_report
from tests.support.views import NOW

Emit = Callable[..., Any]


class FakeRelay:
    """What a core says of its relay. problems: what CheckBot finds, by address."""

    def __init__(
        self,
        views: Iterable[BindingView] = (),
        targets: Iterable[TargetView] = (),
        peers: Iterable[PeerView] = (),
    ) -> None:
        self.bindings = {(view.platform, view.chat): view for view in views}
        self.ambiguities: tuple[bindings.Ambiguity, ...] = ()
        self.targets = {view.origin: view for view in targets}
        self.peers = list(peers)
        self.tasks: dict[str, RelayTaskView] = {}
        self.attempts: dict[str, tuple[RelayAttempt, ...]] = {}
        self.contexts: dict[str, str] = {}
        self.edges: tuple[RelayEdge, ...] = ()
        self.pause = RelayPause(version=1, is_paused=False)
        self.listening = "http://127.0.0.1:8411"
        self.changes: list[BindingChange] = []
        self.problems: dict[str, BindingProblem] = {}
        self.report: TargetReport | None = None
        self.scripted: dict[type[Any], Any] = {}

    def keep(self, event: Any) -> None:
        """Take in the views that an event carries."""
        if isinstance(task := getattr(event, "task", None), RelayTaskView):
            self.tasks[str(task.id)] = task
        if isinstance(target := getattr(event, "target", None), TargetView):
            self.targets[target.origin] = target
        if isinstance(pause := getattr(event, "pause", None), RelayPause):
            self.pause = pause

    # -- questions

    def answer(self, query: Any, seq: Seq) -> Any:  # noqa: PLR0911 - one line for each query
        """The answer to a query, a scripted one first; None for one about something else."""
        if (said := self.scripted.get(type(query))) is not None:
            return said
        match query:
            case bindings.ListBindings():
                found = tuple(self.bindings.values())
                return bindings.BindingList(bindings=found, ambiguities=self.ambiguities, seq=seq)
            case bindings.CheckBot():
                return self._check(query)
            case bindings.ListBindingChanges():
                return bindings.BindingHistory(changes=tuple(self.changes[::-1]), has_more=False, seq=seq)
            case relay_targets.ListTargets():
                return relay_targets.TargetList(
                    targets=tuple(self.targets.values()),
                    peers=tuple(self.peers),
                    pause=self.pause,
                    listening=self.listening,
                    seq=seq,
                )
            case relay_targets.GetRelayGraph():
                return RelayGraph(edges=self.edges, window_s=86_400.0, hop_limit=5, turn_limit=20, seq=seq)
            case relay_tasks.ListRelayTasks():
                counts: dict[str, int] = {}
                for task in self.tasks.values():
                    counts[task.state.value] = counts.get(task.state.value, 0) + 1
                return self._page(query, counts, seq)
            case relay_tasks.GetRelayTask():
                return self._detail(query.id, seq)
            case _:
                return None

    def _page(self, query: relay_tasks.ListRelayTasks, counts: dict[str, int], seq: Seq) -> relay_tasks.RelayTaskPage:
        """The latest first, as many as are asked for; the cursor is the place."""
        only = query.only.states or tuple(RelayState)
        fitting = sorted((task for task in self.tasks.values() if task.state in only), key=lambda task: task.created.at)
        fitting.reverse()
        begin = int(query.cursor or 0)
        end = begin + query.limit
        cursor = str(end) if end < len(fitting) else ""
        return relay_tasks.RelayTaskPage(tasks=tuple(fitting[begin:end]), cursor=cursor, counts=counts, seq=seq)

    def _check(self, query: bindings.CheckBot) -> bindings.BindingCheck:
        problems: list[BindingProblem] = []
        if (problem := self.problems.get(query.bot.url)) is not None:
            problems.append(problem)
        elif not query.bot.url.startswith(("http://", "https://")):
            problems.append(
                BindingProblem(
                    field="url", value=query.bot.url, problem="is no http address", fix="write http://HOST:PORT"
                )
            )
        is_fatal = any(item.is_fatal for item in problems)
        url = query.bot.url.removesuffix("/relay")
        bot = None if is_fatal else msgspec.structs.replace(query.bot, url=url)
        return bindings.BindingCheck(problems=tuple(problems), bot=bot, origin="" if is_fatal else url)

    def _detail(self, task_id: str, seq: Seq) -> relay_tasks.RelayTaskDetail:
        found = [task for key, task in self.tasks.items() if key.startswith(task_id)]
        if len(found) != 1:
            raise NotFound(f"no message begins with {task_id}", noun="message", id=task_id)
        task = found[0]
        group = tuple(item for item in self.tasks.values() if task.group and item.group == task.group)
        return relay_tasks.RelayTaskDetail(
            task=task,
            text=task.text,
            answer=task.answer,
            attempts=self.attempts.get(str(task.id), ()),
            group=group,
            seq=seq,
            context=self.contexts.get(str(task.id), ""),
        )

    # -- orders

    def carry_out(self, command: Any, actor: Any, emit: Emit) -> Any:  # noqa: PLR0911 - one line for each command
        """The receipt of an order; None for one about something else."""
        match command:
            case bindings.AddBinding():
                return self._bind(command.platform, command.chat, command.bots, command.expected, actor, emit)
            case bindings.RemoveBinding():
                return self._unbind(command, actor, emit)
            case bindings.UndoBinding():
                return self._undo(command, actor, emit)
            case relay_tasks.SendRelay():
                tasks = tuple(
                    a_message(f"0000000{place}-0000-4000-8000-000000000000", bot=name, text=command.text)
                    for place, name in enumerate(command.to)
                )
                for task in tasks:
                    emit(relay_tasks.RelayQueued(task=task), actor=actor)
                return relay_tasks.RelayReceipt(tasks=tasks)
            case relay_tasks.CancelRelay():
                task = self._task(command.id, state=RelayState.CANCELED, ended=NOW)
                emit(relay_tasks.RelayEnded(task=task), actor=actor)
                return relay_tasks.RelayReceipt(tasks=(task,))
            case relay_tasks.ReplayRelay():
                return self._replay(command, actor, emit)
            case relay_tasks.RetargetRelay():
                task = self._task(command.id, bot=command.to, url=command.url or "http://127.0.0.1:9101")
                emit(relay_tasks.RelayRetargeted(task=task), actor=actor)
                return relay_tasks.RelayReceipt(tasks=(task,))
            case relay_targets.CheckTarget():
                report = self.report or a_report(command.bot or a_bot(command.name))
                emit(relay_targets.TargetChecked(report=report), actor=actor)
                return report
            case relay_targets.PauseRelay() | relay_targets.ResumeRelay():
                return self._pause(command, actor, emit)
            case _ if getattr(command, "owner", "") == RELAY:
                return self._breaker(command, actor, emit)
            case _:
                return None

    def _bind(
        self, platform: str, chat: str, bots: tuple[Bot, ...], expected: int | None, actor: Any, emit: Emit
    ) -> bindings.BindingReceipt:
        before = self.bindings.get((platform, chat))
        if expected is not None and (before.version if before else 0) != expected:
            raise ConflictError("the binding was changed since", key="version", expected=expected)
        names = {bot.name: bot for bot in (*(before.bots if before else ()), *bots)}
        view = a_binding(chat, *names.values(), platform=platform, version=(before.version if before else 0) + 1)
        self.bindings[(platform, chat)] = view
        change = self._changed(platform, chat, ChangeKind.CHANGED if before else ChangeKind.ADDED, before, view, actor)
        kind = bindings.BindingChanged if before else bindings.BindingAdded
        emit(kind(binding=view, change=change), actor=actor)
        return bindings.BindingReceipt(binding=view, change=change)

    def _unbind(self, command: bindings.RemoveBinding, actor: Any, emit: Emit) -> bindings.BindingReceipt:
        before = self.bindings.pop((command.platform, command.chat))
        left = tuple(bot for bot in before.bots if bot.name != command.bot) if command.bot else ()
        if not left:
            change = self._changed(command.platform, command.chat, ChangeKind.REMOVED, before, None, actor)
            emit(bindings.BindingRemoved(platform=command.platform, chat=command.chat, change=change), actor=actor)
            return bindings.BindingReceipt(binding=None, change=change)
        view = msgspec.structs.replace(before, bots=left, version=before.version + 1)
        self.bindings[(command.platform, command.chat)] = view
        change = self._changed(command.platform, command.chat, ChangeKind.CHANGED, before, view, actor)
        emit(bindings.BindingChanged(binding=view, change=change), actor=actor)
        return bindings.BindingReceipt(binding=view, change=change)

    def _undo(self, command: bindings.UndoBinding, actor: Any, emit: Emit) -> bindings.BindingReceipt:
        last = next(
            (item for item in self.changes[::-1] if (item.platform, item.chat) == (command.platform, command.chat)),
            None,
        )
        if last is None:
            raise NotFound("nothing was changed there", noun="change", id=command.chat)
        before = self.bindings.get((command.platform, command.chat))
        self.bindings.pop((command.platform, command.chat), None)
        view = None
        if last.before is not None:
            view = a_binding(command.chat, *last.before, platform=command.platform, version=9)
            self.bindings[(command.platform, command.chat)] = view
        change = self._changed(command.platform, command.chat, ChangeKind.UNDONE, before, view, actor)
        if view is None:
            emit(bindings.BindingRemoved(platform=command.platform, chat=command.chat, change=change), actor=actor)
        else:
            emit(bindings.BindingChanged(binding=view, change=change), actor=actor)
        return bindings.BindingReceipt(binding=view, change=change)

    def _changed(
        self,
        platform: str,
        chat: str,
        kind: ChangeKind,
        before: BindingView | None,
        after: BindingView | None,
        actor: Any,
    ) -> BindingChange:
        change = BindingChange(
            number=len(self.changes) + 1,
            platform=platform,
            chat=chat,
            kind=kind,
            at=NOW,
            by=actor.name,
            before=before.bots if before else None,
            after=after.bots if after else None,
        )
        self.changes.append(change)
        return change

    def _task(self, task_id: str, **changes: Any) -> RelayTaskView:
        view = self.tasks.get(task_id)
        if view is None:
            raise NotFound(f"no message {task_id}", noun="message", id=task_id)
        return msgspec.structs.replace(view, version=view.version + 1, **changes)

    def _replay(self, command: relay_tasks.ReplayRelay, actor: Any, emit: Emit) -> relay_tasks.ReplayReceipt:
        wanted = command.ids or tuple(
            task.id for task in self.tasks.values() if command.bot in {"", task.bot} and task.state is RelayState.DEAD
        )
        tasks = tuple(self._task(task_id, state=RelayState.QUEUED, reason=RelayReason.NONE) for task_id in wanted)
        if not command.is_dry_run:
            for task in tasks:
                emit(relay_tasks.RelayQueued(task=task), actor=actor)
        return relay_tasks.ReplayReceipt(tasks=tasks, skipped=(), is_dry_run=command.is_dry_run)

    def _pause(self, command: Any, actor: Any, emit: Emit) -> RelayPause:
        is_paused = isinstance(command, relay_targets.PauseRelay)
        pause = RelayPause(
            version=self.pause.version + 1,
            is_paused=is_paused,
            since=NOW if is_paused else None,
            by=actor.name,
            reason=getattr(command, "reason", ""),
            sending=1,
            working=2,
            waiting=9,
        )
        kind = relay_targets.RelayPaused if is_paused else relay_targets.RelayResumed
        emit(kind(pause=pause), actor=actor)
        return pause

    def _breaker(self, command: Any, actor: Any, emit: Emit) -> BreakerView:
        target = self.targets.get(command.name)
        if target is None:
            raise NotFound(f"no far side {command.name}", noun="breaker", id=command.name)
        mode, state, probe = BreakerMode.AUTOMATIC, BreakerState.CLOSED, None
        if isinstance(command, breakers.HoldBreakerOpen):
            mode, state = BreakerMode.HELD, BreakerState.OPEN
        elif isinstance(command, breakers.DisableBreaker):
            mode = BreakerMode.DISABLED
        elif isinstance(command, breakers.ProbeBreaker):
            state, probe = BreakerState.OPEN, NOW
        view = msgspec.structs.replace(
            target.breaker,
            version=target.breaker.version + 1,
            state=state,
            mode=mode,
            next_probe=probe,
            reason=getattr(command, "reason", ""),
            since=NOW,
        )
        self.targets[command.name] = msgspec.structs.replace(target, breaker=view)
        emit(breakers.BreakerChanged(breaker=view), actor=actor)
        return view
