"""The read model of the console: the newest version wins, nothing is counted twice, ages follow the core."""

import msgspec

from console.event_line import event_line, worded_events
from console.mirror import Mirror
from core.api import approvals, codec, deliveries, platforms, sessions, system
from core.api.approvals import ApprovalState
from core.api.base import SYSTEM, Event, Record, RunId, Seq, SessionId
from core.api.deliveries import DeliveryState
from core.api.runs import Phase
from core.api.sessions import SessionState
from tests.support.views import (
    NOW,
    ago,
    answer,
    approval,
    delivery,
    entry,
    health,
    message,
    outcome,
    platform,
    session,
)


def record(seq: int, event: Event, subject: str = "local:dm:ana", *, durable: bool = True) -> Record:
    """A record of the journal."""
    return Record(seq=Seq(seq), at=NOW.at, actor=SYSTEM, subject=subject, event=event, durable=durable)


def changed(view, **values):
    """The next version of a view."""
    return msgspec.structs.replace(view, version=view.version + 1, **values)


def test_every_event_of_the_facade_is_handled_and_has_words():
    """A new event in the vocabulary cannot be forgotten by the mirror or by the journal's view."""
    assert Mirror().handled_events() == frozenset(codec.EVENTS)
    assert worded_events() == frozenset(codec.EVENTS)


def test_an_event_without_words_is_shown_by_its_name():
    """What this version does not know is listed, not dropped."""

    class Unheard(Event, frozen=True):
        """An event of a later version."""

    mirror = Mirror()
    mirror.apply(record(1, Unheard()))
    assert mirror.events[0].kind == "Unheard"


def test_the_newest_version_of_a_session_wins_whatever_the_order():
    """An older view that comes later changes nothing."""
    first, mirror = session("ana"), Mirror()
    second = changed(first, state=SessionState.QUEUED, queue_depth=1)
    mirror.apply(record(2, sessions.MessageQueued(session=second, message=message())))
    mirror.apply(record(1, sessions.SessionOpened(session=first)))
    assert mirror.sessions[first.id] == second


def test_the_same_record_twice_changes_nothing_the_second_time():
    """Records may come twice after a reconnect."""
    mirror = Mirror()
    opened = record(1, sessions.SessionOpened(session=session("ana")))
    mirror.apply(opened)
    mirror.take_changes()
    mirror.apply(opened)
    assert not mirror.has_changes
    assert mirror.counts["idle"] == 1
    assert len(mirror.events) == 1


def test_a_change_set_names_what_changed_and_is_empty_after_it_was_taken():
    """The screen redraws only what is named."""
    mirror = Mirror()
    mirror.apply(record(1, sessions.SessionOpened(session=session("ana"))))
    mirror.apply(record(2, platforms.PlatformConnected(platform=platform("local"))))
    changes = mirror.take_changes()
    assert (changes.sessions, changes.platforms) == ({"local:dm:ana"}, {"local"})
    assert not mirror.take_changes()


def test_counts_by_state_follow_each_change():
    """Counts are kept with the rows and agree with them."""
    mirror = Mirror()
    view = session("ana")
    mirror.apply(record(1, sessions.SessionOpened(session=view)))
    mirror.apply(record(2, sessions.SessionActive(session=changed(view, state=SessionState.RUNNING)), durable=False))
    assert {key: value for key, value in mirror.counts.items() if value} == {"running": 1}


def test_what_is_live_only_is_no_line_of_the_journal():
    """Live ages come many times a second and are not history."""
    mirror = Mirror()
    mirror.apply(record(1, sessions.SessionActive(session=session("ana")), durable=False))
    assert not mirror.events


def test_an_open_approval_is_found_by_its_session_until_it_is_decided():
    """The list shows what a session waits for."""
    mirror, asked = Mirror(), approval("a1")
    mirror.apply(record(1, approvals.ApprovalAsked(approval=asked)))
    found = mirror.approval_of(asked.session_id)
    assert found is not None
    assert found.id == "a1"
    assert (mirror.open_count(asked.session_id), mirror.open_count("another")) == (1, 0)
    decided = changed(asked, state=ApprovalState.DENIED, decided=NOW, decided_by="ana")
    mirror.apply(record(2, approvals.ApprovalDecided(approval=decided)))
    assert mirror.approval_of(asked.session_id) is None
    assert mirror.open_count(asked.session_id) == 0
    assert mirror.decided_approvals == [decided]


def test_a_sent_delivery_is_gone_and_an_older_record_does_not_bring_it_back():
    """A record that comes again after the end of a delivery changes nothing."""
    mirror, queued = Mirror(), delivery("d1")
    late = record(1, deliveries.DeliveryRetrying(delivery=queued))
    mirror.apply(late)
    sent = changed(queued, state=DeliveryState.SENT)
    mirror.apply(record(2, deliveries.DeliverySent(delivery=sent)))
    mirror.apply(late)
    assert not mirror.deliveries


def test_a_new_snapshot_drops_what_it_does_not_name():
    """What ended while nobody listened does not stay on the screen."""
    mirror = Mirror()
    mirror.load_deliveries(deliveries.DeliveryList(deliveries=(delivery("d1"), delivery("d2")), seq=Seq(1)))
    mirror.load_deliveries(deliveries.DeliveryList(deliveries=(delivery("d2"),), seq=Seq(2)))
    mirror.load_approvals(approvals.ApprovalList(approvals=(approval("a1"),), seq=Seq(1)))
    mirror.load_approvals(approvals.ApprovalList(approvals=(), seq=Seq(2)))
    mirror.load_platforms(platforms.PlatformList(platforms=(platform("x"),), seq=Seq(1)))
    mirror.load_platforms(platforms.PlatformList(platforms=(), seq=Seq(2)))
    assert (list(mirror.deliveries), mirror.open_approvals, mirror.platforms) == (["d2"], [], {})


def test_another_start_of_the_core_begins_with_empty_rows():
    """Versions and marks of another start cannot be compared with those of this one."""
    mirror = Mirror()
    mirror.load_health(health(boot=1), asked_mono=1.0, answered_mono=1.0)
    mirror.apply(record(9, sessions.SessionOpened(session=session("ana", version=50))))
    mirror.load_health(health(boot=2), asked_mono=2.0, answered_mono=2.0)
    assert not mirror.sessions
    assert mirror.take_changes().is_whole


def test_ages_follow_the_clock_of_the_core():
    """The offset between the clocks is learned from the answer about health."""
    mirror = Mirror()
    mirror.load_health(health(), asked_mono=5.0, answered_mono=5.0)
    assert mirror.age_s(ago(30), 5.0) == 30.0
    assert mirror.age_s(ago(30), 7.0) == 32.0
    assert mirror.core_wall(7.0) == NOW.at + 2.0


def test_clocks_that_cannot_be_told_apart_are_taken_as_one():
    """Half of the answer's time is no reason to shift every age."""
    mirror = Mirror()
    mirror.load_health(health(), asked_mono=NOW.mono - 0.3, answered_mono=NOW.mono + 0.1)
    assert mirror.core_mono(NOW.mono) == NOW.mono


def test_marks_of_an_earlier_start_are_measured_by_the_wall():
    """Monotonic times of another start mean nothing here."""
    mirror = Mirror()
    mirror.load_health(health(boot=2), asked_mono=5.0, answered_mono=5.0)
    old = ago(30)
    assert mirror.age_s(msgspec.structs.replace(old, mono=1e9), 5.0, boot=1) == 30.0


def test_the_watched_session_keeps_its_queue_and_transcript():
    """Messages wait, are taken up, answered and gone; entries stay."""
    mirror = Mirror()
    watched = mirror.watch(SessionId("local:dm:ana"))
    assert watched is not None
    view = session("ana")
    mirror.apply(record(1, sessions.MessageQueued(session=view, message=message())))
    assert list(watched.messages) == ["message-1"]
    running = changed(view, state=SessionState.RUNNING, run=session("ana", phase=Phase.MODEL).run)
    mirror.apply(record(2, sessions.RunStarted(session=running, entries=(entry(),))))
    assert watched.messages["message-1"].state.value == "running"
    ended = changed(running, state=SessionState.IDLE, run=None)
    mirror.apply(record(3, sessions.RunEnded(session=ended, outcome=outcome(), entries=(answer(),))))
    assert not watched.messages
    assert list(watched.entries) == ["entry-1", "entry-2"]


def test_pieces_of_an_answer_are_put_at_their_place():
    """A piece that comes twice is not written twice; a missing one is noticed."""
    mirror = Mirror()
    watched = mirror.watch(SessionId("local:dm:ana"))
    assert watched is not None

    def output(offset: int, words: str) -> None:
        event = sessions.RunOutput(
            session_id=SessionId("local:dm:ana"), run_id=RunId("run-1"), offset=offset, text=words
        )
        mirror.apply(record(1, event, durable=False))

    output(0, "Hello ")
    output(0, "Hello ")
    output(3, "lo wor")
    output(9, "ld")
    assert watched.answer.text == "Hello world"
    output(20, "!")
    assert watched.is_stale


def test_a_late_answer_of_the_core_does_not_undo_what_came_after_it():
    """Records that came between question and answer are applied again."""
    mirror = Mirror()
    watched = mirror.watch(SessionId("local:dm:ana"))
    assert watched is not None
    watched.begin_load()
    view = session("ana")
    mirror.apply(record(5, sessions.MessageQueued(session=view, message=message())))
    detail = sessions.SessionDetail(session=view, messages=(), live_text="", seq=Seq(4), ages_s={})
    watched.load(detail, None)
    assert list(watched.messages) == ["message-1"]


def test_another_session_does_not_touch_the_watched_one():
    """Only what is looked at is kept in full."""
    mirror = Mirror()
    watched = mirror.watch(SessionId("local:dm:bo"))
    assert watched is not None
    mirror.apply(record(1, sessions.MessageQueued(session=session("ana"), message=message())))
    assert not watched.messages


def test_totals_count_messages_runs_and_failures():
    """Rates are made from counts that only grow."""
    mirror = Mirror()
    mirror.apply(record(1, sessions.MessageQueued(session=session("ana"), message=message())))
    failed = outcome(stop="error", answered=False)
    failed = msgspec.structs.replace(failed, stop=outcome().stop.ERROR)
    mirror.apply(record(2, sessions.RunEnded(session=session("ana", version=2), outcome=failed, entries=())))
    assert (mirror.totals["in"], mirror.totals["out"], mirror.totals["failed"]) == (1, 1, 1)


def test_older_events_stand_before_those_that_are_there():
    """A page of the past goes to the front, without doubles."""
    mirror = Mirror()
    rows = [record(seq, system.ShutdownStarted(reason=str(seq))) for seq in range(1, 6)]
    for row in rows[3:]:
        mirror.apply(row)
    mirror.load_events(system.EventPage(records=tuple(rows[:4]), head=Seq(5)))
    assert [line.seq for line in mirror.events] == [1, 2, 3, 4, 5]


def test_a_line_of_the_journal_is_bounded():
    """A message of a megabyte is one short line."""
    line = event_line(record(1, sessions.MessageQueued(session=session("ana"), message=message("x" * 1_000_000))))
    assert len(line.text) < 300


def test_a_shutdown_is_known_at_once():
    """The header says so before the next answer about health."""
    mirror = Mirror()
    mirror.apply(record(1, system.ShutdownStarted(reason="update")))
    assert mirror.is_draining
