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
from core.api.sessions import ChatKind, Mode, Source
from core.gateway.adapters import api_server
from core.gateway.platform import Outbound, PlatformError, PlatformErrorKind
from core.settings import ApiServerSettings
from tests.support.api_rig import CHAT, SESSION, Api, context
from tests.support.clocks import FakeClock
from tests.support.fake_inbox import PLAIN, FakeInbox
from tests.support.http_calls import BEARER, KEY, FakeHost, call

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


async def test_a_chat_named_in_the_header_is_continued() -> None:
    """The caller's own id is the chat, and is echoed."""
    api = Api()
    answer = await api.ask("hello", headers={SESSION: "my-chat"})
    assert api.inbox.received[0].source.chat == "my-chat"
    assert answer.headers[SESSION] == "my-chat"


async def test_a_caller_that_brings_its_history_is_led_back_to_its_chat() -> None:
    """Clients that know no session header still have one session for one conversation."""
    api = Api()
    first = await api.ask({"role": "system", "content": "s"}, "one")
    text = first.json()["choices"][0]["message"]["content"]
    history = [{"role": "system", "content": "s"}, {"role": "user", "content": "one"}]
    second = await api.ask(*history, {"role": "assistant", "content": text}, "two", stream=True)
    assert second.headers[SESSION] == first.headers[SESSION]


async def test_two_conversations_that_began_alike_stay_apart() -> None:
    """A history leads to a chat once; then the chat has moved on."""
    api = Api()
    for _ in range(2):
        await api.ask("one")
    history: list[Any] = ["one", {"role": "assistant", "content": "Hello there"}]
    chats = [(await api.ask(*history, follow_up)).headers[SESSION] for follow_up in ("two", "three")]
    assert chats[0] != chats[1]


async def test_a_history_for_another_model_begins_a_new_chat() -> None:
    """A session keeps its agent."""
    api = Api()
    first = await api.ask("one")
    second = await api.ask("one", {"role": "assistant", "content": "Hello there"}, "two", model="coder")
    assert second.headers[SESSION] != first.headers[SESSION]


async def test_a_failed_answer_is_not_led_back_to() -> None:
    """Only what was answered counts as history."""
    api = Api(FakeInbox((TextDelta(text="par"), FAILED)))
    first = await api.ask("one")
    second = await api.ask("one", {"role": "assistant", "content": "par"}, "two")
    assert second.headers[SESSION] != first.headers[SESSION]


async def test_a_refused_message_leaves_the_history_known() -> None:
    """A caller that tries again after 429 is led to the same chat."""
    api = Api()
    first = await api.ask("one")
    history: list[Any] = ["one", {"role": "assistant", "content": "Hello there"}, "two"]
    api.inbox.error = Overloaded("full")
    assert (await api.ask(*history)).status == 429
    api.inbox.error = None
    assert (await api.ask(*history)).headers[SESSION] == first.headers[SESSION]


async def test_a_repeated_idempotency_key_gets_the_first_answer_again() -> None:
    """Taken in once, answered twice, as a stream too."""
    api = Api()
    headers = {"idempotency-key": "k1"}
    first = await api.ask("hello", headers=headers)
    second = await api.ask("hello", headers=headers)
    third = await api.ask("hello", headers=headers, stream=True)
    assert second.json() == first.json()
    assert second.headers[SESSION] == first.headers[SESSION]
    assert pieces(third.events())[1]["choices"][0]["delta"] == {"content": "Hello there"}
    assert len(api.inbox.received) == 1
    assert api.inbox.received[0].native_id == "k1"


async def test_a_repeated_key_without_an_answer_is_409() -> None:
    """What is not answered yet cannot be answered again."""
    gate = asyncio.Event()
    api = Api(FakeInbox((gate, *PLAIN)))
    caller = api.caller("hello", headers={"idempotency-key": "k1"})
    async with asyncio.TaskGroup() as group:
        group.create_task(caller.make(api.app))
        await api.inbox.arrived.wait()
        again = await api.ask("hello", headers={"idempotency-key": "k1"})
        gate.set()
    assert (again.status, again.error()["code"]) == (409, "already_taken_in")
    assert caller.answer.status == 200


async def test_the_mode_header_is_handed_on() -> None:
    """The caller says what to do when its chat is busy."""
    api = Api()
    await api.ask("hello", headers={"x-hermes-mode": "steer"})
    assert api.inbox.received[0].mode is Mode.STEER


async def test_models_are_default_and_all_agents() -> None:
    """Each agent is a model of its own name."""
    api = Api()
    listed = (await api.get("/v1/models")).json()
    assert [item["id"] for item in listed["data"]] == ["default", "main", "coder"]
    assert (await api.get("/v1/models/coder")).json() in listed["data"]
    missing = await api.get("/v1/models/nobody")
    assert (missing.status, missing.error()["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic " + KEY, "Bearer", KEY, "Bearer k\xe4y"])
@pytest.mark.parametrize("path", ["/v1/models", CHAT, "/v1/nowhere"])
async def test_without_the_key_everything_is_401(header: str | None, path: str) -> None:
    """Nothing is told and nothing taken in before the key is right."""
    api = Api()
    headers = {} if header is None else {"authorization": header}
    answer = await call(api.app, "POST", path, headers, b'{"model":"default"}')
    assert (answer.status, answer.error()["code"]) == (401, "invalid_api_key")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert KEY not in answer.body.decode()
    assert api.inbox.received == []


async def test_a_second_key_beside_the_right_one_is_401() -> None:
    """Two Authorization headers are none."""
    api = Api()
    scope_headers = [(b"host", b"127.0.0.1"), *[(b"authorization", f"Bearer {KEY}".encode())] * 2]
    caller = api.caller("hello")
    caller.scope["headers"] = scope_headers
    await caller.make(api.app)
    assert caller.answer.status == 401


async def test_the_scheme_may_be_written_in_any_case() -> None:
    """`bearer` is as good as `Bearer`."""
    answer = await call(Api().app, "GET", "/v1/models", {"authorization": f"bearer {KEY}"})
    assert answer.status == 200


USER = {"role": "user", "content": "hi"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"{", 400, "malformed_json"),
        (b"\xff\xfe", 400, "malformed_json"),
        pytest.param(b"[" * 30_000, 400, "invalid_body", id="deep"),
        (b"[]", 400, "invalid_body"),
        (b"null", 400, "invalid_body"),
        ({"messages": [USER]}, 400, "invalid_body"),
        ({"model": 7, "messages": [USER]}, 400, "invalid_body"),
        ({"model": "default"}, 400, "invalid_body"),
        ({"model": "default", "messages": []}, 400, "invalid_body"),
        ({"model": "default", "messages": "hi"}, 400, "invalid_body"),
        ({"model": "default", "messages": [{"role": "king", "content": "hi"}]}, 400, "invalid_body"),
        ({"model": "default", "messages": [{"role": "user", "content": 5}]}, 400, "invalid_body"),
        ({"model": "default", "messages": [{"role": "user", "content": [{"type": "text"}]}]}, 400, "invalid_body"),
        ({"model": "default", "messages": [USER], "stream": "yes"}, 400, "invalid_body"),
        ({"model": "default", "messages": [USER], "n": 2}, 400, "unsupported_n"),
        ({"model": "default", "messages": [{"role": "user", "content": [IMAGE]}]}, 400, "unsupported_content"),
        ({"model": "default", "messages": [{"role": "user", "content": " "}]}, 400, "empty_message"),
        ({"model": "default", "messages": [{"role": "user"}]}, 400, "empty_message"),
        ({"model": "default", "messages": [{"role": "system", "content": "hi"}]}, 400, "no_user_message"),
        (
            {"model": "default", "messages": [USER, {"role": "assistant", "content": "x"}]},
            400,
            "no_user_message",
        ),
        ({"model": "nobody", "messages": [USER]}, 404, "model_not_found"),
        (b'{"model": "default", "messages": [{"role": "user", "content": "\\ud800"}]}', 400, "malformed_json"),
        pytest.param(b"x" * 70_000, 413, "body_too_large", id="large"),
    ],
)
async def test_a_body_that_does_not_fit_is_refused(body: Any, status: int, code: str) -> None:
    """Right status, one line, nothing handed in."""
    api = Api()
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await call(api.app, "POST", CHAT, BEARER, raw)
    assert (answer.status, answer.error()["code"]) == (status, code)
    assert api.inbox.received == []
    assert api.log == []


@pytest.mark.parametrize(
    "headers",
    [
        {SESSION: "a/b"},
        {SESSION: "a\\b"},
        {SESSION: "a b"},
        {SESSION: "a\tb"},
        {SESSION: "caf\xe9"},
        {SESSION: "x" * 257},
        {SESSION: ""},
        {"x-hermes-mode": "shout"},
        {"idempotency-key": "x" * 257},
        {"idempotency-key": "\x7f"},
    ],
)
async def test_a_header_that_does_not_fit_is_400(headers: dict[str, str]) -> None:
    """Ids are short, printable and hold no path."""
    api = Api()
    answer = await api.ask("hello", headers=headers)
    assert (answer.status, answer.error()["code"]) == (400, "invalid_header")
    assert api.inbox.received == []


async def test_another_media_type_is_415() -> None:
    """A form that a web page could send unasked is not taken in."""
    api = Api()
    answer = await api.ask("hello", headers={"content-type": "text/plain"})
    assert (answer.status, answer.error()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [("GET", CHAT, "POST"), ("DELETE", "/v1/models", "GET, HEAD"), ("POST", "/v1/openapi.json", "GET, HEAD")],
)
async def test_a_wrong_method_is_405(method: str, path: str, allow: str) -> None:
    """The answer names the right one."""
    answer = await call(Api().app, method, path, BEARER)
    assert (answer.status, answer.error()["code"], answer.headers["allow"]) == (405, "wrong_method", allow)


async def test_an_unknown_path_is_404() -> None:
    """What is not served is said in one line."""
    answer = await Api().get("/v1/embeddings")
    assert (answer.status, answer.error()["code"]) == (404, "unknown_path")


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
