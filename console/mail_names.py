"""How a message is named: m-123 for people, 123 for the core (pure)."""

import re

from core.api.base import MailId

_NAME = re.compile(r"^(?:m-)?([0-9]{1,18})$", re.IGNORECASE | re.ASCII)


def mail_name(mail_id: int) -> str:
    """The id as operators see it."""
    return f"m-{mail_id}"


def read_mail_id(name: str) -> MailId | None:
    """The id that `m-123` or `123` names; None when it names none."""
    match = _NAME.match(name.strip())
    return MailId(int(match[1])) if match else None
