"""Groups and broadcasts: one member gets it, or all do, and each answer is known."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.api.base import SYSTEM
from core.api.errors import (
    MailboxFull,
    NotFound,
    Unavailable,
)
from core.api.mail import PostReceipt
from core.api.mailboxes import MailboxPolicy, MailboxState
from core.mailbox.address import Group
from core.mailbox.balance import Balance
from core.mailbox.message import Draft
from tests.support.routing import DURABLE, MEMORY, Routing, routing

SMALL = MailboxPolicy(durable=False, capacity=1)


@pytest.fixture(params=["memory", "durable"])
def policy(request: pytest.FixtureRequest) -> MailboxPolicy:
    """A mailbox in memory, and one that is stored."""
    return MEMORY if request.param == "memory" else DURABLE


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Routing]:
    """A router whose undeliverable mail is kept."""
    async with routing(tmp_path, undeliverable="dead.letters") as opened:
        await opened.boxes.ensure("dead.letters", MEMORY)
        yield opened


async def test_a_broadcast_tells_for_each_what_became_of_it(rig: Routing) -> None:
    """One refusal does not keep the message from the others."""
    await rig.agents("a", "b")
    await rig.agents("full", policy=SMALL)
    await rig.send("full", 0)
    outcomes = await rig.router.broadcast(["a", "b", "full", "nobody", "a"], Draft(payload="all", sender="ana"))
    assert {name: type(outcome) for name, outcome in outcomes.items()} == {
        "a": PostReceipt, "b": PostReceipt, "full": MailboxFull, "nobody": NotFound,
    }  # fmt: skip
    assert rig.payloads("a") == rig.payloads("b") == ["all"]


async def test_a_broadcast_goes_to_everybody_or_to_a_whole_group(rig: Routing) -> None:
    """`*` is all that are registered; a group is all its members and not one of them."""
    await rig.agents("a", "b", "c")
    rig.router.join("pair", "a")
    rig.router.join("pair", "b")
    assert sorted(await rig.router.broadcast("*", Draft(payload=1))) == ["a", "b", "c"]
    assert sorted(await rig.router.broadcast("group:pair", Draft(payload=2))) == ["a", "b"]
    assert sorted(await rig.router.broadcast(Group("pair"), Draft(payload=3))) == ["a", "b"]
    assert rig.payloads("c") == [1]
    with pytest.raises(NotFound):
        await rig.router.broadcast("group:none", Draft(payload=4))


async def test_a_group_gives_each_message_to_one_member_in_turn(rig: Routing, policy: MailboxPolicy) -> None:
    """Round robin over those who are ready."""
    await rig.agents("a", "b", "c", policy=policy)
    for name in "abc":
        assert rig.router.join("crew", name)
    assert not rig.router.join("crew", "a")
    for number in range(6):
        await rig.send("group:crew", number)
    assert [rig.payloads(name) for name in "abc"] == [[0, 3], [1, 4], [2, 5]]


async def test_members_that_are_down_paused_closed_or_full_are_passed_over(rig: Routing) -> None:
    """Work goes to whoever can do it; one that comes back is asked again."""
    await rig.agents("down", "paused", "closed", "ok")
    await rig.agents("full", policy=SMALL)
    for name in ("down", "paused", "closed", "full", "ok"):
        rig.router.join("crew", name)
    await rig.send("full", "occupied")
    await rig.router.stop("down")
    await rig.boxes.pause("paused", actor=SYSTEM)
    rig.box("closed").set_state(MailboxState.CLOSED)
    for number in range(3):
        await rig.send("group:crew", number)
    assert rig.payloads("ok") == [0, 1, 2]
    await rig.router.stop("ok")
    await rig.agents("down")
    await rig.send("group:crew", 3)
    assert rig.payloads("down") == [3]


async def test_a_group_of_which_nobody_is_ready_says_so(rig: Routing) -> None:
    """Unavailable, which may be tried again; a group without members is not found."""
    await rig.agents("a")
    rig.router.join("crew", "a")
    await rig.router.stop("a")
    with pytest.raises(Unavailable):
        await rig.send("group:crew", 1)
    await rig.router.unregister("a")
    with pytest.raises(NotFound) as caught:
        await rig.send("group:crew", 1)
    assert caught.value.facts["noun"] == "group"
    with pytest.raises(NotFound):
        rig.router.join("crew", "a")


async def test_the_least_loaded_member_gets_the_next_one(rig: Routing) -> None:
    """By what its mailbox holds now."""
    await rig.agents("a", "b")
    rig.router.form("crew", Balance.LEAST_LOADED)
    rig.router.join("crew", "a")
    rig.router.join("crew", "b")
    for _ in range(3):
        await rig.send("a", "own work")
    for number in range(3):
        await rig.send("group:crew", number)
    assert rig.payloads("b") == [0, 1, 2]


async def test_messages_of_one_key_stay_with_one_member_and_in_order(rig: Routing) -> None:
    """Sticky by ordering key, or else by sender."""
    await rig.agents(*"abcd")
    rig.router.form("crew", Balance.STICKY)
    for name in "abcd":
        rig.router.join("crew", name)
    for number in range(40):
        await rig.send("group:crew", number, sender=f"chat-{number % 8}")
    by_member = {name: rig.taken(name) for name in "abcd"}
    homes: dict[str, set[str]] = {}
    for name, mails in by_member.items():
        for mail in mails:
            homes.setdefault(mail.sender, set()).add(name)
    assert all(len(home) == 1 for home in homes.values())
    assert len(homes) == 8
    for mails in by_member.values():
        for sender in {mail.sender for mail in mails}:
            numbers = [mail.payload for mail in mails if mail.sender == sender]
            assert numbers == sorted(numbers)
