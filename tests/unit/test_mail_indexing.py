"""While stored mail is still being read: what is accepted, what waits, and in which order it all comes out."""

import asyncio

import pytest

from core.api.base import MailboxName
from core.api.errors import StoreError, Unavailable
from core.api.mailboxes import MailboxPolicy
from core.journal import Journal
from core.mailbox.mailboxes import Mailboxes
from core.mailbox.message import Draft
from core.store.base import Pack, Store
from core.store.memory import MemoryStore
from core.supervisor import Supervisor
from tests.support.clocks import FakeClock

NAME = MailboxName("work")


class GatedStore(MemoryStore):
    """A store in memory whose mail is read when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: StoreError | None = None

    async def read_packs(self, *, after: int = 0, limit_bytes: int = 1_048_576) -> list[Pack]:
        """Wait for the gate, unless only the newest pack is asked for."""
        if after < self.stats().mail_last - 1:
            await self.gate.wait()
            if self.error is not None:
                raise self.error
        return await super().read_packs(after=after, limit_bytes=limit_bytes)


class Started:
    """Mailboxes on a store, as after a start of the core."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.errors: list[Exception] = []
        self.supervisor = Supervisor(clock, lambda *_: None, lambda _, error: self.errors.append(error))
        self.journal = Journal(store, clock)
        self.boxes = Mailboxes(
            journal=self.journal, store=store, clock=clock, supervisor=self.supervisor, random=lambda: 0.5
        )

    async def stop(self) -> None:
        """End it in order."""
        await self.boxes.close()
        assert await self.supervisor.stop(deadline_s=5) == []


async def filled(store: Store, clock: FakeClock, texts: list[str], *, key: str = "") -> None:
    """An earlier start that left messages behind."""
    before = Started(store, clock)
    await before.boxes.open()
    box = await before.boxes.ensure(NAME, MailboxPolicy())
    for text in texts:
        await box.post(Draft(payload=text, sender="ana", key=key))
    await before.stop()


async def test_new_mail_is_accepted_at_once_and_comes_out_behind_the_old() -> None:
    """Its sender waits for the disk only; pair order holds over the restart."""
    store, clock = GatedStore(), FakeClock()
    await filled(store, clock, ["old 1", "old 2"])
    store.gate.clear()
    started = Started(store, clock)
    await started.boxes.open()
    box = started.boxes.get(NAME)
    assert started.boxes.is_indexing
    await box.post(Draft(payload="new", sender="ana"))
    assert box.try_receive() is None
    store.gate.set()
    await started.boxes.indexed()
    got: list[str] = []
    for _ in range(3):
        mail = await box.receive()
        got.append(mail.payload)
        box.ack(mail)
    assert got == ["old 1", "old 2", "new"]
    assert box.tally().difference == 0
    await started.stop()


async def test_a_key_is_looked_at_when_all_keys_are_known() -> None:
    """A repeated message is refused although it came while the first one was still being read."""
    store, clock = GatedStore(), FakeClock()
    await filled(store, clock, ["once"], key="k1")
    await filled(store, clock, ["more"])
    store.gate.clear()
    started = Started(store, clock)
    await started.boxes.open()
    box = started.boxes.get(NAME)
    async with asyncio.TaskGroup() as group:
        posting = group.create_task(box.post(Draft(payload="once", sender="ana", key="k1")))
        await clock.advance(0)
        assert not posting.done()
        store.gate.set()
    assert posting.result().is_duplicate
    await started.stop()


async def test_a_transaction_says_that_it_cannot_know_yet() -> None:
    """It never waits, so a keyed message is refused for the moment, and nothing is half done."""
    store, clock = GatedStore(), FakeClock()
    await filled(store, clock, ["a", "b"])
    store.gate.clear()
    started = Started(store, clock)
    await started.boxes.open()
    transaction = started.boxes.transaction()
    with pytest.raises(Unavailable):
        transaction.post(NAME, Draft(payload="x", key="k1"))
    transaction.cancel()
    store.gate.set()
    await started.boxes.indexed()
    assert started.boxes.get(NAME).depth == 2
    await started.stop()


async def test_mail_that_cannot_be_read_is_not_taken_for_none() -> None:
    """Nothing is given out and nothing is cleaned away; who waits for the index hears why."""
    store, clock = GatedStore(), FakeClock()
    await filled(store, clock, ["a", "b"])
    store.gate.clear()
    store.error = StoreError("the disk is gone", cause="io")
    started = Started(store, clock)
    await started.boxes.open()
    store.gate.set()
    with pytest.raises(StoreError):
        await started.boxes.indexed()
    assert started.boxes.get(NAME).try_receive() is None
    await clock.advance(60.0)
    assert store.stats().mail_last - store.stats().mail_first + 1 == 2
    await started.stop()
    store.error = None
    again = Started(store, clock)
    await again.boxes.open()
    await again.boxes.indexed()
    assert again.boxes.get(NAME).depth == 2
    await again.stop()
