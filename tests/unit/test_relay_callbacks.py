"""Answers told at callbacks: signed, tried again, over a restart, with an end, and nobody in anybody's way."""

import asyncio
import json
from typing import Any

from core.api.relay_tasks import AttemptResult, RelayAttemptFailed, RelayDelivered, RelayState
from core.relay import signing
from core.relay.callback import WAITS_S
from core.relay.web import WebAnswer
from core.relay_settings import PeerSettings
from core.secrets import Secret
from core.store.memory import MemoryStore
from tests.support.clocks import FakeClock
from tests.support.journals import until_idle
from tests.support.relay_inbound import CALLBACK, NEW_KEY, PEERS, Rig, a_message, failed, receiving, unreachable


async def answered(rig: Rig, wire_id: str = "m-1") -> None:
    """A message of the peer that wants to be told, and its answer."""
    await rig.inbound.take(a_message("cyd", wire_id))
    await until_idle()
    await rig.workers.end("42", wire_id=f"cyd/{wire_id}")
    await until_idle()


async def test_an_answer_is_posted_once_signed_and_to_that_network_alone() -> None:
    """As a response of HotPlex; the detail shows the attempt."""
    async with receiving() as rig:
        await answered(rig)
        [(url, headers, body, networks)] = rig.web.calls
        assert (url, list(networks)) == (CALLBACK, ["10.0.0.0/8"])
        said = json.loads(body)
        assert (said["task_id"], said["status"], said["content"]) == ("m-1", "completed", "42")
        key = signing.key_bytes(Secret(NEW_KEY))
        assert signing.fitting([key], headers, body, rig.clock.now(), 300.0) == [True]
        task = await rig.task("cyd")
        assert [(item.number, item.result, item.status) for item in task.attempts] == [
            (1, AttemptResult.DELIVERED, 200)
        ]
        assert (task.state, task.is_untold) == (RelayState.COMPLETED, False)
        assert len(rig.events(RelayDelivered)) == 1


async def test_who_wants_to_ask_is_not_called() -> None:
    """Without a callback there is no attempt."""
    async with receiving() as rig:
        await rig.inbound.take(a_message())
        await until_idle()
        await rig.workers.end()
        assert rig.web.calls == []
        assert not (await rig.task()).is_untold


async def test_a_callback_that_fails_is_tried_again_with_growing_waits() -> None:
    """Until it takes the answer; the view says when the next is."""
    async with receiving() as rig:
        rig.web.answers = [unreachable(), failed(503), failed(429, 100.0)]
        await answered(rig)
        waits: list[float] = []
        while (task := await rig.task("cyd")).due is not None:
            waits.append(task.due.mono - rig.clock.monotonic())
            await rig.clock.advance(waits[-1])
            await until_idle()
        assert waits == [WAITS_S[0], WAITS_S[1], 100.0]
        assert [item.status for item in (await rig.task("cyd")).attempts] == [0, 503, 429, 200]
        assert len(rig.events(RelayAttemptFailed)) == 3


async def test_a_callback_that_does_not_want_it_is_left_alone() -> None:
    """A refusal is final; so is 410."""
    for status in (400, 404, 410):
        async with receiving() as rig:
            rig.web.answers = [failed(status)]
            await answered(rig)
            await rig.clock.advance(WAITS_S[-1] * 2)
            assert len(rig.web.calls) == 1
            task = await rig.task("cyd")
            assert (task.is_untold, task.state, task.attempts[-1].status) == (False, RelayState.COMPLETED, status)


async def test_an_answer_that_was_not_told_is_told_by_the_next_start() -> None:
    """It is the same answer, and the attempts go on where they were."""
    store, clock = MemoryStore(), FakeClock()
    async with receiving(store, clock) as first:
        first.web.answers = [unreachable()]
        await answered(first)
    async with receiving(store, clock) as second:
        await until_idle()
        [(_, _, body, _)] = second.web.calls
        assert json.loads(body)["content"] == "42"
        assert [item.number for item in (await second.task("cyd")).attempts] == [1, 2]
    async with receiving(store, clock) as third:
        await until_idle()
        assert third.web.calls == []


async def test_telling_ends_at_the_deadline() -> None:
    """The message keeps what came of it."""
    async with receiving(deadline_s=60.0) as rig:
        rig.web.answers = [unreachable() for _ in range(50)]
        await answered(rig)
        for _ in range(20):
            await rig.clock.advance(40.0)
            await until_idle()
        task = await rig.task("cyd")
        assert (task.is_untold, task.due, task.state) == (False, None, RelayState.COMPLETED)
        assert 3 <= len(task.attempts) <= 6


async def test_nothing_is_told_while_the_relay_is_paused() -> None:
    """And all of it when it goes on."""
    async with receiving() as rig:
        rig.is_paused = True
        await rig.inbound.take(a_message("cyd"))
        await until_idle()
        await rig.workers.end("42")
        assert rig.web.calls == []
        rig.is_paused = False
        await rig.clock.advance(5.0)
        await until_idle()
        assert len(rig.web.calls) == 1


async def test_a_callback_that_hangs_holds_nobody_up() -> None:
    """Messages are taken and answered meanwhile."""
    async with receiving() as rig:
        rig.web.blocked = asyncio.Event()
        await answered(rig)
        await rig.inbound.take(a_message("ana", "m-2"))
        await until_idle()
        await rig.workers.end("43", wire_id="ana/m-2")
        assert (await rig.task("ana", "m-2")).answer == "43"
        rig.web.blocked.set()
        await until_idle()
        assert not (await rig.task("cyd")).is_untold


async def test_an_answer_that_is_late_is_told_though_the_failure_was_told_before() -> None:
    """Also when it comes while the failure is being told, and for as long as any other answer."""
    async with receiving(deadline_s=60.0) as rig:
        await rig.inbound.take(a_message("cyd"))
        await until_idle()
        rig.web.blocked = asyncio.Event()
        await rig.workers.end("", state=RelayState.FAILED, error="no model")
        await rig.workers.end("42")
        rig.web.blocked.set()
        await rig.clock.advance(0.0)
        await until_idle()
        assert [_said(body) for _, _, body, _ in rig.web.calls] == [("failed", ""), ("completed", "42")]
        assert not (await rig.task("cyd")).is_untold
    async with receiving(deadline_s=60.0) as rig:
        await rig.inbound.take(a_message("cyd"))
        await until_idle()
        await rig.workers.end("", state=RelayState.FAILED, error="no model")
        await rig.clock.advance(100.0)
        rig.web.answers = [unreachable()]
        await rig.workers.end("42")
        assert (await rig.task("cyd")).is_untold
        await rig.clock.advance(WAITS_S[1])
        await until_idle()
        assert [_said(body) for _, _, body, _ in rig.web.calls] == [("failed", ""), *[("completed", "42")] * 2]


async def test_a_callback_that_hangs_holds_no_other_peer_up() -> None:
    """Each is told on its own."""
    others = {"dan": PeerSettings(keys=("env:OLD",), callback="http://10.9.9.9/answers"), "cyd": PEERS["cyd"]}
    async with receiving(peers=others) as rig:
        hangs, call = asyncio.Event(), rig.web.call

        async def slow(method: str, url: str, **rest: Any) -> WebAnswer:
            if url == CALLBACK:
                await hangs.wait()
            return await call(method, url, **rest)

        rig.web.call = slow  # type: ignore[method-assign]
        await answered(rig)
        await rig.inbound.take(a_message("dan", "m-2"))
        await until_idle()
        await rig.workers.end("43", wire_id="dan/m-2")
        assert not (await rig.task("dan", "m-2")).is_untold
        assert (await rig.task("cyd")).is_untold
        hangs.set()
        await until_idle()
        assert not (await rig.task("cyd")).is_untold


def _said(body: bytes) -> tuple[str, str]:
    said = json.loads(body)
    return said["status"], said.get("content", "")
