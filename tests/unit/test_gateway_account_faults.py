"""What an account does when far sides lie, operators step in, and places are given back."""

import math

import msgspec
import pytest

from core.api.base import DeliveryId, Mark, PlatformName, SessionId
from core.api.breakers import BreakerChanged, BreakerState
from core.api.deliveries import DeliveryDied, DeliveryRetrying, DeliverySent, RetryDelivery
from core.api.errors import StoreError
from core.api.outboxes import LiftHold, OutboxFreed, OutboxHeld, OutboxState
from core.api.platforms import PlatformConnected
from core.gateway.account import Hold
from core.gateway.platform import Inbox, PlatformError, PlatformErrorKind
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.outbox import LOCAL, OPERATOR, FullStore, Outbox, busy, limited, outbound_to, outbox, texts_of


def down() -> PlatformError:
    """A far side that does not answer as it should."""
    return PlatformError(PlatformErrorKind.RETRY_AFTER, "connection refused")


@pytest.mark.parametrize("asked_s", [0.0, -5.0, math.nan])
async def test_a_far_side_that_asks_to_wait_for_no_time_is_not_asked_again_and_again(
    monkeypatch: pytest.MonkeyPatch, asked_s: float
) -> None:
    """It counts as any failure: the backoff spreads the attempts, and the breaker ends them."""
    async with outbox(monkeypatch, breaker_failures=3) as built:
        built.fake().faults.extend(limited(asked_s) for _ in range(50))
        await built.answer("one")
        for _ in range(20):
            await built.clock.advance(1.0)
        await built.until(BreakerChanged)
        assert len(built.fake().attempts) == 3
        assert built.accounts.view(LOCAL).state is OutboxState.BROKEN


@pytest.mark.parametrize("asked_s", [1e12, math.inf])
async def test_nobody_may_put_an_account_off_for_longer_than_a_day(
    monkeypatch: pytest.MonkeyPatch, asked_s: float
) -> None:
    """Whatever the far side asks for; and what is kept of it can be read again."""
    store, clock = MemoryStore(), FakeClock()
    async with outbox(monkeypatch, store=store, clock=clock) as built:
        built.fake().faults.append(limited(asked_s))
        await built.answer("one")
        (held,) = await built.until(OutboxHeld)
        assert held.outbox.next_try.mono == clock.monotonic() + 86_400.0
    async with outbox(monkeypatch, store=store, clock=FakeClock(now=clock.now() + 10.0)) as built:
        await built.deliveries.recover()
        assert built.accounts.view(LOCAL).state is OutboxState.HELD
        assert built.accounts.get(LOCAL).held_s(built.clock.monotonic()) == pytest.approx(86_390.0)


async def test_a_clock_that_was_set_back_makes_no_wait_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A core without a battery clock starts in the past; what was asked for bounds the wait."""
    store, clock = MemoryStore(), FakeClock()
    async with outbox(monkeypatch, store=store, clock=clock) as built:
        built.fake().faults.append(limited(60.0))
        await built.answer("one")
        await built.until(OutboxHeld)
    async with outbox(monkeypatch, store=store, clock=FakeClock(now=1000.0)) as built:
        await built.deliveries.recover()
        assert 0 < built.accounts.get(LOCAL).held_s(built.clock.monotonic()) <= 60.0


async def test_a_probe_that_comes_too_early_for_its_chat_gives_its_place_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the account would wait for an answer that nobody will give."""
    async with outbox(monkeypatch, breaker_failures=1) as built:
        built.fake().faults.extend([busy(3600.0), down()])
        await built.answer("held", chat="1")
        await built.until(DeliveryRetrying)
        await built.answer("broke it", chat="3")
        await built.until(BreakerChanged)
        await post(built, "early", chat="1", session="another of that chat")
        await built.answer("free", chat="2")
        await built.clock.advance(31.0)
        await built.until(DeliverySent)
        assert (await texts_of(built))[0] in {"free", "broke it"}


async def test_a_chat_that_asks_to_wait_again_and_again_kills_no_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its attempts are counted, but it only said that it is too early."""
    async with outbox(monkeypatch, max_attempts=2) as built:
        built.fake().faults.extend(busy(5.0) for _ in range(6))
        await built.answer("patient")
        for count in range(1, 7):
            await built.until(DeliveryRetrying, count)
            await built.clock.advance(5.1)
        (sent,) = await built.until(DeliverySent)
        assert sent.delivery.attempt == 2
        assert not [event for event in await built.events() if isinstance(event, DeliveryDied)]


async def test_lifting_a_wait_sends_the_very_message_that_was_told_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was put off for as long as the account, so it is freed with it."""
    async with outbox(monkeypatch) as built:
        built.fake().faults.append(limited(600.0))
        await built.answer("one")
        await built.until(DeliveryRetrying)
        await built.clock.advance(0)
        await built.accounts.lift_hold(LiftHold(platform=LOCAL), OPERATOR)
        (sent,) = await built.until(DeliverySent)
        assert await texts_of(built) == ["one"]
        assert sent.delivery.attempt == 1


async def test_closing_a_breaker_sends_what_only_waited_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last probe waits no longer than the others."""
    async with outbox(monkeypatch, breaker_failures=1) as built:
        built.fake().faults.extend([down(), down()])
        await built.answer("one")
        await built.until(BreakerChanged)
        await built.clock.advance(31.0)
        await built.clock.advance(5.0)
        await built.until(DeliveryRetrying, 2)
        await built.clock.advance(0)
        await built.accounts.reset_breaker(LOCAL, "mended", OPERATOR)
        await built.until(DeliverySent)
        assert await texts_of(built) == ["one"]


async def test_asking_for_one_that_came_too_early_for_its_chat_sends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was never tried, and is put off all the same."""
    async with outbox(monkeypatch) as built:
        built.fake().faults.append(busy(900.0))
        await built.answer("first", chat="1")
        await built.until(DeliveryRetrying)
        second = await post(built, "second", chat="1", session="another of that chat")
        await built.clock.advance(0)
        await built.deliveries.orders.retry_delivery(RetryDelivery(delivery_id=second), OPERATOR)
        await built.until(DeliverySent)
        assert await texts_of(built) == ["second"]


async def post(built: Outbox, text: str, *, chat: str, session: str) -> DeliveryId:
    """Store an answer of one of several sessions of a chat."""
    outbound = msgspec.structs.replace(
        outbound_to(chat, text, delivery_id=built.deliveries.new_id()), session_id=SessionId(session)
    )
    await built.deliveries.open_outbox(LOCAL)
    transaction = built.mail.transaction()
    built.deliveries.post(transaction, outbound)
    await transaction.commit((), ())
    built.deliveries.posted(outbound)
    return outbound.delivery_id


async def test_a_connection_that_stands_again_lets_a_probe_through_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The only message that waits is that probe, though it was put off until the breaker would open by itself."""
    async with outbox(monkeypatch, breaker_failures=2) as built:
        built.fake().faults.extend([down(), down(), down()])
        await built.answer("one")
        for _ in range(3):
            await built.clock.advance(1.1)
        await built.clock.advance(40.0)
        assert len(built.fake().attempts) == 3
        assert built.accounts.view(LOCAL).state is OutboxState.BROKEN
        inbox = built.fake().inbox
        assert inbox is not None
        stand_again(inbox)
        await built.until(DeliverySent)
        assert await texts_of(built) == ["one"]
        assert built.accounts.breaker_view(LOCAL).state is BreakerState.CLOSED


def stand_again(inbox: Inbox) -> None:
    """The connection says so under another address, as after a reconnect."""
    inbox.connected("again.example.org")


async def test_a_wait_that_cannot_be_lifted_on_disk_still_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """An order is stored with its event, or it is refused and changes nothing."""
    store = FullStore()
    async with outbox(monkeypatch, store=store) as built:
        built.fake().faults.append(limited(600.0))
        await built.answer("one")
        await built.until(DeliveryRetrying)
        store.is_full = True
        with pytest.raises(StoreError):
            await built.accounts.lift_hold(LiftHold(platform=LOCAL), OPERATOR)
        assert built.accounts.view(LOCAL).state is OutboxState.HELD
        store.is_full = False


async def test_a_wait_that_a_retry_overrides_is_told_and_does_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither on screen nor after a restart."""
    store, clock = MemoryStore(), FakeClock()
    async with outbox(monkeypatch, store=store, clock=clock) as built:
        built.fake().faults.append(limited(600.0))
        view = await built.answer("one")
        await built.until(DeliveryRetrying)
        await built.clock.advance(0)
        await built.deliveries.orders.retry_delivery(RetryDelivery(delivery_id=view.id), OPERATOR)
        await built.until(OutboxFreed)
        await built.until(DeliverySent)
    async with outbox(monkeypatch, store=store, clock=FakeClock(now=clock.now() + 1.0)) as built:
        await built.deliveries.recover()
        assert built.accounts.get(LOCAL).hold is None


async def test_what_a_far_side_says_is_one_line_of_bounded_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of HTML for an error neither fills the journal nor breaks a row."""
    async with outbox(monkeypatch) as built:
        built.fake().faults.append(
            PlatformError(PlatformErrorKind.RETRY_AFTER, "<p>\n" + "busy " * 10_000, retry_after_s=5.0)
        )
        await built.answer("one")
        (held,) = await built.until(OutboxHeld)
        for text in (held.outbox.why, held.outbox.error):
            assert len(text) <= 300
            assert "\n" not in text


async def test_a_message_that_is_put_off_for_ever_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told to wait again and again, it remembers the last time only; each time is news to a screen all the same."""
    async with outbox(monkeypatch) as built:
        built.fake().faults.extend(limited(5.0) for _ in range(40))
        await built.answer("patient")
        versions: list[int] = []
        for count in range(1, 31):
            retrying = await built.until(DeliveryRetrying, count)
            versions.append(retrying[-1].delivery.version)
            await built.clock.advance(5.1)
        box = built.mail.boxes.get("outbox.local")
        (mail,) = box.live()
        assert len(mail.attempts or ()) <= 1
        assert versions == sorted(set(versions))


async def test_an_account_that_is_no_longer_configured_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Held for ever, it would ask for somebody for ever; configured again, it is held as before."""
    store, extra = MemoryStore(), PlatformName("extra")
    async with outbox(monkeypatch, store=store, more=(extra,)) as built:
        built.accounts.get(extra)
        await built.accounts.hold_breaker(extra, "moving", OPERATOR)
    for more, names in (((), []), ((extra,), [extra])):
        async with outbox(monkeypatch, store=store, more=more) as built:
            await built.deliveries.recover()
            assert built.accounts.names() == names


async def test_what_fails_over_a_connection_that_is_gone_is_no_failure_of_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sends that hang until their limit tell of the outage, which is over; they go out again at once."""
    async with outbox(monkeypatch, breaker_failures=2) as built:
        built.fake().gate.clear()
        for chat in "123":
            await built.answer(chat, chat=chat)
        await built.clock.advance(0)
        assert built.fake().in_flight == 3
        await built.clock.advance(5.0)
        inbox = built.fake().inbox
        assert inbox is not None
        stand_again(inbox)
        await built.until(PlatformConnected, 3)
        built.fake().faults.extend(down() for _ in range(3))
        built.fake().gate.set()
        await built.until(DeliverySent, 3)
        assert built.accounts.breaker_view(LOCAL).state is BreakerState.CLOSED
        assert [event for event in await built.events() if isinstance(event, BreakerChanged)] == []


async def test_a_trial_that_cannot_be_stored_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the breaker nor the wait that the far side asked for."""
    store = FullStore()
    async with outbox(monkeypatch, store=store, breaker_failures=1) as built:
        built.fake().faults.append(down())
        await built.answer("one")
        await built.until(BreakerChanged)
        account = built.accounts.get(LOCAL)
        hold = account.hold = Hold(Mark(built.clock.now() + 600.0, built.clock.monotonic() + 600.0), "busy")
        store.is_full = True
        with pytest.raises(StoreError):
            await built.accounts.probe_breaker(LOCAL, OPERATOR)
        assert account.hold == hold
        assert built.accounts.breaker_view(LOCAL).state is BreakerState.OPEN
        store.is_full = False
        assert (await built.accounts.probe_breaker(LOCAL, OPERATOR)).state is BreakerState.HALF_OPEN
        assert account.hold is None
