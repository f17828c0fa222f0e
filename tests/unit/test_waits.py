"""A wait can be cut short by somebody else, at once, and a cancellation from above is never mistaken for it."""

import asyncio

import pytest

from core.waits import CutShort, Waits, task_group


async def forever(future: "asyncio.Future[None]") -> None:
    """Wait for what does not come."""
    await future


async def test_a_cut_cancels_what_is_waited_for_before_it_returns() -> None:
    """So nothing can be handed to who has been told to stop waiting."""
    waits, future = Waits(), asyncio.get_running_loop().create_future()
    told: list[str] = []

    async def waiter() -> None:
        with pytest.raises(CutShort):
            await waits.wait(forever(future))
        told.append("cut")
        assert await waits.wait(asyncio.sleep(0, "next")) == "next"
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    async with asyncio.TaskGroup() as jobs:
        jobs.create_task(waiter())
        await asyncio.sleep(0)
        waits.cut()
        waits.cut()
        assert future.cancelled()
    assert told == ["cut"]


async def test_without_a_wait_a_cut_does_nothing() -> None:
    """It is not remembered for the next wait."""
    waits = Waits()
    waits.cut()
    assert await waits.wait(asyncio.sleep(0, 7)) == 7


async def test_a_cancellation_from_above_goes_through() -> None:
    """Alone, and also together with a cut."""
    for is_cut in (False, True):
        waits, future = Waits(), asyncio.get_running_loop().create_future()
        async with asyncio.TaskGroup() as jobs:
            task = jobs.create_task(waits.wait(forever(future)))
            await asyncio.sleep(0)
            if is_cut:
                waits.cut()
            task.cancel()
        assert task.cancelled()


async def test_what_it_waited_for_may_end_in_spite_of_the_cut() -> None:
    """The result counts then, and no cancellation is left behind."""
    waits = Waits()

    async def stubborn(future: "asyncio.Future[None]") -> int:
        try:
            await future
        except asyncio.CancelledError:
            return 3
        return 4

    async def waiter() -> int:
        result = await waits.wait(stubborn(asyncio.get_running_loop().create_future()))
        async with asyncio.timeout(60):
            await asyncio.sleep(0)
        return result

    async with asyncio.TaskGroup() as jobs:
        task = jobs.create_task(waiter())
        await asyncio.sleep(0)
        waits.cut()
    assert task.result() == 3


async def test_a_task_goes_on_after_a_group_of_it_has_failed() -> None:
    """Nothing of the group's own cancellation is left: a timeout afterwards is a timeout."""

    async def fail() -> None:
        raise ValueError("no")

    async def failing_group() -> None:
        async with task_group() as group:
            group.create_task(fail())
            group.create_task(asyncio.Event().wait())

    with pytest.raises(BaseExceptionGroup):
        await failing_group()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.Event().wait()
