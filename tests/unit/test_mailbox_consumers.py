"""Consumers: what a handler's end means for its message, how many run, and how long one may hold a message."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from core.api.errors import InvalidInput, NotFound, StaleLease
from core.api.mailboxes import MailboxPolicy
from core.mailbox.consumer import ConsumerState, Reject, Retry, Settlement
from core.mailbox.message import Mail
from tests.support.consumer_rig import ConsumerRig, Gate
from tests.support.fake_supply import FakeSupply


@pytest.fixture
async def rig() -> AsyncIterator[ConsumerRig]:
    """Consumers on a clock of the test."""
    rig = ConsumerRig(max_concurrent_deliveries=8)
    yield rig
    await rig.close()


async def test_a_normal_return_acknowledges_and_an_error_gives_the_message_back(rig: ConsumerRig) -> None:
    """The first line of the error goes with it, bounded, and the consumer goes on."""
    supply, gate = FakeSupply(), Gate()
    gate.raises[2] = ValueError("no stock\nat line 7")
    gate.raises[3] = ValueError("x" * 1000)
    gate.raises[4] = KeyError()
    supply.put(1, 2, 3, 4, 5)
    rig.consumers.attach(supply, gate, name="shop")
    await rig.settle()
    assert supply.done("ack") == [1, 5]
    errors = [detail for act, _, detail in supply.diary if act == "nack"]
    assert errors == ["ValueError: no stock", ("ValueError: " + "x" * 1000)[:300], "KeyError"]
    stats = rig.consumers.stats_of("shop")
    assert (stats.handled, stats.failed, stats.running, stats.last_error) == (2, 3, (), "KeyError")
    assert (stats.mailbox, stats.group, stats.state) == ("orders", "shop", ConsumerState.RUNNING)


async def test_reject_kills_retry_delays_and_settled_touches_nothing(rig: ConsumerRig) -> None:
    """What a handler can say beside success and failure."""
    supply, gate = FakeSupply(), Gate()
    gate.raises = {1: Reject("bad address"), 2: Retry("too early", 12.5), 3: Retry("full")}
    supply.put(1, 2, 3)
    rig.consumers.attach(supply, gate, name="shop")
    await rig.settle()
    assert supply.diary == [("reject", 1, "bad address"), ("nack", 2, "too early"), ("nack", 3, "full")]
    assert supply.delays == [12.5, None]
    gate.answer = Settlement.SETTLED
    supply.put(4)
    await rig.settle()
    stats = rig.consumers.stats_of("shop")
    assert (list(supply.leased), stats.handled, stats.failed, stats.rejected) == ([4], 1, 2, 1)


async def test_a_message_that_is_lost_meanwhile_is_counted_and_harms_nobody(rig: ConsumerRig) -> None:
    """A late acknowledgement, and a handler that was told so itself, are stale."""
    supply, gate = FakeSupply(), Gate()
    gate.raises[2] = StaleLease("stale", mail_id=2, attempt=1)
    gate.shut()
    supply.put(1)
    rig.consumers.attach(supply, gate, name="shop")
    await rig.settle()
    supply.lose(1)
    gate.open()
    supply.put(2, 3)
    await rig.settle()
    stats = rig.consumers.stats_of("shop")
    assert (supply.done("ack"), stats.stale, stats.failed, stats.state) == ([3], 2, 0, ConsumerState.RUNNING)


async def test_a_handler_that_cancels_itself_has_failed(rig: ConsumerRig) -> None:
    """A cancellation that nobody asked for ends neither the consumer nor the message."""
    supply, gate = FakeSupply(), Gate()
    gate.raises[1] = asyncio.CancelledError()
    supply.put(1, 2)
    rig.consumers.attach(supply, gate, name="shop", concurrency=2)
    await rig.settle()
    assert supply.diary == [("nack", 1, "the handler cancelled itself"), ("ack", 2, "")]
    assert rig.consumers.stats_of("shop").breaker.counts.failures == 0  # type: ignore[union-attr]  # it has one


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_no_consumer_runs_more_than_its_bound(rig: ConsumerRig, concurrency: int) -> None:
    """What it cannot handle yet stays in the mailbox, not in its hands."""
    supply, gate = FakeSupply(), Gate()
    gate.shut()
    supply.put(*range(1, 11))
    rig.consumers.attach(supply, gate, name="shop", concurrency=concurrency)
    await rig.settle()
    assert (gate.inside, len(supply.leased), len(supply.queued)) == (concurrency, concurrency, 10 - concurrency)
    assert [work.mail_id for work in rig.consumers.stats_of("shop").running] == list(range(1, concurrency + 1))
    gate.open()
    await rig.settle()
    assert sorted(supply.done("ack")) == list(range(1, 11))
    assert rig.consumers.running_count == 0


async def test_a_slow_destination_holds_up_no_other(rig: ConsumerRig) -> None:
    """However much waits for it, and whoever was first."""
    slow, gate = FakeSupply("slow"), Gate()
    gate.shut()
    slow.put(*range(1, 101))
    rig.consumers.attach(slow, gate, name="slow", concurrency=100)
    await rig.settle()
    quick = [FakeSupply(f"quick-{number}") for number in range(3)]
    for supply in quick:
        rig.consumers.attach(supply, Gate(), name=supply.name, concurrency=5)
    assert gate.inside == 7
    for supply in quick:
        supply.put(*range(1, 11))
    await rig.settle()
    assert [len(supply.done("ack")) for supply in quick] == [10, 10, 10]
    assert gate.inside <= 7
    gate.open()
    await rig.settle()
    assert len(slow.done("ack")) == 100


async def test_the_bound_over_all_consumers_holds(rig: ConsumerRig) -> None:
    """Twenty shut handlers of four each: eight run, the others wait and all are served in the end."""
    supplies = [FakeSupply(f"box-{number}") for number in range(20)]
    gate = Gate()
    gate.shut()
    for supply in supplies:
        supply.put(1, 2, 3, 4)
        rig.consumers.attach(supply, gate, name=supply.name, concurrency=4)
    await rig.settle()
    assert (gate.inside, rig.consumers.running_count) == (8, 8)
    assert sum(len(supply.leased) for supply in supplies) == 8
    gate.open()
    await rig.settle()
    assert [len(supply.done("ack")) for supply in supplies] == [4] * 20


async def test_a_message_that_comes_while_no_place_is_free_is_kept_alive(rig: ConsumerRig) -> None:
    """An idle consumer holds at most one, beats for it, and delivers it when a place is free."""
    gate = Gate()
    gate.shut()
    idle = [FakeSupply(f"idle-{number}") for number in range(10)]
    for supply in idle:
        rig.consumers.attach(supply, gate, name=supply.name, concurrency=4)
    await rig.settle()
    for supply in idle:
        supply.put(1, 2, 3)
    await rig.settle()
    assert gate.inside == 8
    assert max(len(supply.leased) for supply in idle[8:]) == 1
    await rig.wait(10.0)
    assert idle[9].done("extend") == [1]
    gate.open()
    await rig.settle()
    assert [supply.done("ack") for supply in idle] == [[1, 2, 3]] * 10


async def test_a_living_handler_keeps_its_message(rig: ConsumerRig) -> None:
    """Its lease is extended three times in each of its lengths, and no more once it is settled."""
    supply, gate = FakeSupply(policy=MailboxPolicy(visibility_s=30.0)), Gate()
    gate.shut()
    supply.put(1)
    rig.consumers.attach(supply, gate, name="shop")
    for _ in range(9):
        await rig.wait(10.0)
    assert supply.done("extend") == [1] * 9
    gate.open()
    await rig.wait(60.0)
    assert supply.done("extend") == [1] * 9
    assert supply.done("ack") == [1]


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_a_handler_over_its_limit_is_cut_off_and_the_consumer_goes_on(rig: ConsumerRig, concurrency: int) -> None:
    """The limit is shown while it runs; the message has failed, and the next one is handled."""
    supply, gate = FakeSupply(), Gate()
    gate.shut()
    supply.put(1)
    rig.consumers.attach(supply, gate, name="shop", concurrency=concurrency, work_limit_s=50.0)
    await rig.settle()
    (work,) = rig.consumers.stats_of("shop").running
    assert work.deadline is not None
    assert work.deadline.mono - work.since.mono == 50.0
    await rig.wait(50.0)
    assert gate.cancelled == [1]
    assert supply.diary[-1] == ("nack", 1, "cut off after 50 s: over the work limit")
    supply.put(2)
    await rig.settle()
    await rig.wait(50.0)
    assert (gate.cancelled, supply.done("nack")) == ([1, 2], [1, 2])
    gate.open()
    supply.put(3, 4)
    await rig.settle()
    assert supply.done("ack") == [3, 4]
    assert rig.consumers.stats_of("shop").restarts == 0


async def test_without_a_limit_a_handler_may_take_for_ever(rig: ConsumerRig) -> None:
    """Its message stays its own."""
    supply, gate = FakeSupply(), Gate()
    gate.shut()
    supply.put(1)
    rig.consumers.attach(supply, gate, name="shop", work_limit_s=0)
    for _ in range(20):
        await rig.wait(3600.0)
    assert (gate.inside, rig.consumers.stats_of("shop").running[0].deadline) == (1, None)


async def test_a_handler_whose_message_is_gone_is_cancelled(rig: ConsumerRig) -> None:
    """Somebody else may have it; what it would do is not asked for any more."""
    supply, gate = FakeSupply(), Gate()
    gate.shut()
    supply.put(1)
    rig.consumers.attach(supply, gate, name="shop")
    await rig.settle()
    supply.lose(1)
    await rig.wait(10.0)
    stats = rig.consumers.stats_of("shop")
    assert (gate.cancelled, supply.diary, stats.stale, stats.running) == ([1], [], 1, ())


async def test_a_closed_mailbox_ends_its_consumer_in_peace(rig: ConsumerRig) -> None:
    """What it has in hand is finished, and nothing is restarted."""
    supply, gate = FakeSupply(), Gate()
    gate.shut()
    supply.put(1)
    rig.consumers.attach(supply, gate, name="shop", concurrency=2)
    await rig.settle()
    supply.close()
    await rig.settle()
    gate.open()
    await rig.settle()
    assert (supply.done("ack"), rig.state("shop"), rig.alarms) == ([1], ConsumerState.STOPPED, [])


async def test_a_handler_that_never_waits_leaves_the_loop_to_others(rig: ConsumerRig) -> None:
    """Of a thousand messages in a row no more than a few go out without a turn for everything else."""
    supply, gate, seen = FakeSupply(), Gate(), [0]
    supply.put(*range(1000))
    rig.consumers.attach(supply, gate, name="shop")
    while seen[-1] < 1000:
        await asyncio.sleep(0)
        seen.append(len(gate.ended))
    assert max(later - earlier for earlier, later in pairwise(seen)) <= 16


async def test_names_bounds_and_groups_are_checked(rig: ConsumerRig) -> None:
    """Each error names what is wrong."""
    supply, gate = FakeSupply(), Gate()
    rig.consumers.attach(supply, gate, name="shop")
    with pytest.raises(InvalidInput):
        rig.consumers.attach(supply, gate, name="shop")
    with pytest.raises(InvalidInput):
        rig.consumers.attach(supply, gate, name="other", concurrency=0)
    with pytest.raises(InvalidInput):
        rig.consumers.add_group("shop")
    for ask in (rig.consumers.stats_of, rig.consumers.start_group):
        with pytest.raises(NotFound):
            ask("nobody")
    with pytest.raises(InvalidInput):
        ConsumerRig(max_concurrent_deliveries=0)


async def test_the_handler_gets_the_message_itself(rig: ConsumerRig) -> None:
    """It is the lease, so a handler can settle it in a commit of its own."""
    supply = FakeSupply()
    got: list[Mail] = []

    async def handler(mail: Mail) -> Settlement:
        got.append(mail)
        supply.ack(mail)
        return Settlement.SETTLED

    supply.put(1)
    rig.consumers.attach(supply, handler, name="shop")
    await rig.settle()
    assert [mail.id for mail in got] == [1]
    assert (supply.done("ack"), rig.consumers.stats_of("shop").handled) == ([1], 1)
