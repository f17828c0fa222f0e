"""What can be asked about mailboxes and their mail. Looking takes nothing, and however much there is, nobody waits."""

from collections.abc import Sequence
from itertools import chain

from core.api.base import MailId, Seq
from core.api.errors import InvalidInput, NotFound
from core.api.mail import BrowseMail, DeadGroups, GetMail, ListDead, MailFilter, MailPage, MailView, TraceMail
from core.api.mailboxes import GetMailbox, ListMailboxes, MailboxList, MailboxTally, MailboxView
from core.clock import Clock, mark
from core.journal import Journal
from core.mailbox.causes import Grouping
from core.mailbox.filter import check_filter, matcher
from core.mailbox.mailbox import Mailbox
from core.mailbox.mailboxes import Mailboxes
from core.mailbox.message import Mail
from core.mailbox.scans import first_fitting, portions
from core.mailbox.shown import mail_view
from core.waits import breathe

PAGE_LIMIT = 500
_VIEWS_AT_A_TIME = 100
_BOXES_AT_A_TIME = 2_000


class Inspections:
    """Answers from memory. What changes during a long look may be seen as it was or as it is."""

    def __init__(self, *, mailboxes: Mailboxes, journal: Journal, clock: Clock) -> None:
        self._mailboxes = mailboxes
        self._journal = journal
        self._clock = clock

    async def list_mailboxes(self, query: ListMailboxes) -> MailboxList:  # noqa: ARG002 -- it asks for all
        """All mailboxes by name, and their tallies added up."""
        seq = await self._journal.head()
        views: list[MailboxView] = []
        sums = Sums()
        for count, box in enumerate(self._mailboxes.all(), 1):
            view = box.view()
            views.append(view)
            sums.add(view.tally)
            if not count % _VIEWS_AT_A_TIME:
                await breathe()
        return MailboxList(mailboxes=tuple(views), total=sums.tally(), seq=seq, is_indexing=self._mailboxes.is_indexing)

    async def get_mailbox(self, query: GetMailbox) -> MailboxView:
        """One mailbox. Raises NotFound."""
        return self._mailboxes.get(query.mailbox).view()

    async def browse_mail(self, query: BrowseMail) -> MailPage:
        """A page in the order of the ids. Raises NotFound, InvalidInput."""
        if not 1 <= query.limit <= PAGE_LIMIT:
            raise InvalidInput(
                f"limit is {query.limit}", field="limit", value=query.limit, fix=f"use 1 to {PAGE_LIMIT}"
            )
        check_filter(query.where, is_dead=query.dead)
        box = self._mailboxes.get(query.mailbox)
        mails = list((box.dead or {}).values()) if query.dead else _live(box)
        # One more than asked for tells whether there is another page.
        found = await first_fitting(
            mails, matcher(query.where, self._clock.now()), after=query.after, limit=query.limit + 1
        )
        return await self._page(found, query.limit)

    async def get_mail(self, query: GetMail) -> MailView:
        """One message, live or dead. Raises NotFound when it is over or never was."""
        for count, box in enumerate(self._mailboxes.all(), 1):
            mail = box.find_mail(query.mail_id)
            if mail is not None:
                return mail_view(mail, mark(self._clock))
            if not count % _BOXES_AT_A_TIME:
                await breathe()
        raise NotFound(
            f"no message m-{query.mail_id}: it is done with, or there was none",
            noun="message",
            id=query.mail_id,
            fix="see `mailbox peek` and `mailbox dead`",
        )

    async def trace_mail(self, query: TraceMail) -> MailPage:
        """What shares a correlation id, in the order of the ids. Raises InvalidInput when none is given."""
        if not query.correlation:
            raise InvalidInput(
                "there is nothing to trace", field="correlation", value="", fix="name the correlation id of a message"
            )
        fits = matcher(MailFilter(correlation=query.correlation), self._clock.now())
        found: list[Mail] = []
        for count, box in enumerate(self._mailboxes.all(), 1):
            mails = [*_live(box), *(box.dead or {}).values()]
            if mails:
                found += await first_fitting(mails, fits, after=0, limit=PAGE_LIMIT + 1)
            if not count % _BOXES_AT_A_TIME:
                await breathe()
        found.sort(key=lambda mail: mail.id)
        return await self._page(found, PAGE_LIMIT)

    async def list_dead(self, query: ListDead) -> DeadGroups:
        """Dead letters by what they died of, the largest group first. Raises NotFound."""
        seq: Seq = await self._journal.head()
        boxes = [self._mailboxes.get(query.mailbox)] if query.mailbox else self._mailboxes.all()
        grouping = Grouping()
        for box in boxes:
            if box.dead:
                async for mails in portions(list(box.dead.values())):
                    for mail in mails:
                        grouping.add(mail)
        return DeadGroups(groups=grouping.groups(mark(self._clock)), total=grouping.total, seq=seq)

    async def _page(self, found: Sequence[Mail], limit: int) -> MailPage:
        shown = found[:limit]
        views: list[MailView] = []
        async for mails in portions(shown):
            now = mark(self._clock)
            views += [mail_view(mail, now) for mail in mails]
        next_after: MailId | None = shown[-1].id if len(found) > limit else None
        return MailPage(mails=tuple(views), next_after=next_after)


class Sums:
    """Tallies added up."""

    __slots__ = ("_sums",)

    def __init__(self) -> None:
        self._sums = [0] * len(MailboxTally.__struct_fields__)

    def add(self, tally: MailboxTally) -> None:
        """Count a mailbox."""
        self._change(tally, 1)

    def remove(self, tally: MailboxTally) -> None:
        """Count it no more."""
        self._change(tally, -1)

    def tally(self) -> MailboxTally:
        """The sum of all."""
        return MailboxTally(**dict(zip(MailboxTally.__struct_fields__, self._sums, strict=True)))

    def _change(self, tally: MailboxTally, sign: int) -> None:
        for place, field in enumerate(MailboxTally.__struct_fields__):
            self._sums[place] += sign * getattr(tally, field)


def _live(box: Mailbox) -> list[Mail]:
    return list(chain(box.waiting.values(), box.leases.values()))
