"""Consumers and the breakers of their destinations: what fails too often is asked no more, and nothing is burned."""

from collections.abc import AsyncIterator

import pytest

from core.api.errors import NotFound
from core.breaker import BreakerMode, BreakerState
from core.breaker_settings import BreakerSettings
from core.mailbox.consumer import Reject
from tests.support.consumer_rig import ConsumerRig, Gate
from tests.support.fake_supply import FakeSupply

FIVE = BreakerSettings(probe_deadline_s=1000.0)


@pytest.fixture
async def rig() -> AsyncIterator[ConsumerRig]:
    """Consumers on a clock of the test."""
    rig = ConsumerRig()
    yield rig
    await rig.close()


def failing(*numbers: int) -> Gate:
    """A handler for which these messages fail."""
    gate = Gate()
    gate.raises = {number: ConnectionError("refused") for number in numbers}
    return gate


def breaker_state(rig: ConsumerRig, name: str = "shop") -> BreakerState:
    """Of a consumer that has one."""
    breaker = rig.consumers.stats_of(name).breaker
    assert breaker is not None
    return breaker.state


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_an_open_breaker_leaves_the_messages_in_the_mailbox(rig: ConsumerRig, concurrency: int) -> None:
    """Five failures open it; nothing is taken until the probe, which alone goes out and closes it."""
    supply, gate = FakeSupply(), failing(1, 2, 3, 4, 5)
    supply.put(1, 2, 3, 4, 5)
    rig.consumers.attach(supply, gate, name="shop", breaker=FIVE, concurrency=concurrency)
    await rig.settle()
    assert (breaker_state(rig), rig.breakers) == (BreakerState.OPEN, [("shop", "open")])
    supply.put(6, 7, 8)
    await rig.wait(30.0)
    assert [mail.attempt for mail in supply.queued] == [0, 0, 0]
    gate.shut()
    await rig.wait(0.5)
    assert (gate.began[5:], breaker_state(rig)) == ([6], BreakerState.HALF_OPEN)
    gate.open()
    await rig.settle()
    assert sorted(supply.done("ack")) == [6, 7, 8]
    assert rig.breakers == [("shop", "open"), ("shop", "half_open"), ("shop", "closed")]
    assert "release" not in [act for act, _, _ in supply.diary]


async def test_an_idle_consumer_takes_nothing_that_comes_after_the_breaker_opened(rig: ConsumerRig) -> None:
    """One that awaits a message while others fail stops awaiting."""
    supply, gate = FakeSupply(), failing(1, 2)
    gate.shut()
    supply.put(1, 2)
    rig.consumers.attach(supply, gate, name="shop", breaker=BreakerSettings(failures=2), concurrency=5)
    await rig.settle()
    gate.open()
    await rig.settle()
    supply.put(3)
    await rig.settle()
    assert (breaker_state(rig), gate.began, len(supply.queued)) == (BreakerState.OPEN, [1, 2], 1)


async def test_a_probe_without_verdict_lets_the_next_one_go_at_once(rig: ConsumerRig) -> None:
    """A rejected message says nothing about the destination."""
    supply, gate = FakeSupply(), failing(1, 2, 3, 4, 5)
    gate.raises |= {6: Reject("bad"), 7: Reject("bad")}
    supply.put(1, 2, 3, 4, 5, 6, 7, 8, 9)
    rig.consumers.attach(supply, gate, name="shop", breaker=FIVE, concurrency=3)
    await rig.settle()
    await rig.wait(31.0)
    assert (supply.done("reject"), sorted(supply.done("ack"))) == ([6, 7], [8, 9])


async def test_an_operator_holds_resets_and_disables_a_breaker(rig: ConsumerRig) -> None:
    """Held, nothing goes out; disabled, everything does; who has no breaker is told so."""
    supply, gate = FakeSupply(), failing(*range(10, 30))
    rig.consumers.attach(supply, gate, name="shop", breaker=FIVE)
    rig.consumers.attach(FakeSupply("bare"), gate, name="bare", breaker=None)
    await rig.settle()
    rig.consumers.hold_breaker("shop", "ana: maintenance")
    supply.put(1)
    await rig.wait(3600.0)
    assert gate.began == []
    rig.consumers.reset_breaker("shop", "ana: done")
    await rig.settle()
    assert supply.done("ack") == [1]
    rig.consumers.disable_breaker("shop", "ana: all of it")
    supply.put(*range(10, 30))
    await rig.settle()
    breaker = rig.consumers.stats_of("shop").breaker
    assert breaker is not None
    assert (len(supply.done("nack")), breaker.mode) == (20, BreakerMode.DISABLED)
    with pytest.raises(NotFound):
        rig.consumers.hold_breaker("bare", "none")


async def test_a_breaker_goes_on_where_it_was(rig: ConsumerRig) -> None:
    """Given back what was stored, a consumer waits for the rest of the open time."""
    supply, gate = FakeSupply(), failing(1, 2, 3, 4, 5)
    supply.put(1, 2, 3, 4, 5)
    rig.consumers.attach(supply, gate, name="shop", breaker=FIVE)
    await rig.settle()
    before = rig.consumers.stats_of("shop").breaker
    await rig.consumers.detach("shop")
    supply.put(6)
    rig.consumers.attach(supply, gate, name="shop", breaker=FIVE, breaker_before=before)
    await rig.wait(29.0)
    assert supply.done("ack") == []
    await rig.wait(1.5)
    assert supply.done("ack") == [6]
