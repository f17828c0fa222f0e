"""A store that a test can make fail, hold up or cut off, and the starts of a mailbox core upon it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from core.api.base import Seq
from core.api.errors import StoreError
from core.api.mailboxes import MailboxPolicy
from core.api.system import AlarmRaised
from core.journal import Journal
from core.mailbox.mailbox import Mailbox
from core.mailbox.mailboxes import Mailboxes
from core.store.base import Batch, Committed, Pack, Row, Store, StoredEntry, StoreStats
from core.supervisor import Supervisor
from tests.support.clocks import FakeClock
from tests.support.stores import opened

LUCK = 0.53
"""What every draw of a backoff gives: no wait is a whole number of seconds then."""

FULL = StoreError("no room is left", path="memory:", cause="full", fix="make room")
BROKEN = StoreError("the disk does not answer", path="memory:", cause="io")
_GONE = StoreError("the process is gone", path="memory:", cause="closed")


class StagedStore:
    """Passes everything on to a store, unless a test says otherwise.

    fault: asked about each batch; what it gives, the batch fails with. is_held: batches wait for
    let_go(). is_cut: nothing is written or answered any more, as after a kill.
    """

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.url = inner.url
        self.fault: Callable[[Batch], StoreError | None] = lambda _batch: None
        self.is_held = False
        self.is_cut = False
        self._held: list[tuple[Batch, asyncio.Future[Committed]]] = []

    @property
    def held_count(self) -> int:
        """Batches that wait."""
        return len(self._held)

    def let_go(self, error: StoreError | None = None) -> None:
        """Write all batches that wait, or fail them; hold none from now on."""
        self.is_held = False
        held, self._held = self._held, []
        for batch, future in held:
            if error is not None:
                _fail(future, error)
            else:
                self.inner.submit(batch).add_done_callback(partial(_pass_on, future))

    def submit(self, batch: Batch) -> "asyncio.Future[Committed]":
        """Ask for a commit now."""
        future: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
        if self.is_cut:
            return future
        error = self.fault(batch)
        if error is not None:
            asyncio.get_running_loop().call_soon(_fail, future, error)
        elif self.is_held:
            self._held.append((batch, future))
        else:
            return self.inner.submit(batch)
        return future

    async def commit(self, batch: Batch) -> Committed:
        """Write all or nothing."""
        return await self.submit(batch)

    async def get(self, key: str) -> Row | None:
        """The row."""
        return await self.inner.get(key)

    async def scan(
        self, prefix: str, *, after: str = "", limit: int | None = None, newest_first: bool = False
    ) -> list[Row]:
        """Rows by prefix."""
        return await self.inner.scan(prefix, after=after, limit=limit, newest_first=newest_first)

    async def count(self, prefix: str) -> int:
        """How many rows."""
        return await self.inner.count(prefix)

    async def read(
        self, *, after: Seq | None = None, before: Seq | None = None, subject: str = "", limit: int = 500
    ) -> list[StoredEntry]:
        """Journal entries."""
        return await self.inner.read(after=after, before=before, subject=subject, limit=limit)

    async def head(self) -> Seq:
        """Place of the last entry."""
        return await self.inner.head()

    async def trim(self, keep: int) -> int:
        """Let go of old entries."""
        return await self.inner.trim(keep)

    async def read_packs(self, *, after: int = 0, limit_bytes: int = 1_048_576) -> list[Pack]:
        """Packs of the mail log."""
        return await self.inner.read_packs(after=after, limit_bytes=limit_bytes)

    def stats(self) -> StoreStats:
        """Counts since opening."""
        return self.inner.stats()

    async def close(self) -> None:
        """Close the store itself."""
        await self.inner.close()


class MailStage:
    """One store, and one start of the mailboxes after another.

    kind: of the store; home: where it is. The clock is another one after each crash, as after a reboot.
    """

    def __init__(self, kind: str = "memory", home: Path = Path()) -> None:
        self.kind = kind
        self.home = home
        self.clock = FakeClock()
        self.faults: list[str] = []
        self.alarms: list[str] = []
        self.starts = 0
        self._inner: Store | None = None

    async def open(self, *, is_indexed: bool = True) -> Mailboxes:
        """Begin the next start."""
        if self._inner is None:
            self._inner = await opened(self.kind, self.home)
        self.starts += 1
        self.store = StagedStore(self._inner)
        self.journal = Journal(self.store, self.clock)
        self.journal.on_record(
            lambda record: self.alarms.append(record.event.error) if isinstance(record.event, AlarmRaised) else None
        )
        self.supervisor = Supervisor(
            self.clock, lambda _view, error: self._fault(error), lambda name, error: self._fault(f"{name}: {error!r}")
        )
        self.boxes = Mailboxes(
            journal=self.journal,
            store=self.store,
            clock=self.clock,
            supervisor=self.supervisor,
            boot=self.starts,
            random=lambda: LUCK,
        )
        await self.boxes.open()
        if is_indexed:
            await self.boxes.indexed()
        return self.boxes

    async def box(self, name: str = "box", **rules: Any) -> Mailbox:
        """The mailbox, made with these rules when it is not there."""
        return await self.boxes.ensure(name, MailboxPolicy(**rules))

    async def settle(self) -> None:
        """Until everything that can run has run, and what was noted is stored."""
        await rounds(6)
        await self.boxes.log.flushed()
        await rounds(6)

    async def advance(self, delta_s: float) -> None:
        """Move the clock, and let everything happen that is due."""
        await self.clock.advance(delta_s)
        await self.settle()

    async def crash(self, *, wall_s: float = 0.0, is_indexed: bool = True) -> Mailboxes:
        """Die now, and start again. wall_s: seconds that the wall clock has moved meanwhile."""
        await self.die()
        self.clock = FakeClock(now=self.clock.now() + wall_s, monotonic=100.0 * self.starts + 0.25)
        return await self.open(is_indexed=is_indexed)

    async def die(self) -> None:
        """Die at once: what is not stored yet never will be."""
        self.store.is_cut = True
        self.store.let_go(_GONE)
        await self.supervisor.stop(deadline_s=5.0)
        if self.kind != "memory" and self._inner is not None:
            await self._inner.close()
            self._inner = None

    async def end(self) -> None:
        """Stop in order; all counts must add up, and no part have failed."""
        await self.supervisor.stop(deadline_s=5.0)
        await self.boxes.close()
        if self._inner is not None:
            await self._inner.close()
        assert [box.name for box in self.boxes.all() if box.tally().difference] == []
        assert self.faults == []

    def _fault(self, fault: str) -> None:
        if fault:
            self.faults.append(fault)


@asynccontextmanager
async def on_stage(kind: str = "memory", home: Path = Path()) -> AsyncIterator[MailStage]:
    """A stage of which the first start is open; stopped in order at the end."""
    stage = MailStage(kind, home)
    await stage.open()
    try:
        yield stage
    except BaseException:
        await stage.die()
        raise
    await stage.end()


async def rounds(count: int) -> None:
    """Let the loop go round."""
    for _ in range(count):
        await asyncio.sleep(0)


def _fail(future: "asyncio.Future[Committed]", error: StoreError) -> None:
    if not future.done():
        future.set_exception(StoreError(error.message, **error.facts))


def _pass_on(future: "asyncio.Future[Committed]", done: "asyncio.Future[Committed]") -> None:
    error = done.exception()
    if future.done():
        return
    if error is None:
        future.set_result(done.result())
    else:
        future.set_exception(error)
