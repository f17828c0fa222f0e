"""Chat completions: what is asked, and what all the ways of answering mean."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agents.chat import NO_TOOLS, Answer, ChatError, error_of, messages_of, refusal_of, request_body
from core.api.base import EntryId
from core.api.runs import RunReport, Stop, TextDelta, ThoughtDelta, ToolStatus, Usage, UsageReported
from core.api.sessions import Voice
from core.api.transcripts import EntryKind, EntryView
from core.settings import OpenaiSettings
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


def test_only_what_is_configured_is_asked_for() -> None:
    """No limit and no wish for token counts unless there is one."""
    settings = OpenaiSettings(base_url="http://h/v1", model="m")
    body = request_body(settings, turn_request("x"), with_usage=False)
    assert body == {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}
    more = request_body(msgspec.structs.replace(settings, max_tokens=9), turn_request("x"), with_usage=True)
    assert (more["max_tokens"], more["stream_options"]) == (9, {"include_usage": True})


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


def test_tool_calls_are_put_together_by_index() -> None:
    """Ids and names come first, arguments in pieces; some send no index or a whole object."""
    answer, reports = fed(
        choice({"tool_calls": [{"index": 1, "id": "b", "function": {"name": "two", "arguments": '{"x"'}}]}),
        choice({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "one", "arguments": {"y": 2}}}]}),
        choice({"tool_calls": [{"index": 1, "function": {"arguments": ":1}"}}]}, "tool_calls"),
    )
    assert reports == []
    calls = [(call.id, call.title, call.input, call.status, call.output) for call in answer.calls()]
    assert calls == [
        ("a", "one", '{"y":2}', ToolStatus.FAILED, NO_TOOLS),
        ("b", "two", '{"x":1}', ToolStatus.FAILED, NO_TOOLS),
    ]
    with pytest.raises(ChatError, match="one, two") as caught:
        answer.stop()
    assert caught.value.code == "protocol"


def test_tool_calls_beside_text_leave_the_text_an_answer() -> None:
    """The calls are shown as failed; what was said stands."""
    answer, _ = fed(choice({"content": "I say", "tool_calls": [{"function": {"name": "x"}}]}, "tool_calls"))
    assert answer.stop() is Stop.END_TURN
    assert len(answer.calls()) == 1


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
