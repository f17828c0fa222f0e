"""The relay in the console: its rows, what is said of it, what needs somebody."""

import pytest
from msgspec.structs import replace

from console.changes import Changes
from console.command_line import parse_command
from console.mirror import Mirror
from console.relay_facts import host_of, origin_of, overview_words, pause_words, probe_words, target_facts
from console.relay_graph import branches
from console.relay_needs import relay_needs
from console.relay_receipts import canceled, checked, imported, pause_is
from console.relay_rows import RelayRows, binding_key
from console.relayed_facts import trace_lines
from core.api.base import SYSTEM, Event, Mark, Record, Seq
from core.api.bindings import (
    BindingImportItem,
    BindingImportReport,
    BindingList,
)
from core.api.breakers import (
    BreakerChanged,
    BreakerState,
)
from core.api.relay_targets import (
    RelayEdge,
    RelayGraph,
    RelayPause,
    TargetActive,
)
from core.api.relay_tasks import (
    AttemptResult,
    RelayEnded,
    RelayQueued,
    RelayReason,
    RelayReceipt,
    RelayState,
    RelayTaskDetail,
    RelayTaskPage,
)
from tests.support.busy_relay import NOTIFY, PAY, busy_relay
from tests.support.fake_relay import FakeRelay
from tests.support.relay_views import a_binding, a_bot, a_breaker, a_message, a_peer, a_report, a_target, an_attempt
from tests.support.views import NOW, ago


def record(event: Event) -> Record:
    """A record of that event."""
    return Record(seq=Seq(1), at=NOW.at, actor=SYSTEM, subject="", event=event, durable=True)


def age_s(mark: Mark) -> float:
    """Seconds before NOW."""
    return NOW.mono - mark.mono


def clock(mark: Mark) -> str:
    """A time that says nothing."""
    return f"{mark.at:.0f}"


# -- rows


def test_an_older_view_never_takes_the_place_of_a_newer_one() -> None:
    """Records may come twice and in any order beside a snapshot."""
    rows, changes = RelayRows(), Changes()
    rows.apply(record(TargetActive(target=a_target(NOTIFY, version=3, waiting=3))), changes)
    rows.apply(record(TargetActive(target=a_target(NOTIFY, version=2, waiting=2))), changes)
    rows.apply(record(RelayQueued(task=a_message(version=2, text="new"))), changes)
    rows.apply(record(RelayEnded(task=a_message(version=1, text="old", state=RelayState.DEAD))), changes)
    assert rows.targets[NOTIFY].waiting == 3
    assert [task.text for task in rows.tasks.values()] == ["new"]
    assert (rows.count(RelayState.QUEUED), rows.count(RelayState.DEAD)) == (1, 0)


def test_counts_go_on_from_those_of_the_core() -> None:
    """Also of messages that are not at hand."""
    rows, changes = RelayRows(), Changes()
    page = RelayTaskPage(tasks=(a_message(),), cursor="more", counts={"queued": 1, "dead": 700}, seq=Seq(1))
    rows.load_tasks(page, changes)
    rows.apply(record(RelayEnded(task=a_message(version=2, state=RelayState.DEAD))), changes)
    assert (rows.count(RelayState.QUEUED), rows.count(RelayState.DEAD)) == (0, 701)
    assert not rows.is_whole


def test_a_breaker_that_changes_is_that_of_its_far_side_and_of_no_outbox() -> None:
    """Owner and name say which."""
    rows, changes = RelayRows(), Changes()
    rows.apply(record(TargetActive(target=a_target(NOTIFY))), changes)
    opened = a_breaker(NOTIFY, version=2, state=BreakerState.OPEN)
    assert rows.apply(record(BreakerChanged(breaker=opened)), changes)
    outbox = a_breaker("telegram", owner="outbox")
    assert not rows.apply(record(BreakerChanged(breaker=outbox)), changes)
    assert rows.targets[NOTIFY].breaker.state is BreakerState.OPEN
    assert list(rows.targets) == [NOTIFY]


def test_old_messages_make_room_and_those_under_way_stay() -> None:
    """The list is bounded."""
    rows, changes = RelayRows(), Changes()
    rows.apply(record(RelayQueued(task=a_message("waits", created=ago(1e6)))), changes)
    for number in range(5_100):
        done = a_message(f"done-{number}", state=RelayState.COMPLETED, created=ago(5_100 - number))
        rows.apply(record(RelayEnded(task=done)), changes)
    assert len(rows.tasks) == 5_000
    assert "waits" in rows.tasks
    assert "done-0" not in rows.tasks
    assert rows.count(RelayState.COMPLETED) == 5_100


# -- words


@pytest.mark.parametrize(
    ("url", "origin", "host"),
    [
        ("http://127.0.0.1:9102", "http://127.0.0.1:9102", "127.0.0.1:9102"),
        ("https://review.example.org/base", "https://review.example.org:443", "review.example.org"),
        ("http://[::1]:80/x", "http://[::1]:80", "[::1]"),
        ("ftp://host", "", "ftp://host"),
        ("http://host:99999", "", "http://host:99999"),
        ("", "", ""),
    ],
)
def test_an_address_is_told_by_its_origin(url: str, origin: str, host: str) -> None:
    """Whatever is behind it; what is no address is shown as it is."""
    assert origin_of(url) == origin
    assert host_of(url) == host


def test_a_probe_says_how_long_it_is_out_and_when_its_place_is_free_again() -> None:
    """Nobody has to guess whether a half-open breaker is stuck."""
    view = a_breaker(NOTIFY, state=BreakerState.HALF_OPEN, probe_began=ago(12), probe_limit_s=30.0)
    assert probe_words(view, age_s) == "probe 00:12 of 00:30"


def test_what_is_held_says_that_nothing_is_lost() -> None:
    """Messages that wait behind an open breaker."""
    view = a_target(NOTIFY, breaker=a_breaker(NOTIFY, state=BreakerState.OPEN, next_probe=ago(-41)), waiting=6)
    told = {label: words for label, words, _ in target_facts(view, age_s, clock=clock)}
    assert "probe in 41s" in told["breaker"]
    assert "held, none is lost" in told["messages"]


def test_the_line_of_the_overview_counts_and_names_the_worst() -> None:
    """With its countdown; a pause goes before everything."""
    rows, changes = RelayRows(), Changes()
    rows.bindings[binding_key("telegram", "1")] = a_binding("1")
    rows.apply(record(TargetActive(target=a_target())), changes)
    open_one = a_target(NOTIFY, "notify", breaker=a_breaker(NOTIFY, state=BreakerState.OPEN, next_probe=ago(-41)))
    rows.apply(record(TargetActive(target=open_one)), changes)
    assert overview_words(rows, age_s) == ("1 binding   1 closed   1 OPEN notify (probe in 41s)", "failing")
    rows.pause = RelayPause(version=1, is_paused=True, since=ago(60), by="ana", reason="audit", sending=1, waiting=4)
    assert overview_words(rows, age_s)[0].startswith("PAUSED")
    assert pause_words(rows.pause, age_s) == "PAUSED 1m00s by ana: audit   still 1 sending; 4 wait   P goes on"


def test_a_trace_says_what_did_not_happen_and_why() -> None:
    """A message behind an open breaker, one that was never tried, one that is over."""
    waits = RelayTaskDetail(task=a_message(url=NOTIFY), text="x", answer="", attempts=(), group=(), seq=Seq(1))
    stopped = a_target(NOTIFY, breaker=a_breaker(NOTIFY, state=BreakerState.OPEN, next_probe=ago(-41)))
    told = trace_lines(waits, stopped, age_s, clock, is_paused=False)
    assert ("attempt", "none was made: the breaker is OPEN, probe in 41s", "needs") in told
    paused = trace_lines(waits, stopped, age_s, clock, is_paused=True)
    assert ("attempt", "none was made: the relay is paused", "needs") in paused
    loop = a_message(state=RelayState.DEAD, reason=RelayReason.LOOP, path=("a", "b"))
    ended = trace_lines(replace(waits, task=loop), None, age_s, clock, is_paused=False)
    assert any("before the first byte" in words for _, words, _ in ended)
    unsure = an_attempt(result=AttemptResult.UNKNOWN, status=0, error="read timeout")
    doubt = replace(waits, attempts=(unsure,))
    assert any("nobody can tell" in words for _, words, _ in trace_lines(doubt, None, age_s, clock, is_paused=False))


def edge(source: str, target: str, **changes: object) -> RelayEdge:
    """One that is well."""
    return RelayEdge(**{"source": source, "target": target, "sent": 1, "failed": 0, "last": ago(1), **changes})  # type: ignore[arg-type]  # any field


def graph(*edges: RelayEdge) -> RelayGraph:
    """Of these."""
    return RelayGraph(edges=edges, window_s=3600.0, hop_limit=5, turn_limit=20, seq=Seq(1))


def test_the_graph_shows_every_edge_once_also_in_rings() -> None:
    """A triangle ends where it began, and says so."""
    found = branches(graph(edge("a", "b"), edge("b", "c"), edge("c", "a"), edge("x", "b")))
    assert sorted((item.edge.source, item.edge.target) for item in found) == [
        ("a", "b"),
        ("b", "c"),
        ("c", "a"),
        ("x", "b"),
    ]
    assert [(item.edge.source, item.depth) for item in found] == [("x", 0), ("b", 1), ("c", 2), ("a", 3)]
    assert [item.is_again for item in found] == [False, False, False, True]


def test_the_graph_begins_at_what_was_under_the_cursor() -> None:
    """Who relays to it comes first."""
    found = branches(graph(edge("x", "y"), edge("main", "ops"), edge("ops", "notify")), "notify")
    assert [(item.edge.source, item.edge.target) for item in found][:1] == [("ops", "notify")]
    assert len(found) == 3


# -- receipts


def test_a_cancellation_that_the_far_side_has_to_hear_is_not_said_to_be_done() -> None:
    """Only the state of the core counts."""
    done = RelayReceipt(tasks=(a_message(state=RelayState.CANCELED),))
    under_way = RelayReceipt(tasks=(a_message(state=RelayState.WORKING),))
    assert canceled(done)[1] == "well"
    assert canceled(under_way) == ("ops was told to stop; the message is working until it says so", "needs")


def test_a_look_that_failed_names_the_step() -> None:
    """And that nothing was sent when it went well."""
    assert "nothing was sent" in checked(a_report(a_bot()))[0]
    assert checked(a_report(a_bot(), is_ok=False)) == ("ops cannot be reached: connect: connection refused", "failing")


def test_a_dry_run_of_an_import_does_not_claim_to_have_taken_anything() -> None:
    """What would be, and what is refused."""
    items = tuple(
        BindingImportItem(platform="slack", chat="C1", name=name, url="http://h", outcome=outcome)
        for name, outcome in (("a", "added"), ("b", "refused"))
    )
    assert imported(BindingImportReport(items=items, is_dry_run=True)) == ("would be 1 added; 1 refused", "needs")


def test_a_pause_says_what_it_does_not_stop() -> None:
    """Attempts, far agents, agents here."""
    pause = RelayPause(version=2, is_paused=True, sending=1, working=2, running=3, waiting=4)
    assert pause_is(pause) == ("the relay is paused: still 1 sending, 2 over there, 3 here; 4 wait", "needs")


# -- what needs somebody


def kinds(relay: FakeRelay) -> list[tuple[str, str]]:
    """Kind and place of each need."""
    mirror = Mirror()
    rows = mirror.work.relay
    for binding in relay.bindings.values():
        rows.bindings[binding_key(binding.platform, binding.chat)] = binding
    rows.targets, rows.tasks = dict(relay.targets), dict(relay.tasks)
    rows.peers = {peer.name: peer for peer in relay.peers}
    rows.pause = relay.pause
    return [(need.kind, need.argument) for need in relay_needs(mirror, NOW.mono)]


def test_each_cause_is_one_line() -> None:
    """Breakers with messages behind them, the dead by cause, loops, peers that cannot be used."""
    assert kinds(busy_relay()) == [
        ("breaker", f"targets {NOTIFY}"),
        ("held", f"targets {PAY}"),
        ("breaker", "targets https://review.example.org"),
        ("dead", "messages dead notify"),
        ("loop", "graph"),
        ("peer", "peers review"),
    ]


def test_a_pause_needs_somebody_after_an_hour() -> None:
    """Not at once: whoever paused it knows."""
    relay = FakeRelay()
    relay.pause = RelayPause(version=2, is_paused=True, since=ago(60))
    assert kinds(relay) == []
    relay.pause = RelayPause(version=2, is_paused=True, since=ago(3601))
    assert kinds(relay) == [("paused", "")]


def test_an_open_breaker_behind_which_nothing_waits_needs_nobody() -> None:
    """It is on the relay screen all the same."""
    relay = FakeRelay(targets=[a_target(NOTIFY, breaker=a_breaker(NOTIFY, state=BreakerState.OPEN))])
    assert kinds(relay) == []


@pytest.mark.parametrize(
    ("line", "argument"),
    [("b", ""), ("bindings", "bindings"), ("breakers", "targets"), ("peers review", "peers review"), ("relay x", "x")],
)
def test_words_after_a_colon_lead_to_the_lists_of_the_relay(line: str, argument: str) -> None:
    """Each has a name of its own."""
    order = parse_command(line, ())
    assert (order.verb, order.words, order.argument) == ("go", "relay", argument)


def test_a_peer_that_is_well_needs_nobody() -> None:
    """Only one that cannot be used is told of."""
    assert kinds(FakeRelay(peers=[a_peer()])) == []


def test_a_stored_binding_that_cannot_be_read_needs_somebody() -> None:
    """Its chat reaches nobody until it is mended."""
    mirror = Mirror()
    found = BindingList(bindings=(), ambiguities=(), seq=Seq(1), problem="1 stored binding cannot be read")
    mirror.work.relay.load_bindings(found, Changes())
    (need,) = relay_needs(mirror, NOW.mono)
    assert (need.kind, need.tone, need.text) == ("binding", "failing", "1 stored binding cannot be read")
