"""The openai runner against an endpoint on loopback that behaves in all the ways endpoints do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.agent_settings import OpenaiSettings
from core.agents.adapters.openai import OpenaiRunner, create
from core.api.base import EntryId
from core.api.errors import ConfigError, Unavailable
from core.api.runs import (
    Phase,
    PhaseChanged,
    RunReport,
    Stop,
    TextDelta,
    ThoughtDelta,
    ToolReported,
    ToolStatus,
    Usage,
)
from core.api.transcripts import EntryKind, EntryView
from tests.support.agent_parts import (
    KEY,
    MAIN,
    InstantClock,
    Reading,
    collected,
    end_of,
    runner_context,
    text_of,
    turn_request,
)
from tests.support.clocks import FakeClock
from tests.support.fake_openai import WORDS, FakeOpenai

ANSWER = "".join(WORDS)


@asynccontextmanager
async def talking_to(
    *modes: str, home: Path, stall_limit_s: float = 30.0, key: str | None = "env:KEY"
) -> AsyncIterator[tuple[OpenaiRunner, FakeOpenai, InstantClock]]:
    """An open runner, its endpoint, and the clock that its waits are on."""
    clock = InstantClock()
    async with FakeOpenai(*modes) as server:
        settings = OpenaiSettings(base_url=server.url, model="small", key=key, stall_limit_s=stall_limit_s)
        runner = OpenaiRunner(settings, runner_context(clock, home, draw=lambda: 0.5))
        await runner.open()
        try:
            yield runner, server, clock
        finally:
            await runner.close()


async def outcome(mode: str, home: Path) -> tuple[list[RunReport], FakeOpenai, InstantClock]:
    """One turn against one behaviour."""
    async with talking_to(mode, home=home) as (runner, server, clock):
        return await collected(runner, turn_request("hi")), server, clock


def retries(reports: list[RunReport]) -> list[tuple[int, str]]:
    """Count and reason of each wait for another try."""
    return [
        (report.retry.count, report.retry.reason)
        for report in reports
        if isinstance(report, PhaseChanged) and report.retry is not None
    ]


async def test_an_answer_is_streamed_with_its_tokens(tmp_path: Path) -> None:
    """Comments and unknown events are passed over; each piece is reported as it comes."""
    reports, server, _ = await outcome("ok", tmp_path)
    assert [report.text for report in reports if isinstance(report, TextDelta)] == list(WORDS)
    assert end_of(reports).stop is Stop.END_TURN
    assert end_of(reports).usage == Usage(input_tokens=11, output_tokens=3, context_tokens=14)
    talk = server.requests[0]
    assert talk.headers[":path"].startswith("POST /v1/chat/completions ")
    assert talk.headers["authorization"] == f"Bearer {KEY}"
    assert talk.body["messages"] == [{"role": "user", "content": "hi"}]
    assert (talk.body["model"], talk.body["stream_options"]) == ("small", {"include_usage": True})


async def test_the_conversation_so_far_is_sent_along(tmp_path: Path) -> None:
    """The endpoint remembers nothing."""
    said = [
        EntryView(id=EntryId("1"), at=0.0, kind=EntryKind.USER, author="ana", text="one"),
        EntryView(id=EntryId("2"), at=0.0, kind=EntryKind.AGENT, author="", text="two"),
    ]
    async with talking_to("ok", home=tmp_path, key=None) as (runner, server, _):
        await collected(runner, turn_request("three", history=tuple(said)))
        assert [item["role"] for item in server.requests[0].body["messages"]] == ["user", "assistant", "user"]
        assert "authorization" not in server.requests[0].headers


async def test_pieces_arrive_while_the_answer_is_still_being_written(tmp_path: Path) -> None:
    """Nothing is held back until the end."""
    async with talking_to("slow", home=tmp_path) as (runner, server, _):
        reading = Reading(runner.turn(turn_request("hi")))
        for count, word in enumerate(WORDS, 1):
            server.step.release()
            await reading.until(TextDelta, lambda report, word=word: report.text == word)
            assert len(reading.reports) == count
        assert text_of(await reading.whole()) == ANSWER


@pytest.mark.parametrize(
    ("mode", "stop", "text"),
    [
        ("no_done", Stop.END_TURN, ANSWER),
        ("crlf", Stop.MAX_TOKENS, ANSWER),
        ("reasons", Stop.REFUSAL, "yes"),
        ("plain", Stop.END_TURN, "all at once"),
    ],
)
async def test_all_ways_of_ending_well(tmp_path: Path, mode: str, stop: Stop, text: str) -> None:
    """No end mark, bytes one by one with CR LF, thoughts, and servers that do not stream at all."""
    reports, _, _ = await outcome(mode, tmp_path)
    assert (end_of(reports).stop, text_of(reports)) == (stop, text)
    if mode == "reasons":
        assert [report.text for report in reports if isinstance(report, ThoughtDelta)] == ["hm ", "well"]


@pytest.mark.parametrize(
    ("mode", "code", "requests"),
    [
        ("401", "auth", 1),
        ("404", "model_not_found", 1),
        ("400", "bad_request", 2),
        ("quota", "rate_limited", 1),
        ("429_long", "rate_limited", 1),
        ("429", "rate_limited", 3),
        ("500", "overloaded", 3),
        ("body_error", "overloaded", 3),
        ("error_first", "overloaded", 3),
        ("error_midway", "overloaded", 1),
        ("drop", "connect", 3),
        ("broken", "protocol", 1),
        ("garbage", "protocol", 1),
        ("oversized", "protocol", 1),
        ("empty", "protocol", 1),
        ("tools", "protocol", 1),
    ],
)
async def test_all_ways_of_ending_badly(tmp_path: Path, mode: str, code: str, requests: int) -> None:
    """A stable code, a line without the key, and another try only where nothing was said and it may help."""
    reports, server, _ = await outcome(mode, tmp_path)
    end = end_of(reports)
    assert (end.stop, end.code, len(server.requests)) == (Stop.ERROR, code, requests)
    assert end.error.isprintable()
    assert KEY not in repr(reports)
    assert len(retries(reports)) == (requests - 1 if requests == 3 else 0)


async def test_a_key_that_a_server_repeats_is_masked(tmp_path: Path) -> None:
    """Its error text goes to screens and logs."""
    reports, _, _ = await outcome("401", tmp_path)
    assert end_of(reports).error == "401 Incorrect API key provided: ***"


async def test_the_wait_is_as_long_as_the_server_asks(tmp_path: Path) -> None:
    """Each try is announced with its time; then the answer comes."""
    async with talking_to("429", "429", "ok", home=tmp_path) as (runner, _, clock):
        start = clock.monotonic()
        reports = await collected(runner, turn_request("hi"))
        assert clock.slept == [7.0, 7.0]
        assert retries(reports) == [(1, "429 slow down"), (2, "429 slow down")]
        first = next(report.retry for report in reports if isinstance(report, PhaseChanged) and report.retry)
        assert first.next_at.mono == start + 7.0
        phases = [report.phase for report in reports if isinstance(report, PhaseChanged)]
        assert phases == [Phase.RETRY_BACKOFF, Phase.MODEL] * 2
        assert text_of(reports) == ANSWER


async def test_without_a_wish_of_the_server_the_wait_grows(tmp_path: Path) -> None:
    """Half of one second, then of two: the draw of this test is one half."""
    async with talking_to("500", "drop", "ok", home=tmp_path) as (runner, _, clock):
        assert text_of(await collected(runner, turn_request("hi"))) == ANSWER
        assert clock.slept == [0.5, 1.0]


async def test_a_server_that_refuses_the_wish_for_tokens_is_asked_once_more(tmp_path: Path) -> None:
    """Without it, and in later turns at once without it."""
    async with talking_to("no_usage", home=tmp_path) as (runner, server, _):
        for _ in range(2):
            assert text_of(await collected(runner, turn_request("hi"))) == ANSWER
        assert ["stream_options" in talk.body for talk in server.requests] == [True, False, False]


async def test_tool_calls_are_shown_as_failed(tmp_path: Path) -> None:
    """Put together from their pieces, with a reason."""
    reports, _, _ = await outcome("tools", tmp_path)
    calls = [report.call for report in reports if isinstance(report, ToolReported)]
    assert [(call.id, call.title, call.input, call.status) for call in calls] == [
        ("call_a", "get_time", '{"zone": "UTC"}', ToolStatus.FAILED)
    ]
    assert "no tools" in calls[0].output


@pytest.mark.parametrize("mode", ["silent", "mute"])
async def test_cancel_drops_the_connection(tmp_path: Path, mode: str) -> None:
    """While the answer comes, and before it has begun; the server sees that nobody listens."""
    async with talking_to(mode, home=tmp_path) as (runner, server, _):
        reading = Reading(runner.turn(turn_request("hi")))
        await server.asked.wait()
        if mode == "silent":
            await reading.until(TextDelta)
        await runner.cancel("stop")
        assert end_of(await reading.whole()).stop is Stop.CANCELLED
        async with asyncio.timeout(20):
            await server.hung_up.wait()


@pytest.mark.parametrize("mode", ["silent", "mute"])
async def test_a_silent_server_is_a_stall(tmp_path: Path, mode: str) -> None:
    """After the configured silence the turn ends; what was said is kept, and it is not tried again."""
    async with talking_to(mode, home=tmp_path, stall_limit_s=0.05) as (runner, server, _):
        reports = await collected(runner, turn_request("hi"))
        assert end_of(reports).code == "stalled"
        assert text_of(reports) == (WORDS[0] if mode == "silent" else "")
        assert len(server.requests) == 1


async def test_cancel_ends_the_wait_for_another_try(tmp_path: Path) -> None:
    """Nobody has to sit out a backoff."""
    async with FakeOpenai("429") as server:
        settings = OpenaiSettings(base_url=server.url, model="small")
        runner = create(MAIN, settings, runner_context(FakeClock(), tmp_path))
        await runner.open()
        reading = Reading(runner.turn(turn_request("hi")))
        await reading.until(PhaseChanged)
        await runner.cancel("stop")
        assert end_of(await reading.whole()).stop is Stop.CANCELLED
        await runner.close()


async def test_nobody_there_is_a_connect_error(tmp_path: Path) -> None:
    """Tried three times; the address is named."""
    async with FakeOpenai() as server:
        url = server.url
    runner = create(MAIN, OpenaiSettings(base_url=url, model="m"), runner_context(InstantClock(), tmp_path))
    await runner.open()
    reports = await collected(runner, turn_request("hi"))
    assert (end_of(reports).code, len(retries(reports))) == ("connect", 2)
    assert url in end_of(reports).error
    await runner.close()


async def test_proxies_of_the_environment_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be handed prompts and key."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    reports, _, _ = await outcome("ok", tmp_path)
    assert text_of(reports) == ANSWER


async def test_what_cannot_work_fails_before_the_first_turn(tmp_path: Path) -> None:
    """A key that is not there, an address that is none; a password in an address is not shown."""
    missing = OpenaiSettings(base_url="http://127.0.0.1:9/v1", model="m", key="env:OTHER")
    with pytest.raises(ConfigError):
        await create(MAIN, missing, runner_context(InstantClock(), tmp_path)).open()
    with pytest.raises(Unavailable):
        create(MAIN, OpenaiSettings(base_url="http://[::1/v1", model="m"), runner_context(InstantClock(), tmp_path))
    named = OpenaiSettings(base_url="http://bo:hidden@127.0.0.1:9/v1", model="m")
    facts = create(MAIN, named, runner_context(InstantClock(), tmp_path)).describe()
    assert facts == {"model": "m", "url": "http://127.0.0.1:9/v1"}
