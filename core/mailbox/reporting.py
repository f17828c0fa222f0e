"""Tells once a second how mailboxes are that changed, and which messages died; at rest it does nothing."""

from collections.abc import Iterable
from itertools import islice
from typing import cast

import msgspec

from core.api.base import Event, MailboxName, Mark
from core.api.errors import HermesError
from core.api.mail import MailDied
from core.api.mailboxes import MailboxesMeasured, MailboxTally, MailboxView
from core.clock import Clock, mark
from core.journal import Journal
from core.mailbox.inspections import Sums
from core.mailbox.mailbox import Mailbox
from core.mailbox.mailboxes import Mailboxes
from core.mailbox.meter import Meter
from core.mailbox.shown import mail_view
from core.waits import breathe

SUBJECT = "mailboxes"
TICK_S = 1.0
VIEWS_LIMIT = 500
"""Mailboxes in one report, and deaths in one commit; more wait for the next second."""

_BOXES_AT_A_TIME = 100


class _Seen(msgspec.Struct):
    """What was last told of a mailbox. died: deaths told so far."""

    tally: MailboxTally
    change: int
    died: int = 0


class Reporting:
    """Follows the mailboxes that somebody touched until they are at rest for a minute.

    Its figures are counted from its first look: what an earlier start left is no traffic.
    """

    def __init__(self, *, mailboxes: Mailboxes, journal: Journal, clock: Clock) -> None:
        self._mailboxes = mailboxes
        self._journal = journal
        self._clock = clock
        self._touched = mailboxes.office.touched
        self._watched: dict[Mailbox, None] = {}
        self._owed: dict[Mailbox, None] = {}
        self._dying: dict[Mailbox, None] = {}
        self._seen: dict[MailboxName, _Seen] = {}
        self._sums = Sums()
        self._looked_at = 0.0
        self._was_indexing: bool | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.tick()
            await self._clock.sleep(TICK_S)

    async def tick(self) -> None:
        """Look at what changed, and tell of it."""
        is_indexing = self._mailboxes.is_indexing
        was_indexing, self._was_indexing = self._was_indexing, is_indexing
        # What was read in from the store touched nobody: it is looked for once, before and after.
        if was_indexing is not is_indexing:
            self._watched.update((box, None) for box in self._mailboxes.all() if box.change)
        self._watched.update(cast("dict[Mailbox, None]", self._touched))
        self._touched.clear()
        if was_indexing is is_indexing and not (self._watched or self._owed or self._dying):
            self._looked_at = self._clock.monotonic()
            return
        await self._look(is_metered=not is_indexing and was_indexing is not None and not was_indexing)
        views = await self._views()
        if views or was_indexing is not is_indexing:
            event = MailboxesMeasured(mailboxes=tuple(views), total=self._sums.tally(), is_indexing=is_indexing)
            self._journal.publish(SUBJECT, event)
        await self._tell_deaths()

    async def _look(self, *, is_metered: bool) -> None:
        """Take the figures of all that are watched. is_metered: what they took in since is traffic."""
        now = self._clock.monotonic()
        for count, box in enumerate(list(self._watched), 1):
            if self._mailboxes.find(box.name) is not box:
                self._forget(box)
            else:
                self._look_at(box, now, is_metered=is_metered)
            if not count % _BOXES_AT_A_TIME:
                await breathe()
        self._looked_at = now

    def _look_at(self, box: Mailbox, now: float, *, is_metered: bool) -> None:
        seen = self._seen.get(box.name)
        is_changed = seen is None or seen.change != box.change
        if box.meter is not None or (is_metered and is_changed):
            self._measure(box, seen, now)
            if not is_changed:
                # The same state with other rates is another view.
                box.change += 1
                is_changed = True
        if is_changed:
            self._note(box, seen)
        if box.meter is None and not box.leases and box.next_at() is None:
            del self._watched[box]

    def _measure(self, box: Mailbox, seen: _Seen | None, now: float) -> None:
        meter = box.meter
        if meter is None:
            before = seen.tally if seen is not None else MailboxTally()
            meter = box.meter = Meter(self._looked_at, before.accepted, before.done)
        meter.sample(now, box.accepted, box.done, box.depth)
        if meter.is_idle:
            box.meter = None

    def _note(self, box: Mailbox, seen: _Seen | None) -> None:
        tally = box.tally()
        if seen is None:
            seen = self._seen[box.name] = _Seen(tally, box.change)
        else:
            self._sums.remove(seen.tally)
            seen.tally, seen.change = tally, box.change
        self._sums.add(tally)
        self._owed[box] = None
        if box.died > seen.died:
            self._dying[box] = None

    def _forget(self, box: Mailbox) -> None:
        """A mailbox that was deleted; another one of its name may be there by now."""
        for of in (self._watched, self._owed, self._dying):
            of.pop(box, None)
        seen = self._seen.get(box.name)
        if seen is not None:
            del self._seen[box.name]
            self._sums.remove(seen.tally)
            successor = self._mailboxes.find(box.name)
            if successor is not None:
                self._watched[successor] = None

    async def _views(self) -> list[MailboxView]:
        views: list[MailboxView] = []
        for box in _first(self._owed, VIEWS_LIMIT):
            views.append(box.view())
            del self._owed[box]
            if not len(views) % _BOXES_AT_A_TIME:
                await breathe()
        return views

    async def _tell_deaths(self) -> None:
        """One commit for all; what cannot be stored is told with the next."""
        now = mark(self._clock)
        told: list[tuple[Mailbox, int]] = []
        events: list[tuple[str, Event]] = []
        for box in _first(self._dying, VIEWS_LIMIT):
            event = self._death(box, now)
            told.append((box, box.died))
            if event is not None:
                events.append((str(box.name), event))
        try:
            if events:
                await self._journal.commit((), events)
        except HermesError:
            return
        for box, died in told:
            seen = self._seen.get(box.name)
            if seen is not None:
                seen.died = died
            self._dying.pop(box, None)

    def _death(self, box: Mailbox, now: Mark) -> MailDied | None:
        """The event, None when what died is gone again already: an act of somebody, which was told."""
        last = next(reversed((box.dead or {}).values()), None)
        seen = self._seen[box.name]
        if last is None:
            return None
        return MailDied(mailbox=box.name, count=box.died - seen.died, mail=mail_view(last, now))


def _first(boxes: Iterable[Mailbox], limit: int) -> list[Mailbox]:
    return list(islice(boxes, limit))
