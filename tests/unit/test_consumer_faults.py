"""Consumers when something breaks: crashes and restarts, and a stop that loses nothing."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from core.api.errors import InvalidInput
from core.mailbox.consumer import ConsumerState, Crash, Placement
from core.mailbox.consumers import StopReport
from core.mailbox.supervision import Intensity, Restart, Strategy
from tests.support.consumer_rig import ConsumerRig, Gate
from tests.support.fake_supply import FakeSupply


@pytest.fixture
async def rig() -> AsyncIterator[ConsumerRig]:
    """Consumers on a clock of the test."""
    rig = ConsumerRig()
    yield rig
    await rig.close()


async def test_a_crash_gives_everything_back_at_once_and_starts_again(rig: ConsumerRig) -> None:
    """Also what its other handlers hold; nothing counts as failed."""
    supply, gate = FakeSupply(), Gate()
    gate.once[3] = Crash("the agent is gone")
    gate.shut()
    supply.put(1, 2)
    rig.consumers.attach(supply, gate, name="shop", concurrency=3)
    await rig.settle()
    gate.is_shut = False
    supply.put(3)
    await rig.settle()
    assert sorted(supply.done("release")) == [1, 2, 3]
    gate.open()
    await rig.settle()
    stats = rig.consumers.stats_of("shop")
    assert sorted(supply.done("ack")) == [1, 2, 3]
    assert (stats.released, stats.failed, stats.last_error, stats.running) == (3, 0, "the agent is gone", ())
    assert stats.restarts == 1


async def test_a_message_that_is_there_at_every_crash_does_not_last_for_ever(rig: ConsumerRig) -> None:
    """At its last delivery it has failed, and the mailbox makes a dead letter of it."""
    supply, gate = FakeSupply(), Gate()
    gate.raises[1] = Crash("boom")
    supply.put(1, 2)
    rig.consumers.add_group("shops", intensity=Intensity(max_restarts=10))
    rig.consumers.attach(supply, gate, name="shop", child=Placement("shops"))
    await rig.settle()
    assert (supply.done("release"), supply.done("nack"), supply.done("ack")) == ([1] * 4, [1], [2])


async def test_too_many_crashes_stop_the_group_and_raise_the_alarm(rig: ConsumerRig) -> None:
    """Nothing is taken until an operator lets it begin again."""
    supply, gate = FakeSupply(), Gate()
    gate.raises[1] = Crash("boom")
    other = FakeSupply("other")
    supply.put(1)
    rig.consumers.add_group("shops", intensity=Intensity(max_restarts=2, period_s=10))
    rig.consumers.attach(supply, gate, name="shop", child=Placement("shops"))
    rig.consumers.attach(other, gate, name="other", child=Placement("shops"))
    await rig.settle()
    assert rig.alarms == [("shops", "shop failed, and 2 restarts within 10 s are allowed: boom")]
    assert [rig.state("shop"), rig.state("other")] == [ConsumerState.GIVEN_UP] * 2
    other.put(7)
    rig.consumers.attach(FakeSupply("late"), gate, name="late", child=Placement("shops"))
    await rig.settle()
    assert (rig.state("late"), len(other.queued)) == (ConsumerState.GIVEN_UP, 1)
    del gate.raises[1]
    rig.consumers.start_group("shops")
    await rig.settle()
    assert (supply.done("ack"), other.done("ack"), rig.state("late")) == ([1], [7], ConsumerState.RUNNING)


@pytest.mark.parametrize(
    ("strategy", "restarted"),
    [
        (Strategy.ONE_FOR_ONE, [0, 1, 0]),
        (Strategy.ONE_FOR_ALL, [1, 1, 1]),
        (Strategy.REST_FOR_ONE, [0, 1, 1]),
    ],
)
async def test_the_strategy_says_who_starts_again(rig: ConsumerRig, strategy: Strategy, restarted: list[int]) -> None:
    """Those that are stopped for another give back what they hold, and begin in order."""
    supplies = [FakeSupply(name) for name in "abc"]
    gate, crash, order = Gate(), Gate(), list[str]()
    gate.shut()
    crash.once[1] = Crash("boom")
    rig.consumers.add_group("g", strategy)

    def prepare(name: str):
        async def begin() -> None:
            order.append(name)

        return begin

    for supply, handler in zip(supplies, (gate, crash, gate), strict=True):
        rig.consumers.attach(supply, handler, name=supply.name, child=Placement("g"), prepare=prepare(supply.name))
    supplies[0].put(5)
    supplies[2].put(5)
    await rig.settle()
    order.clear()
    supplies[1].put(1)
    await rig.settle()
    counts = [rig.consumers.stats_of(name).restarts for name in "abc"]
    assert counts == restarted
    assert order == [name for name, again in zip("abc", restarted, strict=True) if again]
    assert [len(supply.done("release")) for supply in supplies] == restarted
    assert supplies[1].done("ack") == [1]


async def test_a_sibling_that_does_not_hear_frees_its_messages_at_once_all_the_same(rig: ConsumerRig) -> None:
    """It is left behind after its grace, its message is delivered anew, and what it says then changes nothing."""
    deaf, crash, supplies = Gate(), Gate(), [FakeSupply("a"), FakeSupply("b")]
    deaf.shut()
    deaf.is_deaf = True
    crash.once[1] = Crash("boom")
    rig.consumers.add_group("g", Strategy.ONE_FOR_ALL)
    rig.consumers.attach(supplies[0], deaf, name="a", child=Placement("g"))
    rig.consumers.attach(supplies[1], crash, name="b", child=Placement("g"))
    supplies[0].put(9)
    await rig.settle()
    supplies[1].put(1)
    await rig.settle()
    assert (supplies[0].done("release"), len(supplies[0].queued), deaf.began) == ([9], 1, [9])
    await rig.wait(5.0)
    assert (deaf.began, len(supplies[0].leased)) == ([9, 9], 1)
    deaf.open()
    await rig.settle()
    stats = rig.consumers.stats_of("a")
    assert (supplies[0].done("ack"), stats.handled, stats.stale) == ([9], 1, 1)
    assert rig.consumers.running_count == 0


async def test_a_temporary_consumer_does_not_come_back(rig: ConsumerRig) -> None:
    """Its message waits for somebody else."""
    supply, gate = FakeSupply(), Gate()
    gate.raises[1] = Crash("boom")
    supply.put(1)
    rig.consumers.attach(supply, gate, name="once", child=Placement(restart=Restart.TEMPORARY))
    await rig.settle()
    assert (rig.state("once"), supply.done("release"), len(supply.queued)) == (ConsumerState.STOPPED, [1], 1)


async def test_a_consumer_that_cannot_prepare_is_started_again(rig: ConsumerRig) -> None:
    """Nothing is taken before it is ready."""
    supply, gate, tries = FakeSupply(), Gate(), list[int]()

    async def prepare() -> None:
        tries.append(len(supply.leased))
        if len(tries) < 3:
            raise OSError("not yet")

    supply.put(1)
    rig.consumers.attach(supply, gate, name="shop", prepare=prepare)
    await rig.settle()
    stats = rig.consumers.stats_of("shop")
    assert (tries, stats.restarts, stats.last_error) == ([0, 0, 0], 2, "OSError: not yet")
    assert supply.done("ack") == [1]


async def test_a_stop_lets_handlers_finish_and_takes_nothing_more(rig: ConsumerRig) -> None:
    """What waits stays where it is; the report counts what was still done."""
    supply, gate = FakeSupply(), Gate()
    gate.shut()
    supply.put(1, 2, 3)
    rig.consumers.attach(supply, gate, name="shop", concurrency=2)
    rig.consumers.attach(FakeSupply("idle"), gate, name="idle")
    await rig.settle()
    stop = rig.supervisor.spawn("stop", rig.consumers.stop(deadline_s=5))
    await rig.settle()
    assert rig.state("shop") is ConsumerState.DRAINING
    gate.open()
    await rig.settle()
    assert stop.result() == StopReport(handled=2)
    assert (supply.done("ack"), len(supply.queued), rig.state("idle")) == ([1, 2], 1, ConsumerState.STOPPED)
    with pytest.raises(InvalidInput):
        rig.consumers.attach(supply, gate, name="new")


@pytest.mark.parametrize("is_deaf", [False, True])
async def test_at_the_deadline_what_is_left_is_given_back_and_named(rig: ConsumerRig, is_deaf: bool) -> None:
    """Also when a handler does not hear that it is to end; what it does after that changes nothing."""
    supply, gate = FakeSupply(), Gate()
    gate.is_deaf = is_deaf
    gate.shut()
    supply.put(1)
    rig.consumers.attach(supply, gate, name="slow")
    rig.consumers.attach(FakeSupply("idle"), Gate(), name="idle")
    await rig.settle()
    stop = rig.supervisor.spawn("stop", rig.consumers.stop(deadline_s=5))
    await rig.wait(5.0)
    assert supply.done("release") == [1]
    await rig.wait(1.0)
    assert stop.result() == StopReport(released=1, cut_off=("slow",), stuck=("slow",) if is_deaf else ())
    gate.open()
    await rig.settle()
    assert (supply.done("ack"), len(supply.queued)) == ([], 1)


@pytest.mark.parametrize("has_begun", [True, False])
async def test_a_stop_from_above_gives_everything_back(rig: ConsumerRig, has_begun: bool) -> None:
    """Cancelled without a word, also before its handlers began, a consumer leaves nothing in flight."""
    supply, gate = FakeSupply(), Gate()
    gate.shut()
    supply.put(1, 2, 3)
    rig.consumers.attach(supply, gate, name="shop", concurrency=3)
    await asyncio.sleep(0)
    assert (len(supply.leased), gate.inside) == (3, 0)
    if has_begun:
        await rig.settle()
        assert gate.inside == 3
    (life,) = [task for task in asyncio.all_tasks() if task.get_name() == "consumer shop"]
    life.cancel()
    await rig.settle()
    assert (sorted(supply.done("release")), supply.leased) == ([1, 2, 3], {})
    assert rig.consumers.running_count == 0


@pytest.mark.parametrize("is_drained", [True, False])
async def test_a_message_that_waits_for_a_place_is_given_back_when_its_consumer_ends(is_drained: bool) -> None:
    """Asked to stop, or cancelled from above: it does not hold what it has not begun."""
    rig = ConsumerRig(max_concurrent_deliveries=1)
    gate, supplies = Gate(), [FakeSupply("a"), FakeSupply("b")]
    gate.shut()
    for supply in supplies:
        rig.consumers.attach(supply, gate, name=supply.name)
    await rig.settle()
    for supply in supplies:
        supply.put(1)
        await rig.settle()
    assert [len(supply.leased) for supply in supplies] == [1, 1]
    if is_drained:
        await rig.consumers.detach("b")
    else:
        (life,) = [task for task in asyncio.all_tasks() if task.get_name() == "consumer b"]
        life.cancel()
    await rig.settle()
    assert (gate.began, supplies[1].done("release"), len(supplies[1].queued)) == ([1], [1], 1)
    gate.open()
    await rig.settle()
    assert rig.consumers.running_count == 0
    await rig.close()


async def test_a_crash_while_stopping_starts_nothing_again(rig: ConsumerRig) -> None:
    """Its message waits for the next start of the core."""
    supply, gate = FakeSupply(), Gate()
    gate.once[1] = Crash("boom")
    gate.shut()
    supply.put(1)
    rig.consumers.attach(supply, gate, name="shop")
    await rig.settle()
    stop = rig.supervisor.spawn("stop", rig.consumers.stop(deadline_s=5))
    await rig.settle()
    gate.open()
    await rig.settle()
    assert (stop.result(), gate.began) == (StopReport(released=1), [1])
    assert (len(supply.queued), rig.state("shop"), rig.consumers.stats_of("shop").restarts) == (
        1,
        ConsumerState.STOPPED,
        0,
    )


async def test_a_detached_consumer_is_forgotten_and_its_name_free(rig: ConsumerRig) -> None:
    """It ends what it has first."""
    supply, gate = FakeSupply(), Gate()
    gate.shut()
    supply.put(1, 2)
    rig.consumers.attach(supply, gate, name="shop")
    await rig.settle()
    gate.open()
    report = await rig.consumers.detach("shop")
    assert (report.handled, supply.done("ack"), rig.consumers.stats()) == (1, [1], ())
    rig.consumers.attach(supply, gate, name="shop")
    await rig.settle()
    assert supply.done("ack") == [1, 2]


async def test_crashes_at_the_same_moment_are_answered_one_after_the_other(rig: ConsumerRig) -> None:
    """Two children of one group break together: it is restarted once for the first, and nothing runs twice."""
    gates, supplies = [Gate(), Gate()], [FakeSupply("a"), FakeSupply("b")]
    rig.consumers.add_group("g", Strategy.ONE_FOR_ALL)
    for gate, supply in zip(gates, supplies, strict=True):
        gate.shut()
        gate.once[1] = Crash("boom")
        supply.put(1)
        rig.consumers.attach(supply, gate, name=supply.name, child=Placement("g"))
    await rig.settle()
    for gate in gates:
        gate.open()
    await rig.settle()
    assert [rig.consumers.stats_of(name).restarts for name in "ab"] == [1, 1]
    assert [len(supply.done("ack")) for supply in supplies] == [1, 1]
    assert rig.alarms == []
