"""Messages as a mailbox holds them, made without one."""

from typing import Any

from core.api.base import MailboxName, MailId
from core.api.mail import DeadReason, MailState
from core.mailbox.message import Mail, Past, encode_payload

WALL = 1_700_000_000.0
"""Where the wall clock of a FakeClock begins."""


def a_mail(mail_id: int = 1, payload: Any = "hello", *, mailbox: str = "box", **fields: Any) -> Mail:
    """A queued message, posted when a FakeClock begins; `fields` override."""
    values: dict[str, Any] = {"sender": "ana", "created_at": WALL, "posted": 1000.0, **fields}
    values["noted"] = values.pop("state", MailState.QUEUED)
    past = {name: values.pop(name) for name in Past.__struct_fields__ if name in values}
    values["past"] = Past(**past) if past else None
    return Mail(MailId(mail_id), MailboxName(mailbox), packed=encode_payload(payload, 10_000_000), **values)


def a_dead_mail(
    mail_id: int = 1, error: str = "no", *, reason: DeadReason = DeadReason.REJECTED, **fields: Any
) -> Mail:
    """A dead letter that died when a FakeClock begins; `fields` override."""
    return a_mail(mail_id, **{"died_at": WALL, "state": MailState.DEAD, "reason": reason, "error": error, **fields})
