"""What an adversary tried on bounds: who waits for room, and what grows without an end."""

import asyncio

import pytest

from core.api.errors import MailboxFull
from core.api.mailboxes import Overflow
from core.mailbox.mailbox import Mailbox
from core.mailbox.message import Draft
from tests.support.mail_stage import on_stage, rounds

# -- room


async def test_those_who_wait_for_room_are_served_in_their_order() -> None:
    """Also when places come one at a time."""
    async with on_stage() as stage:
        box = await stage.box(durable=False, capacity=1, overflow=Overflow.BLOCK, block_s=60.0)
        await box.post(Draft(payload=-1, sender="bo"))
        create_task = asyncio.get_running_loop().create_task
        posts = [create_task(box.post(Draft(payload=number, sender="ana"))) for number in range(5)]
        await rounds(3)
        got: list[object] = []
        for _ in range(6):
            mail = await box.receive()
            got.append(mail.payload)
            box.ack(mail)
            await rounds(5)
        await asyncio.gather(*posts)
        assert got == [-1, 0, 1, 2, 3, 4]


async def test_who_waits_for_room_is_not_overtaken_by_who_comes_later() -> None:
    """The place that came free is theirs, though they have not run yet."""
    async with on_stage() as stage:
        box = await stage.box(durable=False, capacity=1, overflow=Overflow.BLOCK, block_s=60.0)
        await box.post(Draft(payload=0, sender="bo"))
        create_task = asyncio.get_running_loop().create_task
        waiting = create_task(box.post(Draft(payload="waited", sender="ana")))
        await rounds(3)
        box.ack(await box.receive())
        late = create_task(box.post(Draft(payload="late", sender="ana")))
        await rounds(3)
        assert (waiting.done(), late.done()) == (True, False)
        mail = await box.receive()
        assert mail.payload == "waited"
        box.ack(mail)
        await late


async def test_senders_that_gave_up_waiting_leave_nothing_behind() -> None:
    """However long the mailbox stays full."""
    async with on_stage() as stage:
        box = await stage.box(durable=False, capacity=1, overflow=Overflow.BLOCK, block_s=0.0)
        await box.post(Draft(payload=0, sender="bo"))
        for _ in range(100):
            with pytest.raises(MailboxFull):
                await box.post(Draft(payload=1, sender="ana"))
        assert len(box._room or ()) == 0


async def test_a_place_given_to_somebody_who_gives_up_goes_to_the_next() -> None:
    """No place is lost, whoever is cancelled at the moment of getting one."""
    async with on_stage() as stage:
        box = await stage.box(durable=False, capacity=1, overflow=Overflow.BLOCK, block_s=60.0)
        await box.post(Draft(payload=0, sender="bo"))
        create_task = asyncio.get_running_loop().create_task
        first, second = (create_task(box.post(Draft(payload=number, sender="ana"))) for number in (1, 2))
        await rounds(3)
        box.ack(await box.receive())
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await asyncio.wait_for(second, 5.0)
        assert (box.depth, box.pending) == (1, 0)


# -- growth


async def test_a_ring_that_nobody_reads_keeps_no_more_than_it_holds() -> None:
    """What was dropped to make room is let go of for good."""
    async with on_stage() as stage:
        box = await stage.box(durable=False, capacity=10, overflow=Overflow.DROP_OLDEST)
        for number in range(5000):
            await box.post(Draft(payload=number, sender=f"s{number}"))
        assert lane_length(box) < 1000


async def test_a_mailbox_read_by_predicate_alone_keeps_no_more_than_it_holds() -> None:
    """What was taken from the middle is let go of."""
    async with on_stage() as stage:
        box = await stage.box(durable=False)
        for number in range(5000):
            await box.post(Draft(payload=number, sender=f"s{number}"))
            box.ack(await box.receive(lambda _mail: True))
        assert lane_length(box) < 1000


async def test_settled_messages_leave_no_timers_behind() -> None:
    """Messages with a long time to live that are dealt with at once."""
    async with on_stage() as stage:
        box = await stage.box(durable=False, ttl_s=86_400.0)
        for number in range(5000):
            await box.post(Draft(payload=number, sender="ana"))
            box.ack(await box.receive())
        assert len(box._expiring or ()) < 1000
        assert len(stage.boxes.office._alarms) < 1000


async def test_one_far_timer_costs_one_alarm_however_often_the_mailbox_is_looked_after() -> None:
    """A busy mailbox with a message that is put off for a long time."""
    async with on_stage() as stage:
        box = await stage.box(durable=False)
        await box.post(Draft(payload="later", sender="bo", delay_s=1_000_000.0))
        for _ in range(60):
            await box.post(Draft(payload="now", sender="ana"))
            box.ack(await box.receive())
            await stage.clock.advance(1.0)
        assert len(stage.boxes.office._alarms) <= 2


def lane_length(box: Mailbox) -> int:
    """Entries in the lanes of a mailbox, those included that are passed over."""
    lanes = box._lanes
    return 0 if lanes is None else sum(len(lane) for lane in lanes._lanes.values())


# -- looking


async def test_a_message_that_was_hurried_and_is_done_does_not_spoil_the_view() -> None:
    """The oldest message is one that waits."""
    async with on_stage() as stage:
        box = await stage.box()
        await box.post(Draft(payload="one", sender="ana"))
        mail = await box.receive()
        box.nack(mail, error="no", delay_s=1000.0)
        assert box.hurry(mail.id)
        box.ack(await box.receive())
        await box.post(Draft(payload="two", sender="bo"))
        assert box.view().tally.queued == 1


async def test_a_message_put_back_uncounted_and_taken_again_does_not_spoil_the_view() -> None:
    """The same for one whose delivery was not counted."""
    async with on_stage() as stage:
        box = await stage.box()
        await box.post(Draft(payload="one", sender="ana"))
        transaction = stage.boxes.transaction()
        transaction.put_back(await box.receive(), is_counted=False)
        await transaction.commit()
        await box.receive()
        await box.post(Draft(payload="two", sender="bo"))
        assert box.view().tally.in_flight == 1
