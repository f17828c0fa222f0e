"""What of the relay needs somebody: stopped far sides, messages that died, loops, a pause that lasts (pure)."""

from collections.abc import Callable, Iterator

from console import text
from console.mirror import Mirror
from console.need import Need
from console.relay_facts import breaker_sign, host_of
from console.relay_rows import RelayRows
from console.relayed_facts import REASONS
from core.api.base import Mark
from core.api.breakers import BreakerMode, BreakerState
from core.api.relay_targets import TargetView
from core.api.relay_tasks import RelayReason, RelayTaskView

_PAUSE_LIMIT_S = 3600.0
_SINGLE_LIMIT = 4
Age = Callable[[Mark], float]


def relay_needs(mirror: Mirror, now: float) -> Iterator[Need]:
    """One line for each cause."""

    def age_s(mark: Mark) -> float:
        return mirror.age_s(mark, now)

    relay = mirror.work.relay
    if relay.error:
        yield Need(id="relay", kind="relay", tone="failing", subject="relay", text=relay.error, place="relay")
    yield from _pause(relay, age_s)
    yield from _stopped(relay, age_s)
    yield from _dead(relay, age_s)
    yield from _peers(relay)
    yield from _bindings(relay)


def _pause(relay: RelayRows, age_s: Age) -> Iterator[Need]:
    pause = relay.pause
    if pause is None or not pause.is_paused or pause.since is None or age_s(pause.since) <= _PAUSE_LIMIT_S:
        return
    why = f": {text.clean(pause.reason)}" if pause.reason else ""
    waiting = f"  {text.counted(pause.waiting, 'message')} waiting" if pause.waiting else ""
    yield Need(
        id="relay:pause",
        kind="paused",
        tone="needs",
        subject="relay",
        text=f"paused by {text.clean(pause.by) or 'somebody'}{why}{waiting}",
        place="relay",
        age_s=age_s(pause.since),
        key="5 P",
    )


def _is_stopped(view: TargetView) -> bool:
    return view.breaker.state is not BreakerState.CLOSED and view.waiting > 0


def _stopped(relay: RelayRows, age_s: Age) -> Iterator[Need]:
    stopped = sorted(filter(_is_stopped, relay.targets.values()), key=lambda view: (-view.waiting, view.origin))
    for view in stopped[:_SINGLE_LIMIT]:
        breaker = view.breaker
        is_ours = breaker.mode is BreakerMode.HELD
        why = breaker.reason if is_ours else breaker.last_error or view.last_error
        said = f": {text.redact(text.clean(why))}" if why else ""
        word = "held open by an operator" if is_ours else f"breaker {breaker_sign(breaker, age_s).word}"
        yield Need(
            id=f"relay:target:{view.origin}",
            kind="held" if is_ours else "breaker",
            tone="needs" if is_ours else "failing",
            subject=text.clean(view.bots[0]) if view.bots else host_of(view.origin),
            text=f"{word}, {text.counted(view.waiting, 'message')} waiting{said}",
            place="relay",
            argument=f"targets {view.origin}",
            age_s=age_s(breaker.since),
        )
    if len(stopped) > _SINGLE_LIMIT:
        more = stopped[_SINGLE_LIMIT:]
        yield Need(
            id="relay:targets",
            kind="breaker",
            tone="failing",
            subject=f"{len(more)} more",
            text=f"far sides are left alone, {text.counted(sum(view.waiting for view in more), 'message')} waiting",
            place="relay",
            argument="targets",
        )


def _dead(relay: RelayRows, age_s: Age) -> Iterator[Need]:
    causes: dict[tuple[str, str], list[RelayTaskView]] = {}
    for task in relay.dead():
        # What ended at a limit of loops died of its way, whoever was next on it.
        is_loop = task.reason is RelayReason.LOOP
        key = ("", "") if is_loop else (task.bot, task.error)
        causes.setdefault(key, []).append(task)
    found = sorted(causes.values(), key=lambda tasks: -len(tasks))
    for tasks in found[:_SINGLE_LIMIT]:
        is_loop = tasks[0].reason is RelayReason.LOOP
        name = "" if is_loop else text.clean(tasks[0].bot)
        error = "" if is_loop else text.redact(text.clean(tasks[0].error))
        error = error or REASONS[tasks[0].reason] or "no reason given"
        latest = max(tasks, key=lambda task: task.created.at)
        path = f": {' > '.join(map(text.clean, latest.path))}" if is_loop and latest.path else ""
        yield Need(
            id=f"relay:dead:{name}:{error}",
            kind="loop" if is_loop else "dead",
            tone="failing",
            subject=name or "bots",
            text=f"{text.counted(len(tasks), 'message')} to bots not delivered: {error}{path}",
            place="relay",
            argument="graph" if is_loop else f"messages {_filter(latest)}",
            age_s=max(age_s(task.ended or task.created) for task in tasks),
        )
    if len(found) > _SINGLE_LIMIT:
        # Errors that name an id or a time are all different: they must not push everything else off the screen.
        rest = [task for tasks in found[_SINGLE_LIMIT:] for task in tasks]
        causes_left = text.counted(len(found) - _SINGLE_LIMIT, "other cause")
        yield Need(
            id="relay:dead",
            kind="dead",
            tone="failing",
            subject=f"{causes_left}",
            text=f"{text.counted(len(rest), 'message')} to bots not delivered",
            place="relay",
            argument="messages dead",
            age_s=max(age_s(task.ended or task.created) for task in rest),
        )


def _filter(task: RelayTaskView) -> str:
    """The words by which the dead messages of a bot are found."""
    return f"dead {task.bot}"


def _peers(relay: RelayRows) -> Iterator[Need]:
    for view in sorted(relay.peers.values(), key=lambda item: item.name):
        if view.problem:
            yield Need(
                id=f"relay:peer:{view.name}",
                kind="peer",
                tone="failing",
                subject=text.clean(view.name),
                text=f"a peer of the relay cannot be used: {text.redact(text.clean(view.problem))}",
                place="relay",
                argument=f"peers {view.name}",
            )


def _bindings(relay: RelayRows) -> Iterator[Need]:
    if relay.binding_problem:
        yield Need(
            id="relay:bindings",
            kind="binding",
            tone="failing",
            subject="bindings",
            text=text.clean(relay.binding_problem),
            place="relay",
        )
