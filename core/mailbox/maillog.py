"""The log of all durable mail: written in groups, and read once at the start.

What senders wait for and what merely frees room go in separate batches, so that work can still
be ended when the disk is full.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from core.api.base import MailId
from core.api.errors import HermesError, StoreError
from core.journal import Journal
from core.mailbox import records
from core.mailbox.message import Mail
from core.mailbox.office import Office
from core.mailbox.records import Buried, Head, Refused, Returned, Settled, Taken
from core.store.base import Committed


class Addressed(Protocol):
    """A mailbox, as far as the log knows it."""

    def stored(self, mail: Mail) -> None:
        """The message is durable: let it in."""
        ...

    def not_stored(self, mail: Mail) -> None:
        """It is not: give its room back."""
        ...


Posting = tuple[Addressed, Mail, "asyncio.Future[None]"]
Note = Taken | Returned | Settled | Refused | Buried
Noted = tuple[MailId, bytes]


class PackCount:
    """One pack of the log. posted: messages that were written in it; live: those not let go; at: UTC seconds."""

    __slots__ = ("at", "live", "posted")

    def __init__(self, at: float, posted: int = 0, live: int = 0) -> None:
        self.at = at
        self.posted = posted
        self.live = live


class MailLog:
    """Writes what happens to durable mail. on_trouble: called with an error while notes cannot be written.

    claimed: messages of which a commit under way says what becomes of them; here they are still as they were before.
    """

    def __init__(self, journal: Journal, office: Office, on_trouble: Callable[[HermesError], None]) -> None:
        self._journal = journal
        self._office = office
        self._on_trouble = on_trouble
        self._loop = asyncio.get_running_loop()
        self._records: list[bytes] = []
        self._postings: list[Posting] = []
        self._notes: list[Noted] = []
        # Notes of batches that failed, in their order, to be written again once no other batch of notes is under way.
        self._owed: list[Noted] = []
        self._noting_count = 0
        self.claimed: set[MailId] = set()
        self._is_called = False
        self._last: asyncio.Future[Committed] | None = None
        self.packs: dict[int, PackCount] = {}
        self.live_count = 0
        self.posted_count = 0

    def post(self, box: Addressed, mail: Mail) -> "asyncio.Future[None]":
        """Write a message; the future ends when it is durable and in its mailbox."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._records.append(records.posted(mail))
        self._postings.append((box, mail, future))
        if not self._is_called:
            self._call()
        return future

    def note(self, note: Note) -> None:
        """Write what happened to a message, without waiting."""
        self._notes.append((note.mail_id, records.encoded(note)))
        if not self._is_called:
            self._call()

    def settled(self, mail: Mail) -> None:
        """Write that a message is over."""
        self.let_go(mail)
        self.note(Settled(mail.id))

    def let_go(self, mail: Mail) -> None:
        """Count a message of the log as over."""
        pack = self.packs.get(mail.place)
        if pack is not None:
            pack.live -= 1
            self.live_count -= 1

    def placed(self, mail: Mail, place: int) -> None:
        """Count a message as living in a pack."""
        self._count(place, 1)
        mail.place = place

    def count_pack(self, place: int, at: float, posted: int) -> None:
        """Count a pack of an earlier start."""
        self.packs[place] = PackCount(at, posted)
        self.posted_count += posted

    def count_live(self, place: int, count: int) -> None:
        """Count messages of an earlier start as living in their pack."""
        self.packs[place].live += count
        self.live_count += count

    def forget_packs(self, floor: int) -> None:
        """Packs up to a place are gone."""
        for place in [place for place in self.packs if place <= floor]:
            pack = self.packs.pop(place)
            self.posted_count -= pack.posted
            self.live_count -= pack.live

    async def indexed(self) -> None:
        """Until every pack of an earlier start is counted."""
        await self._office.indexed.wait()

    def wall(self) -> float:
        """UTC seconds."""
        return self._office.wall()

    def head(self) -> bytes:
        """The record that stands before others that are written together."""
        return records.encoded(Head(MailId(self._office.next_id), self._office.wall()))

    async def flushed(self) -> None:
        """Until everything noted so far is durable. Raises StoreError when it is not."""
        self.flush()
        if self._last is not None:
            await asyncio.shield(self._last)

    def flush(self) -> None:
        """Ask the store for all that waits, now."""
        self._is_called = False
        if self._records:
            batch, postings = [self.head(), *self._records], self._postings
            self._records, self._postings = [], []
            self._submit(batch, partial(self._posted, postings), is_relief=False)
        noted = self._notes
        if self._owed and not self._noting_count:
            noted = [*self._owed, *noted]
            self._owed = []
        if noted:
            self._notes = []
            self._noting_count += 1
            batch = [self.head(), *(record for _, record in noted)]
            self._submit(batch, partial(self._noted, noted), is_relief=True)

    def _call(self) -> None:
        # At the end of this round of the loop: what else is written in it goes into the same batch.
        self._is_called = True
        self._loop.call_soon(self.flush)

    def _submit(
        self, batch: Sequence[bytes], then: Callable[["asyncio.Future[Committed]"], None], *, is_relief: bool
    ) -> None:
        try:
            future = self._journal.append(batch, is_relief=is_relief)
        except HermesError as error:
            future = self._loop.create_future()
            future.set_exception(error)
        self._last = future
        future.add_done_callback(then)

    def _posted(self, postings: list[Posting], future: "asyncio.Future[Committed]") -> None:
        error = None if future.cancelled() else future.exception()
        if error is not None or future.cancelled():
            self._refused(postings, error)
            return
        place = future.result().place
        self._count(place, len(postings))
        for box, mail, waiter in postings:
            mail.place = place
            box.stored(mail)
            if not waiter.done():
                waiter.set_result(None)

    def _count(self, place: int, count: int) -> None:
        pack = self.packs.get(place)
        if pack is None:
            pack = self.packs[place] = PackCount(self._office.wall())
        pack.posted += count
        pack.live += count
        self.posted_count += count
        self.live_count += count

    def _refused(self, postings: list[Posting], error: BaseException | None) -> None:
        for box, mail, waiter in postings:
            box.not_stored(mail)
            if isinstance(error, StoreError) and error.facts.get("cause") == "io":
                # It may be on the disk all the same: what its sender does about that must not make two of it.
                self.note(Refused(mail.id))
            if not waiter.done():
                waiter.set_exception(_own(error))

    def _noted(self, noted: "list[Noted]", future: "asyncio.Future[Committed]") -> None:
        self._noting_count -= 1
        error = None if future.cancelled() else future.exception()
        if error is None:
            self._count(future.result().place, 0)
            if self._owed:
                # What is owed is older than what has just been written about the same message, and must not undo it.
                newer = {mail_id for mail_id, _ in noted}
                self._owed = [item for item in self._owed if item[0] not in newer]
            return
        # Memory is ahead of the log now: a crash before it is written only means another delivery.
        # Batches end in the order in which they were asked for.
        self._owed += noted
        if isinstance(error, HermesError):
            self._on_trouble(error)

    @property
    def is_owing(self) -> bool:
        """Whether notes are still to be written again after a failure."""
        return bool(self._owed)


def _own(error: BaseException | None) -> BaseException:
    """The same error for one caller: an exception collects the traces of all who raise it."""
    if isinstance(error, StoreError):
        return StoreError(error.message, **error.facts)
    return error or asyncio.CancelledError()
