"""Messages of a whole core to a bot over HTTP: cancelled, given up and brought back, and none is lost by a kill."""

import asyncio
import sys
from pathlib import Path

import httpx
import pytest

from core.api.bindings import ANY_CHAT, AddBinding, Bot
from core.api.errors import ConflictError
from core.api.port import Hermes
from core.api.relay_targets import ListTargets, PauseRelay, ResumeRelay
from core.api.relay_tasks import (
    AttemptResult,
    CancelRelay,
    GetRelayTask,
    ListRelayTasks,
    RelayReason,
    RelayState,
    RelayTaskDetail,
    RelayTaskId,
    ReplayRelay,
    SendRelay,
)
from core.clock import SystemClock
from core.config import load
from core.connect import attach
from core.home import prepare
from core.kernel import Kernel
from core.store import open_store
from tests.support.far_bot import FarBot, far_bot
from tests.support.runtime_core import OPERATOR, core, some
from tests.support.served_core import ServedCore

CONFIG = """
http: {port: 0}
core: {drain_s: 0}
relay:
  attempt_limit_s: 5
  retries_s: [0.05, 0.05]
  schedule_s: []
"""
PEER = """\
  peers: {far: {accept_tokens: [env:FAR_TOKEN]}}
agents:
  main: {runner: scripted, scenario: slow.yaml}
"""
SLOW = """
about: Takes its time.
streamed: false
rules:
  - steps:
      - pause: 60
      - text: "done"
"""


async def _bound(hermes: Hermes, bot: FarBot) -> None:
    far = Bot(name="far", url=bot.url, networks=("127.0.0.0/8",))
    await hermes.execute(AddBinding(platform=ANY_CHAT, chat=ANY_CHAT, bots=(far,)), actor=OPERATOR)


async def _sent(hermes: Hermes, text: str = "hello") -> RelayTaskId:
    receipt = await hermes.execute(SendRelay(to=("far",), text=text), actor=OPERATOR)
    return receipt.tasks[0].id


async def _until(hermes: Hermes, task_id: RelayTaskId, *states: RelayState) -> RelayTaskDetail:
    async def found() -> RelayTaskDetail | None:
        detail = await hermes.query(GetRelayTask(id=task_id))
        return detail if detail.task.state in states else None

    return await some(found)


async def _printed(hermes: Hermes) -> list[str]:
    """The ledger, a line for each message."""
    page = await hermes.query(ListRelayTasks())
    lines = [f"{view.state.value} {view.bot} {view.attempt_count} {view.error}" for view in page.tasks]
    sys.stdout.write("\n".join([*lines, ""]))
    return lines


async def test_five_cancellations_leave_the_breaker_closed(tmp_path: Path) -> None:
    """The ledger shows five messages that were cancelled under way, and a breaker that knows of no failure."""
    async with far_bot() as bot, core(tmp_path, CONFIG) as kernel:
        await _bound(kernel, bot)
        bot.hold.clear()
        for number in range(5):
            bot.arrived.clear()
            task_id = await _sent(kernel, f"number {number}")
            async with asyncio.timeout(10):
                await bot.arrived.wait()
            await kernel.execute(CancelRelay(id=task_id, reason="not needed"), actor=OPERATOR)
        bot.hold.set()
        assert await _printed(kernel) == ["canceled far 1 not needed"] * 5
        target = (await kernel.query(ListTargets())).targets[0]
        sys.stdout.write(f"{target.origin} {target.breaker.state} after {target.breaker.failures} failures\n")
        assert (target.breaker.state, target.breaker.failures) == ("closed", 0)
        await _until(kernel, await _sent(kernel), RelayState.COMPLETED)
        await some(lambda: _all_told(bot))


async def _all_told(bot: FarBot) -> bool | None:
    """The far side was told of each cancellation."""
    return True if sorted(bot.canceled) == sorted(bot.ids[:5]) else None


async def test_a_dead_target_is_tried_given_up_and_reached_by_a_replay(tmp_path: Path) -> None:
    """Three attempts by the plan, a dead message, and once the bot is there it gets it under the same id."""
    async with far_bot() as bot, core(tmp_path, CONFIG) as kernel:
        await _bound(kernel, bot)
        await bot.down()
        task_id = await _sent(kernel)
        detail = await _until(kernel, task_id, RelayState.DEAD)
        assert detail.task.reason is RelayReason.UNDELIVERED
        assert [attempt.result for attempt in detail.attempts] == [AttemptResult.UNDELIVERED] * 3
        assert all("refused" in attempt.error.lower() for attempt in detail.attempts), detail.attempts
        await bot.up()
        await kernel.execute(ReplayRelay(ids=(task_id,)), actor=OPERATOR)
        detail = await _until(kernel, task_id, RelayState.COMPLETED)
        assert bot.ids == [task_id]
        assert len(detail.attempts) == 4


async def test_a_kill_between_the_commit_and_the_call_loses_nothing(tmp_path: Path) -> None:
    """What was taken is sent by the next start, once."""
    home = tmp_path / "home"
    await asyncio.to_thread(_written, home)
    served = ServedCore(home)
    async with far_bot() as bot:
        await served.start()
        hermes = await attach(home)
        await _bound(hermes, bot)
        await hermes.execute(PauseRelay(), actor=OPERATOR)
        ids = [await _sent(hermes, f"number {number}") for number in range(5)]
        await served.kill()
        await served.start()
        hermes = await attach(home)
        try:
            await hermes.execute(ResumeRelay(), actor=OPERATOR)
            for task_id in ids:
                await _until(hermes, task_id, RelayState.COMPLETED)
            assert sorted(bot.ids) == sorted(ids)
        finally:
            await hermes.close()
            await served.kill()


async def test_a_kill_in_the_middle_of_a_call_is_told_and_the_call_made_again(tmp_path: Path) -> None:
    """Nobody knows what came of the attempt, and the books say so; the bot sees the same id twice."""
    home = tmp_path / "home"
    await asyncio.to_thread(_written, home)
    served = ServedCore(home)
    async with far_bot() as bot:
        await served.start()
        hermes = await attach(home)
        await _bound(hermes, bot)
        bot.hold.clear()
        task_id = await _sent(hermes)
        async with asyncio.timeout(10):
            await bot.arrived.wait()
        await _noted(hermes)
        await served.kill()
        bot.hold.set()
        await served.start()
        hermes = await attach(home)
        try:
            detail = await _until(hermes, task_id, RelayState.COMPLETED)
            assert bot.ids == [task_id, task_id]
            assert [attempt.result for attempt in detail.attempts] == [
                AttemptResult.UNKNOWN,
                AttemptResult.DELIVERED,
            ]
        finally:
            await hermes.close()
            await served.kill()


async def _noted(hermes: Hermes) -> None:
    """Until what was noted before is on the disk: a commit comes after it."""
    await hermes.execute(PauseRelay(), actor=OPERATOR)
    await hermes.execute(ResumeRelay(), actor=OPERATOR)


def _written(home: Path) -> None:
    prepare(home)
    (home / "config.yaml").write_text(CONFIG)


async def test_safe_mode_shows_the_relay_and_writes_and_starts_nothing(tmp_path: Path) -> None:
    """What waits is seen, stays as it is, and is sent by the next start that is not safe."""
    async with far_bot() as bot:
        async with core(tmp_path, CONFIG) as kernel:
            await _bound(kernel, bot)
            await kernel.execute(PauseRelay(), actor=OPERATOR)
            task_id = await _sent(kernel)
        before = await _rows(tmp_path)
        kernel = await Kernel.open(tmp_path, await asyncio.to_thread(load, tmp_path, {}), safe_mode="a test")
        try:
            detail = await kernel.query(GetRelayTask(id=task_id))
            assert detail.task.state is RelayState.QUEUED
            assert [target.waiting for target in (await kernel.query(ListTargets())).targets] == [1]
        finally:
            await kernel.stop(0, "over")
        assert await _rows(tmp_path) == before
        assert bot.ids == []


async def _rows(home: Path) -> dict[str, bytes]:
    """What is stored of the relay."""
    store = await open_store("sqlite:core.db", home=home, clock=SystemClock())
    try:
        return {row.key: row.body for row in await store.scan("relay")}
    finally:
        await store.close()


async def test_a_message_of_a_peer_is_stopped_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One order for both directions: the agent's work ends, and the peer is told that it was canceled."""
    monkeypatch.setenv("FAR_TOKEN", "t" * 32)
    (tmp_path / "slow.yaml").write_text(SLOW)
    async with core(tmp_path, CONFIG + PEER) as kernel:
        proof = {"authorization": "Bearer " + "t" * 32}
        async with httpx.AsyncClient(base_url=kernel.gateway.http.url, headers=proof, trust_env=False) as far:
            body = {"task_id": "far-1", "content": "take your time", "status": "working"}
            assert (await far.post("/relay", json=body)).status_code == 202
            task_id = RelayTaskId("far/far-1")
            await kernel.execute(CancelRelay(id=task_id, reason="enough"), actor=OPERATOR)
            await _until(kernel, task_id, RelayState.CANCELED)
            assert (await far.get("/relay/tasks/far-1")).json()["status"] == "canceled"
            with pytest.raises(ConflictError):
                await kernel.execute(CancelRelay(id=task_id), actor=OPERATOR)
