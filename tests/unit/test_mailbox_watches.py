"""Monitors, links and news of the system: who is told what, once, and behind what the peer sent before."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.api.errors import InvalidInput, NotFound
from core.api.mail import Priority
from core.api.mailboxes import MailboxPolicy, Overflow
from core.mailbox.system_info import (
    Down,
)
from tests.support.clocks import FakeClock
from tests.support.routing import DURABLE, MEMORY, UNORDERED, Routing, news, routing, said, started


@pytest.fixture(params=["memory", "durable"])
def policy(request: pytest.FixtureRequest) -> MailboxPolicy:
    """A mailbox in memory, and one that is stored."""
    return MEMORY if request.param == "memory" else DURABLE


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Routing]:
    """Agents a and b in memory, under a clock that stands still."""
    async with routing(tmp_path, clock=FakeClock()) as opened:
        yield opened


# -- monitors


async def test_the_watcher_is_told_once_with_the_reason(rig: Routing, policy: MailboxPolicy) -> None:
    """One Down message for each monitor, none for a second end."""
    a, b = await started(rig, "a", "b", policy=policy)
    ref = await rig.watches.monitor(a, b)
    await rig.router.stop(b, "boom")
    await rig.router.stop(b, "again")
    assert news(rig, "a") == [Down(ref, str(b), "boom")]


async def test_a_notice_says_for_which_run_it_is(rig: Routing) -> None:
    """A later run of the watcher that finds it in its mailbox can tell."""
    a, b = await started(rig, "a", "b")
    await rig.watches.monitor(a, b)
    await rig.router.stop(b)
    assert [mail.headers for mail in rig.taken("a")] == [{"to": str(a)}]


async def test_monitors_are_one_way_and_any_number(rig: Routing) -> None:
    """Each has a message of its own; the end of the watcher tells the other nothing."""
    a, b, c = await started(rig, "a", "b", "c")
    refs = [await rig.watches.monitor(a, b) for _ in range(3)]
    await rig.watches.monitor(b, c)
    await rig.router.stop(b, "boom")
    assert news(rig, "a") == [Down(ref, str(b), "boom") for ref in refs]
    assert news(rig, "c") == []


async def test_who_is_down_already_is_reported_at_once(rig: Routing) -> None:
    """`noproc`: for a name nobody has, for one that is down, and for a run that is over."""
    a, b = await started(rig, "a", "b")
    await rig.router.stop(b, "boom")
    refs = [await rig.watches.monitor(a, target) for target in ("nobody", "b", b)]
    assert news(rig, "a") == [Down(ref, who, "noproc") for ref, who in zip(refs, ("nobody", "b", str(b)), strict=True)]


async def test_after_demonitor_nobody_is_told(rig: Routing) -> None:
    """And it says whether there was still something to undo."""
    a, b = await started(rig, "a", "b")
    ref = await rig.watches.monitor(a, b)
    assert rig.watches.demonitor(ref)
    assert not rig.watches.demonitor(ref)
    await rig.router.stop(b)
    assert news(rig, "a") == []


async def test_a_watcher_that_ended_is_not_told(rig: Routing) -> None:
    """Its next run did not ask for anything."""
    a, b = await started(rig, "a", "b")
    await rig.watches.monitor(a, b)
    await rig.router.stop(a)
    await started(rig, "a")
    await rig.router.stop(b)
    assert news(rig, "a") == []


async def test_only_who_runs_can_watch_and_no_group_can_be_watched(rig: Routing) -> None:
    """Errors that name what was wrong."""
    (a,) = await started(rig, "a")
    with pytest.raises(NotFound):
        await rig.watches.monitor("nobody", a)
    with pytest.raises(InvalidInput, match="group"):
        await rig.watches.monitor(a, "group:crew")


# -- never before what the peer sent


@pytest.mark.parametrize("priority", Priority)
async def test_a_notice_stands_behind_what_the_peer_sent(
    rig: Routing, policy: MailboxPolicy, priority: Priority
) -> None:
    """Whatever the priority of the mail before it, and however much of it there is."""
    a, b = await started(rig, "a", "b", policy=policy)
    await rig.watches.monitor(a, b)
    for number in range(20):
        await rig.send("a", number, sender="b", priority=priority)
    await rig.router.stop(b, "boom")
    assert [said(mail) for mail in rig.taken("a")] == [*range(20), "down"]


async def test_a_notice_waits_for_a_message_of_the_peer_that_is_tried_again(rig: Routing) -> None:
    """Backing off does not let it be overtaken."""
    a, b = await started(rig, "a", "b")
    await rig.watches.monitor(a, b)
    await rig.send("a", "work", sender="b")
    mail = rig.box("a").try_receive()
    assert mail is not None
    rig.box("a").nack(mail, error="not now", delay_s=10)
    await rig.router.stop(b, "boom")
    assert rig.taken("a") == []
    await rig.clock.advance(11)  # type: ignore[attr-defined]  # the rig's clock is a FakeClock
    assert [said(mail) for mail in rig.taken("a")] == ["work", "down"]


async def test_in_an_unordered_mailbox_a_notice_is_held_back_until_the_mail_before_it_is_settled(
    rig: Routing,
) -> None:
    """There no line keeps it behind, so the watches do."""
    a, b = await started(rig, "a", "b", policy=UNORDERED)
    await rig.watches.monitor(a, b)
    await rig.send("a", "slow", sender="b", priority=Priority.LOW)
    await rig.router.stop(b, "boom")
    assert rig.watches.held_count == 1
    mail = rig.box("a").try_receive()
    assert mail is not None
    rig.box("a").nack(mail, error="not now", delay_s=0)
    await rig.watches.flush()
    assert [said(mail) for mail in rig.taken("a")] == ["slow"]
    await rig.watches.flush()
    assert [said(mail) for mail in rig.taken("a")] == ["down"]
    assert rig.watches.held_count == 0


async def test_a_message_with_a_key_of_its_own_is_not_overtaken_either(rig: Routing) -> None:
    """It stands in another line than the peer's notices."""
    a, b = await started(rig, "a", "b")
    await rig.watches.monitor(a, b)
    await rig.send("a", "x", sender="bo", order_key="chat")
    await rig.send("a", "y", sender="b", order_key="chat")
    await rig.router.stop(b, "boom")
    assert [said(mail) for mail in rig.taken("a")] == ["x", "y"]
    await rig.watches.flush()
    assert [said(mail) for mail in rig.taken("a")] == ["down"]


async def test_mail_that_its_sender_put_off_holds_no_notice_back(rig: Routing) -> None:
    """It was meant for later."""
    a, b = await started(rig, "a", "b", policy=UNORDERED)
    await rig.watches.monitor(a, b)
    await rig.send("a", "tomorrow", sender="b", delay_s=86_400)
    await rig.router.stop(b, "boom")
    assert [said(mail) for mail in rig.taken("a")] == ["down"]


async def test_a_notice_waits_for_room_and_pushes_nothing_out(rig: Routing) -> None:
    """A full mailbox loses neither its mail nor the notice."""
    small = MailboxPolicy(durable=False, capacity=1, overflow=Overflow.DROP_OLDEST)
    (a,) = await started(rig, "a", policy=small)
    b, c = await started(rig, "b", "c")
    refs = [await rig.watches.monitor(a, b), await rig.watches.monitor(a, c)]
    await rig.send("a", "work")
    rig.supervisor.start("watches", rig.watches.run)
    await rig.router.stop(b, "boom")
    await rig.router.stop(c, "bang")
    assert rig.watches.held_count == 2
    seen: list[Any] = []
    for _ in range(3):
        seen += [mail.payload for mail in rig.taken("a")]
        await rig.clock.advance(1)  # type: ignore[attr-defined]  # the rig's clock is a FakeClock
    assert [entry if isinstance(entry, str) else entry["ref"] for entry in seen] == ["work", *refs]


async def test_a_notice_that_is_held_back_holds_up_none_about_others(rig: Routing) -> None:
    """Only those about the same peer wait behind it."""
    a, b, c = await started(rig, "a", "b", "c", policy=UNORDERED)
    await rig.watches.monitor(a, b)
    ref = await rig.watches.monitor(a, c)
    await rig.send("a", "work", sender="b")
    await rig.router.stop(b, "boom")
    await rig.router.stop(c, "bang")
    assert rig.watches.held_count == 1
    assert news(rig, "a") == [Down(ref, str(c), "bang")]


async def test_a_notice_waits_also_for_mail_of_an_agent_that_unregistered(rig: Routing) -> None:
    """What it sent under a key of its own is still remembered."""
    a, b = await started(rig, "a", "b")
    await rig.watches.monitor(a, b)
    await rig.send("a", "x", sender="bo", order_key="chat")
    await rig.send("a", "y", sender="b", order_key="chat")
    await rig.router.unregister(b, "boom")
    assert [said(mail) for mail in rig.taken("a")] == ["x", "y"]
    await rig.watches.flush()
    assert [said(mail) for mail in rig.taken("a")] == ["down"]


async def test_demonitor_takes_back_a_notice_that_is_held(rig: Routing) -> None:
    """It was not told yet."""
    (a,) = await started(rig, "a", policy=MailboxPolicy(durable=False, capacity=1))
    (b,) = await started(rig, "b")
    ref = await rig.watches.monitor(a, b)
    await rig.send("a", "work")
    await rig.router.stop(b)
    assert rig.watches.demonitor(ref)
    rig.taken("a")
    await rig.watches.flush()
    assert (rig.taken("a"), rig.watches.held_count) == ([], 0)
