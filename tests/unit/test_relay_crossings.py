"""What crosses in the sending half of a relay: orders, attempts, answers, starts and stops that meet half way."""

import asyncio
import copy

import pytest

from core.api.base import SessionId
from core.api.errors import MailboxClosed, Overloaded, Unavailable
from core.api.relay_tasks import AttemptResult, RelayReason, RelayState, RelayTaskId
from core.ids import IdSource
from core.journal import Journal
from core.letters import MailTransaction
from core.relay import orders
from core.relay.ledger import Ledger
from core.relay.mail_names import mailbox_of
from core.relay.task import RelayTask
from core.relay.wire import Reply
from core.relay_settings import RelaySettings
from core.store.base import Batch, Committed
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.journals import until_idle
from tests.support.outbox import FullStore, SlowStore
from tests.support.relay_out import (
    DELIVERED,
    DOWN,
    HOLD,
    OPERATOR,
    REFUSED,
    FakeAdapter,
    RelayOut,
    completed,
    relay_out,
)

SESSION = SessionId("local:dm:8841")
ORIGIN = "http://10.0.0.7:8080"


class _Kills(MemoryStore):
    """Keeps what a core would find that is killed after each of its commits, with the clock of that moment."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock
        self.left: list[tuple[MemoryStore, float, float]] = []

    def submit(self, batch: Batch) -> asyncio.Future[Committed]:
        """Write, and keep a copy of what is there then."""
        future = super().submit(batch)
        found = MemoryStore()
        for name, value in vars(self).items():
            if name not in {"left", "_clock"}:
                setattr(found, name, copy.deepcopy(value))
        self.left.append((found, self._clock.now(), self._clock.monotonic()))
        return future


async def _opened(store: MemoryStore, clock: FakeClock, adapter: FakeAdapter) -> RelayOut:
    """A relay that is open and not started yet, while agents and chats are up."""
    relay = RelayOut(store, clock, RelaySettings(), adapter)
    await relay.mail.open()
    await relay.pausing.open()
    await relay.bindings.open()
    await relay.ledger.open()
    await relay.targets.open()
    return relay


# -- starts


@pytest.mark.parametrize("reply", [HOLD, DELIVERED])
async def test_what_is_ordered_before_the_relay_has_started_is_sent_and_so_is_what_follows(reply: Reply | None) -> None:
    """Agents and chats are up before the relay begins: its start takes no mailbox from under them."""
    adapter = FakeAdapter()
    adapter.replies["bot"].append(reply)
    relay = await _opened(MemoryStore(), FakeClock(), adapter)
    try:
        await relay.bind("bot")
        early = await relay.send_one()
        async with asyncio.timeout(10):
            await adapter.begun.wait()
        if reply is not HOLD:
            await relay.until(early, RelayState.WORKING)
        await relay.answers.start()
        await relay.outbound.start()
        adapter.gate.set()
        await relay.until(early, RelayState.WORKING)
        await relay.until(await relay.send_one(), RelayState.WORKING)
        assert len(adapter.sent) == 2
    finally:
        await relay.stop()


async def test_what_waits_for_its_next_attempt_keeps_its_letter_when_others_are_sent_before_the_start() -> None:
    """It is not posted anew, which would send it at once."""
    store, clock, adapter = MemoryStore(), FakeClock(), FakeAdapter()
    adapter.replies["bot"].append(DOWN)
    async with relay_out(store=store, clock=clock, adapter=adapter, retries_s=(600.0,)) as before:
        waiting = await before.send_one()
        await before.when(waiting, lambda task: task.due is not None)
    relay = await _opened(store, clock, adapter)
    try:
        early = await relay.send_one()
        await relay.answers.start()
        await relay.outbound.start()
        await relay.until(early, RelayState.WORKING)
        await until_idle()
        assert [call.id for call in adapter.sent] == [waiting, early]
        assert relay.mail.outline(mailbox_of(ORIGIN)).depth == 1
        assert (await relay.task(waiting)).state is RelayState.QUEUED
    finally:
        await relay.stop()


async def test_a_kill_after_any_commit_loses_nothing_and_makes_nothing_up() -> None:
    """From each of them on the message ends as it should, has one row, no letter, and no attempt that was not made."""
    clock, adapter = FakeClock(), FakeAdapter()
    store = _Kills(clock)
    adapter.replies["bot"].append(DOWN)
    async with relay_out(store=store, clock=clock, adapter=adapter, retries_s=(600.0,)) as relay:
        task_id = await relay.send_one(session_id=SESSION)
        await relay.when(task_id, lambda task: task.due is not None)
        await clock.advance(601.0)
        await relay.until(task_id, RelayState.WORKING)
        adapter.answers["bot"].append(completed("42"))
        await clock.advance(2.0)
        await relay.until(task_id, RelayState.COMPLETED)
        await until_idle()
    ends = [await _end_of(task_id, *left) for left in store.left]
    known = [end for end in ends if end is not None]
    assert len(known) > 8
    assert None not in ends[ends.index(known[0]) :]
    assert [AttemptResult.UNDELIVERED, AttemptResult.DELIVERED] in known


async def _end_of(task_id: str, store: MemoryStore, now: float, mono: float) -> list[AttemptResult] | None:
    """What a core makes of the message that finds this; None when there is no message yet."""
    clock, adapter = FakeClock(now, mono), FakeAdapter()
    adapter.answers["bot"].append(completed("42"))
    ledger = Ledger(store=store, journal=Journal(store, clock), clock=clock, ids=IdSource(clock))
    await ledger.open()
    found = await ledger.find(task_id)
    if found is None:
        return None
    async with relay_out(store=store, clock=clock, adapter=adapter, is_bound=False, retries_s=(600.0,)) as relay:
        if found.due is not None and found.due.mono > mono + 1.0:
            # What came of the attempt is noted, and when the next is due.
            await clock.advance(found.due.mono - mono - 1.0)
            assert adapter.sent == []
            assert (await relay.task(task_id)).attempts == found.attempts
            await clock.advance(1.0)
            await relay.until(task_id, RelayState.WORKING)
            assert len((await relay.task(task_id)).attempts) == len(found.attempts) + 1
        await relay.until(task_id, RelayState.WORKING, RelayState.COMPLETED)
        await clock.advance(2.0)
        task = await relay.until(task_id, RelayState.COMPLETED)
        await until_idle()
        assert task.answer == "42"
        assert relay.mail.counts("relay.") == (0, 0)
        assert len(await store.scan("relay-live/")) + len(await store.scan("relay-over/")) == 1
        assert relay.ledger.counts.states[RelayState.COMPLETED] == 1
        return [attempt.result for attempt in task.attempts]


# -- stops


async def test_an_answer_that_is_being_stored_at_the_stop_is_stored_once() -> None:
    """The attempt that the stop cuts off leaves the message to who is at it."""
    store = SlowStore()
    async with relay_out(store=store, peers=("far",), is_bound=False) as relay:
        await relay.bind("bot", peer="far")
        relay.adapter.replies["bot"].append(HOLD)
        task_id = await relay.send_one()
        await relay.until(task_id, RelayState.SENDING)
        held = relay.outbound.sending.attempts[task_id]
        store.hold_up()
        telling = relay.supervisor.spawn("tell", relay.answers.came("far", task_id, completed("42")))
        await until_idle()
        await relay.mail.stop(0)
        assert held.ended.done()
        assert not telling.done()
        store.go_on()
        await telling
        rows = [*await store.scan("relay-live/"), *await store.scan("relay-over/")]
        assert [row.key.split("/")[:2] for row in rows] == [["relay-over", "completed"]]
        assert relay.ledger.counts_under_way() == (0, 0, 0, 0)
        assert relay.ledger.tally(ORIGIN).waiting == 0


async def test_a_stop_on_a_full_disk_ends_as_any_other() -> None:
    """What the stop cut off cannot be noted; the message is as it was, and its consumer has not broken."""
    store, adapter = FullStore(), FakeAdapter()
    adapter.replies["bot"].append(HOLD)
    async with relay_out(store=store, adapter=adapter) as relay:
        task_id = await relay.send_one()
        await relay.until(task_id, RelayState.SENDING)
        await relay.mail.boxes.log.flushed()
        store.is_full = True
        await relay.mail.stop(0)
        assert (await relay.task(task_id)).state is RelayState.QUEUED
        stats = relay.mail.callers.stats_of(mailbox_of(ORIGIN))
        assert (stats.released, stats.failed, stats.stale, stats.last_error) == (1, 0, 0, "")
        store.is_full = False


async def test_an_answer_that_comes_while_the_disk_is_full_ends_the_attempt_too() -> None:
    """Its letter is over with it, and is not given back to be tried again."""
    store = FullStore()
    async with relay_out(store=store, peers=("far",), is_bound=False) as relay:
        await relay.bind("bot", peer="far")
        relay.adapter.replies["bot"].append(DOWN)
        await relay.pause()
        task_id = await relay.send_one()
        await relay.resume()
        store.is_full = True
        await relay.until(task_id, RelayState.SENDING)
        await until_idle()
        store.is_full = False
        await relay.answers.came("far", task_id, completed("42"))
        await relay.clock.advance(2.0)
        await relay.when(task_id, lambda task: bool(task.attempts))
        await until_idle()
        stats = relay.mail.callers.stats_of(mailbox_of(ORIGIN))
        assert (stats.handled, stats.failed, stats.stale) == (1, 0, 0)


async def test_an_order_for_a_new_address_while_the_core_stops_says_that() -> None:
    """And not that a name is taken, of which whoever gave the order knows nothing."""
    async with relay_out() as relay:
        await relay.bind("spare", port=9090)
        await relay.mail.stop(0)
        with pytest.raises(Unavailable):
            await relay.send("spare")
        assert list(relay.ledger.live()) == []


# -- orders


async def test_the_same_order_given_twice_can_be_taken_back_while_it_waits() -> None:
    """The second one leaves the letter of the first where it is, so that it goes with the message."""
    async with relay_out() as relay:
        await relay.pause()
        await asyncio.gather(relay.send("bot", id="order-7"), relay.send("bot", id="order-7"))
        assert relay.mail.outline(mailbox_of(ORIGIN)).depth == 1
        await relay.cancel(RelayTaskId("order-7"))
        assert relay.mail.outline(mailbox_of(ORIGIN)).depth == 0


async def test_an_order_of_which_one_target_cannot_be_stored_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No message, no letter, and nothing in memory that waits for one."""
    async with relay_out() as relay:
        await relay.bind("spare", port=9090)
        post, mailing = relay.outbound.mailing.post, relay.outbound.mailing
        posted: list[str] = []

        def broken(transaction: MailTransaction, task: RelayTask) -> None:
            if posted:
                raise MailboxClosed("closed", mailbox="relay", fix="wait")
            posted.append(task.id)
            post(transaction, task)

        monkeypatch.setattr(mailing, "post", broken)
        with pytest.raises(MailboxClosed):
            await relay.send("bot", "spare")
        assert posted
        assert mailing.place_of(posted[0]) is None
        assert list(relay.ledger.live()) == []
        assert relay.mail.counts("relay.") == (0, 0)


@pytest.mark.parametrize("port", [8080, 9999])
async def test_a_dead_message_whose_letter_is_still_there_is_sent_once_by_a_replay(port: int) -> None:
    """Which of two letters is its own is known, also when the other lies at a former address, over a start too."""
    store, clock, adapter = MemoryStore(), FakeClock(), FakeAdapter()
    adapter.replies["bot"].append(REFUSED)
    async with relay_out(store=store, clock=clock, adapter=adapter) as before:
        await before.bind("former", port=9999)
        task_id = await before.send_one()
        task = await before.until(task_id, RelayState.DEAD)
        await before.pause()
        await before.send_one("former")
        left = await before.outbound.mailing.open(f"http://10.0.0.7:{port}")
        transaction = before.mail.transaction()
        transaction.post(left, task.id, sender="x", order_key=task.id)
        await transaction.commit([], [])
        await before.replay(task_id)
        assert before.mail.counts("relay.") == (3, 0)
    async with relay_out(store=store, clock=clock, adapter=adapter, is_bound=False) as relay:
        await relay.resume()
        await relay.until(task_id, RelayState.WORKING)
        await until_idle()
        assert [call.id for call in adapter.sent].count(task_id) == 2
        assert relay.mail.counts("relay.") == (0, 0)
        assert {relay.targets.view(origin).in_flight for origin in relay.targets.names()} == {0}


async def test_two_who_cancel_the_same_attempt_do_not_hinder_each_other() -> None:
    """One that goes away does not take the end of the attempt along."""
    async with relay_out() as relay:
        relay.adapter.replies["bot"].append(HOLD)
        task_id = await relay.send_one()
        await relay.until(task_id, RelayState.SENDING)
        hasty = asyncio.ensure_future(relay.cancel(task_id))
        patient = asyncio.ensure_future(relay.cancel(task_id, "not needed"))
        await asyncio.sleep(0)
        hasty.cancel()
        receipt = await patient
        assert receipt.tasks[0].state is RelayState.CANCELED
        await until_idle()
        stats = relay.mail.callers.stats_of(mailbox_of(ORIGIN))
        assert (stats.handled, stats.failed, stats.last_error) == (1, 0, "")


async def test_a_cancellation_that_cannot_be_stored_says_so_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempt is cut off; that the books do not have it yet is no reason to wait for ever."""
    monkeypatch.setattr(orders, "CUT_LIMIT_S", 0.01)
    store = FullStore()
    async with relay_out(store=store) as relay:
        relay.adapter.replies["bot"].append(HOLD)
        task_id = await relay.send_one()
        await relay.until(task_id, RelayState.SENDING)
        store.is_full = True
        async with asyncio.timeout(10):
            with pytest.raises(Unavailable, match="could not be stored"):
                await relay.cancel(task_id)
        store.is_full = False
        await relay.clock.advance(60.0)
        await relay.until(task_id, RelayState.CANCELED)


@pytest.mark.parametrize("is_paused", [False, True])
async def test_what_may_not_be_called_is_not_told_of_a_cancellation(is_paused: bool) -> None:
    """A pause and a held breaker let nothing out, and the canceled message says that the far side does not know."""
    async with relay_out() as relay:
        task_id = await relay.send_one()
        await relay.until(task_id, RelayState.WORKING)
        if is_paused:
            await relay.pause()
        else:
            await relay.targets.breakers.hold_breaker(ORIGIN, "looking", OPERATOR)
        receipt = await relay.cancel(task_id)
        assert receipt.tasks[0].state is RelayState.CANCELED
        assert "could not be told" in receipt.tasks[0].error
        assert relay.adapter.cancels == []


async def test_an_adapter_that_cannot_be_made_is_a_failed_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no stop of the core, and the message dies by its plan."""
    async with relay_out(retries_s=(), schedule_s=()) as relay:

        def broken(protocol: object) -> FakeAdapter:
            raise ImportError(f"no {protocol}")

        monkeypatch.setattr(relay.outbound.sending._calling, "_adapters", broken)
        task = await relay.until(await relay.send_one(), RelayState.DEAD)
        assert (task.reason, task.attempts[0].result) == (RelayReason.UNKNOWN, AttemptResult.UNKNOWN)
        assert "ImportError" in task.error


async def test_a_message_that_ends_while_it_waits_leaves_nothing_in_memory() -> None:
    """Its letter goes after it, and so does what was known of that."""
    async with relay_out(peers=("far",), is_bound=False, retries_s=(60.0,)) as relay:
        await relay.bind("bot", peer="far")
        relay.adapter.replies["bot"].append(DOWN)
        task_id = await relay.send_one()
        await relay.when(task_id, lambda task: task.due is not None)
        await relay.answers.came("far", task_id, completed("had it"))
        await until_idle()
        assert relay.mail.counts("relay.") == (0, 0)
        assert relay.outbound.mailing.place_of(task_id) is None


async def test_all_targets_together_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts that wait for many far sides, none of them too many, do not fill the memory of the core."""
    monkeypatch.setattr(orders, "TEXTS_LIMIT", 30)
    async with relay_out() as relay:
        await relay.bind("spare", port=9090)
        await relay.pause()
        first = await relay.send_one("bot", text="x" * 20)
        with pytest.raises(Overloaded) as caught:
            await relay.send_one("spare", text="x" * 11)
        assert caught.value.facts["fix"]
        await relay.send_one("spare", text="x" * 10)
        await relay.cancel(first)
        await relay.send_one("spare", text="x" * 20)
