"""Many messages dropped or sent once more, on real mailboxes over a store in memory."""

import asyncio
from typing import Any

import pytest

from core.api.base import Actor, ActorKind, MailboxName, MailId, Record
from core.api.errors import InvalidInput, MailboxClosed, MailboxFull, NotFound, StoreError
from core.api.mail import (
    BulkReceipt,
    DeadReason,
    MailboxPurged,
    MailFilter,
    MailRedriven,
    MailState,
    PurgeMailbox,
    RedriveMail,
)
from core.api.mailboxes import MailboxState, Overflow
from core.mailbox.mailbox import Mailbox
from core.mailbox.message import Draft, Mail
from core.mailbox.redrives import STEP
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.journals import until_idle
from tests.support.mail_rig import ANA, BOX, MailRig, mail_rig

OTHER = MailboxName("other")


async def dead(rig: MailRig, box: Mailbox, count: int, error: str = "no", **draft: Any) -> list[Mail]:
    """So many dead letters, one second after another."""
    found: list[Mail] = []
    for number in range(count):
        found.append(await rig.killed(box, Draft(payload=number, **{"sender": "bo", **draft}), error))
        await rig.clock.advance(1)
    return found


async def given_out(box: Mailbox) -> list[Mail]:
    """All that can be taken, settled."""
    found: list[Mail] = []
    while (mail := box.try_receive()) is not None:
        found.append(mail)
        box.ack(mail)
    return found


async def test_a_dry_run_counts_by_mailbox_and_does_nothing() -> None:
    """Of a purge and of a redrive; what fits is counted whatever the limit."""
    async with mail_rig() as rig:
        await dead(rig, await rig.box(), 3)
        await dead(rig, await rig.box("other"), 2, error="else")
        await dead(rig, await rig.box("third"), 1)
        where = MailFilter(older_than_s=1)
        purge = await rig.redrives.purge_mailbox(PurgeMailbox(mailbox="", dead=True, dry_run=True), ANA)
        assert purge == BulkReceipt(
            matched=6, changed=0, is_dry_run=True, by_mailbox={"box": 3, "other": 2, "third": 1}
        )
        redrive = await rig.redrives.redrive_mail(RedriveMail(where=where, limit=1, dry_run=True), ANA)
        assert (redrive.matched, redrive.by_mailbox) == (5, {"box": 3, "other": 2})
        assert rig.told(MailboxPurged) == rig.told(MailRedriven) == []
        assert rig.mailboxes.tally().dead == 6


async def test_a_redriven_message_is_a_new_one_with_its_history_behind_it() -> None:
    """Payload, sender, type, correlation, headers and key stay; id, attempts and error are fresh."""
    async with mail_rig() as rig:
        box = await rig.box()
        draft = Draft(
            payload={"a": 1}, sender="bo", message_type="t", correlation="c", headers={"h": "v"}, key="k", order_key="o"
        )
        old = await rig.killed(box, draft, "no")
        receipt = await rig.redrives.redrive_mail(RedriveMail(mailbox=BOX, reason="mended"), ANA)
        assert (receipt.matched, receipt.changed, receipt.is_dry_run) == (1, 1, False)
        new = await box.receive()
        assert receipt.mail_ids == (new.id,)
        assert new.id > old.id
        assert (new.payload, new.sender, new.message_type, new.correlation) == ({"a": 1}, "bo", "t", "c")
        assert (new.headers, new.order_key, new.key) == ({"h": "v"}, "o", "k")
        assert (new.attempt, new.attempts, new.error, new.reason) == (1, None, "", None)
        assert (new.replays, new.redriven_from) == (1, old.id)
        assert old.state is MailState.DROPPED
        assert not box.dead
        (event,) = rig.told(MailRedriven)
        assert event == MailRedriven(mailbox=BOX, target=BOX, count=1, reason="mended")
        assert rig.records[-1].actor == ANA


async def test_the_window_for_keys_does_not_swallow_what_is_redriven() -> None:
    """It goes out although its key is known, and its sender's next try still counts as a duplicate, of the new one."""
    async with mail_rig() as rig:
        box = await rig.box()
        draft = Draft(payload=1, key="k")
        await rig.killed(box, draft, "no")
        receipt = await rig.redrives.redrive_mail(RedriveMail(mailbox=BOX), ANA)
        again = await box.post(draft)
        assert (again.is_duplicate, again.mail_id) == (True, receipt.mail_ids[0])
        assert [mail.id for mail in await given_out(box)] == list(receipt.mail_ids)


async def test_replays_are_counted() -> None:
    """Dead once more, it remembers that it was sent again, and from where."""
    async with mail_rig() as rig:
        box = await rig.box()
        await rig.killed(box, Draft(payload=1, key="k"), "no")
        for replay in (1, 2, 3):
            before = next(iter(box.dead or {}))
            await rig.redrives.redrive_mail(RedriveMail(mailbox=BOX), ANA)
            mail = await box.receive()
            assert (mail.replays, mail.redriven_from) == (replay, before)
            box.reject(mail, error="no")


async def test_a_limit_takes_the_earliest_dead_of_all_mailboxes() -> None:
    """Whichever mailbox they are in; the rest stays."""
    async with mail_rig() as rig:
        one, two = await rig.box(), await rig.box("other")
        for _ in range(3):
            await dead(rig, one, 1)
            await dead(rig, two, 1)
        receipt = await rig.redrives.redrive_mail(RedriveMail(limit=3), ANA)
        assert (receipt.matched, receipt.changed) == (6, 3)
        assert (len(one.dead or ()), len(two.dead or ())) == (1, 2)
        assert [(event.mailbox, event.count) for event in rig.told(MailRedriven)] == [("box", 2), ("other", 1)]


async def test_another_target_can_be_named() -> None:
    """The event says from where and where to."""
    async with mail_rig() as rig:
        box, other = await rig.box(), await rig.box("other")
        await dead(rig, box, 2)
        await rig.redrives.redrive_mail(RedriveMail(mailbox=BOX, target="other"), ANA)
        assert [(event.mailbox, event.target, event.count) for event in rig.told(MailRedriven)] == [(BOX, OTHER, 2)]
        assert [(mail.mailbox, mail.payload) for mail in await given_out(other)] == [(OTHER, 0), (OTHER, 1)]
        assert (box.depth, box.dead) == (0, {})


async def test_what_is_redriven_survives_a_restart_once() -> None:
    """The new message is there, the dead letter is not."""
    store, clock = MemoryStore(), FakeClock()
    async with mail_rig(store, clock) as rig:
        await dead(rig, await rig.box(), 3)
        receipt = await rig.redrives.redrive_mail(RedriveMail(mailbox=BOX, limit=2), ANA)
    async with mail_rig(store, clock) as rig:
        box = rig.mailboxes.get(BOX)
        assert len(box.dead or ()) == 1
        assert [mail.id for mail in await given_out(box)] == list(receipt.mail_ids)


async def test_a_target_is_checked_before_anything_is_done() -> None:
    """Not there, closed, too small for a message, or too full for all of them."""
    async with mail_rig() as rig:
        box, other = await rig.box(), await rig.box("other", capacity=2, overflow=Overflow.DROP_OLDEST)
        tight = await rig.box("tight", body_limit_bytes=3)
        await dead(rig, box, 3)
        await rig.killed(box, Draft(payload="long enough"), "no")
        with pytest.raises(NotFound):
            await rig.redrives.redrive_mail(RedriveMail(mailbox=BOX, target="nowhere", dry_run=True), ANA)
        with pytest.raises(NotFound):
            await rig.redrives.redrive_mail(RedriveMail(mailbox="nowhere"), ANA)
        with pytest.raises(InvalidInput, match="tight takes 3"):
            await rig.redrives.redrive_mail(RedriveMail(mailbox=BOX, target="tight"), ANA)
        with pytest.raises(MailboxFull, match="room for 2") as caught:
            await rig.redrives.redrive_mail(RedriveMail(mailbox=BOX, target="other"), ANA)
        assert caught.value.facts["fix"] == "redrive at most 2, or raise its capacity"
        for closed, target in ((tight, "tight"), (box, "")):
            closed.set_state(MailboxState.CLOSED)
            with pytest.raises(MailboxClosed):
                await rig.redrives.redrive_mail(RedriveMail(mailbox=BOX, target=target), ANA)
        assert (len(box.dead or ()), other.depth) == (4, 0)
        assert rig.told(MailRedriven) == []


async def test_a_purge_drops_what_waits_and_leaves_what_is_in_flight() -> None:
    """Queued and delayed ones that fit; counted, told with its reason, and gone after a restart."""
    store, clock = MemoryStore(), FakeClock()
    async with mail_rig(store, clock) as rig:
        box = await rig.box()
        held = await box.post(Draft(payload=0, sender="bo"))
        mail = await box.receive()
        await box.post(Draft(payload=1, sender="bo"))
        await box.post(Draft(payload=2, sender="bo", delay_s=60))
        kept = await box.post(Draft(payload=3, sender="cy"))
        order = PurgeMailbox(mailbox=BOX, where=MailFilter(sender="bo"), reason="old")
        receipt = await rig.redrives.purge_mailbox(order, ANA)
        assert (receipt.matched, receipt.changed, receipt.by_mailbox) == (2, 2, {"box": 2})
        assert rig.told(MailboxPurged) == [MailboxPurged(mailbox=BOX, count=2, dead=False, reason="old")]
        assert box.tally().dropped == 2
        assert held.mail_id == mail.id
    async with mail_rig(store, clock) as rig:
        assert {mail.id for mail in rig.mailboxes.get(BOX).live()} == {held.mail_id, kept.mail_id}


async def test_a_purge_of_dead_letters_leaves_live_messages() -> None:
    """By filter, or all of them in every mailbox."""
    async with mail_rig() as rig:
        box, other = await rig.box(), await rig.box("other")
        await dead(rig, box, 2, error="one")
        await dead(rig, box, 2, error="two")
        await dead(rig, other, 1)
        await box.post(Draft(payload="live"))
        where = MailFilter(cause="rejected: two")
        await rig.redrives.purge_mailbox(PurgeMailbox(mailbox=BOX, dead=True, where=where), ANA)
        assert [mail.error for mail in (box.dead or {}).values()] == ["one", "one"]
        receipt = await rig.redrives.purge_mailbox(PurgeMailbox(mailbox="", dead=True), ANA)
        assert (receipt.changed, receipt.by_mailbox) == (3, {"box": 2, "other": 1})
        assert (box.depth, box.dead, other.dead) == (1, {}, {})


async def test_all_mailboxes_at_once_is_for_dead_letters_only() -> None:
    """Nobody empties every mailbox by leaving out a name."""
    async with mail_rig() as rig:
        box = await rig.box()
        await box.post(Draft(payload=1))
        with pytest.raises(InvalidInput) as caught:
            await rig.redrives.purge_mailbox(PurgeMailbox(mailbox=""), ANA)
        assert caught.value.facts["field"] == "mailbox"
        assert box.depth == 1


async def test_orders_that_make_no_sense_are_refused() -> None:
    """A negative limit, a reason without end, a filter that nothing can fit."""
    async with mail_rig() as rig:
        await rig.box()
        for order in (
            RedriveMail(limit=-1),
            RedriveMail(reason="x" * 2001),
            RedriveMail(where=MailFilter(ids=(MailId(0),))),
        ):
            with pytest.raises(InvalidInput):
                await rig.redrives.redrive_mail(order, ANA)
        with pytest.raises(InvalidInput):
            await rig.redrives.purge_mailbox(PurgeMailbox(mailbox=BOX, reason="x" * 2001), ANA)
        where = MailFilter(states=(MailState.DEAD,))
        with pytest.raises(InvalidInput):
            await rig.redrives.purge_mailbox(PurgeMailbox(mailbox=BOX, where=where), ANA)


async def test_many_dead_letters_go_in_steps_between_which_others_run() -> None:
    """Each step is one commit with its own event; the counts add up; the loop is never held for all of it."""
    async with mail_rig() as rig:
        box = await rig.box(ordered=False)
        count = 3 * STEP + 7
        for number in range(count):
            await box.post(Draft(payload=number))
            box.reject(await box.receive(), error=f"no {number}")
        rounds = 0

        async def run_meanwhile() -> None:
            nonlocal rounds
            while len(rig.told(MailRedriven)) < 4:
                rounds += 1
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            group.create_task(run_meanwhile())
            redrive = group.create_task(rig.redrives.redrive_mail(RedriveMail(mailbox=BOX), ANA))
        assert redrive.result().changed == count
        assert [event.count for event in rig.told(MailRedriven)] == [STEP, STEP, STEP, 7]
        assert len(redrive.result().mail_ids) == 100
        assert rounds > 8
        assert [mail.payload for mail in await given_out(box)] == list(range(count))


async def test_two_who_redrive_at_once_send_nothing_twice() -> None:
    """Each message is one operator's; together they have all."""
    async with mail_rig() as rig:
        box = await rig.box(ordered=False)
        await dead(rig, box, 50)
        bo = Actor(ActorKind.OPERATOR, "bo")
        async with asyncio.TaskGroup() as group:
            acts = [group.create_task(rig.redrives.redrive_mail(RedriveMail(mailbox=BOX), who)) for who in (ANA, bo)]
            purge = group.create_task(rig.redrives.purge_mailbox(PurgeMailbox(mailbox=BOX, dead=True), bo))
        changed = [act.result().changed for act in (*acts, purge)]
        assert sum(changed) == 50
        assert box.depth == sum(changed[:2])


class FailingStore(MemoryStore):
    """Refuses what is asked for after so many commits with events."""

    left = 10**9

    def submit(self, batch: Any) -> Any:
        """Refuse, or pass on."""
        if batch.entries:
            self.left -= 1
            if self.left < 0:
                raise StoreError("the disk is full", cause="full")
        return super().submit(batch)


async def test_a_step_that_cannot_be_stored_changes_nothing_and_says_how_far_it_came() -> None:
    """Earlier steps stand; the dead letters of this one are dead still."""
    store = FailingStore()
    async with mail_rig(store) as rig:
        box = await rig.box(ordered=False)
        for number in range(STEP + 5):
            await box.post(Draft(payload=number))
            box.reject(await box.receive(), error="no")
        store.left = 1
        with pytest.raises(StoreError) as caught:
            await rig.redrives.redrive_mail(RedriveMail(mailbox=BOX), ANA)
        assert caught.value.facts["changed"] == STEP
        assert (box.depth, len(box.dead or ())) == (STEP, 5)
        store.left = 10**9
        await rig.redrives.redrive_mail(RedriveMail(mailbox=BOX), ANA)
        assert (box.depth, box.dead) == (STEP + 5, {})


async def test_a_target_that_closes_half_way_keeps_the_rest_dead() -> None:
    """No message is lost in the step that fails, and no room stays taken."""
    async with mail_rig() as rig:
        box, other = await rig.box(ordered=False), await rig.box("other", capacity=2 * STEP)
        for number in range(STEP + 5):
            await box.post(Draft(payload=number))
            box.reject(await box.receive(), error="no")

        def close(record: Record) -> None:
            if isinstance(record.event, MailRedriven):
                other.set_state(MailboxState.CLOSED)

        rig.journal.on_record(close)
        with pytest.raises(MailboxClosed) as caught:
            await rig.redrives.redrive_mail(RedriveMail(mailbox=BOX, target="other"), ANA)
        assert caught.value.facts["changed"] == STEP
        assert (other.depth, other.room, len(box.dead or ())) == (STEP, STEP, 5)


async def test_room_that_somebody_else_takes_meanwhile_is_not_overrun() -> None:
    """A mailbox that drops what is too much would lose dead letters: they stay where they are."""
    async with mail_rig() as rig:
        box = await rig.box(ordered=False)
        other = await rig.box("other", capacity=STEP + 5, overflow=Overflow.DROP_NEWEST, durable=False)
        for number in range(STEP + 5):
            await box.post(Draft(payload=number))
            box.reject(await box.receive(), error="no")

        def fill(record: Record) -> None:
            if isinstance(record.event, MailRedriven):
                posting = other.post(Draft(payload="mine"))
                with pytest.raises(StopIteration):
                    posting.send(None)

        rig.journal.on_record(fill)
        with pytest.raises(MailboxFull) as caught:
            await rig.redrives.redrive_mail(RedriveMail(mailbox=BOX, target="other"), ANA)
        assert caught.value.facts["changed"] == STEP
        assert (other.depth, len(box.dead or ())) == (STEP + 1, 5)


async def test_a_dead_letter_whose_mailbox_went_meanwhile_is_passed_over() -> None:
    """Purged and deleted by somebody else, it is nobody's to send."""
    async with mail_rig() as rig:
        box = await rig.box()
        mails = await dead(rig, box, 2)
        async with asyncio.TaskGroup() as group, rig.redrives._step:
            redrive = group.create_task(rig.redrives.redrive_mail(RedriveMail(mailbox=BOX), ANA))
            await until_idle()
            for mail in mails:
                box.drop_now(mail)
            await rig.mailboxes.delete(BOX, actor=ANA)
        assert (redrive.result().matched, redrive.result().changed) == (2, 0)
        assert rig.told(MailRedriven) == []


async def test_poison_is_sent_again_only_as_any_other_message() -> None:
    """By its reason alone it can be chosen, or left out."""
    async with mail_rig() as rig:
        box = await rig.box()
        await rig.killed(box, Draft(payload="p"), "it was in flight", DeadReason.POISON)
        await dead(rig, box, 1)
        where = MailFilter(reason=DeadReason.REJECTED)
        receipt = await rig.redrives.redrive_mail(RedriveMail(where=where), ANA)
        assert receipt.changed == 1
        assert [mail.reason for mail in (box.dead or {}).values()] == [DeadReason.POISON]
