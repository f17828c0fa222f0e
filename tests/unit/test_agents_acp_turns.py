"""Turns of agents behind ACP: what they tell, what they are told, how they end."""

import asyncio
import json

import msgspec
import pytest

from core.api.base import EntryId
from core.api.errors import Unavailable
from core.api.runs import (
    ModeReported,
    PlanReported,
    RunReport,
    Stop,
    ToolReported,
    UsageReported,
)
from core.api.sessions import Voice
from core.api.transcripts import EntryKind, EntryView
from tests.support.acp_runners import AcpRunners, remarks, said, settled
from tests.support.agent_parts import (
    Reading,
    collected,
    end_of,
    text_of,
    turn_request,
)


def entry(kind: EntryKind, text: str) -> EntryView:
    """Something that was said before."""
    return EntryView(id=EntryId(text), at=0.0, kind=kind, author="x", text=text)


async def test_what_is_not_known_is_a_remark(acp: AcpRunners) -> None:
    """Updates, nonsense, answers to nobody, odd letters and numbers: the turn goes on."""
    reports = await said(await acp.open(), "odd")
    assert end_of(reports).stop is Stop.END_TURN
    assert text_of(reports) == "\U0001f600half ? 1"
    assert len(remarks(reports, "warning")) == 3
    assert any("dance" in remark for remark in remarks(reports, "debug"))


async def test_files_terminals_and_forms_are_not_offered(acp: AcpRunners) -> None:
    """An agent that asks for them is refused, and nothing hangs."""
    assert text_of(await said(await acp.open(), "wants_files")) == "-32601,-32601,-32601"


async def test_a_plan_is_replaced_and_put_together(acp: AcpRunners) -> None:
    """The last one is what is left."""
    reports = await said(await acp.open(), "plan")
    plans = [[step.text for step in report.steps] for report in reports if isinstance(report, PlanReported)]
    # What is not read in time gives way to what is newer.
    assert all(plan in (["look", "leap"], ["leap"], ["leap", "look"]) for plan in plans)
    assert plans[-1] == ["leap"]


async def test_tokens_and_money_are_those_of_the_turn(acp: AcpRunners) -> None:
    """Though the agent adds up over its session."""
    runner = await acp.open()
    for _ in range(2):
        reports = await said(runner, "usage")
        usage = end_of(reports).usage
        assert (usage.input_tokens, usage.output_tokens) == (300, 100)
        assert (usage.context_tokens, usage.context_limit) == (4_000, 200_000)
        assert usage.cost_usd == pytest.approx(0.1)
        assert [report.usage.context_tokens for report in reports if isinstance(report, UsageReported)] == [4_000]


async def test_a_noisy_agent_and_a_flood_lose_nothing(acp: AcpRunners) -> None:
    """Standard error is drained; a reader that is slow holds the agent and not the memory."""
    runner = await acp.open()
    assert text_of(await said(runner, "noisy")) == "still here"
    count = 3_000
    reports: list[RunReport] = []
    async with asyncio.timeout(20):
        async for report in runner.turn(turn_request(f"flood {count}")):
            reports.append(report)
            if len(reports) % 50 == 0:
                await asyncio.sleep(0)
    assert text_of(reports) == "".join(f"{number} " for number in range(count))
    assert len([report for report in reports if isinstance(report, ToolReported)]) == count


@pytest.mark.parametrize(
    ("reason", "stop"),
    [("max_tokens", Stop.MAX_TOKENS), ("max_turn_requests", Stop.MAX_TURNS), ("refusal", Stop.REFUSAL)],
)
async def test_reasons_of_an_end_are_kept(acp: AcpRunners, reason: str, stop: Stop) -> None:
    """Each in our words."""
    assert end_of(await said(await acp.open(), f"stops {reason}")).stop is stop


async def test_an_end_for_an_unknown_reason_is_no_answer(acp: AcpRunners) -> None:
    """It is an error that names the reason."""
    end = end_of(await said(await acp.open(), "invents"))
    assert (end.stop, end.code) == (Stop.ERROR, "protocol")
    assert "bored" in end.error


async def test_a_prompt_that_is_refused_spoils_the_session_and_not_the_runner(acp: AcpRunners) -> None:
    """The next turn begins another session, and says again what was said."""
    runner = await acp.open(system_prompt="Be brief.")
    end = end_of(await said(runner, "fails"))
    assert (end.stop, end.code) == (Stop.ERROR, "agent_error")
    assert end.error == "Internal error: the provider says no (-32603)"
    blocks = json.loads(text_of(await said(runner, "prompt", history=[entry(EntryKind.USER, "fails")])))
    assert [block["text"].splitlines()[0] for block in blocks] == [
        "[instructions for this conversation]",
        "[this conversation began before you joined it; so far it went]",
        "prompt",
    ]


async def test_the_first_prompt_says_what_the_agent_cannot_know(acp: AcpRunners) -> None:
    """Instructions and history once, marked; afterwards new messages alone."""
    runner = await acp.open(system_prompt="Be brief.")
    history = [
        entry(EntryKind.SUMMARY, "they met"),
        entry(EntryKind.USER, "hello"),
        entry(EntryKind.AGENT, "hi"),
        entry(EntryKind.TOOL, "left out"),
        entry(EntryKind.NOTE, "be nice"),
    ]
    told = [
        "[this conversation began before you joined it; so far it went]",
        *("summary of what came before: they met", "user: hello", "you: hi", "operator: be nice"),
        "[end of what was said so far]",
    ]
    first = json.loads(text_of(await said(runner, "prompt", history=history, extra_system_prompt="Rhyme.")))
    assert [block["text"] for block in first] == [
        "[instructions for this conversation]\nBe brief.\n[end of the instructions]",
        "[further instructions]\nRhyme.\n[end of the further instructions]",
        "\n\n".join(told),
        "prompt",
    ]
    second = json.loads(text_of(await said(runner, "prompt", history=history, extra_system_prompt="Rhyme.")))
    assert [block["text"] for block in second] == ["prompt"]
    noted = turn_request("prompt", voice=Voice.NOTE)
    third = json.loads(text_of(await collected(runner, noted)))
    assert [block["text"] for block in third] == ["[note from the operator] prompt"]


async def test_another_epoch_is_another_session(acp: AcpRunners) -> None:
    """The agent is told nothing of what was reset."""
    runner = await acp.open(system_prompt="Be brief.")
    await said(runner, "answer")
    blocks = json.loads(text_of(await said(runner, "prompt", epoch=1)))
    assert [block["text"].splitlines()[-1] for block in blocks] == ["[end of the instructions]", "prompt"]


async def test_mode_and_model_are_set_where_the_agent_lets_us(acp: AcpRunners) -> None:
    """The model for each turn; a mode in which it does not ask is said to be one."""
    runner = await acp.open(session_mode="dont_ask", model="large")
    reports = await said(runner, "settings")
    assert text_of(reports) == "dont_ask large"
    assert [report for report in reports if isinstance(report, ModeReported)] == [
        ModeReported(mode="dont_ask", asks=False)
    ]
    assert text_of(await said(runner, "settings", model="small")) == "dont_ask small"
    assert text_of(await said(runner, "settings")) == "dont_ask large"
    assert not remarks(reports, "warning")
    assert runner.describe()["mode"] == "dont_ask"
    changed = [report for report in await said(runner, "mode default") if isinstance(report, ModeReported)]
    assert changed[-1] == ModeReported(mode="default", asks=True)


@pytest.mark.parametrize("option", ["--refuses", "--plain"])
async def test_a_mode_or_model_that_cannot_be_set_is_said(acp: AcpRunners, option: str) -> None:
    """As warnings; the agent works on as it is."""
    reports = await said(await acp.open(option, session_mode="dont_ask", model="large"), "settings")
    assert text_of(reports) == "default small"
    assert ["dont_ask" in remark for remark in remarks(reports, "warning")] == [True, False]


async def test_a_turn_can_be_cancelled_before_its_prompt(acp: AcpRunners) -> None:
    """An agent that does not answer what comes before it holds nobody; the prompt is never sent."""
    runner = await acp.open("--slow")
    reading = Reading(runner.turn(msgspec.structs.replace(turn_request("prompt"), model="large")))
    for _ in range(5):
        await asyncio.sleep(0)
    await runner.cancel("enough")
    reports = await reading.whole()
    assert end_of(reports).stop is Stop.CANCELLED
    assert text_of(reports) == ""
    assert text_of(await said(runner, "answer")) == "You said: nothing"


async def test_an_agent_that_dies_before_its_prompt_ends_the_turn(acp: AcpRunners) -> None:
    """As died, like at any other time."""
    end = end_of(await said(await acp.open("--fragile"), "answer", model="large"))
    assert (end.stop, end.error) == (Stop.DIED, "exit code 5")


async def test_an_agent_that_dies_of_its_mode_does_not_open(acp: AcpRunners) -> None:
    """It says how it ended."""
    runner = acp.make("--fragile", session_mode="dont_ask")
    with pytest.raises(Unavailable, match="exit code 5"):
        await runner.open()


async def test_a_session_that_cannot_be_begun_again_ends_the_turn(acp: AcpRunners) -> None:
    """With what the agent says of it."""
    runner = await acp.open("--once")
    await said(runner, "answer")
    end = end_of(await said(runner, "answer", epoch=1))
    assert (end.stop, end.code) == (Stop.ERROR, "unavailable")
    assert "must be logged in" in end.error


async def test_what_comes_between_turns_belongs_to_none(acp: AcpRunners) -> None:
    """A request is denied, text is left out; the mode is that of the next turn."""
    runner = await acp.open()
    assert text_of(await said(runner, "stops end_turn")) == ""
    async with asyncio.timeout(20):
        while runner.describe()["mode"] != "plan":  # noqa: ASYNC110 - it is told to nobody
            await asyncio.sleep(0.005)
    reports = await said(runner, "late")
    assert text_of(reports) == "cancelled"
    assert settled(reports) == []
