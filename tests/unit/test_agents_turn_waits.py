"""Waits of a turn: once it was told to stop, nothing more is begun."""

import asyncio
import gc
import warnings
from collections.abc import AsyncGenerator

import pytest

from core.agents.turn_waits import TurnWaits
from core.waits import CutShort


async def test_after_the_cut_nothing_begins() -> None:
    """Neither a call nor the next piece of a stream, and Python does not complain of either; a new turn waits again."""
    waits = TurnWaits()
    begun: list[str] = []

    async def call() -> str:
        begun.append("call")
        return "answered"

    async def stream() -> AsyncGenerator[str, None]:
        begun.append("stream")
        yield "piece"

    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        waits.cut()
        pieces = stream()
        for what in (call(), anext(pieces), asyncio.get_running_loop().create_future()):
            with pytest.raises(CutShort):
                await waits.wait(what)
        gc.collect()
    assert begun == []
    assert [str(complaint.message) for complaint in complaints] == []
    waits.mend()
    assert await waits.wait(call()) == "answered"
    assert await waits.wait(anext(pieces)) == "piece"
    await pieces.aclose()
