"""What can be asked about mailboxes, on real mailboxes over a store in memory."""

import asyncio

import pytest

from core.api.base import MailboxName, MailId
from core.api.errors import InvalidInput, NotFound
from core.api.mail import BrowseMail, GetMail, ListDead, MailFilter, MailState, TraceMail
from core.api.mailboxes import GetMailbox, ListMailboxes
from core.mailbox.filter import matcher
from core.mailbox.message import Draft
from core.mailbox.scans import first_fitting, fitting, portions
from tests.support.mail_rig import BOX, mail_rig
from tests.support.mails import WALL, a_mail


async def test_all_mailboxes_are_listed_by_name_with_their_sum() -> None:
    """The total is that of the tallies; the place in the journal tells from where to go on."""
    async with mail_rig() as rig:
        for name in ("b", "a", "c"):
            box = await rig.box(name)
            await box.post(Draft(payload=1))
        await rig.killed(box, Draft(payload=2, sender="bo"), "no")
        found = await rig.inspections.list_mailboxes(ListMailboxes())
        assert [view.name for view in found.mailboxes] == ["a", "b", "c"]
        assert (found.total.accepted, found.total.queued, found.total.dead, found.total.difference) == (4, 3, 1, 0)
        assert found.total == rig.mailboxes.tally()
        assert found.seq == await rig.journal.head()
        assert not found.is_indexing
        assert await rig.inspections.get_mailbox(GetMailbox(mailbox=MailboxName("c"))) == found.mailboxes[2]
        with pytest.raises(NotFound):
            await rig.inspections.get_mailbox(GetMailbox(mailbox=MailboxName("d")))


async def test_pages_of_a_mailbox_follow_its_ids() -> None:
    """Each page names where the next begins; the last names none; nothing is taken."""
    async with mail_rig() as rig:
        box = await rig.box()
        ids = [(await box.post(Draft(payload=number))).mail_id for number in range(7)]
        # Taken and given back, it stands at another place in memory.
        box.release(await box.receive())
        held = await box.receive()
        first = await rig.inspections.browse_mail(BrowseMail(mailbox=BOX, limit=3))
        assert [mail.id for mail in first.mails] == ids[:3]
        assert first.next_after == ids[2]
        assert first.mails[0].state is MailState.IN_FLIGHT
        second = await rig.inspections.browse_mail(BrowseMail(mailbox=BOX, limit=4, after=ids[2]))
        assert [mail.id for mail in second.mails] == ids[3:]
        assert second.next_after is None
        box.ack(held)
        assert box.tally().queued == 6


async def test_a_page_holds_only_what_fits() -> None:
    """Among live messages, or among dead letters, which are in the order of their ids too."""
    async with mail_rig() as rig:
        box = await rig.box(ordered=False)
        a, b = await box.post(Draft(payload="a")), await box.post(Draft(payload="b"))
        for mail_id in (b.mail_id, a.mail_id):
            box.reject(await box.receive(lambda mail, wanted=mail_id: mail.id == wanted), error="no")
        for number in range(4):
            await box.post(Draft(payload=number, sender="bo" if number % 2 else "cy"))
        where = MailFilter(sender="bo")
        live = await rig.inspections.browse_mail(BrowseMail(mailbox=BOX, where=where))
        assert [mail.payload for mail in live.mails] == ["1", "3"]
        dead = await rig.inspections.browse_mail(BrowseMail(mailbox=BOX, dead=True))
        assert [mail.payload for mail in dead.mails] == ['"a"', '"b"']
        where = MailFilter(text='"B"')
        dead = await rig.inspections.browse_mail(BrowseMail(mailbox=BOX, dead=True, where=where))
        assert [mail.payload for mail in dead.mails] == ['"b"']


async def test_a_page_that_cannot_be_is_refused() -> None:
    """Its length, its filter, its mailbox."""
    async with mail_rig() as rig:
        await rig.box()
        for limit in (0, 501):
            with pytest.raises(InvalidInput):
                await rig.inspections.browse_mail(BrowseMail(mailbox=BOX, limit=limit))
        with pytest.raises(InvalidInput):
            await rig.inspections.browse_mail(BrowseMail(mailbox=BOX, where=MailFilter(older_than_s=-1)))
        with pytest.raises(NotFound):
            await rig.inspections.browse_mail(BrowseMail(mailbox=MailboxName("other")))


async def test_one_message_is_found_wherever_it_is() -> None:
    """Queued, in flight or dead; not when it is done."""
    async with mail_rig() as rig:
        box, other = await rig.box(), await rig.box("other")
        queued = await other.post(Draft(payload="q"))
        held = await box.post(Draft(payload="h"))
        mail = await box.receive()
        dead = await rig.killed(box, Draft(payload="d", sender="bo"), "no")
        for mail_id, state in (
            (queued.mail_id, MailState.QUEUED),
            (held.mail_id, MailState.IN_FLIGHT),
            (dead.id, MailState.DEAD),
        ):
            view = await rig.inspections.get_mail(GetMail(mail_id=mail_id))
            assert (view.id, view.state) == (mail_id, state)
        box.ack(mail)
        for gone in (held.mail_id, MailId(10**9)):
            with pytest.raises(NotFound):
                await rig.inspections.get_mail(GetMail(mail_id=gone))


async def test_a_trace_goes_through_all_mailboxes_in_the_order_of_ids() -> None:
    """Live and dead messages of one correlation id, at most 500."""
    async with mail_rig() as rig:
        one, two = await rig.box(), await rig.box("another")
        first = await one.post(Draft(payload=1, correlation="c"))
        dead = await rig.killed(two, Draft(payload=2, correlation="c"), "no")
        await one.post(Draft(payload=3, correlation="else"))
        last = await one.post(Draft(payload=4, correlation="c"))
        page = await rig.inspections.trace_mail(TraceMail(correlation="c"))
        assert [mail.id for mail in page.mails] == [first.mail_id, dead.id, last.mail_id]
        assert page.next_after is None
        for number in range(500):
            await two.post(Draft(payload=number, correlation="c"))
        page = await rig.inspections.trace_mail(TraceMail(correlation="c"))
        assert len(page.mails) == 500
        assert page.next_after == page.mails[-1].id
        with pytest.raises(InvalidInput):
            await rig.inspections.trace_mail(TraceMail(correlation=""))


async def test_dead_letters_are_grouped_over_all_mailboxes_or_one() -> None:
    """The largest group first, with the total of all."""
    async with mail_rig() as rig:
        box, other = await rig.box(), await rig.box("other")
        for number in range(3):
            await rig.killed(other, Draft(payload=number), f"timed out after {number} s")
        await rig.killed(box, Draft(payload=9), "no")
        found = await rig.inspections.list_dead(ListDead())
        assert [(group.mailbox, group.cause, group.count) for group in found.groups] == [
            ("other", "rejected: timed out after # s", 3),
            ("box", "rejected: no", 1),
        ]
        assert found.total == 4
        one = await rig.inspections.list_dead(ListDead(mailbox="box"))
        assert (one.total, one.groups[0].example.payload) == (1, "9")
        with pytest.raises(NotFound):
            await rig.inspections.list_dead(ListDead(mailbox="nowhere"))


async def test_the_cause_of_a_group_finds_its_messages() -> None:
    """What the desk shows can be asked for as a filter."""
    async with mail_rig() as rig:
        box = await rig.box()
        for error in ("lost 1 of 9", "lost 22 of 9", "other"):
            await rig.killed(box, Draft(payload=error), error)
        group = (await rig.inspections.list_dead(ListDead())).groups[0]
        where = MailFilter(reason=group.reason, cause=group.cause)
        page = await rig.inspections.browse_mail(BrowseMail(mailbox=BOX, dead=True, where=where))
        assert len(page.mails) == group.count == 2


async def test_a_long_look_lets_others_run() -> None:
    """Many messages, or few large ones, come in portions."""
    many = [a_mail(number + 1) for number in range(2_000)]
    assert [len(some) async for some in portions(many)] == [512, 512, 512, 464]
    large = [a_mail(number + 1, "x" * 200_000) for number in range(3)]
    assert [len(some) async for some in portions(large)] == [1, 1, 1]
    assert [some async for some in portions([])] == []
    rounds = 0

    async def run_meanwhile() -> None:
        nonlocal rounds
        while not look.done():
            rounds += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        look = group.create_task(fitting(many * 3, lambda mail: mail.id % 2 == 0))
        group.create_task(run_meanwhile())
    assert rounds > 8
    assert len(look.result()) == 3_000


async def test_the_lowest_ids_are_found_in_any_order() -> None:
    """As if all were sorted first."""
    mails = [a_mail(1 + (number * 7919) % 5_000) for number in range(5_000)]
    fits = matcher(MailFilter(), WALL)
    found = await first_fitting(mails, fits, after=17, limit=100)
    assert [mail.id for mail in found] == list(range(18, 118))
    assert [mail.id for mail in await first_fitting(mails, fits, after=4_998, limit=100)] == [4_999, 5_000]
    assert await first_fitting([], fits, after=0, limit=1) == []
