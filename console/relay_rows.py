"""The relay as the core last showed it: bindings, far sides, peers, messages, the pause (pure).

An older view never takes the place of a newer one. A message that is over is kept as long as there is room.
"""

from collections import Counter

import msgspec

from console.changes import Changes
from core.api import bindings, breakers, relay_targets, relay_tasks
from core.api.base import Event, Record
from core.api.bindings import Ambiguity, BindingList, BindingView
from core.api.breakers import BreakerView
from core.api.relay_targets import RELAY, PeerView, RelayPause, TargetList, TargetReport, TargetView
from core.api.relay_tasks import RelayState, RelayTaskPage, RelayTaskView

RELAY_TASK_LIMIT = 5_000
_REPORT_LIMIT = 200
_BETWEEN = "\x1f"

_ABOUT_TASKS = (
    relay_tasks.RelayQueued,
    relay_tasks.RelaySending,
    relay_tasks.RelayDelivered,
    relay_tasks.RelayAttemptFailed,
    relay_tasks.RelayEnded,
    relay_tasks.RelayAnsweredLate,
    relay_tasks.RelayReceived,
    relay_tasks.RelayRepeated,
    relay_tasks.RelayRetargeted,
)
HANDLED: frozenset[type[Event]] = frozenset(
    {
        *_ABOUT_TASKS,
        relay_tasks.RelayRefused,
        bindings.BindingAdded,
        bindings.BindingChanged,
        bindings.BindingRemoved,
        relay_targets.TargetActive,
        relay_targets.TargetHeld,
        relay_targets.TargetGone,
        relay_targets.TargetChecked,
        relay_targets.PeerActive,
        relay_targets.RelayPaused,
        relay_targets.RelayResumed,
    }
)


def binding_key(platform: str, chat: str) -> str:
    """What a binding is kept under."""
    return f"{platform}{_BETWEEN}{chat}"


def bot_key(platform: str, chat: str, bot: str) -> str:
    """What one bot of a binding is called in lists of the screen."""
    return f"{platform}{_BETWEEN}{chat}{_BETWEEN}{bot}"


class RelayRows:
    """Views by key: bindings by platform and chat, targets by origin, peers by name, tasks by id.

    pause: None before it is known. is_known: a snapshot came. error: why the core cannot say; "" when it can.
    is_whole: all messages that there are are at hand. reports: the last check of each origin. has_new_names: a binding
    is another, so ambiguities may be others too. cursor: of the messages before those at hand, "" for none that can be
    asked for; has_new_counts: the counts may not be right any more.
    """

    def __init__(self) -> None:
        self.bindings: dict[str, BindingView] = {}
        self.ambiguities: tuple[Ambiguity, ...] = ()
        self.binding_problem = ""
        self.targets: dict[str, TargetView] = {}
        self.peers: dict[str, PeerView] = {}
        self.tasks: dict[str, RelayTaskView] = {}
        self.reports: dict[str, TargetReport] = {}
        self.pause: RelayPause | None = None
        self.listening = ""
        self.is_known = False
        self.has_new_names = False
        self.is_whole = True
        self.cursor = ""
        self.has_new_counts = False
        self.error = ""
        self._counts: Counter[str] = Counter()

    @property
    def is_paused(self) -> bool:
        """Whether nothing goes out or comes in."""
        return self.pause is not None and self.pause.is_paused

    def count(self, state: RelayState) -> int:
        """How many messages are in a state, also those that are not at hand."""
        return max(0, self._counts[state.value])

    @property
    def bot_count(self) -> int:
        """Bots of all bindings."""
        return sum(len(binding.bots) for binding in self.bindings.values())

    def dead(self) -> list[RelayTaskView]:
        """Messages at hand that were given up."""
        return [task for task in self.tasks.values() if task.state is RelayState.DEAD]

    # -- snapshots

    def load_bindings(self, found: BindingList, changes: Changes) -> None:
        """All bindings; one that is not named any more is gone."""
        self.bindings = {binding_key(view.platform, view.chat): view for view in found.bindings}
        self.ambiguities, self.has_new_names = found.ambiguities, False
        self.binding_problem = found.problem
        self.is_known, self.error = True, ""
        changes.has_relay = True

    def load_targets(self, found: TargetList, changes: Changes) -> None:
        """All far sides, peers, and the pause."""
        before = self.targets
        self.targets = {view.origin: view for view in found.targets}
        for origin in self.targets.keys() & before.keys():
            # An event may have overtaken the answer.
            if before[origin].version > self.targets[origin].version:
                self.targets[origin] = before[origin]
        self.peers = {view.name: view for view in found.peers}
        if self.pause is None or self.pause.version <= found.pause.version:
            self.pause = found.pause
        self.listening = found.listening
        changes.has_relay = True

    def load_tasks(self, page: RelayTaskPage, changes: Changes) -> None:
        """The newest messages, in place of all."""
        self.tasks = {}
        self._counts = Counter(page.counts)
        self.is_whole, self.cursor = not page.cursor, page.cursor
        self.add_tasks(page, changes)

    def add_older(self, page: RelayTaskPage, changes: Changes) -> None:
        """Messages before those at hand, as long as there is room."""
        self.is_whole, self.cursor = not page.cursor, page.cursor
        self.add_tasks(page, changes)
        if len(self.tasks) >= RELAY_TASK_LIMIT:
            self.cursor = ""

    def add_tasks(self, page: RelayTaskPage, changes: Changes) -> None:
        """Some more, which the counts have already; what is known better stays as it is."""
        found = {str(task.id): task for task in reversed(page.tasks)}
        for key in found.keys() & self.tasks.keys():
            if self.tasks[key].version >= found[key].version:
                found[key] = self.tasks[key]
        # The oldest come first: so they are found when there is no more room.
        self.tasks = found | {key: task for key, task in self.tasks.items() if key not in found}
        changes.relayed.update(found)
        changes.has_relay = True

    def load_counts(self, page: RelayTaskPage) -> None:
        """How many there are in each state, asked for anew."""
        self._counts, self.has_new_counts = Counter(page.counts), False

    def fail(self, words: str) -> None:
        """The core cannot say how the relay stands."""
        self.error = words

    # -- events

    def apply(self, record: Record, changes: Changes) -> bool:
        """Take an event in; False when it is not about the relay."""
        event = record.event
        if isinstance(event, _ABOUT_TASKS):
            self._put_task(event.task, changes)
            return True
        match event:
            case bindings.BindingAdded() | bindings.BindingChanged():
                self._put_binding(event.binding)
                self.has_new_names = True
            case bindings.BindingRemoved():
                self.bindings.pop(binding_key(event.platform, event.chat), None)
                self.has_new_names = True
            case relay_targets.TargetActive() | relay_targets.TargetHeld():
                self._put_target(event.target)
            case relay_targets.TargetGone():
                self.targets.pop(event.origin, None)
            case breakers.BreakerChanged() if event.breaker.owner == RELAY:
                self._put_breaker(event.breaker)
            case relay_targets.PeerActive():
                self._put_peer(event.peer)
            case relay_targets.RelayPaused() | relay_targets.RelayResumed():
                if self.pause is None or self.pause.version <= event.pause.version:
                    self.pause = event.pause
            case relay_targets.TargetChecked():
                self._put_report(event.report)
            case _:
                # A refusal is a line of the journal; the counts of its peer come by themselves.
                return isinstance(event, relay_tasks.RelayRefused)
        changes.has_relay = True
        return True

    def _put_binding(self, view: BindingView) -> None:
        key = binding_key(view.platform, view.chat)
        before = self.bindings.get(key)
        # One that was removed and made again counts its versions anew.
        if before is None or before.version <= view.version or before.created != view.created:
            self.bindings[key] = view

    def _put_target(self, view: TargetView) -> None:
        before = self.targets.get(view.origin)
        if before is None or before.version < view.version:
            self.targets[view.origin] = view

    def _put_breaker(self, view: BreakerView) -> None:
        target = self.targets.get(view.name)
        if target is None:
            self.targets[view.name] = TargetView(origin=view.name, version=0, bots=(), protocols=(), breaker=view)
        elif target.breaker.version < view.version:
            self.targets[view.name] = _with_breaker(target, view)

    def _put_peer(self, view: PeerView) -> None:
        before = self.peers.get(view.name)
        if before is None or before.version <= view.version:
            self.peers[view.name] = view

    def _put_report(self, report: TargetReport) -> None:
        self.reports.pop(report.origin, None)
        self.reports[report.origin] = report
        if len(self.reports) > _REPORT_LIMIT:
            del self.reports[next(iter(self.reports))]

    def _put_task(self, view: RelayTaskView, changes: Changes) -> None:
        key = str(view.id)
        before = self.tasks.get(key)
        if before is not None and before.version >= view.version:
            return
        if before is not None:
            self._counts[before.state.value] -= 1
        elif view.version > 1:
            # In which state it was before, nobody here knows.
            self.has_new_counts = True
        self._counts[view.state.value] += 1
        self.tasks[key] = view
        changes.relayed.add(key)
        changes.has_relay = True
        if len(self.tasks) > RELAY_TASK_LIMIT:
            self._forget_oldest(changes)

    def _forget_oldest(self, changes: Changes) -> None:
        """Make room for one. What died waits for somebody: it goes last."""
        over = (key for key, task in self.tasks.items() if task.state.is_over and task.state is not RelayState.DEAD)
        dead = (key for key, task in self.tasks.items() if task.state is RelayState.DEAD)
        key = next(over, None) or next(dead, None)
        if key is not None:
            del self.tasks[key]
            # Pages go on from what was the oldest: that is not at hand any more.
            self.is_whole, self.cursor = False, ""
            changes.relayed.add(key)


def _with_breaker(target: TargetView, breaker: BreakerView) -> TargetView:
    return msgspec.structs.replace(target, breaker=breaker)
