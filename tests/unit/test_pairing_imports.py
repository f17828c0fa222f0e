"""Senders that another gateway had let in."""

import pytest

from core.api.base import Actor, ActorKind, PlatformName
from core.api.errors import AlreadyDecided, InvalidInput, Refused
from core.api.pairings import BlockSender, ImportPairing, PairingApproved, PairingState, RevokePairing
from tests.support.pairing_rig import LOCAL, OPERATOR, Desk, desk, key_of


def order(sender_id: str = "u1", platform: PlatformName = LOCAL) -> ImportPairing:
    """What an import sends."""
    return ImportPairing(platform=platform, sender_id=sender_id, sender_name="Ana", source="/home/ana/.hermes")


async def states(built: Desk) -> dict[str, PairingState]:
    """Everybody and how they stand."""
    return {view.sender_id: view.state for view in await built.views()}


async def test_a_sender_is_let_in_at_once_and_told_nothing() -> None:
    """The very next message goes on; the journal says who took them over and from where."""
    async with desk() as built:
        await built.order(order())
        assert (await built.write("u1")).is_admitted
        assert not (await built.write("u2")).is_admitted
        (event,) = await built.events(PairingApproved)
        assert event.pairing.decided_by == OPERATOR.name
        assert event.pairing.reason == "taken over from /home/ana/.hermes"
        assert built.told("u1") == []


async def test_an_open_request_is_answered_by_it() -> None:
    """Somebody who asks here and was let in there is one row."""
    async with desk() as built:
        await built.write("u1")
        await built.order(order())
        assert await states(built) == {"u1": PairingState.APPROVED}


@pytest.mark.parametrize("what", ["again", "revoked", "blocked"])
async def test_what_was_decided_here_stands(what: str) -> None:
    """A second import changes nothing, and brings nobody back who was sent away."""
    async with desk() as built:
        await built.order(order())
        if what == "revoked":
            await built.order(RevokePairing(pairing_id=key_of("u1")))
        elif what == "blocked":
            await built.order(BlockSender(platform=LOCAL, sender_id="u1"))
        before = await built.journal.head()
        with pytest.raises(AlreadyDecided) as raised:
            await built.order(order())
        outcome = {"again": "approved"}.get(what, what)
        assert raised.value.facts["outcome"] == outcome
        assert await built.journal.head() == before


@pytest.mark.parametrize("sender_id", ["", "  ", "*", "x" * 600])
async def test_an_id_that_is_none_is_refused(sender_id: str) -> None:
    """Least of all everybody."""
    async with desk() as built:
        with pytest.raises(InvalidInput):
            await built.order(order(sender_id))
        assert await states(built) == {}


async def test_nobody_but_an_operator_takes_senders_over() -> None:
    """No sender and no agent."""
    async with desk() as built:
        with pytest.raises(Refused):
            await built.order(order(), Actor(ActorKind.SENDER, "local:u1"))


async def test_a_connection_that_comes_with_the_next_start_can_be_named() -> None:
    """The configuration was written a moment ago, and the core still runs with the one of before."""
    async with desk() as built:
        receipt = await built.order(order(platform=PlatformName("telegram")))
        assert receipt.pairing.state is PairingState.APPROVED
