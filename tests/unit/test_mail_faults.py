"""When the store fails: posts are refused, work can still be ended, and nothing that was confirmed is lost."""

import asyncio

import pytest

from core.api.errors import StoreError
from core.api.mailboxes import MailboxState
from core.mailbox.message import Draft
from core.store.base import Batch
from tests.support.mail_stage import BROKEN, FULL, on_stage, rounds

ONE = Draft(payload="one", sender="ana", key="k")


@pytest.mark.parametrize("error", [FULL, BROKEN], ids=["full", "io"])
async def test_a_post_that_is_not_stored_is_refused(error: StoreError) -> None:
    """StoreError, for each of those who were written together; nobody receives it; later it works again."""
    async with on_stage() as stage:
        box = await stage.box()
        stage.store.fault = lambda _batch: error
        posts = (box.post(Draft(payload=number, sender="ana")) for number in range(5))
        ends = await asyncio.gather(*posts, return_exceptions=True)
        assert [type(end) for end in ends] == [StoreError] * 5
        assert len({id(end) for end in ends}) == 5
        assert {end.facts["cause"] for end in ends if isinstance(end, StoreError)} == {error.facts["cause"]}
        assert (box.try_receive(), box.depth) == (None, 0)
        stage.store.fault = lambda _batch: None
        await box.post(ONE)
        assert box.depth == 1


async def test_work_is_ended_while_the_disk_is_full() -> None:
    """Acks are relief and are still written; posts are not."""
    async with on_stage() as stage:
        box = await stage.box()
        for number in range(3):
            await box.post(Draft(payload=number, sender=f"s{number}"))
        mails = [await box.receive() for _ in range(3)]
        await stage.settle()
        stage.store.fault = lambda batch: None if batch.is_relief else FULL
        with pytest.raises(StoreError):
            await box.post(ONE)
        box.ack(mails[0])
        box.nack(mails[1], error="no", delay_s=1000.0)
        box.reject(mails[2], error="no")
        await stage.settle()
        await stage.crash()
        tally = stage.boxes.get("box").tally()
        assert (tally.queued, tally.delayed, tally.dead) == (0, 1, 1)


async def test_a_transaction_that_only_ends_work_is_relief() -> None:
    """Settling by commit works on a full disk; one that posts or writes rows does not."""
    async with on_stage() as stage:
        box = await stage.box()
        await box.post(ONE)
        mail = await box.receive()
        await stage.settle()
        stage.store.fault = lambda batch: None if batch.is_relief else FULL
        posting = stage.boxes.transaction()
        posting.post("box", Draft(payload="two"))
        with pytest.raises(StoreError):
            await posting.commit()
        settling = stage.boxes.transaction()
        settling.ack(mail)
        await settling.commit()
        assert box.depth == 0


async def test_acks_that_could_not_be_written_are_written_later() -> None:
    """Meanwhile an alarm tells of it; after a restart nothing is given out again."""
    async with on_stage() as stage:
        box = await stage.box()
        for number in range(3):
            await box.post(Draft(payload=number, sender=f"s{number}"))
        stage.store.fault = lambda _batch: BROKEN
        for _ in range(3):
            box.ack(await box.receive())
        await rounds(10)
        assert any("settlements" in alarm for alarm in stage.alarms)
        for _ in range(3):
            await stage.clock.advance(1.0)
        stage.store.fault = lambda _batch: None
        await stage.advance(1.5)
        assert not stage.boxes.log.is_owing
        await stage.crash()
        assert stage.boxes.get("box").depth == 0


async def test_a_store_that_fails_for_a_while_loses_no_confirmed_message() -> None:
    """Every third batch fails: what was confirmed comes out once and in order, what was refused was sent again."""
    async with on_stage() as stage:
        box = await stage.box()
        count = 0

        def fault(batch: Batch) -> StoreError | None:
            nonlocal count
            count += bool(batch.mail)
            return BROKEN if batch.mail and count % 3 == 1 else None

        stage.store.fault = fault
        for number in range(30):
            while True:
                try:
                    await box.post(Draft(payload=number, sender="ana", key=f"k{number}"))
                    break
                except StoreError:
                    continue
        got: list[object] = []
        while (mail := box.try_receive()) is not None:
            got.append(mail.payload)
            box.ack(mail)
            await rounds(1)
        assert got == list(range(30))
        stage.store.fault = lambda _batch: None
        await stage.advance(2.0)
        await stage.crash()
        assert stage.boxes.get("box").depth == 0


async def test_a_sender_that_gives_up_does_not_take_the_others_with_it() -> None:
    """Cancelled while its message is stored: the message is in, and whoever repeats its key hears so."""
    async with on_stage() as stage:
        box = await stage.box()
        stage.store.is_held = True
        create_task = asyncio.get_running_loop().create_task
        first, second = create_task(box.post(ONE)), create_task(box.post(ONE))
        await rounds(5)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        third = create_task(box.post(ONE))
        await rounds(5)
        assert not third.done()
        stage.store.let_go()
        receipts = await asyncio.gather(second, third)
        assert [receipt.is_duplicate for receipt in receipts] == [True, True]
        assert box.depth == 1


async def test_who_repeats_a_key_whose_message_is_not_stored_is_refused_too() -> None:
    """Nobody is told of a message that is not there."""
    async with on_stage() as stage:
        box = await stage.box()
        stage.store.is_held = True
        create_task = asyncio.get_running_loop().create_task
        posts = [create_task(box.post(ONE)) for _ in range(3)]
        await rounds(5)
        stage.store.let_go(FULL)
        ends = await asyncio.gather(*posts, return_exceptions=True)
        assert [type(end) for end in ends] == [StoreError] * 3
        assert not (await box.post(ONE)).is_duplicate


async def test_messages_are_seen_by_nobody_before_they_are_durable() -> None:
    """Neither given out, nor counted, nor shown."""
    async with on_stage() as stage:
        box = await stage.box()
        stage.store.is_held = True
        post = asyncio.get_running_loop().create_task(box.post(ONE))
        await rounds(5)
        assert (box.try_receive(), box.depth, box.peek(), box.browse()) == (None, 0, None, [])
        stage.store.let_go()
        await post
        assert box.depth == 1


async def test_all_senders_of_a_moment_share_one_commit() -> None:
    """A hundred at once cost the store one batch."""
    async with on_stage() as stage:
        box = await stage.box()
        await stage.settle()
        before = stage.store.stats().commit_count
        await asyncio.gather(*(box.post(Draft(payload=n, sender=f"s{n}")) for n in range(100)))
        assert stage.store.stats().commit_count == before + 1
        assert box.state is MailboxState.OPEN


async def test_what_was_owed_does_not_undo_what_came_after_it() -> None:
    """Notes keep their order: what happened last is what the next start finds."""
    async with on_stage() as stage:
        box = await stage.box()
        await box.post(ONE)
        failures = iter([BROKEN])
        stage.store.fault = lambda _batch: next(failures, None)
        box.nack(await box.receive(), error="first", delay_s=0)
        # This goes to the store before it is known that the batch before it failed.
        stage.boxes.log.flush()
        box.nack(await box.receive(), error="second", delay_s=0)
        held = await box.receive()
        stage.boxes.log.flush()
        assert held.attempt == 3
        await rounds(10)
        await stage.advance(1.5)
        await stage.crash()
        mail = await stage.boxes.get("box").receive()
        assert (mail.attempt, mail.crashes) == (4, 1)
