"""ACP agents that break every rule: the turn ends once, nothing is granted by mistake, nothing is left behind."""

import asyncio
import json
import sys
from typing import Any

import pytest

from core.agents.open_requests import OPEN_LIMIT
from core.agents.runner import Decision, Runner
from core.api.errors import Unavailable
from core.api.runs import ActionRequested, Stop, ToolReported
from tests.support import lying_agent
from tests.support.acp_runners import NO, YES, AcpRunners, asking, remarks, said, settled
from tests.support.agent_parts import KEY, end_of, text_of
from tests.support.lying_agent import ENDS, asks, update
from tests.support.lying_agent import said as says
from tests.support.programs import ended


def liar(acp: AcpRunners, *lines: str, **more: Any) -> Runner:
    """A runner of an agent that answers a prompt with these lines."""
    steps = {"session/prompt": list(lines)}
    if "new" in more:
        steps["session/new"] = more.pop("new")
    return acp.make(command=(sys.executable, "-SE", lying_agent.__file__, json.dumps(steps)), **more)


async def lies(acp: AcpRunners, *lines: str, **more: Any) -> Runner:
    """The same, open."""
    runner = liar(acp, *lines, **more)
    await runner.open()
    return runner


@pytest.mark.parametrize(
    "line",
    [
        "\udcff\udcfe not UTF-8 \udcc3",
        '{"method":"session/update","params":{"sessionId":"s","update":' + "[" * 5_000 + "]" * 5_000 + "}}",
        '{"jsonrpc":"2.0","id":' + "9" * 5_000 + ',"method":"session/request_permission","params":{}}',
        '{"jsonrpc":"2.0","id":99,"result":{}}',
        '{"jsonrpc":"2.0","id":"0","error":{"code":"x","message":7}}',
        '{"jsonrpc":"2.0","id":null,"result":null}',
        '{"jsonrpc":"2.0","id":5,"method":"session/update","params":{"sessionId":"s"}}',
        '{"jsonrpc":"2.0","id":{"a":1},"method":"fs/read_text_file","params":[1]}',
        '{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","update":{"sessionUpdate":["x"]}}}',
        '{"jsonrpc":"2.0","method":"$/cancel_request","params":{"requestId":NaN}}',
        update({"sessionUpdate": "usage_update", "used": 10**400, "size": 10**30}),
        update({"sessionUpdate": "tool_call", "toolCallId": "x" * 100_000}),
        update({"sessionUpdate": "tool_call", "toolCallId": 7, "rawInput": "\ud800"}),
        update({"sessionUpdate": "plan", "entries": [{"content": None}, 3]}),
        "\0\0\0",
        "null",
    ],
)  # fmt: skip
async def test_no_line_breaks_a_turn(line: str, acp: AcpRunners) -> None:
    """What cannot be used is left out, and what follows is heard."""
    reports = await said(await lies(acp, line, says("still here \0"), ENDS), "go")
    assert text_of(reports) == "still here \0"
    assert end_of(reports).stop is Stop.END_TURN


@pytest.mark.parametrize("request_id", ["1.5", '"x"', "true", "[1]", "-1", "1e999", "123456789012345678901234567890"])
async def test_ids_of_any_kind_are_answered_once(request_id: str, acp: AcpRunners) -> None:
    """Also those that the protocol does not have."""
    runner = await lies(acp, asks(request_id), "!wait", ENDS)
    reading, action = await asking(runner, "go")
    assert await runner.decide(action.action_id, YES)
    assert not await runner.decide(action.action_id, YES)
    reports = await reading.whole()
    assert settled(reports) == [(action.action_id, "approved")]
    assert end_of(reports).stop is Stop.END_TURN


async def test_an_endless_id_is_denied(acp: AcpRunners) -> None:
    """It would be kept, stored and shown with everything that goes by it."""
    reports = await said(await lies(acp, asks('"' + "x" * 100_000 + '"'), "!wait", ENDS), "go")
    assert not [report for report in reports if isinstance(report, ActionRequested)]
    assert "letters" in "".join(remarks(reports, "warning"))


async def test_a_request_without_options_cannot_be_allowed(acp: AcpRunners) -> None:
    """A yes to it is no answer that the agent could take for one."""
    runner = await lies(acp, asks("1", options=[]), "!wait", ENDS)
    reading, action = await asking(runner, "go")
    assert action.options == ()
    assert not await runner.decide(action.action_id, Decision(allow=True, option_id=""))
    assert settled(await reading.whole()) == [(action.action_id, "withdrawn")]


async def test_options_of_the_same_id_are_one(acp: AcpRunners) -> None:
    """The first: a later one of another meaning must not be what a no picks."""
    options = [
        {"optionId": "same", "name": "Deny", "kind": "reject_once"},
        {"optionId": "same", "name": "Yes, for good", "kind": "allow_always"},
        *({"optionId": f"o{number}", "kind": "allow_once"} for number in range(1_000)),
    ]
    runner = await lies(acp, asks("1", options=options), "!wait", ENDS)
    reading, action = await asking(runner, "go")
    assert len(action.options) == 1_001
    assert not action.options[0].kind.allows
    assert await runner.decide(action.action_id, Decision(allow=True, option_id="same"))
    assert settled(await reading.whole()) == [(action.action_id, "denied")]


async def test_many_requests_for_one_call_are_told_apart(acp: AcpRunners) -> None:
    """The name of the call is the agent's own affair; a decision reaches its own request."""
    runner = await lies(acp, asks("1"), asks("2", {"toolCallId": "c", "rawInput": {"command": "rm"}}))
    reading, first = await asking(runner, "go")
    second = await reading.until(ActionRequested, lambda found: found.action_id != first.action_id)
    assert (first.target, second.target) == ("ls", "rm")
    assert await runner.decide(second.action_id, NO)
    assert await runner.decide(first.action_id, YES)
    await runner.cancel("enough")
    await runner.close()
    assert settled(await reading.whole()) == [(second.action_id, "denied"), (first.action_id, "approved")]


async def test_a_turn_that_ends_before_its_permission_leaves_nothing_open(acp: AcpRunners) -> None:
    """And what it says after its end belongs to nobody."""
    reports = await said(await lies(acp, asks("1"), ENDS, says("too late"), asks("2")), "go")
    assert [outcome for _, outcome in settled(reports)] == ["expired"]
    assert text_of(reports) == ""
    assert end_of(reports).stop is Stop.END_TURN


async def test_more_requests_than_anybody_answers_are_denied(acp: AcpRunners) -> None:
    """Those beyond the bound; none is lost without an answer."""
    lines = [asks(str(number)) for number in range(OPEN_LIMIT + 10)]
    reports = await said(await lies(acp, *lines, ENDS), "go")
    assert len([report for report in reports if isinstance(report, ActionRequested)]) == OPEN_LIMIT
    assert len(settled(reports)) == OPEN_LIMIT


async def test_contents_of_calls_are_kept_up_to_a_bound(acp: AcpRunners) -> None:
    """Calls grow no memory without end; each is still told."""
    runner = acp.make(command=(sys.executable, "-SEc", _BIG_CALLS))
    await runner.open()
    reports = await said(runner, "go")
    assert len({report.call.id for report in reports if isinstance(report, ToolReported)}) == 4
    assert remarks(reports, "warning") == ["contents of a tool call are left out: they are too much for one turn"] * 2


_BIG_CALLS = """
import json, sys
def send(found): print(json.dumps({"jsonrpc": "2.0"} | found), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    match asked["method"]:
        case "initialize": send({"id": asked["id"], "result": {"protocolVersion": 1}})
        case "session/new": send({"id": asked["id"], "result": {"sessionId": "s"}})
        case _:
            for number in range(4):
                call = {"sessionUpdate": "tool_call", "toolCallId": str(number), "rawInput": "x" * 12_000_000}
                send({"method": "session/update", "params": {"sessionId": "s", "update": call}})
            send({"id": asked["id"], "result": {"stopReason": "end_turn"}})
"""


async def test_a_line_without_an_end_counts_when_the_agent_goes(acp: AcpRunners) -> None:
    """It was the last thing that it said."""
    bye = f"            sys.stdout.write({says('bye')!r}); sys.stdout.flush(); raise SystemExit(3)"
    program = _BIG_CALLS.replace("        case _:", f"        case _:\n{bye}")
    last = await acp.open(command=(sys.executable, "-SEc", program))
    reports = await said(last, "go")
    assert text_of(reports) == "bye"
    assert (end_of(reports).stop, end_of(reports).error) == (Stop.DIED, "exit code 3")


@pytest.mark.parametrize("order", ["!close", "!exit 0", "!flood 34000000"])
async def test_an_agent_that_goes_while_it_asks_ends_the_turn(order: str, acp: AcpRunners) -> None:
    """Also one that only closes its output, or says something that never ends: nobody waits for its deadline."""
    runner = await lies(acp, asks("1"), order, "!wait")
    reading, action = await asking(runner, "go")
    reports = await reading.whole()
    assert end_of(reports).stop is Stop.DIED
    assert not await runner.decide(action.action_id, YES)
    assert not runner.is_alive


async def test_noise_without_line_ends_is_bounded_and_read(acp: AcpRunners) -> None:
    """On standard error, where it would block the agent."""
    reports = await said(await lies(acp, "!noise 3000000", says("done"), ENDS), "go")
    assert text_of(reports) == "done"


async def test_an_agent_that_ends_after_its_first_answer_does_not_open(acp: AcpRunners) -> None:
    """With an exit code that says that all is well."""
    runner = liar(acp, new=["!exit 0"])
    with pytest.raises(Unavailable, match="ended at its start: exit code 0"):
        await runner.open()
    assert not runner.is_alive


async def test_an_error_of_the_start_quotes_no_secret(acp: AcpRunners) -> None:
    """Neither in its words nor in its facts."""
    error = {"code": -32000, "message": f"no login with {KEY}"}
    steps = [json.dumps({"jsonrpc": "2.0", "id": "N", "error": error}).replace('"N"', "ID")]
    runner = liar(acp, new=steps)
    with pytest.raises(Unavailable) as caught:
        await runner.open()
    assert KEY not in f"{caught.value} {caught.value.facts}"


async def test_what_an_agent_quotes_of_its_key_is_masked(acp: AcpRunners, monkeypatch: pytest.MonkeyPatch) -> None:
    """In text, calls, remarks and its last words; and it has nothing of the core's own variables."""
    monkeypatch.setenv("HERMES_SECRET_X", "of-the-core-0000")
    runner = await lies(acp, "!environment", "!exit 4")
    reports = await said(runner, "go")
    whole = repr(reports) + repr(dict(runner.describe()))
    assert KEY not in whole
    assert "of-the-core-0000" not in whole
    assert "***" in text_of(reports)
    assert "stderr ***" in end_of(reports).error
    assert [report.call.title for report in reports if isinstance(report, ToolReported)] == ["***"]


async def test_an_agent_whose_start_is_given_up_is_gone(acp: AcpRunners) -> None:
    """It never answered."""
    runner = liar(acp, new=[])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await runner.open()
    await ended(int(runner.describe()["pid"]))
