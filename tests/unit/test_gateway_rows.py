"""Senders and invitations in the console's read model: the newest view holds, and each event has its line."""

from console.event_line import event_line
from console.mirror import Mirror
from core.api import pairings
from core.api.base import SYSTEM, Event, Record, Seq
from core.api.pairings import InviteState, PairingList, PairingState
from tests.support.fake_pairings import invite, pairing


def record(event: Event, seq: int = 1) -> Record:
    """A stored one."""
    return Record(seq=Seq(seq), at=0.0, actor=SYSTEM, subject="p-1", event=event)


def test_a_newer_view_takes_the_place_of_an_older_one_and_never_the_other_way() -> None:
    """A record may come twice, and late."""
    mirror = Mirror()
    mirror.apply(record(pairings.PairingAsked(pairing=pairing())))
    assert [view.id for view in mirror.work.gateway.open_pairings] == ["p-1"]
    approved = pairings.PairingApproved(pairing=pairing(version=3, state=PairingState.APPROVED))
    mirror.apply(record(approved, 2))
    mirror.apply(record(pairings.PairingChanged(pairing=pairing(version=2)), 3))
    assert mirror.work.gateway.open_pairings == []
    assert mirror.work.gateway.pairings["p-1"].state is PairingState.APPROVED
    assert mirror.take_changes().pairings == {"p-1"}


def test_a_snapshot_brings_requests_invitations_and_the_problem() -> None:
    """A stream that goes on changes them."""
    mirror = Mirror()
    mirror.load_pairings(
        PairingList(pairings=(pairing(),), invites=(invite(),), total=7, problem="damaged", seq=Seq(0))
    )
    rows = mirror.work.gateway
    assert (rows.pairing_total, rows.pairing_problem) == (7, "damaged")
    mirror.apply(record(pairings.InviteEnded(invite=invite(version=2, state=InviteState.USED))))
    assert rows.invites["i-1"].state is InviteState.USED
    assert mirror.take_changes().has_invites


def test_whoever_was_let_go_and_comes_again_is_shown() -> None:
    """Versions begin anew with the row, and the old one must not stand in its way."""
    mirror = Mirror()
    mirror.load_pairings(
        PairingList(pairings=(pairing(version=9),), invites=(invite(),), total=12, problem="", seq=Seq(0))
    )
    let_go = pairings.SendersForgotten(pairing_ids=(pairing().id,), invite_ids=(invite().id,))
    mirror.take_changes()
    mirror.apply(record(let_go, 2))
    rows = mirror.work.gateway
    assert (rows.pairings, rows.invites, rows.pairing_total) == ({}, {}, 11)
    changes = mirror.take_changes()
    assert (changes.pairings, changes.has_invites) == ({"p-1"}, True)
    mirror.apply(record(pairings.PairingAsked(pairing=pairing()), 3))
    assert [view.version for view in rows.open_pairings] == [1]
    assert event_line(record(let_go)).text == "1 sender never let in, 1 invitation over for long"


def test_lines_name_the_raw_id_and_what_happened() -> None:
    """The name alone could be anybody's."""
    line = event_line(record(pairings.PairingAsked(pairing=pairing(warnings=("odd",)))))
    assert (line.level, line.kind, line.text) == ("warn", "access asked", "telegram:42 (Mara), 1 warning")
    denied = pairing(state=PairingState.DENIED, decided_by="ana", reason="not now")
    line = event_line(record(pairings.PairingDenied(pairing=denied)))
    assert line.text == "telegram:42 (Mara) by ana: not now"
    line = event_line(record(pairings.SenderLocked(pairing=pairing(failures=5))))
    assert line.text.endswith("after 5 wrong codes")
    line = event_line(record(pairings.InviteCreated(invite=invite(note="for Mara"))))
    assert line.text == "i-1 for all connections: for Mara"
