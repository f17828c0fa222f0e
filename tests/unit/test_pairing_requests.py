"""Requests of strangers: who is rung for, who waits in line, whose name looks like whose, and what is let go."""

from typing import Any

import pytest

from core.api.base import PlatformName
from core.api.errors import ConflictError, NotFound
from core.api.pairings import (
    ApprovePairing,
    DenyPairing,
    GetPairing,
    ImportPairing,
    PairingAsked,
    PairingChanged,
    PairingId,
    PairingState,
    RevokePairing,
    SendersForgotten,
    UnblockSender,
)
from core.gateway import invites, pairing, pairings
from core.gateway.access import Access
from core.gateway.platform import InboundEdit, Press
from tests.support.pairing_rig import LOCAL, OPERATOR, OTHER, Desk, desk, key_of, message, rules

NAME = "Mara"


def in_line(found: Desk) -> list[str]:
    """Who asks and was not rung for, by id."""
    views = [row.view for row in found.rows.rows.values()]
    return [view.sender_id for view in views if view.state is PairingState.ASKED and view.is_in_line]


async def fill(found: Desk, count: int, *, first: int = 0, name: str = "") -> None:
    """So many strangers, one second apart."""
    for number in range(first, first + count):
        await found.write(f"u{number}", name=name)
        await found.pass_time(1)


# -- the line ----------------------------------------------------------------


async def test_three_are_rung_for_and_the_fourth_waits_until_one_is_decided() -> None:
    """Whoever waits is on the desk, can be decided there, and was told nothing yet."""
    async with desk() as found:
        await fill(found, 4)
        assert in_line(found) == ["u3"]
        assert [event.pairing.sender_id for event in await found.events(PairingAsked)] == ["u0", "u1", "u2"]
        assert found.told("u3") == []
        await found.order(DenyPairing(pairing_id=key_of("u0")))
        assert in_line(found) == []
        assert [event.pairing.sender_id for event in await found.events(PairingAsked)][-1] == "u3"
        assert len(found.told("u3")) == 1


async def test_an_import_of_somebody_who_asks_makes_room_too() -> None:
    """Whoever waits in line does not wait for the clock."""
    async with desk() as found:
        await fill(found, 4)
        await found.order(ImportPairing(platform=LOCAL, sender_id="u0"))
        assert in_line(found) == []


async def test_a_code_of_somebody_who_asks_makes_room_too() -> None:
    """The same for an invitation that is used."""
    async with desk() as found:
        code = (await found.invite()).code
        await fill(found, 4)
        await found.write("u0", code)
        assert found.view("u0").state is PairingState.APPROVED
        assert in_line(found) == []


async def test_whoever_waits_in_line_can_be_let_in_there() -> None:
    """And stands in no line after that."""
    async with desk() as found:
        await fill(found, 4)
        receipt = await found.approve("u3")
        assert (receipt.pairing.state, receipt.pairing.is_in_line) == (PairingState.APPROVED, False)


# -- names -------------------------------------------------------------------


async def test_strangers_crowd_nobody_out_of_the_warnings() -> None:
    """However many take a name: that it is the name of somebody who has access is said first."""
    async with desk() as found:
        await found.write("boss", name=NAME)
        await found.approve("boss")
        await fill(found, 20, name=NAME)
        for number in range(20):
            view = found.view(f"u{number}")
            if view.state is PairingState.ASKED:
                assert view.warnings[0].endswith("(local:boss), who is let in")


async def test_a_flood_of_one_name_does_not_keep_a_request_from_being_decided() -> None:
    """Once a row names as many as it can, one more changes neither it nor the version that was looked at."""
    async with desk() as found:
        await fill(found, 12, name=NAME)
        seen = found.view("u0")
        await fill(found, 30, first=12, name=NAME)
        changed = [event.pairing.sender_id for event in await found.events(PairingChanged)]
        # One event for each that joins the line, and one more for each of the first rows that it still fits into.
        assert len(changed) < 12 * 12 + 30
        assert found.view("u0").warnings == seen.warnings
        receipt = await found.approve("u0", version=seen.version)
        assert receipt.pairing.state is PairingState.APPROVED


async def test_a_new_name_twin_of_somebody_who_asks_has_to_be_seen() -> None:
    """Whoever looked before it came looks again."""
    async with desk() as found:
        await found.write("1", name=NAME)
        seen = found.view("1")
        await found.write("2", name="M\u0430ra")
        with pytest.raises(ConflictError):
            await found.approve("1", version=seen.version)


# -- what is let go ----------------------------------------------------------


async def test_what_is_let_go_is_told_and_leaves_nothing_behind() -> None:
    """So that a screen drops it, and a name that nobody has any more takes no room."""
    async with desk() as found:
        await found.write("1", name=NAME)
        await found.order(DenyPairing(pairing_id=key_of("1")))
        await found.pass_time(31 * 86_400.0)
        await found.pass_time(3_600)
        assert await found.views() == []
        [event] = await found.events(SendersForgotten)
        assert (event.pairing_ids, event.invite_ids) == ((key_of("1"),), ())
        assert found.rows._by_look == {}


async def test_a_version_of_a_row_that_was_let_go_decides_nothing_about_the_next_one() -> None:
    """Versions begin anew with the row; what was looked at is not what stands there now."""
    async with desk() as found:
        await found.write("1")
        await found.order(DenyPairing(pairing_id=key_of("1")))
        seen = found.view("1")
        await found.pass_time(31 * 86_400.0)
        await found.pass_time(3_600)
        await found.write("1", name="somebody else")
        assert found.view("1").version < seen.version
        with pytest.raises(ConflictError):
            await found.approve("1", version=seen.version)


async def test_a_flood_does_not_bring_a_voided_code_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose access was taken back stays known for as long as a code from before may be about."""
    monkeypatch.setattr(pairings, "KEPT_LIMIT", 2)
    async with desk() as found:
        code = (await found.invite(ttl_s=invites.LONGEST_TTL_S)).code
        await found.write("42")
        await found.approve("42")
        await found.order(RevokePairing(pairing_id=key_of("42")))
        await found.pass_time(pairing.RATE_S)
        await found.write("42")
        await found.order(DenyPairing(pairing_id=key_of("42")))
        for number in range(6):
            await found.write(f"u{number}")
            await found.order(DenyPairing(pairing_id=key_of(f"u{number}")))
        await found.pass_time(3_600)
        assert len(found.rows.rows) <= 2 + 1
        await found.write("42", code)
        assert found.view("42").state is not PairingState.APPROVED


async def test_wrong_codes_of_many_strangers_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those of whoever is locked out."""
    monkeypatch.setattr(pairings, "KEPT_LIMIT", 3)
    async with desk() as found:
        await found.invite()
        for number in range(8):
            for _ in range(pairing.FAILURE_LIMIT):
                await found.write(f"u{number}", "AAAA2222")
        assert len(found.rows.rows) <= 3


@pytest.mark.parametrize("step_s", [-86_400.0, 86_400.0])
async def test_a_clock_that_is_set_brings_no_voided_code_back(step_s: float) -> None:
    """Before is what happened before, whatever the wall says."""
    async with desk() as found:
        code = (await found.invite(ttl_s=invites.LONGEST_TTL_S)).code
        await found.write("42")
        await found.approve("42")
        found.clock.jump(step_s)
        await found.order(RevokePairing(pairing_id=key_of("42")))
        await found.write("42", code)
        assert found.view("42").state is PairingState.REVOKED


# -- what is held back ---------------------------------------------------------


async def test_a_message_that_quotes_a_book_is_not_kept() -> None:
    """What is stored of a stranger is bounded as a whole."""
    async with desk() as found:
        await found.write("1", "look", quoted="x" * pairing.KEPT_TEXT_LIMIT)
        assert found.rows.rows[key_of("1")].first is None
        await found.write("2", "look", quoted="x" * 100)
        assert found.rows.rows[key_of("2")].first is not None


@pytest.mark.parametrize("more", [{"text": "hi \ud83d"}, {"quoted": "\ud83d"}])
async def test_half_a_character_keeps_nobody_from_asking(more: dict[str, str]) -> None:
    """It is marked, and the rest of the message is kept."""
    async with desk() as found:
        await found.write("1", **more)
        assert found.view("1").state is PairingState.ASKED
        assert found.view("1").first_text in {"hi ?", "hello"}


@pytest.mark.parametrize("more", [{"chat": "c\ud83d"}, {"chat": "c" * 600}, {"aliases": ("\ud83d",)}])
async def test_ids_that_cannot_be_stored_are_no_request(more: dict[str, Any]) -> None:
    """The message is refused like any other, and the connection goes on."""
    async with desk() as found:
        await found.write("1", **more)
        await found.write("2\ud83d")
        assert found.rows.rows == {}


# -- which row -----------------------------------------------------------------


async def test_a_row_is_named_by_connection_and_raw_id_too() -> None:
    """As operators read it, in the letters that its platform compares."""
    mail = PlatformName("mail")
    accounts = {LOCAL: rules(), OTHER: rules(OTHER), mail: rules(mail, kind="email")}
    async with desk(access=Access(accounts)) as found:
        await found.write("a:1")
        await found.write("ana@example.org", platform=mail)
        for name, sender_id in (("local:a:1", "a:1"), ("mail:Ana@Example.org", "ana@example.org")):
            view = await found.parts.pairings.get_pairing(GetPairing(pairing_id=PairingId(name)))
            assert view.sender_id == sender_id
            receipt = await found.order(ApprovePairing(pairing_id=PairingId(name)))
            assert receipt.pairing.state is PairingState.APPROVED
        with pytest.raises(NotFound):
            await found.parts.pairings.unblock_sender(UnblockSender(pairing_id=PairingId("nowhere:1")), OPERATOR)


async def test_a_press_carries_the_other_ids_of_whoever_pressed() -> None:
    """Somebody who is let in, or blocked, by one of them is so with buttons as with messages."""
    async with desk() as found:
        source = message("7").source
        press = Press(platform=LOCAL, source=source, sender_id="7", sender_name="", answers="1", aliases=("@mara",))
        edit = InboundEdit(platform=LOCAL, source=source, sender_id="7", native_id="1", text="", aliases=("@mara",))
        await found.write("@mara")
        await found.approve("@mara")
        assert found.parts.gate.verdict(press).is_admitted
        assert found.parts.gate.verdict(edit).is_admitted
