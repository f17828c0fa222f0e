"""Messages that are dead letters from the start: nobody gets them, an operator sees them and can redrive them."""

import msgspec

from core.api.mail import DeadReason, PostReceipt
from core.api.mailboxes import Guarantee
from core.mailbox.admission import new_mail
from core.mailbox.mailbox import Mailbox
from core.mailbox.mailboxes import Mailboxes
from core.mailbox.message import Draft, Mail, encode_payload


class _Grave:
    """Where the log puts the message when it is stored. It takes none of the room of live ones."""

    def __init__(self, box: Mailbox) -> None:
        self._box = box

    def stored(self, mail: Mail) -> None:
        """Show it."""
        reason = mail.reason or DeadReason.UNDELIVERABLE
        self._box.accept_dead(mail, reason, mail.error, mail.died_at)
        self._box.activate()

    def not_stored(self, mail: Mail) -> None:
        """Nothing was kept for it."""


async def post_dead(boxes: Mailboxes, mailbox: str, draft: Draft, *, reason: DeadReason, error: str) -> PostReceipt:
    """Keep a message as a dead letter; also in a full mailbox. Durable when it returns, if the mailbox is.

    Raises NotFound, MailboxClosed, InvalidInput, StoreError.
    """
    box = boxes.get(mailbox)
    box.check_taking()
    body = encode_payload(draft.payload, box.policy.body_limit_bytes)
    kept = msgspec.structs.replace(draft, key="", delay_s=0.0, ttl_s=0.0, guarantee=Guarantee.AT_LEAST_ONCE)
    mail = new_mail(box.name, box.policy, kept, body, boxes.office)
    mail.reason, mail.error, mail.died_at = reason, error, mail.created_at
    grave = _Grave(box)
    if box.is_durable:
        await boxes.log.post(grave, mail)
    else:
        grave.stored(mail)
    return PostReceipt(mail_id=mail.id, mailbox=box.name)
