"""What an operator does to mailboxes: make, change, pause, post, purge, redrive; and all that can be asked of them."""

import math
from typing import Any

from core.api import mailboxes as words
from core.api.base import Actor
from core.api.errors import InvalidInput
from core.api.mail import (
    BrowseMail,
    BulkReceipt,
    GetMail,
    ListDead,
    MailKind,
    PostMail,
    PostReceipt,
    PurgeMailbox,
    RedriveMail,
    TraceMail,
)
from core.api.mailboxes import (
    CreateMailbox,
    DeleteMailbox,
    MailboxView,
    PauseMailbox,
    ResumeMailbox,
    SetMailboxPolicy,
)
from core.clock import Clock
from core.handlers import CommandHandlers, QueryHandlers
from core.journal import Journal
from core.mailbox.inspections import Inspections
from core.mailbox.mailboxes import Mailboxes
from core.mailbox.message import Draft
from core.mailbox.owner import closed_to_changes, closed_to_posts
from core.mailbox.policy import LONGEST_DELAY_S
from core.mailbox.policy_check import check_name, check_policy
from core.mailbox.redrives import Redrives

_TEXT_LIMIT = 2_000
_HEADERS_LIMIT = 100


class Operations:
    """Every command and query about mailboxes. Each act is stored with its event and the name of who asked for it."""

    def __init__(self, *, mailboxes: Mailboxes, journal: Journal, clock: Clock) -> None:
        self._mailboxes = mailboxes
        self._redrives = Redrives(mailboxes=mailboxes, clock=clock)
        self._inspections = Inspections(mailboxes=mailboxes, journal=journal, clock=clock)

    @property
    def commands(self) -> CommandHandlers:
        """Who carries out which command."""
        return {
            words.CreateMailbox: self.create_mailbox,
            words.SetMailboxPolicy: self.set_mailbox_policy,
            words.DeleteMailbox: self.delete_mailbox,
            words.PauseMailbox: self.pause_mailbox,
            words.ResumeMailbox: self.resume_mailbox,
            PostMail: self.post_mail,
            PurgeMailbox: self._redrives.purge_mailbox,
            RedriveMail: self._redrives.redrive_mail,
        }

    @property
    def queries(self) -> QueryHandlers:
        """Who answers which question."""
        return {
            words.ListMailboxes: self._inspections.list_mailboxes,
            words.GetMailbox: self._inspections.get_mailbox,
            BrowseMail: self._inspections.browse_mail,
            GetMail: self._inspections.get_mail,
            TraceMail: self._inspections.trace_mail,
            ListDead: self._inspections.list_dead,
        }

    async def create_mailbox(self, command: CreateMailbox, actor: Actor) -> MailboxView:
        """Make a mailbox. Raises InvalidInput, ConflictError when there is one of that name."""
        check_name(command.mailbox)
        check_policy(command.policy)
        box = await self._mailboxes.create(command.mailbox, command.policy, actor=actor)
        return box.view()

    async def set_mailbox_policy(self, command: SetMailboxPolicy, actor: Actor) -> MailboxView:
        """Change its rules. Raises NotFound, InvalidInput, Refused; `durable` cannot be changed."""
        self._check_free(command.mailbox)
        check_policy(command.policy)
        box = await self._mailboxes.set_policy(command.mailbox, command.policy, actor=actor)
        return box.view()

    async def delete_mailbox(self, command: DeleteMailbox, actor: Actor) -> BulkReceipt:
        """Remove an empty mailbox. Raises NotFound, Refused, ConflictError while it holds messages or dead letters."""
        self._check_free(command.mailbox)
        await self._mailboxes.delete(command.mailbox, actor=actor)
        return BulkReceipt(matched=0, changed=0, is_dry_run=False, by_mailbox={str(command.mailbox): 0})

    async def pause_mailbox(self, command: PauseMailbox, actor: Actor) -> MailboxView:
        """Give nothing out until it is resumed, or for that long. Raises NotFound, InvalidInput."""
        _check_text("reason", command.reason)
        for_s = command.for_s
        if not (math.isfinite(for_s) and 0 <= for_s <= LONGEST_DELAY_S):
            raise InvalidInput(
                f"for_s is {for_s:g}",
                field="for_s",
                value=for_s,
                fix=f"use 0 for until it is resumed, or up to {LONGEST_DELAY_S:.12g} seconds",
            )
        box = await self._mailboxes.pause(command.mailbox, actor=actor, reason=command.reason, for_s=for_s)
        return box.view()

    async def resume_mailbox(self, command: ResumeMailbox, actor: Actor) -> MailboxView:
        """Give messages out again. Raises NotFound."""
        box = await self._mailboxes.resume(command.mailbox, actor=actor)
        return box.view()

    async def post_mail(self, command: PostMail, actor: Actor) -> PostReceipt:
        """Put a message in, in the name of the operator. Raises Refused, and what a post raises."""
        box = self._mailboxes.get(command.mailbox)
        owner = self._mailboxes.owners.get(command.mailbox)
        if owner is not None:
            raise closed_to_posts(command.mailbox, owner)
        for field in ("message_type", "key", "correlation"):
            _check_text(field, getattr(command, field))
        _check_headers(command.headers)
        draft = Draft(
            payload=command.payload,
            sender=f"{actor.kind.value}:{actor.name}",
            kind=MailKind.CAST,
            message_type=command.message_type,
            priority=command.priority,
            key=command.key,
            correlation=command.correlation,
            delay_s=command.delay_s,
            ttl_s=command.ttl_s or None,
            headers=dict(command.headers) or None,
        )
        return await box.post(draft)

    def _check_free(self, mailbox: str) -> None:
        self._mailboxes.get(mailbox)
        owner = self._mailboxes.owners.get(mailbox)
        if owner is not None:
            raise closed_to_changes(mailbox, owner)


def _check_headers(headers: dict[str, Any]) -> None:
    if len(headers) > _HEADERS_LIMIT:
        raise InvalidInput(
            "there are too many headers", field="headers", value=len(headers), fix=f"at most {_HEADERS_LIMIT}"
        )
    for name, value in headers.items():
        _check_text("headers", name)
        _check_text("headers", value)


def _check_text(field: str, text: str) -> None:
    if len(text) > _TEXT_LIMIT:
        raise InvalidInput(
            f"{field} is too long", field=field, value=len(text), fix=f"at most {_TEXT_LIMIT} characters"
        )
