"""Mailboxes that belong to a part of the core, which alone puts messages in and takes waiting ones out (pure)."""

from collections.abc import Callable, Sequence
from typing import Protocol

from core.api.base import MailId
from core.api.errors import Refused


class Owner(Protocol):
    """A part of the core that keeps books of its own about the messages of a mailbox."""

    @property
    def name(self) -> str:
        """What operators call it."""
        ...

    @property
    def put_in(self) -> str:
        """How an operator puts a message in."""
        ...

    @property
    def take_out(self) -> str:
        """How an operator lets go of a message that waits."""
        ...

    @property
    def rules(self) -> str:
        """Where the rules of the mailbox are set."""
        ...

    @property
    def redriven(self) -> Callable[[Sequence[MailId]], None]:
        """To be told that dead letters of the mailbox wait again, under these ids. It does not wait or fail."""
        ...


def closed_to_posts(mailbox: str, owner: Owner) -> Refused:
    """Nothing is put in behind the owner's back."""
    return _refused(f"mailbox {mailbox} takes messages only from the {owner.name}", owner, owner.put_in)


def closed_to_purges(mailbox: str, owner: Owner) -> Refused:
    """Nothing that waits is taken out behind the owner's back."""
    return _refused(f"what waits in mailbox {mailbox} is in the books of the {owner.name}", owner, owner.take_out)


def closed_to_changes(mailbox: str, owner: Owner) -> Refused:
    """The owner relies on the rules, and on the mailbox being there."""
    return _refused(f"mailbox {mailbox} belongs to the {owner.name}", owner, owner.rules)


def _refused(message: str, owner: Owner, fix: str) -> Refused:
    return Refused(message, rule=f"a mailbox of the {owner.name}", fix=fix)
