"""Consumers on real mailboxes: retries, order, dead letters, breakers, crashes and a stop, with counts that add up."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from core.api.mail import DeadReason
from core.api.mailboxes import MailboxState
from core.breaker import Breaker
from core.breaker_settings import BreakerSettings
from core.mailbox.consumer import Crash, Handler, Placement, Reject, Settlement, Supply
from core.mailbox.consumers import Consumers
from core.mailbox.message import Draft, Mail
from core.mailbox.supervision import Intensity
from core.store.memory import MemoryStore
from tests.support.consumer_rig import Gate
from tests.support.mail_rig import MailRig, mail_rig


class Delivery:
    """Consumers over the mailboxes of a rig."""

    def __init__(self, rig: MailRig) -> None:
        self.rig = rig
        self.alarms: list[str] = []
        self.breakers: list[Breaker] = []
        self.consumers = Consumers(
            rig.clock,
            rig.supervisor,
            random=lambda: 0.0,
            on_alarm=lambda group, _why: self.alarms.append(group),
            on_breaker=lambda _name, breaker: self.breakers.append(breaker),
        )

    async def wait(self, delay_s: float = 0.0) -> None:
        """Let time pass and everything run."""
        for step_s in (0.0, delay_s, 0.0, 0.0, 0.0, 0.0):
            await self.rig.clock.advance(step_s)


@asynccontextmanager
async def delivering(store: MemoryStore | None = None) -> AsyncIterator[Delivery]:
    """A core's mailboxes with consumers."""
    async with mail_rig(store) as rig:
        delivery = Delivery(rig)
        yield delivery
        await delivery.consumers.stop(deadline_s=0.0)


async def post(box: Supply, *payloads: object, sender: str = "ana", key: str = "") -> None:
    """Put these in."""
    for payload in payloads:
        await box.post(Draft(payload=payload, sender=sender, order_key=key))  # type: ignore[attr-defined] # a mailbox


@pytest.mark.parametrize("durable", [True, False])
async def test_failures_are_retried_in_order_until_they_succeed(durable: bool) -> None:
    """Each message of a sender waits for the one before it, and each is handled once in the end."""
    lot = random.Random(7)
    done: list[int] = []

    async def handler(mail: Mail) -> None:
        if lot.random() < 0.4:
            raise ConnectionError("refused")
        done.append(mail.payload)

    async with delivering() as delivery:
        box = await delivery.rig.box(durable=durable, max_deliveries=50, retry_base_s=0.5, retry_cap_s=2.0)
        delivery.consumers.attach(box, handler, name="shop", concurrency=4, breaker=None)
        await post(box, *range(30))
        for _ in range(400):
            await delivery.wait(0.5)
            if len(done) == 30:
                break
        assert done == list(range(30))
        tally = box.view().tally
        assert (tally.done, tally.difference, tally.in_flight) == (30, 0, 0)


async def test_what_cannot_succeed_becomes_a_dead_letter_with_its_error() -> None:
    """A refusal at once, a failure after its last delivery."""

    async def handler(mail: Mail) -> None:
        raise Reject("no such customer") if mail.payload == "bad" else OSError("down")

    async with delivering() as delivery:
        box = await delivery.rig.box(max_deliveries=3, retry_base_s=1.0)
        delivery.consumers.attach(box, handler, name="shop", breaker=None)
        await post(box, "bad", "sad")
        for _ in range(10):
            await delivery.wait(2.0)
        dead = {mail.payload: (mail.reason, mail.error, mail.attempt) for mail in (box.dead or {}).values()}
        assert dead == {
            "bad": (DeadReason.REJECTED, "no such customer", 1),
            "sad": (DeadReason.MAX_DELIVERIES, "OSError: down", 3),
        }


async def test_visibility_never_ends_under_a_living_handler() -> None:
    """A handler of ten minutes on a lease of ten seconds has its message to itself."""
    gate = Gate()
    gate.shut()
    async with delivering() as delivery:
        box = await delivery.rig.box(visibility_s=10.0)
        delivery.consumers.attach(box, gate, name="shop", concurrency=2, work_limit_s=3600.0)
        await post(box, 1)
        for _ in range(180):
            await delivery.wait(3.3)
        assert (len(gate.began), box.view().tally.redelivered) == (1, 0)
        gate.open()
        await delivery.wait()
        assert box.view().tally.done == 1


async def test_an_open_breaker_burns_no_delivery() -> None:
    """While it is open all attempts stay what they were, and the probe is the first message in order."""
    is_down = True

    async def handler(mail: Mail) -> None:
        if is_down:
            raise ConnectionError("refused")

    async with delivering() as delivery:
        box = await delivery.rig.box(ordered=False, max_deliveries=100, retry_base_s=0.1, retry_cap_s=0.1)
        rules = BreakerSettings(failures=3, probe_deadline_s=60.0)
        delivery.consumers.attach(box, handler, name="shop", concurrency=8, breaker=rules)
        await post(box, *range(20))
        await delivery.wait(0.2)
        burned = sum(mail.attempt for mail in box.live())
        assert burned <= 8
        for _ in range(28):
            await delivery.wait(1.0)
        assert sum(mail.attempt for mail in box.live()) == burned
        assert box.view().tally.in_flight == 0
        is_down = False
        await delivery.wait(3.0)
        await delivery.wait(0.2)
        assert box.view().tally.done == 20
        assert [breaker.state.value for breaker in delivery.breakers] == ["open", "half_open", "closed"]


async def test_a_crashing_consumer_loses_nothing_and_frees_its_messages_at_once() -> None:
    """No lease has to run out: with the clock standing still all is done."""
    crashes = 0

    async def handler(mail: Mail) -> None:
        nonlocal crashes
        if mail.attempt == 1 and mail.payload % 5 == 0:
            crashes += 1
            raise Crash("the agent is gone")

    async with delivering() as delivery:
        box = await delivery.rig.box(ordered=False, max_deliveries=20)
        delivery.consumers.add_group("shops", intensity=Intensity(max_restarts=20))
        delivery.consumers.attach(box, handler, name="shop", concurrency=3, child=Placement("shops"))
        await post(box, *range(1, 31))
        for _ in range(10):
            await delivery.wait()
        assert (box.view().tally.done, crashes, delivery.alarms) == (30, 6, [])


async def test_a_handler_settles_in_a_commit_of_its_own() -> None:
    """Acknowledgement and follow-up are one write; the consumer touches nothing after it."""
    async with delivering() as delivery:
        box, out = await delivery.rig.box(), await delivery.rig.box("out")

        async def handler(mail: Mail) -> Settlement:
            commit = delivery.rig.mailboxes.transaction()
            commit.post(out.name, Draft(payload=mail.payload * 2, sender="shop"))
            commit.ack(mail)
            await commit.commit()
            return Settlement.SETTLED

        delivery.consumers.attach(box, handler, name="shop")
        await post(box, 1, 2, 3)
        await delivery.wait()
        assert [mail.payload for mail in out.browse()] == [2, 4, 6]
        stats = delivery.consumers.stats_of("shop")
        assert (box.view().tally.done, stats.handled, stats.stale) == (3, 3, 0)


async def test_a_paused_mailbox_gives_nothing_and_a_closed_one_ends_its_consumer() -> None:
    """Pausing needs no word to the consumer."""
    gate = Gate()
    async with delivering() as delivery:
        box = await delivery.rig.box()
        delivery.consumers.attach(box, gate, name="shop")
        await delivery.wait()
        box.set_state(MailboxState.PAUSED)
        await box.post(Draft(payload=1, sender="ana"))
        await delivery.wait(60.0)
        assert gate.began == []
        box.set_state(MailboxState.OPEN)
        await delivery.wait()
        assert len(gate.ended) == 1
        box.set_state(MailboxState.CLOSED)
        await delivery.wait()
        assert delivery.consumers.stats_of("shop").state.value == "stopped"


async def test_after_a_stop_the_next_start_has_what_was_not_done() -> None:
    """What was given back at the deadline is delivered once more, nothing else twice."""
    store, gate = MemoryStore(), Gate()
    done: list[int] = []

    async def first(mail: Mail) -> None:
        if mail.payload >= 5:
            gate.shut()
        await gate(mail)
        done.append(mail.payload)

    async def second(mail: Mail) -> None:
        done.append(mail.payload)

    handlers: list[Handler] = [first, second]
    for handler in handlers:
        async with delivering(store) as delivery:
            box = await delivery.rig.box()
            if handler is first:
                await post(box, *range(10))
            delivery.consumers.attach(box, handler, name="shop")
            for _ in range(3):
                await delivery.wait()
            stop = delivery.rig.supervisor.spawn("stop", delivery.consumers.stop(deadline_s=5.0))
            await delivery.wait(5.0)
            await delivery.wait(1.0)
            report = stop.result()
            assert report.cut_off == (("shop",) if handler is first else ())
            assert report.stuck == ()
    assert done == list(range(10))


async def test_an_idle_receiver_that_is_cut_short_takes_no_message_along() -> None:
    """A message that arrives in the moment of the stop is there afterwards, untouched or given back."""
    async with delivering() as delivery:
        box = await delivery.rig.box()
        delivery.consumers.attach(box, Gate(), name="shop", concurrency=3)
        await delivery.wait()
        stop = delivery.rig.supervisor.spawn("stop", delivery.consumers.stop(deadline_s=5.0))
        await box.post(Draft(payload=1, sender="ana"))
        await delivery.wait()
        assert stop.done()
        tally = box.view().tally
        assert (tally.in_flight, tally.queued + tally.done) == (0, 1)
