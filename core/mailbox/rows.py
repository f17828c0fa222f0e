"""How a mailbox itself is stored: its rules and whether it is paused. Its mail is in the log."""

import msgspec

from core.api.base import MailboxName
from core.api.mailboxes import MailboxPolicy, MailboxState
from core.mailbox.giving import Pause
from core.mailbox.mailbox import Mailbox
from core.store.base import Put

PREFIX = "mailbox/"


class MailboxRow(msgspec.Struct, frozen=True):
    """A mailbox as stored. created_at, paused_until_at: UTC seconds, 0 for none.

    first_id: what the log says of messages below it was about an earlier mailbox of that name.
    """

    name: MailboxName
    policy: MailboxPolicy
    created_at: float
    state: MailboxState = MailboxState.OPEN
    paused_by: str = ""
    paused_reason: str = ""
    paused_until_at: float = 0.0
    first_id: int = 0


_encoder = msgspec.json.Encoder()
_rows = msgspec.json.Decoder(MailboxRow)


def row_of(body: bytes) -> MailboxRow:
    """A mailbox as it was stored."""
    return _rows.decode(body)


def row_put(box: Mailbox, policy: MailboxPolicy, state: MailboxState, pause: Pause | None) -> Put:
    """The change that stores a mailbox as it will be."""
    row = MailboxRow(
        name=box.name,
        policy=policy,
        created_at=box.created.at,
        state=state if state is MailboxState.PAUSED else MailboxState.OPEN,
        paused_by=pause.by if pause else "",
        paused_reason=pause.reason if pause else "",
        paused_until_at=pause.until_at if pause else 0.0,
        first_id=box.first_id,
    )
    return Put(PREFIX + box.name, _encoder.encode(row), box.revision)
