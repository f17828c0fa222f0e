"""The hermes_runs runner against an API of runs on loopback that behaves in all the ways it does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from core.agent_settings import HermesRunsSettings
from core.agents.adapters.hermes_runs import HermesRunsRunner, create
from core.agents.runner import Decision
from core.api.base import EntryId, SessionId
from core.api.errors import ConfigError, Unavailable
from core.api.runs import (
    ActionRequested,
    ActionSettled,
    OptionKind,
    Phase,
    PhaseChanged,
    RunLogged,
    RunReport,
    Stop,
    TextDelta,
    ThoughtDelta,
    ToolReported,
    ToolStatus,
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
from tests.support.fake_hermes_runs import COMMAND, WORDS, FakeHermesRuns

ANSWER = "".join(WORDS)
YES = Decision(allow=True, option_id="once")
NO = Decision(allow=False, option_id="deny")


def settings_of(url: str, **more: object) -> HermesRunsSettings:
    """Of an agent there."""
    return msgspec.convert({"base_url": url, "key": "env:KEY", "runner": "hermes_runs"} | more, HermesRunsSettings)


@asynccontextmanager
async def talking(
    home: Path, server: FakeHermesRuns | None = None, **more: object
) -> AsyncIterator[tuple[HermesRunsRunner, FakeHermesRuns, InstantClock]]:
    """An open runner, its server, and the clock that its waits are on."""
    clock = InstantClock()
    async with server or FakeHermesRuns() as running:
        runner = HermesRunsRunner(settings_of(running.url, **more), runner_context(clock, home, draw=lambda: 0.5))
        await runner.open()
        try:
            yield runner, running, clock
        finally:
            await runner.close()


def settled(reports: list[RunReport]) -> list[tuple[str, str]]:
    """How each decision ended."""
    return [(item.action_id, item.outcome) for item in reports if isinstance(item, ActionSettled)]


def asked(reports: list[RunReport]) -> list[ActionRequested]:
    """What was asked."""
    return [item for item in reports if isinstance(item, ActionRequested)]


async def test_an_answer_comes_with_its_usage(tmp_path: Path) -> None:
    """Text once, even though the agent repeats it as a thought and at the end."""
    async with talking(tmp_path) as (runner, _, _clock):
        reports = await collected(runner, turn_request("answer"))
        assert text_of(reports) == ANSWER
        assert not any(isinstance(item, ThoughtDelta) for item in reports)
        assert (end_of(reports).usage.input_tokens, end_of(reports).usage.output_tokens) == (11, 3)


async def test_thoughts_and_unknown_events_are_taken_in(tmp_path: Path) -> None:
    """An unknown event is noted once and harms nothing; an answer that was not streamed comes from the end."""
    async with talking(tmp_path) as (runner, _, _clock):
        reports = await collected(runner, turn_request("thinks"))
        assert [item.text for item in reports if isinstance(item, ThoughtDelta)] == ["hm"]
        assert [item.text for item in reports if isinstance(item, RunLogged)] == ["unknown event weather.changed"]
        assert text_of(reports) == "done"


async def test_the_conversation_and_the_prompt_go_along(tmp_path: Path) -> None:
    """A run there knows only what it is given; the session there has plain letters and one name for each epoch."""
    history = (
        EntryView(id=EntryId("e-1"), at=0.0, kind=EntryKind.USER, author="ana", text="my cat is Tom"),
        EntryView(id=EntryId("e-2"), at=0.0, kind=EntryKind.AGENT, author="main", text="noted"),
    )
    async with talking(tmp_path, system_prompt="be kind", model="big") as (runner, server, _):
        first = turn_request("answer", history=history)
        await collected(runner, first)
        await collected(runner, msgspec.structs.replace(first, epoch=1, model="small", extra_system_prompt="and short"))
        await collected(runner, msgspec.structs.replace(first, session_id=SessionId("plain-1")))
        one, two, three = server.bodies
        assert one["input"] == "answer"
        assert [item["content"] for item in one["conversation_history"]] == ["my cat is Tom", "noted"]
        assert (one["instructions"], one["model"]) == ("be kind", "big")
        assert (two["instructions"].split("\n\n")[-1], two["model"]) == ("and short", "small")
        assert one["session_id"] != two["session_id"]
        assert one["session_id"].replace("-", "").isalnum()
        assert three["session_id"] == "plain-1-e0"


async def test_an_approval_is_carried_out_as_it_was_decided(tmp_path: Path) -> None:
    """The choice arrives there, the tool goes on, and the decision is settled once."""
    async with talking(tmp_path) as (runner, server, _):
        for decision, choice, outcome, status in (
            (YES, "once", "approved", ToolStatus.COMPLETED),
            (NO, "deny", "denied", ToolStatus.FAILED),
            (Decision(allow=True, option_id="session"), "session", "approved", ToolStatus.COMPLETED),
            (Decision(allow=False, option_id="nonsense"), "deny", "denied", ToolStatus.FAILED),
        ):
            reading = Reading(runner.turn(turn_request("tools")))
            action = await reading.until(ActionRequested)
            assert (action.tool, action.target, action.title) == ("exec", COMMAND, "deletes files")
            assert COMMAND in action.detail
            assert action.deadline_s == 60.0
            assert [option.kind for option in action.options][-1] is OptionKind.REJECT_ONCE
            assert await runner.decide(action.action_id, decision)
            assert not await runner.decide(action.action_id, decision)
            reports = await reading.whole()
            assert server.runs[-1].choices == [{"choice": choice}]
            assert text_of(reports) == f"it was {choice}"
            assert settled(reports) == [(action.action_id, outcome)]
            assert [item.call.status for item in reports if isinstance(item, ToolReported)][-1] is status


async def test_a_decision_that_contradicts_its_option_is_not_sent_as_that_option(tmp_path: Path) -> None:
    """A yes with the option of a no is a yes once, and the other way round."""
    async with talking(tmp_path) as (runner, server, _):
        for decision, choice in (
            (Decision(allow=True, option_id="deny"), "once"),
            (Decision(allow=False, option_id="always"), "deny"),
        ):
            reading = Reading(runner.turn(turn_request("tools")))
            action = await reading.until(ActionRequested)
            assert await runner.decide(action.action_id, decision)
            await reading.whole()
            assert server.runs[-1].choices == [{"choice": choice}]


async def test_a_yes_that_comes_too_late_is_not_sent(tmp_path: Path) -> None:
    """It would meet whatever is asked next; a no may still go out in the last moment, and then not either."""
    async with talking(tmp_path) as (runner, server, clock):
        reading = Reading(runner.turn(turn_request("lapses")))
        action = await reading.until(ActionRequested)
        clock.step(58.0)
        assert not await runner.decide(action.action_id, YES)
        clock.step(2.0)
        assert not await runner.decide(action.action_id, NO)
        server.runs[-1].lapse.set()
        reports = await reading.whole()
        assert server.runs[-1].choices == []
        assert settled(reports) == [(action.action_id, "expired")]
        assert text_of(reports) == "nobody answered"


async def test_an_agent_that_listens_for_ever_has_no_deadline(tmp_path: Path) -> None:
    """As its profile says."""
    async with talking(tmp_path, listens_s=None) as (runner, _, clock):
        reading = Reading(runner.turn(turn_request("tools")))
        action = await reading.until(ActionRequested)
        assert action.deadline_s is None
        clock.step(86_400.0)
        assert await runner.decide(action.action_id, YES)
        await reading.whole()


async def test_an_answer_that_nobody_waits_for_is_said_to_be_late(tmp_path: Path) -> None:
    """The agent answers with a conflict; the decision did not arrive and is settled as expired."""
    async with talking(tmp_path) as (runner, server, _):
        reading = Reading(runner.turn(turn_request("deaf")))
        action = await reading.until(ActionRequested)
        assert not await runner.decide(action.action_id, YES)
        server.runs[-1].lapse.set()
        assert settled(await reading.whole()) == [(action.action_id, "expired")]


async def test_two_requests_are_shown_one_after_the_other(tmp_path: Path) -> None:
    """They have no ids there: the second is asked once the first is settled, so that each answer meets its own."""
    async with talking(tmp_path) as (runner, _, clock):
        reading = Reading(runner.turn(turn_request("two")))
        first = await reading.until(ActionRequested, lambda item: item.target == "one")
        await reading.until(ThoughtDelta)
        assert len(asked(reading.reports)) == 1
        clock.step(20.0)
        assert not await runner.decide(first.action_id.replace("/1", "/2"), YES)
        assert await runner.decide(first.action_id, NO)
        second = await reading.until(ActionRequested, lambda item: item.target == "two")
        assert second.deadline_s == 40.0
        assert await runner.decide(second.action_id, YES)
        reports = await reading.whole()
        assert text_of(reports) == "one deny, two once"
        assert settled(reports) == [(first.action_id, "denied"), (second.action_id, "approved")]


async def test_what_cannot_be_told_apart_is_denied(tmp_path: Path) -> None:
    """A tool ended while two requests waited: nobody knows which of them is left, so both are denied."""
    async with talking(tmp_path) as (runner, server, _):
        reports = await collected(runner, turn_request("overtaken"))
        assert server.runs[-1].choices == [{"choice": "deny", "all": True}]
        assert text_of(reports) == "one deny, two deny"
        assert [outcome for _, outcome in settled(reports)] == ["expired"]
        assert [item.level for item in reports if isinstance(item, RunLogged)] == ["warning"]


async def test_a_request_that_has_no_time_left_is_denied_unseen(tmp_path: Path) -> None:
    """The operator took as long for the first as the second was waited for."""
    async with talking(tmp_path) as (runner, server, clock):
        reading = Reading(runner.turn(turn_request("two")))
        first = await reading.until(ActionRequested)
        await reading.until(ThoughtDelta)
        clock.step(56.0)
        assert await runner.decide(first.action_id, YES)
        reports = await reading.whole()
        assert len(asked(reports)) == 1
        assert text_of(reports) == "one once, two deny"
        assert server.runs[-1].choices[-1] == {"choice": "deny", "all": True}


async def test_a_run_whose_events_broke_off_is_asked_how_it_stands(tmp_path: Path) -> None:
    """The rest of the answer is not lost, and nothing is said twice."""
    async with talking(tmp_path) as (runner, server, _):
        reports = await collected(runner, turn_request("drops"))
        assert text_of(reports) == ANSWER
        assert end_of(reports).stop is Stop.END_TURN
        assert end_of(reports).usage.input_tokens == 11
        assert server.polls


async def test_a_request_whose_details_were_lost_can_only_be_denied(tmp_path: Path) -> None:
    """It says so; a yes to it is not sent."""
    async with talking(tmp_path) as (runner, server, _):
        reading = Reading(runner.turn(turn_request("drops_then_asks")))
        action = await reading.until(ActionRequested)
        assert [option.kind for option in action.options] == [OptionKind.REJECT_ONCE]
        assert "can only be denied" in action.detail
        assert (action.tool, action.target) == ("", "")
        assert not await runner.decide(action.action_id, YES)
        assert await runner.decide(action.action_id, NO)
        reports = await reading.whole()
        assert server.runs[-1].choices == [{"choice": "deny", "all": True}]
        assert text_of(reports) == "Hello\n\nit was deny"
        assert settled(reports) == [(action.action_id, "denied")]


async def test_a_request_that_was_read_before_can_still_be_approved(tmp_path: Path) -> None:
    """The connection broke while the operator looked at it; it is the same one that waits."""
    async with talking(tmp_path) as (runner, server, _):
        reading = Reading(runner.turn(turn_request("asks_then_drops")))
        action = await reading.until(ActionRequested)
        server.runs[-1].lapse.set()
        await reading.until(RunLogged)
        assert await runner.decide(action.action_id, YES)
        reports = await reading.whole()
        assert settled(reports) == [(action.action_id, "approved")]
        assert text_of(reports) == "it was once"


async def test_a_run_that_is_gone_there_has_died(tmp_path: Path) -> None:
    """The agent was started again and knows nothing of it."""
    async with talking(tmp_path) as (runner, _, _clock):
        end = end_of(await collected(runner, turn_request("dies")))
        assert (end.stop, end.code) == (Stop.DIED, "run_lost")


async def test_a_failure_names_its_reason_and_no_key(tmp_path: Path) -> None:
    """On one line."""
    async with talking(tmp_path) as (runner, _, _clock):
        end = end_of(await collected(runner, turn_request("fails")))
        assert (end.stop, end.code, end.error) == (Stop.ERROR, "agent_failed", "no luck with ***")


async def test_cancelling_stops_the_run_there(tmp_path: Path) -> None:
    """The turn ends when the agent says that it has stopped."""
    async with talking(tmp_path) as (runner, server, _):
        reading = Reading(runner.turn(turn_request("tools")))
        action = await reading.until(ActionRequested)
        await runner.cancel("enough")
        reports = await reading.whole()
        assert end_of(reports).stop is Stop.CANCELLED
        assert server.runs[-1].status["status"] == "cancelled"
        assert settled(reports) == [(action.action_id, "expired")]


async def test_an_agent_that_does_not_stop_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a moment, whether it was running or never began."""
    monkeypatch.setattr("core.agents.adapters.hermes_runs._GRACE_S", 0.05)
    async with talking(tmp_path) as (runner, server, _):
        server.ignores_stop = True
        for text in ("endless", "mute"):
            server.begun.clear()
            reading = Reading(runner.turn(turn_request(text)))
            async with asyncio.timeout(10):
                await server.begun.wait()
            await runner.cancel("enough")
            assert end_of(await reading.whole()).stop is Stop.CANCELLED


async def test_a_reader_that_leaves_stops_the_run_there(tmp_path: Path) -> None:
    """Nothing goes on that nobody reads."""
    async with talking(tmp_path) as (runner, server, _):
        reading = Reading(runner.turn(turn_request("endless")))
        await reading.until(TextDelta)
        await reading.leave()
        assert server.runs[-1].stopped.is_set()


async def test_a_full_agent_is_tried_again(tmp_path: Path) -> None:
    """A refusal began nothing, so that trying again is safe; three times is enough."""
    async with talking(tmp_path) as (runner, server, clock):
        server.refusals = [429]
        reports = await collected(runner, turn_request("answer"))
        assert end_of(reports).stop is Stop.END_TURN
        assert [item.phase for item in reports if isinstance(item, PhaseChanged)] == [Phase.RETRY_BACKOFF, Phase.MODEL]
        assert clock.slept[:1] == [0.5]
        server.refusals = [429, 429, 429, 429]
        end = end_of(await collected(runner, turn_request("answer")))
        assert (end.stop, end.code) == (Stop.ERROR, "rate_limited")
        assert len(server.refusals) == 1


async def test_a_wrong_key_is_named_and_not_quoted(tmp_path: Path) -> None:
    """The server's own words may hold it."""
    async with FakeHermesRuns() as server:
        context = runner_context(InstantClock(), tmp_path)
        runner = HermesRunsRunner(settings_of(server.url), context)
        await runner.open()
        runner._calls._client.headers["authorization"] = f"Bearer x{KEY}"  # type: ignore[union-attr]
        end = end_of(await collected(runner, turn_request("answer")))
        assert end.code == "auth"
        assert KEY not in end.error
        await runner.close()


async def test_nobody_there_is_said_so(tmp_path: Path) -> None:
    """After the tries, with the address."""
    async with FakeHermesRuns() as server:
        url = server.url
    runner = HermesRunsRunner(settings_of(url), runner_context(InstantClock(), tmp_path))
    await runner.open()
    end = end_of(await collected(runner, turn_request("answer")))
    assert (end.stop, end.code, end.error) == (Stop.ERROR, "connect", f"no connection to {url}")
    await runner.close()


async def test_another_kind_of_server_is_said_so(tmp_path: Path) -> None:
    """It answers, but has no runs."""
    async with FakeHermesRuns() as server:
        runner = HermesRunsRunner(settings_of(server.url + "/elsewhere"), runner_context(InstantClock(), tmp_path))
        await runner.open()
        assert end_of(await collected(runner, turn_request("answer"))).code == "not_found"
        await runner.close()


async def test_an_answer_that_cannot_be_sent_raises(tmp_path: Path) -> None:
    """The decision did not arrive, and whoever sent it is told."""
    async with talking(tmp_path) as (runner, server, _):
        reading = Reading(runner.turn(turn_request("tools")))
        action = await reading.until(ActionRequested)
        await server.__aexit__()
        with pytest.raises(Unavailable):
            await runner.decide(action.action_id, YES)
        assert end_of(await reading.whole()).code == "run_lost"


async def test_a_missing_key_and_a_bad_address_are_refused(tmp_path: Path) -> None:
    """Before anything is sent."""
    context = runner_context(InstantClock(), tmp_path)
    runner = create(MAIN, settings_of("http://127.0.0.1:1/v1", key="env:OTHER"), context)
    with pytest.raises(ConfigError):
        await runner.open()
    with pytest.raises(Unavailable, match="base_url"):
        create(MAIN, HermesRunsSettings(base_url="http://here:there/v1", key="env:KEY"), context)
