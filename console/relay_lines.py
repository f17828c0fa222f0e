"""Events about the relay as one short line for people (pure)."""

from collections.abc import Callable
from typing import Any

from console.text import clipped, counted
from core.api import bindings, relay_targets, relay_tasks
from core.api.base import Event
from core.api.relay_tasks import RelayDirection, RelayState, RelayTaskView

Words = tuple[str, str, str]

_ENDS = {
    RelayState.COMPLETED: "good",
    RelayState.CANCELED: "info",
}


def _way(task: RelayTaskView) -> str:
    return f"from {task.bot}" if task.direction is RelayDirection.IN else f"to {task.bot}"


def _why(task: RelayTaskView) -> str:
    reason = f" {task.reason.value}" if task.reason else ""
    return f"{reason}: {clipped(task.error)}" if task.error else reason


def _task(level: str, kind: str) -> Callable[[Any], Words]:
    def words(event: Any) -> Words:
        return level, kind, f"{_way(event.task)}: {clipped(event.task.text)}"

    return words


def _failed(event: relay_tasks.RelayAttemptFailed) -> Words:
    task = event.task
    status = f" {task.last_status}" if task.last_status else ""
    return "warn", "relay attempt", f"{_way(task)}, attempt {task.attempt_count}{status}{_why(task)}"


def _ended(event: relay_tasks.RelayEnded) -> Words:
    task = event.task
    return _ENDS.get(task.state, "fail"), f"relay {task.state.value}", f"{_way(task)}{_why(task)}"


def _binding(level: str, kind: str) -> Callable[[Any], Words]:
    def words(event: Any) -> Words:
        change = event.change
        names = ", ".join(bot.name for bot in change.after or ())
        left = f": {clipped(names)}" if names else ""
        return level, kind, f"{change.platform} {clipped(change.chat)} by {change.by}{left}"

    return words


def _refused(event: relay_tasks.RelayRefused) -> Words:
    again = f", {event.count} times" if event.count > 1 else ""
    return "warn", "relay refused", f"{event.peer or 'nobody we know'}: {event.status} {clipped(event.why)}{again}"


def _paused(event: relay_targets.RelayPaused) -> Words:
    why = f": {clipped(event.pause.reason)}" if event.pause.reason else ""
    return "warn", "relay paused", f"by {event.pause.by}{why}"


def _target(level: str, kind: str) -> Callable[[Any], Words]:
    def words(event: Any) -> Words:
        target = event.target
        why = f": {clipped(target.held_why)}" if target.held_why else ""
        return level, kind, f"{clipped(target.origin)}, {counted(target.waiting, 'message')} waiting{why}"

    return words


def _checked(event: relay_targets.TargetChecked) -> Words:
    report = event.report
    level = "good" if report.is_ok else "warn"
    return level, "bot looked at", f"{clipped(report.bot.name)} at {clipped(report.origin)}"


RELAY_WORDS: dict[type[Event], Callable[[Any], Words]] = {
    bindings.BindingAdded: _binding("good", "chat bound"),
    bindings.BindingChanged: _binding("info", "binding changed"),
    bindings.BindingRemoved: _binding("warn", "chat unbound"),
    relay_tasks.RelayQueued: _task("info", "relay queued"),
    relay_tasks.RelaySending: _task("info", "relay sending"),
    relay_tasks.RelayDelivered: _task("info", "relay delivered"),
    relay_tasks.RelayAttemptFailed: _failed,
    relay_tasks.RelayEnded: _ended,
    relay_tasks.RelayAnsweredLate: _task("warn", "late answer"),
    relay_tasks.RelayReceived: _task("info", "relay received"),
    relay_tasks.RelayRepeated: _task("info", "relay repeated"),
    relay_tasks.RelayRefused: _refused,
    relay_tasks.RelayRetargeted: _task("info", "relay retargeted"),
    relay_targets.TargetActive: _target("info", "target active"),
    relay_targets.TargetHeld: _target("warn", "told to wait"),
    relay_targets.TargetGone: lambda event: ("info", "target gone", clipped(event.origin)),
    relay_targets.TargetChecked: _checked,
    relay_targets.PeerActive: lambda event: ("info", "peer active", f"{event.peer.name}, {event.peer.taken} taken"),
    relay_targets.RelayPaused: _paused,
    relay_targets.RelayResumed: lambda event: ("good", "relay goes on", f"{event.pause.waiting} waiting"),
}
