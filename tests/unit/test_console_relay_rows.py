"""The relay in the read model: the newest version wins, what is gone is gone, counts hold, lines say what happened."""

from typing import Any

import msgspec
import pytest

from console.event_line import event_line
from console.mirror import Mirror
from console.relay_lines import RELAY_WORDS
from console.relay_rows import HANDLED, RELAY_TASK_LIMIT, binding_key
from core.api import breakers, relay_targets, relay_tasks
from core.api.base import SYSTEM, Event, Record, Seq
from core.api.bindings import (
    BindingAdded,
    BindingChange,
    BindingChanged,
    BindingList,
    BindingRemoved,
    ChangeKind,
)
from core.api.breakers import BreakerState
from core.api.relay_targets import RelayPause, TargetList
from core.api.relay_tasks import RelayReason, RelayState, RelayTaskPage
from tests.support.busy_relay import NOTIFY
from tests.support.relay_views import a_binding, a_bot, a_breaker, a_message, a_peer, a_report, a_target
from tests.support.views import NOW, ago

HOSTILE = "\x1b]0;owned\x07\u202e[red]\n"


def told(mirror: Mirror, *events: Event) -> Mirror:
    """The mirror after live events."""
    for event in events:
        mirror.apply(Record(seq=Seq(0), at=NOW.at, actor=SYSTEM, subject="relay", event=event, durable=False))
    return mirror


def a_change(kind: ChangeKind = ChangeKind.ADDED, **changes: Any) -> BindingChange:
    """A change of the binding of the tests."""
    values: dict[str, Any] = {
        "number": 1,
        "platform": "telegram",
        "chat": "-100200",
        "kind": kind,
        "at": NOW,
        "by": "ana",
    }
    return BindingChange(**{**values, "before": None, "after": (a_bot(),), **changes})


def changed(view: Any, **values: Any) -> Any:
    """The next version of a view."""
    return msgspec.structs.replace(view, version=view.version + 1, **values)


KEY = binding_key("telegram", "-100200")


def test_a_binding_is_added_changed_and_removed() -> None:
    """An older view that comes later changes nothing."""
    mirror, first = Mirror(), a_binding()
    second = changed(first, bots=(a_bot(), a_bot("new")))
    told(mirror, BindingAdded(binding=first, change=a_change()), BindingChanged(binding=second, change=a_change()))
    told(mirror, BindingAdded(binding=first, change=a_change()))
    assert mirror.work.relay.bindings == {KEY: second}
    assert mirror.work.relay.bot_count == 2
    told(mirror, BindingRemoved(platform="telegram", chat="-100200", change=a_change(ChangeKind.REMOVED)))
    assert mirror.work.relay.bindings == {}


def test_a_binding_that_is_made_again_counts_its_versions_anew() -> None:
    """Its first version is newer than the last of the one before."""
    mirror = told(Mirror(), BindingAdded(binding=a_binding(version=9), change=a_change()))
    again = a_binding(version=1, created=NOW)
    told(mirror, BindingAdded(binding=again, change=a_change()))
    assert mirror.work.relay.bindings == {KEY: again}


def test_the_newest_view_of_a_message_wins_and_is_counted_once() -> None:
    """Whatever the order, and however often it is told."""
    first = a_message()
    over = changed(first, state=RelayState.COMPLETED)
    mirror = told(Mirror(), relay_tasks.RelayEnded(task=over), relay_tasks.RelayQueued(task=first))
    told(mirror, relay_tasks.RelayEnded(task=over))
    rows = mirror.work.relay
    assert rows.tasks == {str(over.id): over}
    assert (rows.count(RelayState.QUEUED), rows.count(RelayState.COMPLETED)) == (0, 1)
    assert mirror.take_changes().relayed == {str(first.id)}


def test_counts_begin_with_those_of_all_messages() -> None:
    """Also of those that are not at hand; a dead one that is sent again counts once."""
    dead = a_message(state=RelayState.DEAD)
    page = RelayTaskPage(tasks=(dead,), cursor="more", counts={"dead": 7, "completed": 900}, seq=Seq(1))
    mirror = Mirror()
    mirror.load_with(lambda changes: mirror.work.relay.load_tasks(page, changes))
    told(mirror, relay_tasks.RelayQueued(task=changed(dead, state=RelayState.QUEUED)))
    rows = mirror.work.relay
    assert (rows.count(RelayState.DEAD), rows.count(RelayState.QUEUED), rows.is_whole) == (6, 1, False)


def test_messages_that_are_over_are_let_go_when_there_are_too_many() -> None:
    """Those under way stay, the oldest of the others go first."""
    mirror = Mirror()
    waiting = a_message("waits", created=ago(10**6))
    told(mirror, relay_tasks.RelayQueued(task=waiting))
    for number in range(RELAY_TASK_LIMIT):
        over = a_message(f"over-{number:05d}", state=RelayState.COMPLETED, created=ago(10**5 - number))
        told(mirror, relay_tasks.RelayEnded(task=over))
    rows = mirror.work.relay
    assert len(rows.tasks) == RELAY_TASK_LIMIT
    assert "waits" in rows.tasks
    assert "over-00000" not in rows.tasks
    assert not rows.is_whole


def test_a_breaker_of_the_relay_is_shown_with_its_target() -> None:
    """One of an outbox is not; one whose target is not known yet makes a row."""
    mirror = told(Mirror(), relay_targets.TargetActive(target=a_target(NOTIFY, waiting=3)))
    opened = a_breaker(NOTIFY, version=2, state=BreakerState.OPEN)
    told(mirror, breakers.BreakerChanged(breaker=opened), breakers.BreakerChanged(breaker=a_breaker(NOTIFY)))
    told(mirror, breakers.BreakerChanged(breaker=msgspec.structs.replace(opened, owner="outbox", name="telegram")))
    targets = mirror.work.relay.targets
    assert (targets[NOTIFY].breaker, targets[NOTIFY].waiting) == (opened, 3)
    told(mirror, breakers.BreakerChanged(breaker=a_breaker("https://new")))
    assert sorted(targets) == [NOTIFY, "https://new"]
    told(mirror, relay_targets.TargetGone(origin=NOTIFY), relay_targets.TargetGone(origin=NOTIFY))
    assert list(targets) == ["https://new"]


def test_targets_peers_and_the_pause_are_those_of_the_snapshot_and_the_newest_after_it() -> None:
    """What the snapshot does not name is gone."""
    mirror = told(Mirror(), relay_targets.TargetActive(target=a_target("https://gone")))
    found = TargetList(
        targets=(a_target(NOTIFY),),
        peers=(a_peer(),),
        pause=RelayPause(version=1, is_paused=False),
        listening="http://127.0.0.1:1",
        seq=Seq(1),
    )
    mirror.load_with(lambda changes: mirror.work.relay.load_targets(found, changes))
    told(
        mirror,
        relay_targets.PeerActive(peer=changed(a_peer(), taken=42)),
        relay_targets.RelayPaused(pause=RelayPause(version=3, is_paused=True)),
        relay_targets.RelayResumed(pause=RelayPause(version=2, is_paused=False)),
        relay_targets.TargetChecked(report=a_report(a_bot(url=NOTIFY))),
    )
    rows = mirror.work.relay
    assert list(rows.targets) == [NOTIFY]
    assert rows.peers["hotplex"].taken == 42
    assert rows.is_paused
    assert list(rows.reports) == [NOTIFY]


def test_a_relay_that_cannot_be_read_says_so_until_it_can() -> None:
    """The next good snapshot takes the words away."""
    mirror = Mirror()
    mirror.work.relay.fail("the store is damaged")
    assert mirror.work.relay.error == "the store is damaged"
    found = BindingList(bindings=(a_binding(),), ambiguities=(), seq=Seq(1))
    mirror.load_with(lambda changes: mirror.work.relay.load_bindings(found, changes))
    assert (mirror.work.relay.error, mirror.work.relay.is_known) == ("", True)


def _hostile() -> dict[type[Event], Event]:
    task = a_message(bot=HOSTILE, text=HOSTILE, error=HOSTILE, reason=RelayReason.UNKNOWN, state=RelayState.DEAD)
    bot = a_bot(HOSTILE, HOSTILE)
    change = a_change(chat=HOSTILE, by=HOSTILE, after=(bot,))
    target = a_target(HOSTILE, HOSTILE, held_why=HOSTILE)
    events: list[Event] = [
        BindingAdded(binding=a_binding(HOSTILE, bot), change=change),
        BindingChanged(binding=a_binding(HOSTILE, bot), change=change),
        BindingRemoved(platform=HOSTILE, chat=HOSTILE, change=change),
        relay_tasks.RelayRefused(peer=HOSTILE, status=401, why=HOSTILE, count=3),
        relay_targets.TargetActive(target=target),
        relay_targets.TargetHeld(target=target),
        relay_targets.TargetGone(origin=HOSTILE),
        relay_targets.TargetChecked(report=a_report(bot)),
        relay_targets.PeerActive(peer=a_peer(HOSTILE)),
        relay_targets.RelayPaused(pause=RelayPause(version=1, is_paused=True, by=HOSTILE, reason=HOSTILE)),
        relay_targets.RelayResumed(pause=RelayPause(version=2, is_paused=False)),
    ]
    of_tasks = [kind for kind in HANDLED if "task" in kind.__struct_fields__]
    events += [kind(task=task) for kind in of_tasks]
    return {type(event): event for event in events}


@pytest.mark.parametrize("kind", sorted(RELAY_WORDS, key=lambda kind: kind.__name__))
def test_every_event_has_a_line_that_holds(kind: type[Event]) -> None:
    """Whatever a far side calls itself: a short line, and the rows take it."""
    event = _hostile()[kind]
    line = event_line(Record(seq=Seq(1), at=NOW.at, actor=SYSTEM, subject="relay", event=event))
    assert line.kind
    assert len(line.text) < 700
    assert line.level in {"info", "good", "warn", "fail"}
    told(Mirror(), event)


def test_every_event_of_the_relay_has_words() -> None:
    """None is shown by its bare name."""
    assert RELAY_WORDS.keys() == HANDLED


def test_lines_say_what_happened_to_a_message() -> None:
    """Who, how often, why."""

    def line(event: Event) -> tuple[str, str, str]:
        found = event_line(Record(seq=Seq(1), at=NOW.at, actor=SYSTEM, subject="relay", event=event))
        return found.level, found.kind, found.text

    failed = a_message(attempt_count=3, last_status=503, error="busy")
    assert line(relay_tasks.RelayAttemptFailed(task=failed)) == ("warn", "relay attempt", "to ops, attempt 3 503: busy")
    dead = a_message(state=RelayState.DEAD, reason=RelayReason.UNDELIVERED, error="refused")
    assert line(relay_tasks.RelayEnded(task=dead)) == ("fail", "relay dead", "to ops undelivered: refused")
    refused = relay_tasks.RelayRefused(peer="", status=401, why="no proof", count=4)
    assert line(refused) == ("warn", "relay refused", "nobody we know: 401 no proof, 4 times")
