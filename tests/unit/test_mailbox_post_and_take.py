"""A transaction that posts a message and holds it from the first, and messages that come back with a note."""

import pytest

from core.api.errors import StoreError
from core.api.mail import DeadReason, MailState
from core.api.mailboxes import MailboxPolicy
from core.mailbox.message import Draft
from core.mailbox.order import Lanes
from core.mailbox.policy import Again, Dead, after_crash
from tests.support.mail_stage import FULL, on_stage
from tests.support.mails import a_mail


@pytest.mark.parametrize("is_durable", [True, False])
@pytest.mark.parametrize("is_ordered", [True, False])
async def test_a_message_can_be_posted_and_held_in_one_commit(is_durable: bool, is_ordered: bool) -> None:
    """It was never there for anybody else, and counts as one that was given out."""
    async with on_stage() as stage:
        box = await stage.box(durable=is_durable, ordered=is_ordered)
        step = stage.boxes.transaction()
        mail_id = step.post("box", Draft(payload="one", sender="ana")).mail_id
        mail = step.take("box", mail_id)
        assert mail is not None
        assert box.depth == 0
        await step.commit()
        assert box.try_receive() is None
        assert (box.tally().in_flight, mail.attempt, mail.state) == (1, 1, MailState.IN_FLIGHT)
        box.ack(mail)
        assert box.tally().done == 1


async def test_what_waits_behind_a_message_that_was_taken_as_it_came_goes_after_it() -> None:
    """It stands in the line of its sender like any other."""
    async with on_stage() as stage:
        box = await stage.box()
        step = stage.boxes.transaction()
        first = step.take("box", step.post("box", Draft(payload=1, sender="ana")).mail_id)
        assert first is not None
        await step.commit()
        await box.post(Draft(payload=2, sender="ana"))
        assert box.try_receive() is None
        box.ack(first)
        second = box.try_receive()
        assert second is not None
        assert second.payload == 2
        box.ack(second)


async def test_a_commit_that_fails_leaves_nothing_of_a_message_that_was_to_be_held() -> None:
    """Neither it nor its room."""
    async with on_stage() as stage:
        box = await stage.box(capacity=1)
        stage.store.fault = lambda _batch: FULL
        step = stage.boxes.transaction()
        step.take("box", step.post("box", Draft(payload=1, sender="ana")).mail_id)
        with pytest.raises(StoreError):
            await step.commit()
        stage.store.fault = lambda _batch: None
        cancelled = stage.boxes.transaction()
        cancelled.take("box", cancelled.post("box", Draft(payload=1, sender="ana")).mail_id)
        cancelled.cancel()
        await box.post(Draft(payload=2, sender="ana"))
        assert (box.depth, box.tally().accepted) == (1, 1)


async def test_a_message_that_was_taken_as_it_came_is_in_flight_after_a_crash() -> None:
    """The crash counts against it."""
    async with on_stage() as stage:
        await stage.box()
        step = stage.boxes.transaction()
        step.take("box", step.post("box", Draft(payload=1, sender="ana")).mail_id)
        await step.commit()
        boxes = await stage.crash()
        (mail,) = boxes.get("box").live()
        assert (mail.state, mail.attempt, mail.crashes) == (MailState.QUEUED, 1, 1)


async def test_a_note_stays_with_a_message_that_is_put_back() -> None:
    """Also over a crash; and a delivery that does not count is not counted."""
    async with on_stage() as stage:
        box = await stage.box()
        await box.post(Draft(payload=1, sender="ana"))
        mail = await box.receive()
        step = stage.boxes.transaction()
        step.put_back(mail, is_counted=False, note="stopped in order")
        await step.commit()
        assert [(found.attempt, found.error) for found in box.live()] == [(0, "stopped in order")]
        boxes = await stage.crash()
        (found,) = boxes.get("box").live()
        assert (found.attempt, found.error, found.crashes) == (0, "stopped in order", 0)


@pytest.mark.parametrize(("crashes", "verdict"), [(1, Again(0.0)), (2, Again(0.0)), (3, Dead(DeadReason.POISON))])
def test_how_many_crashes_make_poison_is_a_rule_of_the_mailbox(crashes: int, verdict: object) -> None:
    """Two by default."""
    mail = a_mail(crashes=crashes, attempt=crashes)
    assert after_crash(MailboxPolicy(max_crashes=3), mail) == verdict
    assert MailboxPolicy().max_crashes == 2


def test_messages_that_are_taken_by_id_do_not_pile_up_among_those_that_may_go_out() -> None:
    """What was passed over is let go, in every lane; what may go out keeps its order."""
    lanes = Lanes()
    mails = [a_mail(number, rank=number % 4) for number in range(1, 2001)]
    for mail in mails:
        lanes.push(mail)
    for mail in mails[:-4]:
        mail.state = MailState.IN_FLIGHT
    lanes.trim(4)
    left = [lanes.pop() for _ in range(5)]
    assert {mail.id for mail in left if mail is not None} == {1997, 1998, 1999, 2000}
    assert left[-1] is None
    for mail in mails[:100]:
        mail.state = MailState.IN_FLIGHT
        lanes.push(mail)
    lanes.trim(100)
    assert lanes.pop() is None


async def test_a_mailbox_whose_messages_are_all_taken_by_id_stays_small() -> None:
    """While one message waits for ever, a thousand others come and go."""
    async with on_stage() as stage:
        box = await stage.box(durable=False, ordered=False)
        await box.post(Draft(payload=0, sender="ana"))
        for number in range(1, 1001):
            receipt = await box.post(Draft(payload=number, sender="ana"))
            mail = box.take_id(receipt.mail_id, stage.clock.monotonic())
            assert mail is not None
            box.ack(mail)
        lanes = box._lanes
        assert lanes is not None
        assert len(lanes.normal) <= 300
        first = box.try_receive()
        assert first is not None
        assert first.payload == 0
