"""What an operator does to an outbox as to any mailbox costs no answer, and the deliveries know of it."""

import pytest

from core.api.base import MailboxName
from core.api.deliveries import DeliveryDied, DeliverySent, DropDelivery
from core.api.errors import Refused
from core.api.mail import PostMail, PurgeMailbox, RedriveMail
from core.api.mailboxes import DeleteMailbox, PauseMailbox, ResumeMailbox
from core.gateway.delivery import OUTBOX
from tests.support.outbox import LOCAL, OPERATOR, outbox, refused, texts_of

BOX = MailboxName(OUTBOX + LOCAL)


async def test_an_outbox_cannot_be_deleted_under_its_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is empty most of the time; the next answer still goes out."""
    async with outbox(monkeypatch) as built:
        await built.answer("one")
        await built.until(DeliverySent)
        with pytest.raises(Refused):
            await built.mail.operations.delete_mailbox(DeleteMailbox(mailbox=BOX), OPERATOR)
        await built.answer("two")
        await built.until(DeliverySent, 2)
        assert await texts_of(built) == ["one", "two"]


async def test_nothing_is_put_into_an_outbox_or_taken_out_behind_the_deliveries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are asked instead."""
    async with outbox(monkeypatch) as built:
        await built.deliveries.open_outbox(LOCAL)
        with pytest.raises(Refused):
            await built.mail.operations.post_mail(PostMail(mailbox=BOX, payload="junk"), OPERATOR)
        with pytest.raises(Refused):
            await built.mail.operations.commands[PurgeMailbox](PurgeMailbox(mailbox=BOX), OPERATOR)


async def test_a_delivery_redriven_as_mail_can_still_be_dropped_by_its_own_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its message has another id then."""
    async with outbox(monkeypatch) as built:
        built.fake().faults.append(refused())
        view = await built.answer("hi")
        await built.until(DeliveryDied)
        await built.mail.operations.pause_mailbox(PauseMailbox(mailbox=BOX), OPERATOR)
        await built.mail.operations.commands[RedriveMail](RedriveMail(mailbox=BOX), OPERATOR)
        assert built.deliveries.unsent(view.session_id) == 1
        await built.deliveries.orders.drop_delivery(DropDelivery(delivery_id=view.id), OPERATOR)
        await built.mail.operations.resume_mailbox(ResumeMailbox(mailbox=BOX), OPERATOR)
        assert built.deliveries.waiting_count == 0
