"""The outbox: order, retries, what survives a restart, and what an operator can do."""

import asyncio

import msgspec
import pytest

from core.api.base import DeliveryId, PlatformName, SessionId
from core.api.deliveries import (
    DeliveryDied,
    DeliveryQueued,
    DeliveryRetrying,
    DeliverySent,
    DeliveryState,
    ListDeliveries,
)
from core.api.errors import InvalidInput
from core.api.system import AlarmRaised
from core.gateway.delivery import OUTBOX
from core.gateway.outbound_rows import OLD_ROWS
from core.mailbox.message import Draft
from core.store.base import Batch, Put
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.outbox import LOCAL, OTHER, FullStore, busy, outbound_to, outbox, refused, texts_of

SESSION = SessionId("local:dm:8841")


async def test_an_answer_is_sent_and_its_row_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One event tells of it; nothing of the outbox is left; the session hears of it after the commit."""
    async with outbox(monkeypatch) as built:
        view = await built.answer("hi")
        assert built.deliveries.waiting_count == built.deliveries.unsent(SESSION) == 1
        (sent,) = await built.until(DeliverySent)
        await built.clock.advance(0)
        assert (sent.delivery.id, sent.delivery.state, sent.delivery.attempt) == (view.id, DeliveryState.SENT, 1)
        assert await texts_of(built) == ["hi"]
        assert [(session, item.state, unsent) for session, item, unsent in built.settled] == [
            (SESSION, DeliveryState.SENT, 0)
        ]
        assert [type(event) for event in await built.events()].count(DeliveryQueued) == 0
        assert (built.deliveries.waiting_count, built.deliveries.dead_count) == (0, 0)


async def test_a_failed_attempt_is_repeated_under_the_same_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """The far side can tell that it is the same message; the wait it asked for is kept."""
    async with outbox(monkeypatch) as built:
        built.fake().faults.append(busy(17.0))
        await built.answer("hi")
        (retrying,) = await built.until(DeliveryRetrying)
        due = retrying.delivery.next_try
        assert due is not None
        assert due.mono == built.clock.monotonic() + 17.0
        await built.clock.advance(16.9)
        assert len(built.fake().attempts) == 1
        await built.clock.advance(0.2)
        await built.until(DeliverySent)
        assert len({message.delivery_id for message in built.fake().attempts}) == 1
        assert len(built.fake().attempts) == 2


async def test_a_waiting_answer_holds_up_its_own_session_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Order within a chat is kept; other chats go on."""
    async with outbox(monkeypatch) as built:
        built.fake().faults.append(busy(60.0))
        await built.answer("first")
        await built.until(DeliveryRetrying)
        await built.answer("second")
        await built.answer("elsewhere", chat="9")
        await built.until(DeliverySent)
        (queued,) = await built.until(DeliveryQueued)
        assert queued.delivery.text == "second"
        assert await texts_of(built) == ["elsewhere"]
        assert built.deliveries.unsent(SESSION) == 2
        await built.clock.advance(60.0)
        await built.until(DeliverySent, 3)
        assert await texts_of(built) == ["elsewhere", "first", "second"]


async def test_only_one_message_of_a_session_is_with_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty answers to one chat are sent one after the other, in their order."""
    async with outbox(monkeypatch) as built:
        for number in range(20):
            await built.answer(str(number))
        await built.until(DeliverySent, 20)
        assert await texts_of(built) == [str(number) for number in range(20)]
        assert built.fake().most_in_flight == 1


async def test_a_platform_that_hangs_leaves_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen at most wait for one platform; the other still gets its message."""
    async with outbox(monkeypatch) as built:
        built.fake().gate.clear()
        for number in range(40):
            await built.answer("hi", chat=str(number))
        await built.answer("through", platform=OTHER)
        await built.until(DeliverySent)
        assert await texts_of(built, OTHER) == ["through"]
        assert built.fake().most_in_flight == 16
        assert len(await built.until(DeliveryQueued, 24)) == 24
        built.fake().gate.set()
        await built.until(DeliverySent, 41)
        assert len(built.fake().sent) == 40


async def test_a_silent_platform_is_given_up_on_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt has a deadline, and the error says which."""
    async with outbox(monkeypatch, timeout_s=0.01) as built:
        built.fake().gate.clear()
        await built.answer("hi")
        (retrying,) = await built.until(DeliveryRetrying)
        assert retrying.delivery.error == "no answer within 0.01 s"


async def test_a_refused_answer_is_dead_and_lets_the_next_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays to be seen, with its reason, and counts as dead and not as waiting."""
    async with outbox(monkeypatch) as built:
        built.fake().faults.append(refused())
        await built.answer("no")
        await built.answer("yes")
        (died,) = await built.until(DeliveryDied)
        await built.until(DeliverySent)
        await built.clock.advance(0)
        assert died.delivery.error == "the bot was blocked"
        assert await texts_of(built) == ["yes"]
        assert (built.deliveries.waiting_count, built.deliveries.dead_count) == (0, 1)
        assert [item.state for item in (await built.waiting()).deliveries] == [DeliveryState.DEAD]
        assert [item.state for _, item, _ in built.settled] == [DeliveryState.DEAD, DeliveryState.SENT]


async def test_attempts_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """After max_attempts failures nobody tries any more."""
    async with outbox(monkeypatch, max_attempts=2, base_s=1.0) as built:
        built.fake().faults.extend([busy(), busy()])
        await built.answer("hi")
        await built.until(DeliveryRetrying)
        await built.clock.advance(1.0)
        (died,) = await built.until(DeliveryDied)
        await built.clock.advance(3600.0)
        assert died.delivery.attempt == 2
        assert len(built.fake().attempts) == 2


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (ValueError("token=abc"), "the adapter failed with ValueError"),
        (asyncio.CancelledError(), "the adapter gave up"),
    ],
)
async def test_what_an_adapter_lets_slip_is_translated(
    monkeypatch: pytest.MonkeyPatch, fault: BaseException, error: str
) -> None:
    """A library's own words, which may hold a secret, reach neither view nor journal; the line goes on."""
    async with outbox(monkeypatch) as built:
        built.fake().faults.append(fault)
        await built.answer("hi")
        (retrying,) = await built.until(DeliveryRetrying)
        assert retrying.delivery.error == error
        await built.clock.advance(1.0)
        await built.until(DeliverySent)


async def test_a_connection_that_is_no_longer_configured_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message dies visibly, and the error names what may have been meant."""
    async with outbox(monkeypatch) as built:
        await built.answer("hi", platform=PlatformName("locl"))
        (died,) = await built.until(DeliveryDied)
        assert died.delivery.error == "no connection is called locl; did you mean local?"


async def test_a_connection_that_could_not_be_built_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in the configuration can be mended, so the message is kept."""

    def broken(*_: object) -> None:
        raise ValueError("no")

    async with outbox(monkeypatch, create=broken) as built:
        await built.answer("hi")
        (retrying,) = await built.until(DeliveryRetrying)
        assert retrying.delivery.error == "the connection local could not be set up"


async def test_unsent_answers_survive_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting ones are taken up in order under their ids, the rest of a wait is kept, dead ones stay dead."""
    store, clock = MemoryStore(), FakeClock()
    async with outbox(monkeypatch, store=store, clock=clock) as built:
        built.fake().faults.extend([refused(), busy(100.0)])
        await built.answer("dead")
        await built.until(DeliveryDied)
        retried = await built.answer("retried")
        await built.until(DeliveryRetrying)
        await built.answer("behind")
        before = await built.waiting()
    later = FakeClock(now=clock.now() + 40.0, monotonic=3.0)
    async with outbox(monkeypatch, store=store, clock=later, start=False) as built:
        assert await built.deliveries.recover() == 2
        listed = (await built.waiting()).deliveries
        assert [(item.id, item.state) for item in listed] == [(item.id, item.state) for item in before.deliveries]
        assert listed[0].created.mono == pytest.approx(3.0 - 40.0)
        await later.advance(70.0)
        await built.platforms.start()
        await built.until(DeliverySent, 2)
        assert await texts_of(built) == ["retried", "behind"]
        assert built.fake().attempts[0].delivery_id == retried.id
        assert (built.deliveries.waiting_count, built.deliveries.dead_count) == (0, 1)


async def test_nothing_is_tried_before_the_connections_are_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start costs no delivery an attempt."""
    store = MemoryStore()
    async with outbox(monkeypatch, store=store, start=False) as built:
        await built.answer("hi")
    async with outbox(monkeypatch, store=store, start=False) as built:
        await built.deliveries.recover()
        await built.clock.advance(0)
        assert [item.attempt for item in (await built.waiting()).deliveries] == [0]
        await built.platforms.start()
        (sent,) = await built.until(DeliverySent)
        assert sent.delivery.attempt == 1


async def test_a_row_that_cannot_be_read_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left as it is and named in an alarm; the others are sent."""
    store = MemoryStore()
    await store.commit(Batch((Put(OLD_ROWS + "0", b"{"), Put(OLD_ROWS + "1", b"\xff")), ()))
    async with outbox(monkeypatch, store=store, start=False) as built:
        await built.answer("hi")
    async with outbox(monkeypatch, store=store) as built:
        assert await built.deliveries.recover() == 1
        await built.until(DeliverySent)
        (alarm,) = [event for event in built.live if isinstance(event, AlarmRaised)]
        assert alarm.error.startswith("2 stored deliveries cannot be read")
        assert await store.count(OLD_ROWS) == 2


async def test_what_was_sent_is_not_sent_again_because_the_disk_was_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line waits until it can write down that the message is out."""
    store = FullStore()
    async with outbox(monkeypatch, store=store) as built:
        built.fake().gate.clear()
        await built.answer("hi")
        await built.clock.advance(0)
        store.is_full = True
        built.fake().gate.set()
        await built.clock.advance(0)
        assert await texts_of(built) == ["hi"]
        assert built.deliveries.waiting_count == 1
        store.is_full = False
        await built.clock.advance(1.0)
        await built.until(DeliverySent)
        assert len(built.fake().attempts) == 1


async def test_a_remark_that_cannot_be_stored_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """That an answer waits is good to know; that it is sent matters."""
    store = FullStore()
    async with outbox(monkeypatch, store=store) as built:
        built.fake().gate.clear()
        await built.answer("first")
        await built.answer("second")
        store.is_full = True
        await built.clock.advance(0)
        store.is_full = False
        built.fake().gate.set()
        await built.until(DeliverySent, 2)
        assert [type(event) for event in await built.events()].count(DeliveryQueued) == 0


@pytest.mark.parametrize("limit", [0, -1, 1001])
async def test_a_list_has_a_bound(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """The error names field, value and fix."""
    async with outbox(monkeypatch) as built:
        with pytest.raises(InvalidInput) as caught:
            await built.deliveries.orders.list_deliveries(ListDeliveries(limit=limit))
        assert (caught.value.facts["field"], caught.value.facts["value"]) == ("limit", limit)


async def test_a_list_begins_with_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    """And says up to which place of the journal it is true."""
    async with outbox(monkeypatch) as built:
        built.fake().gate.clear()
        views = [await built.answer("hi", chat=str(number)) for number in range(5)]
        listed = await built.deliveries.orders.list_deliveries(ListDeliveries(limit=3))
        assert [item.id for item in listed.deliveries] == [view.id for view in views[:3]]
        assert listed.seq == await built.journal.head()
        built.fake().gate.set()
        await built.until(DeliverySent, 5)


async def test_a_new_delivery_is_not_sent_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """It belongs into the commit of what it answers; only then it is sent."""
    async with outbox(monkeypatch) as built:
        mailbox = await built.deliveries.open_outbox(LOCAL)
        transaction = built.mail.transaction()
        built.deliveries.post(transaction, outbound_to("8841", "hi", delivery_id=DeliveryId("d1")))
        await built.clock.advance(0)
        assert mailbox == OUTBOX + LOCAL
        assert built.fake().attempts == []
        assert built.deliveries.waiting_count == 0
        await transaction.commit((), ())
        await built.until(DeliverySent)


async def test_what_is_no_answer_dies_in_an_outbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something that an operator posts there by hand harms no delivery."""
    async with outbox(monkeypatch) as built:
        mailbox = await built.deliveries.open_outbox(LOCAL)
        await built.mail.boxes.get(mailbox).post(Draft(payload="hello"))
        await built.answer("hi")
        await built.until(DeliverySent)
        (dead,) = (built.mail.boxes.get(mailbox).dead or {}).values()
        assert dead.error == "this is no answer of a session: an outbox sends nothing else"
        assert (await built.waiting()).deliveries == ()


async def test_rows_of_an_earlier_version_are_moved_and_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """They keep their ids, and nothing of them is left behind."""
    store = MemoryStore()
    source = {"platform": "local", "kind": "dm", "chat": "8841"}
    view = {"type": "DeliveryView", "id": "d7", "version": 3, "session_id": "local:dm:8841", "platform": "local"}
    view |= {"state": "retrying", "created": [1.0, 1.0], "text": "hi", "attempt": 2}
    await store.commit(Batch((Put(OLD_ROWS + "d7", msgspec.json.encode({"view": view, "source": source})),), ()))
    async with outbox(monkeypatch, store=store) as built:
        assert await built.deliveries.recover() == 1
        (sent,) = await built.until(DeliverySent)
        assert (sent.delivery.id, built.fake().sent[0].delivery_id) == ("d7", "d7")
        assert await store.count(OLD_ROWS) == 0
