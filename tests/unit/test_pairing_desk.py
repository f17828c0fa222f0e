"""The pairing desk: rows, warnings, countdown; decisions bound to the identity that was looked at; bell and title."""

import msgspec

from console.arrivals import Arrivals, title_words
from console.mirror import Mirror
from console.terminal import title_sequence
from core.api.base import SYSTEM, Record, Seq
from core.api.deliveries import DeliveryState
from core.api.pairings import (
    ApprovePairing,
    BlockSender,
    CreateInvite,
    DenyPairing,
    PairingAsked,
    PairingChanged,
    PairingState,
    RevokePairing,
    UnblockSender,
    VoidInvite,
)
from tests.support.console_desk import Desk, desk
from tests.support.fake_hermes import FakeHermes
from tests.support.fake_pairings import FakePairings, invite, pairing
from tests.support.views import ago, approval, platform

EVIL = "Mara\u202e\u200b"


def hermes(**more: object) -> FakeHermes:
    """Two that ask, of whom one looks like somebody, one with access, one blocked, an invitation."""
    senders = [
        pairing("p-1", sender_id="99120077", asked=ago(300)),
        pairing(
            "p-2",
            sender_id="99120078",
            sender_name=EVIL,
            asked=ago(200),
            expires=ago(-100),
            tries=4,
            warnings=("its name looks like that of telegram:42, who has access",),
        ),
        pairing("p-3", sender_id="42", state=PairingState.APPROVED, decided=ago(9000), decided_by="ana", first_text=""),
        pairing(
            "p-4",
            sender_id="666",
            state=PairingState.BLOCKED,
            decided=ago(900),
            notice=DeliveryState.DEAD,
            notice_error="bot was blocked",
        ),
    ]
    found = FakePairings(senders, [invite("i-1", note="for Karel")])
    return FakeHermes(platforms=[platform("telegram", kind="telegram")], desk=found, **more)


async def on_desk(seen: Desk, row: int = 0) -> None:
    """The cursor on that row of the desk."""
    await seen.say("pairing")
    await seen.press(*["j"] * row)


async def test_requests_stand_first_with_the_raw_id() -> None:
    """Then invitations, then who was decided about; a name shows no hidden letters."""
    async with desk(hermes()) as seen:
        await on_desk(seen)
        rows = [line for line in seen.text.splitlines() if "telegram" in line or "invitation" in line]
        assert [
            next(word for word in ("99120077", "99120078", "i-1", "666", "42") if word in line) for line in rows[:5]
        ] == [
            "99120077",
            "99120078",
            "i-1",
            "666",
            "42",
        ]
        assert "! Mara" in rows[1]
        assert "\u202e" not in seen.text
        assert "\u200b" not in seen.text
        assert "2 at the door" in seen.text


async def test_letting_in_names_the_identity_and_the_version_that_were_seen() -> None:
    """And replays what was held back when that is ticked."""
    core = hermes()
    async with desk(core) as seen:
        await on_desk(seen)
        await seen.press("A", "tab", "space", "shift+tab", "right", "enter")
        assert "the sender is being told; the message" in seen.text
    (command,) = core.commands
    assert command == ApprovePairing(pairing_id=pairing("p-1").id, version=1, replays=True)


async def test_somebody_who_looks_like_another_is_let_in_by_the_typed_id_only() -> None:
    """Enter alone does nothing."""
    core = hermes()
    async with desk(core) as seen:
        await on_desk(seen, 1)
        await seen.press("A", "right", "enter")
        assert core.commands == []
        await seen.press("tab", "tab", *"99120078", "enter", "right", "enter")
        assert [type(command) for command in core.commands] == [ApprovePairing]
        assert core.commands[0].pairing_id == "p-2"


async def test_a_row_that_changed_meanwhile_is_not_decided_about() -> None:
    """The core says so, and the row shows what is so now."""
    core = hermes()
    async with desk(core) as seen:
        await on_desk(seen)
        await seen.press("D")
        core.emit(PairingChanged(pairing=msgspec.structs.replace(pairing("p-1", sender_id="99120077"), version=2)))
        await seen.settle()
        await seen.press("right", "enter")
        assert isinstance(core.commands[-1], DenyPairing)
        assert "changed" in seen.text


async def test_what_cannot_be_done_says_why() -> None:
    """No access to take back, nothing to unblock."""
    async with desk(hermes()) as seen:
        await on_desk(seen)
        await seen.press("X")
        assert "no access was given here" in seen.text
        await seen.press("U")
        assert "neither blocked nor locked out" in seen.text
        await seen.press("V")
        assert "no invitation is under the cursor" in seen.text


async def test_a_store_that_cannot_be_read_takes_the_keys_away() -> None:
    """The reason stands in the second line."""
    core = hermes()
    core.desk.problem = "row pairing/telegram/1 is damaged"
    async with desk(core, (140, 40)) as seen:
        await on_desk(seen)
        assert "read-only: row pairing/telegram/1 is damaged" in seen.text
        await seen.press("A")
        assert "nothing can be changed" in seen.text
    assert core.commands == []


async def test_taking_back_and_blocking_want_the_id() -> None:
    """They cannot be taken back by a key next to it."""
    core = hermes()
    async with desk(core) as seen:
        await on_desk(seen, 4)
        await seen.press("X", "right", "enter")
        assert core.commands == []
        await seen.press("escape")
        await seen.press("X", "tab", "space", "tab", "tab", *"42", "enter", "right", "enter")
        assert core.commands[-1] == RevokePairing(pairing_id=pairing("p-3").id, version=1, stops_runs=True)
        await on_desk(seen)
        await seen.press("g", "B", "tab", "tab", "tab", *"99120077", "enter", "right", "enter")
        assert isinstance(core.commands[-1], BlockSender)
        assert core.commands[-1].sender_id == "99120077"


async def test_a_block_ends_without_a_question() -> None:
    """The sender stands as revoked and may ask again."""
    core = hermes()
    async with desk(core) as seen:
        await on_desk(seen, 3)
        await seen.press("U")
    assert core.commands == [UnblockSender(pairing_id=pairing("p-4").id)]


async def test_the_code_of_an_invitation_is_shown_once() -> None:
    """It is gone with its dialog; a wrong time is named."""
    core = hermes()
    async with desk(core) as seen:
        await on_desk(seen)
        await seen.press("I", *"telegram", "tab", *"999", "enter")
        assert "is not between a minute" in seen.text
        await seen.press("backspace", "backspace", "backspace", *"2", "enter")
        assert "ABCD2345" in seen.text
        assert "counts for 120 minutes" in seen.text
        await seen.press("enter")
        assert "ABCD2345" not in seen.text
    (command,) = core.commands
    assert (command.platform, command.ttl_s) == ("telegram", 7200.0)
    assert isinstance(command, CreateInvite)


async def test_an_invitation_is_voided() -> None:
    """After a question."""
    core = hermes()
    async with desk(core) as seen:
        await on_desk(seen, 2)
        await seen.press("V", "right", "enter")
    assert core.commands == [VoidInvite(invite_id=invite("i-1").id)]


def asked(mirror: Mirror, name: str, seq: int) -> None:
    """Somebody asks."""
    event = PairingAsked(pairing=pairing(name))
    mirror.apply(Record(seq=Seq(seq), at=0.0, actor=SYSTEM, subject="telegram", event=event))


def test_only_what_comes_is_an_arrival() -> None:
    """What waited already at the start rings no bell; the count stands in the title."""
    mirror, arrivals = Mirror(), Arrivals()
    asked(mirror, "p-1", 1)
    assert not arrivals.note(mirror)
    assert not arrivals.note(mirror)
    asked(mirror, "p-2", 2)
    assert arrivals.note(mirror)
    assert not arrivals.note(mirror)
    assert (arrivals.count, title_words(arrivals.count)) == (2, "(2) hermes-console")
    assert title_words(0) == "hermes-console"


def test_who_stands_in_line_rings_when_the_turn_comes() -> None:
    """Strangers who fill the line ring three times and not a hundred."""
    mirror, arrivals = Mirror(), Arrivals()
    arrivals.note(mirror)
    behind = pairing("p-1", is_in_line=True)
    mirror.apply(Record(seq=Seq(1), at=0.0, actor=SYSTEM, subject="", event=PairingChanged(pairing=behind)))
    assert not arrivals.note(mirror)
    assert mirror.work.gateway.open_pairings == [behind]
    next_one = pairing("p-1", version=2)
    mirror.apply(Record(seq=Seq(2), at=0.0, actor=SYSTEM, subject="", event=PairingAsked(pairing=next_one)))
    assert arrivals.note(mirror)


def test_a_title_holds_nothing_that_ends_it() -> None:
    """Only plain letters."""
    assert title_sequence("a\x07b\x1b]c\u202e") == "\x1b]2;ab]c\x07"


async def test_an_arrival_rings_the_bell(monkeypatch: object) -> None:
    """Once for each, and not where it was switched off."""
    for how, rings in (("both", 1), ("bell", 1), ("title", 0), ("none", 0)):
        core = hermes(approvals=[approval("a1")])
        async with desk(core, announce=how) as seen:
            rung: list[int] = []
            seen.app.bell = lambda rung=rung: rung.append(1)  # type: ignore[method-assign]
            core.emit(PairingAsked(pairing=pairing("p-9", sender_id="9")))
            await seen.settle()
            await seen.settle()
            assert len(rung) == rings
