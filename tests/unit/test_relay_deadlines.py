"""Messages of a relay and time: deadlines, pauses, clocks that are set back, and how long something has waited."""

import pytest

from core.api.relay_tasks import RelayReason, RelayState
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.relay_out import DOWN, OPERATOR, FakeAdapter, completed, relay_out

ORIGIN = "http://10.0.0.7:8080"


@pytest.mark.parametrize("cause", ["held", "open", "mailbox"])
async def test_a_message_that_was_never_let_through_says_at_its_death_what_held_it(cause: str) -> None:
    """An open breaker, or an operator who holds it or has paused the mailbox, is named with the reason."""
    words = {"held": ("held open", "looking"), "open": ("breaker", "refused"), "mailbox": ("mailbox", "paused")}
    async with relay_out(
        deadline_s=100.0, breaker_failures=1, breaker_open_s=3600.0, breaker_open_cap_s=3600.0
    ) as relay:
        mailbox = await relay.outbound.mailing.open(ORIGIN)
        if cause == "held":
            await relay.targets.breakers.hold_breaker(ORIGIN, "looking at it", OPERATOR)
        elif cause == "mailbox":
            await relay.mail.boxes.pause(mailbox, actor=OPERATOR)
        else:
            relay.adapter.replies["bot"].append(DOWN)
            await relay.when(await relay.send_one(), lambda task: bool(task.attempts))
        task_id = await relay.send_one()
        await relay.clock.advance(101.0)
        task = await relay.until(task_id, RelayState.DEAD)
        assert task.reason is RelayReason.UNDELIVERED
        assert all(word in task.error for word in ("100 s", *words[cause]))


async def test_nothing_dies_of_a_pause_before_it_had_its_chance() -> None:
    """What is overdue when the relay goes on is sent, and tried again."""
    async with relay_out(deadline_s=100.0, retries_s=(30.0,), in_flight=1) as relay:
        await relay.pause()
        first, second = await relay.send_one(), await relay.send_one()
        for _ in range(10):
            await relay.clock.advance(60.0)
        assert {(await relay.task(each)).state for each in (first, second)} == {RelayState.QUEUED}
        relay.adapter.replies["bot"].append(DOWN)
        await relay.resume()
        task = await relay.when(first, lambda task: bool(task.attempts))
        assert task.state is RelayState.QUEUED
        await relay.clock.advance(31.0)
        for each in (first, second):
            await relay.until(each, RelayState.WORKING)


async def test_what_nobody_takes_after_a_pause_dies_in_the_end() -> None:
    """The time that it has left then is bounded."""
    async with relay_out(deadline_s=100.0) as relay:
        await relay.targets.breakers.hold_breaker(ORIGIN, "looking", OPERATOR)
        await relay.pause()
        task_id = await relay.send_one()
        for _ in range(4):
            await relay.clock.advance(60.0)
        await relay.resume()
        await relay.clock.advance(65.0)
        assert (await relay.task(task_id)).state is RelayState.QUEUED
        for _ in range(4):
            await relay.clock.advance(60.0)
        await relay.until(task_id, RelayState.DEAD)


async def test_no_answer_is_given_up_that_nobody_could_ask_for() -> None:
    """While the relay is paused the limit of an answer may pass; the bot is asked once more before it is believed."""
    async with relay_out(answer_limit_s=100.0) as relay:
        done, silent = await relay.send_one(), await relay.send_one()
        for each in (done, silent):
            await relay.until(each, RelayState.WORKING)
        await relay.pause()
        for _ in range(20):
            await relay.clock.advance(30.0)
        assert (await relay.task(done)).state is RelayState.WORKING
        relay.adapter.answers["bot"].append(completed("long done"))
        await relay.resume()
        for _ in range(4):
            await relay.clock.advance(30.0)
        tasks = [await relay.until(each, RelayState.COMPLETED, RelayState.FAILED) for each in (done, silent)]
        assert sorted(task.state for task in tasks) == [RelayState.COMPLETED, RelayState.FAILED]
        assert {task.reason for task in tasks} == {RelayReason.NONE, RelayReason.UNANSWERED}


async def test_a_clock_that_was_set_back_between_starts_puts_nothing_off_for_long() -> None:
    """A message waits no longer for its next attempt than was planned, and none seems to be made in the future."""
    store, clock, adapter = MemoryStore(), FakeClock(), FakeAdapter()
    adapter.replies["bot"].append(DOWN)
    async with relay_out(store=store, clock=clock, adapter=adapter, retries_s=(600.0,)) as relay:
        task_id = await relay.send_one()
        await relay.when(task_id, lambda task: task.due is not None)
    clock.jump(-365 * 86_400.0)
    async with relay_out(store=store, clock=clock, adapter=adapter, is_bound=False, retries_s=(600.0,)) as relay:
        task = await relay.task(task_id)
        assert task.due is not None
        assert task.created.mono <= clock.monotonic() < task.due.mono <= clock.monotonic() + 600.0
        for _ in range(61):
            await clock.advance(10.0)
        await relay.until(task_id, RelayState.WORKING)


async def test_the_oldest_is_the_one_that_waits_for_longest_however_often_it_was_tried() -> None:
    """A message that is put back is no newer for that."""
    async with relay_out(retries_s=(60.0,), breaker_failures=100) as relay:
        relay.adapter.replies["bot"].extend([DOWN, DOWN])
        first = await relay.send_one()
        await relay.when(first, lambda task: task.due is not None)
        await relay.clock.advance(5.0)
        second = await relay.send_one()
        await relay.when(second, lambda task: task.due is not None)
        relay.adapter.replies["bot"].append(DOWN)
        await relay.clock.advance(44.0)
        await relay.when(first, lambda task: len(task.attempts) == 2)
        assert relay.ledger.tally(ORIGIN).oldest == (await relay.task(first)).created
