"""What an adversary tried on keys, and on a disk that fails or is in doubt at the wrong moment."""

import asyncio
from pathlib import Path

import pytest

from core.api.base import SYSTEM, MailId
from core.api.errors import StoreError
from core.api.mailboxes import Overflow
from core.mailbox.mailbox import Mailbox
from core.mailbox.message import Draft
from core.store.base import Batch
from tests.support.mail_stage import BROKEN, FULL, on_stage, rounds

KINDS = pytest.mark.parametrize("kind", ["memory", "sqlite"])


async def dead_letter(box: Mailbox, draft: Draft) -> MailId:
    """The id of a message that was posted and rejected."""
    receipt = await box.post(draft)
    box.reject(await box.receive(), error="no")
    return receipt.mail_id


# -- keys


async def test_two_senders_that_wait_for_room_with_one_key_put_in_one_message() -> None:
    """The key is looked up again when there is room."""
    async with on_stage() as stage:
        box = await stage.box(capacity=1, overflow=Overflow.BLOCK, block_s=60.0)
        await box.post(Draft(payload="first", sender="bo"))
        create_task = asyncio.get_running_loop().create_task
        posts = [create_task(box.post(Draft(payload="x", sender="ana", key="k"))) for _ in range(2)]
        await rounds(3)
        for _ in range(2):
            mail = await box.receive()
            box.ack(mail)
            await stage.settle()
        receipts = await asyncio.gather(*posts)
        assert sorted(receipt.is_duplicate for receipt in receipts) == [False, True]
        assert box.tally().accepted == 2


async def test_a_redrive_that_fails_leaves_the_key_of_the_dead_letter_known() -> None:
    """The dead letter is still there, so a message with its key is still a duplicate."""
    async with on_stage() as stage:
        box = await stage.box()
        mail_id = await dead_letter(box, Draft(payload="x", sender="ana", key="k"))
        await stage.settle()
        stage.store.fault = lambda batch: None if batch.is_relief else FULL
        transaction = stage.boxes.transaction()
        dead = (box.dead or {})[mail_id]
        transaction.redrive(dead, "box", key=dead.key)
        with pytest.raises(StoreError):
            await transaction.commit()
        stage.store.fault = lambda _batch: None
        assert (await box.post(Draft(payload="x", sender="ana", key="k"))).is_duplicate


async def test_the_window_of_a_redriven_key_is_the_same_after_a_restart() -> None:
    """It counts from the redrive, before the restart and after it."""
    async with on_stage() as stage:
        box = await stage.box(dedupe_s=120.0)
        mail_id = await dead_letter(box, Draft(payload="x", sender="ana", key="k"))
        await stage.advance(100.0)
        transaction = stage.boxes.transaction()
        dead = (box.dead or {})[mail_id]
        again = transaction.redrive(dead, "box", key=dead.key)
        await transaction.commit()
        await stage.crash()
        box = stage.boxes.get("box")
        await stage.advance(50.0)
        receipt = await box.post(Draft(payload="x", sender="ana", key="k"))
        assert (receipt.is_duplicate, receipt.mail_id) == (True, again)


async def test_a_message_dropped_in_a_transaction_leaves_no_key_behind() -> None:
    """The overflow policy lost it; the next one with its key is no duplicate of anything."""
    async with on_stage() as stage:
        box = await stage.box(capacity=1, overflow=Overflow.DROP_NEWEST)
        await box.post(Draft(payload="first", sender="bo"))
        transaction = stage.boxes.transaction()
        transaction.post("box", Draft(payload="x", sender="ana", key="k"))
        await transaction.commit()
        box.ack(await box.receive())
        await stage.settle()
        assert not (await box.post(Draft(payload="x", sender="ana", key="k"))).is_duplicate


@KINDS
async def test_a_mailbox_made_anew_knows_no_keys_of_the_one_before(kind: str, tmp_path: Path) -> None:
    """Neither at once nor after a restart, though the log still tells of them."""
    async with on_stage(kind, tmp_path) as stage:
        box = await stage.box()
        await box.post(Draft(payload="old", sender="ana", key="k"))
        box.ack(await box.receive())
        await stage.boxes.delete("box", actor=SYSTEM)
        await stage.box()
        await stage.crash()
        assert not (await stage.boxes.get("box").post(Draft(payload="new", sender="ana", key="k"))).is_duplicate


# -- notes that fail


async def test_notes_that_could_not_be_written_keep_their_order() -> None:
    """Two batches fail, one after the other: what is written in the end is in the order in which it happened."""
    async with on_stage() as stage:
        box = await stage.box(max_crashes=1)
        await box.post(Draft(payload="x", sender="ana"))
        stage.store.is_held = True
        mail = await box.receive()
        await rounds(3)
        box.nack(mail, error="no", delay_s=1000.0)
        await rounds(3)
        assert stage.store.held_count == 2
        stage.store.let_go(BROKEN)
        await rounds(6)
        await stage.advance(2.0)
        await stage.crash()
        box = stage.boxes.get("box")
        assert (len(box.waiting), len(box.dead or {})) == (1, 0)


async def test_a_note_written_twice_is_no_second_delivery() -> None:
    """A disk in doubt: the note was written, failed all the same, and is written again behind what came after it."""
    async with on_stage() as stage:
        box = await stage.box(max_crashes=1)
        await box.post(Draft(payload="x", sender="ana"))
        inner = stage.store.inner
        doubtful = [True]

        def fault(batch: Batch) -> StoreError | None:
            if doubtful:
                doubtful.clear()
                inner.submit(batch)
                return BROKEN
            return None

        stage.store.fault = fault
        stage_mail = await box.receive()
        stage.boxes.log.flush()
        box.nack(stage_mail, error="no", delay_s=1000.0)
        stage.boxes.log.flush()
        await rounds(6)
        await stage.advance(2.0)
        await stage.crash()
        assert len(stage.boxes.get("box").dead or {}) == 0


# -- a disk in doubt


@pytest.mark.parametrize("is_sent_again", [True, False])
async def test_a_message_refused_in_doubt_does_not_come_back(is_sent_again: bool) -> None:
    """The disk failed and had it all the same: sent again with its key there is one of it, also after a restart."""
    async with on_stage() as stage:
        box = await stage.box()
        inner = stage.store.inner

        def fault(batch: Batch) -> StoreError | None:
            if batch.mail and not batch.is_relief:
                inner.submit(batch)
                return BROKEN
            return None

        stage.store.fault = fault
        with pytest.raises(StoreError):
            await box.post(Draft(payload="x", sender="ana", key="k"))
        stage.store.fault = lambda _batch: None
        await stage.settle()
        if is_sent_again:
            assert not (await box.post(Draft(payload="x", sender="ana", key="k"))).is_duplicate
            await stage.settle()
        await stage.crash()
        box = stage.boxes.get("box")
        assert box.depth == is_sent_again
        assert (await box.post(Draft(payload="x", sender="ana", key="k"))).is_duplicate is is_sent_again
