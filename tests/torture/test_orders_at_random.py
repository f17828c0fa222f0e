"""Every order at random over a whole core, on a disk that is full now and then, over orderly stops and restarts."""

import asyncio
import os
from pathlib import Path

import pytest

from core.api.tasks import GetTask, TaskState
from core.kernel import Kernel
from tests.support.drained import leaks, unsettled
from tests.support.order_storm import CONFIG, ECHO, MAIN, Storm
from tests.support.runtime_core import core

SEEDS = (25, 53, 54, 64, 71, 72, 73, 74)
FEW_SEEDS = (25,)
ROUNDS = 3
ROUND_S = 8.0
SHORT_ROUND_S = 2.0
PATIENCE_S = 90.0
OVER = {TaskState.DONE, TaskState.ERROR, TaskState.CANCELLED, TaskState.DROPPED, TaskState.IDLE, TaskState.WAITING}


async def _drained(kernel: Kernel, storm: Storm) -> list[str]:
    """What is left once nothing goes on any more, or patience is over."""
    await storm.calm()
    loop = asyncio.get_running_loop()
    over_at = loop.time() + PATIENCE_S
    while left := [*await unsettled(kernel), *await leaks(kernel, (MAIN, ECHO))]:
        if loop.time() > over_at:
            return left
        await storm.deny_all()
        await asyncio.sleep(0.05)
    return []


async def _storm(home: Path, seed: int, round_s: float) -> tuple[Storm, list[str]]:
    """Several starts of one core, and what is wrong at the end."""
    storm = Storm(home, seed)
    left: list[str] = []
    for number in range(ROUNDS):
        async with core(home, CONFIG) as kernel:
            await storm.follow(kernel)
            if not number:
                await storm.open()
            await storm.rage(round_s)
            if number < ROUNDS - 1:
                async with asyncio.timeout(PATIENCE_S):
                    await storm.stop()
                continue
            left = await _drained(kernel, storm)
            for task_id in storm.books.tasks:
                view = (await kernel.query(GetTask(task_id=task_id))).task
                if view.state not in OVER:
                    left.append(f"task {task_id} is {view.state}")
    return storm, left


@pytest.mark.torture
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS if os.environ.get("HERMES_TORTURE") == "long" else FEW_SEEDS)
async def test_whatever_is_ordered_everything_drains_and_nothing_is_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    """No message, lane, slot or task is left behind, and no command ran more often than it was allowed."""
    round_s = ROUND_S if os.environ.get("HERMES_TORTURE") == "long" else SHORT_ROUND_S
    storm, left = await _storm(tmp_path / "home", seed, round_s)
    books = storm.books
    twice = await asyncio.to_thread(storm.ran_too_often)
    ran = await asyncio.to_thread(storm.ran_count)
    with capsys.disabled():
        print(  # noqa: T201 - the counts are the result
            f"\ntorture: seed={seed} orders={books.orders.total()} refused={books.refused} stops={books.stops} "
            f"full disks={books.full_disks} messages={len(books.queued)} said={len(books.said)} "
            f"dropped={len(books.dropped - books.said)} lost={len(books.lost)} tasks={len(set(books.tasks))} "
            f"commands allowed={books.allowed.total()} ran={ran} too often={len(twice)} left={len(left)}"
        )
    assert storm.faults == []
    assert left == []
    assert [books.queued.get(message_id, message_id) for message_id in books.lost] == []
    assert twice == []
    assert ran > 0
