"""Mailboxes in the mirror: snapshot, events and samples, in whatever order they come."""

import msgspec

from console.mailbox_rows import MailboxRows, depth_of
from console.mirror import Mirror
from core.api import mailboxes
from core.api.base import SYSTEM, Event, MailboxName, Record, Seq
from core.api.mail import MailboxPurged, MailDied, MailRedriven
from core.api.mailboxes import MailboxList, MailboxState, MailboxView
from tests.support.fake_mail import dead_mail, mailbox, total_of
from tests.support.views import NOW, ago, health

RELAY = MailboxName("relay.out")


def record(seq: int, event: Event, *, durable: bool = True) -> Record:
    """A record of the journal."""
    return Record(seq=Seq(seq), at=NOW.at, actor=SYSTEM, subject="relay.out", event=event, durable=durable)


def measured(*views: MailboxView, is_indexing: bool = False) -> mailboxes.MailboxesMeasured:
    """A sample."""
    return mailboxes.MailboxesMeasured(mailboxes=views, total=total_of(views), is_indexing=is_indexing)


def listed(*views: MailboxView, seq: int = 0) -> MailboxList:
    """A snapshot."""
    return MailboxList(mailboxes=views, total=total_of(views), seq=Seq(seq))


def test_a_sample_replaces_the_figures_and_an_older_one_changes_nothing():
    """The version decides, not the order of arrival."""
    rows = MailboxRows()
    rows.load(listed(mailbox(version=3, queued=3)))
    assert rows.apply(record(1, measured(mailbox(version=5, queued=5)), durable=False)) == {"relay.out"}
    assert rows.apply(record(1, measured(mailbox(version=4, queued=4)), durable=False)) == set()
    assert depth_of(rows.views["relay.out"]) == 5


def test_a_sample_carries_the_totals_and_whether_stored_mail_is_still_read():
    """The line of totals follows each sample."""
    rows = MailboxRows()
    rows.apply(record(1, measured(mailbox(queued=2, dead=1), is_indexing=True), durable=False))
    assert (rows.total.queued, rows.total.dead, rows.depth, rows.is_indexing) == (2, 1, 2, True)


def test_a_snapshot_drops_what_it_does_not_name():
    """What was removed while nobody listened does not stay."""
    rows = MailboxRows()
    rows.load(listed(mailbox("a"), mailbox("b")))
    assert rows.load(listed(mailbox("b", version=2))) == {"a", "b"}
    assert list(rows.views) == ["b"]


def test_a_mailbox_that_is_gone_is_not_brought_back_by_a_late_sample():
    """Only the core's word that it was made anew does that."""
    rows = MailboxRows()
    rows.load(listed(mailbox(version=7)))
    rows.apply(record(1, mailboxes.MailboxDeleted(name=RELAY)))
    rows.apply(record(1, measured(mailbox(version=7)), durable=False))
    assert not rows.views
    rows.apply(record(2, mailboxes.MailboxCreated(mailbox=mailbox(version=1))))
    assert list(rows.views) == ["relay.out"]


def test_a_record_that_the_snapshot_has_seen_changes_nothing():
    """Snapshot and stream overlap: an old removal must not take away what was made after it."""
    rows = MailboxRows()
    rows.load(listed(mailbox(), seq=9))
    assert rows.apply(record(8, mailboxes.MailboxDeleted(name=RELAY))) == set()
    assert list(rows.views) == ["relay.out"]


def test_pausing_and_new_rules_are_seen_at_once():
    """They need not wait for the next sample."""
    mirror = Mirror()
    mirror.load_mailboxes(listed(mailbox()))
    mirror.take_changes()
    paused = mailbox(version=2, state=MailboxState.PAUSED)
    mirror.apply(record(1, mailboxes.MailboxPaused(mailbox=paused)))
    assert mirror.take_changes().mailboxes == {"relay.out"}
    assert mirror.mail.views["relay.out"].state is MailboxState.PAUSED


def test_letters_that_die_are_sent_again_or_dropped_make_the_desk_ask_again():
    """The groups are the core's; the mirror says when there may be others."""
    rows = MailboxRows()
    events: list[Event] = [
        MailDied(mailbox=RELAY, count=2, mail=dead_mail()),
        MailRedriven(mailbox=RELAY, target=RELAY, count=1),
        MailboxPurged(mailbox=RELAY, count=1, dead=True),
        measured(mailbox(dead=4)),
    ]
    seen = [rows.dead_version]
    for seq, event in enumerate(events, 1):
        rows.apply(record(seq, event))
        seen.append(rows.dead_version)
    assert seen == sorted(set(seen))


def test_the_last_death_is_known_until_something_is_taken_away():
    """What went may have been the newest; waiting messages that are dropped change nothing."""
    death = MailDied(mailbox=RELAY, count=1, mail=dead_mail(died=ago(7)))
    purged = MailboxPurged(mailbox=RELAY, count=1, dead=True)
    ends: list[Event] = [
        purged,
        MailRedriven(mailbox=RELAY, target=RELAY, count=1),
        mailboxes.MailboxDeleted(name=RELAY),
    ]
    for end in ends:
        rows = MailboxRows()
        rows.load(listed(mailbox(dead=1)))
        rows.apply(record(1, death))
        rows.apply(record(2, MailboxPurged(mailbox=RELAY, count=1, dead=False)))
        assert rows.died == {"relay.out": ago(7)}
        rows.apply(record(3, end))
        assert not rows.died
    rows = MailboxRows()
    rows.apply(record(1, death))
    rows.load(listed(mailbox(dead=1)))
    assert not rows.died


def test_mailboxes_that_do_not_add_up_do_not_cancel_each_other_out():
    """One too many here and one too few there are two faults, not none."""
    rows = MailboxRows()
    rows.load(listed(mailbox("a", difference=1), mailbox("b", difference=-1)))
    assert (rows.total.difference, rows.difference) == (0, 2)


def test_another_start_of_the_core_begins_with_no_mailboxes():
    """Versions of another start cannot be compared."""
    mirror = Mirror()
    mirror.load_health(health(boot=1), asked_mono=1.0, answered_mono=1.0)
    mirror.load_mailboxes(listed(mailbox(version=50)))
    mirror.load_health(health(boot=2), asked_mono=2.0, answered_mono=2.0)
    mirror.load_mailboxes(listed(mailbox(version=1, queued=1)))
    assert mirror.mail.views["relay.out"].version == 1


def test_what_is_not_about_mail_is_left_to_others():
    """None tells the mirror to look elsewhere."""
    assert MailboxRows().apply(record(1, mailboxes.MailboxDeleted(name=RELAY))) == {"relay.out"}

    class Unheard(Event, frozen=True):
        """An event of a later version."""

    assert MailboxRows().apply(record(1, Unheard())) is None
    assert msgspec.structs.asdict(MailboxRows().total)["accepted"] == 0
