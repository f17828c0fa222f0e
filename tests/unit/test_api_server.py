"""The OpenAI-compatible endpoint: what comes in, what goes out, and which chat it belongs to."""

import asyncio
import json
from typing import Any

import pytest

from core.api.base import DeliveryId, PlatformName, SessionId
from core.api.errors import ConfigError, HermesError, InvalidInput, NotFound, Overloaded, Refused, StoreError
from core.api.runs import (
    ActionRequested,
    Phase,
    PhaseChanged,
    Stop,
    TextDelta,
    ThoughtDelta,
    ToolCall,
    ToolKind,
    ToolReported,
    TurnEnded,
)
from core.api.sessions import ChatKind, Source
from core.gateway.adapters import api_server
from core.gateway.platform import Outbound, PlatformError, PlatformErrorKind
from core.platform_settings import ApiServerSettings
from tests.support.api_rig import CHAT, SESSION, Api, context
from tests.support.clocks import FakeClock
from tests.support.fake_inbox import FakeInbox
from tests.support.http_calls import FakeHost, call

END = TurnEnded(stop=Stop.END_TURN)


def pieces(events: list[str]) -> list[dict[str, Any]]:
    """The JSON of all data events but the last."""
    assert events[-1] == "data: [DONE]"
    return [json.loads(event.removeprefix("data: ")) for event in events[:-1] if event.startswith("data: ")]


async def test_a_plain_question_is_answered_whole() -> None:
    """The answer carries text, usage and an id made of the message's."""
    api = Api()
    answer = await api.ask("hello", model="coder", user="ana")
    assert answer.status == 200
    value = answer.json()
    assert value["id"] == "chatcmpl-m1"
    assert value["object"] == "chat.completion"
    assert value["model"] == "coder"
    assert value["choices"][0]["message"]["content"] == "Hello there"
    assert value["choices"][0]["finish_reason"] == "stop"
    assert value["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    [inbound] = api.inbox.received
    assert (inbound.text, inbound.agent, inbound.sender_name) == ("hello", "coder", "ana")
    assert inbound.source == Source(platform=PlatformName("api"), kind=ChatKind.DM, chat=answer.headers[SESSION])
    assert api.inbox.closed_count == 1


async def test_the_default_model_leaves_the_agent_to_the_platform() -> None:
    """`default` names no agent."""
    api = Api()
    await api.ask("hello")
    assert api.inbox.received[0].agent is None


async def test_text_parts_are_joined_and_earlier_turns_brought_along() -> None:
    """Only the last user message is put to the agent; the rest is history."""
    api = Api()
    await api.ask(
        {"role": "system", "content": "be brief"},
        "one",
        {"role": "assistant", "content": "two"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "user", "content": [{"type": "text", "text": "three"}, {"type": "text", "text": "four"}]},
        {"role": "system", "content": "now"},
    )
    [inbound] = api.inbox.received
    assert inbound.text == "three\nfour"
    assert list(inbound.imported) == [("system", "be brief"), ("user", "one"), ("assistant", "two"), ("system", "now")]


async def test_a_stream_has_role_text_end_and_done() -> None:
    """Chunks come in the order that clients expect, usage only for who asks."""
    api = Api()
    answer = await api.ask("hello", stream=True, stream_options={"include_usage": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers[SESSION]
    assert answer.is_whole
    role, one, two, last, usage = pieces(answer.events())
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [item["choices"][0]["delta"]["content"] for item in (one, two)] == ["Hello", " there"]
    assert last["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == 5
    assert {item["id"] for item in (role, one, two, last, usage)} == {"chatcmpl-m1"}


async def test_a_stream_without_usage_ends_with_the_finish_reason() -> None:
    """Nobody gets a chunk without choices who has not asked for it."""
    found = pieces((await Api().ask("hello", stream=True)).events())
    assert all(item["choices"] for item in found)
    assert all("usage" not in item for item in found)


async def test_tool_calls_and_thoughts_stay_out_of_the_stream() -> None:
    """Clients take an event that they do not know for a chunk, so there are none."""
    script = (
        PhaseChanged(phase=Phase.MODEL),
        ThoughtDelta(text="hm"),
        ToolReported(call=ToolCall(id="1", title="look")),
        TextDelta(text=""),
        TextDelta(text="done"),
        END,
    )
    answer = await Api(FakeInbox(script)).ask("hello", stream=True)
    assert len(pieces(answer.events())) == 3
    assert "event:" not in answer.body.decode()


async def test_a_decision_that_is_waited_for_is_a_comment() -> None:
    """The connection shows life while an operator thinks."""
    asked = ActionRequested(action_id="1", title="rm", detail="rm -r", kind=ToolKind.EXECUTE, options=())
    answer = await Api(FakeInbox((asked, END))).ask("hello", stream=True)
    assert ": waits for an operator's decision" in answer.events()


async def test_silence_is_broken_by_comments() -> None:
    """A stream on which nothing comes is kept open."""
    gate = asyncio.Event()
    api = Api(FakeInbox((gate, END)), keepalive_s=0.01)
    caller = api.caller("hello", stream=True)
    async with asyncio.TaskGroup() as group:
        group.create_task(caller.make(api.app))
        await caller.until(b": keepalive")
        gate.set()
    assert pieces(caller.answer.events())


async def test_reports_that_are_not_shown_do_not_make_a_stream_silent() -> None:
    """Thoughts alone would look like a dead connection."""
    gate = asyncio.Event()
    api = Api(FakeInbox((gate, ThoughtDelta(text="hm"), END)), keepalive_s=60.0)
    caller = api.caller("hello", stream=True)
    async with asyncio.TaskGroup() as group:
        group.create_task(caller.make(api.app))
        await caller.until(b"assistant")
        api.clock.step(61.0)
        gate.set()
    assert ": keepalive" in caller.answer.events()


@pytest.mark.parametrize(
    ("stop", "reason"),
    [(Stop.MAX_TOKENS, "length"), (Stop.REFUSAL, "content_filter"), (Stop.MAX_TURNS, "stop")],
)
async def test_an_answer_that_was_cut_says_so(stop: Stop, reason: str) -> None:
    """The finish reason is in OpenAI's words."""
    api = Api(FakeInbox((TextDelta(text="x"), TurnEnded(stop=stop))))
    assert (await api.ask("hello")).json()["choices"][0]["finish_reason"] == reason


FAILED = TurnEnded(stop=Stop.ERROR, error="the model is gone\nreally", code="upstream_down")


async def test_a_failed_run_is_502_with_its_code() -> None:
    """The caller learns the stable name of the failure."""
    answer = await Api(FakeInbox((TextDelta(text="par"), FAILED))).ask("hello")
    error = answer.error()
    assert answer.status == 502
    assert (error["code"], error["message"]) == ("upstream_down", "the model is gone really")
    assert answer.headers[SESSION]


async def test_a_run_that_dies_in_a_stream_is_an_error_event() -> None:
    """The stream ends properly, so that clients raise and do not hang."""
    answer = await Api(FakeInbox((TextDelta(text="par"), FAILED))).ask("hello", stream=True)
    found = pieces(answer.events())
    assert found[-1] == {"error": {"message": "the model is gone really", "type": "api_error", "code": "upstream_down"}}
    assert answer.is_whole


@pytest.mark.parametrize("stream", [False, True])
async def test_reports_that_end_without_an_end_are_a_failure(stream: bool) -> None:
    """A run that vanished is not taken for an empty answer."""
    answer = await Api(FakeInbox((TextDelta(text="par"),))).ask("hello", stream=stream)
    assert b'"code":"lost"' in answer.body


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidInput("too long", field="text"), 400, "invalid"),
        (Refused("no", rule="access"), 403, "refused"),
        (Overloaded("full", retry_after_s=2.5), 429, "overloaded"),
        (StoreError("disk full"), 503, "store"),
        (NotFound("no agent", noun="agent"), 404, "model_not_found"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_the_gateway_refuses_has_its_status(
    error: HermesError, status: int, code: str, stream: bool
) -> None:
    """Also where a stream was asked for, since none has begun."""
    api = Api()
    api.inbox.error = error
    answer = await api.ask("hello", stream=stream)
    assert (answer.status, answer.error()["code"]) == (status, code)
    assert answer.headers.get("retry-after") == {429: "3", 503: "1"}.get(status)


@pytest.mark.parametrize("has_begun", [False, True])
@pytest.mark.parametrize("stream", [False, True])
async def test_hanging_up_stops_the_run_only_if_it_is_ones_own(has_begun: bool, stream: bool) -> None:
    """A message that still waits does not stop the run before it."""
    begun = asyncio.Event()
    never = asyncio.Event()
    script = (TextDelta(text="x"), begun, never) if has_begun else (begun, never)
    api = Api(FakeInbox(script))
    caller = api.caller("hello", stream=stream)
    begun.set()
    async with asyncio.TaskGroup() as group:
        group.create_task(caller.make(api.app))
        await api.inbox.arrived.wait()
        if stream:
            await caller.until(b'"x"' if has_begun else b"assistant")
        caller.hung_up.set()
    assert bool(api.inbox.interrupted) is has_begun
    assert api.inbox.closed_count == 1
    assert not caller.answer.is_whole


async def test_hanging_up_as_the_run_ends_stops_nothing() -> None:
    """What runs next may be somebody else's."""
    gate = asyncio.Event()
    api = Api(FakeInbox((TextDelta(text="x"), gate, TextDelta(text="y"), TextDelta(text="z"), END)))
    caller = api.caller("hello", stream=True)
    async with asyncio.TaskGroup() as group:
        group.create_task(caller.make(api.app))
        await caller.until(b'"x"')
        gate.set()
        caller.hung_up.set()
    assert api.inbox.interrupted == []


async def test_a_server_that_stops_tells_streams_and_leaves_runs_alone() -> None:
    """The caller reads an error in place of a dead line, and the run goes on."""
    api = Api(FakeInbox((TextDelta(text="x"), asyncio.Event())))
    caller = api.caller("hello", stream=True)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(caller.make(api.app))
        await caller.until(b'"x"')
        task.cancel()
    assert pieces(caller.answer.events())[-1]["error"]["code"] == "stopping"
    assert api.inbox.interrupted == []


async def test_models_are_default_and_all_agents() -> None:
    """Each agent is a model of its own name."""
    api = Api()
    listed = (await api.get("/v1/models")).json()
    assert [item["id"] for item in listed["data"]] == ["default", "main", "coder"]
    assert (await api.get("/v1/models/coder")).json() in listed["data"]
    missing = await api.get("/v1/models/nobody")
    assert (missing.status, missing.error()["code"]) == (404, "model_not_found")


async def test_unknown_fields_are_let_be() -> None:
    """Clients send settings that only some servers know."""
    more = {"temperature": 0.5, "tools": [], "response_format": {"type": "text"}, "made_up": None, "n": 1}
    assert (await Api().ask("hello", **more)).status == 200


async def test_the_document_is_open_to_all_and_names_every_path() -> None:
    """Who wants to call us can read how."""
    answer = await call(Api().app, "GET", "/v1/openapi.json")
    value = answer.json()
    assert value["openapi"].startswith("3.1")
    assert set(value["paths"]) == {"/v1/models", "/v1/models/{model}", CHAT, "/v1/openapi.json"}


async def test_the_platform_is_mounted_while_it_runs() -> None:
    """It says where it listens, and leaves nothing behind."""
    api = Api()
    async with asyncio.TaskGroup() as group:
        run = group.create_task(api.platform.run(api.inbox))
        await api.inbox.stood.wait()
        assert api.inbox.addresses == ["http://127.0.0.1:1/v1"]
        assert "/v1" in api.host.apps
        run.cancel()
    assert api.host.apps == {}


async def test_a_platform_without_a_server_is_tried_again() -> None:
    """The endpoint may come up later."""
    api = Api()
    api.host.url = ""
    with pytest.raises(PlatformError) as caught:
        await api.platform.run(api.inbox)
    assert caught.value.kind is PlatformErrorKind.RETRY_AFTER


async def test_two_endpoints_cannot_share_a_prefix() -> None:
    """The second one says why it cannot stand."""
    api = Api()
    api.host.mount("/v1", api.app)
    with pytest.raises(PlatformError, match="another platform"):
        await api.platform.run(api.inbox)
    assert "/v1" in api.host.apps


async def test_nothing_is_sent_to_a_caller_who_is_gone() -> None:
    """Answers go out on the connection that asked, or not at all."""
    source = Source(platform=PlatformName("api"), kind=ChatKind.DM, chat="c")
    outbound = Outbound(delivery_id=DeliveryId("d"), session_id=SessionId("s"), source=source, text="x")
    with pytest.raises(PlatformError) as caught:
        await Api().platform.send(outbound)
    assert caught.value.kind is PlatformErrorKind.GONE


def test_an_endpoint_without_a_key_is_a_fault_of_the_configuration() -> None:
    """Nobody gets in by leaving the key out."""
    with pytest.raises(ConfigError) as caught:
        api_server.create(PlatformName("api"), ApiServerSettings(), context(FakeClock(), host=FakeHost(), key=None))
    assert caught.value.facts["key"] == "http.key"
