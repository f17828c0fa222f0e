"""Keeping the mail log short: the oldest packs go, and what still lives in them is written again at its end."""

from collections.abc import Callable

from core.api.mail import MailState
from core.clock import Clock
from core.journal import Journal
from core.mailbox import records
from core.mailbox.mailbox import Mailbox
from core.mailbox.maillog import MailLog
from core.mailbox.message import Mail
from core.mailbox.records import Record, Seen, Taken, find_record
from core.store.base import Pack, Store

_EVERY_S = 5.0
_STEP_BYTES = 1_048_576
_STEP_PACKS = 512
_KEPT_PACKS = 64
"""So few packs are not worth the trouble."""
_LIVE_SHARE = 0.5
"""Packs are emptied while less than this share of what was posted in them lives."""

_PACKS_PER_LIVE = 4
"""More packs than that for each live message hold little but notes."""


class Cleaning:
    """window_s: the longest time for which a key is remembered; find: a mailbox by name."""

    def __init__(
        self,
        *,
        store: Store,
        journal: Journal,
        log: MailLog,
        clock: Clock,
        find: Callable[[str], Mailbox | None],
        window_s: Callable[[], float],
    ) -> None:
        self._store = store
        self._journal = journal
        self._log = log
        self._clock = clock
        self._find = find
        self._window_s = window_s

    async def run(self) -> None:
        """Clean now and then, until cancelled."""
        await self._log.indexed()
        while True:
            await self._clock.sleep(_EVERY_S)
            while await self.step():
                pass

    async def step(self) -> bool:
        """Let some of the oldest packs go; False when there was nothing to do. Raises StoreError."""
        if not self._is_worth_it():
            return False
        floor = self._empty_prefix()
        if floor:
            await self._journal.commit([], [], mail_floor=floor, is_relief=True)
            self._log.forget_packs(floor)
            return True
        newest = max(self._log.packs)
        after = min(self._log.packs) - 1
        packs = [
            pack for pack in await self._store.read_packs(after=after, limit_bytes=_STEP_BYTES) if pack.place < newest
        ]
        return bool(packs) and await self._move(packs)

    def _is_worth_it(self) -> bool:
        count = len(self._log.packs)
        live, posted = self._log.live_count, self._log.posted_count
        return count > _KEPT_PACKS and (live < _LIVE_SHARE * posted or count > _PACKS_PER_LIVE * live + _KEPT_PACKS)

    def _empty_prefix(self) -> int:
        """Place up to which no pack holds anything that is still needed, 0 when the first one does."""
        floor, newest = 0, max(self._log.packs)
        old_at = self._log.wall() - self._window_s()
        for place in sorted(self._log.packs):
            pack = self._log.packs[place]
            if place == newest or pack.live or pack.at >= old_at:
                break
            floor = place
        return floor

    async def _move(self, packs: list[Pack]) -> bool:
        # What is noted already must stand in the log before the copies, which know of it.
        self._log.flush()
        copies: list[bytes] = []
        moved: list[Mail] = []
        floor = 0
        for pack in packs:
            found = [find_record(raw) for index, raw in enumerate(pack.records) if index not in pack.damaged]
            if any(isinstance(record, Mail) and record.id in self._log.claimed for record in found):
                # A commit under way says what becomes of it: a copy behind that would bring it back.
                break
            for record in found:
                self._carry(record, pack.place, copies, moved)
            floor = pack.place
        if not floor:
            return False
        mail = [self._log.head(), *copies] if copies else []
        committed = await self._journal.commit([], [], mail=mail, mail_floor=floor, is_relief=True)
        for copied in moved:
            current = self._current(copied)
            if current is not None:
                self._log.let_go(current)
                self._log.placed(current, committed.place)
        self._log.forget_packs(floor)
        return True

    def _carry(self, record: Record | None, place: int, copies: list[bytes], moved: list[Mail]) -> None:
        if isinstance(record, Seen):
            self._carry_key(record, copies)
        if not isinstance(record, Mail):
            return
        current = self._current(record)
        if current is None or current.place != place:
            if record.key and current is None:
                self._carry_key(Seen(record.mailbox, record.key, record.id, record.created_at), copies)
            return
        moved.append(current)
        copies.append(records.posted(current))
        if current.state is MailState.IN_FLIGHT:
            copies.append(records.encoded(Taken(current.id, current.attempt)))

    def _carry_key(self, seen: Seen, copies: list[bytes]) -> None:
        # Not for a message that was never accepted: its disk was in doubt, and it was refused.
        box = self._find(seen.mailbox)
        known = None if box is None or box.known is None else box.known.find(seen.key, self._clock.monotonic())
        if known is not None and known.mail_id == seen.mail_id:
            copies.append(records.encoded(seen))

    def _current(self, mail: Mail) -> Mail | None:
        """The message as it is now, None when it is over."""
        box = self._find(mail.mailbox)
        return None if box is None else box.find_mail(mail.id)
