"""What is told about mailboxes once a second, on real mailboxes over a store in memory."""

import random
from functools import partial
from typing import Any

import pytest

from core.api.base import MailboxName
from core.api.errors import StoreError
from core.api.mail import DeadReason, MailDied
from core.api.mailboxes import MailboxesMeasured, MailboxView
from core.mailbox.message import Draft
from core.mailbox.reporting import VIEWS_LIMIT
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.mail_rig import BOX, MailRig, mail_rig


async def second(rig: MailRig) -> list[MailboxView]:
    """A second goes by; what the report at its end shows."""
    rig.records.clear()
    await rig.clock.advance(1)
    await rig.reporting.tick()
    reports = rig.told(MailboxesMeasured)
    assert len(reports) <= 1
    return list(reports[0].mailboxes) if reports else []


async def at_rest(rig: MailRig) -> None:
    """Until nothing is left to tell."""
    for _ in range(100):
        if not await second(rig):
            return
    raise AssertionError("it never comes to rest")


async def test_the_first_look_shows_what_changed_before() -> None:
    """Mailboxes of the time before the service are not missed; those that nobody used are left out."""
    async with mail_rig() as rig:
        await rig.box("unused")
        box = await rig.box()
        await box.post(Draft(payload=1))
        views = await second(rig)
        assert [view.name for view in views] == [BOX]
        assert views[0].tally.queued == 1
        assert not rig.records[-1].durable


async def test_nothing_is_told_and_nothing_is_looked_at_when_nothing_changes() -> None:
    """After a minute of rest."""
    async with mail_rig() as rig:
        box = await rig.box()
        await box.post(Draft(payload=1))
        await at_rest(rig)
        assert rig.reporting._watched == {}
        assert await second(rig) == []
        assert rig.records == []


async def test_only_what_changed_is_told_in_one_report() -> None:
    """With the sum over all, also over those that are not in it."""
    async with mail_rig() as rig:
        one, two, three = await rig.box("one"), await rig.box("two"), await rig.box("three")
        await three.post(Draft(payload=0))
        await at_rest(rig)
        await one.post(Draft(payload=1))
        await two.post(Draft(payload=2))
        views = await second(rig)
        assert [view.name for view in views] == ["one", "two"]
        (report,) = rig.told(MailboxesMeasured)
        assert report.total == rig.mailboxes.tally()
        assert report.total.queued == 3


async def test_rates_and_depths_are_measured_from_the_first_message() -> None:
    """They fade within a minute and are gone after it, each report with a version of its own."""
    async with mail_rig() as rig:
        box = await rig.box()
        await second(rig)
        for number in range(20):
            await box.post(Draft(payload=number))
        for _ in range(5):
            box.ack(await box.receive())
        (view,) = await second(rig)
        assert (view.in_rate_s, view.out_rate_s) == (20.0, 5.0)
        assert view.depths == (15,)
        (later,) = await second(rig)
        assert (later.in_rate_s, later.depths) == (10.0, (15, 15))
        assert later.version > view.version
        last = later
        while views := await second(rig):
            assert views[0].version > last.version
            last = views[0]
        assert (last.in_rate_s, last.depths) == (0.0, ())
        assert box.meter is None


async def test_traffic_after_rest_counts_from_where_it_rested() -> None:
    """Not from the first message ever, and not from the second look only."""
    async with mail_rig() as rig:
        box = await rig.box()
        await second(rig)
        for number in range(50):
            await box.post(Draft(payload=number))
        await at_rest(rig)
        for number in range(3):
            await box.post(Draft(payload=number))
        (view,) = await second(rig)
        assert view.in_rate_s == 3.0


async def test_what_an_earlier_start_left_is_no_traffic() -> None:
    """Stored messages that are read in at the start do not count as a burst."""
    store, clock = MemoryStore(), FakeClock()
    async with mail_rig(store, clock) as rig:
        box = await rig.box()
        for number in range(100):
            await box.post(Draft(payload=number))
    async with mail_rig(store, clock) as rig:
        (view,) = await second(rig)
        assert (view.tally.queued, view.in_rate_s) == (100, 0.0)
        await rig.mailboxes.get(BOX).post(Draft(payload=1))
        (view,) = await second(rig)
        assert view.in_rate_s == 1.0


async def test_a_message_that_is_held_for_long_is_seen_when_it_is_settled() -> None:
    """A mailbox with something in flight is not forgotten."""
    async with mail_rig() as rig:
        box = await rig.box(visibility_s=3600)
        await box.post(Draft(payload=1))
        mail = await box.receive()
        for _ in range(100):
            await second(rig)
        box.ack(mail)
        (view,) = await second(rig)
        assert view.tally.done == 1


async def test_deaths_are_told_once_a_second_with_the_last_of_them() -> None:
    """One stored event for each mailbox."""
    async with mail_rig() as rig:
        box, other = await rig.box(), await rig.box("other")
        await second(rig)
        for number in range(3):
            await rig.killed(box, Draft(payload=number), f"no {number}")
        await rig.killed(other, Draft(payload="o"), "late", DeadReason.EXPIRED)
        await second(rig)
        deaths = rig.told(MailDied)
        assert [(death.mailbox, death.count, death.mail.error) for death in deaths] == [
            ("box", 3, "no 2"),
            ("other", 1, "late"),
        ]
        assert [record.durable for record in rig.records if isinstance(record.event, MailDied)] == [True, True]
        await second(rig)
        assert rig.told(MailDied) == []
        await rig.killed(box, Draft(payload=9), "no 9")
        await second(rig)
        assert [(death.mailbox, death.count) for death in rig.told(MailDied)] == [("box", 1)]


async def test_dead_letters_of_an_earlier_start_do_not_die_again() -> None:
    """They are shown, and no event tells of them."""
    store, clock = MemoryStore(), FakeClock()
    async with mail_rig(store, clock) as rig:
        await rig.killed(await rig.box(), Draft(payload=1), "no")
    async with mail_rig(store, clock) as rig:
        (view,) = await second(rig)
        assert view.tally.dead == 1
        assert rig.told(MailDied) == []


async def test_deaths_that_were_purged_at_once_are_not_told() -> None:
    """There is nothing left to show; the purge has told of it."""
    async with mail_rig() as rig:
        box = await rig.box()
        await second(rig)
        box.drop_now(await rig.killed(box, Draft(payload=1), "no"))
        await second(rig)
        await second(rig)
        assert rig.told(MailDied) == []


class FailingStore(MemoryStore):
    """Refuses commits with events while it fails."""

    is_failing = False

    def submit(self, batch: Any) -> Any:
        """Refuse, or pass on."""
        if batch.entries and self.is_failing:
            raise StoreError("the disk is full", cause="full")
        return super().submit(batch)


async def test_deaths_that_cannot_be_stored_are_told_later_with_those_that_came_meanwhile() -> None:
    """Figures go on being told; no death is left out or told twice."""
    store = FailingStore()
    async with mail_rig(store) as rig:
        box = await rig.box()
        await second(rig)
        await rig.killed(box, Draft(payload=1), "no 1")
        store.is_failing = True
        assert await second(rig)
        assert rig.told(MailDied) == []
        await rig.killed(box, Draft(payload=2), "no 2")
        store.is_failing = False
        await second(rig)
        assert [(death.count, death.mail.error) for death in rig.told(MailDied)] == [(2, "no 2")]
        await second(rig)
        assert rig.told(MailDied) == []


async def test_a_deleted_mailbox_leaves_the_sum() -> None:
    """And another one of its name is told of like any other."""
    async with mail_rig() as rig:
        box = await rig.box()
        await box.post(Draft(payload=1))
        box.ack(await box.receive())
        await second(rig)
        await rig.mailboxes.delete(BOX, actor=rig.records[-1].actor)
        assert await second(rig) == []
        again = await rig.box()
        await again.post(Draft(payload=2))
        (view,) = await second(rig)
        assert view.tally.accepted == 1
        assert rig.told(MailboxesMeasured)[0].total == rig.mailboxes.tally()


async def test_a_mailbox_that_is_made_anew_at_once_replaces_the_old_one() -> None:
    """Deleted and made again within a second: the sum is that of the new one."""
    async with mail_rig() as rig:
        box = await rig.box()
        await box.post(Draft(payload=1))
        box.ack(await box.receive())
        await second(rig)
        await rig.mailboxes.delete(BOX, actor=rig.records[-1].actor)
        again = await rig.box()
        await again.post(Draft(payload=2))
        for _ in range(2):
            await second(rig)
        assert rig.told(MailboxesMeasured)[0].total == rig.mailboxes.tally()
        assert again.tally().accepted == 1


async def test_a_report_is_bounded_and_the_rest_comes_with_the_next() -> None:
    """No mailbox is left out for good."""
    async with mail_rig() as rig:
        for number in range(VIEWS_LIMIT + 20):
            await (await rig.box(f"box-{number:04}", durable=False)).post(Draft(payload=1))
        first = {view.name for view in await second(rig)}
        then = {view.name for view in await second(rig)}
        assert (len(first), len(then)) == (VIEWS_LIMIT, 20)
        assert not first & then
        assert MailboxName("box-0000") in first | then


async def test_the_service_looks_once_a_second() -> None:
    """Run as a service, with the clock moving on."""
    async with mail_rig() as rig:
        box = await rig.box()
        rig.supervisor.start("mail reports", rig.reporting.run)
        await rig.clock.advance(1)
        await box.post(Draft(payload=1))
        rig.records.clear()
        await rig.clock.advance(0.5)
        assert rig.told(MailboxesMeasured) == []
        await rig.clock.advance(0.6)
        assert len(rig.told(MailboxesMeasured)) == 1


@pytest.mark.parametrize("seed", range(5))
async def test_the_sum_is_always_that_of_all_tallies(seed: int) -> None:
    """After any mixture of posts, settlements, deaths and rest."""
    chance = random.Random(seed)
    async with mail_rig() as rig:
        boxes = [await rig.box(f"box-{number}", ordered=False) for number in range(4)]
        for _ in range(60):
            box = chance.choice(boxes)
            for _ in range(chance.randrange(4)):
                await box.post(Draft(payload=1, delay_s=chance.choice((0.0, 0.0, 5.0))))
            mail = box.try_receive()
            if mail is not None:
                chance.choice((box.ack, partial(box.reject, error="no"), box.release))(mail)
            await second(rig)
            for report in rig.told(MailboxesMeasured):
                assert report.total == rig.mailboxes.tally()
