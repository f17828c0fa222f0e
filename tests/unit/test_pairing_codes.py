"""Invitations: one code lets one sender in once; wrong ones are counted for each sender, and none is kept anywhere."""

import msgspec
import pytest

from core.api.access import Rule
from core.api.base import PlatformName
from core.api.errors import ConflictError, InvalidInput, NotFound, Overloaded
from core.api.pairings import (
    BlockSender,
    DenyPairing,
    InviteCreated,
    InviteEnded,
    InviteId,
    InviteState,
    ListPairings,
    PairingApproved,
    PairingState,
    RevokePairing,
    SenderLocked,
    UnblockSender,
    VoidInvite,
)
from core.api.sessions import ChatKind
from core.gateway import invites, pairing
from core.gateway.access import Access
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.pairing_rig import LOCAL, OTHER, desk, key_of, message, rules

WRONG = "AAAA2222"


async def test_a_code_lets_one_sender_in_from_the_next_message_on() -> None:
    """The code itself goes to no agent; the sender is told in words; nobody else can use it."""
    async with desk() as found:
        made = await found.invite(note="for Mara")
        assert (await found.write("42", made.code)).rule is Rule.DENY
        assert found.received == []
        view = found.view("42")
        assert (view.state, view.invite_id, view.decided_by) == ("approved", made.invite.id, "invitation of ana")
        assert found.told("42") == ["The code is right: you have access from your next message on."]
        assert (await found.write("42", "hi")).rule is Rule.PAIRED
        await found.write("43", made.code)
        assert not found.parts.gate.verdict(message("43")).is_admitted
        assert found.told("43") == ["That code was used already."]
        [used] = (await found.parts.pairings.list_pairings(ListPairings())).invites
        assert (used.state, used.used_by) == (InviteState.USED, view.id)
        assert len(await found.events(PairingApproved)) == 1
        assert len(await found.events(InviteEnded)) == 1


@pytest.mark.parametrize("typed", ["{0}", " {0}\n", "{1}", "{2}-{3}", "{2} {3}"])
async def test_a_code_counts_however_it_is_typed(typed: str) -> None:
    """Blanks, hyphens and small letters."""
    async with desk() as found:
        code = (await found.invite()).code
        await found.write("42", typed.format(code, code.lower(), code[:4], code[4:]))
        assert found.view("42").state is PairingState.APPROVED


async def test_a_code_within_a_message_is_only_a_message() -> None:
    """A whole message is a code, or it is none."""
    async with desk() as found:
        code = (await found.invite()).code
        await found.write("42", f"my code is {code}")
        assert found.view("42").state is PairingState.ASKED
        assert pairing.find_code("whatsapp please") is None
        assert pairing.find_code("ABCDEFGO") is None


async def test_without_invitations_a_word_of_eight_letters_is_a_request() -> None:
    """It is not kept, since it might be a code for something else, and counts for nothing."""
    async with desk() as found:
        await found.write("42", "whatsapp")
        view = found.view("42")
        assert (view.state, view.failures, view.first_text) == (PairingState.ASKED, 0, "")


async def test_five_wrong_codes_lock_one_sender_out_and_nobody_else() -> None:
    """Not even the right one counts for an hour; others are not touched, and a request still can be decided."""
    async with desk() as found:
        code = (await found.invite(ttl_s=86_400.0)).code
        for _ in range(5):
            await found.write("42", WRONG)
        view = found.view("42")
        assert view.failures == 5
        assert view.locked_until is not None
        assert len(await found.events(SenderLocked)) == 1
        await found.write("42", code)
        assert found.view("42").state is not PairingState.APPROVED
        count = len(found.told("42"))
        for _ in range(20):
            await found.write("42", WRONG)
        assert len(found.told("42")) == count == 5
        await found.pass_time(pairing.LOCK_S)
        await found.write("42", WRONG)
        assert found.view("42").failures == 1
        await found.write("43", code)
        assert found.view("43").state is PairingState.APPROVED


async def test_a_success_clears_the_count() -> None:
    """Two wrong ones, a right one, and later three more are no lockout."""
    async with desk() as found:
        codes = [(await found.invite()).code for _ in range(2)]
        for _ in range(2):
            await found.write("42", WRONG)
        await found.write("42", codes[0])
        assert found.view("42").failures == 0
        await found.order(RevokePairing(pairing_id=key_of("42")))
        for _ in range(3):
            await found.write("42", WRONG)
        assert found.view("42").locked_until is None


async def test_an_operator_ends_a_lockout() -> None:
    """With an entry in the journal; the right code counts at once."""
    async with desk() as found:
        code = (await found.invite()).code
        for _ in range(5):
            await found.write("42", WRONG)
        await found.order(UnblockSender(pairing_id=key_of("42")))
        assert found.view("42").locked_until is None
        await found.write("42", code)
        assert found.view("42").state is PairingState.APPROVED


async def test_the_end_of_a_block_ends_the_count_too() -> None:
    """Else the next wrong code would lock at once."""
    async with desk() as found:
        await found.invite()
        for _ in range(5):
            await found.write("42", WRONG)
        await found.order(BlockSender(platform=LOCAL, sender_id="42"))
        await found.order(UnblockSender(pairing_id=key_of("42")))
        await found.write("42", WRONG)
        assert found.view("42").failures == 1
        assert found.view("42").locked_until is None


async def test_approving_by_row_never_counts_as_a_wrong_code() -> None:
    """Fifty decisions in a row leave the count at nothing."""
    async with desk() as found:
        await found.write("42")
        for _ in range(25):
            assert (await found.approve("42")).pairing.failures == 0
            await found.order(RevokePairing(pairing_id=key_of("42")))
        assert found.view("42").failures == 0


async def test_revoking_voids_every_code_that_was_made_before() -> None:
    """For that sender; somebody else may still use it."""
    async with desk() as found:
        spare = (await found.invite()).code
        await found.write("42")
        await found.approve("42")
        await found.pass_time(1.0)
        await found.order(RevokePairing(pairing_id=key_of("42")))
        await found.write("42", spare)
        assert found.view("42").state is PairingState.REVOKED
        assert found.told("42")[-1] == "That code is not valid any more."
        await found.pass_time(1.0)
        fresh = (await found.invite()).code
        await found.write("42", fresh)
        assert found.view("42").state is PairingState.APPROVED
        await found.write("43", spare)
        assert found.view("43").state is PairingState.APPROVED


async def test_a_code_is_too_old_on_time_and_says_so() -> None:
    """Apart from one that is wrong or voided, so that nobody guesses what to do."""
    async with desk() as found:
        old = await found.invite(ttl_s=60.0)
        gone = await found.invite()
        await found.order(VoidInvite(invite_id=gone.invite.id))
        await found.pass_time(60.0)
        assert found.rows.invites[old.invite.id].view.state is InviteState.EXPIRED
        await found.write("42", old.code)
        await found.write("43", gone.code)
        assert found.told("42") == ["That code is too old."]
        assert found.told("43") == ["That code is not valid any more."]
        with pytest.raises(ConflictError, match="expired already"):
            await found.order(VoidInvite(invite_id=old.invite.id))


async def test_a_code_for_one_connection_is_worth_nothing_at_another() -> None:
    """It is not even tried there: the message is a request like any other, without its text."""
    async with desk() as found:
        made = await found.invite(platform=OTHER)
        await found.write("42", made.code)
        view = found.view("42")
        assert (view.state, view.first_text, view.failures) == (PairingState.ASKED, "", 0)
        await found.write("42", made.code, platform=OTHER)
        assert found.view("42", OTHER).state is PairingState.APPROVED


async def test_codes_count_where_strangers_are_ignored_and_wrong_ones_get_no_answer() -> None:
    """An invitation is the operator's own wish; a guess is a stranger's."""
    async with desk(access=Access({LOCAL: rules(asks=False)})) as found:
        code = (await found.invite()).code
        await found.write("42", WRONG)
        assert found.told("42") == []
        assert found.view("42").failures == 1
        await found.write("42", code)
        assert (await found.write("42")).is_admitted


async def test_codes_count_in_direct_chats_alone() -> None:
    """In a group others read along."""
    async with desk() as found:
        code = (await found.invite()).code
        await found.write("42", code, kind=ChatKind.GROUP, chat="-100")
        assert await found.views() == []


async def test_no_code_is_in_any_event_row_or_answer() -> None:
    """It is in the receipt of whoever made it, and nowhere else."""
    store = MemoryStore()
    async with desk(store=store) as found:
        made = await found.invite(note="n")
        await found.write("41", WRONG)
        await found.write("42", made.code)
        await found.write("43", made.code)
        await found.write("44", made.code.lower())
        kept = [row.body for prefix in ("pairing/", "invite/") for row in await store.scan(prefix)]
        kept += [entry.body for entry in await store.read(limit=1000)]
        kept += [msgspec.json.encode(event) for event in found.live]
        kept += [msgspec.json.encode(item) for item in found.outboxes.sent]
        whole = b"\n".join(kept).upper()
        assert made.code.encode() not in whole
        assert WRONG.encode() not in whole
        assert len(await found.events(InviteCreated)) == 1


async def test_invitations_are_bounded_and_their_orders_checked() -> None:
    """Time, number, note, connection."""
    async with desk() as found:
        for ttl_s in (59.0, 604_801.0, float("nan")):
            with pytest.raises(InvalidInput, match="ttl_s"):
                await found.invite(ttl_s=ttl_s)
        with pytest.raises(InvalidInput, match="note"):
            await found.invite(note="x" * 201)
        with pytest.raises(NotFound, match="no platform"):
            await found.invite(platform=PlatformName("nowhere"))
        with pytest.raises(NotFound, match="no invitation"):
            await found.order(VoidInvite(invite_id=InviteId("i-none")))
        for _ in range(invites.OPEN_LIMIT):
            await found.invite()
        with pytest.raises(Overloaded, match="open invitations"):
            await found.invite()


async def test_codes_hold_over_a_restart_and_their_memory_ends() -> None:
    """Open ones can be used; those that are over are let go a week later."""
    store, clock = MemoryStore(), FakeClock()
    async with desk(store=store, clock=clock) as found:
        made = await found.invite()
        await found.invite()
        await found.write("42")
        await found.order(DenyPairing(pairing_id=key_of("42")))
    async with desk(store=store, clock=clock) as found:
        await found.write("42", made.code)
        assert found.view("42").state is PairingState.APPROVED
        for _ in range(9):
            await found.pass_time(86_400)
        assert found.rows.invites == {}


def test_codes_are_of_letters_that_nobody_confuses() -> None:
    """Eight of thirty-two, by a source that is given."""
    picked = iter(range(100))
    code = pairing.new_code(lambda count: next(picked) % count)
    assert code == "ABCDEFGH"
    assert len(pairing.ALPHABET) == 32
    assert set("01IO").isdisjoint(pairing.ALPHABET)
