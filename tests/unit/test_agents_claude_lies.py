"""Programs behind the claude_cli runner that break every rule."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from core.agent_settings import ClaudeCliSettings
from core.agents.adapters.claude_cli import ClaudeCliRunner
from core.api.policies import ExecutionPolicy, Runtime
from core.api.runs import ActionRequested, ActionSettled, RunReport, Stop
from core.clock import SystemClock
from tests.support.agent_parts import KEY, MAIN, Reading, collected, end_of, runner_context, text_of, turn_request
from tests.support.tool_rig import YES

POLICY = ExecutionPolicy(runtime_type=Runtime.PROCESS)
DONE = '{"type":"result","subtype":"success","result":"done"}'
PROGRAM = """
import json, os, sys, time
for line in sys.stdin:
    found = json.loads(line)
    if found["type"] == "control_request":
        response = {"subtype": "success", "request_id": found["request_id"], "response": {}}
        print(json.dumps({"type": "control_response", "response": response}), flush=True)
    elif found["type"] == "user":
        for line in json.loads(LINES):
            if line == "!environment":
                print(json.dumps({"type": "assistant", "message": {"content": [
                    {"type": "text", "text": json.dumps(dict(os.environ))}]}}))
                print("no JSON " + os.environ["AGENT_KEY"], flush=True)
                print("noise " + os.environ["AGENT_KEY"], file=sys.stderr, flush=True)
            elif line == "!die":
                os._exit(5)
            elif line == "!close":
                sys.stdout.flush()
                os.close(1)
                time.sleep(300)
            elif line == "!wait":
                sys.stdout.flush()
                sys.stdin.readline()
            else:
                os.write(1, line.encode(errors="surrogateescape") + b"\\n")
        sys.stdout.flush()
"""


def asks(request_id: str, **given: object) -> str:
    """A request to use a tool."""
    request = {"subtype": "can_use_tool", "tool_name": "Bash", "input": {"command": "ls"} | given}
    return json.dumps({"type": "control_request", "request_id": request_id, "request": request})


@asynccontextmanager
async def liar(home: Path, *lines: str) -> AsyncIterator[ClaudeCliRunner]:
    """A runner of a program that answers a message with these lines."""
    program = f"LINES = {json.dumps(list(lines))!r}\n{PROGRAM}"
    settings = ClaudeCliSettings(command=(sys.executable, "-SEc", program), secrets={"AGENT_KEY": "env:KEY"})
    context = msgspec.structs.replace(runner_context(SystemClock(), home), policy=POLICY)
    runner = ClaudeCliRunner(MAIN, settings, context)
    await runner.open()
    try:
        yield runner
    finally:
        await runner.close()


async def said(runner: ClaudeCliRunner) -> list[RunReport]:
    """All reports of a turn."""
    return await Reading(runner.turn(msgspec.structs.replace(turn_request("go"), policy=POLICY))).whole()


@pytest.mark.parametrize(
    "line",
    [
        "\udcff\udcfe",
        "[" * 100_000,
        "null",
        '{"type":{"a":1}}',
        '{"type":"assistant","message":{"content":[7,{"type":"tool_use","id":3,"name":["x"],"input":"y"}]}}',
        '{"type":"user","message":{"content":{"tool_use_id":[]}}}',
        '{"type":"stream_event","event":{"type":"content_block_delta","delta":{"thinking":"\\ud800"}}}',
        '{"type":"control_response","response":{"request_id":"console-99"}}',
        '{"type":"control_request","request_id":7,"request":{"subtype":"can_use_tool"}}',
        '{"type":"control_cancel_request","request_id":["x"]}',
        '{"type":"system","subtype":"' + "x" * 100_000 + '"}',
    ],
)
async def test_no_line_breaks_a_turn(line: str, tmp_path: Path) -> None:
    """What cannot be used is left out, and what follows is heard."""
    async with liar(tmp_path, line, DONE) as runner:
        reports = await said(runner)
    assert text_of(reports) == "done"
    assert end_of(reports).stop is Stop.END_TURN
    msgspec.json.encode(reports)


async def test_a_request_with_broken_bytes_is_asked_and_answered(tmp_path: Path) -> None:
    """What goes back with a yes is what was shown."""
    line = asks("r1").replace('"ls"', '"ls \\ud800 \udcff"')
    async with liar(tmp_path, line, "!wait", DONE) as runner:
        reading = Reading(runner.turn(msgspec.structs.replace(turn_request("go"), policy=POLICY)))
        action = await reading.until(ActionRequested)
        assert action.target == "ls ? \ufffd"
        assert await runner.decide(action.action_id, YES)
        assert end_of(await reading.whole()).stop is Stop.END_TURN


async def test_an_id_that_is_used_again_is_another_request(tmp_path: Path) -> None:
    """A yes to what was taken back must not let through what came in its place."""
    back = '{"type":"control_cancel_request","request_id":"r1"}'
    lines = [asks("r1"), back, asks("r1", command="rm -r build"), "!wait", DONE]
    async with liar(tmp_path, *lines) as runner:
        reading = Reading(runner.turn(msgspec.structs.replace(turn_request("go"), policy=POLICY)))
        first = await reading.until(ActionRequested)
        second = await reading.until(ActionRequested, lambda found: found.target == "rm -r build")
        assert not await runner.decide(first.action_id, YES)
        assert await runner.decide(second.action_id, YES)
        reports = await reading.whole()
    outcomes = [(item.action_id, item.outcome) for item in reports if isinstance(item, ActionSettled)]
    assert outcomes == [(first.action_id, "withdrawn"), (second.action_id, "approved")]


async def test_an_endless_id_is_denied(tmp_path: Path) -> None:
    """It would be kept, stored and shown with everything that goes by it."""
    async with liar(tmp_path, asks("x" * 100_000), asks(""), asks("r1#2"), DONE) as runner:
        assert not [report for report in await said(runner) if isinstance(report, ActionRequested)]


@pytest.mark.parametrize("order", ["!close", "!die"])
async def test_a_program_that_goes_while_it_asks_ends_the_turn(order: str, tmp_path: Path) -> None:
    """Also one that only closes its output."""
    async with liar(tmp_path, asks("r1"), order) as runner:
        reports = await said(runner)
        assert end_of(reports).stop is Stop.DIED
        assert not runner.is_alive


async def test_what_a_program_quotes_of_its_key_is_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In text, remarks and its last words; and it has nothing of the core's own variables."""
    monkeypatch.setenv("HERMES_SECRET_X", "of-the-core-0000")
    async with liar(tmp_path, "!environment", "!die") as runner:
        reports = await collected(runner, msgspec.structs.replace(turn_request("go"), policy=POLICY))
        whole = repr(reports) + repr(dict(runner.describe()))
    assert KEY not in whole
    assert "of-the-core-0000" not in whole
    assert "***" in text_of(reports)
    assert "noise ***" in end_of(reports).error
