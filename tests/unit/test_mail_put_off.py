"""Messages that come too early: put off without a counted delivery, at their place, and gates that let none through."""

import asyncio
from typing import Any

import pytest

from core.api.mail import MailState
from core.mailbox.consumer import TooEarly
from core.mailbox.consumers import Consumers
from core.mailbox.mailbox import Mailbox
from core.mailbox.message import Draft, Mail
from core.supervisor import Supervisor
from tests.support.clocks import FakeClock
from tests.support.fake_supply import FakeSupply
from tests.support.mail_rig import MailRig, mail_rig


async def box_of(rig: MailRig, **policy: Any) -> Mailbox:
    """A mailbox with two lines: a1, a2, b1."""
    box = await rig.box("box", **policy)
    for payload in ("a1", "a2", "b1"):
        await box.post(Draft(payload=payload, sender=payload[0]))
    return box


def taken(box: Mailbox) -> Mail:
    """The next one."""
    mail = box.try_receive()
    assert mail is not None
    return mail


@pytest.mark.parametrize("durable", [True, False])
async def test_a_message_that_is_put_off_keeps_its_place_and_counts_no_delivery(durable: bool) -> None:
    """Others of its line wait behind it, other lines go on; its attempts are as before."""
    async with mail_rig() as rig:
        box = await box_of(rig, durable=durable)
        first = taken(box)
        box.put_off(first, delay_s=10.0)
        other = taken(box)
        assert other.payload == "b1"
        box.ack(other)
        assert box.try_receive() is None
        for _ in range(3):
            await rig.clock.advance(10.0)
            again = taken(box)
            assert (again.payload, again.attempt) == ("a1", 1)
            box.put_off(again, delay_s=10.0, error="too early")
        await rig.clock.advance(10.0)
        again = taken(box)
        assert (again.attempt, again.error) == (1, "too early")
        box.ack(again)
        assert taken(box).payload == "a2"
        assert box.tally().difference == 0


async def test_one_that_is_put_off_can_be_hurried_taken_and_dropped() -> None:
    """It stands in its line once, whatever is done to it."""
    async with mail_rig() as rig:
        box = await box_of(rig)
        box.put_off(taken(box), delay_s=100.0)
        first = next(mail for mail in box.live() if mail.payload == "a1")
        assert first.state is MailState.DELAYED
        assert box.hurry(first.id)
        again = next(mail for mail in iter(lambda: taken(box), None) if mail.payload == "a1")
        box.put_off(again, delay_s=100.0)
        transaction = rig.mailboxes.transaction()
        held = transaction.take("box", first.id)
        assert held is not None
        transaction.cancel()
        box.drop_now(next(mail for mail in box.live() if mail.payload == "a1"))
        assert taken(box).payload == "a2"
        assert box.try_receive() is None
        assert box.tally().difference == 0


class Shut:
    """A gate in the hands of a test. admits: how many are let through."""

    def __init__(self) -> None:
        self.wait = 0.0
        self.admits = 100

    def wait_s(self) -> float:
        """As the test says."""
        return self.wait if self.admits else float("inf")

    def admit(self) -> bool:
        """One less."""
        self.admits -= self.admits > 0
        return self.admits >= 0 and not self.wait


async def test_a_gate_keeps_messages_in_their_mailbox_until_it_opens() -> None:
    """Nothing is taken meanwhile; opening it is noticed at once when somebody says so, or when its time comes."""
    clock = FakeClock()
    supervisor = Supervisor(clock, lambda *_: None, lambda *_: None)
    consumers = Consumers(clock, supervisor, random=lambda: 0.5, on_alarm=lambda *_: None)
    supply, gate, seen = FakeSupply(), Shut(), []
    gate.wait = 30.0

    async def handle(mail: Mail) -> None:
        seen.append(mail.id)

    supply.put(1, 2, 3)
    consumers.attach(supply, handle, name="c", concurrency=4, breaker=None, gate=gate)
    await clock.advance(0)
    assert (seen, supply.leased) == ([], {})
    gate.wait = 0.0
    consumers.wake("c")
    consumers.wake("nobody")
    await clock.advance(0)
    assert sorted(seen) == [1, 2, 3]
    gate.wait = 30.0
    supply.put(4)
    await clock.advance(0)
    assert supply.done("release") == [4]
    assert [mail.attempt for mail in supply.queued] == [0]
    gate.wait = 0.0
    await clock.advance(30.0)
    assert sorted(seen) == [1, 2, 3, 4]
    await consumers.stop(deadline_s=1.0)
    await supervisor.stop(deadline_s=1.0)


async def test_a_handler_can_say_that_it_is_too_early() -> None:
    """That is no failure: the message is put off for as long as it says."""
    clock = FakeClock()
    supervisor = Supervisor(clock, lambda *_: None, lambda *_: None)
    consumers = Consumers(clock, supervisor, random=lambda: 0.5, on_alarm=lambda *_: None)
    supply = FakeSupply()

    async def handle(mail: Mail) -> None:
        raise TooEarly(7.0, "wait for it")

    supply.put(1)
    consumers.attach(supply, handle, name="c")
    await clock.advance(0)
    assert supply.diary[-1][:2] == ("put off", 1)
    assert supply.delays == [7.0]
    stats = consumers.stats_of("c")
    assert (stats.failed, stats.released, stats.last_error) == (0, 1, "wait for it")
    await consumers.stop(deadline_s=1.0)
    await supervisor.stop(deadline_s=1.0)
    await asyncio.sleep(0)


async def test_one_that_is_put_off_for_ever_grows_by_nothing_and_is_hurried_with_its_attempts() -> None:
    """Its last error stays, its failed deliveries are told apart; also after a restart."""
    async with mail_rig() as rig:
        box = await box_of(rig, retry_base_s=0.0, retry_cap_s=0.0)
        box.nack(taken(box), error="failed", delay_s=0.0)
        for number in range(50):
            again = next(mail for mail in iter(lambda: taken(box), None) if mail.payload == "a1")
            box.put_off(again, delay_s=10.0, error=f"wait {number}")
            assert box.hurry(again.id, is_afresh=False)
            for other in list(box.leases.values()):
                box.release(other)
        (mail,) = [mail for mail in box.live() if mail.payload == "a1"]
        assert (mail.attempt, mail.error, mail.put_offs) == (1, "wait 49", 50)
        assert [attempt.error for attempt in mail.attempts or ()] == ["failed"]
        assert box.tally().difference == 0
