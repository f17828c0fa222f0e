"""Reading all stored mail at the start, while new mail is accepted already."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence

from core.api.errors import StoreError
from core.api.mail import DeadReason, MailState
from core.mailbox.admission import Known, Remembered
from core.mailbox.mailbox import Mailbox
from core.mailbox.maillog import MailLog
from core.mailbox.message import Mail, Past
from core.mailbox.office import Office
from core.mailbox.policy import Again, Dead, after_crash
from core.mailbox.records import Buried, Returned, Seen
from core.mailbox.replay import Damage, Replay, mark_dead, next_id, note_failure, retimed
from core.store.base import Store
from core.waits import breathe

DAMAGED = "damaged"
"""Mailbox whose dead letters are what is left of damaged records."""

_PAGE_BYTES = 262_144
_BREATH_EVERY = 1000
_FAR = 1_000_000


class Indexing:
    """alarm: called with a line for what an operator must know."""

    def __init__(
        self,
        *,
        store: Store,
        log: MailLog,
        office: Office,
        box_of: Callable[[str], Mailbox],
        alarm: Callable[[str], None],
    ) -> None:
        self._store = store
        self._log = log
        self._office = office
        self._box_of = box_of
        self._alarm = alarm
        self._last = 0
        self.is_running = False
        self.error: BaseException | None = None
        self.done = asyncio.Event()

    async def begin(self) -> None:
        """Find out which ids are free, from the newest pack alone. Raises StoreError."""
        stats = self._store.stats()
        self._last = stats.mail_last
        if stats.mail_last < stats.mail_first:
            self._office.indexed.set()
            self.done.set()
            return
        self.is_running = True
        newest = await self._store.read_packs(after=stats.mail_last - 1)
        found = next_id(newest[0] if newest else None)
        # A damaged newest pack does not tell: far beyond everything is safe, and the replay corrects nothing.
        self._office.next_id = found or (self._store.stats().mail_last + 1) * _FAR

    async def run(self, boxes: Callable[[], Sequence[Mailbox]]) -> None:
        """Read everything, put each message where it belongs, then let the mailboxes give out."""
        try:
            replay = await self._read()
            await self._place(replay)
        except BaseException as error:
            # Nothing is given out and nothing is cleaned: what was not read is still there.
            self.error = error
            why = error.message if isinstance(error, StoreError) else f"{type(error).__name__}: {error}"
            self._alarm(f"stored mail cannot be read: {why}")
            raise
        else:
            self.is_running = False
            for box in boxes():
                box.indexed()
            self._office.indexed.set()
        finally:
            self.done.set()

    async def _read(self) -> Replay:
        replay, after = Replay(self._office.now(), self._office.wall()), 0
        while after < self._last:
            packs = await self._store.read_packs(after=after, limit_bytes=_PAGE_BYTES)
            if not packs:
                break
            for pack in packs:
                if pack.place <= self._last:
                    replay.apply(pack)
                    await breathe()
            after = packs[-1].place
        return replay

    async def _place(self, replay: Replay) -> None:
        now, wall = self._office.now(), self._office.wall()
        self._office.next_id = max(self._office.next_id, replay.next_id)
        for place, at in replay.pack_at.items():
            self._log.count_pack(place, at, replay.posted.get(place, 0))
        for count, seen in enumerate(replay.seen):
            self._remember(seen, now, wall)
            if count % _BREATH_EVERY == 0:
                await breathe()
        boxes: dict[str, Mailbox] = {}
        in_flight = replay.in_flight
        live: defaultdict[int, int] = defaultdict(int)
        for count, mail in enumerate(replay.in_order()):
            box = boxes.get(mail.mailbox)
            if box is None:
                box = boxes[mail.mailbox] = self._box_of(mail.mailbox)
            live[mail.place] += 1
            if mail.due_at or mail.expires_at:
                retimed(mail, now, wall)
            if mail.key:
                self._remember(Seen(mail.mailbox, mail.key, mail.id, mail.created_at), now, wall)
            if in_flight and mail.id in in_flight:
                self._crashed(box, mail, wall)
            else:
                box.take_in(mail)
            if count % _BREATH_EVERY == 0:
                await breathe()
        for place, live_count in live.items():
            self._log.count_live(place, live_count)
        self._tell(replay)

    def _crashed(self, box: Mailbox, mail: Mail, wall: float) -> None:
        mail.crashes += 1
        verdict = after_crash(box.policy, mail)
        error = "the core stopped while it was in flight"
        if isinstance(verdict, Again):
            mail.state = MailState.QUEUED
            note_failure(mail, error, wall)
            self._log.note(Returned(mail.id, mail.attempt, wall, 0.0, error, mail.crashes))
        elif isinstance(verdict, Dead):
            error = f"{error}, at {mail.crashes} starts"
            note_failure(mail, error, wall)
            mark_dead(mail, verdict.reason, error, wall)
            self._log.note(Buried(mail.id, verdict.reason, error, wall))
        box.take_in(mail)

    def _remember(self, seen: Seen, now: float, wall: float) -> None:
        box = self._box_of(seen.mailbox)
        rest_s = seen.at + box.policy.dedupe_s - wall
        if rest_s <= 0 or seen.mail_id < box.first_id:
            return
        if box.known is None:
            box.known = Remembered()
        until = now + min(rest_s, box.policy.dedupe_s)
        before = box.known.find(seen.key, now)
        # One that was redriven has its key from then on.
        if before is None or before.until < until:
            box.known.add(seen.key, Known(seen.mail_id, until))
            box.activate()

    def _tell(self, replay: Replay) -> None:
        if not replay.damage:
            return
        places = sorted({damage.place for damage in replay.damage})
        self._alarm(
            f"{len(replay.damage)} damaged records in the mail log, in packs "
            f"{', '.join(map(str, places[:5]))}{' ...' if len(places) > 5 else ''}"  # noqa: PLR2004 -- as many as fit a line
        )
        box = self._box_of(DAMAGED)
        known = {mail.key for mail in replay.mails.values() if mail.mailbox == DAMAGED}
        for damage in replay.damage:
            key = f"{damage.place}/{damage.index}"
            if key not in known:
                self._keep(box, key, damage)

    def _keep(self, box: Mailbox, key: str, damage: Damage) -> None:
        """Make a dead letter of what is left of a record, under a key that names its place."""
        wall = self._office.wall()
        error = f"record {damage.index} of pack {damage.place} is not what was written"
        mail = Mail(
            self._office.new_id(),
            box.name,
            "store",
            damage.raw,
            message_type="damaged record",
            created_at=wall,
            key=key,
            past=Past(reason=DeadReason.CORRUPT, error=error, died_at=wall),
            noted=MailState.DEAD,
            posted=self._office.now(),
        )
        log = box.admit(mail)
        if log is not None:
            log.post(box, mail).add_done_callback(_heard)


def _heard(stored: "asyncio.Future[None]") -> None:
    """A record that cannot be kept now is found again at the next start."""
    if not stored.cancelled():
        stored.exception()
