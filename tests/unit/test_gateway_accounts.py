"""Accounts on their way out: Retry-After, our own rates and the breaker hold up one account and no other."""

import asyncio
from typing import Any

import pytest

from core.api.base import DeliveryId
from core.api.breakers import BreakerChanged, BreakerMode, BreakerState
from core.api.deliveries import DeliveryDied, DeliveryRetrying, DeliverySent, DropDelivery, RetryDelivery
from core.api.errors import ConflictError, NotFound
from core.api.outboxes import LiftHold, ListOutboxes, OutboxActive, OutboxFreed, OutboxHeld, OutboxState
from core.gateway.platform import Limits, PlatformError, PlatformErrorKind
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.outbox import LOCAL, OPERATOR, OTHER, FakePlatform, busy, limited, outbox, refused, texts_of


def down() -> PlatformError:
    """A far side that does not answer as it should."""
    return PlatformError(PlatformErrorKind.RETRY_AFTER, "connection refused")


def made(**limits: Any) -> Any:
    """Builds connections with such limits."""

    def create(name: Any, *_: object) -> FakePlatform:
        platform = FakePlatform(name)
        platform.limits = Limits(**limits)
        return platform

    return create


async def test_a_wait_of_the_account_holds_all_its_chats_until_then_and_no_other_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is sent exactly once after it; the countdown is shown, and no attempt is used up."""
    async with outbox(monkeypatch) as built:
        built.fake().faults.append(limited(40.0))
        await built.answer("one", chat="1")
        (held,) = await built.until(OutboxHeld)
        (retrying,) = await built.until(DeliveryRetrying)
        await built.answer("two", chat="2")
        await built.answer("elsewhere", platform=OTHER)
        await built.until(DeliverySent)
        assert (await texts_of(built), await texts_of(built, OTHER)) == ([], ["elsewhere"])
        assert held.outbox.state is OutboxState.HELD
        assert held.outbox.why == "too many requests"
        assert held.outbox.next_try.mono == built.clock.monotonic() + 40.0
        assert (retrying.delivery.attempt, retrying.delivery.next_try) == (0, held.outbox.next_try)
        await built.clock.advance(39.9)
        assert len(built.fake().attempts) == 1
        await built.clock.advance(0.2)
        await built.until(DeliverySent, 3)
        assert sorted(await texts_of(built)) == ["one", "two"]
        assert len(built.fake().attempts) == 3


async def test_a_platform_that_asks_to_wait_again_and_again_kills_no_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often: it only said that it is too early."""
    async with outbox(monkeypatch, max_attempts=2) as built:
        built.fake().faults.extend(limited(5.0) for _ in range(6))
        await built.answer("patient")
        for count in range(1, 7):
            await built.until(DeliveryRetrying, count)
            await built.clock.advance(5.1)
        (sent,) = await built.until(DeliverySent)
        assert sent.delivery.attempt == 1
        assert len(built.fake().attempts) == 7


async def test_a_wait_of_one_chat_holds_no_other_chat(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second session of that chat waits with it."""
    async with outbox(monkeypatch) as built:
        built.fake().faults.append(busy(30.0))
        await built.answer("first", chat="1")
        await built.until(DeliveryRetrying)
        await built.answer("other", chat="2")
        await built.until(DeliverySent)
        assert await texts_of(built) == ["other"]
        assert built.accounts.view(LOCAL).state is OutboxState.SENDING
        await built.clock.advance(30.0)
        await built.until(DeliverySent, 2)


async def test_an_operator_can_lift_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is tried at once; without a wait there is nothing to lift."""
    async with outbox(monkeypatch) as built:
        built.fake().faults.append(limited(600.0))
        await built.answer("one", chat="1")
        await built.until(OutboxHeld)
        await built.answer("two", chat="2")
        view = await built.accounts.lift_hold(LiftHold(platform=LOCAL), OPERATOR)
        assert view.state is not OutboxState.HELD
        await built.until(OutboxFreed)
        await built.until(DeliverySent, 2)
        assert sorted(await texts_of(built)) == ["one", "two"]
        with pytest.raises(ConflictError):
            await built.accounts.lift_hold(LiftHold(platform=LOCAL), OPERATOR)
        with pytest.raises(NotFound):
            await built.accounts.lift_hold(LiftHold(platform=OTHER), OPERATOR)


async def test_asking_for_a_held_delivery_again_overrides_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's word counts more than the far side's."""
    async with outbox(monkeypatch) as built:
        built.fake().faults.append(limited(600.0))
        view = await built.answer("one")
        await built.until(DeliveryRetrying)
        await built.clock.advance(0)
        await built.deliveries.orders.retry_delivery(RetryDelivery(delivery_id=view.id), OPERATOR)
        await built.until(DeliverySent)
        assert await texts_of(built) == ["one"]


async def test_the_end_of_a_wait_is_shown_although_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A screen that heard of it never shows a countdown that is over."""
    async with outbox(monkeypatch) as built:
        built.fake().faults.append(limited(40.0))
        view = await built.answer("one")
        await built.until(OutboxHeld)
        await built.clock.advance(0)
        await built.deliveries.orders.drop_delivery(DropDelivery(delivery_id=view.id), OPERATOR)
        await built.clock.advance(39.0)
        assert built.accounts.view(LOCAL).state is OutboxState.HELD
        for _ in range(4):
            await built.clock.advance(1.0)
        shown = [event.outbox for event in built.live if isinstance(event, OutboxActive)]
        assert shown[-1].state is OutboxState.IDLE
        assert shown[-1].version > shown[0].version


async def test_our_own_rate_spreads_messages_of_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst at once, then one each half second; the outbox says that it is limited."""
    async with outbox(monkeypatch, create=made(rate_per_s=2.0, burst=3)) as built:
        for number in range(6):
            await built.answer(str(number), chat=str(number))
        await built.until(DeliverySent, 3)
        assert len(built.fake().attempts) == 3
        view = built.accounts.view(LOCAL)
        assert (view.state, view.waiting, view.rate_per_s, view.tokens) == (OutboxState.LIMITED, 3, 2.0, 0.0)
        for count in (4, 5, 6):
            await built.clock.advance(0.5)
            await built.until(DeliverySent, count)
            assert len(built.fake().attempts) == count
        assert all(item.attempt == 0 for item in (await built.waiting()).deliveries)


async def test_the_rate_of_a_chat_keeps_its_order_and_holds_no_other_chat(monkeypatch: pytest.MonkeyPatch) -> None:
    """One message a second to each chat, in the order of posting."""
    async with outbox(monkeypatch, create=made(chat_rate_per_s=1.0)) as built:
        for number in range(3):
            await built.answer(f"a{number}", chat="a")
            await built.answer(f"b{number}", chat="b")
        await built.until(DeliverySent, 2)
        assert sorted(await texts_of(built)) == ["a0", "b0"]
        await built.clock.advance(1.0)
        await built.until(DeliverySent, 4)
        await built.clock.advance(1.0)
        await built.until(DeliverySent, 6)
        sent = await texts_of(built)
        assert [text for text in sent if text[0] == "a"] == ["a0", "a1", "a2"]
        assert [text for text in sent if text[0] == "b"] == ["b0", "b1", "b2"]


async def test_a_dead_account_is_left_alone_and_its_deliveries_keep_their_attempts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After some failures in a row only a probe goes out, less and less often; the first success opens it again."""
    async with outbox(monkeypatch, max_attempts=3, breaker_failures=3, base_s=1.0, cap_s=1.0) as built:
        built.fake().faults.extend(down() for _ in range(6))
        for number in range(3):
            await built.answer(str(number), chat=str(number))
        (opened,) = await built.until(BreakerChanged)
        assert (opened.breaker.state, opened.breaker.owner, opened.breaker.name) == (BreakerState.OPEN, "outbox", LOCAL)
        assert built.accounts.view(LOCAL).state is OutboxState.BROKEN
        await built.clock.advance(20.0)
        assert len(built.fake().attempts) == 3
        for _ in range(40):
            await built.clock.advance(10.0)
        await built.until(DeliverySent, 3)
        assert sorted(await texts_of(built)) == ["0", "1", "2"]
        assert not [event for event in await built.events() if isinstance(event, DeliveryDied)]
        assert built.accounts.breaker_view(LOCAL).state is BreakerState.CLOSED
        assert len(built.fake().attempts) == 9


async def test_refusals_open_no_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A far side that says no to one chat after another is well."""
    async with outbox(monkeypatch, breaker_failures=2) as built:
        built.fake().faults.extend(refused() for _ in range(8))
        for number in range(8):
            await built.answer(str(number), chat=str(number))
        await built.until(DeliveryDied, 8)
        await built.answer("yes", chat="9")
        await built.until(DeliverySent)
        assert built.accounts.breaker_view(LOCAL).state is BreakerState.CLOSED


async def test_an_operator_can_hold_an_account_and_release_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Held, nothing is tried, whatever anybody asks; released, it goes on. What cannot be is refused."""
    async with outbox(monkeypatch) as built:
        await built.answer("zero")
        await built.until(DeliverySent)
        held = await built.accounts.hold_breaker(LOCAL, "maintenance", OPERATOR)
        assert (held.mode, held.state, held.reason) == (BreakerMode.HELD, BreakerState.OPEN, "maintenance")
        view = await built.answer("one")
        await built.clock.advance(3600.0)
        await built.deliveries.orders.retry_delivery(RetryDelivery(delivery_id=view.id), OPERATOR)
        await built.clock.advance(0)
        assert await texts_of(built) == ["zero"]
        assert built.accounts.view(LOCAL).why == "held by an operator: maintenance"
        released = await built.accounts.release_breaker(LOCAL, OPERATOR)
        assert (released.mode, released.state) == (BreakerMode.AUTOMATIC, BreakerState.CLOSED)
        await built.until(DeliverySent, 2)
        with pytest.raises(ConflictError):
            await built.accounts.release_breaker(LOCAL, OPERATOR)
        with pytest.raises(NotFound):
            await built.accounts.reset_breaker("nobody", "", OPERATOR)


async def test_an_operator_can_have_an_account_tried_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The open time and the wait that the far side asked for are over; one that is well needs no trial."""
    async with outbox(monkeypatch, max_attempts=3, breaker_failures=2, base_s=1.0, cap_s=1.0) as built:
        built.fake().faults.extend([down(), down()])
        await built.answer("one", chat="1")
        await built.answer("two", chat="2")
        (opened,) = await built.until(BreakerChanged)
        assert opened.breaker.trip_count == 1
        await built.clock.advance(5.0)
        assert len(built.fake().attempts) == 2
        probed = await built.accounts.probe_breaker(LOCAL, OPERATOR)
        assert probed.state is BreakerState.HALF_OPEN
        await built.until(DeliverySent, 2)
        assert built.accounts.breaker_view(LOCAL).state is BreakerState.CLOSED
        with pytest.raises(ConflictError):
            await built.accounts.probe_breaker(LOCAL, OPERATOR)


async def test_an_operator_can_disable_the_breaker_of_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays closed, whatever fails."""
    async with outbox(monkeypatch, max_attempts=9, breaker_failures=2, base_s=1.0, cap_s=1.0) as built:
        built.fake().faults.extend([down()] * 4)
        await built.answer("zero")
        await built.until(DeliveryRetrying)
        disabled = await built.accounts.disable_breaker(LOCAL, "it must go out", OPERATOR)
        assert (disabled.mode, disabled.state) == (BreakerMode.DISABLED, BreakerState.CLOSED)
        for count in range(2, 5):
            await built.clock.advance(1.1)
            await built.until(DeliveryRetrying, count)
        assert built.accounts.breaker_view(LOCAL).state is BreakerState.CLOSED
        await built.clock.advance(1.1)
        await built.until(DeliverySent)


async def test_waits_and_breakers_outlive_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A core that is started again does not knock at a shut door."""
    store, clock = MemoryStore(), FakeClock()
    async with outbox(monkeypatch, store=store, clock=clock) as built:
        built.fake().faults.append(limited(100.0))
        await built.answer("one")
        await built.until(OutboxHeld)
        await built.answer("two", platform=OTHER)
        await built.until(DeliverySent)
        await built.accounts.hold_breaker(OTHER, "moving", OPERATOR)
    later = FakeClock(now=clock.now() + 40.0, monotonic=7.0)
    async with outbox(monkeypatch, store=store, clock=later) as built:
        await built.deliveries.recover()
        await built.answer("three", platform=OTHER)
        await later.advance(59.0)
        assert (built.fake().attempts, built.fake(OTHER).attempts) == ([], [])
        await later.advance(1.5)
        await built.until(DeliverySent)
        assert await texts_of(built) == ["one"]
        assert built.accounts.breaker_view(OTHER).mode is BreakerMode.HELD


async def test_what_is_put_off_can_be_dropped_and_lets_the_next_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that came too early keeps its place in the line of its session until then."""
    async with outbox(monkeypatch, create=made(chat_rate_per_s=0.01)) as built:
        for text in ("first", "second", "third"):
            await built.answer(text)
        await built.until(DeliverySent)
        await built.clock.advance(0)
        second = (await built.waiting()).deliveries[0]
        assert (second.text, second.attempt, second.next_try is None) == ("second", 0, False)
        await built.deliveries.orders.drop_delivery(DropDelivery(delivery_id=second.id), OPERATOR)
        await built.clock.advance(100.0)
        await built.until(DeliverySent, 2)
        assert await texts_of(built) == ["first", "third"]


async def test_a_long_answer_is_sent_in_parts_that_are_never_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """One commit, one order, an id for each; a failure of one repeats that one alone."""
    async with outbox(monkeypatch, create=made(text_limit=50)) as built:
        built.fake().faults.extend([])
        text = " ".join(f"word{number:03}" for number in range(20))
        view = await built.answer(text)
        sent = await built.until(DeliverySent, 4)
        assert "".join(await texts_of(built)) == text
        assert [item.delivery.id for item in sent] == [view.id, *(f"{view.id}.{number}" for number in (2, 3, 4))]
        assert [(item.part, item.part_count) for item in built.fake().sent] == [(1, 4), (2, 4), (3, 4), (4, 4)]
        assert (view.part, view.part_count) == (1, 4)
        assert built.deliveries.unsent(view.session_id) == 0


async def test_the_native_id_of_what_was_sent_is_known_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told to whoever waits for it, and after a restart where a message can be edited; then forgotten."""
    store, clock = MemoryStore(), FakeClock()
    heard: list[str] = []
    async with outbox(monkeypatch, store=store, clock=clock, create=made(can_edit=True)) as built:
        view = await built.answer("hi")
        built.deliveries.when_sent(view.id, heard.append)
        assert await built.deliveries.sent_id(view.id) == ""
        await built.until(DeliverySent)
        await built.clock.advance(0)
        assert (heard, await built.deliveries.sent_id(view.id)) == (["1"], "1")
        built.deliveries.when_sent(view.id, heard.append)
        assert heard == ["1", "1"]
    async with outbox(monkeypatch, store=store, clock=FakeClock(now=clock.now() + 100.0)) as built:
        assert await built.deliveries.sent_id(view.id) == "1"
        assert await built.deliveries.sent_id(DeliveryId("nobody")) == ""
    async with outbox(monkeypatch, store=store, clock=FakeClock(now=clock.now() + 1e6)) as built:
        await built.deliveries.recover()
        await built.clock.advance(0)
        await asyncio.sleep(0)
        assert await built.deliveries.sent_id(view.id) == ""


async def test_every_account_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what waits, the oldest of it, and what is dead."""
    async with outbox(monkeypatch) as built:
        built.fake().faults.append(refused())
        await built.answer("no")
        await built.until(DeliveryDied)
        built.fake().gate.clear()
        first = await built.answer("one", chat="1")
        await built.clock.advance(10.0)
        await built.answer("two", chat="2")
        listed = (await built.accounts.list_outboxes(ListOutboxes())).outboxes
        assert [(item.platform, item.state, item.waiting, item.dead) for item in listed] == [
            (LOCAL, OutboxState.SENDING, 2, 1)
        ]
        assert listed[0].in_flight == 2
        built.fake().gate.set()
        await built.until(DeliverySent, 2)
        assert first.created.mono < built.clock.monotonic()
