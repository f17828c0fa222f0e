"""All sessions: loaded when they are needed, kept while they are busy, changed in one commit with their events."""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import msgspec

from core.api.base import SYSTEM, Actor, EntryId, Event, MessageId, SessionId
from core.api.errors import NotFound
from core.api.runs import LeaseView, RunnerView
from core.api.sessions import SessionActive, SessionView
from core.api.system import AlarmRaised
from core.api.transcripts import EntryView
from core.clock import Clock
from core.gateway import rows
from core.gateway.epochs import summed_up
from core.gateway.history import History, find_new_summary, find_summary, read_history
from core.gateway.lane import Lane, Live, Waiting, has_failed, rebased_view
from core.gateway.session import Guard
from core.gateway.unanswered import MAILBOX
from core.journal import Journal
from core.letters import Mailroom, MailTransaction
from core.pages import Pages
from core.store.base import MUST_NOT_EXIST, Put, Store
from core.tokens import tokens_of

_KEPT = 10_000


class Lanes:
    """The sessions of this core.

    boot: number of this start. is_draining: no run begins any more. late_count: writes that were refused because the
    run that wanted them had lost its lease. runner_of: the runner of a session, which is shown and never stored.
    """

    def __init__(
        self,
        *,
        store: Store,
        journal: Journal,
        mail: Mailroom,
        clock: Clock,
        boot: int,
        history_limit: int,
        unsent: Callable[[SessionId], int],
        runner_of: Callable[[SessionId], RunnerView | None],
    ) -> None:
        self._store = store
        self._journal = journal
        self._mail = mail
        self._clock = clock
        self._boot = boot
        self._history_limit = history_limit
        self._unsent = unsent
        self._runner_of = runner_of
        self.is_draining = False
        self.late_count = 0
        self._lanes: OrderedDict[SessionId, Lane] = OrderedDict()
        self.session_count = 0
        self.failed_count = 0

    async def count(self) -> None:
        """Count what is stored; later changes are followed."""
        self.session_count = await self._store.count(rows.SESSIONS)
        self.failed_count = await self._store.count(rows.FAILED)

    @property
    def boot(self) -> int:
        """Number of this start of the core."""
        return self._boot

    @property
    def is_giving(self) -> bool:
        """Whether runs may begin; False while an operator has the mailbox of the sessions paused."""
        return self._mail.is_giving(MAILBOX)

    @contextmanager
    def mail(self) -> Generator[MailTransaction, None, None]:
        """What is to happen to messages in one commit; given back when it comes to none."""
        transaction = self._mail.transaction()
        try:
            yield transaction
        except BaseException:
            transaction.cancel()
            raise

    def in_memory(self) -> Sequence[Lane]:
        """Lanes that have a session and are at hand."""
        return [lane for lane in self._lanes.values() if lane.view is not None]

    def find(self, session_id: SessionId) -> Lane | None:
        """The lane if it is in memory."""
        return self._lanes.get(session_id)

    def lane(self, session_id: SessionId) -> Lane:
        """The lane of a session as it is in memory. Who changes it, or needs what is stored, has it entered()."""
        lane = self._lanes.get(session_id)
        if lane is None:
            self._evict()
            lane = self._lanes[session_id] = Lane(session_id, self._runner_of)
        else:
            self._lanes.move_to_end(session_id)
        return lane

    @contextmanager
    def kept(self, session_id: SessionId) -> Generator[Lane]:
        """The lane of a session, which stays in memory meanwhile even if the session is not there."""
        lane = self.lane(session_id)
        lane.lock.wanted += 1
        try:
            yield lane
        finally:
            lane.lock.wanted -= 1
            self._forget_unwritten(lane)

    @asynccontextmanager
    async def entered(self, session_id: SessionId) -> AsyncGenerator[Lane]:
        """The lane of a session as it is stored, which may be not at all, with its lock held. Raises StoreError."""
        lane = self.lane(session_id)
        try:
            async with lane.lock:
                if not lane.is_loaded:
                    await self._load(lane)
                yield lane
        finally:
            self._forget_unwritten(lane)

    def _forget_unwritten(self, lane: Lane) -> None:
        # Only the last one lets it go: whoever wants it still would be at another copy than those who come next.
        if lane.view is None and not lane.lock.wanted and self._lanes.get(lane.session_id) is lane:
            del self._lanes[lane.session_id]

    async def _load(self, lane: Lane) -> None:
        row = await self._store.get(rows.session_key(lane.session_id))
        if row is not None:
            lane.view = rebased_view(rows.session_of(row.body), self._boot, self._clock)
            lane.revision = row.revision
            lane.outbound_ack = lane.view.outbound_ack
            lane.unsent = self._unsent(lane.session_id)
        lane.is_loaded = True

    async def existing(self, session_id: SessionId) -> Lane:
        """The lane of a session that exists. Raises NotFound."""
        async with self.entered(session_id) as lane:
            self.view(lane)
        return lane

    def view(self, lane: Lane) -> SessionView:
        """The session as it is. Raises NotFound when it was never written."""
        if lane.view is None:
            raise NotFound(
                f"no session {lane.session_id}", noun="session", id=lane.session_id, fix="see `sessions list`"
            )
        return lane.view

    async def history(self, lane: Lane) -> Sequence[EntryView]:
        """What the agent is given of the present epoch: the summary, if there is one, and the newest entries after it.

        The oldest first.
        """
        if lane.history is None:
            lane.history = await self._read(self.view(lane))
        return lane.history.entries()

    async def recalled(self, view: SessionView) -> tuple[SessionView, History]:
        """A session that was put into another epoch, with the summary and the estimate of that one, and its history."""
        summary_id = await find_summary(partial(self.entries, view.id), view)
        history = await self._read(msgspec.structs.replace(view, summary_id=summary_id))
        return summed_up(view, summary_id, history.tokens), history

    async def _read(self, view: SessionView) -> History:
        summary = None
        if view.summary_id is not None:
            row = await self._store.get(rows.entry_key(view.id, view.summary_id))
            summary = None if row is None else rows.entry_of(row.body)
        return await read_history(partial(self.entries, view.id), view, summary, self._history_limit)

    async def entries(self, session_id: SessionId, before: EntryId | None, limit: int) -> list[EntryView]:
        """The newest entries of any epoch (before one), oldest first."""
        prefix = rows.entries_prefix(session_id)
        after = "" if before is None else rows.entry_key(session_id, before)
        found = await self._store.scan(prefix, after=after, limit=limit, newest_first=True)
        return [rows.entry_of(row.body) for row in reversed(found)]

    async def commit(
        self,
        lane: Lane,
        *,
        base: SessionView,
        guard: Guard,
        waiting: dict[MessageId, Waiting],
        events: Callable[[SessionView], Sequence[Event]],
        puts: Sequence[Put] = (),
        entries: Sequence[EntryView] = (),
        actor: Actor = SYSTEM,
        correlation: str = "",
        mail: MailTransaction | None = None,
        pages: Sequence[Pages] = (),
    ) -> SessionView:
        """Write the session, what belongs to it and the events about it, then make it so in memory.

        mail: what happens to messages with it, in the same commit. pages: what others write with it.

        The caller holds the lock. When the store refuses, nothing has changed.
        """
        if entries:
            base = _grown(base, lane, entries)
        view = lane.next_view(base, guard, waiting)
        key = rows.session_key(lane.session_id)
        stored = msgspec.structs.replace(view, unsent=0, open_approvals=0, runner=None)
        all_puts = [
            Put(key, rows.body_of(stored), lane.revision or MUST_NOT_EXIST),
            *puts,
            *(Put(rows.entry_key(lane.session_id, item.id), rows.body_of(item), MUST_NOT_EXIST) for item in entries),
        ]
        was_failed = lane.view is not None and has_failed(lane.view)
        if has_failed(view) != was_failed:
            all_puts.append(Put(rows.failed_key(lane.session_id), None if was_failed else b"{}"))
        subject = str(lane.session_id)
        pairs = [(subject, event) for event in events(view)]
        for page in pages:
            all_puts += page.puts
            pairs += page.events
        try:
            if mail is None:
                committed = await self._journal.commit(all_puts, pairs, actor=actor, correlation=correlation)
            else:
                committed = await mail.commit(all_puts, pairs, actor=actor, correlation=correlation)
        except Exception:
            for page in pages:
                page.undone()
            raise
        self.session_count += lane.view is None
        self.failed_count += has_failed(view) - was_failed
        lane.view, lane.guard, lane.waiting = view, guard, waiting
        lane.revision = committed.revisions[0]
        if lane.history is not None and entries:
            lane.history.add(entries, view.context_tokens)
        lane.let_go()
        for page in pages:
            page.done()
        return view

    def may_write(self, lane: Lane, live: Live) -> bool:
        """Whether a run may write to its session; a late one is counted, and told of once."""
        if lane.may_write(live):
            return True
        self.late_count += 1
        if not live.is_late:
            live.is_late = True
            what = f"run {live.run.id}"
            self._journal.publish("core", AlarmRaised(what=what, error="it writes on after its lease was released"))
        return False

    def renew(self, lane: Lane, lease: LeaseView) -> None:
        """Show that the holder of a session is alive; stored with the session's next change."""
        lane.view = msgspec.structs.replace(self.view(lane), lease=lease)
        self.publish(lane)

    def publish(self, lane: Lane) -> None:
        """Show the facts as they are now, without storing them."""
        if lane.view is None:
            return
        lane.view = lane.next_view(lane.view, lane.guard, lane.waiting)
        self._journal.publish(str(lane.session_id), SessionActive(session=lane.view))

    def _evict(self) -> None:
        """Make room for one more, if any may go."""
        while len(self._lanes) >= _KEPT:
            for session_id, lane in self._lanes.items():
                if not lane.is_busy:
                    del self._lanes[session_id]
                    break
            else:
                return


def _grown(view: SessionView, lane: Lane, entries: Sequence[EntryView]) -> SessionView:
    """The session with more entries. The estimate is whole once the history was needed."""
    if lane.history is not None:
        tokens = lane.history.tokens_with(entries)
    else:
        tokens = view.context_tokens + sum(map(tokens_of, entries))
    summary = find_new_summary(entries)
    return msgspec.structs.replace(
        view,
        entry_count=view.entry_count + len(entries),
        context_tokens=tokens,
        summary_id=view.summary_id if summary is None else summary.id,
    )
