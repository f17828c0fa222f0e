"""What an operator can do to a delivery: have it tried again, or let it go."""

import pytest

from core.api.deliveries import (
    DeliveryDied,
    DeliveryDropped,
    DeliveryQueued,
    DeliveryRetrying,
    DeliverySent,
    DeliveryState,
    DropDelivery,
    RetryDelivery,
)
from core.api.errors import ConflictError, NotFound, StoreError
from tests.support.outbox import OPERATOR, FullStore, busy, outbox, refused, texts_of


async def test_an_operator_can_have_a_waiting_one_tried_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait ends, the attempts count afresh, and the journal says who asked."""
    async with outbox(monkeypatch) as built:
        built.fake().faults.append(busy(3600.0))
        view = await built.answer("hi")
        await built.until(DeliveryRetrying)
        receipt = await built.deliveries.orders.retry_delivery(RetryDelivery(delivery_id=view.id), OPERATOR)
        (sent,) = await built.until(DeliverySent)
        assert (receipt.state, receipt.attempt, sent.delivery.attempt) == (DeliveryState.QUEUED, 0, 1)
        records = await built.journal.read(limit=100)
        assert [record.actor for record in records if isinstance(record.event, DeliveryQueued)] == [OPERATOR]


async def test_an_operator_can_bring_a_dead_one_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes behind what waits already, as a message that is sent now, and it is unsent again."""
    async with outbox(monkeypatch) as built:
        built.fake().faults.extend([refused(), busy(60.0)])
        dead = await built.answer("dead")
        await built.until(DeliveryDied)
        await built.answer("head")
        await built.until(DeliveryRetrying)
        await built.answer("tail")
        await built.deliveries.orders.retry_delivery(RetryDelivery(delivery_id=dead.id), OPERATOR)
        assert built.settled[-1][1].id == dead.id
        assert built.settled[-1][2] == 3
        assert built.deliveries.dead_count == 0
        await built.clock.advance(60.0)
        await built.until(DeliverySent, 3)
        assert await texts_of(built) == ["head", "tail", "dead"]


async def test_asking_again_for_what_is_on_its_way_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is with the platform, or whose turn is coming, is not sent twice."""
    async with outbox(monkeypatch) as built:
        built.fake().gate.clear()
        first, second = await built.answer("first"), await built.answer("second")
        await built.clock.advance(0)
        for view, state in ((first, DeliveryState.SENDING), (second, DeliveryState.QUEUED)):
            receipt = await built.deliveries.orders.retry_delivery(RetryDelivery(delivery_id=view.id), OPERATOR)
            assert receipt.state is state
        built.fake().gate.set()
        await built.until(DeliverySent, 2)
        assert await texts_of(built) == ["first", "second"]


async def test_an_operator_can_let_a_waiting_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its row goes with an event that says why, and what waited behind it is sent at once."""
    async with outbox(monkeypatch) as built:
        built.fake().faults.append(busy(3600.0))
        first = await built.answer("first")
        await built.until(DeliveryRetrying)
        await built.answer("second")
        await built.deliveries.orders.drop_delivery(DropDelivery(delivery_id=first.id, reason="too late"), OPERATOR)
        (dropped,) = await built.until(DeliveryDropped)
        await built.until(DeliverySent)
        assert (dropped.reason, dropped.delivery.id) == ("too late", first.id)
        assert await texts_of(built) == ["second"]
        assert built.deliveries.waiting_count == 0


async def test_one_in_the_middle_of_the_line_can_be_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those before and behind it are sent in order."""
    async with outbox(monkeypatch) as built:
        built.fake().gate.clear()
        await built.answer("first")
        middle = await built.answer("middle")
        await built.answer("last")
        await built.deliveries.orders.drop_delivery(DropDelivery(delivery_id=middle.id), OPERATOR)
        built.fake().gate.set()
        await built.until(DeliverySent, 2)
        assert await texts_of(built) == ["first", "last"]
        assert built.deliveries.waiting_count == 0


async def test_a_dead_one_can_be_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nothing of it is left, and it can be neither dropped nor asked for again."""
    async with outbox(monkeypatch) as built:
        built.fake().faults.append(refused())
        view = await built.answer("hi")
        await built.until(DeliveryDied)
        await built.deliveries.orders.drop_delivery(DropDelivery(delivery_id=view.id), OPERATOR)
        assert built.deliveries.dead_count == 0
        assert (await built.waiting()).deliveries == ()
        with pytest.raises(NotFound):
            await built.deliveries.orders.drop_delivery(DropDelivery(delivery_id=view.id), OPERATOR)
        with pytest.raises(NotFound):
            await built.deliveries.orders.retry_delivery(RetryDelivery(delivery_id=view.id), OPERATOR)


async def test_what_is_with_the_platform_cannot_be_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could say whether it arrived, so the operator is told to look again."""
    async with outbox(monkeypatch) as built:
        built.fake().gate.clear()
        view = await built.answer("hi")
        await built.clock.advance(0)
        with pytest.raises(ConflictError):
            await built.deliveries.orders.drop_delivery(DropDelivery(delivery_id=view.id), OPERATOR)
        built.fake().gate.set()
        await built.until(DeliverySent)


async def test_an_order_that_cannot_be_stored_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A retry or drop that the store refuses leaves the delivery as it was."""
    store = FullStore()
    async with outbox(monkeypatch, store=store) as built:
        built.fake().faults.append(busy(60.0))
        view = await built.answer("hi")
        await built.until(DeliveryRetrying)
        await built.clock.advance(0)
        before = await built.waiting()
        store.is_full = True
        with pytest.raises(StoreError):
            await built.deliveries.orders.retry_delivery(RetryDelivery(delivery_id=view.id), OPERATOR)
        with pytest.raises(StoreError):
            await built.deliveries.orders.drop_delivery(DropDelivery(delivery_id=view.id), OPERATOR)
        assert (await built.waiting()).deliveries == before.deliveries
        store.is_full = False
        await built.clock.advance(60.0)
        await built.until(DeliverySent)
