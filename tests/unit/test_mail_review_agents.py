"""What an adversary tried on consumers and monitors: a disk that fails for a moment, a caller that gives up."""

import asyncio
from pathlib import Path

from core.api.mailboxes import Guarantee
from core.mailbox.consumer import ConsumerState
from core.mailbox.consumers import Consumers
from core.mailbox.message import Draft, Mail
from tests.support.clocks import FakeClock
from tests.support.mail_stage import BROKEN, on_stage, rounds
from tests.support.routing import DURABLE, routing


async def test_a_disk_that_fails_for_a_moment_ends_no_consumer() -> None:
    """It waits with a message that must be noted before it is handed over, and its deliveries are not counted."""
    async with on_stage() as stage:
        await (await stage.box(max_deliveries=2)).post(Draft(payload="x", sender="ana"))
        await stage.boxes.get("box").receive()
        await stage.settle()
        await stage.crash()
        alarms: list[str] = []
        consumers = Consumers(
            stage.clock, stage.supervisor, random=lambda: 0.5, on_alarm=lambda *alarm: alarms.append(str(alarm))
        )
        got: list[int] = []

        async def handle(mail: Mail) -> None:
            got.append(mail.attempt)

        stage.store.fault = lambda _batch: BROKEN
        consumers.attach(stage.boxes.get("box"), handle, name="c", breaker=None)
        for _ in range(10):
            await rounds(20)
            await stage.clock.advance(1.0)
        assert (consumers.stats_of("c").state, alarms, got) == (ConsumerState.RUNNING, [], [])
        stage.store.fault = lambda _batch: None
        for _ in range(3):
            await rounds(20)
            await stage.clock.advance(1.0)
        assert got == [2]
        await consumers.stop(deadline_s=0.0)


async def test_who_gives_up_a_stop_takes_no_notice_back(tmp_path: Path) -> None:
    """The end of a run took place; every watcher hears of it."""
    async with routing(tmp_path, clock=FakeClock()) as rig:
        watchers = [await rig.router.register(name, DURABLE) for name in ("a", "b", "c")]
        worker = await rig.router.register("worker", DURABLE)
        for watcher in watchers:
            await rig.watches.monitor(watcher, worker)
        stopping = asyncio.get_running_loop().create_task(rig.router.stop(worker, "boom"))
        await rounds(1)
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
        await rig.watches.flush()
        assert [[mail.message_type for mail in rig.taken(name)] for name in "abc"] == [["down"]] * 3


async def test_a_message_for_at_most_once_is_not_given_out_again_when_its_consumer_ends() -> None:
    """Its handler has begun with it; one that is still to begin goes back."""
    async with on_stage() as stage:
        box = await stage.box(guarantee=Guarantee.AT_MOST_ONCE)
        consumers = Consumers(stage.clock, stage.supervisor, random=lambda: 0.5, on_alarm=lambda *_: None)
        began = asyncio.Event()

        async def handle(_mail: Mail) -> None:
            began.set()
            await asyncio.get_running_loop().create_future()

        consumers.attach(box, handle, name="c", breaker=None)
        await box.post(Draft(payload="x", sender="ana"))
        await began.wait()
        await consumers.stop(deadline_s=0.0)
        assert (box.try_receive(), box.tally().dropped) == (None, 1)
