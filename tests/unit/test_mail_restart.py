"""What the next start finds: all that was confirmed, in order, with its keys, and damage by name."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from core.api.base import MailboxName
from core.api.errors import StoreError
from core.api.mail import DeadReason
from core.mailbox.mailbox import Mailbox
from core.mailbox.message import Draft
from core.store.base import Batch, Pack, Put
from core.store.memory import MemoryStore
from tests.support.mail_stage import BROKEN, MailStage, on_stage, rounds

KINDS = pytest.mark.parametrize("kind", ["memory", "sqlite"])


async def filled(stage: MailStage, count: int, sender: str = "ana") -> None:
    """So many messages, numbered from 0."""
    box = await stage.box()
    for number in range(count):
        await box.post(Draft(payload=number, sender=sender, key=f"k{number}"))


async def drained(box: Mailbox) -> list[object]:
    """Take and settle all that it gives."""
    payloads: list[object] = []
    while (mail := box.try_receive()) is not None:
        payloads.append(mail.payload)
        box.ack(mail)
    return payloads


def slowed(stage: MailStage) -> asyncio.Event:
    """Reading of packs waits for this from now on."""
    gate = asyncio.Event()
    store = stage.store
    read_packs = store.read_packs

    async def gated(*, after: int = 0, limit_bytes: int = 1_048_576) -> list[Pack]:
        await gate.wait()
        return await read_packs(after=after, limit_bytes=limit_bytes)

    store.read_packs = gated  # type: ignore[method-assign] # what a slow disk does
    return gate


@KINDS
async def test_what_was_confirmed_is_there_at_the_next_start(kind: str, tmp_path: Path) -> None:
    """In the order in which it was sent, and nothing that was settled."""
    async with on_stage(kind, tmp_path) as stage:
        await filled(stage, 10)
        box = stage.boxes.get("box")
        for _ in range(3):
            box.ack(await box.receive())
        await stage.settle()
        await stage.crash()
        assert await drained(stage.boxes.get("box")) == list(range(3, 10))
        await stage.settle()
        await stage.crash()
        assert stage.boxes.get("box").depth == 0


@KINDS
async def test_ids_grow_over_restarts(kind: str, tmp_path: Path) -> None:
    """Also when everything was settled, and right after the first read of the newest pack alone."""
    async with on_stage(kind, tmp_path) as stage:
        last = 0
        for _ in range(4):
            box = await stage.box()
            mail_id = (await box.post(Draft(payload=1))).mail_id
            assert mail_id > last
            last = mail_id
            await drained(box)
            await stage.settle()
            await stage.crash(is_indexed=False)
        await stage.boxes.indexed()


async def test_a_key_is_known_after_a_restart_for_the_rest_of_its_window() -> None:
    """Of a message that waits and of one that is done; then it is free again."""
    async with on_stage() as stage:
        await filled(stage, 2)
        box = stage.boxes.get("box")
        box.ack(await box.receive())
        await stage.advance(60.0)
        for _ in range(2):
            await stage.crash()
            box = stage.boxes.get("box")
            for number in range(2):
                receipt = await box.post(Draft(payload="again", sender="ana", key=f"k{number}"))
                assert (receipt.is_duplicate, receipt.mail_id) == (True, number + 1)
        await stage.advance(61.0)
        assert not (await box.post(Draft(payload="new", key="k0"))).is_duplicate


async def test_mail_is_taken_in_while_stored_mail_is_being_read() -> None:
    """It is confirmed at once, given out only when all is in, and behind what its sender sent before."""
    async with on_stage() as stage:
        await filled(stage, 5)
        await stage.die()
        stage.clock = type(stage.clock)()
        gate = None

        def gated() -> None:
            nonlocal gate
            gate = slowed(stage)

        await opened_with(stage, gated)
        box = stage.boxes.get("box")
        assert stage.boxes.is_indexing
        await box.post(Draft(payload="new", sender="ana"))
        assert box.try_receive() is None
        cast("asyncio.Event", gate).set()
        await stage.boxes.indexed()
        assert await drained(box) == [0, 1, 2, 3, 4, "new"]


async def opened_with(stage: MailStage, between: Callable[[], None]) -> None:
    """Open the next start, and act before its stored mail is read."""
    begin = stage.boxes.__class__.open

    async def opening(boxes: object) -> None:
        await begin(boxes)  # type: ignore[arg-type] # the mailboxes
        between()

    stage.boxes.__class__.open = opening  # type: ignore[assignment,method-assign] # for this one start
    try:
        await stage.open(is_indexed=False)
    finally:
        stage.boxes.__class__.open = begin  # type: ignore[method-assign] # as it was


async def test_what_is_sent_while_much_is_put_in_place_stays_behind_it() -> None:
    """Thousands of stored messages are put in place step by step; what comes in between is later in its line."""
    async with on_stage() as stage:
        await stage.box()
        box = stage.boxes.get("box")
        await asyncio.gather(*(box.post(Draft(payload=number, sender="ana")) for number in range(3500)))
        await stage.crash(is_indexed=False)
        box = stage.boxes.get("box")
        sent = 3500
        while stage.boxes.is_indexing:
            await box.post(Draft(payload=sent, sender="ana"))
            sent += 1
        assert sent > 3501
        assert await drained(box) == list(range(sent))


async def test_a_key_of_stored_mail_is_known_before_all_is_read() -> None:
    """A message sent again right after a start is a duplicate, however long the reading takes."""
    async with on_stage() as stage:
        await filled(stage, 3)
        await stage.crash(is_indexed=False)
        assert stage.boxes.is_indexing
        receipt = await stage.boxes.get("box").post(Draft(payload="again", sender="ana", key="k1"))
        assert (receipt.is_duplicate, receipt.mail_id) == (True, 2)


@KINDS
async def test_a_damaged_record_is_named_and_harms_no_other(kind: str, tmp_path: Path) -> None:
    """It is kept as a dead letter of mailbox `damaged`, with its bytes; an alarm tells of it."""
    async with on_stage(kind, tmp_path) as stage:
        await filled(stage, 2)
        await stage.store.commit(Batch(mail=[b"Pnonsense"]))
        await stage.boxes.get("box").post(Draft(payload="more", sender="ana"))
        for _ in range(3):
            await stage.crash()
            await stage.settle()
            assert [mail.payload for mail in stage.boxes.get("box").live()] == [0, 1, "more"]
            (dead,) = (stage.boxes.get("damaged").dead or {}).values()
            assert (dead.reason, dead.body) == (DeadReason.CORRUPT, b"Pnonsense")
            assert any("damaged" in alarm for alarm in stage.alarms)


async def test_a_record_that_the_store_calls_damaged_is_not_believed() -> None:
    """Even when it reads well: it is not what was written."""
    async with on_stage() as stage:
        await filled(stage, 3)
        inner = stage.store.inner
        assert isinstance(inner, MemoryStore)
        packs = inner._packs
        packs[1] = Pack(packs[1].place, packs[1].records, damaged=(len(packs[1].records) - 1,))
        await stage.crash()
        await stage.settle()
        assert [mail.payload for mail in stage.boxes.get("box").live()] == [0, 2]
        assert len(stage.boxes.get("damaged").dead or {}) == 1


async def test_mail_of_a_mailbox_whose_row_is_gone_is_not_lost() -> None:
    """The mailbox is made again for it."""
    async with on_stage() as stage:
        await filled(stage, 1)
        await stage.store.commit(Batch([Put("mailbox/box", None)]))
        await stage.crash()
        assert stage.boxes.get(MailboxName("box")).depth == 1


async def test_mail_that_cannot_be_read_is_told() -> None:
    """An alarm says so, and nothing is given out as if it were all."""
    async with on_stage() as stage:
        await filled(stage, 3)
        await stage.die()

        def broken() -> None:
            async def read_packs(**_: object) -> list[Pack]:
                raise StoreError(BROKEN.message, **BROKEN.facts)

            stage.store.read_packs = read_packs  # type: ignore[method-assign] # what a broken disk does

        await opened_with(stage, broken)
        with pytest.raises(StoreError):
            await stage.boxes.indexed()
        assert any("cannot be read" in alarm for alarm in stage.alarms)
        assert stage.boxes.get("box").try_receive() is None


async def test_a_dead_letter_keeps_its_story_over_restarts() -> None:
    """Reason, error, attempts, and when it died."""
    async with on_stage() as stage:
        box = await stage.box()
        await box.post(Draft(payload="one", sender="ana"))
        mail = await box.receive()
        box.nack(mail, error="first", delay_s=0)
        box.reject(await box.receive(), error="second")
        before = next(iter((box.dead or {}).values()))
        await stage.settle()
        for _ in range(2):
            await stage.crash(wall_s=3600.0)
            (dead,) = (stage.boxes.get("box").dead or {}).values()
            assert dead.payload == "one"
            for field in ("reason", "error", "attempts", "attempt", "died_at", "created_at", "id"):
                assert getattr(dead, field) == getattr(before, field)


async def test_an_ack_that_was_not_stored_means_another_delivery() -> None:
    """At least once is kept; nothing else is promised for it."""
    async with on_stage() as stage:
        await filled(stage, 1)
        box = stage.boxes.get("box")
        mail = await box.receive()
        await stage.settle()
        box.ack(mail)
        await stage.crash()
        assert (await stage.boxes.get("box").receive()).attempt == 2


async def test_an_ack_is_not_written_while_its_message_is_given_out_again_before_it() -> None:
    """A message handed on at once after a failure counts as in flight at a crash."""
    async with on_stage() as stage:
        await filled(stage, 1)
        box = stage.boxes.get("box")
        mail = await box.receive()
        waiting = asyncio.get_running_loop().create_task(box.receive())
        await rounds(3)
        box.nack(mail, error="no", delay_s=0)
        assert (await waiting).attempt == 2
        await stage.settle()
        await stage.crash()
        again = await stage.boxes.get("box").receive()
        assert (again.attempt, again.crashes) == (3, 1)
