"""Cancelling a turn with tools: whatever it waits for ends at once, and nothing is carried out afterwards."""

import asyncio
from pathlib import Path

import pytest

from core.api.runs import (
    ActionRequested,
    ActionSettled,
    RunReport,
    Stop,
    TextDelta,
    ToolReported,
    ToolStatus,
)
from tests.support.agent_parts import Reading, end_of, turn_request
from tests.support.fake_openai import wants
from tests.support.fake_tools import FakeTools
from tests.support.tool_rig import UPTIME, YES, Rig, StuckTools, calls_of, rig


async def test_cancel_lets_a_question_go(tmp_path: Path) -> None:
    """At once; it is settled before the end, and a yes in the same moment runs nothing."""
    host = FakeTools()
    async with rig(tmp_path, "exec", "ok", host=host) as here:
        reading = Reading(here.runner.turn(turn_request("go")))
        asked = await reading.until(ActionRequested)
        await here.runner.cancel("stop")
        await here.runner.decide(asked.action_id, YES)
        reports = await reading.whole()
    assert (end_of(reports).stop, host.ran) == (Stop.CANCELLED, [])
    assert ActionSettled(action_id=asked.action_id, outcome="withdrawn") in reports
    assert calls_of(reports)[-1].status is ToolStatus.ENDED


async def test_a_cancel_right_after_a_yes_runs_nothing_more(tmp_path: Path) -> None:
    """Whichever is noticed first."""
    host = FakeTools()
    async with rig(tmp_path, "exec", "ok", host=host) as here:
        reading = Reading(here.runner.turn(turn_request("go")))
        asked = await reading.until(ActionRequested)
        assert await here.runner.decide(asked.action_id, YES)
        await here.runner.cancel("stop")
        reports = await reading.whole()
    assert (end_of(reports).stop, host.ran) == (Stop.CANCELLED, [])
    assert not [call for call in {call.id: call for call in calls_of(reports)}.values() if not call.status.is_final]


async def working(here: Rig, host: StuckTools) -> Reading:
    """A turn whose tool runs."""
    reading = Reading(here.runner.turn(turn_request("go")))
    asked = await reading.until(ActionRequested)
    await here.runner.decide(asked.action_id, YES)
    async with asyncio.timeout(20):
        await host.has_begun.wait()
    return reading


async def test_cancel_ends_a_tool_that_runs(tmp_path: Path) -> None:
    """Its end is waited for."""
    host = StuckTools()
    async with rig(tmp_path, "exec", "ok", host=host) as here:
        reading = await working(here, host)
        await here.runner.cancel("stop")
        reports = await reading.whole()
    assert host.was_ended
    assert end_of(reports).stop is Stop.CANCELLED
    assert calls_of(reports)[-1].status is ToolStatus.ENDED
    assert len(here.server.requests) == 1


async def test_a_reader_that_leaves_ends_a_tool_that_runs(tmp_path: Path) -> None:
    """Nothing stays behind, and the runner takes another turn."""
    host = StuckTools()
    async with rig(tmp_path, "exec", "ok", host=host) as here:
        reading = await working(here, host)
        await reading.leave()
        assert host.was_ended
        assert end_of(await here.turn()).stop is Stop.END_TURN


async def test_a_cancel_by_whoever_reads_the_question_ends_the_turn(tmp_path: Path) -> None:
    """It has not begun to wait for the answer then, and must not."""
    reports: list[RunReport] = []
    async with rig(tmp_path, "exec", "ok") as here, asyncio.timeout(20):
        async for report in here.runner.turn(turn_request("go")):
            reports.append(report)
            if isinstance(report, ActionRequested):
                await here.runner.cancel("stop")
    assert end_of(reports).stop is Stop.CANCELLED
    assert any(isinstance(report, ActionSettled) for report in reports)


async def test_a_second_question_waits_for_an_answer_of_its_own(tmp_path: Path) -> None:
    """That of the first is not taken for it, however late the second's comes."""
    host = FakeTools()
    async with rig(tmp_path, wants(UPTIME, UPTIME | {"id": "call_b"}), "ok", host=host) as here:
        reading = Reading(here.runner.turn(turn_request("go")))
        first = await reading.until(ActionRequested)
        await here.runner.decide(first.action_id, YES)
        second = await reading.until(ActionRequested, lambda asked: asked.action_id != first.action_id)
        for _ in range(20):
            await asyncio.sleep(0)
        assert not await here.runner.decide(first.action_id, YES)
        assert [report.action_id for report in reading.reports if isinstance(report, ActionSettled)] == [
            first.action_id
        ]
        assert len(host.ran) == 1
        assert await here.runner.decide(second.action_id, YES)
        assert end_of(await reading.whole()).stop is Stop.END_TURN
    assert len(host.ran) == 2


@pytest.mark.parametrize("moment", [ToolStatus.PENDING, ToolStatus.IN_PROGRESS])
async def test_a_cancel_between_two_reports_runs_nothing(tmp_path: Path, moment: ToolStatus) -> None:
    """Whoever reads may cancel before the turn goes on: it must notice by itself."""
    host = FakeTools()
    reports: list[RunReport] = []
    async with rig(tmp_path, "exec", "ok", host=host) as here, asyncio.timeout(20):
        async for report in here.runner.turn(turn_request("go")):
            reports.append(report)
            if isinstance(report, ActionRequested):
                await here.runner.decide(report.action_id, YES)
            if isinstance(report, ToolReported) and report.call.status is moment:
                await here.runner.cancel("stop")
    assert (end_of(reports).stop, host.ran) == (Stop.CANCELLED, [])
    assert calls_of(reports)[-1].status is ToolStatus.ENDED


async def test_cancel_drops_the_request_of_a_later_round(tmp_path: Path) -> None:
    """The tool has run, its result was told, and nobody waits for the answer."""
    host = FakeTools()
    async with rig(tmp_path, wants(UPTIME), "silent", host=host) as here:
        reading = Reading(here.runner.turn(turn_request("go")))
        asked = await reading.until(ActionRequested)
        await here.runner.decide(asked.action_id, YES)
        await reading.until(TextDelta)
        await here.runner.cancel("stop")
        reports = await reading.whole()
        async with asyncio.timeout(20):
            await here.server.hung_up.wait()
    assert (end_of(reports).stop, len(host.ran)) == (Stop.CANCELLED, 1)
    assert calls_of(reports)[-1].status is ToolStatus.COMPLETED
