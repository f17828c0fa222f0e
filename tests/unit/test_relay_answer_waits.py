"""An agent that waits for an answer has it, or it is told as a message: one of the two, whatever comes between."""

import asyncio

from core.relay.answer_waits import AnswerWaits, Waiter
from tests.support.journals import until_idle


async def test_who_waits_has_the_answer_and_nobody_else() -> None:
    """A second one, and one for another message, are for the conversation."""
    waits = AnswerWaits()
    with waits.expecting("m-1") as waiter:
        waiting = asyncio.ensure_future(waiter.answer(10.0))
        await until_idle()
        assert not await waits.give("m-2", "other")
        assert await waits.give("m-1", "42")
        assert not await waits.give("m-1", "43")
        assert await waiting == "42"
    assert not await waits.give("m-1", "late")


async def test_an_answer_that_is_quicker_than_the_wait_is_not_lost() -> None:
    """It is there when the wait begins."""
    waits = AnswerWaits()
    with waits.expecting("m-1") as waiter:
        giving = asyncio.ensure_future(waits.give("m-1", "42"))
        await until_idle()
        assert await waiter.answer(10.0) == "42"
        assert await giving


async def test_a_wait_that_is_over_or_cut_off_leaves_the_answer_to_the_conversation() -> None:
    """Also at the very moment at which it comes."""
    waits = AnswerWaits()
    with waits.expecting("m-1") as waiter:
        assert await waiter.answer(0.0) is None
    assert not await waits.give("m-1", "42")

    async def turn() -> None:
        with waits.expecting("m-2") as waiter:
            await waiter.answer(10.0)

    cut = asyncio.ensure_future(turn())
    await until_idle()
    giving = asyncio.ensure_future(waits.give("m-2", "42"))
    cut.cancel()
    async with asyncio.timeout(5):
        assert not await giving
    await asyncio.wait({cut})
    assert cut.cancelled()


async def test_whoever_only_expects_and_does_not_wait_takes_nothing() -> None:
    """The order failed, or the agent does not want to wait."""
    waits = AnswerWaits()
    with waits.expecting("m-1") as waiter:
        assert isinstance(waiter, Waiter)
        giving = asyncio.ensure_future(waits.give("m-1", "42"))
        await until_idle()
    async with asyncio.timeout(5):
        assert not await giving
