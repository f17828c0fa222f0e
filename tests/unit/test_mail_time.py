"""Delays, times to live and leases, also when the wall clock jumps by hours, while running and over a restart."""

import asyncio

import pytest

from core.api.errors import InvalidInput
from core.api.mail import DeadReason, MailState
from core.mailbox.message import Draft
from tests.support.mail_stage import on_stage

HOUR_S = 3600.0
JUMPS = pytest.mark.parametrize("jump_s", [-5 * HOUR_S, 5 * HOUR_S])
ONE = Draft(payload="one", sender="ana")
LATE = Draft(payload="late", sender="bo", delay_s=60.0)


async def test_a_delayed_message_comes_at_its_time_and_not_before() -> None:
    """It counts as delayed until then, and does not hold up its sender's other messages."""
    async with on_stage() as stage:
        box = await stage.box()
        await box.post(LATE)
        await box.post(Draft(payload="now", sender="bo"))
        assert (box.tally().delayed, box.depth) == (1, 2)
        mail = await box.receive()
        assert mail.payload == "now"
        box.ack(mail)
        await stage.advance(59.0)
        assert box.tally().delayed == 1
        await stage.advance(1.0)
        assert (box.tally().delayed, box.tally().queued) == (0, 1)


async def test_the_wait_after_a_failure_grows_up_to_its_cap() -> None:
    """Doubled each time, with jitter; the wish of a consumer goes before it."""
    async with on_stage() as stage:
        box = await stage.box(retry_base_s=10.0, retry_cap_s=30.0, max_deliveries=9, visibility_s=1000.0)
        await box.post(ONE)
        waits: list[float] = []
        for delay_s in (None, None, None, 1.0, None):
            mail = await box.receive()
            box.nack(mail, error="no", delay_s=delay_s)
            (again,) = box.waiting.values()
            waits.append(round(again.due - stage.clock.monotonic(), 6))
            await stage.advance(30.0)
        assert waits == [5.3, 10.6, 15.9, 1.0, 15.9]


@JUMPS
async def test_a_jump_of_the_wall_clock_ends_no_lease_and_no_delay(jump_s: float) -> None:
    """What runs is measured on the clock that only grows."""
    async with on_stage() as stage:
        box = await stage.box(visibility_s=30.0)
        await box.post(ONE)
        await box.post(LATE)
        await box.post(Draft(payload="short", sender="cy", ttl_s=50.0))
        held = await box.receive(lambda mail: mail.sender == "ana")
        await stage.advance(1.0)
        stage.clock.jump(jump_s)
        await stage.advance(20.0)
        tally = box.tally()
        assert (tally.in_flight, tally.delayed, tally.queued, tally.dead) == (1, 1, 1, 0)
        box.ack(held)
        await stage.advance(38.0)
        assert (box.tally().delayed, box.tally().dead) == (1, 1)
        await stage.advance(2.0)
        assert (await box.receive()).payload == "late"


async def test_a_wall_clock_put_back_over_a_restart_makes_no_wait_longer_than_it_was_meant() -> None:
    """A delay of a minute is a minute at most from the start on, a pause after a failure too, and a life."""
    async with on_stage() as stage:
        box = await stage.box(retry_base_s=0.0)
        await box.post(LATE)
        await box.post(ONE)
        box.nack(await box.receive(), error="no", delay_s=60.0)
        await box.post(Draft(payload="short", sender="cy", ttl_s=60.0, delay_s=10 * HOUR_S))
        await stage.settle()
        await stage.crash(wall_s=-5 * HOUR_S)
        box = stage.boxes.get("box")
        await stage.advance(59.0)
        assert (box.tally().delayed, box.tally().dead) == (3, 0)
        await stage.advance(2.0)
        tally = box.tally()
        assert (tally.queued, tally.delayed, tally.dead) == (2, 0, 1)


async def test_a_wall_clock_put_forward_over_a_restart_loses_nothing() -> None:
    """What was due comes at once, and each waiting message is still there or a dead letter."""
    async with on_stage() as stage:
        box = await stage.box()
        await box.post(LATE)
        await box.post(ONE)
        await box.post(Draft(payload="short", sender="cy", ttl_s=60.0))
        await stage.crash(wall_s=5 * HOUR_S)
        box = stage.boxes.get("box")
        await stage.advance(1.0)
        assert (box.tally().queued, box.tally().dead) == (2, 1)
        assert (box.tally().delayed, box.tally().difference) == (0, 0)


@pytest.mark.parametrize("keep", [True, False])
async def test_a_message_that_is_too_old_is_given_up(keep: bool) -> None:
    """Kept as a dead letter, or counted as expired; the next of its sender goes on."""
    async with on_stage() as stage:
        box = await stage.box(ttl_s=10.0, keep_expired=keep)
        await box.post(ONE)
        await box.post(Draft(payload="two", sender="ana", ttl_s=0.0))
        await stage.advance(11.0)
        tally = box.tally()
        assert (tally.dead, tally.expired) == ((1, 0) if keep else (0, 1))
        if keep:
            assert next(iter((box.dead or {}).values())).reason is DeadReason.EXPIRED
        assert (await box.receive()).payload == "two"


async def test_a_message_whose_time_is_up_is_not_given_out_even_before_it_is_swept() -> None:
    """Neither to the next who asks, nor to one who chooses; and it is swept soon after."""
    async with on_stage() as stage:
        box = await stage.box(ttl_s=10.0)
        await box.post(ONE)
        stage.clock.step(10.5)
        assert box.try_receive(lambda _mail: True) is None
        assert box.try_receive() is None
        await stage.advance(1.0)
        assert box.tally().dead == 1


@pytest.mark.parametrize("end", ["nack", "release", "lease"])
async def test_a_message_whose_time_is_up_while_it_is_held_ends_with_its_lease(end: str) -> None:
    """Given back, it is given up; its line goes on."""
    async with on_stage() as stage:
        box = await stage.box(ttl_s=10.0, visibility_s=20.0, retry_base_s=0.0)
        await box.post(ONE)
        await box.post(Draft(payload="two", sender="ana", ttl_s=0.0))
        mail = await box.receive()
        await stage.advance(12.0)
        assert mail.state is MailState.IN_FLIGHT
        if end == "nack":
            box.nack(mail, error="no", delay_s=0)
        elif end == "release":
            box.release(mail)
        else:
            await stage.advance(9.0)
        assert box.tally().dead == 1
        assert (await box.receive()).payload == "two"
        await stage.settle()
        await stage.crash()
        assert stage.boxes.get("box").tally().dead == 1


async def test_a_message_acked_after_its_time_is_done() -> None:
    """Whoever holds it may finish."""
    async with on_stage() as stage:
        box = await stage.box(ttl_s=10.0)
        await box.post(ONE)
        mail = await box.receive()
        await stage.advance(12.0)
        box.ack(mail)
        assert (box.tally().done, box.tally().dead) == (1, 0)


async def test_a_lease_ends_within_a_second_of_its_time() -> None:
    """Without anybody asking, a waiting receiver gets the message."""
    async with on_stage() as stage:
        box = await stage.box(visibility_s=300.0, retry_base_s=0.0)
        await box.post(ONE)
        late = await box.receive()
        receiver = asyncio.get_running_loop().create_task(box.receive())
        await stage.advance(299.0)
        assert not receiver.done()
        await stage.advance(2.0)
        assert (await receiver).attempt == 2
        assert late.attempt == 1


@pytest.mark.parametrize("field", ["delay_s", "ttl_s"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), 1e12])
async def test_a_time_that_cannot_be_is_refused(field: str, value: float) -> None:
    """The error names the field; nothing was accepted."""
    async with on_stage() as stage:
        box = await stage.box()
        with pytest.raises(InvalidInput) as caught:
            await box.post(Draft(payload=1, **{field: value}))  # type: ignore[arg-type] # a field by its name
        assert caught.value.facts["field"] == field
        assert box.depth == 0


async def test_old_dead_letters_are_let_go() -> None:
    """Beyond their count the oldest go, and those that are too old."""
    async with on_stage() as stage:
        box = await stage.box(dead_keep_count=3, dead_keep_s=1000.0)
        for number in range(5):
            await box.post(Draft(payload=number, sender="ana"))
            box.reject(await box.receive(), error="no")
        await stage.advance(61.0)
        assert [mail.payload for mail in (box.dead or {}).values()] == [2, 3, 4]
        assert box.tally().dropped == 2
        await stage.advance(2000.0)
        await stage.advance(2.0)
        assert (box.tally().dead, box.tally().difference) == (0, 0)


async def test_a_repeated_key_is_a_duplicate_only_within_its_window() -> None:
    """The receipt names the first message; after the window it is a new one."""
    async with on_stage() as stage:
        box = await stage.box(dedupe_s=60.0)
        first = await box.post(Draft(payload="a", key="k"))
        await stage.advance(59.0)
        again = await box.post(Draft(payload="b", key="k"))
        assert (again.mail_id, again.is_duplicate, box.depth) == (first.mail_id, True, 1)
        await stage.advance(2.0)
        assert not (await box.post(Draft(payload="c", key="k"))).is_duplicate
        assert box.tally().duplicates == 1


async def test_of_many_who_send_one_key_at_once_one_is_taken() -> None:
    """The others hear of it once it is durable."""
    async with on_stage() as stage:
        box = await stage.box()
        receipts = await asyncio.gather(*(box.post(Draft(payload=n, key="k")) for n in range(20)))
        assert sum(not receipt.is_duplicate for receipt in receipts) == 1
        assert len({receipt.mail_id for receipt in receipts}) == 1
        assert box.depth == 1
