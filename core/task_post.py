"""The mailbox in which accepted tasks wait, done with the mailbox core."""

from collections.abc import Sequence
from typing import Any

from core.agents.ports import QueuedTask
from core.api.base import Actor, MailId
from core.api.errors import NotFound
from core.api.mailboxes import MailboxPolicy, MailboxState
from core.letters import Owner
from core.mailbox.mailbox import Mailbox
from core.mailbox.mailboxes import Mailboxes
from core.mailbox.message import Draft
from core.pages import Pages

MAILBOX = "tasks"
"""Its name; the ordering key of each letter is the id of the session that is to do it."""

_OWNER = Owner(
    name="agents",
    put_in="start a task",
    take_out="cancel the task",
    rules="its rules are fixed",
    redriven=lambda _ids: None,
)
# Who is next is decided where lanes and sessions are known; nothing is ever out on a lease for longer than a commit.
_POLICY = MailboxPolicy(ordered=False, capacity=1_000_000, dedupe_s=0.0, body_limit_bytes=16 * 1_048_576)


class MailedTasks:
    """The TaskPost of a core."""

    def __init__(self, boxes: Mailboxes) -> None:
        self._boxes = boxes
        self._box: Mailbox | None = None

    async def open(self) -> None:
        """Make the mailbox when it is not there."""
        box = await self._boxes.ensure(MAILBOX, _POLICY)
        self._boxes.owners[MAILBOX] = _OWNER
        self._box = box

    async def post(self, body: Any, *, order_key: str) -> MailId:
        """Store a task; returns once it is durable."""
        assert self._box is not None, "open() comes first"
        return (await self._box.post(Draft(payload=body, sender=MAILBOX, order_key=order_key))).mail_id

    def waiting(self) -> Sequence[QueuedTask]:
        """All that wait, by id."""
        mails = sorted(self._mailbox.live(), key=lambda mail: mail.id)
        return [QueuedTask(mail.id, mail.body) for mail in mails]

    async def settle(self, mail_id: MailId, pages: Pages, *, actor: Actor) -> None:
        """Take a task out for good, with rows and events in the same commit."""
        transaction = self._boxes.transaction()
        mail = transaction.take(MAILBOX, mail_id)
        if mail is None:
            transaction.cancel()
            raise NotFound(f"m-{mail_id} waits no more", noun="mail", id=f"m-{mail_id}", mailbox=MAILBOX)
        transaction.ack(mail)
        await transaction.commit(pages.puts, pages.events, actor=actor)
        pages.done()

    @property
    def is_paused(self) -> bool:
        """Whether an operator holds it."""
        return self._mailbox.state is MailboxState.PAUSED

    @property
    def _mailbox(self) -> Mailbox:
        assert self._box is not None, "open() comes first"
        return self._box
