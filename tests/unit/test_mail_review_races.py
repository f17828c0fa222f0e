"""What an adversary tried on commits under way: cleaning, deletion, drops, and ends of the core."""

import asyncio
from pathlib import Path

import pytest

from core.api.base import SYSTEM, MailId
from core.api.errors import ConflictError, StaleLease, StoreError
from core.api.mail import DeadReason
from core.api.mailboxes import Guarantee, MailboxPolicy, MailboxState
from core.mailbox import cleaning
from core.mailbox.mailbox import Mailbox
from core.mailbox.message import Draft
from tests.support.mail_stage import FULL, on_stage, rounds

KINDS = pytest.mark.parametrize("kind", ["memory", "sqlite"])


async def dead_letter(box: Mailbox, draft: Draft) -> MailId:
    """The id of a message that was posted and rejected."""
    receipt = await box.post(draft)
    box.reject(await box.receive(), error="no")
    return receipt.mail_id


# -- cleaning


@KINDS
async def test_cleaning_brings_back_nothing_that_a_commit_is_settling(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy of a message must not stand behind the record that ends it."""
    monkeypatch.setattr(cleaning, "_KEPT_PACKS", 4)
    async with on_stage(kind, tmp_path) as stage:
        box = await stage.box(dedupe_s=0.0)
        await box.post(Draft(payload="old", sender="ana"))
        for _ in range(20):
            await box.post(Draft(payload="x", sender="bo"))
            box.ack(await box.receive(lambda mail: mail.sender == "bo"))
            await stage.settle()
        mail = await box.receive()
        await stage.settle()
        stage.store.is_held = True
        transaction = stage.boxes.transaction()
        transaction.ack(mail)
        create_task = asyncio.get_running_loop().create_task
        commit = create_task(transaction.commit())
        await rounds(3)
        step = create_task(stage.boxes._cleaning.step())
        for _ in range(20):
            await stage.store.read_packs(after=10**9)
        stage.store.let_go()
        await asyncio.gather(commit, step)
        await stage.settle()
        await stage.crash()
        assert stage.boxes.get("box").depth == 0


# -- mailboxes that come and go


async def test_a_mailbox_is_not_deleted_before_its_stored_mail_is_read() -> None:
    """It seems empty then."""
    async with on_stage() as stage:
        await (await stage.box(max_deliveries=9)).post(Draft(payload="x", sender="ana"))
        await stage.crash(is_indexed=False)
        with pytest.raises(ConflictError):
            await stage.boxes.delete("box", actor=SYSTEM)
        await stage.boxes.indexed()
        assert (stage.boxes.get("box").depth, stage.boxes.get("box").policy.max_deliveries) == (1, 9)


async def test_a_mailbox_that_is_being_deleted_is_not_changed() -> None:
    """A pause, a resume, or other rules would open it again, and what came in then would be nowhere."""
    async with on_stage() as stage:
        await stage.box()
        stage.store.is_held = True
        create_task = asyncio.get_running_loop().create_task
        deleting = create_task(stage.boxes.delete("box", actor=SYSTEM))
        await rounds(3)
        for act in (
            stage.boxes.pause("box", actor=SYSTEM),
            stage.boxes.resume("box", actor=SYSTEM),
            stage.boxes.set_policy("box", MailboxPolicy(), actor=SYSTEM),
            stage.boxes.delete("box", actor=SYSTEM),
        ):
            with pytest.raises(ConflictError):
                await act
        stage.store.let_go()
        await deleting
        assert stage.boxes.find("box") is None


async def test_a_resume_under_way_does_not_open_a_mailbox_that_is_being_deleted() -> None:
    """It was asked for first and ends while the other one is under way."""
    async with on_stage() as stage:
        box = await stage.box()
        await stage.boxes.pause("box", actor=SYSTEM)
        stage.store.is_held = True
        create_task = asyncio.get_running_loop().create_task
        resuming = create_task(stage.boxes.resume("box", actor=SYSTEM))
        await rounds(3)
        deleting = create_task(stage.boxes.delete("box", actor=SYSTEM))
        await rounds(3)
        states: list[MailboxState] = []
        resuming.add_done_callback(lambda _task: states.append(box.state))
        stage.store.let_go()
        await asyncio.gather(resuming, deleting, return_exceptions=True)
        assert MailboxState.OPEN not in states or stage.boxes.find("box") is box


async def test_rules_given_to_a_mailbox_whose_row_is_gone_outlive_a_restart() -> None:
    """It gets a row by that."""
    async with on_stage() as stage:
        box = stage.boxes._box_of("box")
        await stage.boxes.set_policy("box", MailboxPolicy(max_deliveries=9), actor=SYSTEM)
        await stage.boxes.pause("box", actor=SYSTEM)
        await box.post(Draft(payload="x", sender="ana"))
        await stage.crash()
        box = stage.boxes.get("box")
        assert (box.policy.max_deliveries, box.state) == (9, MailboxState.PAUSED)


# -- ends of the core


async def test_an_orderly_stop_is_no_crash() -> None:
    """What is in flight then is given out again, and is not on its way to be taken for poison."""
    async with on_stage() as stage:
        await (await stage.box(max_crashes=1)).post(Draft(payload="x", sender="ana"))
        await stage.boxes.get("box").receive()
        await stage.settle()
        await stage.supervisor.stop(deadline_s=5.0)
        await stage.boxes.close()
        await stage.crash()
        box = stage.boxes.get("box")
        assert (box.tally().queued, box.tally().dead) == (1, 0)


async def test_a_message_that_kills_the_core_at_once_is_poison_in_the_end() -> None:
    """Also when its delivery was never noted, since the core died in the very round in which it was given out."""
    async with on_stage() as stage:
        await (await stage.box(max_crashes=2)).post(Draft(payload="x", sender="ana"))
        for _ in range(4):
            box = stage.boxes.get("box")
            if box.dead:
                break
            await box.receive()
            await stage.crash()
        assert [mail.reason for mail in (stage.boxes.get("box").dead or {}).values()] == [DeadReason.POISON]


# -- dead letters


async def test_dead_letters_go_at_their_age_in_a_mailbox_where_nothing_happens() -> None:
    """Before a restart and after it."""
    async with on_stage() as stage:
        box = await stage.box(dead_keep_s=1000.0)
        await dead_letter(box, Draft(payload="one", sender="ana"))
        await stage.settle()
        await stage.advance(10.0)
        await stage.advance(1000.0)
        await stage.advance(100.0)
        assert not box.dead
        await dead_letter(box, Draft(payload="two", sender="ana"))
        await stage.settle()
        await stage.crash()
        await stage.advance(1000.0)
        await stage.advance(100.0)
        assert not stage.boxes.get("box").dead


async def test_the_first_to_die_are_the_first_to_go_also_after_a_restart() -> None:
    """Not those with the lowest ids."""
    async with on_stage() as stage:
        box = await stage.box(dead_keep_count=1, ordered=False)
        for number in range(2):
            await box.post(Draft(payload=number, sender="ana"))
        first, second = box.try_receive(), box.try_receive()
        assert first is not None
        assert second is not None
        box.reject(second, error="no")
        await stage.settle()
        stage.clock.step(5.0)
        box.reject(first, error="no")
        await stage.boxes.log.flushed()
        await stage.crash()
        await stage.advance(1.0)
        await stage.advance(61.0)
        assert [mail.payload for mail in (stage.boxes.get("box").dead or {}).values()] == [0]


# -- dropped while it is wanted


async def test_what_is_being_dropped_is_not_given_out() -> None:
    """From the moment on at which the commit was asked for."""
    async with on_stage() as stage:
        box = await stage.box()
        receipt = await box.post(Draft(payload="x", sender="ana"))
        stage.store.is_held = True
        transaction = stage.boxes.transaction()
        transaction.drop(box.waiting[receipt.mail_id])
        commit = asyncio.get_running_loop().create_task(transaction.commit())
        await rounds(3)
        assert box.try_receive() is None
        assert box.try_receive(lambda _mail: True) is None
        stage.store.let_go()
        await commit
        assert (box.depth, box.tally().dropped) == (0, 1)


@pytest.mark.parametrize("delay_s", [0.0, 5.0])
async def test_what_could_not_be_dropped_is_given_out_when_it_is_due(delay_s: float) -> None:
    """A commit that fails has changed nothing."""
    async with on_stage() as stage:
        box = await stage.box()
        for number in range(2):
            await box.post(Draft(payload=number, sender="ana", delay_s=delay_s))
        stage.store.is_held = True
        transaction = stage.boxes.transaction()
        for mail in list(box.waiting.values()):
            transaction.drop(mail)
        commit = asyncio.get_running_loop().create_task(transaction.commit())
        await rounds(3)
        await stage.clock.advance(delay_s)
        stage.store.let_go(FULL)
        with pytest.raises(StoreError):
            await commit
        await stage.clock.advance(1.1)
        got: list[object] = []
        while (again := box.try_receive()) is not None:
            got.append(again.payload)
            box.ack(again)
        assert got == [0, 1]


async def test_two_commits_cannot_drop_the_same_message() -> None:
    """The second one fails, and nothing of it happens."""
    async with on_stage() as stage:
        box = await stage.box()
        receipt = await box.post(Draft(payload="x", sender="ana"))
        stage.store.is_held = True
        first, second = stage.boxes.transaction(), stage.boxes.transaction()
        first.drop(box.waiting[receipt.mail_id])
        second.drop(box.waiting[receipt.mail_id])
        commit = asyncio.get_running_loop().create_task(first.commit())
        await rounds(3)
        with pytest.raises(StaleLease):
            await second.commit()
        stage.store.let_go()
        await commit
        assert (box.depth, box.tally().dropped) == (0, 1)


async def test_mail_taken_at_most_once_has_no_trace_in_the_log() -> None:
    """So it cannot come back."""
    async with on_stage() as stage:
        box = await stage.box(guarantee=Guarantee.AT_MOST_ONCE)
        await box.post(Draft(payload="x", sender="ana"))
        await box.receive()
        await stage.crash()
        assert stage.boxes.get("box").depth == 0
