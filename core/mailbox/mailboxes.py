"""All mailboxes of a core: made, found, paused and removed; their stored mail read at the start, their timers kept.

boxes = Mailboxes(journal=journal, store=store, clock=clock, supervisor=supervisor, random=random.random)
await boxes.open()                       # accepts at once, gives out when all stored mail is in
box = await boxes.ensure("greeter", MailboxPolicy())
await box.post(Draft(payload={"text": "hello"}, sender="ana"))
mail = await box.receive()
box.ack(mail)
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import msgspec

from core.api.base import SYSTEM, Actor, Event, MailboxName, Mark
from core.api.errors import ConflictError, HermesError, InvalidInput, NotFound
from core.api.mailboxes import (
    MailboxChanged,
    MailboxCreated,
    MailboxDeleted,
    MailboxPaused,
    MailboxPolicy,
    MailboxResumed,
    MailboxState,
    MailboxTally,
    MailboxView,
)
from core.api.system import AlarmRaised
from core.clock import Clock
from core.journal import Journal
from core.mailbox.cleaning import Cleaning
from core.mailbox.giving import Pause
from core.mailbox.indexing import Indexing
from core.mailbox.mailbox import Mailbox
from core.mailbox.maillog import MailLog
from core.mailbox.office import Office
from core.mailbox.owner import Owner
from core.mailbox.records import Returned
from core.mailbox.rows import PREFIX, MailboxRow, row_of, row_put
from core.mailbox.sweeping import Sweeping
from core.mailbox.transaction import Transaction
from core.store.base import Committed, Put, Store
from core.supervisor import Supervisor
from core.waits import breathe


class _Ended(Protocol):
    """Hears what came of a change that was to be stored."""

    def __call__(self, *, is_done: bool) -> None:
        """It was stored, or it was not."""
        ...


def _then(act: Callable[[], None], *, is_done: bool) -> None:
    if is_done:
        act()


class Mailboxes:
    """The mailboxes of one core. `open` first, `close` last.

    owners: parts of the core to which mailboxes belong, by the mailbox's name.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        store: Store,
        clock: Clock,
        supervisor: Supervisor,
        boot: int = 1,
        random: Callable[[], float],
    ) -> None:
        self._journal = journal
        self._store = store
        self._clock = clock
        self._supervisor = supervisor
        self.office = Office(clock, random, boot)
        self.log = MailLog(journal, self.office, self._on_trouble)
        self.owners: dict[str, Owner] = {}
        self._boxes: dict[str, Mailbox] = {}
        self._making: dict[str, asyncio.Future[Committed]] = {}
        self._going: set[str] = set()
        self._indexing = Indexing(store=store, log=self.log, office=self.office, box_of=self._box_of, alarm=self._alarm)
        self._sweeping = Sweeping(self.office, clock, self.log)
        self._cleaning = Cleaning(
            store=store, journal=journal, log=self.log, clock=clock, find=self._boxes.get, window_s=self._window_s
        )

    async def open(self) -> None:
        """Read which mailboxes there are, and begin to read their mail in the background. Raises StoreError."""
        for row in await self._store.scan(PREFIX):
            stored = row_of(row.body)
            box = self._add(stored.name, stored.policy)
            box.revision = row.revision
            self._restore(box, stored)
        stats = self._store.stats()
        for loss in stats.losses:
            self._alarm(f"the store lost {loss.what} {loss.first} to {loss.last}: it was confirmed and is not there")
        await self._indexing.begin()
        for box in self._boxes.values():
            box.is_indexing = self._indexing.is_running
        if self._indexing.is_running:
            self._supervisor.spawn("mail index", self._indexing.run(self.all))
        self._supervisor.start("mail timers", self._sweeping.run)
        self._supervisor.start("mail cleaning", self._cleaning.run)

    async def close(self) -> None:
        """Write what is noted. Nothing is lost without it: what is unsettled is given out again."""
        wall = self.office.wall()
        for box in self._boxes.values():
            # An orderly end is no crash, so nothing that is out comes nearer to being poison by it.
            for mail in box.leases.values():
                if mail.place:
                    self.log.note(Returned(mail.id, mail.attempt, wall, 0.0, "", mail.crashes))
        self.log.flush()
        try:
            await self.log.flushed()
        except HermesError as error:
            self._on_trouble(error)

    @property
    def is_indexing(self) -> bool:
        """Whether stored mail is still being read."""
        return self._indexing.is_running

    async def indexed(self) -> None:
        """Until all stored mail is in. Raises StoreError when it cannot be read; nothing is given out then."""
        await self._indexing.done.wait()
        if self._indexing.error is not None:
            raise self._indexing.error

    def all(self) -> list[Mailbox]:
        """All mailboxes by name."""
        return [self._boxes[name] for name in sorted(self._boxes)]

    def find(self, name: str) -> Mailbox | None:
        """The mailbox, None when there is none."""
        return self._boxes.get(name)

    def get(self, name: str) -> Mailbox:
        """The mailbox. Raises NotFound."""
        box = self._boxes.get(name)
        if box is None:
            raise NotFound(f"no mailbox {name}", noun="mailbox", id=name, fix="see `mailbox list`")
        return box

    def transaction(self) -> Transaction:
        """Several posts and settlements in one commit."""
        return Transaction(self, self._journal, self.office, self.log)

    def in_memory(self, name: str, policy: MailboxPolicy) -> Mailbox:
        """Make a mailbox that lives in memory only; nothing of it is stored. Raises ConflictError, InvalidInput."""
        if policy.durable:
            raise InvalidInput("this one is durable", field="durable", value=True, fix="use ensure()")
        if name in self._boxes:
            raise ConflictError(f"mailbox {name} is there already", key=name)
        return self._add(MailboxName(name), policy)

    async def ensure(self, name: str, policy: MailboxPolicy) -> Mailbox:
        """The mailbox, made when it is not there. One that is there keeps its policy."""
        while (box := self._boxes.get(name)) is None:
            if not policy.durable:
                return self.in_memory(name, policy)
            making = self._making.get(name)
            if making is None:
                return await self.create(name, policy, actor=SYSTEM)
            await asyncio.shield(making)
            # Stored is not yet made known: that comes with the next turn of the loop.
            await breathe()
        return box

    async def create(self, name: str, policy: MailboxPolicy, *, actor: Actor) -> Mailbox:
        """Make a mailbox that outlives the core. Raises ConflictError when there is one of that name."""
        if name in self._boxes or name in self._making:
            raise ConflictError(f"mailbox {name} is there already", key=name, fix="choose another name")
        box = self._new(MailboxName(name), policy)
        box.first_id = self.office.next_id
        puts = [row_put(box, policy, MailboxState.OPEN, None)]
        making = self._submit(box, puts, MailboxCreated(mailbox=self._view(box)), actor, partial(self._made, box))
        self._making[name] = making
        await asyncio.shield(making)
        return box

    async def set_policy(self, name: str, policy: MailboxPolicy, *, actor: Actor) -> Mailbox:
        """Change the rules of a mailbox. Raises InvalidInput for another durability."""
        box = self._staying(name)
        if policy.durable is not box.policy.durable:
            raise InvalidInput(
                f"mailbox {name} is {'durable' if box.policy.durable else 'in memory'}, and stays so",
                field="durable",
                value=policy.durable,
                fix="make another mailbox and redrive to it",
            )
        view = msgspec.structs.replace(self._view(box), policy=policy)
        puts = self._puts(box, policy, box.state, box.pause)
        change = partial(_then, partial(box.set_policy, policy))
        await asyncio.shield(self._submit(box, puts, MailboxChanged(mailbox=view), actor, change))
        return box

    async def delete(self, name: str, *, actor: Actor) -> None:
        """Remove an empty mailbox. Raises ConflictError while it holds anything."""
        box = self._staying(name)
        if box.is_indexing:
            raise ConflictError(
                f"the stored mail of {name} is still being read", key=name, found="indexing", fix="wait a moment"
            )
        held = box.depth + box.pending
        if held or box.dead:
            raise ConflictError(
                f"mailbox {name} holds {held} live messages and {len(box.dead or ())} dead letters",
                key=name,
                found=held + len(box.dead or ()),
                fix="purge it first",
            )
        before = box.state, box.pause
        # Nothing comes in while it goes; who waits for a message is told when it is gone.
        box.set_state(MailboxState.DRAINING)
        self._going.add(name)
        # What was settled last must not outlive it.
        self.log.flush()
        puts = [Put(PREFIX + name, None)] if box.revision else []
        end = partial(self._gone, box, before)
        await asyncio.shield(self._submit(box, puts, MailboxDeleted(name=box.name), actor, end))

    async def pause(self, name: str, *, actor: Actor, reason: str = "", for_s: float = 0.0) -> Mailbox:
        """Give nothing out until it is resumed, or for that many seconds."""
        box = self._staying(name)
        now, wall = self.office.now(), self.office.wall()
        pause = Pause(actor.name, reason, now + for_s if for_s else 0.0, wall + for_s if for_s else 0.0)
        before = box.state, box.pause
        box.set_state(MailboxState.PAUSED, pause)
        puts = self._puts(box, box.policy, MailboxState.PAUSED, pause)

        def undo(*, is_done: bool) -> None:
            if not is_done and box.pause is pause:
                box.set_state(*before)

        await asyncio.shield(self._submit(box, puts, MailboxPaused(mailbox=self._view(box)), actor, undo))
        return box

    async def resume(self, name: str, *, actor: Actor) -> Mailbox:
        """Give messages out again."""
        box = self._staying(name)
        view = msgspec.structs.replace(
            self._view(box), state=MailboxState.OPEN, paused_by="", paused_reason="", paused_until=None
        )
        puts = self._puts(box, box.policy, MailboxState.OPEN, None)

        def change(*, is_done: bool) -> None:
            # It may be on its way out by now.
            if is_done and name not in self._going:
                box.set_state(MailboxState.OPEN)

        await asyncio.shield(self._submit(box, puts, MailboxResumed(mailbox=view), actor, change))
        return box

    def tally(self) -> MailboxTally:
        """The tallies of all mailboxes added up."""
        fields = MailboxTally.__struct_fields__
        sums = dict.fromkeys(fields, 0)
        for box in self._boxes.values():
            tally = box.tally()
            for field in fields:
                sums[field] += getattr(tally, field)
        return MailboxTally(**sums)

    # -- inside

    def _new(self, name: MailboxName, policy: MailboxPolicy) -> Mailbox:
        box = Mailbox(name, policy, self.office, self.log if policy.durable else None)
        box.is_indexing = policy.durable and self._indexing.is_running
        return box

    def _add(self, name: MailboxName, policy: MailboxPolicy) -> Mailbox:
        box = self._boxes[name] = self._new(name, policy)
        return box

    def _box_of(self, name: str) -> Mailbox:
        """The mailbox of a stored message, made again when its row is gone."""
        return self._boxes.get(name) or self._add(MailboxName(name), MailboxPolicy())

    def _restore(self, box: Mailbox, stored: MailboxRow) -> None:
        now, wall = self.office.now(), self.office.wall()
        box.first_id = stored.first_id
        box.created = Mark(stored.created_at, now - max(0.0, wall - stored.created_at))
        if stored.state is not MailboxState.PAUSED:
            return
        rest_s = stored.paused_until_at - wall
        if stored.paused_until_at and rest_s <= 0:
            return
        until = now + rest_s if stored.paused_until_at else 0.0
        pause = Pause(stored.paused_by, stored.paused_reason, until, stored.paused_until_at)
        box.set_state(MailboxState.PAUSED, pause)

    def _puts(self, box: Mailbox, policy: MailboxPolicy, state: MailboxState, pause: Pause | None) -> Sequence[Put]:
        """What is stored of it then; nothing of one that lives in memory and was not created by an order."""
        return [row_put(box, policy, state, pause)] if box.revision or box.is_durable else ()

    def _submit(
        self, box: Mailbox, puts: Sequence[Put], event: Event, actor: Actor, ended: "_Ended"
    ) -> "asyncio.Future[Committed]":
        """Store a change and tell of it. `ended` hears what came of it, also when its caller is gone by then."""
        future = self._journal.submit(puts, [(str(box.name), event)], actor=actor)

        def done(future: "asyncio.Future[Committed]") -> None:
            is_done = not future.cancelled() and future.exception() is None
            if is_done and puts:
                box.revision = future.result().revisions[0]
            ended(is_done=is_done)

        future.add_done_callback(done)
        return future

    def _made(self, box: Mailbox, *, is_done: bool) -> None:
        del self._making[box.name]
        if is_done:
            self._boxes[box.name] = box

    def _staying(self, name: str) -> Mailbox:
        """The mailbox. Raises NotFound, and ConflictError while it is being deleted."""
        if name in self._going:
            raise ConflictError(f"mailbox {name} is being deleted", key=name, found="deleting", fix="look again")
        return self.get(name)

    def _gone(self, box: Mailbox, before: tuple[MailboxState, Pause | None], *, is_done: bool) -> None:
        self._going.discard(box.name)
        if not is_done:
            box.set_state(*before)
            return
        box.set_state(MailboxState.CLOSED)
        if self._boxes.get(box.name) is box:
            del self._boxes[box.name]

    def _view(self, box: Mailbox) -> MailboxView:
        return box.view()

    def _window_s(self) -> float:
        """The longest time for which any mailbox remembers a key."""
        return max((box.policy.dedupe_s for box in self._boxes.values()), default=0.0)

    def _on_trouble(self, error: HermesError) -> None:
        self._alarm(f"settlements cannot be written and wait: {error.message}")

    def _alarm(self, text: str) -> None:
        self._journal.publish("mailboxes", AlarmRaised(what="mailboxes", error=text[:300]))
