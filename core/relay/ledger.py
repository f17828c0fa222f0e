"""The books of the relay: every message from bot to bot, out and in.

Those under way are in memory, and those of which somebody is still to be told. The others are rows alone, so that there
may be any number of them.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence

import msgspec

from core.api.base import SYSTEM, Actor, Event
from core.api.errors import ConflictError, NotFound, StoreError
from core.api.relay_tasks import RelayState, RelayTaskFilter, RelayTaskView
from core.clock import Clock
from core.handlers import QueryHandlers
from core.ids import IdSource
from core.journal import Journal
from core.letters import MailTransaction
from core.relay.ledger_counts import LedgerCounts
from core.relay.ledger_lists import LedgerLists
from core.relay.ledger_rows import ENDED, LIVE, gone_puts, is_named, name_key, prefix_of, puts_of, task_of, view_of
from core.relay.targets import Tally
from core.relay.task import RelayTask
from core.store.base import Committed, Put, Row, Store

_PAGE_ROWS = 500
_SHOWN_BEFORE = 2
"""Versions that an earlier start may have shown without storing them."""

AsEvent = Callable[[RelayTaskView], Event]
"""Makes the event that tells of a new value."""


class Change(msgspec.Struct, frozen=True):
    """What is to become of a message. event: that tells of it; transaction: mail that goes with it."""

    task: RelayTask
    event: AsEvent | None = None
    transaction: MailTransaction | None = None


class Ledger:
    """All messages. One change of a message at a time."""

    def __init__(self, *, store: Store, journal: Journal, clock: Clock, ids: IdSource) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock
        self._ids = ids
        self._live: dict[str, RelayTask] = {}
        self._turns: dict[str, asyncio.Future[None]] = {}
        self._listeners: tuple[Callable[[RelayTask], None], ...] = ()
        self.counts = LedgerCounts()
        self._lists = LedgerLists(self, store=store, journal=journal, clock=clock)

    async def open(self) -> None:
        """Read those that are under way, and count the rest. Raises StoreError."""
        after = ""
        while page := await self._store.scan(LIVE, after=after, limit=_PAGE_ROWS):
            after = page[-1].key
            for row in page:
                task = task_of(row, self._clock)
                task = msgspec.structs.replace(task, version=task.version + _SHOWN_BEFORE)
                self._live[task.id] = task
                self.counts.moved(None, task)
        for state in ENDED:
            self.counts.states[state.value] += await self._store.count(prefix_of(state))
        if self.counts.states[RelayState.DEAD.value]:
            self.counts.begin_dead()

    # -- seen

    def live(self) -> Collection[RelayTask]:
        """All that are under way, and those that are over of which somebody is to be told."""
        return self._live.values()

    def find_live(self, task_id: str) -> RelayTask | None:
        """One of those."""
        return self._live.get(task_id)

    async def find(self, task_id: str) -> RelayTask | None:
        """One, under way or over. Raises StoreError."""
        task = self._live.get(task_id)
        if task is not None:
            return task
        row = await self._row(task_id)
        # It may have come back to life while its row was looked for.
        task = self._live.get(task_id)
        return task if task is not None or row is None else task_of(row, self._clock)

    async def matching(self, only: RelayTaskFilter, *, limit: int) -> list[RelayTask]:
        """Those that fit, the latest first. Raises StoreError."""
        return await self._lists.matching(only, limit=limit)

    def view(self, task: RelayTask) -> RelayTaskView:
        """As operators see it in lists."""
        return view_of(task)

    def tally(self, origin: str) -> Tally:
        """Counts of those that go to an origin."""
        return self.counts.tally(origin)

    def counts_under_way(self) -> tuple[int, int, int, int]:
        """Attempts that go on, delivered and unanswered, worked on by agents here, waiting to be sent."""
        return self.counts.under_way()

    @property
    def queries(self) -> QueryHandlers:
        """Who answers which question."""
        return self._lists.queries

    def on_change(self, callback: Callable[[RelayTask], None]) -> None:
        """Call back when a message has a new value that is stored. It must be quick."""
        self._listeners = (*self._listeners, callback)

    # -- changed

    async def keep(
        self,
        task: RelayTask,
        event: AsEvent | None,
        *,
        actor: Actor = SYSTEM,
        transaction: MailTransaction | None = None,
    ) -> RelayTask:
        """Store a new value of a message, with the event that tells of it; together with mail when a transaction is
        given. The value as it was stored.

        task: made of the present value, with the version of that; a new one has version 0. Raises ConflictError when it
        was changed meanwhile or is being changed, StoreError; then the transaction is cancelled.
        """
        return (await self.keep_all([(task, event)], actor=actor, transaction=transaction))[0]

    async def keep_all(
        self,
        changes: Sequence[tuple[RelayTask, AsEvent | None]],
        *,
        actor: Actor = SYSTEM,
        transaction: MailTransaction | None = None,
    ) -> list[RelayTask]:
        """The same for several messages in one commit."""
        taken: list[str] = []
        try:
            priors: list[RelayTask | None] = []
            for task, _ in changes:
                self._take(task)
                taken.append(task.id)
                priors.append(await self._before(task))
            return await self._commit(priors, changes, actor, transaction)
        except BaseException:
            if transaction is not None:
                transaction.cancel()
            raise
        finally:
            for task_id in taken:
                self._give(task_id)

    async def change(
        self, task_id: str, decide: Callable[[RelayTask], Change | None], *, actor: Actor = SYSTEM
    ) -> RelayTask:
        """Change one message once nobody else does. decide: gets it as it is then; None leaves it so. The value after.

        What `decide` raises is raised, and nothing has changed. Raises NotFound, StoreError.
        """
        await self.rest(task_id)
        self._turns[task_id] = asyncio.get_running_loop().create_future()
        try:
            task = await self.find(task_id)
            if task is None:
                raise NotFound(f"no message {task_id}", noun="relay task", id=task_id, fix="see `relay tasks`")
            change = decide(task)
            if change is None:
                return task
            try:
                return (await self._commit([task], [(change.task, change.event)], actor, change.transaction))[0]
            except BaseException:
                if change.transaction is not None:
                    change.transaction.cancel()
                raise
        finally:
            self._give(task_id)

    async def rest(self, task_id: str) -> None:
        """Until nobody changes that message."""
        while (turn := self._turns.get(task_id)) is not None:
            await asyncio.shield(turn)

    def show(self, task: RelayTask, event: AsEvent) -> RelayTask:
        """A live message has a new value that is not worth a commit: after a crash it is as it was. The value shown."""
        before = self._live[task.id]
        after = msgspec.structs.replace(task, version=before.version + 1)
        self._live[task.id] = after
        self.counts.moved(before, after)
        self._journal.publish(after.id, event(view_of(after)))
        return after

    def note(self, task: RelayTask) -> None:
        """Have a value of a live message written without waiting for it and without a word: this core stops.

        Whoever is changing it just now knows more. On a full disk it stays as it was.
        """
        if task.id in self._turns:
            return
        before = self._live[task.id]
        after = msgspec.structs.replace(task, version=before.version + 1)
        self._live[task.id] = after
        self.counts.moved(before, after)
        with contextlib.suppress(StoreError):
            # Nobody waits for it, so nobody must be asked what became of it.
            self._journal.submit(puts_of(before, after), []).add_done_callback(_looked_at)

    async def forget(self, tasks: Sequence[RelayTask]) -> int:
        """Let go of messages that are over, but for those that somebody works on. How many. Raises StoreError."""
        gone = [task for task in tasks if task.id not in self._turns and task.id not in self._live]
        for task in gone:
            self._take(task)
        try:
            puts = [put for task in gone for put in gone_puts(task)]
            if puts:
                await self._journal.commit(puts, [], is_relief=True)
            for task in gone:
                self.counts.moved(task, None)
        finally:
            for task in gone:
                self._give(task.id)
        return len(gone)

    # -- inside

    async def _commit(
        self,
        priors: Sequence[RelayTask | None],
        changes: Sequence[tuple[RelayTask, AsEvent | None]],
        actor: Actor,
        transaction: MailTransaction | None,
    ) -> list[RelayTask]:
        puts: list[Put] = []
        events: list[tuple[str, Event]] = []
        afters: list[RelayTask] = []
        for before, (task, event) in zip(priors, changes, strict=True):
            after = self._numbered(before, task)
            afters.append(after)
            puts += puts_of(before, after)
            if event is not None:
                events.append((after.id, event(view_of(after))))
        try:
            if transaction is None:
                await self._journal.commit(puts, events, actor=actor)
            else:
                await transaction.commit(puts, events, actor=actor)
        except asyncio.CancelledError:
            # What was asked for is written all the same.
            self._apply(priors, afters)
            raise
        self._apply(priors, afters)
        return afters

    def _apply(self, priors: Sequence[RelayTask | None], afters: Sequence[RelayTask]) -> None:
        for prior, after in zip(priors, afters, strict=True):
            # What was shown while it was written is counted, not what it was made of.
            before = self._live.get(after.id, prior)
            if after.is_open:
                self._live[after.id] = after
            else:
                self._live.pop(after.id, None)
            self.counts.moved(before, after)
            for listener in self._listeners:
                listener(after)

    def _numbered(self, before: RelayTask | None, task: RelayTask) -> RelayTask:
        version = 1 if before is None else before.version + 1
        place = task.place
        if before is None and not place and is_named(task.id):
            place = self._ids.new_uuid()
        return msgspec.structs.replace(task, version=version, place=place)

    async def _before(self, task: RelayTask) -> RelayTask | None:
        """The present value. Raises ConflictError when the new one was made of another."""
        before = self._live.get(task.id)
        if before is None and task.version:
            before = await self.find(task.id)
        if (0 if before is None else before.version) != task.version:
            raise _changed(task)
        return before

    async def _row(self, task_id: str) -> Row | None:
        key = task_id
        if is_named(task_id):
            place = await self._store.get(name_key(task_id))
            if place is None:
                return None
            key = place.body.decode(errors="replace")
        for state in ENDED:
            row = await self._store.get(prefix_of(state) + key)
            if row is not None:
                return row
        return None

    def _take(self, task: RelayTask) -> None:
        """Keep others from changing it. Raises ConflictError when somebody else does."""
        if task.id in self._turns:
            raise _changed(task)
        self._turns[task.id] = asyncio.get_running_loop().create_future()

    def _give(self, task_id: str) -> None:
        turn = self._turns.pop(task_id)
        if not turn.done():
            turn.set_result(None)


def _changed(task: RelayTask) -> ConflictError:
    return ConflictError(
        f"message {task.id} was changed meanwhile", key=task.id, expected=task.version, fix="look at it again"
    )


def _looked_at(future: "asyncio.Future[Committed]") -> None:
    if not future.cancelled():
        future.exception()
