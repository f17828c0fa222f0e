"""Which messages an operator means by an act: one, those that are marked, those of a filter, or all (pure)."""

from collections.abc import Sequence

import msgspec

from console import text
from console.mail_filter import is_everything
from console.mail_names import mail_name
from core.api.base import MailId
from core.api.mail import DeadGroup, MailFilter


class MailScope(msgspec.Struct, frozen=True, kw_only=True):
    """A set of messages, named at the moment of the key.

    mailbox: "" for all. limit: at most that many, the oldest first; 0 for all of them.
    """

    words: str
    mailbox: str
    dead: bool
    where: MailFilter = MailFilter()
    limit: int = 0

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out of the mailbox."""
        return is_everything(self.where) and not self.limit

    @property
    def typed(self) -> str:
        """What has to be typed before everything goes: the name of the mailbox, or `all`."""
        return self.mailbox or "all"


def of_messages(
    mailbox: str, *, dead: bool, cursor: MailId | None, marked: Sequence[MailId], where: MailFilter, filter_words: str
) -> tuple[MailScope, ...]:
    """What can be meant in a list of messages, the smallest first."""
    scopes: list[MailScope] = []
    if marked:
        ids = tuple(sorted(marked))
        words = "the one that is marked" if len(ids) == 1 else f"the {text.count(len(ids))} that are marked"
        scopes.append(MailScope(words=words, mailbox=mailbox, dead=dead, where=MailFilter(ids=ids)))
    elif cursor is not None:
        words = f"only {mail_name(cursor)}"
        scopes.append(MailScope(words=words, mailbox=mailbox, dead=dead, where=MailFilter(ids=(cursor,))))
    if not is_everything(where):
        scopes.append(MailScope(words=f"all that fit {filter_words}", mailbox=mailbox, dead=dead, where=where))
    noun = "dead letters" if dead else "waiting messages"
    scopes.append(MailScope(words=f"all {noun} of {text.clean(mailbox)}", mailbox=mailbox, dead=dead))
    return tuple(scopes)


def of_group(group: DeadGroup) -> tuple[MailScope, ...]:
    """What can be meant at a group of dead letters: the canary, the group, its mailbox, everything."""
    where = MailFilter(reason=group.reason, cause=group.cause)
    name = str(group.mailbox)
    every = "the only one" if group.count == 1 else f"all {text.count(group.count)}"
    return (
        MailScope(words="the oldest of this cause alone (canary)", mailbox=name, dead=True, where=where, limit=1),
        MailScope(words=f"{every} of this cause", mailbox=name, dead=True, where=where),
        *of_dead(name),
    )


def of_mailbox(mailbox: str) -> tuple[MailScope, ...]:
    """What waits in a mailbox, and what died in it."""
    waiting = MailScope(words=f"all waiting messages of {text.clean(mailbox)}", mailbox=mailbox, dead=False)
    return (waiting, *of_dead(mailbox))


def of_dead(mailbox: str) -> tuple[MailScope, ...]:
    """All dead letters of a mailbox, and of all mailboxes."""
    return (
        MailScope(words=f"all dead letters of {text.clean(mailbox)}", mailbox=mailbox, dead=True),
        MailScope(words="all dead letters of all mailboxes", mailbox="", dead=True),
    )
