"""Chat completions: what is asked, and what all the ways of answering mean."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agent_settings import OpenaiSettings
from core.agents.chat.answer import Answer
from core.agents.chat.completions import (
    HAND_OVER,
    ChatError,
    error_of,
    messages_of,
    refusal_of,
    request_body,
    result_message,
    summary_body,
    wish_message,
)
from core.agents.tools.calls import WantedCall
from core.api.base import EntryId
from core.api.runs import RunReport, Stop, TextDelta, ThoughtDelta, Usage, UsageReported
from core.api.sessions import Voice
from core.api.transcripts import EntryKind, EntryView
from tests.support.agent_parts import turn_request


def entry(kind: EntryKind, text: str, *, is_imported: bool = False) -> EntryView:
    """One entry of a transcript."""
    return EntryView(id=EntryId("e"), at=0.0, kind=kind, author="", text=text, is_imported=is_imported)


def fed(*chunks: dict[str, Any]) -> tuple[Answer, list[RunReport]]:
    """An answer after these chunks, and what it reported."""
    answer = Answer()
    reports = [report for chunk in chunks for report in answer.take(msgspec.json.encode(chunk).decode())]
    return answer, reports


def choice(delta: dict[str, Any] | None = None, finish: str | None = None) -> dict[str, Any]:
    """A chunk with one choice."""
    return {"choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}]}


def test_the_conversation_is_put_in_the_shape_of_the_endpoint() -> None:
    """People and notes are users, notes are marked; thoughts, tools and remarks stay here; neighbours are joined."""
    history = (
        entry(EntryKind.SYSTEM, "be brief", is_imported=True),
        entry(EntryKind.USER, "imported question", is_imported=True),
        entry(EntryKind.AGENT, "imported answer", is_imported=True),
        entry(EntryKind.USER, "one"),
        entry(EntryKind.NOTE, "hurry"),
        entry(EntryKind.THOUGHT, "hm"),
        entry(EntryKind.TOOL, "looked"),
        entry(EntryKind.SYSTEM, "the core was started again"),
        entry(EntryKind.AGENT, "two"),
        entry(EntryKind.AGENT, "  "),
        entry(EntryKind.AGENT, "three"),
    )
    assert messages_of("you are kind", turn_request("now", history=history)) == [
        {"role": "system", "content": "you are kind\n\nbe brief"},
        {"role": "user", "content": "imported question"},
        {"role": "assistant", "content": "imported answer"},
        {"role": "user", "content": "one\n\n[note from the operator] hurry"},
        {"role": "assistant", "content": "two\n\nthree"},
        {"role": "user", "content": "now"},
    ]
    noted = messages_of("", turn_request("stop", voice=Voice.NOTE))
    assert noted == [{"role": "user", "content": "[note from the operator] stop"}]


def test_a_summary_stands_for_what_came_before_it() -> None:
    """It is no one's words: a system message, marked, after the agent's own prompt and the turn's."""
    history = (entry(EntryKind.SUMMARY, "they agreed on blue"), entry(EntryKind.USER, "and then?"))
    request = msgspec.structs.replace(turn_request("now", history=history), extra_system_prompt="be brief")
    assert messages_of("you are kind", request) == [
        {
            "role": "system",
            "content": "you are kind\n\nbe brief\n\n[summary of what was said before]\nthey agreed on blue",
        },
        {"role": "user", "content": "and then?\n\nnow"},
    ]


def test_only_what_is_configured_is_asked_for() -> None:
    """No limit and no wish for token counts unless there is one."""
    settings = OpenaiSettings(base_url="http://h/v1", model="m")
    said = [{"role": "user", "content": "x"}]
    assert request_body(settings, said) == {"model": "m", "messages": said, "stream": True}
    more = request_body(
        msgspec.structs.replace(settings, max_tokens=9), said, model="other", tools=[{"a": 1}], with_usage=True
    )
    assert (more["max_tokens"], more["stream_options"]) == (9, {"include_usage": True})
    assert (more["model"], more["tools"]) == ("other", [{"a": 1}])


def test_a_summary_is_asked_for_without_tools_or_stream() -> None:
    """By the model that is named, else the fast one, else the agent's own."""
    settings = OpenaiSettings(base_url="http://h/v1", model="m", fast_model="f", tools=("exec",))
    body = summary_body(settings, "long talk")
    assert body["messages"] == [{"role": "system", "content": HAND_OVER}, {"role": "user", "content": "long talk"}]
    assert (body["model"], body["stream"], "tools" in body) == ("f", False, False)
    assert summary_body(settings, "x", model="n")["model"] == "n"
    assert summary_body(msgspec.structs.replace(settings, fast_model=""), "x")["model"] == "m"


def test_calls_and_results_are_told_back_in_the_shape_of_the_endpoint() -> None:
    """Arguments that are no JSON object are left out: some servers fall over them."""
    good = WantedCall(id="a", name="exec", arguments='{"command":"ls"}')
    bad = WantedCall(id="b", name="exec", arguments='{"comm')
    told = wish_message("", [good, bad])
    assert (told["role"], told["content"]) == ("assistant", None)
    assert [call["function"]["arguments"] for call in told["tool_calls"]] == [good.arguments, "{}"]
    assert [call["id"] for call in told["tool_calls"]] == ["a", "b"]
    assert result_message(good, "done") == {"role": "tool", "tool_call_id": "a", "content": "done"}


@pytest.mark.parametrize(
    ("finish", "stop"),
    [
        ("stop", Stop.END_TURN),
        ("length", Stop.MAX_TOKENS),
        ("content_filter", Stop.REFUSAL),
        ("eos", Stop.END_TURN),
        (None, Stop.END_TURN),
    ],
)
def test_why_it_stopped(finish: str | None, stop: Stop) -> None:
    """Known reasons are told apart; unknown ones, and none at all after some text, are an end."""
    answer, reports = fed(choice({"content": "a"}), choice({"content": "b"}, finish))
    assert answer.stop() is stop
    assert reports == [TextDelta(text="a"), TextDelta(text="b")]


def test_thoughts_refusals_and_parts() -> None:
    """Both names of reasoning; a refusal is text and says why it stopped; content may come in parts."""
    answer, reports = fed(
        choice({"reasoning_content": "a"}),
        choice({"reasoning": "b"}),
        choice({"content": [{"type": "text", "text": "c"}, {"type": "image"}, "junk"]}),
        choice({"refusal": "d"}, "stop"),
    )
    assert reports == [ThoughtDelta(text="a"), ThoughtDelta(text="b"), TextDelta(text="c"), TextDelta(text="d")]
    assert answer.stop() is Stop.REFUSAL


def test_an_answer_that_wants_tools_says_so_once_it_is_whole() -> None:
    """With a reason why it stopped; one that broke off is never carried out; a refusal wants none."""
    piece = {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "exec", "arguments": "{}"}}]}
    answer, reports = fed(choice(piece), choice({}, "tool_calls"))
    assert reports == []
    assert answer.wants_tools()
    assert [call.name for call in answer.calls()] == ["exec"]
    with pytest.raises(ChatError, match="broke off"):
        fed(choice(piece))[0].wants_tools()
    assert not fed(choice(piece), choice({}, "content_filter"))[0].wants_tools()
    assert not fed(choice({"content": "a"}, "stop"))[0].wants_tools()


def test_nothing_at_all_is_no_answer() -> None:
    """An end before any text or reason is a fault of the server; a reason without text is an empty answer."""
    with pytest.raises(ChatError, match="before it began"):
        fed({"choices": []})[0].stop()
    assert fed(choice({}, "stop"))[0].stop() is Stop.END_TURN


def test_tokens_are_taken_from_the_last_chunk() -> None:
    """Costs too where a server tells them; nonsense counts as nothing."""
    answer, reports = fed(
        choice({"content": "a"}),
        {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "cost": 0.5}},
        {"choices": [], "usage": None},
    )
    used = Usage(input_tokens=3, output_tokens=2, context_tokens=5, cost_usd=0.5)
    assert answer.usage == used
    assert reports[-1] == UsageReported(usage=used)
    assert fed({"usage": {"prompt_tokens": "many", "completion_tokens": -1, "cost": "x"}})[0].usage == Usage()


@pytest.mark.parametrize(
    ("status", "body", "code", "may_retry"),
    [
        (401, '{"error": {"message": "no"}}', "auth", False),
        (403, "forbidden", "auth", False),
        (404, '{"error": {"message": "no such model"}}', "model_not_found", False),
        (404, "", "model_not_found", False),
        (400, '{"error": {"message": "x", "code": "model_not_found"}}', "model_not_found", False),
        (400, '{"error": "x"}', "bad_request", False),
        (413, "<html>", "bad_request", False),
        (422, '{"detail": [{"msg": "x"}]}', "bad_request", False),
        (429, '{"error": {"message": "slow"}}', "rate_limited", True),
        (429, '{"error": {"message": "pay", "code": "insufficient_quota"}}', "rate_limited", False),
        (500, "", "overloaded", True),
        (529, '{"error": {"type": "overloaded_error", "message": "x"}}', "overloaded", True),
        (302, "", "bad_request", False),
        (0, '{"error": {"message": "x", "code": 503}}', "overloaded", True),
        (0, '{"error": {"message": "x", "type": "server_error"}}', "overloaded", True),
        (0, '{"error": {"message": "x", "type": "invalid_request_error"}}', "bad_request", False),
    ],
)
def test_what_a_refusal_means(status: int, body: str, code: str, may_retry: bool) -> None:
    """Stable codes for all the ways in which servers say no; only what may pass is tried again."""
    error = refusal_of(status, body, None)
    assert (error.code, error.may_retry) == (code, may_retry)
    assert error.message


def test_a_message_from_outside_is_one_short_line() -> None:
    """Without escapes, breaks or a page of HTML."""
    error = error_of({"message": "bad\n\x1b[31mred\x07 " + "x" * 5000}, 400)
    assert error.message.startswith("400 bad [31mred x")
    assert error.message.isprintable()
    assert len(error.message) < 320


NAMES = [
    "choices",
    "delta",
    "message",
    "content",
    "tool_calls",
    "function",
    "error",
    "usage",
    "finish_reason",
    "index",
    "id",
    "name",
    "arguments",
    "code",
    "type",
    "prompt_tokens",
    "cost",
    "text",
    "reasoning",
]
CHUNKS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=30,
)
CODES = {"auth", "model_not_found", "rate_limited", "overloaded", "bad_request", "protocol"}


@given(CHUNKS)
def test_no_chunk_can_do_more_than_fail_as_a_chat_error(chunk: object) -> None:
    """Whatever JSON a server sends: reports, or a ChatError with a stable code."""
    answer = Answer()
    code = "protocol"
    try:
        for report in answer.take(msgspec.json.encode(chunk).decode()):
            assert isinstance(report, TextDelta | ThoughtDelta | UsageReported)
        answer.calls()
        answer.wants_tools()
        answer.stop()
    except ChatError as error:
        code = error.code
    assert code in CODES


@pytest.mark.parametrize("data", ["", "{", "[]", "1", "null", "[" * 100_000, "\ufffd"])
def test_what_is_not_an_object_is_a_fault_of_the_protocol(data: str) -> None:
    """Also when it is nested beyond all sense."""
    with pytest.raises(ChatError) as caught:
        list(Answer().take(data))
    assert caught.value.code == "protocol"
