"""The end of routing: what is queued is still dealt with, and what is left is reported and kept."""

import asyncio
from pathlib import Path

import pytest

from core.api.base import SYSTEM
from core.api.errors import (
    Unavailable,
)
from tests.support.clocks import FakeClock
from tests.support.journals import until_idle
from tests.support.routing import DURABLE, MEMORY, routing


async def test_shutdown_waits_until_consumers_are_done(tmp_path: Path) -> None:
    """What is queued is still given out; strangers are refused; agents may finish what their work leads to."""
    clock = FakeClock()
    async with routing(tmp_path, clock=clock) as rig:
        await rig.agents("worker", "helper")
        await rig.send("worker", "job")
        ending = asyncio.ensure_future(rig.router.shutdown(deadline_s=60))
        await until_idle()
        with pytest.raises(Unavailable):
            await rig.send("worker", "late")
        with pytest.raises(Unavailable):
            await rig.router.register("newcomer", MEMORY)
        mail = rig.box("worker").try_receive()
        assert mail is not None
        await rig.send("helper", "follow-up", sender="worker")
        rig.box("worker").ack(mail)
        await clock.advance(1)
        assert not ending.done()
        assert rig.payloads("helper") == ["follow-up"]
        await clock.advance(1)
        report = await ending
        assert (report.is_drained, report.left) == (True, ())
        with pytest.raises(Unavailable):
            await rig.send("helper", "after", sender="worker")


async def test_shutdown_reports_what_is_left_and_the_next_start_has_it(tmp_path: Path) -> None:
    """Of durable mailboxes nothing is lost, and the report says how much is where."""
    async with routing(tmp_path, "sqlite") as rig:
        await rig.agents("kept", policy=DURABLE)
        await rig.agents("gone")
        await rig.send("kept", 1)
        await rig.send("kept", 2, sender="bo")
        await rig.send("kept", 3, delay_s=3600)
        await rig.send("gone", 4)
        held = rig.box("kept").try_receive()
        assert held is not None
        report = await rig.router.shutdown(deadline_s=0)
        assert [(left.mailbox, left.queued, left.delayed, left.in_flight) for left in report.left] == [
            ("gone", 1, 0, 0), ("kept", 1, 1, 1),
        ]  # fmt: skip
        assert (report.is_drained, report.kept_count, report.lost_count) == (False, 3, 1)
    async with routing(tmp_path, "sqlite") as rig:
        await rig.boxes.indexed()
        await rig.agents("kept", policy=DURABLE)
        assert rig.box("kept").depth == 3
        assert sorted(map(int, map(str, rig.payloads("kept")))) == [1, 2]


async def test_shutdown_waits_for_a_message_that_somebody_holds(tmp_path: Path) -> None:
    """It is not done before it is settled."""
    clock = FakeClock()
    async with routing(tmp_path, clock=clock) as rig:
        await rig.agents("worker")
        await rig.send("worker", "job")
        mail = rig.box("worker").try_receive()
        assert mail is not None
        ending = asyncio.ensure_future(rig.router.shutdown(deadline_s=10))
        await clock.advance(1)
        assert not ending.done()
        rig.box("worker").ack(mail)
        await clock.advance(1)
        assert (await ending).is_drained


async def test_shutdown_does_not_wait_for_what_nobody_could_get(tmp_path: Path) -> None:
    """Mail put off to later and mail in a paused mailbox stays, without using up the deadline."""
    async with routing(tmp_path, clock=FakeClock()) as rig:
        await rig.agents("a", "b")
        await rig.send("a", 1, delay_s=3600)
        await rig.boxes.pause("b", actor=SYSTEM)
        await rig.send("b", 2)
        report = await rig.router.shutdown(deadline_s=60)
        assert [(left.mailbox, left.count) for left in report.left] == [("a", 1), ("b", 1)]
