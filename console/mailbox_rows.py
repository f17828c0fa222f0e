"""Mailboxes as the core last showed them: a snapshot, its events and its samples put together (pure).

A sample that is older than what is there changes nothing, and a mailbox that is gone stays gone
until the core says that it was made anew.
"""

from core.api.base import Event, Mark, Record, Seq
from core.api.mail import MailboxPurged, MailDied, MailRedriven
from core.api.mailboxes import (
    MailboxChanged,
    MailboxCreated,
    MailboxDeleted,
    MailboxesMeasured,
    MailboxList,
    MailboxPaused,
    MailboxResumed,
    MailboxTally,
    MailboxView,
)

HANDLED: frozenset[type[Event]] = frozenset(
    {
        MailboxCreated,
        MailboxChanged,
        MailboxDeleted,
        MailboxPaused,
        MailboxResumed,
        MailboxPurged,
        MailRedriven,
        MailDied,
        MailboxesMeasured,
    }
)


def depth_of(view: MailboxView) -> int:
    """Live messages: waiting, delayed and in flight."""
    return view.tally.queued + view.tally.delayed + view.tally.in_flight


class MailboxRows:
    """Views by name. total: of all. is_known: a snapshot came. error: why the core cannot say; "" when it can.

    dead_version: grows whenever there may be other dead letters than before. died: when the newest dead letter
    of a mailbox died; only where that was heard of, and nothing was taken away since.
    """

    def __init__(self) -> None:
        self.views: dict[str, MailboxView] = {}
        self.total = MailboxTally()
        self.is_indexing = False
        self.is_known = False
        self.error = ""
        self.dead_version = 0
        self.died: dict[str, Mark] = {}
        self._seq = Seq(0)
        self._gone: dict[str, int] = {}

    @property
    def depth(self) -> int:
        """Live messages of all mailboxes."""
        return self.total.queued + self.total.delayed + self.total.in_flight

    @property
    def difference(self) -> int:
        """What no tally explains, counted without letting one mailbox make up for another."""
        return sum(abs(view.tally.difference) for view in self.views.values()) or abs(self.total.difference)

    def load(self, view: MailboxList) -> set[str]:
        """All of them; one that is not named any more is gone. The names that changed."""
        names = {str(mailbox.name) for mailbox in view.mailboxes}
        changed = self.views.keys() - names
        for name in changed:
            del self.views[name]
        self._gone = {name: version for name, version in self._gone.items() if name not in names}
        self._seq, self.is_known, self.error = view.seq, True, ""
        # Before a snapshot something may have been missed.
        self.died.clear()
        self.dead_version += 1
        self._take_total(view.total, is_indexing=view.is_indexing)
        return changed | {str(mailbox.name) for mailbox in view.mailboxes if self._put(mailbox)}

    def fail(self, words: str) -> None:
        """The core cannot say which mailboxes there are."""
        self.error = words

    def apply(self, record: Record) -> set[str] | None:
        """Take a record in: the names that changed; None when it is about something else."""
        event = record.event
        if type(event) not in HANDLED:
            return None
        if record.durable and record.seq <= self._seq:
            # The snapshot has seen it, and perhaps what came after it.
            return set()
        return self._change(event)

    def _change(self, event: Event) -> set[str]:
        match event:
            case MailboxesMeasured(mailboxes=views, total=total, is_indexing=is_indexing):
                self._take_total(total, is_indexing=is_indexing)
                return {str(view.name) for view in views if self._put(view)}
            case MailboxCreated(mailbox=view):
                self._gone.pop(str(view.name), None)
                return {str(view.name)} if self._put(view) else set()
            case MailboxChanged(mailbox=view) | MailboxPaused(mailbox=view) | MailboxResumed(mailbox=view):
                return {str(view.name)} if self._put(view) else set()
            case MailboxDeleted(name=name):
                before = self.views.pop(str(name), None)
                self.died.pop(str(name), None)
                self._gone[str(name)] = before.version if before else 0
                return {str(name)}
            case MailDied(mailbox=name) | MailRedriven(mailbox=name) | MailboxPurged(mailbox=name):
                self.dead_version += 1
                self._note_death(event, str(name))
                return {str(name)}
            case _:
                return set()

    def _note_death(self, event: Event, name: str) -> None:
        if isinstance(event, MailDied):
            if event.mail.died is not None:
                self.died[name] = event.mail.died
        elif not isinstance(event, MailboxPurged) or event.dead:
            # It may have been the newest that went.
            self.died.pop(name, None)

    def _take_total(self, total: MailboxTally, *, is_indexing: bool) -> None:
        if total.dead != self.total.dead:
            self.dead_version += 1
        self.total, self.is_indexing = total, is_indexing

    def _put(self, view: MailboxView) -> bool:
        name = str(view.name)
        before = self.views.get(name)
        if self._gone.get(name, -1) >= view.version or (before is not None and before.version >= view.version):
            return False
        self.views[name] = view
        return True
