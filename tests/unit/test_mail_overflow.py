"""What a full mailbox does with one more message, under each of the five rules, with a hundred senders at once."""

import asyncio

import pytest

from core.api.base import SYSTEM
from core.api.errors import MailboxClosed, MailboxFull, StoreError
from core.api.mail import DeadReason
from core.api.mailboxes import MailboxPolicy, MailboxState, Overflow
from core.mailbox.mailbox import Mailbox
from core.mailbox.message import Draft
from tests.support.mail_stage import FULL, on_stage, rounds


async def posted(box: Mailbox, *texts: str) -> None:
    """Post one message after another."""
    for text in texts:
        await box.post(Draft(payload=text, sender=text))


def texts_of(box: Mailbox) -> list[str]:
    """What it holds."""
    return [mail.payload for mail in box.live()]


@pytest.mark.parametrize("durable", [False, True])
async def test_reject_refuses_the_new_one(durable: bool) -> None:
    """MailboxFull names the mailbox and its capacity; the refusal is counted, and nothing was accepted."""
    async with on_stage() as stage:
        box = await stage.box(capacity=2, durable=durable)
        await posted(box, "a", "b")
        with pytest.raises(MailboxFull) as caught:
            await posted(box, "c")
        assert (caught.value.facts["mailbox"], caught.value.facts["limit"]) == ("box", 2)
        assert (texts_of(box), box.tally().rejected, box.tally().accepted) == (["a", "b"], 1, 2)


@pytest.mark.parametrize("durable", [False, True])
async def test_drop_oldest_lets_the_oldest_that_waits_go(durable: bool) -> None:
    """Not one that is out; and one that came back after a failure is still the oldest."""
    async with on_stage() as stage:
        box = await stage.box(capacity=3, overflow=Overflow.DROP_OLDEST, durable=durable)
        await posted(box, "a", "b", "c")
        first = await box.receive()
        await posted(box, "d")
        assert texts_of(box) == ["a", "c", "d"]
        box.nack(first, error="no")
        await posted(box, "e")
        assert (texts_of(box), box.tally().dropped) == (["c", "d", "e"], 2)


async def test_drop_oldest_refuses_when_all_are_out() -> None:
    """A message that somebody works on is not taken from them."""
    async with on_stage() as stage:
        box = await stage.box(capacity=1, overflow=Overflow.DROP_OLDEST)
        await posted(box, "a")
        await box.receive()
        with pytest.raises(MailboxFull):
            await posted(box, "b")


@pytest.mark.parametrize("durable", [False, True])
async def test_drop_newest_lets_the_new_one_go(durable: bool) -> None:
    """The sender is not told; the drop is counted."""
    async with on_stage() as stage:
        box = await stage.box(capacity=2, overflow=Overflow.DROP_NEWEST, durable=durable)
        await posted(box, "a", "b", "c")
        assert (texts_of(box), box.tally().accepted, box.tally().dropped) == (["a", "b"], 3, 1)


@pytest.mark.parametrize("durable", [False, True])
async def test_dead_letter_keeps_the_new_one_aside(durable: bool) -> None:
    """It can be redriven later, also after a restart when the mailbox is durable."""
    async with on_stage() as stage:
        box = await stage.box(capacity=1, overflow=Overflow.DEAD_LETTER, durable=durable)
        await posted(box, "a", "b")
        if durable:
            await stage.crash()
            box = stage.boxes.get("box")
        (dead,) = (box.dead or {}).values()
        assert (texts_of(box), dead.payload, dead.reason) == (["a"], "b", DeadReason.OVERFLOW)
        assert "1" in dead.error


@pytest.mark.parametrize("durable", [False, True])
async def test_block_waits_for_room(durable: bool) -> None:
    """The sender goes on as soon as one message is over, and senders go in the order in which they came."""
    async with on_stage() as stage:
        box = await stage.box(capacity=1, overflow=Overflow.BLOCK, block_s=50.0, durable=durable)
        await posted(box, "a")
        async with asyncio.TaskGroup() as group:
            senders = [group.create_task(posted(box, text)) for text in ("b", "c")]
            for text in ("a", "b", "c"):
                mail = await box.receive()
                assert mail.payload == text
                assert box.depth == 1
                box.ack(mail)
                await rounds(8)
        assert all(sender.done() for sender in senders)


async def test_of_two_blocked_senders_of_one_key_one_is_taken() -> None:
    """The key is looked for again once there is room, and the room of the other is free."""
    async with on_stage() as stage:
        box = await stage.box(capacity=2, overflow=Overflow.BLOCK, block_s=50.0)
        await posted(box, "a", "b")
        create_task = asyncio.get_running_loop().create_task
        twins = [create_task(box.post(Draft(payload="k", sender="k", key="k"))) for _ in range(2)]
        other = create_task(posted(box, "c"))
        await rounds(3)
        for _ in range(2):
            box.ack(await box.receive())
        async with asyncio.timeout(5):
            receipts = await asyncio.gather(*twins)
            await other
        assert sorted(receipt.is_duplicate for receipt in receipts) == [False, True]
        assert texts_of(box) == ["k", "c"]


async def test_block_gives_up_at_its_deadline() -> None:
    """MailboxFull, counted, and nothing is left behind of it."""
    async with on_stage() as stage:
        box = await stage.box(capacity=1, overflow=Overflow.BLOCK, block_s=0.01)
        await posted(box, "a")
        with pytest.raises(MailboxFull):
            await posted(box, "b")
        assert (box.depth, box.tally().rejected) == (1, 1)


async def test_a_blocked_sender_that_is_cancelled_when_room_comes_passes_the_turn_on() -> None:
    """The next one in the line gets it."""
    async with on_stage() as stage:
        box = await stage.box(capacity=1, overflow=Overflow.BLOCK, block_s=50.0)
        await posted(box, "a")
        create_task = asyncio.get_running_loop().create_task
        first, second = create_task(posted(box, "b")), create_task(posted(box, "c"))
        await rounds(3)
        box.ack(await box.receive())
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        async with asyncio.timeout(5):
            await second
        assert texts_of(box) == ["c"]


@pytest.mark.parametrize("capacity", [2, 0])
async def test_more_room_lets_blocked_senders_in(capacity: int) -> None:
    """Raised or without bound: they need not wait for a message to be over."""
    async with on_stage() as stage:
        box = await stage.box(capacity=1, overflow=Overflow.BLOCK, block_s=50.0)
        await posted(box, "a")
        blocked = asyncio.get_running_loop().create_task(posted(box, "b"))
        await rounds(3)
        await stage.boxes.set_policy("box", MailboxPolicy(capacity=capacity, overflow=Overflow.BLOCK), actor=SYSTEM)
        async with asyncio.timeout(5):
            await blocked
        assert box.depth == 2


async def test_a_blocked_sender_is_sent_away_when_the_mailbox_closes() -> None:
    """At once, not at its deadline."""
    async with on_stage() as stage:
        box = await stage.box(capacity=1, overflow=Overflow.BLOCK, block_s=50.0)
        await posted(box, "a")
        blocked = [asyncio.get_running_loop().create_task(posted(box, text)) for text in ("b", "c")]
        await rounds(3)
        box.set_state(MailboxState.CLOSED)
        async with asyncio.timeout(5):
            ends = await asyncio.gather(*blocked, return_exceptions=True)
        assert [type(end) for end in ends] == [MailboxClosed] * 2


@pytest.mark.parametrize("overflow", list(Overflow))
@pytest.mark.parametrize("durable", [False, True])
async def test_a_hundred_senders_at_once_never_overshoot_the_bound(overflow: Overflow, durable: bool) -> None:
    """At no time there are more live messages than the capacity; all that was confirmed is accounted for."""
    async with on_stage() as stage:
        box = await stage.box(capacity=10, overflow=overflow, block_s=20.0, durable=durable)
        most = 0
        confirmed = 0

        async def sender(number: int) -> None:
            nonlocal most, confirmed
            try:
                await posted(box, f"s{number}")
            except MailboxFull:
                return
            confirmed += 1
            most = max(most, box.depth)

        async def consumer() -> None:
            for _ in range(90):
                box.ack(await box.receive())

        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(sender(number))
            if overflow is Overflow.BLOCK:
                group.create_task(consumer())
        await stage.settle()
        tally = box.tally()
        assert most == 10
        assert tally.difference == 0
        assert tally.accepted == confirmed == 100 - tally.rejected
        assert box.depth == 10


async def test_what_is_not_stored_gives_its_room_back() -> None:
    """A full disk refuses the post; the next one finds the room free, and its key too."""
    async with on_stage() as stage:
        box = await stage.box(capacity=1)
        stage.store.fault = lambda _batch: FULL
        for _ in range(3):
            with pytest.raises(StoreError):
                await box.post(Draft(payload="a", key="k"))
        stage.store.fault = lambda _batch: None
        assert not (await box.post(Draft(payload="a", key="k"))).is_duplicate
        assert (box.depth, box.tally().accepted) == (1, 1)


async def test_a_full_disk_does_not_make_drop_oldest_lose_what_is_stored() -> None:
    """Nothing is dropped for a message that could not be stored."""
    async with on_stage() as stage:
        box = await stage.box(capacity=2, overflow=Overflow.DROP_OLDEST)
        await posted(box, "a", "b")
        stage.store.fault = lambda batch: None if batch.is_relief else FULL
        for _ in range(3):
            with pytest.raises(StoreError):
                await posted(box, "c")
        stage.store.fault = lambda _batch: None
        assert texts_of(box) == ["a", "b"]
